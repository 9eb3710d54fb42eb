//! When the link is open, where it is not always: windows at a steady pace, and more of them for alerts.

use std::time::{Duration, Instant};

use crate::config::{Power, Uplink, UplinkAlerts};

/// How many times as long as configured a window stays open while there is reason to.
const LONGEST: u32 = 4;
/// How often it is looked whether there still is.
const STRETCH: Duration = Duration::from_secs(10);

/// The pace of the windows.
#[derive(Debug)]
pub struct Windows {
    every: Duration,
    most: Duration,
    alerts_open: bool,
    begun: Option<Instant>,
    ended: Option<Instant>,
    // Windows in a row that ended with an alert unsent.
    vain: u32,
}

/// A window that is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    until: Instant,
    longest: Instant,
}

impl Windows {
    /// As configured; none: the link is always open.
    pub fn of(power: &Power) -> Option<Self> {
        (power.uplink == Uplink::Windows).then(|| Self {
            every: Duration::from_secs(power.uplink_every_s),
            most: Duration::from_secs(power.uplink_for_s),
            alerts_open: power.uplink_alerts == UplinkAlerts::AtOnce,
            begun: None,
            ended: None,
            vain: 0,
        })
    }

    /// Whether an alert opens one.
    pub(super) fn alerts_open(&self) -> bool {
        self.alerts_open
    }

    /// One begins.
    pub(super) fn begin(&mut self, now: Instant) -> Window {
        self.begun = Some(now);
        Window { until: now + self.most, longest: now + self.most * LONGEST }
    }

    /// It is over: because all was said, or `cut` short with or without an alert unsent.
    pub(super) fn end(&mut self, now: Instant, cut: bool, alert: bool) {
        self.ended = Some(now);
        self.vain = if cut && alert { self.vain.saturating_add(1) } else { 0 };
    }

    /// When the next begins at the latest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.begun.map(|begun| begun + self.every)
    }

    /// When it begins for an alert: at once; but where windows go by in vain, after pauses that double, so that a dead
    /// link does not cost the battery.
    pub(super) fn next_for_alert(&self) -> Option<Instant> {
        let pause = match self.vain {
            0 => Duration::ZERO,
            vain => self.most.saturating_mul(1 << (vain - 1).min(20)),
        };
        let after = self.ended? + pause.min(self.every);
        self.next().map(|next| next.min(after))
    }
}

impl Window {
    /// Until when it is open, as far as is known.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Whether it is over; where there is `reason` for more, it is not before it was open for much longer.
    pub(super) fn is_over(&mut self, now: Instant, reason: impl FnOnce() -> bool) -> bool {
        if now < self.until {
            return false;
        }
        let more = now < self.longest && reason();
        if more {
            self.until = (now + STRETCH).min(self.longest);
        }
        !more
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn windows() -> Windows {
        let power = Power { uplink: Uplink::Windows, uplink_every_s: 3_600, uplink_for_s: 300, ..Power::default() };
        Windows::of(&power).unwrap()
    }

    #[test]
    fn a_link_that_is_always_open_has_no_windows() {
        assert!(Windows::of(&Power::default()).is_none());
    }

    #[test]
    fn windows_begin_at_a_steady_pace_and_an_alert_opens_one_at_once() {
        let (mut windows, start) = (windows(), Instant::now());
        windows.begin(start);
        windows.end(start + 7 * SECOND, false, false);
        assert_eq!(windows.next(), Some(start + 3_600 * SECOND));
        assert_eq!(windows.next_for_alert(), Some(start + 7 * SECOND));
    }

    #[test]
    fn windows_in_vain_come_at_pauses_that_double_up_to_the_steady_pace() {
        let (mut windows, mut now) = (windows(), Instant::now());
        for pause in [300, 600, 1_200, 2_400, 3_300, 3_300] {
            windows.begin(now);
            windows.end(now + 300 * SECOND, true, true);
            let next = windows.next_for_alert().unwrap();
            assert_eq!(next - now, (300 + pause) * SECOND);
            now = next;
        }
        // The link was dead, but nothing waited: the next alert is not to suffer for it.
        windows.begin(now);
        windows.end(now + 300 * SECOND, true, false);
        assert_eq!(windows.next_for_alert(), Some(now + 300 * SECOND));
    }

    #[test]
    fn a_window_is_stretched_only_with_reason_and_never_beyond_its_bound() {
        let (mut windows, start) = (windows(), Instant::now());
        let mut window = windows.begin(start);
        assert!(!window.is_over(start + 299 * SECOND, || false));
        assert!(window.is_over(start + 300 * SECOND, || false));
        let mut now = start + 300 * SECOND;
        while !window.is_over(now, || true) {
            assert!(window.until() > now && window.until() <= start + 1_200 * SECOND);
            now = window.until();
        }
        assert_eq!(now, start + 1_200 * SECOND);
    }
}
