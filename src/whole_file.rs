//! Files that are there whole or not at all, whatever happens meanwhile.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Writes `path` through a file beside it, which takes its place when `content` has succeeded and the disk has it. A link
/// stays a link: what it points to is replaced. Permissions stay.
///
/// # Errors
/// Those of the system and of `content`; the old file is then as it was.
pub fn write<E: From<io::Error>>(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
) -> Result<(), E> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    check_regular(&path)?;
    let permissions = fs::metadata(&path).map(|metadata| metadata.permissions()).ok();
    let beside = beside(&path);
    let whole = || -> Result<(), E> {
        let mut out = BufWriter::new(create(&beside)?);
        content(&mut out)?;
        out.flush()?;
        if let Some(permissions) = permissions {
            out.get_ref().set_permissions(permissions)?;
        }
        out.get_ref().sync_all()?;
        Ok(fs::rename(&beside, &path)?)
    };
    let written = whole();
    if written.is_err() {
        // Nothing is lost with it.
        let _ = fs::remove_file(&beside);
        return written;
    }
    // Or the rename would not survive a power cut.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}

/// As [`write`], of bytes at hand; the error names the file.
///
/// # Errors
/// Those of the system.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, |out| out.write_all(bytes)).with_context(|| cannot(path))
}

/// What is said of a file that can't be written.
pub fn cannot(path: &Path) -> String {
    format!("{} can't be written; is there room, and may this user write there?", path.display())
}

/// Whether a file can be written at `path`, before minutes are spent on what is to be in it.
///
/// # Errors
/// Those of the system.
pub fn check_writable(path: &Path) -> Result<()> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        bail!("{} can't be written: there is no folder {}; make it first", path.display(), folder.display());
    }
    let beside = beside(path);
    let tried = check_regular(path).and_then(|()| create(&beside)).and_then(|_| fs::remove_file(&beside));
    tried.with_context(|| cannot(path))
}

/// A device or a pipe must not become a file.
fn check_regular(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")),
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is no regular file")),
        _ => Ok(()),
    }
}

/// Never through a link that somebody put there; what an earlier process of the same number left is removed.
fn create(beside: &Path) -> io::Result<File> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(beside)
}

/// Hidden, so that no watch takes it for a frame. With the host's name: on a shared disk the processes of two containers have
/// the same number, and one would put the other's half in the place of the whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{}.part", host(), std::process::id()));
    path.with_file_name(name)
}

/// This host's name, as a part of a file's name.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().replace('/', "-")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use anyhow::bail;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_file_that_fails_half_way_leaves_the_old_one_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        write_bytes(&file, b"old").unwrap();
        let failed = write(&file, |out| {
            out.write_all(b"half of the n")?;
            bail!("no more")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link_and_permissions_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a"), folder.path().join("b"));
        write_bytes(&file, b"old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        write_bytes(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_link_planted_at_the_part_is_not_followed_and_a_pipe_stays_a_pipe() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir().unwrap();
        let (victim, file) = (folder.path().join("victim"), folder.path().join("a.json"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, beside(&file)).unwrap();
        check_writable(&file).unwrap();
        symlink(&victim, beside(&file)).unwrap();
        write_bytes(&file, b"new").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(!fs::symlink_metadata(&file).unwrap().is_symlink());
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(check_writable(&pipe).is_err() && write_bytes(&pipe, b"x").is_err());
        assert!(!fs::symlink_metadata(&pipe).unwrap().is_file());
    }

    #[test]
    fn processes_of_the_same_number_on_two_hosts_write_apart() {
        let part = beside(Path::new("shared/3.shard")).to_string_lossy().into_owned();
        assert_eq!(part, format!("shared/.3.shard.{}-{}.part", host(), std::process::id()));
        assert!(!host().is_empty());
    }

    #[test]
    fn a_place_where_no_file_can_be_is_told_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_writable(folder.path()).is_err());
        let error = check_writable(&folder.path().join("no/such/folder/a.json")).unwrap_err();
        assert!(format!("{error:#}").contains("no/such/folder/a.json"), "{error:#}");
        check_writable(&folder.path().join("a.json")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
