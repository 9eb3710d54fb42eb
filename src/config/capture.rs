//! Where frames come from, and what becomes of them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where frames come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Capture {
    /// The directory that cameras write into; sub-folders are watched too and the first one names the camera.
    #[schemars(length(min = 1))]
    pub directory: PathBuf,
    /// `auto` uses the kernel's file events and a periodic scan; `poll` only scans, for NFS, SMB and FUSE mounts.
    pub mode: WatchMode,
    /// A file whose writer did not close it counts as finished when its size and time stood still this long, in
    /// milliseconds (200 to 600000).
    #[schemars(range(min = 200, max = 600_000))]
    pub settle_ms: u64,
    /// Seconds between full scans, which find what events missed (1 to 86400).
    #[schemars(range(min = 1, max = 86_400))]
    pub reconcile_s: u64,
    /// A frame found on start-up that is at most this many seconds old is handled as live, not as backlog (0 to 86400).
    #[schemars(range(min = 0, max = 86_400))]
    pub fresh_s: u64,
    /// What becomes of frames that were looked at: `keep` leaves them, `delete` takes them away, `move` takes them to
    /// `retention_directory`. Never a frame whose alert is not acknowledged, nor a file that could not be looked at.
    pub retention: Retention,
    /// Days that a frame stays after it was looked at (1 to 3650). The time that the trap is off counts for at most a day.
    #[schemars(range(min = 1, max = 3_650))]
    pub retention_days: u64,
    /// The same for frames that alerted (1 to 3650).
    #[schemars(range(min = 1, max = 3_650))]
    pub retention_alert_days: u64,
    /// Where `move` takes frames; it must exist, and must not be inside the capture directory.
    #[schemars(length(min = 1))]
    pub retention_directory: Option<PathBuf>,
    /// MiB that are to stay free where frames are written, or a tenth of that file system where this is less (0 to 1048576).
    /// With less, frames go before their days are over, the oldest first; with `keep` there is only a warning. 0: no bound.
    #[schemars(range(min = 0, max = 1_048_576))]
    pub min_free_mib: u64,
}

/// What becomes of frames that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// They stay.
    Keep,
    /// They go to another directory.
    Move,
    /// They are deleted.
    Delete,
}

/// How new files are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WatchMode {
    /// File events as hints, scans as the truth.
    Auto,
    /// Scans only.
    Poll,
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            directory: "./captures".into(),
            mode: WatchMode::Auto,
            settle_ms: 1_500,
            reconcile_s: 30,
            fresh_s: 120,
            retention: Retention::Keep,
            retention_days: 30,
            retention_alert_days: 365,
            retention_directory: None,
            min_free_mib: 500,
        }
    }
}
