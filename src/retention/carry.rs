//! Moves a frame to the archive: it is there whole, and on disk, before it leaves where it was; nothing there is written over.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, linkat, mkdirat, open, openat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::leave::{below, device, hash, is_still};
use super::room::Room;
use crate::frame::ContentHash;

/// The directory that frames are moved to.
pub(super) struct Archive {
    folder: OwnedFd,
    path: PathBuf,
    device: u64,
    min_free: u64,
}

impl Archive {
    /// Opens it; it is not made, since a path that is not there may be a disk that is not mounted.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(path: &Path, min_free: u64) -> io::Result<Self> {
        let folder = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let device = device(&folder)?;
        Ok(Self { folder, path: path.to_owned(), device, min_free })
    }

    /// The file system that it is on.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Takes the file `path`, which lies in the open `folder` and is open as `content`, with this `metadata` and `hash`. False
    /// where another file came to its name meanwhile, which stays.
    ///
    /// # Errors
    /// Those of the system, and no room; the file is where it was then.
    pub fn take(
        &self,
        folder: &OwnedFd,
        path: &Path,
        content: &mut File,
        metadata: &Metadata,
        hash: &ContentHash,
    ) -> io::Result<bool> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let target = self.make(path.parent().unwrap_or(Path::new(""))).map_err(|error| self.wrong(&error))?;
        if self.device == metadata.dev() && device(&target)? == self.device {
            match self.name(&target, name, hash, &|new| rename_new(folder, name, &target, new)) {
                Ok(Named::Now) => return sync(&target).map(|()| true),
                Ok(Named::Before) => return unlink_same(folder, name, metadata),
                // The same file system, mounted at another place.
                Err(error) if error.kind() == ErrorKind::CrossesDevices => {}
                Err(error) => return Err(error),
            }
        }
        self.copy(folder, &target, name, content, metadata, hash).map_err(|error| self.wrong(&error))?;
        unlink_same(folder, name, metadata)
    }

    fn copy(
        &self,
        folder: &OwnedFd,
        target: &OwnedFd,
        name: &OsStr,
        content: &mut File,
        metadata: &Metadata,
        of: &ContentHash,
    ) -> io::Result<()> {
        let room = Room::at(target, self.min_free)?;
        if !room.takes(metadata.len()) {
            return Err(io::Error::new(ErrorKind::StorageFull, room.to_string()));
        }
        // One name a content: what a death left is written anew.
        let part = OsString::from(format!(".arcticd-{of}.part"));
        match unlink(target, &part) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut copy = File::from(openat(target, &part, flags, Mode::RUSR | Mode::WUSR)?);
        let mut whole = || {
            // One directory mounted at two places: the frame would be its own copy, and the only one.
            if statat(folder, &part, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                return Err(io::Error::other("it is the capture directory itself, by another way: choose another"));
            }
            content.seek(SeekFrom::Start(0))?;
            io::copy(content, &mut copy)?;
            // Some file systems have neither: the content is what counts.
            let _ = copy.set_permissions(Permissions::from_mode(metadata.permissions().mode() & 0o666));
            let _ = metadata.modified().and_then(|time| copy.set_modified(time));
            copy.sync_all()?;
            // It may have been written while it was copied.
            copy.seek(SeekFrom::Start(0))?;
            if hash(&mut copy)? != *of {
                return Err(io::Error::new(ErrorKind::InvalidData, "the copy is not what was looked at"));
            }
            self.name(target, name, of, &|new| rename_new(target, &part, target, new))
        };
        let named = whole();
        if !matches!(named, Ok(Named::Now)) {
            // Nothing is lost with it.
            let _ = unlink(target, &part);
        }
        named?;
        sync(target)
    }

    /// Gives the frame a name in `target` by `rename`, which fails where the name is taken: by another content, then it gets a
    /// name of its own; or by the same.
    fn name(
        &self,
        target: &OwnedFd,
        name: &OsStr,
        of: &ContentHash,
        rename: &dyn Fn(&OsStr) -> io::Result<()>,
    ) -> io::Result<Named> {
        for new in [name.to_owned(), longer(name, of)] {
            match rename(&new) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(Named::Now),
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            if let Ok(there) = openat(target, &new, flags, Mode::empty())
                && let mut there = File::from(there)
                && there.metadata().is_ok_and(|metadata| metadata.is_file())
                && hash(&mut there).is_ok_and(|hash| hash == *of)
            {
                // Or a power cut may leave neither.
                there.sync_all()?;
                sync(target)?;
                return Ok(Named::Before);
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, format!("{name:?} is there twice, with other contents")))
    }

    fn wrong(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("capture.retention_directory {}: {error}", self.path.display()))
    }

    /// The folder at `path` in the archive, made where it is not there; no link is followed.
    fn make(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut folder = below(&self.folder, Path::new(""))?;
        for part in path.components() {
            let Component::Normal(name) = part else { return Err(ErrorKind::InvalidInput.into()) };
            folder = match below(&folder, Path::new(name)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    match mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
                        Err(Errno::EXIST) | Ok(()) => {}
                        Err(error) => return Err(error.into()),
                    }
                    sync(&folder)?;
                    let made = below(&folder, Path::new(name))?;
                    // Whatever the daemon's mask: it is for people. Some file systems have no modes.
                    let _ = rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755));
                    made
                }
                opened => opened?,
            };
        }
        Ok(folder)
    }
}

