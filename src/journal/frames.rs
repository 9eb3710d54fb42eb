//! Which files were dealt with: the watcher's fast path.

use rusqlite::{Connection, OptionalExtension, params};

use super::held::HeldNames;
use crate::watch::{Seen, Stamp};

/// Answers by name and stamp; a wrong "no" costs reading the file once more, its content then tells.
pub struct SeenFiles {
    db: Connection,
    held: HeldNames,
}

impl SeenFiles {
    pub(super) fn new(db: Connection, held: HeldNames) -> Self {
        Self { db, held }
    }
}

impl Seen for SeenFiles {
    fn is_seen(&mut self, name: &str, stamp: &Stamp) -> bool {
        // First: what waits no more is on disk by then.
        if self.held.hold(name, stamp) {
            return true;
        }
        let known = self.db.prepare_cached(
            "SELECT 1 FROM files WHERE name = ?1 AND size = ?2 AND mtime = ?3 AND inode = ?4 AND device = ?5",
        );
        let found = known.and_then(|mut query| {
            let key = params![name, stamp.size as i64, stamp.mtime_ns, stamp.inode as i64, stamp.device as i64];
            query.query_row(key, |_| Ok(())).optional()
        });
        match found {
            Ok(found) => found.is_some(),
            Err(error) => {
                tracing::warn!(%error, name, "the journal can't be asked; the file will be read to see");
                false
            }
        }
    }
}
