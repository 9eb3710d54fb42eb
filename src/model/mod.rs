//! Turns pixels into features (the frozen backbone) and features into scores (the head).
//!
//! Pure: bytes in, numbers out. [`source`] alone reads files.

mod backbone;
pub(crate) mod builtin;
pub(crate) mod growth;
mod head;
pub mod integer;
#[cfg(test)]
mod keras_tests;
mod levels;
mod local_fit;
mod logits;
mod manifest;
mod operators;
mod preprocess;
pub mod source;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use backbone::{Backbone, Engine, Map};
pub(crate) use head::energy;
pub use head::{Head, HeadScores, ScoresOutput};
pub use levels::Levels;
pub use local_fit::{LocalFit, Rivals};
pub use logits::Logits;
pub use manifest::{
    BackboneManifest, Channels, Chunks, FileDigest, HeadBackbone, HeadManifest, Input, Label, Layout, ManifestError,
    Novelty, NoveltyMethod, Output, Pooling, SelfTest, TrainedOn, is_background, is_label, is_name,
};
pub(crate) use preprocess::normalise;
pub use preprocess::{Named, Normalisation, Preprocessing};

use crate::frame::{self, FrameError, Pixels, Scale};

/// Why a network could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The file is not the one its manifest describes.
    #[error(
        "{what}: sha256 is {found}, the manifest says {expected}; it is damaged or another one: copy it again, or put its own sha256 into the manifest"
    )]
    Digest {
        /// `backbone ID` or `head NAME`.
        what: String,
        /// As computed, hex.
        found: String,
        /// As declared, hex.
        expected: String,
    },
    /// tract could not load or run the network.
    #[error("{what}: {reason}")]
    Network {
        /// `backbone ID` or `head NAME`.
        what: String,
        /// What tract said.
        reason: String,
    },
    /// A head is made of something that heads may not be made of.
    #[error(
        "{what}: node `{node}` is a `{operator}`, which a head may not hold; export dense layers, activations, normalisations and arithmetic only (docs/heads.md lists them)"
    )]
    Operator {
        /// `head NAME`.
        what: String,
        /// The node.
        node: String,
        /// Its operator, with its domain unless it is ONNX's own.
        operator: String,
    },
    /// There is no node to cut at.
    #[error("backbone {id}: there is no node or tensor `{cut}` to cut at; near names: {near}")]
    NoSuchNode {
        /// The backbone's id.
        id: String,
        /// The name looked for.
        cut: String,
        /// Names that resemble it.
        near: String,
    },
    /// The network's result has another shape than declared.
    #[error("{what}: {problem}")]
    Shape {
        /// `backbone ID` or `head NAME`.
        what: String,
        /// Found and expected shapes.
        problem: String,
    },
    /// The arithmetic of this machine gives other numbers than the manifest's.
    #[error(
        "backbone {id}: the self-test gives {found} where {expected} +- {tolerance} is expected ({place}); the manifest describes another input, the file is damaged, or this machine's arithmetic is broken"
    )]
    SelfTest {
        /// The backbone's id.
        id: String,
        /// Which number differs.
        place: String,
        /// As computed.
        found: f32,
        /// As declared.
        expected: f32,
        /// Allowed absolute difference.
        tolerance: f32,
    },
    /// Head and backbone do not belong together.
    #[error(
        "head {head} was trained on backbone {wants}, but the backbone is {has}; train the head on this backbone or set model.backbone to the other"
    )]
    Mismatch {
        /// The head's name and version.
        head: String,
        /// Backbone named by the head.
        wants: String,
        /// Backbone that is loaded.
        has: String,
    },
    /// A result that no decision can be made on.
    #[error("{what}: the result holds a value that is not a number")]
    NotFinite {
        /// `backbone ID` or `head NAME`.
        what: String,
    },
    /// The pixels could not be resized.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// A backbone and a head that fit each other.
pub struct Model {
    backbone: Backbone,
    head: Head,
}

