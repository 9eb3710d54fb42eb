//! The watch thread: what it does between two naps, and how long they are.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::events::Events;
use super::hints::{Batch, Hint, Hints};
use super::pending::Pending;
use super::scan::Memory;
use super::{Queue, Report, Seen, Settings};
use crate::service::{Pulse, fault};

/// New directories that get a second look of their own; beyond that they get a full scan together.
const MAX_SECOND_LOOKS: usize = 256;

/// No scan waits longer than this for its turn, however long scans take (unless so configured).
const LONGEST_REST: Duration = Duration::from_secs(600);

/// Far more than any sensible configuration, and little enough to be added to an [`Instant`].
const LONGEST_RECONCILE: Duration = Duration::from_secs(365 * 86_400);

/// The rhythm of the thread; tests have their own.
#[derive(Debug, Clone)]
pub(super) struct Timing {
    /// Longest time between scans where there are no events.
    pub poll: Duration,
    /// Between looks whether the capture directory is still the same one: an unmount sends no event.
    pub root_check: Duration,
    /// Between looks while the capture directory is missing or the queue is full, and after a flood of events.
    pub tick: Duration,
    /// Until a new directory is scanned again.
    pub second_look: Duration,
    /// Until file events are tried again after the kernel refused them.
    pub retry: Duration,
    /// Minded by the watchdog: beats with each look at a file.
    pub pulse: Arc<Pulse>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(3),
            root_check: Duration::from_secs(10),
            tick: Duration::from_secs(1),
            second_look: Duration::from_secs(1),
            retry: Duration::from_secs(600),
            pulse: Arc::new(Pulse::new("the watch")),
        }
    }
}

/// Which directory has the capture directory's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// Not looked yet.
    Unknown,
    Missing,
    Present {
        device: u64,
        inode: u64,
    },
}

/// Everything the watch thread owns.
pub(super) struct Rounds<S, R> {
    pub(super) settings: Settings,
    timing: Timing,
    pub(super) seen: S,
    pub(super) queue: Arc<Queue>,
    pub(super) hints: Arc<Hints>,
    pub(super) report: R,
    pub(super) pending: Pending,
    pub(super) memory: Memory,
    /// None when polling, and while the kernel refuses.
    pub(super) events: Option<Events>,
    /// The kernel refused events for some directory, or all, since the event queue was opened.
    refused: bool,
    /// The same, as last reported.
    degraded: bool,
    root: Root,
    /// Frames were left on disk because the queue was full.
    pub(super) leftover: bool,
    /// A scan since the capture directory (re)appeared was complete: what is found from now on is live.
    caught_up: bool,
    /// Events were lost since the last full scan.
    lost: bool,
    second_looks: HashMap<PathBuf, Instant>,
    last_scan: Instant,
    next_scan: Instant,
    next_settle: Instant,
    next_root_check: Instant,
    next_retry: Instant,
}

impl<S: Seen, R: Fn(Report)> Rounds<S, R> {
    pub(super) fn new(
        settings: Settings,
        timing: Timing,
        seen: S,
        queue: Arc<Queue>,
        hints: Arc<Hints>,
        report: R,
    ) -> Self {
        let now = Instant::now();
        Self {
            pending: Pending::new(settings.settle),
            settings,
            timing,
            seen,
            queue,
            hints,
            report,
            memory: Memory::default(),
            events: None,
            refused: false,
            degraded: false,
            root: Root::Unknown,
            leftover: false,
            caught_up: false,
            lost: false,
            second_looks: HashMap::new(),
            last_scan: now,
            next_scan: now,
            next_settle: now,
            next_root_check: now,
            next_retry: now,
        }
    }

    /// Watches until told to stop.
    pub(super) fn run(mut self) {
        loop {
            self.beat(Duration::ZERO);
            if Instant::now() >= self.next_root_check {
                self.check_root(false);
            }
            if self.root != Root::Missing {
                self.work();
            }
            let nap = self.nap();
            self.beat(nap);
            let batch = self.hints.wait(nap);
            self.beat(Duration::ZERO);
            if batch.stopped {
                return;
            }
            self.take(batch);
        }
    }

    /// It lives, and will be heard of again after at most `nap`, unless a look at one file takes long.
    pub(super) fn beat(&self, nap: Duration) {
        self.timing.pulse.promise(nap);
    }

    /// Whatever is due by the clock.
    fn work(&mut self) {
        let has_room = || self.room(true).min(self.room(false)) >= self.queue.capacity().div_ceil(2);
        if Instant::now() >= self.next_scan || (self.leftover && has_room()) {
            self.full_scan();
        }
        let now = Instant::now();
        let due: Vec<_> = self.second_looks.extract_if(|_, at| *at <= now).map(|(path, _)| path).collect();
        for path in due {
            self.scan_tree(path, true);
        }
        if now >= self.next_settle && !self.pending.is_empty() {
            self.settle();
            self.next_settle = Instant::now() + self.settle_tick();
        }
    }

