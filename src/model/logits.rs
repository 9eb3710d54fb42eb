//! What a head says before Softmax: a number a label, which for a linear head is a weighted sum of the features.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::ModelError;
use super::manifest::HeadManifest;
use crate::onnx::{Graph, OnnxError, elements};

/// A head without its Softmax, to look into it.
pub struct Logits {
    manifest: HeadManifest,
    plan: Arc<TypedRunnableModel>,
}

impl Logits {
    /// Of a network that was loaded as a head before.
    ///
    /// # Errors
    /// [`ModelError::Network`].
    pub fn load(manifest: &HeadManifest, onnx: &[u8]) -> Result<Self, ModelError> {
        let what = || format!("head {} {}", manifest.name, manifest.version);
        let wrong = |error: TractError| ModelError::Network { what: what(), reason: format!("{error:#}") };
        let graph = network(manifest, onnx)?;
        let plan = tract_onnx::onnx()
            .with_ignore_output_shapes(true)
            .with_ignore_value_info(true)
            .model_for_proto_model(&graph.into_proto())
            .and_then(|model| model.with_input_fact(0, f32::fact([1, manifest.backbone.features]).into()))
            .and_then(|model| model.into_optimized())
            .and_then(|model| model.into_runnable())
            .map_err(wrong)?;
        Ok(Self { manifest: manifest.clone(), plan })
    }

    /// One number a label, in the manifest's order.
    ///
    /// # Errors
    /// [`ModelError::Network`] and [`ModelError::Shape`] for features of another number.
    pub fn of(&self, features: &[f32]) -> Result<Vec<f32>, ModelError> {
        let what = || format!("head {} {}", self.manifest.name, self.manifest.version);
        let wrong = |error: TractError| ModelError::Network { what: what(), reason: format!("{error:#}") };
        let tensor = Tensor::from_shape(&[1, features.len()], features).map_err(wrong)?;
        let result = self.plan.run(tvec!(tensor.into_tvalue())).map_err(wrong)?;
        let values = result.first().map(|value| elements::<f32>(value).map(<[f32]>::to_vec));
        let values = values.transpose().map_err(wrong)?.unwrap_or_default();
        match values.len() == self.manifest.labels.len() {
            true => Ok(values),
            false => Err(ModelError::Shape { what: what(), problem: format!("it gives {} logits", values.len()) }),
        }
    }
}

/// A head's network, down to its logits and without what they do not need.
///
/// # Errors
/// [`ModelError::Network`] and, where there is no output, [`ModelError::Shape`].
pub(super) fn network(manifest: &HeadManifest, onnx: &[u8]) -> Result<Graph, ModelError> {
    let what = || format!("head {} {}", manifest.name, manifest.version);
    let odd = |error: OnnxError| ModelError::Network { what: what(), reason: error.to_string() };
    let mut graph = Graph::parse(onnx).map_err(odd)?;
    let output = before_softmax(&graph)
        .ok_or_else(|| ModelError::Shape { what: what(), problem: "its network has no output".into() })?;
    graph.set_outputs(&[&output]).map_err(odd)?;
    graph.remove_unused().map_err(odd)?;
    Ok(graph)
}

/// The tensor that goes into Softmax, or the first output where there is none.
fn before_softmax(graph: &Graph) -> Option<String> {
    let output = graph.outputs().next()?.to_owned();
    let mut tensor = output.clone();
    // Bounded by the number of nodes: a malformed graph may hold a cycle.
    for _ in 0..graph.nodes().len() {
        let Some(node) = graph.producer(&tensor).and_then(|place| graph.node(place)) else { break };
        let input = node.input.first().cloned();
        match node.op_type.as_str() {
            "Softmax" => return input,
            "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Cast" => tensor = input?,
            _ => break,
        }
    }
    Some(output)
}
