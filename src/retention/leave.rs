//! One file: whether it is the one that was looked at, and away with it.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, statat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::carry::Archive;
use crate::frame::ContentHash;
use crate::journal::DoneFile;
use crate::watch::names;

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It is away; whether that made room.
    Away { freed: u64 },
    /// It was not there any more.
    Gone,
    /// It is another file than the one that was looked at, or no frame, or lies where another file system is mounted: not ours
    /// to touch.
    Other,
    /// Somebody still writes it, or it has a second name and so makes no room.
    Later,
}

/// How a file leaves.
pub(super) struct Way<'a> {
    /// None: it is deleted.
    pub archive: Option<&'a Archive>,
    /// Only what makes room.
    pub for_room: bool,
}

/// Takes `file` out of the capture directory `root`, if its content is what was looked at.
///
/// # Errors
/// Those of the system; the file is where it was then.
pub(super) fn leave(root: impl AsFd, device: u64, file: &DoneFile, way: &Way) -> io::Result<Left> {
    let path = Path::new(&file.name);
    let Some(name) = path.file_name().filter(|name| is_frame(path, name)) else { return Ok(Left::Other) };
    let opened = below(&root, path.parent().unwrap_or(Path::new(""))).and_then(|folder| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok((File::from(openat(&folder, name, flags, Mode::empty())?), folder))
    });
    let (mut content, folder) = match opened {
        Ok(opened) => opened,
        // Or a name that is no text, of which the journal knows only what can be read.
        Err(error) if error.kind() == ErrorKind::NotFound && file.name.contains(char::REPLACEMENT_CHARACTER) => {
            return Ok(Left::Other);
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Left::Gone),
        // A link where the frame was.
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => return Ok(Left::Other),
        Err(error) => return Err(error),
    };
    let before = content.metadata()?;
    if !before.is_file() || before.dev() != device || before.len() != file.size {
        return Ok(Left::Other);
    }
    if way.for_room && before.nlink() > 1 {
        return Ok(Left::Later);
    }
    if hash(&mut content)? != file.hash {
        return Ok(Left::Other);
    }
    // Nothing was written while it was read, and the name is still this file's.
    if !is_still(&folder, name, &before)? {
        return Ok(Left::Later);
    }
    match way.archive {
        None => unlinkat(&folder, name, AtFlags::empty())?,
        Some(archive) if archive.take(&folder, path, &mut content, &before, &file.hash)? => {}
        Some(_) => return Ok(Left::Later),
    }
    let freed = if before.nlink() > 1 { 0 } else { before.len() };
    Ok(Left::Away { freed })
}

/// Whether `name` is still the file with the metadata `before`, unchanged. A name that nobody has any more is not.
pub(super) fn is_still(folder: impl AsFd, name: &OsStr, before: &Metadata) -> io::Result<bool> {
    let now = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        now => now?,
    };
    Ok((now.st_ino, now.st_dev, now.st_size as u64) == (before.ino(), before.dev(), before.len())
        && (now.st_mtime, now.st_ctime) == (before.mtime(), before.ctime())
        && (now.st_mtime_nsec as i64, now.st_ctime_nsec as i64) == (before.mtime_nsec(), before.ctime_nsec()))
}

/// Whether the watch would take `path` for a frame.
fn is_frame(path: &Path, name: &OsStr) -> bool {
    names::kind(name) == names::Kind::Frame && names::is_inside(Path::new(""), path)
}

/// The folder at `path` below `root`; no link is followed on the way.
pub(super) fn below(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = openat(root, ".", flags, Mode::empty())?;
    for part in path.components() {
        let Component::Normal(name) = part else { return Err(ErrorKind::InvalidInput.into()) };
        folder = openat(&folder, name, flags, Mode::empty())?;
    }
    Ok(folder)
}

/// The device that an open directory is on.
pub(super) fn device(directory: impl AsFd) -> io::Result<u64> {
    Ok(fstat(directory)?.st_dev)
}

pub(super) fn hash(content: &mut impl Read) -> io::Result<ContentHash> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match content.read(&mut piece) {
            Ok(0) => return Ok(<[u8; 32]>::from(hasher.finalize()).into()),
            Ok(read) => hasher.update(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
