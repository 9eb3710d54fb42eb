//! What waits for energy: frames, and the link to the broker.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What waits while the board's supply is weak, where the board says so, and when the link to the broker is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Power {
    /// The file with the temperature in thousandths of a degree Celsius, for `health`.
    #[schemars(length(min = 1))]
    pub thermal_zone: PathBuf,
    /// The file in which a Raspberry Pi says whether its voltage is low or its processor slowed down, as the hexadecimal
    /// bits of `vcgencmd get_throttled`. It need not exist.
    #[schemars(length(min = 1))]
    pub throttled: PathBuf,
    /// Most seconds that older frames wait while the voltage is low or the processor is slowed down (0 to 86400).
    #[schemars(range(min = 0, max = 86_400))]
    pub defer_s: u64,
    /// The same for frames that have just arrived; a bear among them is told of that much later (0 to 3600).
    #[schemars(range(min = 0, max = 3_600))]
    pub defer_live_s: u64,
    /// `always`: the link to the broker is kept up. `windows`: it is opened from time to time and closed in between, for a
    /// modem that costs money or energy.
    pub uplink: Uplink,
    /// With `windows`: seconds from the beginning of one to that of the next (1 to 604800).
    #[schemars(range(min = 1, max = 604_800))]
    pub uplink_every_s: u64,
    /// With `windows`: most seconds that one is open, attempts to connect included (1 to 86400). It closes as soon as all is
    /// sent and heard. While an alert waits, or the pieces of a pushed head come in, it stays open up to four times as long.
    #[schemars(range(min = 1, max = 86_400))]
    pub uplink_for_s: u64,
    /// With `windows`: `at_once` opens the link for an alert, `next_window` lets it wait.
    pub uplink_alerts: UplinkAlerts,
}

/// When the link to the broker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Uplink {
    /// As long as the daemon runs.
    Always,
    /// From time to time.
    Windows,
}

/// What an alert does while the link is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UplinkAlerts {
    /// Opens it.
    AtOnce,
    /// Waits; it is old news then, and says so (`replayed`).
    NextWindow,
}

impl Default for Power {
    fn default() -> Self {
        Self {
            thermal_zone: "/sys/class/thermal/thermal_zone0/temp".into(),
            throttled: "/sys/devices/platform/soc/soc:firmware/get_throttled".into(),
            defer_s: 600,
            defer_live_s: 0,
            uplink: Uplink::Always,
            uplink_every_s: 3_600,
            uplink_for_s: 300,
            uplink_alerts: UplinkAlerts::AtOnce,
        }
    }
}
