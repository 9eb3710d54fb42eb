//! How many bytes of pictures may go out in a day. The count itself is in the journal, so that it outlives the daemon.
//!
//! A day is one of UTC by this machine's clock: a wrong clock costs pictures, never an alert.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use crate::health::Status;

/// The key of the warning in `health`.
const WARNING: &str = "pictures";

/// The limit, and whether it was reached.
#[derive(Debug)]
pub struct Allowance {
    most: u64,
    status: Arc<Status>,
    // The day on which there was no room for a picture.
    used_up: Mutex<Option<String>>,
}

impl Allowance {
    /// At most so many bytes a day; 0: not limited.
    pub fn new(most: u64, status: Arc<Status>) -> Self {
        Self { most, status, used_up: Mutex::default() }
    }

    /// Whether a picture may go out now. `spend` notes its bytes on this day unless that makes more than the limit, and says
    /// whether it did. Once there was no room the day is over for pictures.
    ///
    /// # Errors
    /// Those of `spend`.
    pub fn grants<E>(&self, spend: impl FnOnce(&str, u64) -> Result<bool, E>) -> Result<bool, E> {
        self.grants_on(&today(), spend)
    }

    fn grants_on<E>(&self, day: &str, spend: impl FnOnce(&str, u64) -> Result<bool, E>) -> Result<bool, E> {
        if self.most == 0 {
            return Ok(true);
        }
        if self.used_up().as_deref() == Some(day) {
            return Ok(false);
        }
        // Nothing is held meanwhile: the pipeline asks with the journal in hand, for which the link's `spend` may wait.
        let granted = spend(day, self.most)?;
        let mut used_up = self.used_up();
        if granted {
            // Not of this day: the other one may have been refused meanwhile.
            if used_up.take_if(|over| over != day).is_some() {
                self.status.warn(WARNING, None);
            }
        } else {
            let text = format!(
                "the {} bytes of pictures for {day} (UTC, pictures.daily_bytes) are used up; alerts go without until tomorrow",
                self.most
            );
            tracing::warn!("{text}");
            *used_up = Some(day.to_owned());
            self.status.warn(WARNING, Some(text));
        }
        Ok(granted)
    }

    fn used_up(&self) -> MutexGuard<'_, Option<String>> {
        self.used_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the warning back once the day is over.
    pub fn look_at_the_day(&self) {
        let mut used_up = self.used_up();
        if used_up.as_deref().is_some_and(|day| day != today()) {
            *used_up = None;
            self.status.warn(WARNING, None);
        }
    }
}

/// Today, as it is counted.
fn today() -> String {
    let date = OffsetDateTime::now_utc().date();
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Result<bool, ()> = Ok(false);
    const ROOM: Result<bool, ()> = Ok(true);

    #[test]
    fn health_says_so_while_the_days_bytes_are_used_up() {
        let status = Arc::new(Status::new("trap", "b", "h", std::path::Path::new(".")));
        let allowance = Allowance::new(5_000, status.clone());
        let day = "2000-01-01";
        assert_eq!(allowance.grants_on(day, |_, _| ROOM), ROOM);
        assert_eq!(status.first_warning(), None);
        assert_eq!(allowance.grants_on(day, |_, most| if most == 5_000 { FULL } else { Err(()) }), FULL);
        assert!(status.first_warning().is_some_and(|text| text.contains("5000 bytes") && text.contains(day)));
        assert_eq!(allowance.grants_on(day, |_, _| ROOM), FULL, "a smaller one does not bring it back");
        assert_eq!(allowance.grants_on("2000-01-02", |_, _| ROOM), ROOM);
        assert_eq!(status.first_warning(), None);
        assert_eq!(allowance.grants_on(day, |_, _| FULL), FULL);
        allowance.look_at_the_day();
        assert_eq!(status.first_warning(), None, "that day is over");
    }

    #[test]
    fn nobody_who_asks_waits_for_another_ones_count() {
        let status = Arc::new(Status::new("trap", "b", "h", std::path::Path::new(".")));
        let allowance = Arc::new(Allowance::new(5_000, status.clone()));
        let day = "2000-01-01";
        // While the one counts, the other is refused: that stands, though the first fits.
        let first = allowance.grants_on(day, |_, _| {
            let (told, hears) = std::sync::mpsc::channel();
            let allowance = allowance.clone();
            std::thread::spawn(move || told.send(allowance.grants_on(day, |_, _| FULL)));
            assert_eq!(hears.recv_timeout(std::time::Duration::from_secs(30)), Ok(FULL));
            ROOM
        });
        assert_eq!(first, ROOM);
        assert_eq!(allowance.grants_on(day, |_, _| ROOM), FULL);
        assert!(status.first_warning().is_some());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let status = Arc::new(Status::new("trap", "b", "h", std::path::Path::new(".")));
        assert_eq!(Allowance::new(0, status).grants(|_, _| FULL), ROOM);
    }
}
