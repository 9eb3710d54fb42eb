//! What is looked at beside the whole frame.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is looked at beside the whole frame, and how the cameras themselves are looked after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Regions {
    /// `off` looks at whole frames only. `motion` also looks closely at what is new in a scene since the camera's last
    /// frames: small animals in wide scenes. `tiles` does so too, and looks at all of a frame in tiles where the scene is
    /// not known yet, or its light changed too much; that takes many times as long.
    pub mode: RegionsMode,
    /// Probability from which a label alerts in a part of a frame (0.01 to 1); its own threshold counts where that is
    /// higher.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub min_confidence: f32,
    /// Most parts of a frame that are looked at because something is new in them (1 to 16).
    #[schemars(range(min = 1, max = 16))]
    pub most: u8,
    /// Whether `health` warns of a camera that is dark, covered or no longer where it was.
    pub watch_lens: bool,
}

/// What is looked at beside the whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegionsMode {
    /// Nothing.
    Off,
    /// What is new in the scene.
    Motion,
    /// What is new in the scene; all of it, in tiles, where that can't be told.
    Tiles,
}

impl Default for Regions {
    fn default() -> Self {
        Self { mode: RegionsMode::Off, min_confidence: 0.5, most: 3, watch_lens: true }
    }
}
