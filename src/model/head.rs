//! The trained layers: features in, a probability per label out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

use super::ModelError;
use super::logits::{self, Logits};
use super::manifest::{HeadManifest, NoveltyMethod};
use crate::onnx::{Graph, elements};

/// A head ready to run.
pub struct Head {
    manifest: HeadManifest,
    sha256: String,
    plan: Arc<TypedRunnableModel>,
    output: ScoresOutput,
    // As ONNX, to look into it some day; none of a large one.
    logits: Option<Vec<u8>>,
}

/// Bytes up to which the way to a head's logits is kept: one layer on a mean of features takes a tenth.
const KEPT: usize = 256 << 10;

/// What a head makes of one frame's features.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadScores {
    /// Label and probability (0 to 1, sum 1), in the manifest's order.
    pub labels: Vec<(String, f32)>,
    /// How unlike everything it was trained on, in the unit of the manifest's threshold; `None` if the head can't tell.
    pub novelty: Option<f32>,
    /// Whether that is above the manifest's threshold.
    pub novel: Option<bool>,
}

/// What a head's network ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoresOutput {
    /// Softmax is part of the network.
    Probabilities,
    /// Softmax is still to be applied.
    Logits,
}

impl Head {
    /// Loads `onnx` and checks it against `manifest`.
    ///
    /// # Errors
    /// [`ModelError`] says which of digest, network, operator, size, shape or output kind failed.
    pub fn load(manifest: HeadManifest, onnx: &[u8]) -> Result<Self, ModelError> {
        let what = format!("head {}", title(&manifest));
        let digest = manifest.files.get("head.onnx").map(|file| file.sha256.clone()).unwrap_or_default();
        super::source::check_digest(&what, onnx, &digest)?;
        let wrong = |error: TractError| ModelError::Network { what: what.clone(), reason: format!("{error:#}") };
        let graph = Graph::parse(onnx);
        let graph = graph.map_err(|error| ModelError::Network { what: what.clone(), reason: error.to_string() })?;
        super::operators::check(&what, &graph)?;
        let proto = graph.into_proto();
        let output = output_kind(&manifest, &proto)?;
        let features = manifest.backbone.features;
        let mut model = tract_onnx::onnx()
            .with_ignore_output_shapes(true)
            .with_ignore_value_info(true)
            .model_for_proto_model(&proto)
            .and_then(|model| model.with_input_fact(0, f32::fact([1, features]).into()))
            .map_err(wrong)?;
        // Optimizing computes what is constant: sizes first.
        super::growth::check(&what, &mut model, super::growth::budget(features, onnx.len()))?;
        let plan = model.into_optimized().and_then(|model| model.into_runnable()).map_err(wrong)?;
        let logits = logits::network(&manifest, onnx).ok().and_then(|mut graph| graph.encode().ok());
        let logits = logits.filter(|network| network.len() <= KEPT);
        let head = Self { manifest, sha256: digest, plan, output, logits };
        head.probe()?;
        Ok(head)
    }

    /// What the head says of itself.
    pub fn manifest(&self) -> &HeadManifest {
        &self.manifest
    }

    /// sha256 of the network, hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// It without the Softmax; none of a head that is too large to be a linear one.
    ///
    /// # Errors
    /// [`ModelError::Network`].
    pub fn logits(&self) -> Option<Result<Logits, ModelError>> {
        Some(Logits::load(&self.manifest, self.logits.as_deref()?))
    }

    /// Name and version, for people.
    pub fn title(&self) -> String {
        title(&self.manifest)
    }

    /// Label and probability for `features`, in the manifest's order.
    ///
    /// # Errors
    /// [`ModelError::NotFinite`] if the arithmetic breaks down.
    pub fn score(&self, features: &[f32]) -> Result<Vec<(String, f32)>, ModelError> {
        Ok(self.look(features)?.labels)
    }

