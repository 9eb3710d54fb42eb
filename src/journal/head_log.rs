//! Which heads came, how far, and why not further: the trail that a person reads when a trap judges otherwise than before.

use std::path::PathBuf;

use rusqlite::{Connection, Row, TransactionBehavior, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::JournalError;

/// So many entries are kept. A head leaves about ten, so these are the last hundred heads, and a sender that goes mad fills
/// no disk.
pub(super) const KEPT: u32 = 1000;

/// One step of one head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HeadEntry {
    /// RFC 3339, the trap's clock.
    pub at: String,
    /// The step in a word, as `state` on `head/state`.
    pub step: String,
    /// sha256 of the head's manifest, hex; none for one that did not come as a signed bundle.
    pub manifest: Option<String>,
    /// The head's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its sequence.
    pub sequence: u64,
    /// Id of the key that signed it, 16 hexadecimal digits.
    pub key: Option<String>,
    /// Where it came from, as on `head/state`.
    pub origin: String,
    /// Why, where there is something to say.
    pub reason: Option<String>,
}

/// The acceptor's door.
pub struct HeadLog {
    db: Connection,
    file: PathBuf,
}

impl HeadLog {
    pub(super) fn new(db: Connection, file: PathBuf) -> Self {
        Self { db, file }
    }

    /// Writes an entry behind the others; returns once it is on disk. The oldest over 1,000 go.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn append(&mut self, entry: &HeadEntry) -> Result<(), JournalError> {
        let mut write = || -> rusqlite::Result<()> {
            let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction
                .prepare_cached(
                    "INSERT INTO heads (at, step, manifest, name, version, sequence, key, origin, reason)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(params![
                    entry.at,
                    entry.step,
                    entry.manifest,
                    entry.name,
                    entry.version,
                    entry.sequence as i64,
                    entry.key,
                    entry.origin,
                    entry.reason
                ])?;
            transaction
                .prepare_cached("DELETE FROM heads WHERE id <= (SELECT max(id) FROM heads) - ?1")?
                .execute([KEPT])?;
            transaction.commit()
        };
        write().map_err(|reason| JournalError::Database { file: self.file.clone(), reason })
    }

    /// At most `limit` entries, the latest first.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn latest(&self, limit: u32) -> Result<Vec<HeadEntry>, JournalError> {
        let query = || -> rusqlite::Result<Vec<HeadEntry>> {
            self.db
                .prepare_cached(
                    "SELECT at, step, manifest, name, version, sequence, key, origin, reason FROM heads
                     ORDER BY id DESC LIMIT ?1",
                )?
                .query_map([limit], entry)?
                .collect()
        };
        query().map_err(|reason| JournalError::Database { file: self.file.clone(), reason })
    }
}

fn entry(row: &Row) -> rusqlite::Result<HeadEntry> {
    Ok(HeadEntry {
        at: row.get("at")?,
        step: row.get("step")?,
        manifest: row.get("manifest")?,
        name: row.get("name")?,
        version: row.get("version")?,
        sequence: row.get::<_, i64>("sequence")? as u64,
        key: row.get("key")?,
        origin: row.get("origin")?,
        reason: row.get("reason")?,
    })
}
