//! Makes room on the card: frames that were looked at leave the capture directory, after their days or when it gets full.
//!
//! * `room` says how much is free, and how much is to stay so.
//! * `leave` proves that a file is the one that was looked at, and takes it away: deleted, or moved by `carry`.
//! * [`Keeper`] decides which may go and when; it has a thread of its own, woken by the scans of the capture directory, so that
//!   nothing wakes up for it alone.
//!
//! Invariants: the journal says which files there are, nothing is listed here; only what it calls done leaves, of alerting frames
//! only those whose messages and event are through; the whole content is read again right before and must be the one that was
//! looked at; no link is followed; what happens without room, rights or target is said once, and tried again later.

mod carry;
mod leave;
mod pass;
mod room;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use room::Room;

use crate::classifier::guarded;
use crate::config::{Capture, Retention};
use crate::health::Status;
use crate::journal::DoneFiles;
use crate::watch::Queue;

/// Between two looks for frames whose days are over.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// Until a pass that took nothing, or met an error, is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(60);

const DAY_S: u64 = 86_400;

/// What may leave, and whereto.
#[derive(Debug, Clone)]
struct Rules {
    directory: PathBuf,
    // None: deleted.
    target: Option<PathBuf>,
    days: u64,
    alert_days: u64,
    min_free: u64,
}

/// To be called after each scan: looks at the room that is left, and wakes the [`Keeper`]. Dropping it ends that.
pub struct Bell {
    directory: PathBuf,
    min_free: u64,
    status: Arc<Status>,
    // None: frames stay.
    keeper: Option<SyncSender<()>>,
}

impl Bell {
    /// The capture directory was there and was scanned.
    pub fn ring(&self) {
        let room = Room::of(&self.directory, self.min_free).ok();
        self.status.capture_free_mib(room.as_ref().map(Room::free_mib));
        match &self.keeper {
            // Rung already: the next pass sees what this one would.
            Some(keeper) => drop(keeper.try_send(())),
            None => {
                let text = room.filter(Room::is_low).map(|room| {
                    format!("{}: {room}: make room, or let capture.retention do it", self.directory.display())
                });
                self.status.tell("room", text);
            }
        }
    }
}

/// Takes frames away, one pass after a scan.
pub struct Keeper {
    rules: Rules,
    trap: String,
    files: DoneFiles,
    queue: Arc<Queue>,
    status: Arc<Status>,
    // When frames are looked for whose days are over, and when room is tried to be made.
    next_look: Instant,
    next_try: Instant,
}

/// The bell for `capture`, and who hears it where frames are not to stay; `files` opens the journal for that one.
///
/// # Errors
/// Those of `files`, and a thread can't be had.
pub fn begin<E: From<std::io::Error>>(
    capture: &Capture,
    trap: &str,
    queue: &Arc<Queue>,
    status: &Arc<Status>,
    files: impl FnOnce() -> Result<DoneFiles, E>,
) -> Result<(Bell, Option<JoinHandle<()>>), E> {
    let min_free = capture.min_free_mib << 20;
    let bell = |keeper| Bell { directory: capture.directory.clone(), min_free, status: status.clone(), keeper };
    if capture.retention == Retention::Keep {
        return Ok((bell(None), None));
    }
    let rules = Rules {
        directory: capture.directory.clone(),
        target: capture.retention_directory.clone().filter(|_| capture.retention == Retention::Move),
        days: capture.retention_days,
        alert_days: capture.retention_alert_days,
        min_free,
    };
    let keeper = Keeper::new(rules, trap, files()?, queue.clone(), status.clone());
    let (ring, rings) = sync_channel(1);
    let thread = thread::Builder::new().name("arcticd-retention".into()).spawn(move || keeper.run(&rings))?;
    Ok((bell(Some(ring)), Some(thread)))
}

impl Keeper {
    fn new(rules: Rules, trap: &str, files: DoneFiles, queue: Arc<Queue>, status: Arc<Status>) -> Self {
        let now = Instant::now();
        Self { rules, trap: trap.to_owned(), files, queue, status, next_look: now, next_try: now }
    }

    /// Works until the bell is gone.
    fn run(mut self, rings: &Receiver<()>) {
        while rings.recv().is_ok() {
            if self.queue.is_closed() {
                return;
            }
            // It must not take the daemon with it.
            let status = self.status.clone();
            match guarded("retention", || self.pass()) {
                Ok(Ok(true)) => status.tell("retention", None),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    (self.next_look, self.next_try) = (Instant::now() + TRY_AGAIN, Instant::now() + TRY_AGAIN);
                    status.tell("retention", Some(format!("frames stay: {error:#}")));
                }
                Err(panic) => {
                    status.tell("retention", Some(format!("frames stay until the next start: {panic}")));
                    return;
                }
            }
        }
    }
}
