//! Folds what a convolution can do by itself into it: padding, batch norms, products and sums with constants.

use std::collections::HashSet;

use tract_onnx::pb::NodeProto;

use super::parts::{Weighted, pad_value};
use crate::onnx::{Attributes, Constant, Graph, OnnxError, attribute};

/// `y = factor * x + offset` a channel.
#[derive(Debug, Clone, PartialEq)]
struct Affine {
    factor: Vec<f64>,
    offset: Vec<f64>,
}

impl Affine {
    /// Reads a batch norm, or an Add or Mul with a constant a channel, on a tensor of `channels` and rank 4.
    fn of(graph: &Graph, node: &NodeProto, channels: usize) -> Result<Option<Self>, OnnxError> {
        let vector = |name: Option<&str>| -> Result<Option<Vec<f64>>, OnnxError> {
            let Some(name) = name else { return Ok(None) };
            let Some(constant) = graph.constant(name)? else { return Ok(None) };
            let per_channel = match constant.shape.as_slice() {
                [1, sides @ ..] if sides.len() == 3 => sides[0] == channels && sides[1] * sides[2] == 1,
                &[count, 1, 1] => count == channels,
                &[count] => node.op_type == "BatchNormalization" && count == channels,
                _ => false,
            };
            let Some(values) = constant.floats() else { return Ok(None) };
            Ok(match values {
                &[value] => Some(vec![f64::from(value); channels]),
                values if per_channel => Some(values.iter().map(|value| f64::from(*value)).collect()),
                _ => None,
            })
        };
        if node.op_type == "BatchNormalization" {
            if node.int("training_mode", 0)? != 0 || node.output.iter().filter(|name| !name.is_empty()).count() != 1 {
                return Ok(None);
            }
            let all = [1, 2, 3, 4].map(|place| vector(node.input_at(place)));
            let [Some(scale), Some(shift), Some(mean), Some(variance)] = transpose(all)? else { return Ok(None) };
            let epsilon = f64::from(node.float("epsilon")?.unwrap_or(1e-5));
            let factor: Vec<f64> = scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
            let offset = (0..channels).map(|c| shift[c] - mean[c] * factor[c]).collect();
            return Ok(Some(Self { factor, offset }));
        }
        let constant = node.input.iter().find(|name| graph.is_constant(name));
        let Some(values) = vector(constant.map(String::as_str))? else { return Ok(None) };
        Ok(match node.op_type.as_str() {
            "Mul" => Some(Self { factor: values, offset: vec![0.0; channels] }),
            "Add" => Some(Self { factor: vec![1.0; channels], offset: values }),
            _ => None,
        })
    }
}

fn transpose<T: std::fmt::Debug, const N: usize>(
    all: [Result<Option<T>, OnnxError>; N],
) -> Result<[Option<T>; N], OnnxError> {
    let mut values = Vec::with_capacity(N);
    for value in all {
        values.push(value?);
    }
    // The length is N.
    Ok(values.try_into().unwrap_or_else(|_| std::array::from_fn(|_| None)))
}

/// The activation that an Add, Mul or batch norm with constants reads.
fn read_by<'a>(graph: &Graph, node: &'a NodeProto) -> Option<&'a str> {
    node.input.iter().map(String::as_str).find(|name| !name.is_empty() && !graph.is_constant(name))
}

fn is_affine(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "BatchNormalization" | "Add" | "Mul")
}

/// The only reader of `tensor`, unless the tensor is also an output.
fn only_reader(graph: &Graph, tensor: &str) -> Option<usize> {
    match graph.consumers(tensor) {
        &[place] if !graph.is_output(tensor) => Some(place),
        _ => None,
    }
}

/// Folds batch norms and constant products and sums into the convolution before them, or the one after them where that
/// is exact: nothing is padded between.
///
/// # Errors
/// [`OnnxError`] for broken attributes and tensors.
pub fn fold_affine(graph: &mut Graph) -> Result<(), OnnxError> {
    // Each fold removes a node, so this ends.
    while fold_one(graph)? {}
    Ok(())
}

