//! The quantized tensors of a QDQ graph: what a float tensor is the dequantized form of.

use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

use crate::onnx::{Attributes, Constant, Data, Graph, OnnxError};

use super::levels::Levels;

/// A tensor of levels and what they stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// The `u8` or `i8` tensor.
    pub tensor: String,
    /// Its quantization.
    pub levels: Levels,
}

/// Quantized weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Sides as stored.
    pub shape: Vec<usize>,
    /// Row-major; -127 to 127.
    pub values: Vec<i8>,
    /// One, or one along [`Weights::axis`].
    pub scales: Vec<f32>,
    /// The axis that has scales of its own.
    pub axis: usize,
}

/// Why something is not recognised; goes into the report.
pub type Reason = String;

impl From<OnnxError> for super::Unrecognised {
    fn from(error: OnnxError) -> Self {
        Self(error.to_string())
    }
}

/// The quantization that node `place` (`QuantizeLinear` or `DequantizeLinear`) states, if it is one for the whole tensor.
pub fn levels(graph: &Graph, place: usize) -> Result<Levels, Reason> {
    let node = graph.node(place).ok_or("no such node")?;
    let constant = |at: usize| match node.input_at(at) {
        None => Ok(None),
        Some(name) => graph.constant(name).map_err(|error| error.to_string()),
    };
    let scale = constant(1)?.ok_or("its scale is no constant")?;
    let scale = scale.scalar().ok_or("it has a scale a channel, which activations can't have here")?;
    if !scale.is_finite() || scale <= 0.0 {
        return Err(format!("its scale is {scale}"));
    }
    let zero = match constant(2)? {
        None if node.input_at(2).is_some() => return Err("its zero point is no constant".into()),
        None => default_zero(graph, node)?,
        Some(Constant { data: Data::U8(zero), .. }) if zero.len() == 1 => zero[0],
        Some(Constant { data: Data::I8(zero), .. }) if zero.len() == 1 => (zero[0] as u8) ^ 0x80,
        Some(_) => return Err("its levels are neither 8-bit nor per tensor".into()),
    };
    Ok(Levels { scale, zero })
}

/// The zero point where none is given: 0, in the type of the levels.
fn default_zero(graph: &Graph, node: &NodeProto) -> Result<u8, Reason> {
    let text = |error: OnnxError| error.to_string();
    if node.op_type == "QuantizeLinear" {
        let kind = node.int("output_dtype", 0).map_err(text)?;
        let unsigned = kind == 0 || kind == DataType::Uint8 as i64;
        return if unsigned {
            Ok(0)
        } else {
            Err("its levels are of another type than u8, without a zero point".into())
        };
    }
    let source = node.input_at(0).unwrap_or_default();
    match graph.producer(source) {
        Some(place) if graph.node(place).is_some_and(|node| node.op_type == "QuantizeLinear") => {
            // A signed zero is 128 among unsigned levels.
            let given = graph.node(place).and_then(|node| node.input_at(2)).and_then(|name| graph.initializer(name));
            Ok(if given.is_some_and(|given| given.data_type == DataType::Int8 as i32) { 0x80 } else { 0 })
        }
        _ => match graph.initializer(source).map(|stored| stored.data_type) {
            Some(kind) if kind == DataType::Int8 as i32 => Ok(0x80),
            _ => Ok(0),
        },
    }
}

/// Whether the quantizer at `place` makes levels that only dequantizers read: only then nobody sees in which order they lie.
pub fn makes_levels(graph: &Graph, place: usize) -> bool {
    let Some(node) = graph.node(place).filter(|node| node.op_type == "QuantizeLinear") else { return false };
    let reads_levels = |reader: &usize| {
        let dequantizer = graph.node(*reader).filter(|reader| reader.op_type == "DequantizeLinear");
        dequantizer.is_some_and(|it| it.input_at(0) == Some(node.result())) && levels(graph, *reader).is_ok()
    };
    levels(graph, place).is_ok()
        && !graph.is_output(node.result())
        && graph.consumers(node.result()).iter().all(reads_levels)
}

