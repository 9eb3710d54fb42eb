//! What a backbone says of itself.

use serde::{Deserialize, Serialize};

use super::{ManifestError, is_name};
use crate::frame::{Filter, Fit};
use crate::model::Preprocessing;

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