    /// How long nothing will be due.
    fn nap(&self) -> Duration {
        let mut next = self.next_root_check;
        if self.root != Root::Missing {
            next = next.min(self.next_scan);
            if !self.pending.is_empty() {
                next = next.min(self.next_settle);
            }
            if let Some(second_look) = self.second_looks.values().min() {
                next = next.min(*second_look);
            }
            if self.leftover {
                next = next.min(Instant::now() + self.timing.tick);
            }
        }
        next.saturating_duration_since(Instant::now())
    }

    /// Follows the hints.
    fn take(&mut self, batch: Batch) {
        if batch.lost && !self.lost {
            self.lost = true;
            // Not at once: while the flood lasts, scan after scan would only add to it.
            self.next_scan = self.next_scan.min(self.last_scan + self.timing.tick);
            (self.report)(Report::EventsLost);
        }
        for (path, hint) in batch.paths {
            if self.hints.is_stopped() {
                return;
            }
            if path == self.settings.directory {
                self.check_root(hint == Hint::Left);
            } else if self.root != Root::Missing {
                self.look_at_hint(path, hint);
            }
        }
    }

    /// Scans all of the capture directory.
    fn full_scan(&mut self) {
        let begun = Instant::now();
        if self.lost || (self.degraded && begun >= self.next_retry) {
            self.lost = false;
            self.open_events();
        }
        self.leftover = false;
        let tally = self.scan_tree(self.settings.directory.clone(), self.caught_up);
        if self.hints.is_stopped() {
            return;
        }
        if self.degraded && !self.refused {
            self.degraded = false;
            (self.report)(Report::WatchRestored);
        }
        self.memory.prune(tally.files);
        self.caught_up |= !self.leftover;
        self.last_scan = Instant::now();
        let took = self.last_scan - begun;
        self.next_scan = self.last_scan + self.rest_after(took);
        let complete = !self.leftover;
        (self.report)(Report::ScanDone { files: tally.files, new: tally.new, took, complete });
        fault::wedge(fault::WATCH);
    }

    /// Scanning takes a hundredth of the time at most; a tenth where it is all there is.
    fn rest_after(&self, took: Duration) -> Duration {
        let polling = self.settings.poll || self.degraded;
        let (wanted, least) = match polling {
            true => (self.settings.reconcile.min(self.timing.poll), took.saturating_mul(10)),
            false => (self.settings.reconcile, took.saturating_mul(100)),
        };
        wanted.max(least.min(LONGEST_REST)).clamp(Duration::from_millis(10), LONGEST_RECONCILE)
    }

    /// Often enough to hand over soon after a file settled, seldom enough to cost nothing.
    fn settle_tick(&self) -> Duration {
        (self.settings.settle / 4).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }

    /// Compares the capture directory with the one that is being watched. `left`: the watched one was moved or deleted,
    /// so that a new one is new even if it was given the old inode number.
    fn check_root(&mut self, left: bool) {
        let path = self.settings.directory.clone();
        self.next_root_check = Instant::now() + self.timing.root_check;
        let missing = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                let root = Root::Present { device: metadata.dev(), inode: metadata.ino() };
                if root == self.root && !left {
                    return;
                }
                match std::mem::replace(&mut self.root, root) {
                    Root::Unknown => {}
                    Root::Missing => (self.report)(Report::RootBack { path }),
                    Root::Present { .. } => (self.report)(Report::RootReplaced { path }),
                }
                return self.begin();
            }
            Ok(_) => "not a directory".to_owned(),
            Err(error) => error.to_string(),
        };
        self.next_root_check = Instant::now() + self.timing.tick;
        if std::mem::replace(&mut self.root, Root::Missing) != Root::Missing {
            self.events = None;
            self.pending.clear();
            self.second_looks.clear();
            (self.report)(Report::RootMissing { path, error: missing });
        }
    }

    /// Starts over with the directory that is there now.
    fn begin(&mut self) {
        self.caught_up = false;
        self.memory.forget();
        self.second_looks.clear();
        self.open_events();
        self.next_scan = Instant::now();
    }

    /// A new event queue without watches; the scan that follows adds them.
    fn open_events(&mut self) {
        // The old one first: instances are few.
        self.events = None;
        if self.settings.poll {
            return;
        }
        self.next_retry = Instant::now() + self.timing.retry;
        match Events::open(Arc::clone(&self.hints)) {
            Ok(events) => (self.events, self.refused) = (Some(events), false),
            Err(reason) => self.degrade(reason),
        }
    }

    /// Polls from now on, and tries again later.
    pub(super) fn degrade(&mut self, reason: String) {
        self.refused = true;
        if !std::mem::replace(&mut self.degraded, true) {
            (self.report)(Report::WatchUnavailable { reason });
        }
    }

    /// Scans a new directory once more in a while: what was written meanwhile may have sent no event.
    pub(super) fn look_again_later(&mut self, directory: PathBuf) {
        let at = Instant::now() + self.timing.second_look;
        if directory.ancestors().any(|above| self.second_looks.contains_key(above)) {
            return;
        }
        if self.second_looks.len() < MAX_SECOND_LOOKS {
            self.second_looks.insert(directory, at);
        } else {
            self.next_scan = self.next_scan.min(at);
        }
    }
}

#[cfg(test)]
#[path = "tests/rounds.rs"]
mod tests;