fn fold_one(graph: &mut Graph) -> Result<bool, OnnxError> {
    for place in 0..graph.nodes().len() {
        let Some(node) = graph.node(place).cloned() else { continue };
        if !is_affine(&node) {
            continue;
        }
        let Some(input) = read_by(graph, &node).map(str::to_owned) else { continue };
        if node.input.iter().filter(|name| !name.is_empty() && !graph.is_constant(name)).count() != 1 {
            continue;
        }
        let before = graph.producer(&input).filter(|_| only_reader(graph, &input) == Some(place));
        if let Some(conv) = before
            && fold_into_previous(graph, conv, &node)?
        {
            // The convolution now makes what the node made: names that a cut refers to stay.
            graph.remove_nodes_unchecked(&HashSet::from([place]))?;
            let maker = graph.producer(&input).unwrap_or(conv);
            graph.edit_node(maker, |conv| conv.output = vec![node.result().to_owned()])?;
            return Ok(true);
        }
        if let Some(conv) = only_reader(graph, node.result())
            && fold_into_next(graph, conv, &node)?
        {
            graph.replace_uses(node.result(), &input)?;
            graph.remove_nodes(&HashSet::from([place]))?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn convolution(graph: &Graph, place: usize) -> Result<Option<(Weighted, Constant, Vec<f32>)>, OnnxError> {
    let Some(weighted) = graph.node(place).map(|node| Weighted::of(graph, node)).transpose()?.flatten() else {
        return Ok(None);
    };
    let Some((weight, bias)) = weighted.parameters(graph)?.filter(|_| weighted.conv && weighted.bias.is_some()) else {
        return Ok(None);
    };
    Ok(Some((weighted, weight, bias)))
}

fn store(
    graph: &mut Graph,
    conv: &Weighted,
    shape: Vec<usize>,
    weight: Vec<f32>,
    bias: Vec<f64>,
) -> Result<(), OnnxError> {
    graph.set_constant(&conv.weight, &Constant::f32(shape, weight))?;
    let bias: Vec<f32> = bias.into_iter().map(|value| value as f32).collect();
    match &conv.bias {
        Some(name) => graph.set_constant(name, &Constant::f32([bias.len()], bias)),
        None => Ok(()),
    }
}

fn fold_into_previous(graph: &mut Graph, place: usize, node: &NodeProto) -> Result<bool, OnnxError> {
    let Some((conv, weight, bias)) = convolution(graph, place)? else { return Ok(false) };
    let Some(affine) = Affine::of(graph, node, bias.len())? else { return Ok(false) };
    let Some(values) = weight.floats() else { return Ok(false) };
    let row = values.len() / bias.len();
    let folded = values.iter().enumerate().map(|(at, value)| (f64::from(*value) * affine.factor[at / row]) as f32);
    let folded = folded.collect();
    let bias =
        bias.iter().enumerate().map(|(c, bias)| f64::from(*bias) * affine.factor[c] + affine.offset[c]).collect();
    store(graph, &conv, weight.shape.clone(), folded, bias)?;
    Ok(true)
}

fn fold_into_next(graph: &mut Graph, place: usize, node: &NodeProto) -> Result<bool, OnnxError> {
    let Some((conv, weight, mut bias)) = convolution(graph, place)?.map(|(c, w, b)| (c, w, widened(&b))) else {
        return Ok(false);
    };
    if conv.input != node.result() || graph.node(place).is_none_or(|conv| !is_unpadded(conv)) {
        return Ok(false);
    }
    let &[outputs, in_group, rows, columns] = weight.shape.as_slice() else { return Ok(false) };
    let Some(affine) = Affine::of(graph, node, in_group * conv.group)? else { return Ok(false) };
    let Some(values) = weight.floats() else { return Ok(false) };
    let mut folded = values.to_vec();
    let area = rows * columns;
    for output in 0..outputs {
        let first = output / (outputs / conv.group) * in_group;
        for input in 0..in_group {
            for tap in &mut folded[(output * in_group + input) * area..][..area] {
                bias[output] += f64::from(*tap) * affine.offset[first + input];
                *tap = (f64::from(*tap) * affine.factor[first + input]) as f32;
            }
        }
    }
    store(graph, &conv, weight.shape.clone(), folded, bias)?;
    Ok(true)
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn is_unpadded(conv: &NodeProto) -> bool {
    let free = |name| matches!(conv.text(name), Ok(None | Some("NOTSET" | "VALID")));
    free("auto_pad") && conv.ints("pads").is_ok_and(|pads| pads.unwrap_or_default().iter().all(|pad| *pad == 0))
}

/// Lets a convolution pad for itself where a `Pad` with zeros stands before it.
///
/// # Errors
/// [`OnnxError`] for broken attributes and tensors.
pub fn fold_padding(graph: &mut Graph) -> Result<(), OnnxError> {
    let mut folded = HashSet::new();
    for place in 0..graph.nodes().len() {
        let Some(node) = graph.node(place).cloned() else { continue };
        let constant_mode = node.op_type == "Pad" && node.text("mode")?.unwrap_or("constant") == "constant";
        if !constant_mode || node.input_at(3).is_some() || pad_value(graph, &node)? != Some(0.0) {
            continue;
        }
        let Some(next) = only_reader(graph, node.result()) else { continue };
        let Some(conv) = graph.node(next).cloned() else { continue };
        let pads = match node.input_at(1) {
            Some(name) => graph.constant(name)?.and_then(|pads| pads.integers()),
            None => None,
        };
        let Some(&[0, 0, top, left, 0, 0, bottom, right]) = pads.as_deref() else { continue };
        let own = conv.ints("pads")?.map_or(vec![0; 4], <[i64]>::to_vec);
        let explicit = matches!(conv.text("auto_pad")?, None | Some("NOTSET")) || is_unpadded(&conv);
        let plain = conv.op_type == "Conv" && own.len() == 4 && explicit && conv.input_at(0) == Some(node.result());
        let sums = own.iter().zip([top, left, bottom, right]).map(|(own, pad)| own.checked_add(pad));
        let (true, Some(pads), Some(input)) = (plain, sums.collect::<Option<Vec<i64>>>(), node.input_at(0)) else {
            continue;
        };
        if pads.iter().any(|pad| !(0..=1024).contains(pad)) {
            continue;
        }
        graph.edit_node(next, |conv| {
            input.clone_into(&mut conv.input[0]);
            conv.attribute.retain(|attribute| attribute.name != "pads" && attribute.name != "auto_pad");
            conv.attribute.push(attribute::ints("pads", &pads));
        })?;
        folded.insert(place);
    }
    graph.remove_nodes(&folded)
}
