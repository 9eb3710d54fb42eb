//! The message that a subscriber reads. Its field names are an API: `schema/detection.schema.json` and a contract test
//! guard them, and `--once --json` prints the same object.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::LocationPolicy;
use crate::contract::words;
use crate::regions::Region;

/// Version of the payload.
pub const SCHEMA: u32 = 1;

/// One frame that alerts, or the summary of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Detection {
    /// Version of the payload, 1.
    #[schemars(extend("const" = 1))]
    pub schema: u32,
    /// The same for every delivery of the same message: repeats after a crash can be dropped by it.
    #[schemars(regex(pattern = words::ID))]
    pub id: String,
    /// Which journal counted `seq`; null outside the daemon.
    #[schemars(regex(pattern = words::EPOCH))]
    pub epoch: Option<String>,
    /// Counts the messages of this journal without a hole: proves completeness, not order. Null outside the daemon.
    #[schemars(range(min = 1))]
    pub seq: Option<u64>,
    /// Detection or summary.
    pub kind: Kind,
    /// Name of the trap.
    #[schemars(regex(pattern = words::NAME))]
    pub trap: String,
    /// First sub-folder of the capture directory, if there is one.
    pub camera: Option<String>,
    /// The event that the frame belongs to; null outside the daemon.
    pub event: Option<EventRef>,
    /// The frame itself; the best one in a summary.
    pub frame: FrameRef,
    /// What is seen.
    #[schemars(regex(pattern = words::LABEL))]
    pub label: String,
    /// Probability of `label`, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f32,
    /// Probability of each label of the head.
    #[schemars(schema_with = "words::scores")]
    pub scores: BTreeMap<String, f32>,
    /// Whether the frame is unlike anything the head was trained on; null if the head can't tell.
    pub novel: Option<bool>,
    /// How it came to be an alert, or not.
    pub decision: Decision,
    /// The part of the frame that `label`, `scores` and `novel` are of, where one was looked at closely and alerts; null: the
    /// whole frame.
    pub region: Option<Region>,
    /// Which networks looked.
    pub model: ModelRef,
    /// Where, as far as the policy publishes it.
    pub location: Option<Location>,
    /// JPEG in base64, upright, if `pictures.inline` asks for it; null in summaries.
    #[schemars(extend("contentEncoding" = "base64", "contentMediaType" = "image/jpeg"))]
    pub thumbnail: Option<String>,
    /// RFC 3339, the trap's clock.
    #[schemars(regex(pattern = words::MOMENT))]
    pub processed_at: String,
    /// From beginning to read the settled file to this message, in milliseconds.
    pub latency_ms: u64,
    /// Queued while the link was down (or closed, and nothing opened it), or found in a backlog: it may be old news.
    pub replayed: bool,
}

/// Detection or summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A frame that alerts.
    Detection,
    /// An event is over.
    EventClosed,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::EventClosed => "event_closed",
        }
    }
}

/// A frame's place in its event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EventRef {
    /// The same for all messages of the event.
    #[schemars(regex(pattern = words::ID))]
    pub id: String,
    /// Which frame of the event this is, from 1.
    #[schemars(range(min = 1))]
    pub frame_in_event: u64,
    /// Where the event stands.
    pub state: EventState,
    /// Frames so far.
    #[schemars(range(min = 1))]
    pub frames: u64,
    /// Name of the frame with the highest confidence so far.
    pub best_frame: String,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// Its first frame.
    Opened,
    /// A further frame.
    Updated,
    /// It is over.
    Closed,
}

/// A frame, as a subscriber can find it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FrameRef {
    /// Path below the capture directory.
    #[schemars(length(min = 1))]
    pub name: String,
    /// RFC 3339 with offset.
    #[schemars(regex(pattern = words::MOMENT))]
    pub captured_at: String,
    /// Where `captured_at` is from.
    pub captured_at_source: TimeSource,
    /// What the camera's clock showed, if it wrote no time zone beside it.
    #[schemars(regex(pattern = words::CAMERA_TIME))]
    pub camera_time: Option<String>,
    /// Pixels, as the picture is held upright.
    #[schemars(range(min = 1))]
    pub width: u32,
    /// Pixels, as the picture is held upright.
    #[schemars(range(min = 1))]
    pub height: u32,
    /// Of the file, hex: a frame is its content.
    #[schemars(regex(pattern = words::SHA256))]
    pub sha256: String,
    /// Decoded from a damaged file.
    pub partial: bool,
}

/// Where a capture time is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeSource {
    /// EXIF, with its time zone.
    Exif,
    /// The file's modification time.
    File,
}

/// How a frame came to be an alert, or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Decision {
    /// Whether it alerts.
    pub alert: bool,
    /// Threshold of the label.
    #[schemars(range(min = 0, max = 1))]
    pub threshold: f32,
    /// The rule in words.
    pub rule: String,
}

/// Which networks looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ModelRef {
    /// Id of the backbone.
    pub backbone: String,
    /// Name and version of the head.
    pub head: String,
    /// Sequence of the head.
    pub sequence: u64,
}

/// A position in degrees, WGS 84.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Location {
    /// Degrees north.
    #[schemars(range(min = -90, max = 90))]
    pub latitude: f64,
    /// Degrees east.
    #[schemars(range(min = -180, max = 180))]
    pub longitude: f64,
    /// `exact` or `rounded`.
    #[schemars(schema_with = "words::published_policy")]
    pub policy: LocationPolicy,
}

impl Location {
    /// What `policy` lets out of a position.
    pub fn published(latitude: f64, longitude: f64, policy: LocationPolicy) -> Option<Self> {
        let tenth = |degrees: f64| (degrees * 10.0).round() / 10.0;
        match policy {
            LocationPolicy::Exact => Some(Self { latitude, longitude, policy }),
            LocationPolicy::Rounded => Some(Self { latitude: tenth(latitude), longitude: tenth(longitude), policy }),
            LocationPolicy::Omitted => None,
        }
    }
}

/// Id of a message: from trap, frame content and kind, so that a repeat carries the same one. 32 hex digits.
pub fn message_id(trap: &str, frame_sha256: &str, kind: Kind) -> String {
    digest(&[trap, frame_sha256, kind.name()])
}

/// Id of the event that a frame opens. 32 hex digits.
pub fn event_id(trap: &str, camera: Option<&str>, label: &str, frame_sha256: &str) -> String {
    digest(&[trap, camera.unwrap_or(""), label, frame_sha256])
}

fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Probabilities are published to six digits: more is noise.
pub fn rounded(probability: f32) -> f32 {
    (f64::from(probability) * 1e6).round() as f32 / 1e6
}
