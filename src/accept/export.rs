//! `features/<frame>`: what the backbone saw in a frame, so that heads can be trained without its photo.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::frame::ContentHash;
use crate::model::{HeadBackbone, HeadScores, Levels};

/// A frame's features as they are published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    /// Version of the payload, 1.
    pub schema: u32,
    /// Two messages with one id are one.
    pub id: String,
    /// As in a detection.
    pub epoch: String,
    /// As in a detection, and of the same row of numbers.
    pub seq: u64,
    /// The trap.
    pub trap: String,
    /// sha256 of the frame's file.
    pub frame: ContentHash,
    /// Id of the backbone.
    pub backbone: String,
    /// sha256 of its network.
    pub backbone_sha256: String,
    /// Feature i is `low + step * levels[i]`.
    pub low: f32,
    /// As [`Exported::low`].
    pub step: f32,
    /// A byte a feature, in base64.
    pub levels: String,
    /// What somebody said is on it.
    pub labelled: Option<String>,
    /// The head in service, by name and version.
    pub head: String,
    /// What it calls the frame; null if it failed on it.
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
