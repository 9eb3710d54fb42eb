//! Why the journal failed, and what to do about it.

use std::path::PathBuf;

/// Why the journal failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory can't be made, or used.
    #[error("state directory {}: {reason}; create it, with all that is in it this user's own, or change state.directory", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// SQLite failed.
    #[error("journal {}: {reason}{}", file.display(), advice(reason))]
    Database {
        /// The journal.
        file: PathBuf,
        /// SQLite's error.
        reason: rusqlite::Error,
    },
    /// Another process has it.
    #[error("journal {}: another arcticd is running on it; stop that one or give this trap its own state.directory", file.display())]
    InUse {
        /// The journal.
        file: PathBuf,
    },
    /// Written by a later version.
    #[error("journal {}: it has format {found}, this version writes {known}; install the newer arcticd again", file.display())]
    Newer {
        /// The journal.
        file: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Of an older format, and today's needs room that is not there.
    #[error("journal {}: an older arcticd wrote it, and to rewrite it takes up to {mib} MiB of free space; make room, then it starts by itself", file.display())]
    NoRoom {
        /// The journal.
        file: PathBuf,
        /// What has to be free.
        mib: u64,
    },
    /// Its pages contradict each other.
    #[error("journal {}: the file is damaged ({text})", file.display())]
    Damaged {
        /// The journal.
        file: PathBuf,
        /// What SQLite found.
        text: String,
    },
    /// A damaged journal can't be replaced.
    #[error("journal {}: it is damaged, and can't be replaced: {reason}; free some space, and make the directory writable", file.display())]
    Mend {
        /// The journal.
        file: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// A message that can't be written as JSON.
    #[error("a message can't be written: {0}")]
    Message(#[from] serde_json::Error),
}

impl JournalError {
    /// Whether the file itself is no good: trying again will not help, a new journal will.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Database { reason, .. } => damaged(reason),
            _ => false,
        }
    }
}

fn damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SystemIoFailure};
    use rusqlite::ffi::{SQLITE_IOERR_CORRUPTFS, SQLITE_IOERR_DATA, SQLITE_IOERR_READ, SQLITE_IOERR_SHORT_READ};
    // Other input and output errors are of a disk that is full or read-only, which pass.
    const UNREADABLE: [i32; 4] =
        [SQLITE_IOERR_READ, SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_CORRUPTFS, SQLITE_IOERR_DATA];
    match error.sqlite_error() {
        Some(code) => match code.code {
            DatabaseCorrupt | NotADatabase => true,
            SystemIoFailure => UNREADABLE.contains(&code.extended_code),
            _ => false,
        },
        // Values of another kind than this program writes.
        None => matches!(
            error,
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)
        ),
    }
}

fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "; free some space, the frame stays and is tried again",
        Some(rusqlite::ErrorCode::ReadOnly) => "; the file system is read-only",
        Some(rusqlite::ErrorCode::CannotOpen) => {
            "; the directory must be writable for the daemon, and 48 files may have to be open at once (LimitNOFILE)"
        }
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => "; the file is damaged",
        Some(rusqlite::ErrorCode::SystemIoFailure) => "; is the disk full or failing?",
        _ => "",
    }
}
