//! Finds settled files in the capture directory; events are hints, the scan is the truth.
//!
//! * `names` says which file names are frames.
//! * `hints` turns kernel events into "look at this path", coalesced and bounded; a flood becomes one full scan.
//! * `events` adds a watch to a directory, or says why that cannot be.
//! * `pending` holds files until they stand still.
//! * `scan` walks a tree and sorts out what is new.
//! * `rounds` is the thread: root, scans, hints, settled files.
//! * [`Queue`] is what the workers take from: live frames before backlog.
//!
//! Invariants: a file is opened by nobody here, only looked at; a directory is watched *before* it is listed, so nothing
//! falls between the two; file times are never compared with the clock to decide that a file is settled; the thread
//! sleeps unless something is unsettled.
//!
//! Symbolic links inside the capture directory are ignored, for files as for directories (loops, and files that belong
//! to somebody else); the capture directory itself may be one.

mod candidate;
mod events;
mod hints;
pub(crate) mod names;
mod pending;
mod queue;
mod report;
mod rounds;
mod scan;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use candidate::relative_name;
pub use candidate::{Candidate, Seen, Stamp};
pub use queue::Queue;
pub use report::Report;
pub(crate) use scan::MAX_DEPTH;

use hints::Hints;
use rounds::{Rounds, Timing};

use crate::service::Pulse;

/// What to watch, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The capture directory. It may be missing, and may vanish and come back.
    pub directory: PathBuf,
    /// Scans only, for file systems that send no events (NFS, SMB, FUSE). The interval is `reconcile`, but at most 3 s,
    /// and at least ten times as long as a scan takes. NFS clients cache attributes for 3 s and more: let `settle` be
    /// longer than that there, or frames are handed over half-written (and again once they are whole).
    pub poll: bool,
    /// How long size and time of a file must stand still, on this machine's monotonic clock, before it counts as
    /// finished although nobody was seen closing it.
    pub settle: Duration,
    /// Time between full scans; stretched so that scanning stays below a hundredth of the time.
    pub reconcile: Duration,
    /// A file found by the start-up scan is live when its time is at most this far from the clock.
    pub fresh: Duration,
}

/// Why watching could not begin. A missing capture directory is no such reason: it is reported and waited for.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The path means nothing: it is empty, or relative while the working directory is gone.
    #[error("the capture directory {path:?} is no usable path ({reason}): give an absolute path")]
    Directory {
        /// As configured.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The system refused a thread.
    #[error("the watch thread could not be started ({reason}): raise the limit of tasks or free memory")]
    Thread {
        /// What the system said.
        reason: std::io::Error,
    },
}

/// A running watch. Dropping it stops it.
#[derive(Debug)]
pub struct Watch {
    hints: Arc<Hints>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Ends the watch and waits for its thread: at most one look at a file, and whatever `seen` and `report` take.
    pub fn stop(self) {
        drop(self);
    }

    /// False once the thread has ended; before [`Watch::stop`] that means it died, and nothing new will be found.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hints.stop();
        if let Some(thread) = self.thread.take() {
            // A panic in there has printed itself already; `is_running` is how a daemon notices in time.
            let _ = thread.join();
        }
    }
}

/// Watches in a thread of its own until the [`Watch`] is stopped; settled files go to `queue`, unless `seen` knows them.
///
/// `seen` and `report` are called from that thread: while they wait, nothing is found. `pulse` beats while it lives;
/// `report` is dropped when it ends.
///
/// # Errors
/// When the path is unusable or no thread can be had. Everything else is reported and survived.
pub fn start(
    settings: Settings,
    seen: impl Seen,
    queue: Arc<Queue>,
    pulse: Arc<Pulse>,
    report: impl Fn(Report) + Send + 'static,
) -> Result<Watch, WatchError> {
    start_timed(settings, Timing { pulse, ..Timing::default() }, seen, queue, report)
}

fn start_timed(
    mut settings: Settings,
    timing: Timing,
    seen: impl Seen,
    queue: Arc<Queue>,
    report: impl Fn(Report) + Send + 'static,
) -> Result<Watch, WatchError> {
    settings.directory = std::path::absolute(&settings.directory)
        .map_err(|reason| WatchError::Directory { path: settings.directory.clone(), reason })?;
    let hints = Arc::new(Hints::default());
    let rounds = Rounds::new(settings, timing, seen, queue, Arc::clone(&hints), report);
    let thread = std::thread::Builder::new()
        .name("watch".into())
        .spawn(move || rounds.run())
        .map_err(|reason| WatchError::Thread { reason })?;
    Ok(Watch { hints, thread: Some(thread) })
}
