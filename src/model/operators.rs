//! What a head's network may be made of.
//!
//! A head is a few layers on a vector. It needs no loops, no branches and no operator that makes a tensor of any size out
//! of a number, and what a sender can't use, he can't misuse: a head that comes over the air must not be able to hang a
//! trap or exhaust its memory. How large the tensors become that these operators make, [`super::growth`] bounds.

use super::ModelError;
use crate::onnx::{Graph, title};

/// Operators of ONNX itself. Export tools write heads with these.
const OWN: &[&str] = &[
    // Layers.
    "Gemm",
    "MatMul",
    "BatchNormalization",
    "LayerNormalization",
    "LpNormalization",
    "Dropout",
    // Activations.
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Elu",
    "Celu",
    "Selu",
    "Gelu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Tanh",
    "Softplus",
    "Softsign",
    "Softmax",
    "LogSoftmax",
    "Clip",
    "Erf",
    // Arithmetic and comparison.
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Abs",
    "Sqrt",
    "Reciprocal",
    "Pow",
    "Exp",
    "Log",
    "Sum",
    "Max",
    "Min",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Equal",
    "Not",
    "And",
    "Or",
    "Where",
    // Reductions.
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSumExp",
    "ArgMax",
    "ArgMin",
    // Shapes.
    "Identity",
    "Cast",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Concat",
    "Split",
    "Slice",
    "Gather",
    "Shape",
    // Weights of 8 bits.
    "QuantizeLinear",
    "DequantizeLinear",
];

/// Operators of ONNX's domain for classical machine learning: scikit-learn's.
const MACHINE_LEARNING: &[&str] = &["LinearClassifier", "LinearRegressor", "Normalizer"];

/// Most nodes: a deep head has some tens.
const MAX_NODES: usize = 1000;

/// Checks that `graph` is made of what a head may be made of.
///
/// # Errors
/// [`ModelError::Operator`] names the first that it may not be made of.
pub(super) fn check(what: &str, graph: &Graph) -> Result<(), ModelError> {
    for node in graph.nodes() {
        let list = match node.domain.as_str() {
            "" | "ai.onnx" => OWN,
            "ai.onnx.ml" => MACHINE_LEARNING,
            _ => &[],
        };
        if !list.contains(&node.op_type.as_str()) {
            let domain = if node.domain.is_empty() { String::new() } else { format!("{}.", node.domain) };
            let operator = format!("{domain}{}", node.op_type);
            return Err(ModelError::Operator { what: what.to_owned(), node: title(node).to_owned(), operator });
        }
    }
    match graph.nodes().len() {
        nodes if nodes > MAX_NODES => Err(ModelError::Shape {
            what: what.to_owned(),
            problem: format!("the network has {nodes} nodes, more than the {MAX_NODES} that a head may have"),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn graph(domain: &str, operator: &str) -> Graph {
        let mut graph = Graph::empty("head", "features", &[1, 6], 13);
        let place = graph.add_node(operator, &["features"], "result", vec![]).unwrap();
        graph.edit_node(place, |node| node.domain = domain.to_owned()).unwrap();
        graph
    }

    #[test]
    fn an_operator_that_a_head_may_not_hold_is_refused_by_name() {
        for (domain, operator, name) in [
            ("", "Loop", "`Loop`"),
            ("", "If", "`If`"),
            ("", "Scan", "`Scan`"),
            ("", "ConstantOfShape", "`ConstantOfShape`"),
            ("", "Tile", "`Tile`"),
            ("com.microsoft", "Gemm", "`com.microsoft.Gemm`"),
            ("ai.onnx.ml", "ZipMap", "`ai.onnx.ml.ZipMap`"),
            ("ai.onnx.ml", "Relu", "`ai.onnx.ml.Relu`"),
        ] {
            let message = check("head a", &graph(domain, operator)).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains("head a"), "{message}");
        }
    }

    #[test]
    fn layers_activations_and_scikits_classifier_are_what_heads_are_made_of() {
        for (domain, operator) in
            [("", "Gemm"), ("", "Softmax"), ("ai.onnx", "Relu"), ("ai.onnx.ml", "LinearClassifier")]
        {
            check("head a", &graph(domain, operator)).unwrap();
        }
    }

    #[test]
    fn the_page_on_heads_lists_every_operator() {
        let page = include_str!("../../docs/heads.md");
        let words: Vec<&str> = page.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        for operator in OWN.iter().chain(MACHINE_LEARNING) {
            assert!(words.contains(operator), "{operator}");
        }
    }

    #[test]
    fn more_nodes_than_any_head_has_are_refused() {
        let mut graph = graph("", "Relu");
        for number in 0..MAX_NODES {
            graph.add_node("Relu", &["features"], &format!("r{number}"), vec![]).unwrap();
        }
        assert!(check("head a", &graph).is_err());
    }
}
