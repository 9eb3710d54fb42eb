//! What a head's network may be made of.
//!
//! A head is a few layers on a vector. It needs no loops, no branches and nothing that makes large tensors out of small
//! ones, and what a sender can't use, he can't misuse: a head that comes over the air must not be able to hang a trap or
//! exhaust its memory.

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
