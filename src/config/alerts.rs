//! Which detections become alerts, and what they say of the place.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which detections become alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Labels that alert. Empty: those the head itself marks, else `polar_bear`.
    #[schemars(extend("items" = { "type": "string", "pattern": "^[a-z0-9_]+$" }))]
    pub labels: Vec<String>,
    /// Smallest confidence that alerts, per label (0 to 1); overrides the head's own.
    #[schemars(extend(
        "propertyNames" = { "pattern": "^[a-z0-9_]+$" },
        "additionalProperties" = { "type": "number", "minimum": 0, "maximum": 1 },
    ))]
    pub thresholds: BTreeMap<String, f32>,
    /// `event`: a message when an event opens, when a better frame comes, and when it closes. `every_frame`: each
    /// alerting frame is a message.
    pub policy: AlertPolicy,
    /// `alert`: a frame unlike everything the head was trained on alerts like any other. `mute`: it does not.
    pub novel: NovelPolicy,
    /// Frames of one camera and label closer than this many seconds are one event (1 to 86400).
    #[schemars(range(min = 1, max = 86_400))]
    pub gap_s: u64,
    /// Where the trap stands, used when a frame carries no GPS position.
    pub location: Option<Position>,
    /// Whether positions are published: poachers read too.
    pub location_policy: LocationPolicy,
}

/// When an alerting frame becomes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertPolicy {
    /// One event per burst: opened, updated by better frames, closed.
    Event,
    /// Each alerting frame.
    EveryFrame,
}

/// What becomes of an alert on a frame unlike everything the head was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NovelPolicy {
    /// It is published: a bear in fog looks novel too.
    Alert,
    /// It is not.
    Mute,
}

/// A position in degrees, WGS 84.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Degrees north, -90 to 90.
    #[schemars(range(min = -90, max = 90))]
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    #[schemars(range(min = -180, max = 180))]
    pub longitude: f64,
}

/// How much of a position is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LocationPolicy {
    /// As measured.
    Exact,
    /// To a tenth of a degree (about 11 km north to south).
    Rounded,
    /// Not at all.
    Omitted,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            labels: Vec::new(),
            thresholds: BTreeMap::new(),
            policy: AlertPolicy::Event,
            novel: NovelPolicy::Alert,
            gap_s: 60,
            location: None,
            location_policy: LocationPolicy::Omitted,
        }
    }
}
