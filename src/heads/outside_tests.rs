#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::*;
use crate::heads::Bundle;
use crate::model::{Head, HeadBackbone, HeadManifest, Label};

#[derive(Deserialize)]
struct Fixture {
    framework: String,
    labels: Vec<String>,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    features: Vec<f32>,
    probabilities: Vec<f32>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/heads")
}

fn fixture(name: &str) -> (Vec<u8>, Fixture) {
    let read = |ending| std::fs::read(folder().join(format!("{name}.{ending}"))).unwrap();
    (read("onnx"), serde_json::from_slice(&read("json")).unwrap())
}

fn refused(onnx: &[u8], features: usize, labels: usize) -> String {
    match adopt(onnx, features, labels) {
        Ok(found) => panic!("it was accepted: {:?}", found.notes),
        Err(error) => format!("{error:#}"),
    }
}

/// A head as the trap loads it, from a network of another tool.
fn head(onnx: &[u8], fixture: &Fixture) -> Head {
    let features = fixture.vectors[0].features.len();
    let adopted = adopt(onnx, features, fixture.labels.len()).unwrap();
    let backbone = HeadBackbone { id: "some-backbone".into(), sha256: String::new(), features };
    let label = |name: &String| Label { name: name.clone(), alert: false, threshold: 0.5, background: false };
    let mut manifest =
        HeadManifest::new("outside".into(), "1".into(), backbone, fixture.labels.iter().map(label).collect());
    manifest.output = Some(adopted.output);
    Bundle::make(manifest, adopted.onnx, &[]).unwrap().head().unwrap()
}

/// Largest difference between the framework's own probabilities and ours.
fn difference(name: &str) -> f32 {
    let (onnx, fixture) = fixture(name);
    let head = head(&onnx, &fixture);
    let mut worst = 0_f32;
    for vector in &fixture.vectors {
        let scores = head.score(&vector.features).unwrap();
        assert_eq!(scores.len(), vector.probabilities.len(), "{name}");
        let differences = scores.iter().zip(&vector.probabilities).map(|((_, ours), theirs)| (ours - theirs).abs());
        worst = differences.fold(worst, f32::max);
    }
    println!("{name}: {worst:.1e} from {}", fixture.framework);
    worst
}

/// All heads of one framework give its probabilities.
fn assert_same_probabilities(prefix: &str, at_least: usize) {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = entries.filter_map(|name| name.strip_suffix(".onnx").map(str::to_owned)).collect();
    let names: Vec<&String> =
        names.iter().filter(|name| name.starts_with(prefix) && !name.ends_with("zipmap")).collect();
    assert!(names.len() >= at_least, "{names:?}");
    for name in names {
        let worst = difference(name);
        assert!(worst < 1e-4, "{name}: {worst}");
    }
}

#[test]
fn heads_from_keras_give_the_probabilities_that_keras_gives() {
    assert_same_probabilities("keras_", 7);
}

#[test]
fn heads_from_pytorch_give_the_probabilities_that_pytorch_gives() {
    assert_same_probabilities("torch_", 9);
}

#[test]
fn heads_from_scikit_learn_give_the_probabilities_that_it_gives() {
    assert_same_probabilities("sklearn_", 7);
}

#[test]
fn a_head_with_its_zipmap_left_in_is_refused_with_the_option_that_takes_it_out() {
    let (onnx, fixture) = fixture("sklearn_zipmap");
    let message = refused(&onnx, 48, fixture.labels.len());
    assert!(message.contains("zipmap=False"), "{message}");
}

#[test]
fn a_head_of_another_width_or_number_of_labels_is_refused_with_both_numbers() {
    let (onnx, _) = fixture("keras_logits");
    let message = refused(&onnx, 1280, 4);
    assert!(message.contains("48") && message.contains("1280"), "{message}");
    let message = refused(&onnx, 48, 3);
    assert!(message.contains("4 values") && message.contains("3 labels"), "{message}");
}

#[test]
fn a_head_that_pools_itself_says_so_when_the_backbone_has_pooled_already() {
    let (onnx, _) = fixture("keras_pooling");
    let message = refused(&onnx, 16, 4);
    assert!(message.contains("3 x 3 x 16") && message.contains("flatten"), "{message}");
}

#[test]
fn a_map_whose_size_is_beyond_counting_is_refused() {
    let mut graph = Graph::empty("head", "features", &[1, 1 << 31, 1 << 31, 1 << 31], 13);
    graph.add_node("Flatten", &["features"], "scores", Vec::new()).unwrap();
    graph.declare_shape("scores", &[1, 2]);
    graph.set_outputs(&["scores"]).unwrap();
    let message = refused(&graph.encode().unwrap(), 1280, 2);
    assert!(message.contains("2147483648") && message.contains("larger than any memory"), "{message}");
}

fn by_hand(weights: Vec<f32>, ending: &str) -> Vec<u8> {
    let mut graph = Graph::empty("head", "features", &[1, 2], 13);
    graph.set_constant("weights", &Constant::f32([2, 3], weights)).unwrap();
    graph.add_node("MatMul", &["features", "weights"], "logits", Vec::new()).unwrap();
    graph.add_node(ending, &["logits"], "scores", Vec::new()).unwrap();
    graph.set_outputs(&["scores"]).unwrap();
    graph.encode().unwrap()
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let message = refused(&by_hand(vec![f32::NAN; 6], "Identity"), 2, 3);
    assert!(message.contains("finite"), "{message}");
}

#[test]
fn a_sigmoid_for_each_label_is_refused_because_several_may_hold_at_once() {
    let message = refused(&by_hand(vec![0.5; 6], "Sigmoid"), 2, 3);
    assert!(message.contains("softmax"), "{message}");
}

#[test]
fn no_cut_off_or_damaged_file_makes_it_panic() {
    for name in ["keras_flatten", "sklearn_scaled", "torch_pooling"] {
        let (onnx, fixture) = fixture(name);
        let features = fixture.vectors[0].features.len();
        for at in (0..onnx.len()).step_by(onnx.len() / 60 + 1) {
            // Loading may fail or succeed; it must come back.
            let _ = adopt(&onnx[..at], features, 4);
            let mut damaged = onnx.clone();
            damaged[at] ^= 0x10;
            let _ = crate::classifier::guarded("load", || adopt(&damaged, features, 4));
        }
    }
}
