//! Files that have not been seen to stand still yet.
//!
//! Time comes from the caller, so that the rule can be tested without waiting. File times are only compared with each
//! other: a camera's clock may be years off.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Stamp;

/// The files that wait, by path.
#[derive(Debug)]
pub(super) struct Pending {
    settle: Duration,
    files: HashMap<PathBuf, Waiting>,
    live: usize,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    /// At the last look.
    pub stamp: Stamp,
    /// Whether it goes before backlog.
    pub live: bool,
    since: Instant,
}

impl Pending {
    pub(super) fn new(settle: Duration) -> Self {
        Self { settle, files: HashMap::new(), live: 0 }
    }

    /// How many wait, of one class.
    pub(super) fn len(&self, live: bool) -> usize {
        if live { self.live } else { self.files.len() - self.live }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// Notes a look at a file. It begins to stand still now if it is new here, has changed since the last look, or was
    /// `written` (a coarse file time does not show every write). Once live, it stays live; backlog becomes live only by
    /// moving, not by being looked at again.
    pub(super) fn look(&mut self, path: PathBuf, stamp: Stamp, live: bool, written: bool, now: Instant) {
        let mut waiting = Waiting { stamp, live, since: now };
        if let Some(before) = self.remove(&path) {
            if before.stamp == stamp && !written {
                waiting = before;
            } else {
                waiting.live |= before.live;
            }
        }
        self.live += usize::from(waiting.live);
        self.files.insert(path, waiting);
    }

    /// Those that stood still long enough as far as is known, in the order they were made: each needs a second look.
    pub(super) fn due(&self, now: Instant) -> Vec<PathBuf> {
        let still = |waiting: &Waiting| now.saturating_duration_since(waiting.since) >= self.settle;
        let mut due: Vec<_> = self.files.iter().filter(|(_, waiting)| still(waiting)).collect();
        due.sort_unstable_by_key(|(path, waiting)| (waiting.stamp.mtime_ns, *path));
        due.into_iter().map(|(path, _)| path.clone()).collect()
    }

    /// Whether a file that is due still looked the same at the second look, and so is settled; forgets it then. Else
    /// its wait begins anew.
    pub(super) fn settles(&mut self, path: &Path, stamp: Stamp, now: Instant) -> Option<Waiting> {
        match self.files.get_mut(path) {
            Some(waiting) if waiting.stamp == stamp => self.remove(path),
            Some(waiting) => {
                (waiting.stamp, waiting.since) = (stamp, now);
                None
            }
            None => None,
        }
    }

    /// Forgets a file that vanished or was handed over.
    pub(super) fn remove(&mut self, path: &Path) -> Option<Waiting> {
        let waiting = self.files.remove(path)?;
        self.live -= usize::from(waiting.live);
        Some(waiting)
    }

    pub(super) fn clear(&mut self) {
        self.files = HashMap::new();
        self.live = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(2);

    fn stamp(size: u64) -> Stamp {
        Stamp { size, mtime_ns: i64::MAX, inode: 1, device: 1 }
    }

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_file_settles_when_it_stood_still_and_not_before() {
        let (mut pending, path, start) = (Pending::new(SETTLE), PathBuf::from("a.jpg"), Instant::now());
        pending.look(path.clone(), stamp(5), false, false, start);
        assert!(pending.due(after(start, 1_999)).is_empty());
        assert_eq!(pending.due(after(start, 2_000)), std::slice::from_ref(&path));
        assert!(pending.settles(&path, stamp(5), after(start, 2_000)).is_some());
        assert!(pending.is_empty());
    }

    #[test]
    fn a_slow_copy_waits_until_it_ends() {
        let (mut pending, path, start) = (Pending::new(SETTLE), PathBuf::from("a.jpg"), Instant::now());
        for step in 0..10 {
            pending.look(path.clone(), stamp(step), true, false, after(start, step * 1_500));
            assert!(pending.due(after(start, step * 1_500 + 1_499)).is_empty());
        }
        // Grown unnoticed between the two looks: it waits again.
        assert_eq!(pending.due(after(start, 15_500)), std::slice::from_ref(&path));
        assert_eq!(pending.settles(&path, stamp(99), after(start, 15_500)), None);
        assert!(pending.due(after(start, 17_499)).is_empty());
        assert!(pending.settles(&path, stamp(99), after(start, 17_500)).is_some());
    }

    #[test]
    fn a_write_that_moves_neither_size_nor_time_still_counts() {
        let (mut pending, path, start) = (Pending::new(SETTLE), PathBuf::from("a.jpg"), Instant::now());
        pending.look(path.clone(), stamp(5), true, false, start);
        pending.look(path.clone(), stamp(5), true, true, after(start, 1_500));
        assert!(pending.due(after(start, 2_500)).is_empty());
        // A mere look does not: else frequent scans would starve it.
        pending.look(path.clone(), stamp(5), true, false, after(start, 3_000));
        assert_eq!(pending.due(after(start, 3_500)), [path]);
    }

    #[test]
    fn live_counts_follow_promotion_and_removal() {
        let (mut pending, start) = (Pending::new(SETTLE), Instant::now());
        pending.look("a".into(), stamp(1), false, false, start);
        pending.look("b".into(), stamp(1), true, false, start);
        assert_eq!((pending.len(true), pending.len(false)), (1, 1));
        // Looked at again, by a scan that takes everything new for live: no reason to overtake others.
        pending.look("a".into(), stamp(1), true, false, start);
        assert_eq!((pending.len(true), pending.len(false)), (1, 1));
        pending.look("a".into(), stamp(2), true, false, start);
        pending.look("b".into(), stamp(2), false, false, start);
        assert_eq!((pending.len(true), pending.len(false)), (2, 0));
        pending.remove(Path::new("a"));
        assert_eq!((pending.len(true), pending.len(false)), (1, 0));
    }

    #[test]
    fn frames_of_a_burst_settle_in_the_order_they_were_taken() {
        let (mut pending, start) = (Pending::new(SETTLE), Instant::now());
        for (name, mtime_ns) in [("c", 1), ("a", 3), ("b", 2), ("d", 1)] {
            pending.look(name.into(), Stamp { mtime_ns, ..stamp(1) }, true, false, start);
        }
        let due = pending.due(after(start, 2_000));
        assert_eq!(due, ["c", "d", "b", "a"].map(PathBuf::from));
    }
}
