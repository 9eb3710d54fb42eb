//! Recognises sums, per-channel maps, functions of one value, pools, borders and concatenation.

use kernels::elementwise::{Addend, Sum};
use kernels::pool::Mean;
use kernels::{Output, Padding};
use tract_onnx::pb::NodeProto;

use super::levels::Levels;
use super::linear::window;
use super::operator::Operator;
use super::tensors::{Quantized, along_channels, dequantized, float_constant, levels};
use super::{Found, Unrecognised};
use crate::onnx::{Attributes, Data, Graph};

fn input(graph: &Graph, node: &NodeProto, place: usize) -> Result<Quantized, Unrecognised> {
    let found = node.input_at(place).and_then(|name| dequantized(graph, name));
    found.ok_or_else(|| "its input is not quantized".into())
}

/// The sum of two activations.
pub fn sum(graph: &Graph, node: &NodeProto, to: Levels, output: Output) -> Result<Found, Unrecognised> {
    let (a, b) = (input(graph, node, 0)?, input(graph, node, 1)?);
    let addend = |of: &Quantized| Addend { zero: of.levels.zero, ratio: of.levels.scale / to.scale };
    let operator = Operator::Add(Sum { addends: [addend(&a), addend(&b)], output });
    Ok(Found { operator, inputs: vec![a.tensor, b.tensor] })
}

/// A chain of operators on single values, with constants that are one number or one a channel.
pub struct Chain {
    start: Quantized,
    steps: Vec<Step>,
}

enum Step {
    Multiply(Vec<f32>),
    Divide(Vec<f32>),
    Add(Vec<f32>),
    Subtract(Vec<f32>),
}

impl Step {
    fn constants(&self) -> &[f32] {
        match self {
            Self::Multiply(values) | Self::Divide(values) | Self::Add(values) | Self::Subtract(values) => values,
        }
    }

    fn apply(&self, value: f32, channel: usize) -> f32 {
        let constants = self.constants();
        let constant = constants[if constants.len() == 1 { 0 } else { channel }];
        match self {
            Self::Multiply(_) => value * constant,
            Self::Divide(_) => value / constant,
            Self::Add(_) => value + constant,
            Self::Subtract(_) => value - constant,
        }
    }
}

/// Walks back from `tensor` over batch norms, products and sums with constants, as far as they are read only here.
///
/// Adds the places of the nodes it passed to `passed`.
pub fn chain(graph: &Graph, tensor: &str, passed: &mut Vec<usize>) -> Result<Chain, Unrecognised> {
    if let Some(start) = dequantized(graph, tensor) {
        return Ok(Chain { start, steps: Vec::new() });
    }
    let place = graph.producer(tensor).ok_or("it does not start at a quantized tensor")?;
    let node = graph.node(place).ok_or("no such node")?;
    if graph.consumers(tensor).len() != 1 || passed.len() > 8 {
        return Err("a value on the way is read elsewhere too".into());
    }
    passed.push(place);
    let (source, steps) = match node.op_type.as_str() {
        "BatchNormalization" => {
            let values = |at: usize| {
                let constant = node.input_at(at).and_then(|name| float_constant(graph, name));
                constant.and_then(|it| it.floats().map(<[f32]>::to_vec)).ok_or("its parameters are no constants")
            };
            let (gamma, beta, mean, variance) = (values(1)?, values(2)?, values(3)?, values(4)?);
            if [&beta, &mean, &variance].iter().any(|it| it.len() != gamma.len()) || node.int("training_mode", 0)? != 0
            {
                return Err("its parameters differ in length".into());
            }
            let epsilon = node.float("epsilon")?.unwrap_or(1e-5);
            let factor: Vec<f32> =
                gamma.iter().zip(&variance).map(|(gamma, variance)| gamma / (variance + epsilon).sqrt()).collect();
            let moved =
                beta.iter().zip(&mean).zip(&factor).map(|((beta, mean), factor)| beta - mean * factor).collect();
            (node.input_at(0), vec![Step::Multiply(factor), Step::Add(moved)])
        }
        kind @ ("Mul" | "Add" | "Sub" | "Div") => {
            let names = [node.input_at(0).unwrap_or_default(), node.input_at(1).unwrap_or_default()];
            let (source, values) = match names.map(|name| along_channels(graph, name)) {
                [None, Some(values)] => (names[0], values),
                [Some(values), None] if matches!(kind, "Mul" | "Add") => (names[1], values),
                _ => return Err("none of its inputs is a constant a channel".into()),
            };
            let step = match kind {
                "Mul" => Step::Multiply(values),
                "Div" => Step::Divide(values),
                "Sub" => Step::Subtract(values),
                _ => Step::Add(values),
            };
            (Some(source), vec![step])
        }
        other => return Err(format!("{other} is no operator that is fused").into()),
    };
    let mut chain = chain(graph, source.unwrap_or_default(), passed)?;
    chain.steps.extend(steps);
    Ok(chain)
}