/// Whether the frame was there already, left by a death in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Now,
    Before,
}

/// A name that no other content has: `IMG_1-0123abcd.jpg`.
fn longer(name: &OsStr, of: &ContentHash) -> OsString {
    let (name, of) = (Path::new(name), of.to_string());
    let mut new = name.file_stem().unwrap_or_default().to_owned();
    new.push(format!("-{}", &of[..16]));
    if let Some(ending) = name.extension() {
        new.push(".");
        new.push(ending);
    }
    new
}

/// Renames, but never over something.
fn rename_new(from: &OwnedFd, name: &OsStr, to: &OwnedFd, new: &OsStr) -> io::Result<()> {
    match renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        // Not every file system can; those that can't have links.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            linkat(from, name, to, new, AtFlags::empty())?;
            unlink(from, name)
        }
        done => Ok(done?),
    }
}

/// Unlinks the file that was looked at. A copy takes its time, in which the name may be given to a new frame.
fn unlink_same(folder: &OwnedFd, name: &OsStr, metadata: &Metadata) -> io::Result<bool> {
    let same = is_still(folder, name, metadata)?;
    if same {
        unlink(folder, name)?;
    }
    Ok(same)
}

fn unlink(folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
    Ok(unlinkat(folder, name, AtFlags::empty())?)
}

fn sync(folder: &OwnedFd) -> io::Result<()> {
    Ok(rustix::fs::fsync(folder)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct World {
        capture: tempfile::TempDir,
        archive: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let world = Self { capture: tempfile::tempdir().unwrap(), archive: tempfile::tempdir().unwrap() };
            std::fs::write(world.frame(), "frame").unwrap();
            world
        }

        fn frame(&self) -> PathBuf {
            self.capture.path().join("a.jpg")
        }

        /// Takes the frame into `archive` as if that were on another file system, after `meanwhile`.
        fn take(&self, archive: &Path, meanwhile: impl FnOnce()) -> io::Result<bool> {
            let archive = Archive { device: u64::MAX, ..Archive::open(archive, 0).unwrap() };
            let folder = open(self.capture.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
            let mut content = File::open(self.frame()).unwrap();
            let metadata = content.metadata().unwrap();
            meanwhile();
            archive.take(&folder, Path::new("a.jpg"), &mut content, &metadata, &ContentHash::of(b"frame"))
        }
    }

    #[test]
    fn a_frame_is_copied_and_then_leaves() {
        let world = World::new();
        assert!(world.take(world.archive.path(), || ()).unwrap());
        assert!(!world.frame().exists());
        assert_eq!(std::fs::read(world.archive.path().join("a.jpg")).unwrap(), b"frame");
    }

    #[test]
    fn a_new_frame_that_came_to_the_name_of_one_that_is_copied_stays() {
        let world = World::new();
        let replace = || {
            let new = world.capture.path().join("new");
            std::fs::write(&new, "other").unwrap();
            std::fs::rename(new, world.frame()).unwrap();
        };
        assert!(!world.take(world.archive.path(), replace).unwrap());
        assert_eq!(std::fs::read(world.frame()).unwrap(), b"other");
    }

    #[test]
    fn an_archive_that_is_the_capture_directory_by_another_way_takes_nothing() {
        let world = World::new();
        let error = world.take(world.capture.path(), || ()).unwrap_err();
        assert!(error.to_string().contains("by another way"), "{error}");
        assert_eq!(std::fs::read(world.frame()).unwrap(), b"frame");
        assert_eq!(std::fs::read_dir(world.capture.path()).unwrap().count(), 1, "no part of a copy is left");
    }
}
