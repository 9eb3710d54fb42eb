//! What the daemon knows of itself, and the heartbeat made of it: work done, not merely life.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::classifier::rfc3339;
use crate::config::Power;
use crate::contract::words;
use crate::journal::Totals;
use crate::power::{Board, Supply};

/// Counters and moments, written by the pipeline, the watch and the link; read by the heartbeat.
#[derive(Debug)]
pub struct Status {
    trap: String,
    backbone: String,
    directory: std::path::PathBuf,
    started: Instant,
    board: Board,
    inner: Mutex<Inner>,
    changed: Notify,
    damage: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    damage: Option<String>,
    head: String,
    link: Link,
    // Until when it is asleep, as a person reads it.
    asleep_until: String,
    counters: Counters,
    moments: Moments,
    backlog: Backlog,
    capture_free_mib: Option<u64>,
    warnings: BTreeMap<&'static str, String>,
}

/// Whether messages reach the broker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The first attempt is not over.
    #[default]
    Starting,
    /// Connected.
    Up,
    /// Not connected.
    Down,
    /// Closed until the next window; an alert opens it.
    Asleep,
    /// Closed until the next window, whatever is seen.
    AsleepForAll,
}

/// Since the daemon started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Counters {
    /// Files read.
    pub frames: u64,
    /// Frames classified.
    pub classified: u64,
    /// Files that are no frame, or that could not be classified.
    pub failed: u64,
    /// Files whose content was known.
    pub copies: u64,
    /// Frames that alerted.
    pub alerts: u64,
    /// Messages acknowledged by the broker.
    pub acknowledged: u64,
    /// Connections to the broker.
    pub connections: u64,
    /// Frames moved out of the capture directory.
    pub moved: u64,
    /// Frames deleted.
    pub deleted: u64,
}

/// When work was last done, RFC 3339.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Moments {
    /// A file was read.
    #[schemars(regex(pattern = words::MOMENT))]
    pub seen_at: Option<String>,
    /// A frame was classified.
    #[schemars(regex(pattern = words::MOMENT))]
    pub classified_at: Option<String>,
    /// A message was acknowledged.
    #[schemars(regex(pattern = words::MOMENT))]
    pub acknowledged_at: Option<String>,
}

/// Files waiting to be classified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Backlog {
    /// Just arrived.
    pub live: usize,
    /// Found when the daemon started or a card came back.
    pub waiting: usize,
}

/// The heartbeat, published retained on `health`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Health {
    /// Version of the payload, 1.
    #[schemars(extend("const" = 1))]
    pub(crate) schema: u32,
    /// Name of the trap.
    #[schemars(regex(pattern = words::NAME))]
    pub(crate) trap: String,
    /// When it was made: RFC 3339, the trap's clock.
    #[schemars(regex(pattern = words::MOMENT))]
    pub(crate) at: String,
    /// Of arcticd.
    pub(crate) version: &'static str,
    /// Seconds since the daemon started.
    pub(crate) uptime_s: u64,
    /// Which journal counts `seq`: another one means that the journal was lost.
    #[schemars(regex(pattern = words::EPOCH))]
    pub(crate) epoch: String,
    /// Every `seq` up to it was acknowledged by the broker, or given up.
    pub(crate) acked_through: u64,
    /// Id of the backbone.
    pub(crate) backbone: String,
    /// Name and version of the head in service.
    pub(crate) head: String,
    /// When work was last done.
    pub(crate) last: Moments,
    /// Files waiting to be classified.
    pub(crate) backlog: Backlog,
    /// Messages on disk.
    pub(crate) outbox: OutboxHealth,
    /// MiB free where the journal is; null if that can't be asked.
    pub(crate) disk_free_mib: Option<u64>,
    /// MiB free where frames are written, at the last scan; null if that is not there.
    pub(crate) capture_free_mib: Option<u64>,
    /// Of the board; null where it does not say.
    pub(crate) temperature_c: Option<f32>,
    /// The board's supply; null where it does not say.
    pub(crate) power: Option<Supply>,
    /// What a person should look at, in words; docs/troubleshoot.md has the cures.
    pub(crate) warnings: Vec<String>,
    /// Since the daemon started.
    pub(crate) counters: Counters,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct OutboxHealth {
    /// Waiting for the broker.
    pub(crate) queued: u64,
    /// Acknowledged by it.
    pub(crate) acknowledged: u64,
    /// Given up because there were too many.
    pub(crate) dropped: u64,
    /// The latest 20 ranges of `seq` that were given up: first and last.
    pub(crate) dropped_seq: Vec<(u64, u64)>,
}

impl Status {
    /// A daemon that has done nothing yet; `directory` is where disk space is measured.
    pub fn new(trap: &str, backbone: &str, head: &str, directory: &std::path::Path) -> Self {
        Self {
            trap: trap.to_owned(),
            backbone: backbone.to_owned(),
            directory: directory.to_owned(),
            started: Instant::now(),
            board: Board::new(&Power::default()),
            inner: Mutex::new(Inner { head: head.to_owned(), ..Inner::default() }),
            changed: Notify::new(),
            damage: Notify::new(),
        }
    }

    /// With the board's files where the configuration says.
    #[must_use]
    pub fn on_board(self, power: &Power) -> Self {
        Self { board: Board::new(power), ..self }
    }

    /// Resolves when something that a person would look at has changed since it last did; for one listener.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Notes that the journal was found damaged, in the error's words.
    pub fn journal_is_damaged(&self, text: String) {
        self.lock().damage.get_or_insert(text);
        self.damage.notify_one();
    }

