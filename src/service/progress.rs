//! When the daemon last proved that it works, for those who ask: the watchdog's truth, not another one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long the daemon may go without a proof of work where no service manager says so: `WatchdogSec` of the unit.
pub const OWN_INTERVAL: Duration = Duration::from_secs(180);

/// The moment of the last proof, written by the watchdog.
#[derive(Debug)]
pub struct Progress {
    start: Instant,
    within: Duration,
    // Milliseconds after `start`.
    made: AtomicU64,
}

impl Progress {
    /// A proof is due `within` that time, from now on.
    pub fn new(within: Duration) -> Self {
        Self { start: Instant::now(), within, made: AtomicU64::new(0) }
    }

    /// Within what time a proof has to follow the one before.
    pub fn within(&self) -> Duration {
        self.within
    }

    /// Something was finished just now.
    pub(super) fn made(&self) {
        self.made.store(self.start.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// For how long nothing was finished.
    pub fn age(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.made.load(Ordering::Relaxed)))
    }

    /// Whether the daemon works, as far as its watchdog knows.
    pub fn is_made(&self) -> bool {
        self.age() <= self.within
    }
}
