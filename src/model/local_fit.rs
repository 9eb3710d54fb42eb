//! Where a head comes from that a trap fitted by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Of a head fitted on a trap: on what, on whose request, and why it was worth a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalFit {
    /// The trap.
    pub trap: String,
    /// Id of the key that signed the request.
    pub key: String,
    /// The request's sequence.
    pub request: u64,
    /// Labelled frames that it was fitted on.
    pub frames: BTreeMap<String, u64>,
    /// Name and version of the head that it was held against, on the same frames.
    pub against: String,
    /// Balanced accuracy of both, 0 to 1.
    pub balanced_accuracy: Rivals<f64>,
    /// For each label that alerts: its frames that do, of both.
    pub found: BTreeMap<String, Rivals<u64>>,
    /// For each label that alerts: other frames that do all the same, of both.
    pub false_alerts: BTreeMap<String, Rivals<u64>>,
}

/// A figure of the head before, and of this one by fits that did not see the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rivals<T> {
    /// Of the head before.
    pub before: T,
    /// Of this one.
    pub now: T,
}
