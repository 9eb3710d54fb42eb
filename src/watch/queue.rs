//! What the workers take from: live frames leave before backlog.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Candidate, Stamp};

/// Settled files on their way to the workers: first in, first out, live before backlog, no path twice.
///
/// A path handed out stays held until [`Queue::done`]; if the file changes meanwhile it is queued again then.
/// Bounded by the watch, which leaves files on disk when there is no [`Queue::room`] and scans again later.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    live: VecDeque<Arc<Path>>,
    /// May hold paths that were promoted to `live` since: whoever takes one looks at `held`.
    backlog: VecDeque<Arc<Path>>,
    held: HashMap<Arc<Path>, Held>,
    live_len: usize,
    backlog_len: usize,
    closed: bool,
}

#[derive(Debug)]
struct Held {
    candidate: Candidate,
    at: Place,
}

#[derive(Debug)]
enum Place {
    Queued,
    /// With the change that came while it was worked on, boxed because there is hardly ever one.
    InWork(Option<Box<Candidate>>),
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

impl Queue {
    /// Candidates of one class (live, backlog) that are held in memory, about 0.3 kB each.
    pub const CAPACITY: usize = 20_000;

    /// An empty queue for [`Queue::CAPACITY`] candidates of each class.
    pub fn new() -> Self {
        Self::with_capacity(Self::CAPACITY)
    }

    /// An empty queue that asks the watch to stop at `capacity` candidates of each class.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), capacity: capacity.max(1) }
    }

    /// The next candidate, waiting for one until `timeout` is over. None then, and at once when closed.
    pub fn pop(&self, timeout: Duration) -> Option<Candidate> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(candidate) = state.take() {
                return Some(candidate);
            }
            // A timeout beyond what the clock can express is for ever.
            let left = deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until what waits, (live, backlog), is as `wanted`; false if it is not so after `timeout`, or when closed.
    pub fn wait(&self, timeout: Duration, wanted: impl Fn(usize, usize) -> bool) -> bool {
        let not_yet = |state: &mut State| !state.closed && !wanted(state.live_len, state.backlog_len);
        // As long as the clock can express.
        let timeout = timeout.min(Duration::from_secs(365 * 86_400));
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, not_yet);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.closed && wanted(state.live_len, state.backlog_len)
    }

    /// Gives a path free after it was dealt with (and recorded: the next scan asks [`super::Seen`]).
    pub fn done(&self, candidate: &Candidate) {
        let mut state = self.lock();
        let again = match state.held.get(candidate.path.as_path()) {
            Some(Held { at: Place::InWork(_), .. }) => state.held.remove(candidate.path.as_path()),
            _ => None,
        };
        if let Some(Held { at: Place::InWork(Some(again)), .. }) = again {
            state.put(*again);
            self.changed.notify_one();
        }
    }

    /// Waiting candidates: (live, backlog). Those in work are not among them.
    pub fn len(&self) -> (usize, usize) {
        let state = self.lock();
        (state.live_len, state.backlog_len)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// Sends all workers home; what waits is found again by the next start's scan.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether [`Queue::close`] was called: tells a worker why [`Queue::pop`] gave nothing.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many more candidates of a class may come.
    pub(super) fn room(&self, live: bool) -> usize {
        let (in_live, in_backlog) = self.len();
        self.capacity.saturating_sub(if live { in_live } else { in_backlog })
    }

    /// How many candidates of a class it takes.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether this very version of the file is queued or in work.
    pub(super) fn holds(&self, path: &Path, stamp: &Stamp) -> bool {
        let state = self.lock();
        state.held.get(path).is_some_and(|held| match &held.at {
            Place::InWork(Some(again)) => again.stamp == *stamp,
            _ => held.candidate.stamp == *stamp,
        })
    }

    /// Adds a settled file. Queued already: the newer version takes its place. In work: queued again afterwards.
    pub(super) fn push(&self, candidate: Candidate) {
        let mut state = self.lock();
        let State { live, held, live_len, backlog_len, .. } = &mut *state;
        match held.get_mut(candidate.path.as_path()) {
            None => state.put(candidate),
            Some(Held { at: Place::InWork(again), .. }) => *again = Some(Box::new(candidate)),
            Some(Held { candidate: queued, .. }) => {
                queued.stamp = candidate.stamp;
                if candidate.live && !queued.live {
                    queued.live = true;
                    live.push_back(Arc::from(candidate.path));
                    *live_len += 1;
                    *backlog_len -= 1;
                }
            }
        }
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change above is complete before the lock is let go: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, candidate: Candidate) {
        let path: Arc<Path> = Arc::from(candidate.path.as_path());
        let (lane, len) = match candidate.live {
            true => (&mut self.live, &mut self.live_len),
            false => (&mut self.backlog, &mut self.backlog_len),
        };
        lane.push_back(Arc::clone(&path));
        *len += 1;
        self.held.insert(path, Held { candidate, at: Place::Queued });
    }

    fn take(&mut self) -> Option<Candidate> {
        while let Some(path) = self.live.pop_front() {
            if let Some(candidate) = self.begin(&path, true) {
                self.live_len -= 1;
                return Some(candidate);
            }
        }
        while let Some(path) = self.backlog.pop_front() {
            if let Some(candidate) = self.begin(&path, false) {
                self.backlog_len -= 1;
                return Some(candidate);
            }
        }
        None
    }

    /// Moves a path from queued to in work, unless it left through the other lane.
    fn begin(&mut self, path: &Path, live: bool) -> Option<Candidate> {
        let held = self.held.get_mut(path)?;
        if !matches!(held.at, Place::Queued) || held.candidate.live != live {
            return None;
        }
        held.at = Place::InWork(None);
        Some(held.candidate.clone())
    }
}

#[cfg(test)]
#[path = "tests/queue.rs"]
mod tests;
