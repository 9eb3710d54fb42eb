//! The journal's size is bounded: what is oldest goes.

use super::{Journal, JournalError};

impl Journal {
    /// If the journal holds more than `bytes`, lets go of the tenth of the frames, and of the events that are over, that were
    /// noted first. One tenth a call: where messages or features fill the journal, no number of frames makes room, and all of
    /// them would be looked at again. The room is used again; the file does not become smaller. How many frames went: one
    /// that is still there, or comes again, is new then.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn trim(&mut self, bytes: u64) -> Result<u64, JournalError> {
        if self.used().map_err(|reason| self.wrong(reason))? <= bytes {
            return Ok(0);
        }
        // With the index: nothing that goes is to be found in memory.
        self.write(true, |transaction| {
            let run = || -> rusqlite::Result<u64> {
                let db = &transaction.inner;
                // Never all: the next one would have a number again that others know.
                let last: Option<i64> = db.query_row(
                    "SELECT max(id) FROM (SELECT id FROM frames ORDER BY id LIMIT (SELECT (count(*) + 9) / 10 FROM frames))
                     WHERE id < (SELECT max(id) FROM frames)",
                    [],
                    |row| row.get(0),
                )?;
                let frames = db.execute("DELETE FROM frames WHERE id <= ?1", [last])?;
                // A file whose frame is forgotten has to be read again.
                for table in ["files", "known"] {
                    db.execute(&format!("DELETE FROM {table} WHERE frame <= ?1"), [last])?;
                }
                db.execute(
                    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE open = 0 ORDER BY last_at
                     LIMIT (SELECT (count(*) + 9) / 10 FROM events))",
                    [],
                )?;
                Ok(frames as u64)
            };
            run().map_err(|reason| transaction.wrong(reason))
        })
    }

    /// Bytes of pages that hold something.
    fn used(&self) -> rusqlite::Result<u64> {
        let number = |pragma: &str| self.db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let pages = number("page_count")? - number("freelist_count")?;
        Ok((pages * number("page_size")?).max(0) as u64)
    }
}
