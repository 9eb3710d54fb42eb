//! The status line that `systemctl status` shows: told when something changes, and now and then while something waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::sleep;

use super::Manager;
use crate::health::{Link, Status};
use crate::journal::Outbox;

/// Between two lines: whatever changes meanwhile is told together.
const QUIET: Duration = Duration::from_secs(2);
/// Characters of a warning.
const LONGEST: usize = 200;

/// Tells the manager how things stand.
pub struct Teller {
    manager: Manager,
    status: Arc<Status>,
    outbox: Outbox,
    every: Duration,
}

impl Teller {
    /// Looks into `outbox` by a door of its own; tells anew after `every` while something waits.
    pub fn new(manager: Manager, status: Arc<Status>, outbox: Outbox, every: Duration) -> Self {
        Self { manager, status, outbox, every }
    }

    /// Tells until it is dropped. Sleeps while nothing changes.
    pub async fn run(self) {
        let mut told = String::new();
        loop {
            let changed = self.status.changed();
            let (line, waits) = block_in_place(|| self.line());
            if line != told {
                self.manager.status(&line);
                told = line;
            }
            tokio::select! {
                () = changed => {}
                () = sleep(self.every), if waits => {}
            }
            sleep(QUIET).await;
        }
    }

    /// The line, and whether something waits.
    fn line(&self) -> (String, bool) {
        let queued = self.outbox.totals().map(|totals| totals.queued);
        let backlog = self.status.waiting();
        let link = match self.status.link() {
            Link::Starting => "connecting".to_owned(),
            Link::Up => "link up".to_owned(),
            Link::Down => "link down".to_owned(),
            Link::Asleep | Link::AsleepForAll => {
                format!("link asleep until {}", self.status.asleep_until().unwrap_or_default())
            }
        };
        let outbox = queued.as_ref().map_or_else(|error| format!("unknown ({error})"), u64::to_string);
        let waits = backlog.live + backlog.waiting > 0 || !matches!(queued, Ok(0));
        let mut line = format!("{link}; backlog {} live, {} older; outbox {outbox}", backlog.live, backlog.waiting);
        if let Some(warning) = self.status.first_warning() {
            line.push_str("; ");
            line.extend(warning.chars().take(LONGEST));
        }
        (line, waits)
    }
}