    /// Resolves with those words once the journal was found damaged; for one listener.
    pub async fn journal_damage(&self) -> String {
        loop {
            let found = self.lock().damage.clone();
            match found {
                Some(text) => return text,
                None => self.damage.notified().await,
            }
        }
    }

    /// Changes the counters.
    pub fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.lock().counters);
    }

    /// Files read since the daemon started.
    pub fn frames(&self) -> u64 {
        self.lock().counters.frames
    }

    /// Notes that a file was read.
    pub fn seen(&self) {
        self.lock().moments.seen_at = Some(rfc3339(OffsetDateTime::now_utc()));
    }

    /// Notes that a frame was classified.
    pub fn classified(&self) {
        self.lock().moments.classified_at = Some(rfc3339(OffsetDateTime::now_utc()));
    }

    /// Notes acknowledged messages.
    pub fn acknowledged(&self, messages: usize) {
        {
            let mut inner = self.lock();
            inner.counters.acknowledged += messages as u64;
            inner.moments.acknowledged_at = Some(rfc3339(OffsetDateTime::now_utc()));
        }
        self.changed.notify_one();
    }

    /// Notes that another head is in service: its name and version.
    pub fn set_head(&self, title: &str) {
        self.lock().head = title.to_owned();
    }

    /// Notes what waits to be classified.
    pub fn backlog(&self, live: usize, waiting: usize) {
        let before = std::mem::replace(&mut self.lock().backlog, Backlog { live, waiting });
        // How many there are is told now and then; that there are some, or none any more, at once.
        if (before.live + before.waiting == 0) != (live + waiting == 0) {
            self.changed.notify_one();
        }
    }

    /// Notes how many MiB were free where frames are written, at the last scan; none: the directory is not there. Not asked for
    /// each heartbeat: a network mount that hangs would take the link with it.
    pub fn capture_free_mib(&self, mib: Option<u64>) {
        self.lock().capture_free_mib = mib;
    }

    /// What waits to be classified.
    pub fn waiting(&self) -> Backlog {
        self.lock().backlog
    }

    /// Notes that a message was queued.
    pub fn queued(&self) {
        self.changed.notify_one();
    }

    /// Notes the state of the link.
    pub fn set_link(&self, link: Link) {
        if std::mem::replace(&mut self.lock().link, link) != link {
            self.changed.notify_one();
        }
    }

    /// Notes that the link sleeps until then, RFC 3339, and how deeply: [`Link::Asleep`] or [`Link::AsleepForAll`].
    pub fn set_asleep(&self, how: Link, until: &str) {
        until.clone_into(&mut self.lock().asleep_until);
        self.set_link(how);
    }

    /// Until when the link is asleep, if it is.
    pub fn asleep_until(&self) -> Option<String> {
        let inner = self.lock();
        matches!(inner.link, Link::Asleep | Link::AsleepForAll).then(|| inner.asleep_until.clone())
    }

    /// State of the link.
    pub fn link(&self) -> Link {
        self.lock().link
    }

    /// Raises (`Some`) or clears (`None`) the warning `key`.
    pub fn warn(&self, key: &'static str, text: Option<String>) {
        let before = {
            let mut inner = self.lock();
            match text.clone() {
                Some(text) => inner.warnings.insert(key, text),
                None => inner.warnings.remove(key),
            }
        };
        if before != text {
            self.changed.notify_one();
        }
    }

    /// As [`Status::warn`], and says it in the log, once.
    pub fn tell(&self, key: &'static str, text: Option<String>) {
        let before = self.lock().warnings.get(key).cloned();
        match (&before, &text) {
            // Numbers in it change all the time.
            (None, Some(text)) => tracing::warn!("{text}"),
            (Some(before), None) => tracing::info!("no more: {before}"),
            _ => {}
        }
        self.warn(key, text);
    }

    /// One of the warnings that are raised.
    pub fn first_warning(&self) -> Option<String> {
        self.lock().warnings.values().next().cloned()
    }

    /// The heartbeat as of now.
    pub fn health(&self, epoch: &str, totals: &Totals) -> Health {
        let inner = self.lock();
        Health {
            schema: 1,
            trap: self.trap.clone(),
            at: rfc3339(OffsetDateTime::now_utc()),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: self.started.elapsed().as_secs(),
            epoch: epoch.to_owned(),
            acked_through: totals.acked_through,
            backbone: self.backbone.clone(),
            head: inner.head.clone(),
            last: inner.moments.clone(),
            backlog: inner.backlog,
            outbox: OutboxHealth {
                queued: totals.queued,
                acknowledged: totals.acked,
                dropped: totals.dropped,
                dropped_seq: totals.gaps.clone(),
            },
            disk_free_mib: disk_free_mib(&self.directory),
            capture_free_mib: inner.capture_free_mib,
            temperature_c: self.board.temperature_c(),
            power: self.board.supply(),
            warnings: inner.warnings.values().cloned().collect(),
            counters: inner.counters.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Counters stay usable after a panic elsewhere.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn disk_free_mib(directory: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize) >> 20)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_heartbeat_names_the_head_that_is_in_service_now() {
        let status = Status::new("trap", "backbone", "old 1", std::path::Path::new("."));
        let head = || serde_json::to_value(status.health("epoch", &Totals::default())).unwrap()["head"].clone();
        assert_eq!(head(), "old 1");
        status.set_head("new 2");
        assert_eq!(head(), "new 2");
    }
}