/// What `tensor` is the dequantized form of, if a `DequantizeLinear` of an activation makes it.
pub fn dequantized(graph: &Graph, tensor: &str) -> Option<Quantized> {
    let place = graph.producer(tensor)?;
    let node = graph.node(place).filter(|node| node.op_type == "DequantizeLinear")?;
    let source = node.input_at(0)?;
    // Levels must come from a quantizer: only then are they brought to channels last.
    if !makes_levels(graph, graph.producer(source)?) {
        return None;
    }
    Some(Quantized { tensor: source.to_owned(), levels: levels(graph, place).ok()? })
}

/// The weights behind `tensor`, if a `DequantizeLinear` of a constant makes it.
pub fn weights(graph: &Graph, tensor: &str) -> Result<Weights, Reason> {
    let node = graph.producer(tensor).and_then(|place| graph.node(place));
    let node = node.filter(|node| node.op_type == "DequantizeLinear").ok_or("its weights are not quantized")?;
    let constant = |at: usize| match node.input_at(at) {
        None => Ok(None),
        Some(name) => graph.constant(name).map_err(|error| error.to_string()),
    };
    let stored = constant(0)?.ok_or("its weights are no constant")?;
    if stored.is_empty() {
        return Err("its weights are empty".into());
    }
    let Constant { shape, data } = stored;
    let scales = constant(1)?.ok_or("the scales of its weights are no constant")?;
    if scales.shape.len() > 1 || node.int("block_size", 0).map_err(|error| error.to_string())? != 0 {
        return Err("its weights have a scale a block".into());
    }
    let scales = scales.floats().map(<[f32]>::to_vec).ok_or("the scales of its weights are not float")?;
    // Weights of unsigned levels become signed ones; both zero points move along.
    let (values, shift) = match data {
        Data::I8(values) => (values, 0),
        Data::U8(values) => (values.into_iter().map(|value| (value ^ 0x80) as i8).collect(), 128),
        _ => return Err("its weights are not 8-bit".into()),
    };
    let zeros = constant(2)?.and_then(|zeros| zeros.integers()).unwrap_or_else(|| vec![0]);
    if node.input_at(2).is_some_and(|name| !graph.is_constant(name)) {
        return Err("the zero point of its weights is no constant".into());
    }
    if zeros.iter().any(|zero| *zero != shift) {
        return Err("its weights have a zero point".into());
    }
    if values.contains(&i8::MIN) {
        return Err("a weight is -128, beyond the symmetric range".into());
    }
    let axis = node.int("axis", 1).map_err(|error| error.to_string())?;
    let rank = shape.len();
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    let axis = usize::try_from(axis).unwrap_or(usize::MAX);
    if scales.len() > 1 && shape.get(axis) != Some(&scales.len()) {
        return Err(format!("{} scales do not fit weights of shape {shape:?} along axis {axis}", scales.len()));
    }
    if scales.is_empty() || scales.iter().any(|scale| !scale.is_finite() || *scale < 0.0) {
        return Err("a scale of its weights is negative or no finite number".into());
    }
    Ok(Weights { shape, values, scales, axis })
}

