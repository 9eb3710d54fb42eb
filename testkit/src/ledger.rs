//! Reads a daemon's journal, beside the running daemon: what became of every frame and every message.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags, Params, Row};

use crate::wait_until;

const FRAMES: &str = "SELECT lower(hex(frames.hash)), frames.name, reason, label, confidence, alert, head FROM frames";

/// A view of the journal in one state directory.
#[derive(Debug, Clone)]
pub struct Ledger {
    file: PathBuf,
}

/// What became of one content.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameEntry {
    /// sha256 of the content, hex.
    pub hash: String,
    /// Path below the capture directory under which it was first seen.
    pub name: String,
    /// Why it could not be classified; none if it was.
    pub failed: Option<String>,
    /// The verdict.
    pub label: Option<String>,
    /// Its probability.
    pub confidence: Option<f32>,
    /// Whether it alerted.
    pub alert: bool,
    /// Name and version of the head that decided.
    pub head: Option<String>,
}

/// A step that a head took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadStep {
    /// Which step, as the trap says it on `head/state`.
    pub step: String,
    /// sha256 of the head's manifest, hex; none for a head that was not pushed.
    pub manifest: Option<String>,
    /// Name and version.
    pub head: String,
    /// Its sequence.
    pub sequence: u64,
    /// Why, where there is something to say.
    pub reason: Option<String>,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageEntry {
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: String,
    /// `queued`, `acked` or `dropped`.
    pub state: String,
}

impl Ledger {
    /// The journal in `state_directory`, which need not exist yet.
    pub fn new(state_directory: &Path) -> Self {
        Self { file: state_directory.join("journal.sqlite") }
    }

    /// All contents, by name; none if there is no journal yet.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn frames(&self) -> Result<Vec<FrameEntry>> {
        self.rows(&format!("{FRAMES} ORDER BY frames.name"), [], frame)
    }

    /// Names of all files that were dealt with, copies of known contents included.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn files(&self) -> Result<Vec<String>> {
        self.rows("SELECT name FROM files ORDER BY name", [], |row| row.get(0))
    }

    /// All messages, in the order of their numbers.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn messages(&self) -> Result<Vec<MessageEntry>> {
        self.rows("SELECT seq, id, state FROM messages ORDER BY seq", [], |row| {
            Ok(MessageEntry { seq: row.get::<_, i64>(0)? as u64, id: row.get(1)?, state: row.get(2)? })
        })
    }

    /// The steps that heads took, the first first.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn heads(&self) -> Result<Vec<HeadStep>> {
        let query = "SELECT step, manifest, name || ' ' || version, sequence, reason FROM heads ORDER BY id";
        self.rows(query, [], |row| {
            Ok(HeadStep {
                step: row.get(0)?,
                manifest: row.get(1)?,
                head: row.get(2)?,
                sequence: row.get::<_, i64>(3)? as u64,
                reason: row.get(4)?,
            })
        })
    }

    /// How many events are not over.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn open_events(&self) -> Result<usize> {
        Ok(self.rows("SELECT id FROM events WHERE open = 1", [], |row| row.get::<_, String>(0))?.len())
    }

    /// The entry of the file `name`, once the daemon has dealt with it; none if it has not within `limit`. For a copy, that
    /// of the content it is a copy of.
    pub fn wait_frame(&self, name: &str, limit: Duration) -> Option<FrameEntry> {
        wait_until(limit, || self.frame(name).ok().flatten())
    }

    /// The entry of the file `name`, if the daemon has dealt with it.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn frame(&self, name: &str) -> Result<Option<FrameEntry>> {
        let query = format!("{FRAMES} JOIN files ON files.frame = frames.id WHERE files.name = ?1");
        Ok(self.rows(&query, [name], frame)?.pop())
    }

    fn rows<T>(&self, query: &str, params: impl Params, read: impl Fn(&Row) -> rusqlite::Result<T>) -> Result<Vec<T>> {
        if !self.file.exists() {
            return Ok(Vec::new());
        }
        let run = || -> rusqlite::Result<Vec<T>> {
            // Not read-only: a reader of a write-ahead log takes part in its locking.
            let db = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            db.busy_timeout(Duration::from_secs(10))?;
            // The daemon makes its tables in one transaction, so this one tells of all.
            let ready: bool =
                db.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'frames'", [], |row| row.get(0))?;
            if !ready {
                return Ok(Vec::new());
            }
            let mut statement = db.prepare(query)?;
            statement.query_map(params, |row| read(row))?.collect()
        };
        run().with_context(|| format!("journal {}", self.file.display()))
    }
}

fn frame(row: &Row) -> rusqlite::Result<FrameEntry> {
    Ok(FrameEntry {
        hash: row.get(0)?,
        name: row.get(1)?,
        failed: row.get(2)?,
        label: row.get(3)?,
        confidence: row.get(4)?,
        alert: row.get(5)?,
        head: row.get(6)?,
    })
}
