//! What may leave the capture directory, as far as the journal can tell.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::JournalError;
use super::age::{self, Age};
use crate::detection::{Kind, message_id};
use crate::frame::ContentHash;

/// A file whose frame was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoneFile {
    /// Path below the capture directory.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Of its content.
    pub hash: ContentHash,
    /// When it was noted, in seconds of the journal's age.
    pub noted: u64,
    /// The event of an alerting frame; none where an older version looked at it.
    event: Option<String>,
}

/// Events of which something has not arrived, or may still come.
#[derive(Debug)]
pub struct Unfinished {
    events: HashSet<String>,
    any: bool,
}

/// The door of those who make room.
pub struct DoneFiles {
    db: Connection,
    file: PathBuf,
    age: Arc<Age>,
}

impl DoneFiles {
    pub(super) fn new(db: Connection, file: PathBuf, age: Arc<Age>) -> Self {
        Self { db, file, age }
    }

    /// The journal's age in seconds, which no clock can turn forward.
    pub fn age(&self) -> u64 {
        self.age.now()
    }

    /// Files on `device`, noted up to `noted`, of frames that alerted or of those that did not, the oldest first, behind
    /// `after`; at most `limit`. Never a file that could not be looked at, nor one whose message was dropped.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn oldest(
        &self,
        device: u64,
        alert: bool,
        noted: u64,
        after: Option<&DoneFile>,
        limit: usize,
    ) -> Result<Vec<DoneFile>, JournalError> {
        let query = || -> rusqlite::Result<Vec<DoneFile>> {
            let (last, name) = after.map_or((i64::MIN, ""), |file| (file.noted as i64, file.name.as_str()));
            self.db
                .prepare_cached(
                    "SELECT files.name, size, frames.hash, coalesce(noted, 0) AS since, event
                     FROM files JOIN frames ON frames.id = files.frame
                     WHERE device = ?1 AND since <= ?3 AND (since, files.name) > (?4, ?5) AND state = 'done' AND alert = ?2
                     ORDER BY since, files.name LIMIT ?6",
                )?
                .query_map(params![device as i64, alert, noted as i64, last, name, limit as i64], done_file)?
                .collect()
        };
        query().map_err(|reason| self.wrong(reason))
    }

    /// Which events are open, or have a message that was not acknowledged.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn unfinished(&self) -> Result<Unfinished, JournalError> {
        let query = || -> rusqlite::Result<Unfinished> {
            let mut statement = self.db.prepare_cached(
                "SELECT id FROM events WHERE open = 1
                 UNION SELECT json_extract(CAST(body AS TEXT), '$.event.id') FROM messages WHERE state = 'queued'",
            )?;
            let found: Vec<Option<String>> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(Unfinished { any: !found.is_empty(), events: found.into_iter().flatten().collect() })
        };
        query().map_err(|reason| self.wrong(reason))
    }

    /// Whether all that was to be said of an alerting frame, or of its event, has arrived. A message that was dropped has not:
    /// the frame is all that is left of it.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn is_told(&self, trap: &str, file: &DoneFile, unfinished: &Unfinished) -> Result<bool, JournalError> {
        let of_event = match &file.event {
            Some(event) => unfinished.events.contains(event),
            None => unfinished.any,
        };
        if of_event {
            return Ok(false);
        }
        let state: Option<String> = self
            .db
            .prepare_cached("SELECT state FROM messages WHERE id = ?1")
            .and_then(|mut query| {
                let id = message_id(trap, &file.hash.to_string(), Kind::Detection);
                query.query_row([id], |row| row.get(0)).optional()
            })
            .map_err(|reason| self.wrong(reason))?;
        Ok(state.is_none_or(|state| state == "acked"))
    }

    /// Forgets that these files are there. Their frames stay known: a file that is put back is no new frame.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn forget(&mut self, files: &[DoneFile]) -> Result<(), JournalError> {
        let mut write = || -> rusqlite::Result<()> {
            let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for file in files {
                // Not if the name was given to another content meanwhile.
                transaction
                    .prepare_cached(
                        "DELETE FROM files WHERE name = ?1 AND ?2 = (SELECT hash FROM frames WHERE id = files.frame)",
                    )?
                    .execute(params![file.name, file.hash.as_bytes()])?;
            }
            let saved = self.age.save(&transaction, age::EVERY)?;
            transaction.commit()?;
            self.age.saved(saved);
            Ok(())
        };
        write().map_err(|reason| JournalError::Database { file: self.file.clone(), reason })
    }

    fn wrong(&self, reason: rusqlite::Error) -> JournalError {
        JournalError::Database { file: self.file.clone(), reason }
    }
}

fn done_file(row: &Row) -> rusqlite::Result<DoneFile> {
    Ok(DoneFile {
        name: row.get(0)?,
        size: row.get::<_, i64>(1)? as u64,
        hash: row.get::<_, [u8; 32]>(2)?.into(),
        noted: row.get::<_, i64>(3)? as u64,
        event: row.get(4)?,
    })
}

#[cfg(test)]
#[path = "done_tests.rs"]
mod tests;
