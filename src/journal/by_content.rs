//! Finding a frame by its content, for little flash: rows are appended, so those of one time share pages, and only a short index
//! over them is in the order of their hashes, where each entry falls on another page.
//!
//! An index written entry by entry would cost a page for each. So the latest frames are found in memory, read anew at each start,
//! and every [`MOST`] of them go into the index together, when each of its pages takes many.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Journal, JournalError};
use crate::frame::ContentHash;

/// So many frames are found in memory (half a megabyte), and those of one transaction.
pub(super) const MOST: usize = 8192;
/// Where the index can't be written it is tried again after so many more.
const LATER: usize = 1024;

/// Frames up to the number that `meta` has under `indexed` are in `known`, by the first four bytes of their hash: a few have those
/// in common, so what is found is compared whole.
pub(super) const INDEX: &str = "
INSERT OR IGNORE INTO known SELECT substr(hash, 1, 4), id FROM frames
    WHERE id > (SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE key = 'indexed') ORDER BY 1, 2;
INSERT OR REPLACE INTO meta SELECT 'indexed', max(id) FROM frames HAVING count(*) > 0;
";

/// Numbers of the frames that are not in the index yet.
#[derive(Debug, Default)]
pub(super) struct ByContent {
    latest: HashMap<ContentHash, i64>,
    // So many more than usual are awaited, since there was no room for the index.
    more: usize,
}

impl ByContent {
    /// Reads the latest frames.
    pub fn load(db: &Connection) -> rusqlite::Result<Self> {
        let mut rows = db.prepare(
            "SELECT hash, id FROM frames
             WHERE id > (SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE key = 'indexed')",
        )?;
        let latest = rows.query_map([], |row| Ok((row.get::<_, [u8; 32]>(0)?.into(), row.get(1)?)))?;
        Ok(Self { latest: latest.collect::<rusqlite::Result<_>>()?, more: 0 })
    }

    /// The number of the frame with this content.
    pub fn find(&self, db: &Connection, hash: &ContentHash) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.latest.get(hash) {
            return Ok(Some(*id));
        }
        db.prepare_cached(
            "SELECT frames.id FROM known JOIN frames ON frames.id = known.frame
             WHERE known.key = substr(?1, 1, 4) AND frames.hash = ?1",
        )?
        .query_row(params![hash.as_bytes()], |row| row.get(0))
        .optional()
    }

    /// Whether it is time for [`INDEX`].
    pub fn is_full(&self) -> bool {
        self.latest.len() >= MOST + self.more
    }

    /// [`INDEX`] has run, and is on disk.
    pub fn indexed(&mut self) {
        *self = Self::default();
    }

    /// [`INDEX`] could not be written.
    pub fn put_off(&mut self) {
        self.more = (self.latest.len() + LATER).saturating_sub(MOST);
    }

    /// These are on disk now.
    pub fn add(&mut self, frames: HashMap<ContentHash, i64>) {
        self.latest.extend(frames);
    }
}

impl Journal {
    /// By itself: it takes megabytes, and what somebody is to be told finds room on a disk that has no more than a little.
    pub(super) fn index(&mut self) -> Result<(), JournalError> {
        match self.write(true, |_| Ok(())) {
            Err(error) if error.is_damage() => Err(error),
            Err(error) => {
                tracing::debug!("{error}; frames are put into the index later");
                // Not at once: what is tried wears the flash.
                self.by_content.put_off();
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "by_content_tests.rs"]
mod tests;
