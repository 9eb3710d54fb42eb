//! Kernel events, boiled down to "look at this path".

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind};

/// What an event says about a path; the newest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Something happened there.
    Look,
    /// It was deleted or moved away; something else may have that name by now.
    Left,
    /// Bytes were written, perhaps without moving a coarse file time.
    Written,
    /// Its writer closed it, or it was renamed to this name: finished, as far as anybody can tell.
    Finished,
}

/// Hints on their way from the event thread to the watch thread.
///
/// The event thread never waits for anything but this lock: one path is one entry, and beyond [`Hints::CAPACITY`] paths
/// they are all forgotten in favour of a full scan.
#[derive(Debug, Default)]
pub(super) struct Hints {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    paths: HashMap<PathBuf, (Hint, u64)>,
    /// Numbers the hints, so that files leave in the order in which they were finished.
    next: u64,
    /// Something to look at now. Writes alone are not: a slow copy, or a log file in the wrong place, would keep the
    /// watch thread awake; they are taken along at its next tick.
    urgent: bool,
    lost: bool,
    stopped: bool,
}

/// What was collected since the last [`Hints::wait`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// In the order of their last event.
    pub paths: Vec<(PathBuf, Hint)>,
    /// Events were lost: only a full scan tells what happened.
    pub lost: bool,
    /// The watch is to end.
    pub stopped: bool,
}

impl Hints {
    /// Different paths held between two wake-ups of the watch thread.
    pub(super) const CAPACITY: usize = 16_384;

    /// Takes what notify delivers.
    pub(super) fn on_event(&self, event: notify::Result<Event>) {
        // An overflow is an event *without paths*: look at the flag before anything else.
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            _ => return self.lose(),
        };
        let hint = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Hint::Finished,
            // Our own reading, mostly.
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Hint::Finished,
            // Repeats what `From` and `To` said.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => Hint::Left,
            EventKind::Modify(ModifyKind::Name(_)) => Hint::Look,
            EventKind::Modify(ModifyKind::Metadata(_)) => return self.add(event.paths, Hint::Look, true),
            EventKind::Modify(_) => Hint::Written,
            _ => Hint::Look,
        };
        self.add(event.paths, hint, false);
    }

    /// Waits for hints that matter now, at most `timeout`, and takes all there are.
    pub(super) fn wait(&self, timeout: Duration) -> Batch {
        let idle = |state: &mut State| !state.urgent && !state.lost && !state.stopped;
        let mut state =
            self.changed.wait_timeout_while(self.lock(), timeout, idle).unwrap_or_else(PoisonError::into_inner).0;
        let mut paths: Vec<_> = std::mem::take(&mut state.paths).into_iter().collect();
        state.urgent = false;
        let (lost, stopped) = (std::mem::take(&mut state.lost), state.stopped);
        drop(state);
        paths.sort_unstable_by_key(|(_, (_, number))| *number);
        Batch { paths: paths.into_iter().map(|(path, (hint, _))| (path, hint)).collect(), lost, stopped }
    }

    /// Ends the watch thread.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Whether [`Hints::stop`] was called; long scans ask.
    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn lose(&self) {
        let mut state = self.lock();
        state.lost = true;
        state.paths = HashMap::new();
        self.changed.notify_all();
    }

    /// `keep`: a change of permissions or times does not undo what was known about the content.
    fn add(&self, paths: Vec<PathBuf>, hint: Hint, keep: bool) {
        let mut state = self.lock();
        for path in paths {
            let number = state.next;
            state.next += 1;
            if state.paths.len() >= Self::CAPACITY && !state.paths.contains_key(&path) {
                drop(state);
                return self.lose();
            }
            let entry = state.paths.entry(path).or_insert((hint, number));
            if !keep {
                *entry = (hint, number);
            }
        }
        if hint != Hint::Written {
            state.urgent = true;
            self.changed.notify_all();
        }
    }

    /// Stalls the event thread as a busy machine would, for as long as the answer is kept.
    #[cfg(test)]
    pub(super) fn stall(&self) -> MutexGuard<'_, State> {
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "tests/hints.rs"]
mod tests;
