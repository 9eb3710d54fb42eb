//! A frame's file, read whole and once.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use time::OffsetDateTime;

use crate::frame::ContentHash;
use crate::watch::Stamp;

/// A file's content and what the system says of it.
pub struct FileRead {
    /// The whole file, or one byte more than is allowed.
    pub bytes: Vec<u8>,
    /// Of [`FileRead::bytes`]: of the whole file, unless it is larger than allowed and so no frame.
    pub hash: ContentHash,
    /// As of the open file.
    pub stamp: Stamp,
    /// Modification time.
    pub modified: OffsetDateTime,
}

/// Reads one regular file.
///
/// # Errors
/// Those of the system; a FIFO or device is refused without blocking on it.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<FileRead> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::with_capacity(metadata.len().min(max_bytes) as usize);
    // One byte more than allowed, so that the decoder refuses it by its size.
    (&mut file).take(max_bytes + 1).read_to_end(&mut bytes)?;
    let hash = ContentHash::of(&bytes);
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(FileRead { bytes, hash, stamp: Stamp::from(&file.metadata()?), modified: utc(modified) })
}

/// A system time as a calendar date; one beyond the calendar becomes 1970.
pub(crate) fn utc(time: SystemTime) -> OffsetDateTime {
    let nanoseconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// The camera that wrote a file of this name: its first sub-folder.
pub(crate) fn camera(name: &str) -> Option<&str> {
    name.split_once('/').map(|(camera, _)| camera)
}
