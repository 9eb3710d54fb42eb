//! Which tensors of a prepared network become u8, and which of them must share their levels.

use std::collections::{BTreeMap, HashSet};

use tract_onnx::pb::NodeProto;

use super::parts::{Part, Weighted};
use crate::onnx::{Attributes, Graph, OnnxError};

/// Where the quantized tensors lie.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The tensors that become u8, in topological order.
    pub tensors: Vec<String>,
    /// Tensors that take another one's levels, because values only move between them.
    pub like: BTreeMap<String, String>,
    /// The nodes with weights.
    pub weighted: Vec<Weighted>,
    /// For each weighted node's output the tensor that is quantized after it: behind its activation, if it has one.
    pub after: BTreeMap<String, String>,
}

impl Plan {
    /// Plans `graph`.
    ///
    /// # Errors
    /// [`OnnxError`] for broken attributes.
    pub fn of(graph: &Graph) -> Result<Self, OnnxError> {
        let parts: Vec<Part> = graph.nodes().iter().map(|node| Part::of(graph, node)).collect::<Result<_, _>>()?;
        let part = |place: usize| parts.get(place).copied().unwrap_or(Part::Other);
        let mut plan = Self { weighted: Weighted::all(graph)?, ..Self::default() };
        for tensor in activations(graph) {
            let maker = graph.producer(&tensor);
            let by_integers = maker.is_some_and(|place| part(place).quantizable());
            let for_integers = graph.consumers(&tensor).iter().any(|place| part(*place).quantizable());
            if inner(graph, &tensor, &part) || !(by_integers || for_integers) {
                continue;
            }
            plan.tensors.push(tensor);
        }
        let quantized: HashSet<&String> = plan.tensors.iter().collect();
        for (node, part) in graph.nodes().iter().zip(&parts) {
            let (Some(input), output) = (node.input_at(0), node.result().to_owned()) else { continue };
            if *part == Part::Moving && quantized.contains(&input.to_owned()) && quantized.contains(&output) {
                let source = plan.like.get(input).cloned().unwrap_or_else(|| input.to_owned());
                plan.like.insert(output, source);
            }
        }
        for weighted in &plan.weighted {
            let mut tensor = weighted.output.clone();
            // As long as the chain of fused nodes; bounded by the number of nodes.
            while !quantized.contains(&tensor)
                && let Some(&[next]) = Some(graph.consumers(&tensor))
                && let Some(node) = graph.node(next)
            {
                tensor = node.result().to_owned();
            }
            plan.after.insert(weighted.output.clone(), tensor);
        }
        Ok(plan)
    }

    /// Whether `tensor` becomes u8.
    pub fn quantizes(&self, tensor: &str) -> bool {
        self.tensors.iter().any(|name| name == tensor)
    }
}

/// The picture and everything made from it, in order.
fn activations(graph: &Graph) -> Vec<String> {
    let results = graph.nodes().iter().map(NodeProto::result).filter(|name| !name.is_empty());
    graph.inputs().chain(results).map(str::to_owned).collect()
}

/// Whether `tensor` lies inside a group that is computed at once: product, activation; factor, offset, activation.
fn inner(graph: &Graph, tensor: &str, part: &impl Fn(usize) -> Part) -> bool {
    let Some(maker) = graph.producer(tensor) else { return false };
    let &[reader] = graph.consumers(tensor) else { return false };
    if graph.is_output(tensor) {
        return false;
    }
    match (part(maker), part(reader)) {
        (Part::Weighted | Part::Affine | Part::Pairwise, Part::Activation) => true,
        (Part::Affine, Part::Affine) => {
            let kind = |place| graph.node(place).map(|node| node.op_type.as_str());
            kind(maker) == Some("Mul") && kind(reader) == Some("Add")
        }
        _ => false,
    }
}
