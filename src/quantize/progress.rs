//! A line on standard error that says how far it is: redrawn on a terminal, every other minute one more in a log.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines where no terminal redraws them: whoever reads a log wants to know that it goes on, not each step.
const REST: Duration = Duration::from_secs(120);

/// A progress line.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
    last: Mutex<Last>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Redrawn,
    Lines,
    Never,
}

/// What was said last.
#[derive(Debug)]
struct Last {
    what: String,
    done: usize,
    all: usize,
    at: Instant,
}

impl Progress {
    /// Redrawn if standard error is a terminal, else a line every other minute.
    pub fn on_terminal() -> Self {
        Self::new(if std::io::stderr().is_terminal() { Shown::Redrawn } else { Shown::Lines })
    }

    /// Never shown.
    pub fn silent() -> Self {
        Self::new(Shown::Never)
    }

    fn new(shown: Shown) -> Self {
        Self { shown, last: Mutex::new(Last { what: String::new(), done: 0, all: 0, at: Instant::now() }) }
    }

    /// `done` of `all` steps of `what`; a redrawn line is wiped after the last. Steps of several threads may come in any
    /// order: the count never falls.
    pub fn show(&self, what: &str, done: usize, all: usize) {
        if self.shown == Shown::Never {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = line(self.shown, &mut last, what, done, all, Instant::now()) {
            let mut err = std::io::stderr().lock();
            // A terminal that went away is no reason to stop.
            let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
        }
    }
}

fn line(shown: Shown, last: &mut Last, what: &str, done: usize, all: usize, now: Instant) -> Option<String> {
    const WIDTH: usize = 30;
    let begins = last.what != what || (last.done >= last.all && done <= 1);
    if done < last.done && done < all && !begins {
        return None;
    }
    (last.done, last.all) = (done, all);
    if last.what != what {
        what.clone_into(&mut last.what);
    }
    match shown {
        Shown::Redrawn if done >= all => Some("\r\x1b[2K".to_owned()),
        Shown::Redrawn => {
            let filled = (WIDTH * done).checked_div(all).unwrap_or(WIDTH).min(WIDTH);
            Some(format!("\r\x1b[2K[{}{}] {done}/{all} {what}", "#".repeat(filled), "-".repeat(WIDTH - filled)))
        }
        Shown::Lines if now.duration_since(last.at) >= REST => {
            last.at = now;
            Some(format!("arcticd: {what}, {done} of {all}\n"))
        }
        Shown::Lines | Shown::Never => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_never_falls_whatever_the_order_of_the_threads() {
        let now = Instant::now();
        let mut last = Last { what: String::new(), done: 0, all: 0, at: now };
        let mut show = |what: &str, done| line(Shown::Redrawn, &mut last, what, done, 9, now);
        assert!(show("photos", 3).is_some_and(|line| line.contains("3/9 photos")));
        assert_eq!(show("photos", 2), None);
        assert!(show("photos", 4).is_some_and(|line| line.contains("4/9")));
        assert_eq!(show("photos", 9).as_deref(), Some("\r\x1b[2K"));
        assert_eq!(show("photos", 8), None, "a thread that was late");
        assert!(show("photos", 1).is_some_and(|line| line.contains("1/9")), "a second folder of photos");
        assert!(show("folds", 1).is_some_and(|line| line.contains("1/9 folds")));
    }

    #[test]
    fn a_log_gets_a_line_now_and_then_and_no_bar() {
        let start = Instant::now();
        let mut last = Last { what: String::new(), done: 0, all: 0, at: start };
        let mut show =
            |done, seconds| line(Shown::Lines, &mut last, "photos", done, 900, start + Duration::from_secs(seconds));
        assert_eq!(show(1, 1), None);
        assert_eq!(show(300, 121).as_deref(), Some("arcticd: photos, 300 of 900\n"));
        assert_eq!(show(400, 190), None);
        assert_eq!(show(600, 242).as_deref(), Some("arcticd: photos, 600 of 900\n"));
    }
}
