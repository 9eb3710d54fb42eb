//! Opens a journal that may be damaged: then it is moved aside, and a new one takes over what can still be read of it.
//!
//! Each step can be cut off by a power cut. A mark beside the journal says that it is not trusted; it goes last. The new
//! journal is complete before the old one is moved, so if there is only the new one, it is the one.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::check::{Verdict, check};
use super::salvage::{self, Saved, salvage};
use super::{JournalError, store};

/// How long a start waits for the check: at 20 MB/s from a card, 200 MB.
const CHECK: Duration = Duration::from_secs(10);
/// How long it waits for what can be saved.
const SALVAGE: Duration = Duration::from_secs(60);
/// A process that dies while it saves is not to do so for ever. A weak battery may cut off some of these.
const TRIES: u32 = 5;
/// Damaged journals that are kept, for a person to look at; a failing card would fill itself with them.
const KEPT: u32 = 3;

/// Opens the journal, or what takes its place: connection, epoch, and what is to be told of it.
pub(super) fn open(file: &Path) -> Result<(Connection, String, Option<String>), JournalError> {
    let (tries, reason) = match Mark::read(file) {
        Some(mark) => (mark.tries, mark.reason),
        None => match sound(file) {
            Ok((db, epoch)) => return Ok((db, epoch, None)),
            Err(error) if error.is_damage() => (0, error.to_string()),
            Err(error) => return Err(error),
        },
    };
    tracing::error!("{reason}");
    let wrong = |reason| JournalError::Mend { file: file.to_owned(), reason };
    Mark { tries: tries + 1, reason: reason.clone() }.write(file).map_err(wrong)?;
    let new = beside(file, ".new");
    let saved = match file.exists() || !new.exists() {
        true => {
            keep_few(file, KEPT - 1).map_err(wrong)?;
            build(file, &new, tries < TRIES)?
        }
        // Cut off between the two renames below.
        false => None,
    };
    let aside = replace(file, &new).map_err(wrong)?;
    let opened = store::create(file)?;
    Mark::remove(file).map_err(wrong)?;
    let text = tell(&reason, aside.as_deref(), saved.as_ref());
    tracing::error!("{text}");
    Ok((opened.0, opened.1, Some(text)))
}

/// Leaves word for the next start that the journal in `directory` is damaged, found out while it was in use.
///
/// # Errors
/// The mark can't be written.
pub(super) fn distrust(file: &Path, reason: &str) -> io::Result<()> {
    match Mark::read(file) {
        Some(_) => Ok(()),
        None => Mark { tries: 0, reason: reason.to_owned() }.write(file),
    }
}

fn sound(file: &Path) -> Result<(Connection, String), JournalError> {
    let damaged = |text| JournalError::Damaged { file: file.to_owned(), text };
    let nonsense = |error: JournalError| match &error {
        // Tables that are not as they were made: what describes them was damaged. Or rows that an older format's tables would
        // not have taken either.
        JournalError::Database { reason, .. }
            if matches!(
                reason.sqlite_error_code(),
                Some(ErrorCode::Unknown | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch)
            ) =>
        {
            damaged(reason.to_string())
        }
        _ => error,
    };
    let begun = Instant::now();
    let (db, epoch) = store::create(file).map_err(nonsense)?;
    let verdict = check(&db, CHECK).map_err(|reason| JournalError::Database { file: file.to_owned(), reason });
    match verdict.map_err(nonsense)? {
        Verdict::Whole => tracing::debug!("the journal is whole, checked in {} ms", begun.elapsed().as_millis()),
        Verdict::Unfinished => tracing::info!("the journal is too large to be checked to its end in {CHECK:?}"),
        Verdict::Damaged(text) => return Err(damaged(text)),
    }
    Ok((db, epoch))
}

