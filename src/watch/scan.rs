//! Walks a directory tree and sorts out what is new in it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::events::Refusal;
use super::hints::Hint;
use super::names::{self, Kind};
use super::rounds::Rounds;
use super::{Candidate, Report, Seen, Stamp, candidate};

/// Directories below each other that are entered: a damaged card can claim a directory that contains itself.
pub(crate) const MAX_DEPTH: usize = 32;

/// Names kept so that each trouble is reported once; beyond that, new ones stay silent.
const MAX_REPORTED: usize = 10_000;

/// Unsupported names kept (as hashes), likewise.
const MAX_UNSUPPORTED: usize = 100_000;

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub files: usize,
    pub new: usize,
}

/// What need not be asked or said again.
#[derive(Debug, Default)]
pub(super) struct Memory {
    hasher: RandomState,
    /// Path and stamp of files that [`Seen`] knows, as hashes: 128 bits together, with keys no camera can guess.
    known: HashMap<u64, u64>,
    unsupported: HashSet<u64>,
    troubles: HashSet<PathBuf>,
}

impl Memory {
    fn knows(&self, path: &Path, stamp: &Stamp) -> bool {
        self.known.get(&self.hasher.hash_one(path)) == Some(&self.hasher.hash_one(stamp))
    }

    fn learn(&mut self, path: &Path, stamp: &Stamp) {
        self.known.insert(self.hasher.hash_one(path), self.hasher.hash_one(stamp));
    }

    /// Forgets all: another card may have been there meanwhile, whose place in the journal was taken for this one's.
    pub(super) fn forget(&mut self) {
        self.known = HashMap::new();
    }

    /// Forgets all when most of it is about files that are gone; what is still there is asked for again.
    pub(super) fn prune(&mut self, files: usize) {
        if self.known.len() > 2 * files {
            self.known = HashMap::new();
        }
    }
}

impl<S: Seen, R: Fn(Report)> Rounds<S, R> {
    /// Looks at everything in and below `top`, watching each directory before it is read. `live`: what is new there
    /// has just arrived, whatever its time says.
    pub(super) fn scan_tree(&mut self, top: PathBuf, live: bool) -> Tally {
        let mut tally = Tally::default();
        let mut directories = vec![(top, 0)];
        while let Some((directory, depth)) = directories.pop() {
            if depth > MAX_DEPTH {
                self.trouble(&directory, &format!("more than {MAX_DEPTH} directories below each other"));
                continue;
            }
            let mut below = Vec::new();
            if !self.scan_directory(&directory, live, &mut tally, &mut below) {
                return tally;
            }
            directories.extend(below.into_iter().map(|path| (path, depth + 1)));
        }
        tally
    }

