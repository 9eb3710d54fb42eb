//! `features/<frame>`: what the backbone saw in a frame, so that heads can be trained without its photo.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::words;
use crate::frame::ContentHash;
use crate::model::{HeadBackbone, HeadScores, Levels};

/// A frame's features as they are published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Exported {
    /// Version of the payload, 1.
    #[schemars(extend("const" = 1))]
    pub schema: u32,
    /// Two messages with one id are one.
    #[schemars(regex(pattern = words::ID))]
    pub id: String,
    /// As in a detection.
    #[schemars(regex(pattern = words::EPOCH))]
    pub epoch: String,
    /// As in a detection, and of the same row of numbers.
    #[schemars(range(min = 1))]
    pub seq: u64,
    /// The trap.
    #[schemars(regex(pattern = words::NAME))]
    pub trap: String,
    /// sha256 of the frame's file.
    pub frame: ContentHash,
    /// Id of the backbone.
    pub backbone: String,
    /// sha256 of its network.
    #[schemars(regex(pattern = words::SHA256))]
    pub backbone_sha256: String,
    /// Feature i is `low + step * levels[i]`.
    pub low: f32,
    /// As `low`.
    pub step: f32,
    /// A byte a feature, in base64.
    #[schemars(extend("contentEncoding" = "base64"))]
    pub levels: String,
    /// What somebody said is on it.
    #[schemars(regex(pattern = words::LABEL))]
    pub labelled: Option<String>,
    /// The head in service, by name and version.
    pub head: String,
    /// What it calls the frame; null if it failed on it.
    #[schemars(regex(pattern = words::LABEL))]
    pub label: Option<String>,
    /// Its probability for each label.
    pub scores: Vec<(String, f32)>,
    /// Whether the frame is novel to it.
    pub novel: Option<bool>,
}

impl Exported {
    /// Without its numbers in the journal.
    pub fn new(id: String, trap: &str, frame: ContentHash, backbone: &HeadBackbone, levels: &Levels) -> Self {
        Self {
            schema: 1,
            id,
            epoch: String::new(),
            seq: 0,
            trap: trap.to_owned(),
            frame,
            backbone: backbone.id.clone(),
            backbone_sha256: backbone.sha256.clone(),
            low: levels.low,
            step: levels.step,
            levels: STANDARD.encode(&levels.levels),
            labelled: None,
            head: String::new(),
            label: None,
            scores: Vec::new(),
            novel: None,
        }
    }

    /// With what a head makes of it.
    #[must_use]
    pub fn judged(self, label: &str, scores: HeadScores) -> Self {
        Self { label: Some(label.to_owned()), scores: scores.labels, novel: scores.novel, ..self }
    }

    /// The features; none if the text is damaged.
    pub fn features(&self) -> Option<Vec<f32>> {
        let levels = STANDARD.decode(&self.levels).ok()?;
        Some(Levels { low: self.low, step: self.step, levels }.features())
    }
}
