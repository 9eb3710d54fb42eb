//! What a training came to, made for looking: HTML, JSON, and the short form for a terminal.

use std::path::PathBuf;

use serde::Serialize;

use crate::evaluate::{Evaluation, Share};

/// Everything a report shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Name and version of the head.
    pub head: String,
    /// Layers, in words: `linear, L2 0.01`, `mlp:1024 on the flattened feature map`.
    pub layers: String,
    /// Id of the backbone and length of its feature vector.
    pub backbone: String,
    /// RFC 3339.
    pub created_at: String,
    /// Photos a label.
    pub photos: Vec<Counts>,
    /// One a pass over the photos; for a linear head one a step of its fit.
    pub epochs: Vec<Epoch>,
    /// On photos that each fold's fit did not see.
    pub cross_validation: Evaluation,
    /// On the test folder, if there is one; nothing was chosen by it.
    pub test: Option<Evaluation>,
    /// The alert's threshold and what it costs.
    pub operating_point: Option<OperatingPoint>,
    /// How often it is right when it says p, over held-out photos.
    pub calibration: Calibration,
    /// How well frames unlike all classes are told.
    pub novelty: Option<NoveltyFigures>,
    /// The most confident mistakes, worst first, on held-out and test photos.
    pub mistakes: Vec<Mistake>,
    /// Photos in two dimensions.
    pub map: Vec<MapPoint>,
    /// What the user should know: no background folder, few photos, photos left out.
    pub notes: Vec<String>,
    /// Seconds for features and for all that came after.
    pub seconds: Seconds,
}

/// Photos of a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counts {
    /// The label.
    pub label: String,
    /// A background label never alerts.
    pub background: bool,
    /// Photos trained on.
    pub train: u64,
    /// Photos kept for the test.
    pub test: u64,
}

/// One pass over the photos.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: u32,
    /// Balanced accuracy on what it is fitted to, 0 to 1.
    pub training_accuracy: f64,
    /// Balanced accuracy on the held-out part, 0 to 1.
    pub validation_accuracy: f64,
    /// Mean cross-entropy, nats.
    pub training_loss: f64,
    /// Mean cross-entropy, nats.
    pub validation_loss: f64,
}

/// A threshold, chosen on held-out training photos.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// The label that alerts.
    pub label: String,
    /// Smallest probability that alerts.
    pub threshold: f64,
    /// What was asked for, in words.
    pub wanted: String,
    /// Recall there, on held-out photos.
    pub recall: Share,
    /// False alerts there, on held-out photos.
    pub false_alert_rate: Share,
    /// All thresholds, falling: for the curves.
    pub curve: Vec<CurvePoint>,
}

/// One threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Smallest probability that alerts.
    pub threshold: f64,
    /// Share of the label's photos that alert.
    pub recall: f64,
    /// Share of the alerts that are right.
    pub precision: f64,
    /// Share of other photos that alert.
    pub false_alert_rate: f64,
}

/// How often it is right when it says p.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// The logits were divided by it.
    pub temperature: f64,
    /// Mean distance of what it says from how often it is right (expected calibration error), after the temperature.
    pub error: f64,
    /// Tenths of confidence that have photos.
    pub bins: Vec<CalibrationBin>,
}

/// Photos of like confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// Mean confidence of the most probable label.
    pub confidence: f64,
    /// Share of them that are right.
    pub accuracy: f64,
    /// How many.
    pub photos: u64,
}

/// How well frames unlike all classes are told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoveltyFigures {
    /// `mahalanobis` or `energy`.
    pub method: String,
    /// Score above which a frame is novel.
    pub threshold: f64,
    /// Share of known held-out photos that are called novel.
    pub false_novel: Share,
    /// Area under the curve on classes that were left out of training, one at a time.
    pub auroc: Vec<(String, f64)>,
}

/// A photo that was named wrongly.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mistake {
    /// The photo.
    pub photo: PathBuf,
    /// `held out` or `test`.
    pub part: &'static str,
    /// Its true label.
    pub truth: String,
    /// Label and probability, most probable first.
    pub scores: Vec<(String, f32)>,
    /// A JPEG or PNG of at most 160 pixels a side, in base64 with its `data:` prefix; not in the JSON.
    #[serde(skip)]
    pub thumbnail: String,
}

/// A photo on the feature map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapPoint {
    /// Its true label's place in the labels.
    pub class: usize,
    /// Coordinates, any unit.
    pub at: [f32; 2],
    /// Named rightly.
    pub right: bool,
    /// The photo's path.
    pub photo: PathBuf,
}

/// Time taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Seconds {
    /// Reading photos and running the backbone; little when they were kept from before.
    pub features: f64,
    /// Fitting, cross-validation and all the rest.
    pub fit: f64,
}
