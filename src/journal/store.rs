//! The tables, and how a connection is opened: write-ahead log, synced at each commit.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::JournalError;

/// Format of the tables, kept in `user_version`.
pub(super) const FORMAT: i64 = STEPS.len() as i64;

/// The last one in which a frame has no number, and others name it by its hash.
pub(super) const BY_HASH: i64 = 3;

/// A format beyond this is a damaged number, not a later version's.
const MOST_FORMATS: i64 = 1000;

// How a journal of one format becomes one of the next; a new journal goes through all of them. Never changed once released.
const STEPS: [&str; 4] = [TABLES, HEADS, RETENTION, APPENDED];

// `files` is the fast path (name and stamp), `frames` the identity (content). A message stays in `messages` after its
// acknowledgement, without its body: the ledger that shows nothing was lost.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE frames (
    hash BLOB PRIMARY KEY, name TEXT NOT NULL, camera TEXT, captured_at INTEGER,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')), reason TEXT,
    label TEXT, confidence REAL, alert INTEGER NOT NULL DEFAULT 0, head TEXT, processed_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE files (
    name TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime INTEGER NOT NULL, inode INTEGER NOT NULL,
    device INTEGER NOT NULL, hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    id TEXT PRIMARY KEY, camera TEXT NOT NULL, label TEXT NOT NULL, first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL, frames INTEGER NOT NULL, best_confidence REAL NOT NULL, best TEXT NOT NULL,
    last_hash TEXT NOT NULL, replayed INTEGER NOT NULL, open INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_place ON events (camera, label, last_at);
CREATE INDEX events_open ON events (open) WHERE open = 1;
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, priority INTEGER NOT NULL, topic TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'acked', 'dropped')), body BLOB
) STRICT;
CREATE INDEX messages_queued ON messages (priority DESC, seq) WHERE state = 'queued';
CREATE TABLE gaps (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, reason TEXT NOT NULL) STRICT;
INSERT INTO meta (key, value) VALUES ('epoch', lower(hex(randomblob(8))));
";

// The trail of heads that came; features of frames, and what somebody says is on them (`truth`).
const HEADS: &str = "
CREATE TABLE heads (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, step TEXT NOT NULL, manifest TEXT, name TEXT NOT NULL,
    version TEXT NOT NULL, sequence INTEGER NOT NULL, key TEXT, origin TEXT NOT NULL, reason TEXT
) STRICT;
CREATE TABLE features (
    id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, backbone TEXT NOT NULL, low REAL NOT NULL, step REAL NOT NULL,
    levels BLOB NOT NULL, alert INTEGER NOT NULL, novel INTEGER, margin REAL NOT NULL, truth TEXT
) STRICT;
CREATE INDEX features_unlabelled ON features (id) WHERE truth IS NULL;
CREATE INDEX features_labelled ON features (truth) WHERE truth IS NOT NULL;
";

// When a file was noted, on the clock of `age.rs`, and which event an alerting frame is of: how long it has to stay.
const RETENTION: &str = "
ALTER TABLE files ADD COLUMN noted INTEGER;
ALTER TABLE frames ADD COLUMN event TEXT;
";

// A frame has a number, by which the others name it; `by_content.rs` says how it is found by its hash. What is done with goes
// before the next is made, which takes its room.
const APPENDED: &str = "
CREATE TABLE numbered (
    id INTEGER PRIMARY KEY, hash BLOB NOT NULL, name TEXT NOT NULL, camera TEXT, captured_at INTEGER,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')), reason TEXT,
    label TEXT, confidence REAL, alert INTEGER NOT NULL DEFAULT 0, head TEXT, processed_at TEXT NOT NULL, event TEXT
) STRICT;
INSERT INTO numbered (hash, name, camera, captured_at, state, reason, label, confidence, alert, head, processed_at, event)
    SELECT hash, name, camera, captured_at, state, reason, label, confidence, alert, head, processed_at, event
    FROM frames ORDER BY processed_at;