/// What the networks say of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Label and probability (0 to 1, sum 1), in the head's order.
    pub labels: Vec<(String, f32)>,
    /// Whether the frame is unlike everything the head was trained on; `None` if it can't tell.
    pub novel: Option<bool>,
    /// Time spent in resize, backbone and head.
    pub timing: Timing,
}

/// Time per stage of one classification.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timing {
    /// Resize to the network's input, normalisation included.
    pub resize: Duration,
    /// Pixels to features.
    pub backbone: Duration,
    /// Features to probabilities, of all heads that looked.
    pub head: Duration,
}

impl Backbone {
    /// How a file has to be decoded for it: nearest-neighbour preprocessing needs every pixel.
    pub fn wanted_scale(&self) -> Scale {
        let input = &self.manifest().input;
        Scale::for_resize(input.filter, input.width, input.height)
    }

    /// As [`Backbone::features_of`], with the time that it took.
    ///
    /// # Errors
    /// As [`Model::classify`].
    pub fn timed_features_of(&self, pixels: &Pixels) -> Result<(Vec<f32>, Timing), ModelError> {
        let input = &self.manifest().input;
        let start = Instant::now();
        let small = frame::resize(pixels, input.width, input.height, input.filter, input.fit)?;
        let tensor = self.prepare(&small)?;
        let resized = Instant::now();
        let features = self.run(tensor)?;
        let timing = Timing { resize: resized - start, backbone: resized.elapsed(), ..Timing::default() };
        Ok((features, timing))
    }
}

impl Model {
    /// Joins a backbone and a head.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] if the head was trained on another backbone.
    pub fn new(backbone: Backbone, head: Head) -> Result<Self, ModelError> {
        check_fit(&backbone, &head)?;
        Ok(Self { backbone, head })
    }

    /// Backbone and head, to go on apart.
    pub fn into_parts(self) -> (Backbone, Head) {
        (self.backbone, self.head)
    }

    /// The model inside the binary.
    ///
    /// # Errors
    /// As loading any other; the tests see to it that this does not happen.
    pub fn builtin() -> Result<Self, ModelError> {
        Self::new(builtin::backbone(Engine::threads(1))?, builtin::head()?)
    }

    /// The frozen network.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// The trained layers.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How a file has to be decoded for this model: nearest-neighbour preprocessing needs every pixel.
    pub fn wanted_scale(&self) -> Scale {
        self.backbone.wanted_scale()
    }

    /// Resizes `pixels`, computes their features and scores them.
    ///
    /// # Errors
    /// [`ModelError::Frame`] if they can't be resized, [`ModelError::NotFinite`] if the arithmetic broke down.
    pub fn classify(&self, pixels: &Pixels) -> Result<Scores, ModelError> {
        let (features, mut timing) = self.backbone.timed_features_of(pixels)?;
        let extracted = Instant::now();
        let HeadScores { labels, novel, .. } = self.head.look(&features)?;
        timing.head = extracted.elapsed();
        Ok(Scores { labels, novel, timing })
    }

    /// Features of `pixels`: what a head is trained on. Length [`Backbone::features`].
    ///
    /// # Errors
    /// As [`Model::classify`].
    pub fn features(&self, pixels: &Pixels) -> Result<Vec<f32>, ModelError> {
        self.backbone.features_of(pixels)
    }
}

/// Checks that `head` was trained on this very backbone.
///
/// # Errors
/// [`ModelError::Mismatch`].
pub fn check_fit(backbone: &Backbone, head: &Head) -> Result<(), ModelError> {
    let wanted = &head.manifest().backbone;
    let found = backbone.manifest();
    let same = wanted.id == found.id && wanted.sha256.eq_ignore_ascii_case(&found.sha256);
    if same && wanted.features == backbone.features() {
        return Ok(());
    }
    Err(ModelError::Mismatch {
        head: head.title(),
        wants: describe(&wanted.id, &wanted.sha256, wanted.features),
        has: describe(&found.id, &found.sha256, backbone.features()),
    })
}

fn describe(id: &str, sha256: &str, features: usize) -> String {
    format!("{id} ({}, {features} features)", sha256.get(..12).unwrap_or(sha256))
}
