//! A file that may be a new frame, and how to tell cheaply that it is not.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a look at a file tells without opening it. The fast path only: a frame's identity is its content, since a
/// re-inserted card changes device and inode, and FAT times are coarse and shift with the time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970 (saturating: a damaged card may claim any year).
    pub mtime_ns: i64,
    /// Inode number.
    pub inode: u64,
    /// Device number.
    pub device: u64,
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        let mtime_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { size: metadata.len(), mtime_ns, inode: metadata.ino(), device: metadata.dev() }
    }
}

/// A settled file, ready to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Absolute; open this.
    pub path: PathBuf,
    /// Relative to the capture directory, `/`-separated; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// As last looked at; the file may have changed since, and then comes again.
    pub stamp: Stamp,
    /// Just arrived, as opposed to found when the watch began or the capture directory came back.
    pub live: bool,
}

/// Which files were dealt with before; the journal knows. Must be true for a file before [`super::Queue::done`] is
/// called for it, or the next scan offers it again.
pub trait Seen: Send + 'static {
    /// Whether the file of this name was dealt with when it had this stamp. An answer of true is remembered for a
    /// while.
    fn is_seen(&mut self, name: &str, stamp: &Stamp) -> bool;
}

/// The name of a file in reports and in the journal.
pub(crate) fn relative_name(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}