CREATE UNIQUE INDEX numbered_by_hash ON numbered (hash);
ALTER TABLE features ADD COLUMN frame INTEGER;
UPDATE features SET frame = (SELECT id FROM numbered WHERE numbered.hash = features.hash);
DROP TABLE frames;
CREATE TABLE named (
    name TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime INTEGER NOT NULL, inode INTEGER NOT NULL,
    device INTEGER NOT NULL, frame INTEGER NOT NULL, noted INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO named SELECT files.name, size, mtime, inode, device, numbered.id, noted FROM files JOIN numbered USING (hash)
    ORDER BY files.name;
DROP INDEX numbered_by_hash;
DROP TABLE files;
ALTER TABLE numbered RENAME TO frames;
ALTER TABLE named RENAME TO files;
CREATE TABLE known (key BLOB NOT NULL, frame INTEGER NOT NULL, PRIMARY KEY (key, frame)) STRICT, WITHOUT ROWID;
";

/// Opens the journal, making its tables if it is new or of an older format; returns its epoch too.
pub(super) fn create(file: &Path) -> Result<(Connection, String), JournalError> {
    let mut db = open(file)?;
    let wrong = |reason| JournalError::Database { file: file.to_owned(), reason };
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(wrong)?;
    if !(0..=MOST_FORMATS).contains(&found) {
        return Err(JournalError::Damaged { file: file.to_owned(), text: format!("format {found}") });
    }
    if found > FORMAT {
        return Err(JournalError::Newer { file: file.to_owned(), found, known: FORMAT });
    }
    if found < FORMAT {
        has_room(file)?;
        upgrade(&mut db, FORMAT).map_err(wrong)?;
    }
    let epoch: Option<String> =
        db.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0)).optional().map_err(wrong)?;
    let missing = || JournalError::Damaged { file: file.to_owned(), text: "it has no epoch".into() };
    Ok((db, epoch.ok_or_else(missing)?))
}

/// Whether there is room for the new rows beside the old ones, in the log, and for sorting them (2 times the file's size was used
/// for a million frames). Begun without it, an upgrade is undone when the disk is full, and wears the flash again at each start.
fn has_room(file: &Path) -> Result<(), JournalError> {
    let needed = fs::metadata(file).map_or(0, |it| it.len()).saturating_mul(3);
    let free = rustix::fs::statvfs(file).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    match free {
        Ok(free) if free < needed => Err(JournalError::NoRoom { file: file.to_owned(), mib: needed.div_ceil(1 << 20) }),
        _ => Ok(()),
    }
}

/// Opens a file that is not there yet, with the tables of this format.
pub(super) fn empty(file: &Path, format: i64) -> Result<Connection, JournalError> {
    let mut db = open(file)?;
    upgrade(&mut db, format).map_err(|reason| JournalError::Database { file: file.to_owned(), reason })?;
    Ok(db)
}

/// Makes the tables those of this format, all or none, and brings all frames into their index.
pub(super) fn upgrade(db: &mut Connection, format: i64) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (step, _) in STEPS.iter().zip(1..=format).skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    if format > BY_HASH {
        transaction.execute_batch(super::by_content::INDEX)?;
    }
    transaction.pragma_update(None, "user_version", format)?;
    transaction.commit()
}

/// A further connection to an existing journal.
pub(super) fn open(file: &Path) -> Result<Connection, JournalError> {
    let prepare = || -> rusqlite::Result<Connection> {
        let db = Connection::open(file)?;
        // Waits for another connection's commit instead of failing.
        db.busy_timeout(Duration::from_secs(30))?;
        // For a new journal. A frame changes a few hundred bytes in two or three places, and each place costs a page of log and
        // one of the file: of small pages less is written.
        db.pragma_update(None, "page_size", 1024)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // The log goes into the file when it has 4 MiB, so that pages changed again meanwhile are written once.
        db.pragma_update(None, "wal_autocheckpoint", 4000)?;
        // What a new format, or a journal that is too large, makes of it is not kept.
        db.pragma_update(None, "journal_size_limit", 8 << 20)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "cache_size", -1024)?;
        Ok(db)
    };
    prepare().map_err(|reason| JournalError::Database { file: file.to_owned(), reason })
}
