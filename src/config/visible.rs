//! What makes alerts something to look at: pictures beside them, and Home Assistant's entities.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;

/// Pictures beside alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pictures {
    /// Whether the picture of each alert is published, retained, on `snapshot/<label>`. Absent: where
    /// `homeassistant.enabled` is.
    pub snapshot: Option<bool>,
    /// Whether the picture is also in the alert itself, in base64 (`thumbnail`). That makes the alert larger.
    pub inline: bool,
    /// Longest side, in pixels (32 to 1920); a picture is never enlarged.
    #[schemars(range(min = 32, max = 1_920))]
    pub max_side: u32,
    /// Largest picture, in bytes of JPEG (1024 to 262144); its quality is lowered until it fits, then its size.
    #[schemars(range(min = 1_024, max = 262_144))]
    pub max_bytes: u32,
    /// Most bytes of pictures in a day of UTC (0 to 1000000000); alerts then go without. 0: not limited.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub daily_bytes: u64,
}

/// Home Assistant finds the trap by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HomeAssistant {
    /// Whether the trap announces itself to Home Assistant, by MQTT discovery.
    pub enabled: bool,
    /// The discovery prefix that is set in Home Assistant, `[a-z0-9_-]+`.
    #[schemars(extend("pattern" = "^[a-z0-9_-]+$"))]
    pub prefix: String,
    /// Seconds after the last message of a label until its sensor (`polar bear now`) turns off (10 to 86400).
    #[schemars(range(min = 10, max = 86_400))]
    pub off_delay_s: u64,
}

impl Config {
    /// Whether pictures are published on `snapshot/<label>`.
    pub fn snapshots(&self) -> bool {
        self.mqtt.url.is_some() && self.pictures.snapshot.unwrap_or(self.homeassistant.enabled)
    }
}

impl Default for Pictures {
    fn default() -> Self {
        Self { snapshot: None, inline: false, max_side: 320, max_bytes: 16 << 10, daily_bytes: 0 }
    }
}

impl Default for HomeAssistant {
    fn default() -> Self {
        Self { enabled: false, prefix: "homeassistant".into(), off_delay_s: 300 }
    }
}
