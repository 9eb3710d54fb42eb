//! When a thread or task will be heard of again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const NOTHING_PROMISED: u64 = u64::MAX;

/// A promise, renewed by whoever works and looked at by the watchdog: "I will be back by then".
#[derive(Debug)]
pub struct Pulse {
    name: &'static str,
    start: Instant,
    // Milliseconds after `start`.
    due: AtomicU64,
}

impl Pulse {
    /// Of the thread or task `name`, which has promised nothing yet.
    pub fn new(name: &'static str) -> Self {
        Self { name, start: Instant::now(), due: AtomicU64::new(NOTHING_PROMISED) }
    }

    /// Whose it is.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// It works now, and will be heard of again after at most `within` (a nap), or at once.
    pub fn promise(&self, within: Duration) {
        let due = self.start.elapsed().saturating_add(within).as_millis();
        self.due.store(u64::try_from(due).unwrap_or(NOTHING_PROMISED), Ordering::Relaxed);
    }

    /// It may be silent from now on.
    pub fn rest(&self) {
        self.due.store(NOTHING_PROMISED, Ordering::Relaxed);
    }

    /// By how much it is late; none if it is not.
    pub fn late(&self) -> Option<Duration> {
        let due = self.due.load(Ordering::Relaxed);
        let late = self.start.elapsed().checked_sub(Duration::from_millis(due))?;
        (due != NOTHING_PROMISED).then_some(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_promised_nothing_or_is_on_a_nap_is_never_late() {
        let pulse = Pulse::new("test");
        assert_eq!(pulse.late(), None);
        pulse.promise(Duration::from_secs(3600));
        assert_eq!(pulse.late(), None);
        pulse.promise(Duration::ZERO);
        assert!(pulse.late().is_some());
        pulse.rest();
        assert_eq!(pulse.late(), None);
        pulse.promise(Duration::MAX);
        assert_eq!(pulse.late(), None, "no overflow");
    }
}
