//! The durable queue between detection and broker: an entry leaves it only on its own acknowledgement.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension};

use super::{JournalError, priority};

/// A message waiting for its acknowledgement; the body never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its number in this journal; one that came from a damaged journal has a number below 1, seen as unsigned.
    pub seq: u64,
    /// Last level of its topic.
    pub topic: String,
    /// JSON.
    pub body: Vec<u8>,
}

/// How the queue stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Waiting.
    pub queued: u64,
    /// Acknowledged since the journal began.
    pub acked: u64,
    /// Given up because the outbox was full.
    pub dropped: u64,
    /// Every number up to this one is acknowledged or among the dropped.
    pub acked_through: u64,
    /// Ranges of dropped numbers, first and last, the latest first; at most 20.
    pub gaps: Vec<(u64, u64)>,
}

/// The link's door.
pub struct Outbox {
    pub(super) db: Connection,
    file: PathBuf,
    epoch: String,
}

impl Outbox {
    pub(super) fn new(db: Connection, file: PathBuf, epoch: String) -> Self {
        Self { db, file, epoch }
    }

    /// Id of the journal.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The most important and then oldest waiting messages that are not `in_flight`, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn next(&self, in_flight: &dyn Fn(u64) -> bool, limit: usize) -> Result<Vec<Message>, JournalError> {
        self.next_within(in_flight, limit, usize::MAX)
    }

    /// The same, and none behind the one with which their bodies come to `bytes`: a body larger than that is not held
    /// up for ever.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn next_within(
        &self,
        in_flight: &dyn Fn(u64) -> bool,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Message>, JournalError> {
        let query = || -> rusqlite::Result<Vec<Message>> {
            let mut statement = self.db.prepare_cached(
                "SELECT seq, topic, body FROM messages WHERE state = 'queued' ORDER BY priority DESC, seq",
            )?;
            let mut rows = statement.query([])?;
            let mut messages = Vec::new();
            let mut taken = 0;
            while messages.len() < limit
                && taken < bytes
                && let Some(row) = rows.next()?
            {
                let seq = row.get::<_, i64>(0)? as u64;
                if !in_flight(seq) {
                    let body: Vec<u8> = row.get(2)?;
                    taken += body.len();
                    messages.push(Message { seq, topic: row.get(1)?, body });
                }
            }
            Ok(messages)
        };
        query().map_err(|reason| self.wrong(reason))
    }

    /// Whether an alert waits, an old one included.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn alert_waits(&self) -> Result<bool, JournalError> {
        self.db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM messages WHERE state = 'queued' AND priority >= ?1)")
            .and_then(|mut query| query.query_row([priority::REPLAYED], |row| row.get(0)))
            .map_err(|reason| self.wrong(reason))
    }

    /// Notes acknowledgements; returns once they are on disk. A message that was dropped while it was under way stays in
    /// its gap, though it arrived.
    ///
    /// # Errors
    /// [`JournalError::Database`]; the messages are then sent again, with the same ids.
    pub fn acked(&mut self, seqs: &[u64]) -> Result<(), JournalError> {
        let mut write = || -> rusqlite::Result<()> {
            let transaction = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            {
                let mut update = transaction.prepare_cached(
                    "UPDATE messages SET state = 'acked', body = NULL WHERE seq = ?1 AND state = 'queued'",
                )?;
                for seq in seqs {
                    update.execute([*seq as i64])?;
                }
            }
            transaction.commit()
        };
        write().map_err(|reason| JournalError::Database { file: self.file.clone(), reason })
    }

    /// How the queue stands.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn totals(&self) -> Result<Totals, JournalError> {
        let query = || -> rusqlite::Result<Totals> {
            let last: i64 =
                self.db.query_row("SELECT max(0, coalesce(max(seq), 0)) FROM messages", [], |row| row.get(0))?;
            let waiting: Option<i64> = self
                .db
                .query_row("SELECT min(seq) FROM messages WHERE state = 'queued' AND seq > 0", [], |row| row.get(0))
                .optional()?
                .flatten();
            let gaps = self
                .db
                .prepare_cached("SELECT first, last FROM gaps ORDER BY first DESC LIMIT 20")?
                .query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?
                .collect::<rusqlite::Result<_>>()?;
            let number = |sql: &str| -> rusqlite::Result<u64> {
                self.db.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)).map(|count| count as u64)
            };
            let queued = number("SELECT count(*) FROM messages WHERE state = 'queued'")?;
            let saved = number("SELECT count(*) FROM messages WHERE state = 'queued' AND seq < 1")?;
            let dropped = number("SELECT coalesce(sum(last - first + 1), 0) FROM gaps")?;
            let last = last as u64;
            Ok(Totals {
                queued,
                // Numbers have no hole, so what is neither queued nor dropped was acknowledged.
                acked: last.saturating_sub(queued - saved + dropped),
                dropped,
                acked_through: waiting.map_or(last, |first| first as u64 - 1),
                gaps,
            })
        };
        query().map_err(|reason| self.wrong(reason))
    }

    pub(super) fn wrong(&self, reason: rusqlite::Error) -> JournalError {
        JournalError::Database { file: self.file.clone(), reason }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::{Journal, priority};

    #[test]
    fn bodies_are_given_until_they_fill_the_room_and_one_that_is_larger_is_not_held_up() {
        let state = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(state.path(), 100).unwrap();
        for id in ["a", "b", "c", "d"] {
            let body = |_: &str, _: u64| json!("x".repeat(98));
            journal.transaction(|transaction| transaction.queue(id, priority::SUMMARY, "detection", body)).unwrap();
        }
        let outbox = journal.outbox().unwrap();
        let given = |limit, bytes| outbox.next_within(&|seq| seq == 1, limit, bytes).unwrap().len();
        assert_eq!(
            [given(9, 0), given(9, 1), given(9, 100), given(9, 101), given(9, 999), given(2, 999)],
            [0, 1, 1, 2, 3, 2]
        );
    }
}
