//! Figures of a head on labelled photos. Pure: numbers in, numbers out.

pub mod command;
mod figures;
mod requirement;
mod table;
mod text;

use serde::{Deserialize, Serialize};

pub use figures::evaluate;
pub use requirement::{Requirement, Unmet};
pub use table::confusion_table;

/// One photo, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Place of its true label in [`Evaluation::labels`].
    pub truth: usize,
    /// Probability of each label, in the order of [`Evaluation::labels`].
    pub probabilities: Vec<f32>,
}

/// A share of photos, with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Photos of which it is true.
    pub hits: u64,
    /// Photos looked at.
    pub of: u64,
    /// `hits / of`; 0 where there are none.
    pub share: f64,
    /// Wilson's 95 % interval; 0 to 1 where there are none.
    pub wilson_95: [f64; 2],
}

/// Figures of one label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// The label.
    pub label: String,
    /// Of its photos, those named rightly.
    pub recall: Share,
    /// Of the photos named so, those that are it.
    pub precision: Share,
    /// Harmonic mean of both.
    pub f1: f64,
}

/// Figures of an alert at its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertFigures {
    /// The label that alerts.
    pub label: String,
    /// Smallest probability that alerts.
    pub threshold: f64,
    /// Of its photos, those that alert.
    pub recall: Share,
    /// Of all other photos, those that alert nevertheless.
    pub false_alert_rate: Share,
    /// The same, by true label.
    pub false_alerts_by_label: Vec<(String, Share)>,
}

/// Figures of a head on labelled photos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Photos.
    pub images: u64,
    /// Share named rightly. Says little where labels are unequally frequent.
    pub accuracy: f64,
    /// Mean of the labels' recalls, over those that have photos.
    pub balanced_accuracy: f64,
    /// The head's labels.
    pub labels: Vec<String>,
    /// Row: true label; column: the most probable one.
    pub confusion: Vec<Vec<u64>>,
    /// One a label, in the order of `labels`.
    pub per_class: Vec<ClassFigures>,
    /// For the first label that alerts: share of its photos that alert at the head's threshold.
    pub recall: Option<f64>,
    /// For the first label that alerts: share of other photos that alert at the head's threshold.
    pub false_alert_rate: Option<f64>,
    /// Figures of each label that alerts.
    pub alerts: Vec<AlertFigures>,
}