    /// One directory, and which ones are below it. False when told to stop.
    fn scan_directory(&mut self, path: &Path, live: bool, tally: &mut Tally, below: &mut Vec<PathBuf>) -> bool {
        let mut sound = self.watch_directory(path);
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => {
                self.trouble_unless_gone(path, &error);
                return true;
            }
        };
        for entry in entries {
            self.beat(Duration::ZERO);
            if self.hints.is_stopped() {
                return false;
            }
            match entry {
                Ok(entry) => below.extend(self.look_at_entry(&entry, live, tally)),
                Err(error) => {
                    self.trouble_unless_gone(path, &error);
                    sound = false;
                    // The listing of a damaged directory may repeat its error for ever.
                    break;
                }
            }
        }
        if sound {
            self.fine(path);
        }
        true
    }

    /// Takes note of a file, or returns the directory to walk next.
    fn look_at_entry(&mut self, entry: &fs::DirEntry, live: bool, tally: &mut Tally) -> Option<PathBuf> {
        let path = entry.path();
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) => {
                self.trouble_unless_gone(&path, &error);
                return None;
            }
        };
        if kind.is_dir() {
            return (!names::is_skipped_directory(&entry.file_name())).then_some(path);
        }
        if !kind.is_file() {
            return None;
        }
        match names::kind(&entry.file_name()) {
            Kind::Ignored => {}
            Kind::Unsupported(format) => self.unsupported(&path, format),
            Kind::Frame => match entry.metadata() {
                Ok(metadata) => {
                    tally.files += 1;
                    self.fine(&path);
                    let stamp = Stamp::from(&metadata);
                    let live = live || self.is_fresh(&stamp);
                    tally.new += usize::from(self.consider(path, stamp, Hint::Look, live));
                }
                Err(error) => self.trouble_unless_gone(&path, &error),
            },
        }
        None
    }

    /// Looks at a path that an event named.
    pub(super) fn look_at_hint(&mut self, path: PathBuf, hint: Hint) {
        let Some(name) = path.file_name().filter(|_| names::is_inside(&self.settings.directory, &path)) else {
            return;
        };
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                if !names::is_skipped_directory(name) {
                    self.scan_tree(path.clone(), true);
                    self.look_again_later(path);
                }
            }
            Ok(metadata) if metadata.is_file() => match names::kind(name) {
                Kind::Ignored => {}
                Kind::Unsupported(format) => self.unsupported(&path, format),
                Kind::Frame => {
                    self.fine(&path);
                    self.consider(path, Stamp::from(&metadata), hint, true);
                }
            },
            Ok(_) => {
                self.pending.remove(&path);
            }
            Err(error) => {
                self.pending.remove(&path);
                self.trouble_unless_gone(&path, &error);
            }
        }
    }

    /// Hands over those files that stood still, after a second look.
    pub(super) fn settle(&mut self) {
        for path in self.pending.due(Instant::now()) {
            self.beat(Duration::ZERO);
            if self.hints.is_stopped() {
                return;
            }
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_file() => {
                    let stamp = Stamp::from(&metadata);
                    if let Some(settled) = self.pending.settles(&path, stamp, Instant::now()) {
                        self.hand_over(path, stamp, settled.live);
                    }
                }
                Ok(_) => {
                    self.pending.remove(&path);
                }
                Err(error) => {
                    self.pending.remove(&path);
                    self.trouble_unless_gone(&path, &error);
                }
            }
        }
    }

    /// Takes note of a frame; true if it was neither known nor waiting before.
    fn consider(&mut self, path: PathBuf, stamp: Stamp, hint: Hint, live: bool) -> bool {
        // An empty file is rarely what its writer meant: it has to stay so for a while.
        let finished = hint == Hint::Finished && stamp.size > 0;
        if self.pending.contains(&path) {
            match finished {
                true => {
                    self.pending.remove(&path);
                    self.hand_over(path, stamp, true);
                }
                false => self.pending.look(path, stamp, live, hint == Hint::Written, Instant::now()),
            }
            return false;
        }
        if self.memory.knows(&path, &stamp) {
            return false;
        }
        if self.room(live) == 0 {
            // Left on disk: a scan finds it when there is room.
            self.leftover = true;
            return false;
        }
        if !self.is_new(&path, &stamp) {
            return false;
        }
        match finished {
            true => self.push(path, stamp, live),
            false => self.pending.look(path, stamp, live, false, Instant::now()),
        }
        true
    }

    fn hand_over(&mut self, path: PathBuf, stamp: Stamp, live: bool) {
        if !self.memory.knows(&path, &stamp) && self.is_new(&path, &stamp) {
            self.push(path, stamp, live);
        }
    }

    fn push(&mut self, path: PathBuf, stamp: Stamp, live: bool) {
        let name = candidate::relative_name(&self.settings.directory, &path);
        self.queue.push(Candidate { path, name, stamp, live });
    }

    /// Whether this version of a file was neither handed over nor dealt with. The queue is asked first: a file leaves
    /// it only after it was recorded as seen, so it cannot slip through between the two questions.
    fn is_new(&mut self, path: &Path, stamp: &Stamp) -> bool {
        if self.queue.holds(path, stamp) {
            return false;
        }
        let seen = self.seen.is_seen(&candidate::relative_name(&self.settings.directory, path), stamp);
        if seen {
            self.memory.learn(path, stamp);
        }
        !seen
    }

    /// How many more frames of a class may wait, here and in the queue together.
    pub(super) fn room(&self, live: bool) -> usize {
        self.queue.room(live).saturating_sub(self.pending.len(live))
    }

    fn is_fresh(&self, stamp: &Stamp) -> bool {
        // Without a clock chip, now may lie before 1970 or far off; then nothing is fresh, and the order is all it costs.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let made = Duration::from_nanos(u64::try_from(stamp.mtime_ns).unwrap_or(0));
        now.abs_diff(made) <= self.settings.fresh
    }

    /// False if this directory cannot be watched, which was reported.
    fn watch_directory(&mut self, directory: &Path) -> bool {
        let answer = match &mut self.events {
            Some(events) => events.watch(directory),
            None => return true,
        };
        match answer {
            Ok(()) | Err(Refusal::Gone) => true,
            Err(Refusal::Directory(error)) => {
                self.trouble(directory, &error);
                false
            }
            Err(Refusal::Exhausted(reason)) => {
                self.degrade(reason);
                true
            }
        }
    }

    fn unsupported(&mut self, path: &Path, format: &'static str) {
        let key = self.memory.hasher.hash_one(path);
        if self.memory.unsupported.len() < MAX_UNSUPPORTED && self.memory.unsupported.insert(key) {
            let name = candidate::relative_name(&self.settings.directory, path);
            (self.report)(Report::UnsupportedFile { name, format });
        }
    }

    fn trouble_unless_gone(&mut self, path: &Path, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
            _ => self.trouble(path, &error.to_string()),
        }
    }

    fn trouble(&mut self, path: &Path, error: &str) {
        let troubles = &mut self.memory.troubles;
        if troubles.len() < MAX_REPORTED && troubles.insert(path.to_owned()) {
            let name = candidate::relative_name(&self.settings.directory, path);
            (self.report)(Report::FileError { name, error: error.to_owned() });
        }
    }

    fn fine(&mut self, path: &Path) {
        if !self.memory.troubles.is_empty() {
            self.memory.troubles.remove(path);
        }
    }
}
