//! How old the journal is, in seconds that it was witnessed: the clock by which frames leave the card.
//!
//! The calendar can't say that. A board without a clock chip begins in the past and jumps by years once it hears of the time, and
//! each frame would be old at once. While the daemon runs, the monotonic clock counts; from one process to the next the calendar
//! does, for [`MOST_OFF`] at most. So a clock that is wrong costs days, and mostly makes frames stay longer.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension};
use time::OffsetDateTime;

/// What a time between two processes counts for at most.
const MOST_OFF: i64 = 86_400;

/// It is written down this often at most, together with something that is written anyway: an idle trap writes nothing.
pub(super) const EVERY: Duration = Duration::from_secs(3600);
/// At a clean stop more often: a trap that runs for minutes each hour counts them too.
pub(super) const LEAST: Duration = Duration::from_secs(10);

/// Counts on from what the journal says.
#[derive(Debug)]
pub(super) struct Age {
    at_begin: u64,
    begun: Instant,
    last: Mutex<Option<Instant>>,
}

/// Takes the count up where the last process left it.
pub(super) fn begin(db: &Connection) -> rusqlite::Result<Age> {
    let text: Option<String> =
        db.query_row("SELECT value FROM meta WHERE key = 'age'", [], |row| row.get(0)).optional()?;
    Ok(Age::after(text.as_deref(), now()))
}

impl Age {
    /// After what was written down (`SECONDS CALENDAR`), at `calendar`.
    fn after(text: Option<&str>, calendar: i64) -> Self {
        let written: Option<(u64, i64)> = text.and_then(|text| {
            let (seconds, at) = text.split_once(' ')?;
            Some((seconds.parse().ok()?, at.parse().ok()?))
        });
        let at_begin = written.map_or(0, |(seconds, at)| {
            let off = calendar.saturating_sub(at).clamp(0, MOST_OFF);
            seconds.saturating_add(off.unsigned_abs())
        });
        Self { at_begin, begun: Instant::now(), last: Mutex::new(None) }
    }

    /// Seconds.
    pub fn now(&self) -> u64 {
        self.at_begin.saturating_add(self.begun.elapsed().as_secs())
    }

    /// Writes the count down if that was not done for so long; to be confirmed by [`Age::saved`] once it is on disk.
    pub fn save(&self, db: &Connection, every: Duration) -> rusqlite::Result<Option<Instant>> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < every) {
            return Ok(None);
        }
        let at = Instant::now();
        db.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('age', ?1)")?.execute([format!(
            "{} {}",
            self.now(),
            now()
        )])?;
        Ok(Some(at))
    }

    /// What [`Age::save`] wrote is on disk.
    pub fn saved(&self, at: Option<Instant>) {
        if at.is_some() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = at;
        }
    }
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn a_calendar_that_jumps_between_two_processes_counts_for_a_day_and_one_that_goes_back_for_nothing() {
        let now = |text, calendar| Age::after(text, calendar).now();
        assert_eq!(now(None, 50 * 365 * DAY), 0);
        assert_eq!(now(Some("1000 500"), 560), 1060);
        assert_eq!(now(Some("1000 0"), 50 * 365 * DAY), 1000 + 86_400);
        assert_eq!(now(Some("1000 1700000000"), 0), 1000);
        assert_eq!(now(Some("1000 -9223372036854775808"), i64::MAX), 1000 + 86_400);
        assert_eq!(now(Some("nonsense"), 5), 0);
    }
}