/// The fused form of a [`Chain`]: a table, or a table a channel.
pub fn tables(chain: Chain, to: Levels, output: Output) -> Result<Found, Unrecognised> {
    let Chain { start, steps } = chain;
    let value = |level: u8, channel: usize| {
        steps.iter().fold(start.levels.value_of(level), |value, step| step.apply(value, channel))
    };
    let channels = channels(steps.iter().map(|step| step.constants().len()))?;
    Ok(tabulated(start.tensor, channels, output, |level, channel| to.level_of(value(level, channel))))
}

/// A product or sum with a constant that is quantized itself, in onnxruntime's arithmetic for two quantized tensors
/// (`QLinearMul`, `QLinearAdd`): the last bit of a tie depends on it. `None` if `node` is something else.
pub fn with_levels(graph: &Graph, node: &NodeProto, to: Levels, output: Output) -> Result<Option<Found>, Unrecognised> {
    let names = [node.input_at(0).unwrap_or_default(), node.input_at(1).unwrap_or_default()];
    let (start, constant) = match names.map(|name| dequantized(graph, name)) {
        [Some(start), None] => (start, names[1]),
        [None, Some(start)] => (start, names[0]),
        _ => return Ok(None),
    };
    let levels = graph.producer(constant).and_then(|place| Some((levels(graph, place).ok()?, graph.node(place)?)));
    let Some((of, dequantizer)) = levels else { return Ok(None) };
    let stored = dequantizer.input_at(0).map(|name| graph.constant(name)).transpose()?.flatten();
    let constants: Vec<u8> = match (along_channels(graph, constant), stored.map(|stored| stored.data)) {
        (Some(_), Some(Data::U8(values))) => values,
        (Some(_), Some(Data::I8(values))) => values.into_iter().map(|value| value as u8 ^ 0x80).collect(),
        _ => return Ok(None),
    };
    let channels = channels([constants.len()].into_iter())?;
    let zero = f32::from(to.zero);
    let from = start.levels;
    let at = |channel: usize| constants[if constants.len() == 1 { 0 } else { channel }];
    let level: Box<dyn Fn(u8, usize) -> f32> = match node.op_type.as_str() {
        "Mul" => {
            let scale = from.scale * of.scale / to.scale;
            let steps = |level: u8, levels: Levels| f32::from(level) - f32::from(levels.zero);
            Box::new(move |level, channel| steps(level, from) * steps(at(channel), of) * scale + zero)
        }
        "Add" => {
            let (a, b) = (from.scale / to.scale, of.scale / to.scale);
            let fixed = zero - (a * f32::from(from.zero) + b * f32::from(of.zero));
            Box::new(move |level, channel| f32::from(level).mul_add(a, fixed + f32::from(at(channel)) * b))
        }
        _ => return Ok(None),
    };
    // `as` saturates.
    Ok(Some(tabulated(start.tensor, channels, output, |x, channel| level(x, channel).round_ties_even() as u8)))
}

/// The number of channels, from the lengths of constants: 1 or one and the same.
fn channels(lengths: impl Iterator<Item = usize>) -> Result<usize, Unrecognised> {
    lengths.filter(|length| *length != 1).try_fold(1, |channels, length| {
        if length == 0 || (channels != 1 && channels != length) {
            return Err("its constants differ in length".into());
        }
        Ok(length)
    })
}

fn tabulated(input: String, channels: usize, output: Output, level: impl Fn(u8, usize) -> u8) -> Found {
    let level = &level;
    let each = move |channel| (0..=255_u8).map(move |x| level(x, channel).clamp(output.low, output.high));
    Found { operator: Operator::Tables((0..channels).flat_map(each).collect()), inputs: vec![input] }
}