/// A bias in steps of `steps` (input scale times weight scale, one a channel): an `i32` constant that is dequantized, or a
/// float one.
pub fn bias(graph: &Graph, tensor: Option<&str>, steps: &[f32]) -> Result<Vec<i32>, Reason> {
    let Some(tensor) = tensor else { return Ok(vec![0; steps.len()]) };
    let text = |error: OnnxError| error.to_string();
    let real: Vec<f64> = if let Some(constant) = graph.constant(tensor).map_err(text)? {
        constant.floats().ok_or("its bias is not float")?.iter().map(|value| f64::from(*value)).collect()
    } else {
        let node = graph.producer(tensor).and_then(|place| graph.node(place));
        let node = node.filter(|node| node.op_type == "DequantizeLinear").ok_or("its bias is no constant")?;
        let constant = |at: usize| node.input_at(at).map(|name| graph.constant(name)).transpose().map_err(text);
        let levels = constant(0)?.flatten().and_then(|levels| levels.integers()).ok_or("its bias is no constant")?;
        let scales = constant(1)?.flatten().and_then(|scales| scales.floats().map(<[f32]>::to_vec));
        let scales = scales.ok_or("the scale of its bias is no constant")?;
        let zeros = constant(2)?.flatten().and_then(|zeros| zeros.integers()).unwrap_or_default();
        if zeros.iter().any(|zero| *zero != 0) || !(scales.len() == 1 || scales.len() == levels.len()) {
            return Err("its bias has a zero point, or scales that do not fit".into());
        }
        let scale = |index: usize| f64::from(scales[if scales.len() == 1 { 0 } else { index }]);
        levels.iter().enumerate().map(|(index, level)| *level as f64 * scale(index)).collect()
    };
    if real.len() != steps.len() {
        return Err(format!("{} biases for {} channels", real.len(), steps.len()));
    }
    let levels = real.iter().zip(steps).map(|(value, step)| {
        let levels = if *value == 0.0 { 0.0 } else { (value / f64::from(*step)).round_ties_even() };
        (levels.is_finite() && levels.abs() < f64::from(1 << 29)).then_some(levels as i32)
    });
    levels.collect::<Option<_>>().ok_or_else(|| "a bias is out of range".to_owned())
}

/// The constant `tensor` as numbers along the channels of an activation of rank 4: one, `[c, 1, 1]` or `[1, c, 1, 1]`.
pub fn along_channels(graph: &Graph, tensor: &str) -> Option<Vec<f32>> {
    let folded = graph.producer(tensor).and_then(|place| graph.node(place)).is_some();
    let constant = if folded { float_constant(graph, tensor)? } else { graph.constant(tensor).ok().flatten()? };
    let values = constant.floats()?.to_vec();
    let fits = match constant.shape.as_slice() {
        [_, 1, 1] | [1, _, 1, 1] => true,
        shape => shape.iter().all(|side| *side == 1),
    };
    fits.then_some(values)
}

/// A float constant, or the dequantized form of a constant.
pub fn float_constant(graph: &Graph, tensor: &str) -> Option<Constant> {
    if let Some(constant) = graph.constant(tensor).ok().flatten() {
        return Some(constant);
    }
    let node = graph.producer(tensor).and_then(|place| graph.node(place))?;
    let node = Some(node).filter(|node| node.op_type == "DequantizeLinear")?;
    let constant = |at: usize| node.input_at(at).and_then(|name| graph.constant(name).ok().flatten());
    let source = constant(0)?;
    let levels = source.integers()?;
    if levels.is_empty() {
        return None;
    }
    let scales = constant(1)?.floats()?.to_vec();
    let zeros = match node.input_at(2) {
        None => vec![0],
        Some(_) => constant(2)?.integers()?,
    };
    let rank = source.shape.len() as i64;
    let axis = node.int("axis", 1).ok()?;
    let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()?;
    let inner: usize = source.shape.iter().skip(axis + 1).product();
    let count = scales.len();
    let fits = count == 1 || source.shape.get(axis) == Some(&count);
    if !fits || node.int("block_size", 0).ok()? != 0 || !(zeros.len() == 1 || zeros.len() == count) || inner == 0 {
        return None;
    }
    let value = |(index, level): (usize, &i64)| {
        let channel = if count == 1 { 0 } else { index / inner % count };
        let zero = zeros[if zeros.len() == 1 { 0 } else { channel }];
        level.saturating_sub(zero) as f32 * scales[channel]
    };
    Some(Constant::f32(source.shape.clone(), levels.iter().enumerate().map(value).collect()))
}
