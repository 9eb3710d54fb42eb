//! The capture directory: how it is watched, and what is told of that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Sender;

use crate::config::{Capture, WatchMode};
use crate::health::Status;
use crate::retention::Bell;
use crate::watch::{Report, Settings};

/// How the capture directory is watched.
pub(super) fn settings(capture: &Capture) -> Settings {
    Settings {
        directory: capture.directory.clone(),
        poll: capture.mode == WatchMode::Poll,
        settle: Duration::from_millis(capture.settle_ms),
        reconcile: Duration::from_secs(capture.reconcile_s),
        fresh: Duration::from_secs(capture.fresh_s),
    }
}

/// Logs what the watch has to say, keeps its troubles in the heartbeat while they last, and rings the bell after each scan.
pub(super) fn reporter(status: Arc<Status>, scanned: Sender<()>, bell: Bell) -> impl Fn(Report) + Send + 'static {
    move |report| {
        let text = report.to_string();
        if let Report::ScanDone { .. } = report {
            scanned.send_replace(());
            bell.ring();
        }
        match report {
            Report::RootMissing { .. } => {
                tracing::error!("{text}");
                status.capture_free_mib(None);
                status.warn("capture", Some(text));
            }
            Report::RootBack { .. } => {
                tracing::info!("{text}");
                status.warn("capture", None);
            }
            Report::WatchUnavailable { .. } => {
                tracing::warn!("{text}");
                status.warn("watch", Some(text));
            }
            Report::WatchRestored => {
                tracing::info!("{text}");
                status.warn("watch", None);
            }
            Report::UnsupportedFile { .. } | Report::FileError { .. } => {
                tracing::warn!("{text}");
                status.count(|counters| counters.failed += 1);
            }
            Report::RootReplaced { .. } | Report::EventsLost => tracing::warn!("{text}"),
            Report::ScanDone { new, .. } if new > 0 => tracing::info!("{text}"),
            Report::ScanDone { .. } => tracing::debug!("{text}"),
        }
    }
}
