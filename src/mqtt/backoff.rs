//! How long to wait before the next attempt to connect: doubling, with jitter, so that a fleet does not storm a broker
//! that comes back.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// Waiting times between attempts.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait: a random share, from half to all, of a time that doubles up to a minute.
    pub(super) fn next(&mut self) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Waits briefly again, after a connection that did some work but did not last: two clients with one id take the
    /// connection from each other, and must not do so many times a second.
    pub(super) fn ease(&mut self) {
        self.failures = self.failures.min(2);
    }

    /// Begins anew, after a connection that lasted.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_never_beyond() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..100).map(|_| backoff.next()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2);
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        assert!(waits[20..].iter().all(|wait| *wait >= LONGEST / 2));
    }

    /// What a broker meets that is away for ten minutes, of a thousand traps whose connections broke at one moment.
    #[test]
    fn a_fleet_that_lost_its_broker_at_one_moment_soon_spreads_over_the_minute() {
        const TRAPS: usize = 1_000;
        fastrand::seed(1);
        let mut a_second = vec![0_usize; 600];
        for _ in 0..TRAPS {
            let (mut backoff, mut at) = (Backoff::default(), Duration::ZERO);
            loop {
                at += backoff.next();
                let Some(count) = a_second.get_mut(at.as_secs() as usize) else { break };
                *count += 1;
            }
        }
        // In the first seconds they are near each other. In the steady state each comes every 45 s on the average: 22 a second.
        let busiest = |from: usize| a_second[from..].iter().max().copied().unwrap_or_default();
        assert!(busiest(0) <= 2 * TRAPS, "{}", busiest(0));
        assert!(busiest(16) <= TRAPS / 4, "{}", busiest(16));
        assert!(busiest(32) <= TRAPS / 8, "{}", busiest(32));
        assert!(busiest(120) <= TRAPS / 14, "{}", busiest(120));
        assert!(a_second[120..].iter().sum::<usize>() / 480 <= TRAPS / 40);
    }

    #[test]
    fn a_connection_that_worked_but_broke_waits_for_seconds_not_for_a_minute() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            backoff.next();
        }
        backoff.ease();
        let wait = backoff.next();
        assert!(wait <= Duration::from_secs(2) && wait >= Duration::from_secs(1));
    }

    #[test]
    fn a_reset_begins_with_short_waits_again() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            backoff.next();
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
