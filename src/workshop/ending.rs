//! Where a network's features end and its classification layers begin.

use crate::model::Layout;
use crate::onnx::{Attributes, Graph, title};
use tract_onnx::pb::NodeProto;

/// Where the features are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Node or tensor to cut at; `None`: the network's own output.
    pub cut: Option<String>,
    /// The tensor before it is pooled or flattened, if it is.
    pub map: Option<String>,
    /// Whether the network flattens the map instead of pooling it.
    pub flattens: bool,
    /// Why, for people.
    pub why: String,
}

/// Finds the features by walking back from the output: over the classification layers to the last pooling.
///
/// # Errors
/// Says what was met instead, and which nodes to try.
pub fn find(graph: &Graph) -> Result<Ending, String> {
    let output = graph.outputs().next().unwrap_or_default().to_owned();
    let quantized = graph.nodes().iter().any(|node| node.op_type == "QuantizeLinear");
    let mut tensor = output;
    let mut classifier: Option<String> = None;
    let mut flat: Option<String> = None;
    // Bounded by the number of nodes.
    for _ in 0..=graph.nodes().len() {
        let Some(node) = graph.producer(&tensor).and_then(|place| graph.node(place)) else { break };
        let Some(from) = only_data(graph, node) else { break };
        match node.op_type.as_str() {
            "GlobalAveragePool" | "ReduceMean" => {
                return Ok(match &classifier {
                    Some(dense) => Ending {
                        cut: Some(title(node).to_owned()),
                        map: Some(from),
                        flattens: false,
                        why: format!("the last pooling before the classification layer `{dense}`"),
                    },
                    // On levels a mean would be rounded once more behind the pooling.
                    None if quantized => Ending {
                        cut: Some(title(node).to_owned()),
                        map: Some(from),
                        flattens: false,
                        why: "the pooling that it ends in, before its result is rounded to 8 bits".into(),
                    },
                    None => Ending { map: Some(from), ..whole("it ends in a pooling, without classification layers") },
                });
            }
            "Gemm" | "MatMul" => classifier = Some(title(node).to_owned()),
            "Conv" if is_pointwise(graph, node) => classifier = Some(title(node).to_owned()),
            "Reshape" | "Flatten" => flat = Some(from.clone()),
            kind if PASSED.contains(&kind) => {}
            _ => break,
        }
        tensor = from;
    }
    match (classifier, flat) {
        (Some(dense), Some(map)) if !is_pointwise_name(graph, &dense) => Ok(Ending {
            cut: Some(map.clone()),
            map: Some(map),
            flattens: true,
            why: format!("the map that the network flattens for its classification layer `{dense}`"),
        }),
        (Some(dense), _) if !is_pointwise_name(graph, &dense) => Err(format!(
            "it ends in the layer `{dense}`, but no pooling was found before it; say with --cut where its features are{}",
            candidates(graph)
        )),
        _ => Ok(whole("it ends without classification layers")),
    }
}

fn whole(why: &str) -> Ending {
    Ending { cut: None, map: None, flattens: false, why: why.into() }
}

/// Operators that stand among classification layers and on the way from them to a pooling.
const PASSED: &[&str] = &[
    "Softmax",
    "LogSoftmax",
    "Sigmoid",
    "Relu",
    "Clip",
    "HardSwish",
    "HardSigmoid",
    "Identity",
    "Dropout",
    "Squeeze",
    "Unsqueeze",
    "Cast",
    "Transpose",
    "Add",
    "Mul",
    "Sub",
    "Div",
    "BatchNormalization",
    "QuantizeLinear",
    "DequantizeLinear",
];

/// The one input of a node that is not a constant; `None` if it joins several.
fn only_data(graph: &Graph, node: &NodeProto) -> Option<String> {
    let mut data = node.input.iter().filter(|name| !name.is_empty() && !is_fixed(graph, name));
    match (data.next(), data.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => None,
    }
}

/// Whether a tensor is a constant, or one of 8 bits brought back to floats.
fn is_fixed(graph: &Graph, name: &str) -> bool {
    let stored = |name: &str| graph.is_constant(name);
    let node = graph.producer(name).and_then(|place| graph.node(place));
    stored(name)
        || node.is_some_and(|node| {
            matches!(node.op_type.as_str(), "DequantizeLinear" | "Transpose" | "Identity" | "Cast")
                && node.input_at(0).is_some_and(stored)
        })
}

/// Whether a convolution looks at one pixel: MobileNet's classification layer is one, on a map of one pixel.
fn is_pointwise(graph: &Graph, node: &NodeProto) -> bool {
    let stored = node.input_at(1).map(|weight| {
        let made = graph.producer(weight).and_then(|place| graph.node(place)).and_then(|node| node.input_at(0));
        made.unwrap_or(weight)
    });
    let shape = stored.and_then(|weight| graph.shape(weight));
    matches!(shape.as_deref(), Some([_, _, 1, 1]))
}

fn is_pointwise_name(graph: &Graph, name: &str) -> bool {
    graph.nodes().iter().any(|node| title(node) == name && node.op_type == "Conv")
}

/// Some nodes that may be meant.
fn candidates(graph: &Graph) -> String {
    let pools = graph
        .nodes()
        .iter()
        .filter(|node| matches!(node.op_type.as_str(), "GlobalAveragePool" | "ReduceMean" | "AveragePool" | "Flatten"));
    let last: Vec<&str> = pools.rev().take(3).map(title).collect();
    if last.is_empty() { String::new() } else { format!(", perhaps {}", last.join(" or ")) }
}

/// Order of the axes of a tensor of rank 4, from what made it; `input` is that of the picture.
pub fn layout(graph: &Graph, tensor: &str, input: Layout) -> Layout {
    let mut tensor = tensor.to_owned();
    for _ in 0..=graph.nodes().len() {
        let Some(node) = graph.producer(&tensor).and_then(|place| graph.node(place)) else { return input };
        match node.op_type.as_str() {
            // ONNX defines these on channels first alone.
            "Conv" | "MaxPool" | "AveragePool" | "GlobalAveragePool" | "BatchNormalization" => return Layout::Nchw,
            "Transpose" => match node.ints("perm") {
                Ok(Some([0, 2, 3, 1])) => return Layout::Nhwc,
                Ok(Some([0, 3, 1, 2])) => return Layout::Nchw,
                _ => {}
            },
            _ => {}
        }
        let data = node.input.iter().find(|name| !name.is_empty() && !is_fixed(graph, name));
        match data {
            Some(from) => tensor = from.clone(),
            None => return input,
        }
    }
    input
}

#[cfg(test)]
#[path = "ending_tests.rs"]
mod tests;
