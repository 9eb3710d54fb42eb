//! The same network in `f32`: what quantization is compared with.

use std::collections::HashSet;

use super::tensors::{dequantized, float_constant};
use crate::onnx::{Attributes, Graph, OnnxError};

/// Takes the quantizers out of `graph`: activations pass them unchanged, dequantized constants become constants.
///
/// Limits that a quantizer's range stood in for go with it: use it to compare times, not results.
///
/// # Errors
/// The graph contradicts itself.
pub fn float_twin(mut graph: Graph) -> Result<Graph, OnnxError> {
    let pairs: Vec<(String, String)> = graph
        .nodes()
        .iter()
        .filter(|node| node.op_type == "DequantizeLinear")
        .filter_map(|node| {
            let from = dequantized(&graph, node.result())?;
            let quantizer = graph.node(graph.producer(&from.tensor)?)?;
            Some((node.result().to_owned(), quantizer.input_at(0)?.to_owned()))
        })
        .collect();
    // In order, so that a pair behind a pair ends at the start of both.
    for (quantized, plain) in &pairs {
        graph.replace_uses(quantized, plain)?;
    }
    graph.remove_unused()?;
    let names = graph.nodes().iter().filter(|node| node.op_type == "DequantizeLinear").map(Attributes::result);
    let folded: Vec<_> = names.filter_map(|name| Some((name.to_owned(), float_constant(&graph, name)?))).collect();
    let places: HashSet<usize> = folded.iter().filter_map(|(name, _)| graph.producer(name)).collect();
    graph.fold_nodes(&places, folded)?;
    graph.remove_unused()?;
    Ok(graph)
}
