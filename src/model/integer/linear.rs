//! Recognises convolutions and fully connected layers.

use kernels::{Conv, Depthwise, Isa, KernelError, MAX_TAPS, Output, Padding, Requantize, Size, Window};
use tract_onnx::pb::NodeProto;

use super::levels::Levels;
use super::operator::Operator;
use super::tensors::{Reason, Weights, bias, dequantized, weights};
use super::{Found, Unrecognised};
use crate::onnx::{Attributes, Graph, OnnxError};

/// `DequantizeLinear -> Conv`, with weights and bias of constants.
pub fn convolution(
    graph: &Graph,
    node: &NodeProto,
    to: Levels,
    range: Output,
    isa: Isa,
) -> Result<Found, Unrecognised> {
    let input = node.input_at(0).and_then(|name| dequantized(graph, name)).ok_or("its input is not quantized")?;
    let weights = weights(graph, node.input_at(1).unwrap_or_default())?;
    let &[outputs, per_group, height, width] = weights.shape.as_slice() else {
        return Err(format!("its weights have rank {}; two-dimensional windows are fused", weights.shape.len()).into());
    };
    if weights.scales.len() > 1 && weights.axis != 0 {
        return Err("its weights have scales along another axis than the output channels".into());
    }
    let window = window(node, Some(Size::new(height, width)))?;
    let groups = node.int("group", 1)?;
    let requantize = requantize(graph, node.input_at(2), &weights, outputs, input.levels, to, range)?;
    let area = height * width;
    let at = |o: usize, i: usize, tap: usize| weights.values[(o * per_group + i) * area + tap];
    let operator = if groups == 1 {
        let ordered: Vec<i8> = (0..outputs)
            .flat_map(|o| (0..area).flat_map(move |tap| (0..per_group).map(move |i| (o, i, tap))))
            .map(|(o, i, tap)| at(o, i, tap))
            .collect();
        Operator::Convolution(Conv::new(isa, window, per_group, &ordered, input.levels.zero, &requantize)?)
    } else if groups == outputs as i64 && per_group == 1 && area <= MAX_TAPS {
        let ordered: Vec<i8> =
            (0..area).flat_map(|tap| (0..outputs).map(move |o| (o, tap))).map(|(o, tap)| at(o, 0, tap)).collect();
        Operator::Depthwise(Depthwise::new(isa, window, &ordered, input.levels.zero, &requantize)?)
    } else {
        return Err(
            format!("{groups} groups of {per_group} channels under {area} taps: neither dense nor depthwise").into()
        );
    };
    Ok(Found { operator, inputs: vec![input.tensor] })
}

/// `DequantizeLinear -> Gemm` or `MatMul`, as a convolution over one pixel.
pub fn fully_connected(
    graph: &Graph,
    node: &NodeProto,
    extra_bias: Option<&str>,
    to: Levels,
    range: Output,
    isa: Isa,
) -> Result<Found, Unrecognised> {
    let input = node.input_at(0).and_then(|name| dequantized(graph, name)).ok_or("its input is not quantized")?;
    let weights = weights(graph, node.input_at(1).unwrap_or_default())?;
    let gemm = node.op_type == "Gemm";
    let is_one = |name: &str| Ok::<_, OnnxError>(node.float(name)?.unwrap_or(1.0) == 1.0);
    if gemm && (!is_one("alpha")? || !is_one("beta")? || node.int("transA", 0)? != 0) {
        return Err("alpha, beta or transA is set".into());
    }
    let &[rows, columns] = weights.shape.as_slice() else {
        return Err(format!("its weights have rank {}", weights.shape.len()).into());
    };
    let transposed = gemm && node.int("transB", 0)? != 0;
    let (depth, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
    if weights.scales.len() > 1 && weights.axis != usize::from(!transposed) {
        return Err("its weights have scales along another axis than the outputs".into());
    }
    let ordered = if transposed {
        weights.values.clone()
    } else {
        (0..outputs).flat_map(|o| (0..depth).map(move |k| k * outputs + o)).map(|at| weights.values[at]).collect()
    };
    let bias = if gemm { node.input_at(2) } else { extra_bias };
    let requantize = requantize(graph, bias, &weights, outputs, input.levels, to, range)?;
    let conv = Conv::new(isa, Window::pointwise(), depth, &ordered, input.levels.zero, &requantize)?;
    Ok(Found { operator: Operator::FullyConnected(conv), inputs: vec![input.tensor] })
}

fn requantize(
    graph: &Graph,
    bias_tensor: Option<&str>,
    weights: &Weights,
    outputs: usize,
    from: Levels,
    to: Levels,
    output: Output,
) -> Result<Requantize, Reason> {
    // In the order in which onnxruntime multiplies, so that the last bit agrees.
    let steps: Vec<f32> =
        (0..outputs).map(|o| from.scale * weights.scales[if weights.scales.len() == 1 { 0 } else { o }]).collect();
    let bias = bias(graph, bias_tensor, &steps)?;
    Ok(Requantize { bias, scale: steps.iter().map(|step| step / to.scale).collect(), output })
}

/// The window that a node's attributes describe; `size` where its weights say it.
pub fn window(node: &NodeProto, size: Option<Size>) -> Result<Window, Unrecognised> {
    let pair = |name: &str, default: usize| match node.ints(name)? {
        None => Ok(Size::new(default, default)),
        Some(&[height, width]) => match (usize::try_from(height), usize::try_from(width)) {
            (Ok(height), Ok(width)) => Ok(Size::new(height, width)),
            _ => Err(Unrecognised(format!("{name} is negative"))),
        },
        Some(other) => Err(Unrecognised(format!("{name} has {} values", other.len()))),
    };
    if pair("dilations", 1)? != Size::new(1, 1) {
        return Err("its window is dilated".into());
    }
    if node.int("ceil_mode", 0)? != 0 {
        return Err("ceil_mode is set".into());
    }
    let size = size.map_or_else(|| pair("kernel_shape", 0), Ok)?;
    let stride = pair("strides", 1)?;
    let padding = match (node.text("auto_pad")?.unwrap_or("NOTSET"), node.ints("pads")?) {
        ("NOTSET" | "", Some(pads)) => {
            let pads: Option<Vec<usize>> = pads.iter().map(|pad| usize::try_from(*pad).ok()).collect();
            let Some(&[top, left, bottom, right]) = pads.as_deref() else {
                return Err("its padding is no frame".into());
            };
            Padding { top, left, bottom, right }
        }
        ("NOTSET" | "" | "VALID", _) => Padding::default(),
        // With steps of one, the padding does not depend on the picture's size.
        (kind @ ("SAME_UPPER" | "SAME_LOWER"), _) if stride == Size::new(1, 1) => {
            let small = |side: usize| side.saturating_sub(1) / 2;
            let large = |side: usize| side.saturating_sub(1).div_ceil(2);
            let (height, width) = (size.height, size.width);
            if kind == "SAME_UPPER" {
                Padding { top: small(height), left: small(width), bottom: large(height), right: large(width) }
            } else {
                Padding { top: large(height), left: large(width), bottom: small(height), right: small(width) }
            }
        }
        (other, _) => return Err(format!("auto_pad = {other} depends on the picture's size").into()),
    };
    Ok(Window { size, stride, padding })
}

impl From<KernelError> for Unrecognised {
    fn from(error: KernelError) -> Self {
        Self(error.to_string())
    }
}