/// A function of one value as a table.
pub fn function(graph: &Graph, node: &NodeProto, to: Levels) -> Result<Found, Unrecognised> {
    let start = input(graph, node, 0)?;
    let alpha = node.float("alpha")?;
    let beta = node.float("beta")?;
    let function: Box<dyn Fn(f32) -> f32> = match node.op_type.as_str() {
        "Sigmoid" => Box::new(|x| 1.0 / (1.0 + (-x).exp())),
        "Tanh" => Box::new(f32::tanh),
        "LeakyRelu" => Box::new(move |x| if x < 0.0 { x * alpha.unwrap_or(0.01) } else { x }),
        "Elu" => Box::new(move |x| if x < 0.0 { alpha.unwrap_or(1.0) * x.exp_m1() } else { x }),
        "HardSigmoid" => Box::new(move |x| (alpha.unwrap_or(0.2) * x + beta.unwrap_or(0.5)).clamp(0.0, 1.0)),
        "HardSwish" => Box::new(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        other => return Err(format!("{other} is no operator that is fused").into()),
    };
    let table = start.levels.table(to, function);
    Ok(Found { operator: Operator::Tables(table.to_vec()), inputs: vec![start.tensor] })
}

/// Maxima over windows; levels stay what they are.
pub fn max_pool(graph: &Graph, node: &NodeProto, to: Levels) -> Result<Found, Unrecognised> {
    let start = input(graph, node, 0)?;
    if start.levels != to {
        return Err("its result has another scale than its input".into());
    }
    if node.output.len() > 1 || node.int("storage_order", 0)? != 0 {
        return Err("places of the maxima are asked for".into());
    }
    Ok(Found { operator: Operator::MaxPool(window(node, None)?), inputs: vec![start.tensor] })
}

/// Means over windows or the picture.
pub fn mean_pool(graph: &Graph, node: &NodeProto, to: Levels, output: Output) -> Result<Found, Unrecognised> {
    let start = input(graph, node, 0)?;
    let window = match node.op_type.as_str() {
        "AveragePool" => Some(window(node, None)?),
        _ if is_global_mean(graph, node)? => None,
        _ => return Err("means over other axes than rows and columns".into()),
    };
    let mean = Mean {
        zero: start.levels.zero,
        from: start.levels.scale,
        to: to.scale,
        count_padding: node.int("count_include_pad", 0)? != 0,
        output,
    };
    Ok(Found { operator: Operator::MeanPool(mean, window), inputs: vec![start.tensor] })
}

/// Whether `node` is the mean over rows and columns of `[1, c, h, w]`, both kept as sides of one.
pub fn is_global_mean(graph: &Graph, node: &NodeProto) -> Result<bool, Unrecognised> {
    if node.op_type == "GlobalAveragePool" {
        return Ok(true);
    }
    if node.op_type != "ReduceMean" || node.int("keepdims", 1)? != 1 {
        return Ok(false);
    }
    let axes = match (node.ints("axes")?, node.input_at(1)) {
        (Some(axes), _) => Some(axes.to_vec()),
        (None, Some(name)) => graph.constant(name)?.and_then(|axes| axes.integers()),
        (None, None) => None,
    };
    Ok(axes.is_some_and(|axes| matches!(axes.as_slice(), [2, 3] | [-2, -1])))
}

/// Channels side by side.
pub fn concat(graph: &Graph, node: &NodeProto, to: Levels) -> Result<Found, Unrecognised> {
    if node.int("axis", 0)? != 1 {
        return Err("it joins another axis than the channels".into());
    }
    let starts = (0..node.input.len()).map(|place| input(graph, node, place)).collect::<Result<Vec<_>, _>>()?;
    let table = |start: &Quantized| (start.levels != to).then(|| start.levels.table(to, |value| value));
    let operator = Operator::Concat(starts.iter().map(table).collect());
    Ok(Found { operator, inputs: starts.into_iter().map(|start| start.tensor).collect() })
}

/// A border of zeros; levels stay what they are.
pub fn pad(graph: &Graph, node: &NodeProto, to: Levels) -> Result<Found, Unrecognised> {
    let start = input(graph, node, 0)?;
    if start.levels != to {
        return Err("its result has another scale than its input".into());
    }
    if node.text("mode")?.unwrap_or("constant") != "constant" {
        return Err("it pads with something else than a constant".into());
    }
    let value = match node.input_at(2) {
        Some(name) => float_constant(graph, name).and_then(|value| value.scalar()),
        None => Some(node.float("value")?.unwrap_or(0.0)),
    };
    if value != Some(0.0) || node.input_at(3).is_some() {
        return Err("it pads with something else than zeros around all axes".into());
    }
    let pads = match (node.ints("pads")?, node.input_at(1)) {
        (Some(pads), _) => Some(pads.to_vec()),
        (None, Some(name)) => graph.constant(name)?.and_then(|pads| pads.integers()),
        (None, None) => None,
    };
    let pads: Option<Vec<usize>> = pads.and_then(|pads| pads.iter().map(|pad| usize::try_from(*pad).ok()).collect());
    let Some(&[0, 0, top, left, 0, 0, bottom, right]) = pads.as_deref() else {
        return Err("it pads other sides than rows and columns".into());
    };
    if [top, left, bottom, right].iter().any(|side| *side > 64) {
        return Err("it pads by more than 64".into());
    }
    Ok(Found {
        operator: Operator::Pad(Padding { top, left, bottom, right }, start.levels.zero),
        inputs: vec![start.tensor],
    })
}
