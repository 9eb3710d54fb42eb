#![allow(clippy::unwrap_used)]

use super::*;
use crate::onnx::{Constant, attribute};

/// A picture, a 3x3 convolution and what `build` puts behind its map [1, 4, 8, 8].
fn network(build: impl FnOnce(&mut Graph)) -> Graph {
    let mut graph = Graph::empty("network", "image", &[1, 3, 8, 8], 13);
    graph.set_constant("weight", &Constant::f32([4, 3, 3, 3], vec![0.1; 108])).unwrap();
    graph.set_constant("dense", &Constant::f32([4, 5], vec![0.1; 20])).unwrap();
    graph.set_constant("flat.dense", &Constant::f32([256, 5], vec![0.1; 1280])).unwrap();
    graph.set_constant("point", &Constant::f32([5, 4, 1, 1], vec![0.1; 20])).unwrap();
    graph.add_node("Conv", &["image", "weight"], "map", vec![attribute::ints("pads", &[1; 4])]).unwrap();
    build(&mut graph);
    graph
}

fn add(graph: &mut Graph, kind: &str, inputs: &[&str], output: &str) {
    graph.add_node(kind, inputs, output, Vec::new()).unwrap();
    graph.set_outputs(&[output]).unwrap();
}

#[test]
fn a_classification_layer_and_its_softmax_are_cut_off_at_the_pooling() {
    let graph = network(|graph| {
        add(graph, "GlobalAveragePool", &["map"], "pool");
        add(graph, "Flatten", &["pool"], "flat");
        add(graph, "Gemm", &["flat", "dense"], "logits");
        add(graph, "Softmax", &["logits"], "scores");
    });
    let ending = find(&graph).unwrap();
    assert_eq!((ending.cut.as_deref(), ending.map.as_deref(), ending.flattens), (Some("pool"), Some("map"), false));
}

#[test]
fn a_convolution_on_the_pooled_pixel_is_a_classification_layer_too() {
    let graph = network(|graph| {
        add(graph, "GlobalAveragePool", &["map"], "pool");
        add(graph, "Conv", &["pool", "point"], "logits");
        add(graph, "Flatten", &["logits"], "scores");
    });
    assert_eq!(find(&graph).unwrap().cut.as_deref(), Some("pool"));
}

#[test]
fn a_network_without_classification_layers_is_taken_as_it_is() {
    assert_eq!(find(&network(|graph| add(graph, "Relu", &["map"], "act"))).unwrap().cut, None);
    // Its last convolution looks at one pixel, but no pooling stands before it.
    assert_eq!(find(&network(|graph| add(graph, "Conv", &["map", "point"], "wide"))).unwrap().cut, None);
    assert_eq!(find(&network(|graph| add(graph, "GlobalAveragePool", &["map"], "pool"))).unwrap().cut, None);
}

#[test]
fn a_map_that_the_network_flattens_is_flattened() {
    let graph = network(|graph| {
        add(graph, "Flatten", &["map"], "flat");
        add(graph, "MatMul", &["flat", "flat.dense"], "scores");
    });
    let ending = find(&graph).unwrap();
    assert_eq!((ending.cut.as_deref(), ending.flattens), (Some("map"), true));
}

#[test]
fn the_pooling_inside_an_attention_block_is_not_taken_for_the_last() {
    let graph = network(|graph| {
        add(graph, "GlobalAveragePool", &["map"], "squeeze");
        add(graph, "Sigmoid", &["squeeze"], "gate");
        add(graph, "Mul", &["map", "gate"], "gated");
        add(graph, "Conv", &["gated", "point"], "wide");
    });
    assert_eq!(find(&graph).unwrap().cut, None);
}

#[test]
fn axes_are_told_from_what_made_the_map() {
    let graph = network(|graph| {
        add(graph, "Relu", &["map"], "act");
        graph.add_node("Transpose", &["act"], "last", vec![attribute::ints("perm", &[0, 2, 3, 1])]).unwrap();
    });
    assert_eq!(layout(&graph, "act", Layout::Nhwc), Layout::Nchw);
    assert_eq!(layout(&graph, "last", Layout::Nchw), Layout::Nhwc);
}
