//! Heads made by hand, for the tests of those who let heads judge.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::Judge;
use crate::config::Alerts;
use crate::frame::ContentHash;
use crate::model::{FileDigest, Head, HeadBackbone, HeadManifest, Label, LocalFit, Rivals};
use crate::onnx::{Constant, Graph, attribute};

/// A network that sees a bear with probability `bear` in every frame.
pub fn steady(features: usize, bear: f32) -> Vec<u8> {
    network(features, bear, |graph| {
        graph.set_constant("nothing", &Constant::f32([features, 1], vec![0.0; features])).unwrap();
        graph.add_node("MatMul", &["features", "nothing"], "shift", vec![]).unwrap();
    })
}

/// As [`steady`], but what it gives is no number where the mean of the features lies between 0.05 and 0.95.
pub fn fragile(features: usize, bear: f32) -> Vec<u8> {
    network(features, bear, |graph| {
        graph.set_constant("low", &Constant::f32([1, 1], vec![0.05])).unwrap();
        graph.set_constant("high", &Constant::f32([1, 1], vec![0.95])).unwrap();
        let along = vec![attribute::ints("axes", &[1]), attribute::int("keepdims", 1)];
        graph.add_node("ReduceMean", &["features"], "mean", along).unwrap();
        graph.add_node("Sub", &["mean", "low"], "above", vec![]).unwrap();
        graph.add_node("Sub", &["mean", "high"], "below", vec![]).unwrap();
        graph.add_node("Mul", &["above", "below"], "product", vec![]).unwrap();
        graph.add_node("Sqrt", &["product"], "shift", vec![]).unwrap();
    })
}

/// Softmax of two constant logits and a `shift` of both, which changes nothing as long as it is a number.
fn network(features: usize, bear: f32, shift: impl FnOnce(&mut Graph)) -> Vec<u8> {
    let mut graph = Graph::empty("head", "features", &[1, features], 13);
    shift(&mut graph);
    graph.set_constant("bias", &Constant::f32([1, 2], vec![bear.ln(), (1.0 - bear).ln()])).unwrap();
    graph.add_node("Add", &["shift", "bias"], "logits", vec![]).unwrap();
    graph.add_node("Softmax", &["logits"], "probabilities", vec![attribute::int("axis", 1)]).unwrap();
    graph.set_outputs(&["probabilities"]).unwrap();
    graph.encode().unwrap()
}

/// A head called `name` of this network, on `backbone`: `polar_bear` alerts from 0.5, `other` never.
pub fn judge(name: &str, sequence: u64, backbone: HeadBackbone, network: &[u8]) -> Judge {
    let label =
        |name: &str, background: bool| Label { name: name.into(), alert: !background, threshold: 0.5, background };
    let labels = vec![label("polar_bear", false), label("other", true)];
    let mut manifest = HeadManifest::new(name.into(), "1".into(), backbone, labels);
    manifest.sequence = sequence;
    let digest = FileDigest { size: network.len() as u64, sha256: ContentHash::of(network).to_string() };
    manifest.files = BTreeMap::from([("head.onnx".to_owned(), digest)]);
    Judge::new(Head::load(manifest, network).unwrap(), &Alerts::default()).unwrap()
}

/// Of a head that a trap fitted.
pub fn local_fit() -> LocalFit {
    LocalFit {
        trap: "north".into(),
        key: "0123456789ABCDEF".into(),
        request: 1,
        frames: BTreeMap::new(),
        against: "old 1".into(),
        balanced_accuracy: Rivals { before: 0.5, now: 1.0 },
        found: BTreeMap::new(),
        false_alerts: BTreeMap::new(),
    }
}
