//! What a backbone and a head say of themselves.

use serde::{Deserialize, Serialize};

use super::preprocess::Preprocessing;
use crate::frame::{Filter, Fit};

/// Why a manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the expected TOML or JSON.
    #[error("the {what} manifest can't be read: {reason}")]
    Syntax {
        /// `backbone` or `head`.
        what: &'static str,
        /// The parser's message.
        reason: String,
    },
    /// A value out of its range.
    #[error("the {what} manifest: `{key}` {problem}")]
    Value {
        /// `backbone` or `head`.
        what: &'static str,
        /// The key's path.
        key: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

/// A backbone's manifest, `models/*.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneManifest {
    /// Version of this format: 1.
    pub format: u32,
    /// Name that heads refer to, `[a-z0-9.-]+`.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// ONNX file beside the manifest.
    pub file: String,
    /// sha256 of that file, lower-case hex.
    pub sha256: String,
    /// SPDX expression of the weights.
    pub licence: String,
    /// What the network eats.
    pub input: Input,
    /// What is taken from it.
    pub output: Output,
    /// Numbers that prove file and arithmetic at start-up.
    pub self_test: Option<SelfTest>,
}

/// What the network eats: one picture, f32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Pixels, 16 to 1024.
    pub width: u32,
    /// Pixels, 16 to 1024.
    pub height: u32,
    /// Order of the tensor's axes.
    pub layout: Layout,
    /// Order of the colour channels.
    pub channels: Channels,
    /// How the picture is scaled.
    pub filter: Filter,
    /// How a picture of another aspect ratio is fitted.
    pub fit: Fit,
    /// How 0..255 becomes what the network was trained on.
    pub preprocessing: Preprocessing,
}

/// Order of the tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// Order of the colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first, as Caffe models want it.
    Bgr,
}

/// What is taken from the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Node or tensor where the classification layers are cut off (`include_top=False`). Absent: the network's output.
    pub cut: Option<String>,
    /// How the feature map becomes a vector.
    pub pooling: Pooling,
    /// Order of the feature map's axes.
    #[serde(default = "nchw")]
    pub layout: Layout,
    /// Length of the vector, 1 to 1,000,000.
    pub features: usize,
}

fn nchw() -> Layout {
    Layout::Nchw
}

/// How the feature map becomes a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Mean over rows and columns.
    Average,
    /// All values in row, column, channel order, as Keras' `Flatten` does, whatever the layout.
    Flatten,
    /// It is a vector already.
    None,
}

/// An input computed by a rule and what the features of it must be.
///
/// `pixel(x, y, c) = (31 x + 17 y + 85 c + x y) mod 256`, RGB, column x, row y, c from 0 to 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfTest {
    /// The first features.
    pub first: Vec<f32>,
    /// Mean of all features.
    pub mean: f32,
    /// Allowed absolute difference.
    pub tolerance: f32,
}

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
    pub files: std::collections::BTreeMap<String, FileDigest>,
    /// Whether `head.onnx` ends in probabilities or logits; detected if absent, compared if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<super::head::ScoresOutput>,
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
    pub local: Option<super::LocalFit>,
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

impl BackboneManifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] names the key.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text)
            .map_err(|error| ManifestError::Syntax { what: "backbone", reason: error.to_string() })?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let wrong =
            |key: &str, problem: String| Err(ManifestError::Value { what: "backbone", key: key.into(), problem });
        if self.format != 1 {
            return wrong("format", format!("is {}; this version reads format 1", self.format));
        }
        if !is_name(&self.id) {
            return wrong("id", format!("is `{}`; it must match [a-z0-9.-]+", self.id));
        }
        for (key, side) in [("input.width", self.input.width), ("input.height", self.input.height)] {
            if !(16..=1024).contains(&side) {
                return wrong(key, format!("is {side}; 16 to 1024 is allowed"));
            }
        }
        if !(1..=1_000_000).contains(&self.output.features) {
            return wrong("output.features", format!("is {}; 1 to 1000000 is allowed", self.output.features));
        }
        if let Preprocessing::Custom(custom) = &self.input.preprocessing
            && !custom.is_finite()
        {
            return wrong("input.preprocessing", "holds a value that is not a finite number".into());
        }
        if self.file.contains(['/', '\\']) {
            return wrong("file", format!("is `{}`; it must be a file name beside the manifest", self.file));
        }
        Ok(())
    }
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
            files: std::collections::BTreeMap::new(),
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

/// Whether `text` can name a head or a backbone: `[a-z0-9.-]+`.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
}

/// Whether `text` can name a trap or a group: `[a-z0-9-]+`.
fn is_trap(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether `text` can stand in topics and payloads as a label: `[a-z0-9_]+`.
pub fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether a label or a folder with this name holds what is no animal, unless something else is said: `other` and its
/// like, as camera-trap data sets call it.
pub fn is_background(label: &str) -> bool {
    const NAMES: [&str; 11] = [
        "other",
        "others",
        "background",
        "empty",
        "none",
        "blank",
        "nothing",
        "negative",
        "no_animal",
        "false_trigger",
        "vegetation",
    ];
    NAMES.contains(&label)
}
