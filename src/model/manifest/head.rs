//! What a head says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ManifestError, is_label, is_name, is_trap};
use crate::model::{LocalFit, ScoresOutput};

/// A head's manifest, `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadManifest {
    /// Version of this format: 1.
    pub format: u32,
    /// Name, `[a-z0-9.-]+`.
    pub name: String,
    /// For people.
    pub version: String,
    /// Grows with each release; what anti-rollback compares.
    pub sequence: u64,
    /// RFC 3339; for people, no decision rests on it.
    pub created_at: String,
    /// What it was trained on.
    pub backbone: HeadBackbone,
    /// One a class, in the order of the network's output.
    pub labels: Vec<Label>,
    /// The files that belong to it.
    pub files: BTreeMap<String, FileDigest>,
    /// Whether `head.onnx` ends in probabilities or logits; detected if absent, compared if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<ScoresOutput>,
    /// Traps and groups that it is meant for; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// Digests of equal pieces of the files, for a transfer in pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<Chunks>,
    /// How frames unlike anything it was trained on are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub novelty: Option<Novelty>,
    /// How well it did, for people: what [`Evaluation`](crate::evaluate::Evaluation) serializes to, or another tool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<serde_json::Value>,
    /// The photos it was trained on, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<TrainedOn>,
    /// Set by the trap that fitted it on its own frames. Such a head is unsigned and serves on that trap alone; no trap
    /// takes a signed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalFit>,
}

/// Digests of equal pieces of a head's files, which are taken one after the other in the order of the bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chunks {
    /// Bytes a piece; the last may be shorter.
    pub size: u64,
    /// sha256 of each, hex.
    pub sha256: Vec<String>,
}

/// How frames unlike anything a head was trained on are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    /// `mahalanobis` (the network's second output is the squared distance to the nearest class) or `energy` (minus the
    /// logarithm of the sum of the exponentiated logits, which are the first output or, beside probabilities, the second).
    pub method: NoveltyMethod,
    /// A frame is novel if its score is above.
    pub threshold: f32,
}

/// What a novelty score is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoveltyMethod {
    /// The network's second output `distance`, `[1, 1]`.
    Mahalanobis,
    /// From the logits.
    Energy,
}

/// The photos a head was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedOn {
    /// How many.
    pub photos: u64,
    /// sha256 over their sorted content hashes, hex.
    pub digest: String,
}

/// The backbone that a head was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadBackbone {
    /// Its id.
    pub id: String,
    /// sha256 of its ONNX file, hex.
    pub sha256: String,
    /// Length of its feature vector.
    pub features: usize,
}

/// Size and digest of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Bytes.
    pub size: u64,
    /// Hex.
    pub sha256: String,
}

/// A class that the head knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// `[a-z0-9_]+`.
    pub name: String,
    /// Whether it alerts unless the configuration says otherwise.
    #[serde(default)]
    pub alert: bool,
    /// Smallest probability that alerts, 0 to 1.
    #[serde(default = "half")]
    pub threshold: f32,
    /// A background class, as `other`: never alerts.
    #[serde(default)]
    pub background: bool,
}

fn half() -> f32 {
    0.5
}

impl HeadManifest {
    /// A manifest of format 1 with what every head has; the rest is empty.
    pub fn new(name: String, version: String, backbone: HeadBackbone, labels: Vec<Label>) -> Self {
        Self {
            format: 1,
            name,
            version,
            sequence: 1,
            created_at: String::new(),
            backbone,
            labels,
            files: BTreeMap::new(),
            output: None,
            audience: Vec::new(),
            chunks: None,
            novelty: None,
            evaluation: None,
            trained_on: None,
            local: None,
        }
    }

    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] names the key.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(text)
            .map_err(|error| ManifestError::Syntax { what: "head", reason: error.to_string() })?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let wrong = |key: String, problem: String| Err(ManifestError::Value { what: "head", key, problem });
        if self.format != 1 {
            return wrong("format".into(), format!("is {}; this version reads format 1", self.format));
        }
        if !is_name(&self.name) {
            return wrong("name".into(), format!("is `{}`; it must match [a-z0-9.-]+", self.name));
        }
        for (key, text) in [("version", &self.version), ("created_at", &self.created_at)] {
            // They are shown on terminals and signed as a comment of one line.
            if text.len() > 64 || text.chars().any(char::is_control) {
                return wrong(key.into(), "must be one line of at most 64 bytes".into());
            }
        }
        if let Some(name) = self.audience.iter().find(|name| !is_trap(name)) {
            return wrong("audience".into(), format!("holds `{name}`; traps and groups match [a-z0-9-]+"));
        }
        if !(1..=1_000_000).contains(&self.backbone.features) {
            let problem = format!("is {}; 1 to 1000000 is allowed", self.backbone.features);
            return wrong("backbone.features".into(), problem);
        }
        if !(2..=1000).contains(&self.labels.len()) {
            return wrong("labels".into(), format!("holds {} labels; 2 to 1000 are allowed", self.labels.len()));
        }
        for (index, label) in self.labels.iter().enumerate() {
            if !is_label(&label.name) {
                return wrong(
                    format!("labels[{index}].name"),
                    format!("is `{}`; it must match [a-z0-9_]+", label.name),
                );
            }
            if self.labels[..index].iter().any(|other| other.name == label.name) {
                return wrong(format!("labels[{index}].name"), format!("`{}` stands there twice", label.name));
            }
            if !(0.0..=1.0).contains(&label.threshold) {
                return wrong(
                    format!("labels[{index}].threshold"),
                    format!("is {}; 0 to 1 is allowed", label.threshold),
                );
            }
            if label.background && label.alert {
                return wrong(
                    format!("labels[{index}].alert"),
                    "is true on a background label, which never alerts".into(),
                );
            }
        }
        if let Some(novelty) = &self.novelty
            && !novelty.threshold.is_finite()
        {
            return wrong("novelty.threshold".into(), "is not a finite number".into());
        }
        if !self.files.contains_key("head.onnx") {
            return wrong("files".into(), "does not list head.onnx".into());
        }
        Ok(())
    }
}
