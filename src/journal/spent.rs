//! What was spent on pictures on the day of the last one. A row of `meta`, so that a restart does not begin anew; a journal
//! that was lost does.

use rusqlite::{Connection, OptionalExtension};

use super::{JournalError, Outbox, Transaction};

const KEY: &str = "pictures";

/// Notes `bytes` spent on `day`, unless that makes more than `most`; whether it was noted.
fn spend(db: &Connection, day: &str, bytes: u64, most: u64) -> rusqlite::Result<bool> {
    let told: Option<String> =
        db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([KEY], |row| row.get(0)).optional()?;
    let so_far = told.as_deref().and_then(|told| told.split_once(' ')).filter(|(of, _)| *of == day);
    let spent = so_far.and_then(|(_, spent)| spent.parse::<u64>().ok()).unwrap_or(0).saturating_add(bytes);
    if spent > most {
        return Ok(false);
    }
    db.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute([KEY, &format!("{day} {spent}")])?;
    Ok(true)
}

impl Transaction<'_> {
    /// Notes `bytes` of pictures spent on `day`, unless that makes more than `most`; whether it was noted.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn spend(&mut self, day: &str, bytes: u64, most: u64) -> Result<bool, JournalError> {
        spend(&self.inner, day, bytes, most).map_err(|reason| self.wrong(reason))
    }
}

impl Outbox {
    /// As [`Transaction::spend`].
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn spend(&mut self, day: &str, bytes: u64, most: u64) -> Result<bool, JournalError> {
        let work = |db: &mut Connection| -> rusqlite::Result<bool> {
            let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let granted = spend(&transaction, day, bytes, most)?;
            transaction.commit()?;
            Ok(granted)
        };
        work(&mut self.db).map_err(|reason| self.wrong(reason))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::journal::Journal;

    #[test]
    fn a_days_bytes_are_counted_once_by_both_doors_and_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path(), 100).unwrap();
        assert!(journal.transaction(|it| it.spend("2026-11-28", 600, 1_000)).unwrap());
        let mut outbox = journal.outbox().unwrap();
        assert!(!outbox.spend("2026-11-28", 401, 1_000).unwrap());
        assert!(outbox.spend("2026-11-28", 400, 1_000).unwrap(), "what was refused is not counted");
        drop((journal, outbox));
        let mut journal = Journal::open(directory.path(), 100).unwrap();
        assert!(!journal.transaction(|it| it.spend("2026-11-28", 1, 1_000)).unwrap());
        assert!(journal.transaction(|it| it.spend("2026-11-29", 1_000, 1_000)).unwrap(), "another day");
        assert!(!journal.outbox().unwrap().spend("2026-11-30", 1_001, 1_000).unwrap());
    }

    #[test]
    fn a_count_that_cannot_be_read_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path(), 100).unwrap();
        for value in ["", "2026-11-28", "2026-11-28 many", "2026-11-28 -5"] {
            let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES ('pictures', ?1)";
            journal.transaction(|it| Ok(it.inner.execute(sql, [value]))).unwrap().unwrap();
            assert!(journal.transaction(|it| it.spend("2026-11-28", 1_000, 1_000)).unwrap(), "{value:?}");
        }
    }
}