/// Makes the new journal with what can be saved of the old one, complete in one file.
fn build(file: &Path, new: &Path, saving: bool) -> Result<Option<Saved>, JournalError> {
    let wrong = |reason| JournalError::Mend { file: new.to_owned(), reason };
    for suffix in ["", "-wal", "-shm"] {
        gone(&beside(new, suffix)).map_err(wrong)?;
    }
    let mut db = store::empty(new, if saving { salvage::format(file) } else { store::FORMAT })?;
    let database = |reason| JournalError::Database { file: new.to_owned(), reason };
    let saved = match saving {
        true => Some(salvage(file, &mut db, Instant::now() + SALVAGE).map_err(database)?),
        false => None,
    };
    store::upgrade(&mut db, store::FORMAT).map_err(database)?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(database)?;
    db.close().map_err(|(_, reason)| database(reason))?;
    File::open(new).and_then(|file| file.sync_all()).map_err(wrong)?;
    sync_directory(new).map_err(wrong)?;
    Ok(saved)
}

/// Moves the old journal aside, if it is still there, and the new one into its place; where the old one is now.
fn replace(file: &Path, new: &Path) -> io::Result<Option<PathBuf>> {
    let aside = beside(file, &format!(".damaged-{}", numbers(file)?.last().map_or(1, |last| last + 1)));
    let moved = rename(file, &aside)?;
    for suffix in ["-wal", "-shm"] {
        // A log left behind would be played into the new journal.
        rename(&beside(file, suffix), &beside(&aside, suffix))?;
    }
    sync_directory(file)?;
    fs::rename(new, file)?;
    sync_directory(file)?;
    Ok(moved.then_some(aside))
}

fn tell(reason: &str, aside: Option<&Path>, saved: Option<&Saved>) -> String {
    let place = aside.map(|aside| format!("it was moved to {}, and ", aside.display())).unwrap_or_default();
    let saved = match saved {
        None => "nothing was taken over".to_owned(),
        Some(Saved { messages, frames, all_messages }) => {
            let rest =
                if *all_messages { "" } else { "; some could not be read, so frames that alerted may alert again" };
            format!("{messages} messages and {frames} known frames were saved from it{rest}")
        }
    };
    format!("{reason}; {place}a new one begun; {saved}")
}

/// Says that the journal is not trusted, why, and how often that was acted on.
struct Mark {
    tries: u32,
    reason: String,
}

impl Mark {
    fn read(file: &Path) -> Option<Self> {
        let mark = beside(file, ".suspect");
        let text = match fs::read(&mark) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(_) => String::new(),
        };
        let (tries, reason) = text.split_once('\n').unwrap_or_default();
        let reason = match reason.trim() {
            "" => format!("journal {}: it was found damaged", file.display()),
            reason => reason.to_owned(),
        };
        Some(Self { tries: tries.parse().unwrap_or(0), reason })
    }

    fn write(&self, file: &Path) -> io::Result<()> {
        let mut mark = File::create(beside(file, ".suspect"))?;
        mark.write_all(format!("{}\n{}\n", self.tries, self.reason).as_bytes())?;
        mark.sync_all()?;
        sync_directory(file)
    }

    fn remove(file: &Path) -> io::Result<()> {
        gone(&beside(file, ".suspect"))?;
        sync_directory(file)
    }
}

/// Numbers of the journals that were moved aside, the oldest first.
fn numbers(file: &Path) -> io::Result<Vec<u32>> {
    let start = format!("{}.damaged-", file.file_name().unwrap_or_default().to_string_lossy());
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory(file))? {
        let name = entry?.file_name();
        numbers.extend(name.to_string_lossy().strip_prefix(&start).and_then(|rest| rest.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Deletes the oldest journals that were moved aside, until there are so few.
fn keep_few(file: &Path, most: u32) -> io::Result<()> {
    let numbers = numbers(file)?;
    for number in numbers.iter().take(numbers.len().saturating_sub(most as usize)) {
        for suffix in ["-wal", "-shm", ""] {
            gone(&beside(file, &format!(".damaged-{number}{suffix}")))?;
        }
    }
    Ok(())
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn directory(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(file: &Path) -> io::Result<()> {
    File::open(directory(file))?.sync_all()
}

/// False if there was nothing.
fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn gone(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
