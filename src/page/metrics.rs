//! The same figures for Prometheus, in its text format.

use std::fmt::Write;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::tally::BUCKETS;
use super::{Room, lock};
use crate::health::{Health, Link};

pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is measured.
pub(super) fn text(room: &Room, health: &Health) -> String {
    let mut page = Page(String::new());
    let flag = |it: bool| f64::from(u8::from(it));
    let (counters, last) = (&health.counters, &health.last);

    page.family("info", "gauge", "Version, backbone and head in service; always 1.");
    let facts =
        [("trap", &*health.trap), ("version", health.version), ("backbone", &health.backbone), ("head", &health.head)];
    page.sample("info", &facts, 1.0);
    page.one("works", "gauge", "Whether the watchdog saw work in time.", flag(room.progress.is_made()));
    page.one("idle_seconds", "gauge", "Since the last work that the watchdog saw.", room.progress.age().as_secs_f64());
    page.one("uptime_seconds", "gauge", "Since the daemon started.", health.uptime_s as f64);

    page.one("files_read_total", "counter", "Files read in the capture directory.", counters.frames as f64);
    page.one("frames_classified_total", "counter", "Frames classified.", counters.classified as f64);
    page.one("frames_failed_total", "counter", "Files that could not be classified.", counters.failed as f64);
    page.one("frames_copied_total", "counter", "Files whose content was known already.", counters.copies as f64);
    page.one("frames_alerting_total", "counter", "Frames that alerted.", counters.alerts as f64);
    page.one("frames_moved_total", "counter", "Frames moved out of the capture directory.", counters.moved as f64);
    page.one("frames_deleted_total", "counter", "Frames deleted from the capture directory.", counters.deleted as f64);
    let tally = lock(&room.tally).clone();
    page.family("frames_labelled_total", "counter", "Frames by their most likely label.");
    for (label, count) in &tally.labels {
        page.sample("frames_labelled_total", &[("label", label)], *count as f64);
    }
    page.family("frame_latency_seconds", "histogram", "From reading a settled file to its verdict.");
    let mut below = 0;
    for (end, count) in BUCKETS.iter().zip(tally.buckets) {
        below += count;
        page.sample("frame_latency_seconds_bucket", &[("le", &(*end as f64 / 1e3).to_string())], below as f64);
    }
    page.sample("frame_latency_seconds_bucket", &[("le", "+Inf")], tally.frames as f64);
    page.sample("frame_latency_seconds_sum", &[], tally.sum_ms as f64 / 1e3);
    page.sample("frame_latency_seconds_count", &[], tally.frames as f64);

    page.family("backlog_frames", "gauge", "Files waiting to be classified.");
    page.sample("backlog_frames", &[("kind", "live")], health.backlog.live as f64);
    page.sample("backlog_frames", &[("kind", "older")], health.backlog.waiting as f64);
    page.one("outbox_messages", "gauge", "Messages waiting for the broker.", health.outbox.queued as f64);
    let dropped = health.outbox.dropped as f64;
    page.one("outbox_dropped_total", "counter", "Messages given up because the outbox was full.", dropped);
    let acknowledged = counters.acknowledged as f64;
    page.one("messages_acknowledged_total", "counter", "Messages that the broker acknowledged.", acknowledged);
    page.one("link_connections_total", "counter", "Connections to the broker.", counters.connections as f64);
    let up = flag(room.status.link() == Link::Up);
    page.one("link_up", "gauge", "Whether the broker is connected.", up);

    for (name, help, moment) in [
        ("last_read_timestamp_seconds", "When a file was last read.", &last.seen_at),
        ("last_classified_timestamp_seconds", "When a frame was last classified.", &last.classified_at),
        ("last_acknowledged_timestamp_seconds", "When the broker last acknowledged a message.", &last.acknowledged_at),
    ] {
        page.maybe(name, help, moment.as_deref().and_then(seconds));
    }
    let bytes = |mib: Option<u64>| mib.map(|mib| (mib << 20) as f64);
    page.maybe("disk_free_bytes", "Free where the journal lives.", bytes(health.disk_free_mib));
    page.maybe("capture_free_bytes", "Free where frames are written.", bytes(health.capture_free_mib));
    page.maybe("temperature_celsius", "The board's temperature.", health.temperature_c.map(f64::from));
    page.one("warnings", "gauge", "Warnings raised now; /api/health has their texts.", health.warnings.len() as f64);
    let watching = lock(&room.board).watching().load(std::sync::atomic::Ordering::Relaxed);
    page.one("page_viewers", "gauge", "Who watches the status page.", watching as f64);
    page.0
}

/// A moment as Prometheus counts it.
fn seconds(moment: &str) -> Option<f64> {
    let time = OffsetDateTime::parse(moment, &Rfc3339).ok()?;
    Some(time.unix_timestamp_nanos() as f64 / 1e9)
}

struct Page(String);

impl Page {
    /// What the samples that follow are.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP arcticd_{name} {help}\n# TYPE arcticd_{name} {kind}\n");
    }

    /// A sample; label values may hold anything.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.0, "arcticd_{name}");
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if place == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// A gauge, where there is something to say.
    fn maybe(&mut self, name: &str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.one(name, "gauge", help, value);
        }
    }
}
