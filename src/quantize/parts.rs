//! What the nodes of a prepared network are to the quantizer.

use tract_onnx::pb::NodeProto;

use crate::onnx::{Attributes, Constant, Graph, OnnxError};

/// A node's part in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A product with constant weights: Conv, Gemm, MatMul.
    Weighted,
    /// Relu, or Clip with constant bounds.
    Activation,
    /// A product or sum with constants, or a batch norm, that could not be folded.
    Affine,
    /// Add or Mul of two activations.
    Pairwise,
    /// Averages over rows and columns.
    Average,
    /// Changes the place of values but not the values: in and out have the same levels.
    Moving,
    /// Puts tensors side by side.
    Concat,
    /// Stays in floats.
    Other,
}

impl Part {
    /// The part that `node` plays.
    ///
    /// # Errors
    /// [`OnnxError`] for a broken attribute.
    pub fn of(graph: &Graph, node: &NodeProto) -> Result<Self, OnnxError> {
        let constant = |place| node.input_at(place).is_some_and(|name| graph.is_constant(name));
        let activations = node.input.iter().filter(|name| !name.is_empty() && !graph.is_constant(name)).count();
        Ok(match node.op_type.as_str() {
            "Conv" | "Gemm" | "MatMul" if Weighted::of(graph, node)?.is_some() => Self::Weighted,
            "Relu" => Self::Activation,
            "Clip" if bounds(graph, node)?.is_some() => Self::Activation,
            "BatchNormalization" if (1..5).all(constant) => Self::Affine,
            "Add" | "Mul" if activations == 1 => Self::Affine,
            "Add" | "Mul" if activations == 2 => Self::Pairwise,
            "AveragePool" | "GlobalAveragePool" => Self::Average,
            "ReduceMean" if graph.opset() < 18 || constant(1) => Self::Average,
            "MaxPool" if node.output.len() == 1 => Self::Moving,
            "Flatten" | "Transpose" | "Identity" => Self::Moving,
            "Reshape" | "Squeeze" | "Unsqueeze" if activations == 1 => Self::Moving,
            "Pad" if activations == 1 && pads_with_what_is_there(graph, node)? => Self::Moving,
            "Concat" if activations == node.input.len() => Self::Concat,
            _ => Self::Other,
        })
    }

    /// Whether the node can be computed in integers between quantized tensors.
    pub fn quantizable(self) -> bool {
        self != Self::Other
    }
}

fn pads_with_what_is_there(graph: &Graph, node: &NodeProto) -> Result<bool, OnnxError> {
    Ok(match node.text("mode")?.unwrap_or("constant") {
        "constant" => pad_value(graph, node)? == Some(0.0),
        _ => true,
    })
}

/// What a `Pad` in constant mode pads with, if that is known.
pub fn pad_value(graph: &Graph, node: &NodeProto) -> Result<Option<f32>, OnnxError> {
    match node.input_at(2) {
        None => Ok(Some(0.0)),
        Some(name) => Ok(graph.constant(name)?.and_then(|value| value.scalar())),
    }
}

/// Lower and upper bound of a Relu or Clip; `None` if they are computed, or for another node.
///
/// # Errors
/// [`OnnxError`] for a broken tensor.
pub fn bounds(graph: &Graph, node: &NodeProto) -> Result<Option<(f32, f32)>, OnnxError> {
    match node.op_type.as_str() {
        "Relu" => return Ok(Some((0.0, f32::INFINITY))),
        "Clip" => {}
        _ => return Ok(None),
    }
    let bound = |place, absent| match node.input_at(place) {
        None => Ok(Some(absent)),
        Some(name) => Ok::<_, OnnxError>(graph.constant(name)?.and_then(|value| value.scalar())),
    };
    Ok(bound(1, f32::NEG_INFINITY)?.zip(bound(2, f32::INFINITY)?))
}

/// A node with constant weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighted {
    /// The activation that it reads.
    pub input: String,
    /// Initializer: `[out, in / group, rows, columns]`, `[in, out]`, or `[out, in]` with `transB`.
    pub weight: String,
    /// Initializer of length `out`, if there is one.
    pub bias: Option<String>,
    /// What it makes.
    pub output: String,
    /// Axis of the weights along which the output channels lie.
    pub axis: usize,
    /// Groups of a convolution; 1 for a matrix product.
    pub group: usize,
    /// Whether it is a convolution.
    pub conv: bool,
}

impl Weighted {
    /// Reads a node; `None` if its weights are not constant or it is of a form that stays in floats.
    ///
    /// # Errors
    /// [`OnnxError`] for a broken attribute.
    pub fn of(graph: &Graph, node: &NodeProto) -> Result<Option<Self>, OnnxError> {
        let (Some(input), Some(weight)) = (node.input_at(0), node.input_at(1)) else { return Ok(None) };
        let bias = node.input_at(2);
        let constant = graph.is_constant(weight) && bias.is_none_or(|bias| graph.is_constant(bias));
        if !constant || graph.is_constant(input) {
            return Ok(None);
        }
        let rank = graph.shape(weight).map_or(0, |shape| shape.len());
        let group = usize::try_from(node.int("group", 1)?).unwrap_or(0);
        let plain = |name| Ok::<_, OnnxError>(node.float(name)?.is_none_or(|value| value == 1.0));
        let axis = match node.op_type.as_str() {
            "Conv" if rank == 4 && group > 0 => 0,
            "MatMul" if rank == 2 => 1,
            "Gemm" if rank == 2 && node.int("transA", 0)? == 0 && plain("alpha")? && plain("beta")? => {
                usize::from(node.int("transB", 0)? == 0)
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            input: input.to_owned(),
            weight: weight.to_owned(),
            bias: bias.map(str::to_owned),
            output: node.result().to_owned(),
            axis,
            group,
            conv: node.op_type == "Conv",
        }))
    }

    /// All weighted nodes, in order.
    ///
    /// # Errors
    /// As [`Weighted::of`].
    pub fn all(graph: &Graph) -> Result<Vec<Self>, OnnxError> {
        graph.nodes().iter().filter_map(|node| Self::of(graph, node).transpose()).collect()
    }

    /// Weights and bias; zeros where there is no bias. `None` if they are not floats of fitting sizes.
    ///
    /// # Errors
    /// [`OnnxError`] for a broken tensor.
    pub fn parameters(&self, graph: &Graph) -> Result<Option<(Constant, Vec<f32>)>, OnnxError> {
        let Some(weight) = graph.constant(&self.weight)? else { return Ok(None) };
        let Some(channels) = weight.shape.get(self.axis).copied() else { return Ok(None) };
        let bias = match &self.bias {
            None => vec![0.0; channels],
            Some(name) => match graph.constant(name)?.as_ref().and_then(Constant::floats) {
                Some(bias) if bias.len() == channels => bias.to_vec(),
                Some(&[bias]) => vec![bias; channels],
                _ => return Ok(None),
            },
        };
        let sound = weight.floats().is_some() && channels > 0 && channels % self.group == 0 && !weight.is_empty();
        Ok(sound.then_some((weight, bias)))
    }
}