    /// As [`Head::score`], and whether the frame is unlike everything the head was trained on.
    ///
    /// # Errors
    /// [`ModelError::NotFinite`] if the arithmetic breaks down.
    pub fn look(&self, features: &[f32]) -> Result<HeadScores, ModelError> {
        let Raw { scores, novelty } = self.raw(features)?;
        let probabilities = match self.output {
            ScoresOutput::Probabilities => scores,
            ScoresOutput::Logits => softmax(&scores),
        };
        if probabilities.iter().chain(&novelty).any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite { what: self.what() });
        }
        let threshold = self.manifest.novelty.as_ref().map(|novelty| novelty.threshold);
        Ok(HeadScores {
            labels: self.manifest.labels.iter().map(|label| label.name.clone()).zip(probabilities).collect(),
            novelty,
            novel: novelty.zip(threshold).map(|(score, threshold)| score > threshold),
        })
    }

    fn what(&self) -> String {
        format!("head {}", self.title())
    }

    fn raw(&self, features: &[f32]) -> Result<Raw, ModelError> {
        let wrong = |error: TractError| ModelError::Network { what: self.what(), reason: format!("{error:#}") };
        let tensor = Tensor::from_shape(&[1, features.len()], features).map_err(wrong)?;
        let result = self.plan.run(tvec!(tensor.into_tvalue())).map_err(wrong)?;
        let output = |place: usize| {
            let values = result.get(place).map(|value| elements::<f32>(value).map(<[f32]>::to_vec));
            values.transpose().map_err(wrong).map(Option::unwrap_or_default)
        };
        let expect = |values: Vec<f32>, wanted: usize, of: &str| {
            let problem =
                || format!("the network's {of} holds {} values where the manifest wants {wanted}", values.len());
            if values.len() == wanted {
                Ok(values)
            } else {
                Err(ModelError::Shape { what: self.what(), problem: problem() })
            }
        };
        let labels = self.manifest.labels.len();
        let scores = expect(output(0)?, labels, "first output")?;
        let novelty = match self.manifest.novelty.as_ref().map(|novelty| novelty.method) {
            None => None,
            Some(NoveltyMethod::Mahalanobis) => expect(output(1)?, 1, "second output (`distance`)")?.first().copied(),
            Some(NoveltyMethod::Energy) if self.output == ScoresOutput::Logits => Some(energy(&scores)),
            Some(NoveltyMethod::Energy) => Some(energy(&expect(output(1)?, labels, "second output (`logits`)")?)),
        };
        Ok(Raw { scores, novelty })
    }

    /// Runs a few made-up features: the output must have one value a label and be what it was taken for.
    fn probe(&self) -> Result<(), ModelError> {
        let features = self.manifest.backbone.features;
        let probes: [fn(usize) -> f32; 3] = [|_| 0.0, |_| 1.0, |index| ((index * 7919) % 97) as f32 / 24.0 - 2.0];
        let mut sums_to_one = true;
        for probe in probes {
            let raw = self.raw(&(0..features).map(probe).collect::<Vec<_>>())?;
            let Raw { scores: raw, novelty } = raw;
            if raw.iter().chain(&novelty).any(|value| !value.is_finite()) {
                return Err(ModelError::NotFinite { what: self.what() });
            }
            let sum: f32 = raw.iter().sum();
            sums_to_one &= (sum - 1.0).abs() < 1e-3 && raw.iter().all(|value| (0.0..=1.0).contains(value));
        }
        let problem = match (self.output, sums_to_one, self.manifest.output) {
            (ScoresOutput::Probabilities, false, _) => "its output should be probabilities, but they do not sum to 1",
            (ScoresOutput::Logits, true, None) => {
                "its output has no Softmax at the end and yet sums to 1; say `\"output\": \"logits\"` or `\"probabilities\"` in the manifest"
            }
            _ => return Ok(()),
        };
        Err(ModelError::Shape { what: self.what(), problem: problem.into() })
    }
}

/// What the network gave.
struct Raw {
    scores: Vec<f32>,
    novelty: Option<f32>,
}

fn title(manifest: &HeadManifest) -> String {
    format!("{} {}", manifest.name, manifest.version)
}

/// Finds out what the graph ends in by walking back from its output over nodes that change no value.
fn output_kind(manifest: &HeadManifest, proto: &ModelProto) -> Result<ScoresOutput, ModelError> {
    let graph = proto.graph.as_ref();
    let mut tensor = graph.and_then(|graph| graph.output.first()).map(|output| output.name.clone());
    let mut found = ScoresOutput::Logits;
    // Bounded by the number of nodes: a malformed graph may hold a cycle.
    for _ in 0..graph.map_or(0, |graph| graph.node.len()) {
        let producer = graph.and_then(|graph| {
            graph.node.iter().find(|node| node.output.iter().any(|name| Some(name) == tensor.as_ref()))
        });
        match producer.map(|node| (node.op_type.as_str(), node)) {
            Some(("Softmax", _)) => {
                found = ScoresOutput::Probabilities;
                break;
            }
            Some(("Identity" | "Reshape" | "Flatten" | "Squeeze" | "Cast", node)) => {
                tensor = node.input.first().cloned()
            }
            _ => break,
        }
    }
    match manifest.output {
        Some(ScoresOutput::Logits) if found == ScoresOutput::Probabilities => Err(ModelError::Shape {
            what: format!("head {}", title(manifest)),
            problem: "the manifest says `logits`, but the network ends in a Softmax".into(),
        }),
        Some(stated) => Ok(stated),
        None => Ok(found),
    }
}

/// Minus the logarithm of the sum of the exponentiated logits: high where no class is claimed.
pub(crate) fn energy(logits: &[f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    -(largest + logits.iter().map(|logit| (logit - largest).exp()).sum::<f32>().ln())
}

/// Softmax, shifted by the largest logit so that nothing overflows.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.iter().map(|value| value / sum).collect()
}
