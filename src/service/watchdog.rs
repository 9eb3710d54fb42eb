//! Pings that prove work: only the pipeline's thread holds a [`Watchdog`], and tells it what it has just done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Manager, Progress, Pulse};

/// The picture that is looked at when no frame comes: a rendered bear (`testkit`'s scene 1, 160 x 120 pixels).
pub const SELF_TEST: &[u8] = include_bytes!("self_test.jpg");

/// Turns progress into pings.
///
/// In an interval of the manager's, a frame counts from the first quarter on; if there was none by the half, a self-test
/// is due. One that fails, or a thread beside the pipeline that is late by a whole interval, leaves the ping out.
pub struct Watchdog {
    // None: nobody watches.
    interval: Option<Duration>,
    ping: Box<dyn FnMut() + Send>,
    pulses: Vec<Arc<Pulse>>,
    progress: Option<Arc<Progress>>,
    pinged: Instant,
    due: Instant,
    complained: bool,
}

impl Watchdog {
    /// For the manager that started this process. It also minds `pulses`.
    pub fn new(manager: Manager, pulses: Vec<Arc<Pulse>>) -> Self {
        Self::of(manager.watchdog(), pulses, move || manager.ping())
    }

    /// Pings nobody, and never wants a self-test.
    pub fn off() -> Self {
        Self::of(None, Vec::new(), || {})
    }

    /// Tells `progress` of each ping too. Where no manager watches, work is looked at all the same, in the intervals of
    /// `progress`.
    pub fn telling(mut self, progress: Arc<Progress>) -> Self {
        let interval = *self.interval.get_or_insert(progress.within());
        self.due = Instant::now() + interval / 2;
        Self { progress: Some(progress), ..self }
    }

    fn of(interval: Option<Duration>, pulses: Vec<Arc<Pulse>>, ping: impl FnMut() + Send + 'static) -> Self {
        let now = Instant::now();
        let due = now + interval.unwrap_or_default() / 2;
        Self { interval, ping: Box::new(ping), pulses, progress: None, pinged: now, due, complained: false }
    }

    /// A frame was dealt with, well or not.
    pub fn progress(&mut self) {
        if let Some(interval) = self.interval
            && self.pinged.elapsed() >= interval / 4
        {
            self.pass(interval);
        }
    }

    /// Until a self-test is due, if nothing happens before.
    pub fn until_due(&self) -> Duration {
        self.interval.map_or(Duration::MAX, |_| self.due.saturating_duration_since(Instant::now()))
    }

    /// Whether a self-test is due.
    pub fn is_due(&self) -> bool {
        self.until_due().is_zero()
    }

    /// How the self-test went.
    pub fn tested(&mut self, well: bool) {
        let Some(interval) = self.interval else { return };
        match well {
            true => self.pass(interval),
            // Another try or two before the manager loses patience.
            false => self.due = Instant::now() + interval / 8,
        }
    }

    fn pass(&mut self, interval: Duration) {
        let now = Instant::now();
        let late = self.pulses.iter().find(|pulse| pulse.late().is_some_and(|late| late > interval));
        if let Some(pulse) = late {
            if !std::mem::replace(&mut self.complained, true) {
                tracing::error!("{} does not move any more; the watchdog is not fed until it does", pulse.name());
            }
            self.due = now + interval / 8;
            return;
        }
        self.complained = false;
        (self.ping)();
        if let Some(progress) = &self.progress {
            progress.made();
        }
        self.pinged = now;
        self.due = now + interval / 2;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const MOMENT: Duration = Duration::from_nanos(8);

    fn counted(interval: Duration, pulses: Vec<Arc<Pulse>>) -> (Watchdog, Arc<AtomicUsize>) {
        let pings = Arc::new(AtomicUsize::new(0));
        let counter = pings.clone();
        (
            Watchdog::of(Some(interval), pulses, move || {
                counter.fetch_add(1, Ordering::Relaxed);
            }),
            pings,
        )
    }

    #[test]
    fn frames_ping_only_when_a_quarter_of_the_interval_is_over() {
        let (mut early, pings) = counted(HOUR, Vec::new());
        (0..100).for_each(|_| early.progress());
        assert_eq!(pings.load(Ordering::Relaxed), 0);
        assert!(!early.is_due() && early.until_due() > HOUR / 3);
        let (mut late, pings) = counted(MOMENT, Vec::new());
        (0..100).for_each(|_| late.progress());
        assert!(pings.load(Ordering::Relaxed) > 1);
    }

    #[test]
    fn a_self_test_that_fails_does_not_ping_and_is_tried_again() {
        let (mut watchdog, pings) = counted(HOUR, Vec::new());
        watchdog.tested(false);
        assert_eq!(pings.load(Ordering::Relaxed), 0);
        assert!(watchdog.until_due() <= HOUR / 8 && !watchdog.is_due());
        watchdog.tested(true);
        assert_eq!(pings.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_thread_that_breaks_its_promise_stops_the_pings_until_it_moves() {
        let pulse = Arc::new(Pulse::new("the watch"));
        let (mut watchdog, pings) = counted(Duration::from_micros(1), vec![pulse.clone()]);
        watchdog.tested(true);
        assert_eq!(pings.load(Ordering::Relaxed), 1, "who promised nothing is not minded");
        pulse.promise(Duration::ZERO);
        while pulse.late() <= Some(Duration::from_millis(1)) {
            std::hint::spin_loop();
        }
        watchdog.tested(true);
        watchdog.progress();
        assert_eq!(pings.load(Ordering::Relaxed), 1);
        pulse.promise(HOUR);
        watchdog.tested(true);
        assert_eq!(pings.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_is_told_of_progress_is_what_the_manager_hears() {
        let (watchdog, pings) = counted(MOMENT, Vec::new());
        let progress = Arc::new(Progress::new(Duration::ZERO));
        let mut watchdog = watchdog.telling(progress.clone());
        let before = progress.age();
        watchdog.tested(false);
        assert!(progress.age() >= before && pings.load(Ordering::Relaxed) == 0);
        while progress.age() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        let before = progress.age();
        watchdog.tested(true);
        assert!(progress.age() < before && pings.load(Ordering::Relaxed) == 1);
    }

    #[test]
    fn work_is_looked_at_for_the_page_where_no_manager_watches() {
        let mut watchdog = Watchdog::off().telling(Arc::new(Progress::new(HOUR)));
        assert!(watchdog.until_due() <= HOUR / 2 && !watchdog.is_due());
        watchdog.tested(true);
        assert!(watchdog.until_due() > HOUR / 3);
    }

    #[test]
    fn nobody_is_pinged_where_nobody_watches() {
        let mut off = Watchdog::off();
        off.progress();
        off.tested(true);
        assert_eq!(off.until_due(), Duration::MAX);
        assert!(!off.is_due());
    }
}
