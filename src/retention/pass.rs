//! One pass: which frames go, in which order, and how many.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags, open};

use super::carry::Archive;
use super::leave::{Left, Way, device, leave};
use super::{DAY_S, Keeper, LOOK_EVERY, Room, TRY_AGAIN};
use crate::journal::{DoneFile, Unfinished};

/// Most files that a pass takes away: were all of this wrong, it would not have emptied a card before somebody sees it.
const MOST: u64 = 500;
/// Files that are asked of the journal at once.
const PAGE: usize = 500;
/// How long a file waits for frames that have just arrived.
const LIVE_FIRST: Duration = Duration::from_secs(1);

/// What a pass works on.
struct Pass {
    root: OwnedFd,
    device: u64,
    archive: Option<Archive>,
    // Why a folder can't be changed.
    closed: HashSet<PathBuf>,
    refused: Option<String>,
    untold: u64,
    taken: Taken,
}

/// What was taken away.
#[derive(Default)]
struct Taken {
    files: u64,
    bytes: u64,
}

/// Why files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Days,
    Room,
}

/// A pass ends early.
enum Stop {
    /// It took as many as it may, or the daemon ends.
    Enough,
    /// There is room again.
    Room,
}

impl Keeper {
    /// Takes away what is due, and lets the next pass go on if that was too much for one. False: it was not yet time.
    ///
    /// # Errors
    /// Nothing can be taken away, for a reason that a person may have to mend.
    pub(super) fn pass(&mut self) -> Result<bool> {
        let now = Instant::now();
        let room = Room::of(&self.rules.directory, self.rules.min_free).with_context(|| self.directory())?;
        let low = room.is_low() && now >= self.next_try;
        if !room.is_low() {
            self.status.tell("room", None);
        }
        if !low && now < self.next_look {
            return Ok(false);
        }
        let mut pass = self.begin()?;
        let worked = self.work(&mut pass, now, low);
        self.report(&pass);
        let more = matches!(worked?, Some(Stop::Enough));
        let later = Instant::now();
        self.next_look = if more { later } else { later + LOOK_EVERY };
        self.next_try = if low && pass.taken.files == 0 { later + TRY_AGAIN } else { later };
        let room = Room::at(&pass.root, self.rules.min_free)?;
        let left = (room.is_low() && !more).then(|| self.nothing_left(&pass, room));
        self.status.tell("room", left);
        match pass.refused {
            Some(refused) => bail!(refused),
            None => Ok(true),
        }
    }

    fn begin(&self) -> Result<Pass> {
        let directory = &self.rules.directory;
        let root = open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .with_context(|| self.directory())?;
        let archive = match &self.rules.target {
            Some(target) => Some(self.archive(target)?),
            None => None,
        };
        let device = device(&root)?;
        Ok(Pass { root, device, archive, closed: HashSet::new(), refused: None, untold: 0, taken: Taken::default() })
    }

    fn archive(&self, target: &Path) -> Result<Archive> {
        let what = || format!("capture.retention_directory {}: mount its disk, or make it", target.display());
        let archive = Archive::open(target, self.rules.min_free).with_context(what)?;
        // By another path, which the configuration can't tell.
        let (inside, outside) = (target.canonicalize(), self.rules.directory.canonicalize());
        if inside.with_context(what)?.starts_with(outside.with_context(|| self.directory())?) {
            bail!("capture.retention_directory {} is inside the capture directory: choose another", target.display());
        }
        Ok(archive)
    }

    /// Those whose days are over, then those that make room; frames that alerted last.
    fn work(&mut self, pass: &mut Pass, now: Instant, low: bool) -> Result<Option<Stop>> {
        let age = self.files.age();
        if now >= self.next_look {
            for (alert, days) in [(false, self.rules.days), (true, self.rules.alert_days)] {
                let Some(noted) = age.checked_sub(days * DAY_S) else { continue };
                if let Some(stop) = self.sweep(pass, alert, noted, Why::Days)? {
                    return Ok(Some(stop));
                }
            }
        }
        let same_disk = pass.archive.as_ref().is_some_and(|archive| archive.device() == pass.device);
        if low && !same_disk {
            for alert in [false, true] {
                if let Some(stop) = self.sweep(pass, alert, age, Why::Room)? {
                    return Ok(Some(stop));
                }
            }
        }
        Ok(None)
    }

