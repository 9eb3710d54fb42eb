//! `[heads]`: whether heads can come to this trap, and from whom.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::config::{Config, Heads};
use crate::heads::TrustedKeys;

/// Whose heads are taken, where from, and how large; `least` is the size of the smallest head that the model needs, if
/// that is known.
pub(super) fn heads(config: &Config, least: Option<u64>) -> Result<String> {
    let heads = &config.heads;
    let mut words = vec![keys(&heads.trusted_keys)?, by_hand(&heads.directory)?];
    words.push(size(heads.max_bytes, least, free(&config.state.directory))?);
    if !config.groups.is_empty() {
        words.push(format!("groups {}", config.groups.join(", ")));
    }
    Ok(words.join("; "))
}

/// Every file of these must be a key: one that is not read is a key that its owner takes for trusted.
fn keys(paths: &[PathBuf]) -> Result<String> {
    // The packaged default need not be there, as on a machine that takes no heads.
    let packaged = paths == Heads::default().trusted_keys;
    let there: Vec<PathBuf> = paths.iter().filter(|path| !packaged || !is_missing(path)).cloned().collect();
    let (trusted, bad) = TrustedKeys::load(&there);
    if !bad.is_empty() {
        let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
        bail!("{}; mend heads.trusted_keys or take the file out", bad.join("; "));
    }
    let ids: Vec<String> = trusted.iter().map(|key| format!("{} ({})", key.id(), key.path().display())).collect();
    Ok(match ids.is_empty() {
        true => {
            "no key is trusted, so no head that is pushed or put there by hand is taken (heads.trusted_keys)".into()
        }
        false => format!("trusted {}", ids.join(", ")),
    })
}

fn by_hand(directory: &Path) -> Result<String> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(format!("no folder {}", directory.display())),
        entries => entries.with_context(|| {
            format!("{}: make it a folder that this user may read or change heads.directory", directory.display())
        })?,
    };
    let is_head = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "head");
    let count = entries.flatten().filter(is_head).count();
    Ok(format!("{count} in {}", directory.display()))
}

/// Bytes that this user may still write there, or in what will hold it.
fn free(directory: &Path) -> Option<u64> {
    let there = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn size(most: u64, least: Option<u64>, free: Option<u64>) -> Result<String> {
    if let Some(least) = least.filter(|least| *least > most) {
        bail!("heads.max_bytes is {most}, and the weights of any head for this backbone take {least}; raise it");
    }
    if let Some(free) = free.filter(|free| *free < most) {
        bail!(
            "heads.max_bytes is {most}, and where state.directory lies only {free} bytes are free; make room or lower it"
        );
    }
    Ok(format!("of at most {most} bytes"))
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_fits_no_head_or_no_disk_is_told() {
        assert!(size(8 << 20, Some(15_360), Some(1 << 30)).is_ok());
        assert!(size(4096, Some(15_360), None).unwrap_err().to_string().contains("15360"));
        assert!(size(8 << 20, None, Some(1000)).unwrap_err().to_string().contains("only 1000 bytes"));
    }

    #[test]
    fn a_default_that_is_not_there_is_no_fault_and_a_named_one_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(keys(&[folder.path().join("missing")]).unwrap_err().to_string().contains("missing"));
        assert!(keys(&[]).unwrap().contains("no key is trusted"));
        assert!(keys(&[folder.path().to_owned()]).unwrap().contains("no key is trusted"));
        assert!(by_hand(&folder.path().join("missing")).unwrap().contains("no folder"));
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(by_hand(&folder.path().join("file")).is_err());
    }
}
