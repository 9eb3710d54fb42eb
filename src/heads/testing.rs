//! A small head for tests.
#![allow(clippy::unwrap_used)]

use crate::model::{HeadBackbone, HeadManifest, Label};
use crate::onnx::{Constant, Graph, attribute};

pub const FEATURES: usize = 6;

/// Of a head of three labels on [`FEATURES`] features.
pub fn manifest() -> HeadManifest {
    let label =
        |name: &str| Label { name: name.into(), alert: name == "polar_bear", threshold: 0.5, background: false };
    let backbone = HeadBackbone { id: "test-net".into(), sha256: "00".repeat(32), features: FEATURES };
    let labels = ["arctic_fox", "polar_bear", "walrus"].map(label).to_vec();
    HeadManifest::new("three-animals".into(), "1.0".into(), backbone, labels)
}

/// Weights of magnitude `scale`, a softmax behind them.
pub fn network(scale: f32) -> Vec<u8> {
    network_of(FEATURES, scale)
}

/// As [`network`], for more features.
pub fn network_of(features: usize, scale: f32) -> Vec<u8> {
    let mut graph = Graph::empty("head", "features", &[1, features], 13);
    let weight = |index: usize| scale * ((index * 7 % 11) as f32 - 5.0) / 5.0;
    let weights = Constant::f32([features, 3], (0..features * 3).map(weight).collect());
    graph.set_constant("weights", &weights).unwrap();
    graph.add_node("MatMul", &["features", "weights"], "logits", vec![]).unwrap();
    graph.add_node("Softmax", &["logits"], "probabilities", vec![attribute::int("axis", 1)]).unwrap();
    graph.set_outputs(&["probabilities"]).unwrap();
    graph.encode().unwrap()
}

/// Feature vectors as of photos.
pub fn photos() -> Vec<Vec<f32>> {
    (0..5).map(|photo| (0..FEATURES).map(|index| ((photo * 5 + index * 3) % 7) as f32 * 0.3).collect()).collect()
}
