//! Files that are there whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Writes `path` through a file beside it, which takes its place when `write` has succeeded and the disk has it.
///
/// # Errors
/// Those of the system and of `write`; the old file is then as it was.
pub fn write_whole(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let beside = beside(path);
    let whole = || -> Result<()> {
        let mut out = BufWriter::new(File::create(&beside)?);
        write(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        Ok(fs::rename(&beside, path)?)
    };
    let written = whole();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
        .with_context(|| format!("{} can't be written; is there room, and may this user write there?", path.display()))
}

/// Whether a file can be written at `path`, before hours are spent on what is to be in it.
///
/// # Errors
/// Those of the system.
pub fn check_writable(path: &Path) -> Result<()> {
    let tried = if path.is_dir() {
        Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"))
    } else {
        let beside = beside(path);
        File::create(&beside).and_then(|_| fs::remove_file(&beside))
    };
    tried.with_context(|| format!("{} can't be written", path.display()))
}

/// Hidden, so that no watch takes it for a frame.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn a_file_that_fails_half_way_leaves_the_old_one_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        write_whole(&file, |out| Ok(out.write_all(b"old")?)).unwrap();
        let failed = write_whole(&file, |out| {
            out.write_all(b"half of the n")?;
            bail!("no more")
        });
        assert!(format!("{:#}", failed.unwrap_err()).contains("a.json"));
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_where_no_file_can_be_is_told_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_writable(folder.path()).is_err());
        assert!(check_writable(&folder.path().join("no/such/folder/a.json")).is_err());
        check_writable(&folder.path().join("a.json")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
