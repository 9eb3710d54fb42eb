//! A part of an archive for each of many machines, and what they found put together again.
//!
//! A shard's files are chosen by their paths, so that it reads no others; it writes what it saw of each one and groups
//! nothing, because an event may span shards, and the other copy of a frame may lie in another. [`merge`] does what is left.

mod file;
pub mod merge;

use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::file::{Header, Line};
use super::card::Card;
use super::look::{self, Seen};
use super::setup::Setup;
use crate::classifier::Classifier;
use crate::exit_code::ExitCode;
use crate::quantize::Progress;
use crate::terminal;
use crate::whole_file;

/// Most shards of an archive.
const MOST: u32 = 100_000;

/// Files whose sizes tell an archive from another one with the same names, as cards of one make of camera have.
const SIZED: usize = 64;

/// One of several parts of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    /// Which, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        let (number, of) = parts.ok_or("give the shard's number and how many there are, as in 3/8")?;
        if !(1..=MOST).contains(&of) {
            return Err(format!("there can be 1 to {MOST} shards"));
        }
        if !(1..=of).contains(&number) {
            return Err(format!("there is no shard {number} of {of}: they are numbered from 1 to {of}"));
        }
        Ok(Self { number, of })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Shard {
    /// Whether the file at this path below the archive is in it. That depends on nothing but the path.
    fn owns(self, path: &Path) -> bool {
        let digest = Sha256::digest(path.as_os_str().as_bytes());
        let head = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        head % u64::from(self.of) == u64::from(self.number - 1)
    }

    /// The frames that are in it, each with its place among all.
    fn take(self, root: &Path, frames: &[PathBuf]) -> Vec<(usize, PathBuf)> {
        let below = |path: &PathBuf| self.owns(path.strip_prefix(root).unwrap_or(path));
        frames.iter().enumerate().filter(|(_, path)| below(path)).map(|(place, path)| (place, path.clone())).collect()
    }
}

/// Looks at the frames of one shard of `card` and writes what is seen to `output`.
///
/// # Errors
/// The output can't be written, or it was interrupted; then there is none.
pub fn run(
    classifier: &Classifier,
    setup: Setup,
    (root, card): (&Path, Card),
    shard: Shard,
    output: &Path,
    (workers, stop): (usize, &AtomicBool),
) -> Result<ExitCode> {
    let archive = fingerprint(root, &card);
    let files = shard.take(root, &card.frames);
    // What the listing itself could not read, all shards meet; one tells of it.
    let listed = if shard.number == 1 { card.failures } else { Vec::new() };
    let header = Header {
        arcticd_shard: file::VERSION,
        shard,
        archive,
        root: root.display().to_string(),
        frames: card.frames.len(),
        lines: files.len() + listed.len(),
        setup,
    };
    let (mut good, mut bad, mut interrupted) = (0_usize, listed.len(), false);
    let written = whole_file::write::<anyhow::Error>(output, |out| {
        file::write(out, &header)?;
        for failure in listed {
            file::write(out, &Line::of(None, Seen::Failed(failure)))?;
        }
        let mut take = |place, seen| {
            match &seen {
                Seen::Failed(_) => bad += 1,
                Seen::Frame { .. } | Seen::Copy(_) => good += 1,
            }
            file::write(out, &Line::of(Some(place), seen))
        };
        interrupted = look::at(classifier, root, &files, workers, stop, &Progress::on_terminal(), &mut take)?;
        // Half a shard is none: the part is removed.
        if interrupted { bail!("interrupted") } else { Ok(()) }
    });
    if interrupted {
        bail!("interrupted: shard {shard} was not written, make it again");
    }
    written.with_context(|| whole_file::cannot(output))?;
    terminal::complain(format_args!(
        "shard {} of {}: {} of {} files, {bad} of them failed; what was seen is in {}",
        shard.number,
        shard.of,
        good + bad,
        header.frames,
        output.display()
    ));
    // Also where all failed: the shard was done, and its file says so.
    Ok(if bad == 0 { ExitCode::Ok } else { ExitCode::SomeFailed })
}

/// What tells an archive from others, and from itself with files added or removed: all names, and the size of each of some
/// files spread over it. To look at all would ask a file server for millions of answers, once a shard.
fn fingerprint(root: &Path, card: &Card) -> String {
    let mut hasher = Sha256::new();
    for path in &card.frames {
        hasher.update(path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes());
        hasher.update([0]);
    }
    let mut unread: Vec<&str> = card.failures.iter().map(|failure| failure.name.as_str()).collect();
    unread.sort_unstable();
    for name in unread {
        hasher.update([1]);
        hasher.update(name.as_bytes());
    }
    let every = card.frames.len().div_ceil(SIZED).max(1);
    for path in card.frames.iter().step_by(every) {
        hasher.update(fs::metadata(path).map_or(u64::MAX, |it| it.len()).to_le_bytes());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_one_of_so_many_numbered_from_one() {
        assert_eq!("2/3".parse(), Ok(Shard { number: 2, of: 3 }));
        for (wrong, why) in [
            ("3/2", "there is no shard 3 of 2: they are numbered from 1 to 2"),
            ("0/2", "there is no shard 0 of 2"),
            ("1/0", "there can be 1 to 100000 shards"),
            ("1/100001", "there can be 1 to 100000 shards"),
            ("", "as in 3/8"),
            ("1", "as in 3/8"),
            ("-1/2", "as in 3/8"),
            ("a/b", "as in 3/8"),
        ] {
            let told = wrong.parse::<Shard>().unwrap_err();
            assert!(told.contains(why), "{wrong}: {told}");
        }
    }

    #[test]
    fn each_path_is_in_one_shard_and_the_same_one_for_ever() {
        let names: Vec<PathBuf> = (0..900).map(|number| format!("north/IMG_{number:04}.JPG").into()).collect();
        for name in &names {
            let owners = (1..=3).filter(|number| Shard { number: *number, of: 3 }.owns(name)).count();
            assert_eq!(owners, 1, "{}", name.display());
        }
        let share = names.iter().filter(|name| Shard { number: 1, of: 3 }.owns(name)).count();
        assert!((200..=400).contains(&share), "{share} of 900");
        // Written down: another version that chose otherwise would leave out frames when its shards are merged with ours.
        assert!(Shard { number: 3, of: 3 }.owns(Path::new("north/IMG_0001.JPG")));
    }

    #[test]
    fn another_archive_has_another_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &str| fs::write(folder.path().join(name), bytes).unwrap();
        let now = || fingerprint(folder.path(), &Card::find(folder.path()).unwrap());
        put("a.jpg", "a");
        put("b.jpg", "b");
        let first = now();
        put("notes.txt", "no frame");
        assert_eq!(now(), first);
        put("c.heic", "");
        let second = now();
        assert_ne!(second, first, "a frame that can't be decoded is one of the archive's");
        put("b.jpg", "other");
        assert_ne!(now(), second, "the same names on another card");
    }
}
