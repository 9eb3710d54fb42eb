//! Events close by themselves when no frame has come to them for a while.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::Pipeline;
use super::alert::{TOPIC, numbered};
use super::upkeep::FIRST_PAUSE;
use crate::classifier::rfc3339;
use crate::detect::burst;
use crate::health::Link;
use crate::journal::priority;

impl Pipeline {
    /// How long nothing needs doing unless a frame comes.
    pub(super) fn until_next_close(&self) -> Duration {
        const IDLE: Duration = Duration::from_secs(3600);
        let gap = Duration::from_secs(self.alerts.gap_s);
        self.active.values().map(|last| gap.saturating_sub(last.elapsed())).min().unwrap_or(IDLE).min(IDLE)
    }

    pub(super) fn close_idle_events(&mut self) {
        let gap = Duration::from_secs(self.alerts.gap_s);
        // Frames still waiting may belong to an open event.
        if self.active.is_empty() || !self.queue.is_empty() || self.unwritable.is_some() {
            return;
        }
        let idle: Vec<String> =
            self.active.iter().filter(|(_, last)| last.elapsed() >= gap).map(|(id, _)| id.clone()).collect();
        for id in idle {
            // Each closing is a commit; a frame that lands meanwhile, or a stop, does not wait for all of them.
            if self.queue.is_closed() || !self.queue.is_empty() {
                return;
            }
            match self.close_event(&id) {
                Ok(()) => {
                    self.active.remove(&id);
                    self.outbox_filled.notify_one();
                    self.status.queued();
                }
                Err(error) => {
                    tracing::error!(event = id, "{error:#}; the event stays open and is closed later");
                    if let Some(error) = error.downcast_ref() {
                        self.journal_failed(error, FIRST_PAUSE);
                    }
                    self.active.insert(id, Instant::now());
                }
            }
        }
    }

    fn close_event(&mut self, id: &str) -> anyhow::Result<()> {
        let offline = self.status.link() != Link::Up;
        let trap = &self.trap;
        self.journal.transaction(|transaction| {
            let Some(mut stored) = transaction.event(id)? else { return Ok(()) };
            stored.event.open = false;
            transaction.put_event(&stored)?;
            let now = rfc3339(OffsetDateTime::now_utc());
            let Some(summary) = burst::summary(&stored, trap, offline, now) else {
                tracing::warn!(event = id, "its best frame was written by another version; closed without a summary");
                return Ok(());
            };
            let message = summary.id.clone();
            transaction.queue(&message, priority::SUMMARY, TOPIC, |epoch, seq| numbered(summary, epoch, seq))?;
            Ok(())
        })?;
        tracing::info!(event = id, "event closed");
        Ok(())
    }
}