    fn sweep(&mut self, pass: &mut Pass, alert: bool, noted: u64, why: Why) -> Result<Option<Stop>> {
        let mut last: Option<DoneFile> = None;
        loop {
            let page = self.files.oldest(pass.device, alert, noted, last.as_ref(), PAGE)?;
            // Behind the page: a frame that is in it is noted together with its event.
            let unfinished = self.files.unfinished()?;
            let mut gone = Vec::new();
            let mut ended = Ok(None);
            for file in &page {
                ended = self.one(pass, &unfinished, alert, why, file, &mut gone);
                if !matches!(ended, Ok(None)) {
                    break;
                }
            }
            // What is away is forgotten, whatever came then. Without room for that it is found gone by a later pass.
            let forgotten = if gone.is_empty() { Ok(()) } else { self.files.forget(&gone) };
            match ended {
                Ok(None) if page.len() == PAGE => last = page.into_iter().last(),
                ended => return ended,
            }
            forgotten?;
        }
    }

    fn one(
        &self,
        pass: &mut Pass,
        unfinished: &Unfinished,
        alert: bool,
        why: Why,
        file: &DoneFile,
        gone: &mut Vec<DoneFile>,
    ) -> Result<Option<Stop>> {
        self.queue.wait(LIVE_FIRST, |live, _| live == 0);
        if self.queue.is_closed() || pass.taken.files >= MOST {
            return Ok(Some(Stop::Enough));
        }
        if why == Why::Room && !Room::at(&pass.root, self.rules.min_free)?.is_low() {
            return Ok(Some(Stop::Room));
        }
        if alert && !self.files.is_told(&self.trap, file, unfinished)? {
            pass.untold += 1;
            return Ok(None);
        }
        let folder = Path::new(&file.name).parent().unwrap_or(Path::new(""));
        if pass.closed.contains(folder) {
            return Ok(None);
        }
        let way = Way { archive: pass.archive.as_ref(), for_room: why == Why::Room };
        match leave(&pass.root, pass.device, file, &way) {
            Ok(Left::Away { freed }) => {
                pass.taken.files += 1;
                pass.taken.bytes += freed;
                gone.push(file.clone());
                let moved = pass.archive.is_some();
                self.status.count(|counters| match moved {
                    true => counters.moved += 1,
                    false => counters.deleted += 1,
                });
                tracing::debug!(frame = file.name, "{}", if moved { "moved" } else { "deleted" });
            }
            Ok(Left::Gone) => gone.push(file.clone()),
            Ok(Left::Other | Left::Later) => {}
            Err(error) => self.refused(pass, folder, file, error)?,
        }
        Ok(None)
    }

    /// One folder that can't be changed keeps no other from being; a whole file system does.
    fn refused(&self, pass: &mut Pass, folder: &Path, file: &DoneFile, error: io::Error) -> Result<()> {
        let kind = error.kind();
        let text = format!("{}: {error}{}", self.rules.directory.join(&file.name).display(), advice(kind));
        match kind {
            ErrorKind::PermissionDenied => {
                pass.closed.insert(folder.to_owned());
            }
            ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull => bail!(text),
            _ => {}
        }
        pass.refused.get_or_insert(text);
        Ok(())
    }

    fn report(&self, pass: &Pass) {
        if pass.taken.files > 0 {
            let way = if pass.archive.is_some() { "moved" } else { "deleted" };
            tracing::info!("{way} {} from {}", pass.taken, self.directory());
        }
    }

    fn nothing_left(&self, pass: &Pass, room: Room) -> String {
        let why = match &pass.archive {
            Some(archive) if archive.device() == pass.device => {
                "capture.retention_directory is on the same file system, so that moving makes no room".to_owned()
            }
            _ if pass.untold > 0 => format!("{} frames wait for their alerts to be acknowledged", pass.untold),
            _ => "no more frames may go; something else fills it".to_owned(),
        };
        format!("{}: {room}: {why}", self.directory())
    }

    fn directory(&self) -> String {
        format!("the capture directory {}", self.rules.directory.display())
    }
}

fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::PermissionDenied => "; let the daemon's user write in that folder (docs/configure.md)",
        ErrorKind::ReadOnlyFilesystem => {
            "; mounted read-only, or systemd's sandbox: it needs ReadWritePaths= for it (docs/configure.md)"
        }
        _ => "",
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.files == 1 { "" } else { "s" };
        write!(f, "{} frame{s}, {} MiB,", self.files, self.bytes.div_ceil(1 << 20))
    }
}
