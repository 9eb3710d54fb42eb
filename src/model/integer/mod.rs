//! The integer path: a quantized network is recognised and its operators fused, so that activations stay bytes, channels
//! last, from pixels to features.
//!
//! [`lower`] walks the QDQ form that onnxruntime's quantizer, our own and converted TFLite files use
//! (`DequantizeLinear -> operator -> QuantizeLinear`) on the ONNX graph, where scales are exact and names are the file's;
//! tract's translation keeps only a reciprocal of them. Each recognised group becomes one [`Operator`], and operators that
//! follow each other become one [`Fused`] node of tract's graph. What is not recognised stays tract's, in `f32`, between a `Dequantize` and a `Quantize`, and the report says why.

mod float;
mod levels;
mod linear;
mod operator;
mod others;
mod region;
mod regions;
mod standin;
mod tensors;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use kernels::{Isa, Output};
use serde::Serialize;
use tract_onnx::pb::{ModelProto, NodeProto};

pub use float::float_twin;
pub use levels::Levels;
pub use operator::Operator;
pub use region::{Fused, NAME};
pub use standin::model;

use super::manifest::Layout;
use crate::onnx::{Attributes, Graph, OnnxError, title};
use tensors::{dequantized, float_constant, levels as levels_of};

/// Why a group of nodes is not fused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrecognised(pub String);

impl From<String> for Unrecognised {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<&str> for Unrecognised {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

/// A recognised group: what it computes from which tensors of levels.
pub struct Found {
    operator: Operator,
    inputs: Vec<String>,
}

/// Where a node of the file went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Placement {
    /// Its name in the file.
    pub node: String,
    /// Its ONNX operator.
    pub op: String,
    /// Who computes it.
    pub by: By,
}

/// Who computes a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A fused integer operator of this kind; the group ends in the quantizer named.
    Integer {
        /// As [`Operator::kind`].
        kind: String,
        /// The quantizer that the group ends in.
        group: String,
    },
    /// It was computed once, when the network was loaded.
    Load,
    /// tract, in `f32`, for this reason.
    Tract {
        /// Why it is not fused.
        reason: String,
    },
}

/// A network with its quantized parts fused.
pub struct Lowered {
    /// The rest of the network, with a stand-in for each region.
    pub proto: ModelProto,
    /// Regions by the stand-in's name.
    pub regions: HashMap<String, Fused>,
    /// The first quantizer's levels, if the network's input goes there and nowhere else: the input is then `u8`, channels
    /// last, and made straight from pixels.
    pub pixels: Option<Levels>,
    /// Where each node went, in the file's order.
    pub placements: Vec<Placement>,
}

/// Whether `graph` holds quantized activations at all.
pub fn is_quantized(graph: &Graph) -> bool {
    graph.nodes().iter().any(|node| node.op_type == "QuantizeLinear")
}

/// Fuses what it recognises in `graph`, whose input has the given layout, for the kernels of `isa`. With a reason to `leave` it, all but the quantizers
/// themselves stays tract's.
///
/// # Errors
/// The graph contradicts itself; groups that are not recognised are no error.
pub fn lower(mut graph: Graph, layout: Layout, isa: Isa, leave: Option<&str>) -> Result<Lowered, OnnxError> {
    transpose_before_quantizing(&mut graph)?;
    let mut placements = Placements::default();
    let mut changes: HashMap<usize, NodeProto> = HashMap::new();
    let mut operators = HashMap::new();
    let mut stand_in = |place: usize, found: Found, output: &str| {
        let name = format!("integer:{output}");
        changes.insert(place, standin::node(&name, found.inputs, vec![output.to_owned()]));
        operators.insert(name, found.operator);
    };
    for (place, node) in graph.nodes().iter().enumerate() {
        match node.op_type.as_str() {
            "QuantizeLinear" => {
                let to = match levels_of(&graph, place) {
                    Ok(_) if !tensors::makes_levels(&graph, place) => {
                        placements.tract(place, "its levels are read by something else than a dequantizer".into());
                        continue;
                    }
                    Ok(levels) => levels,
                    Err(reason) => {
                        placements.tract(place, reason);
                        continue;
                    }
                };
                let mut group = vec![place];
                let found = match leave {
                    None => fuse(&graph, node, to, isa, &mut group),
                    Some(reason) => {
                        group.extend(node.input_at(0).and_then(|name| graph.producer(name)));
                        Err(Unrecognised(reason.to_owned()))
                    }
                };
                let found = found.unwrap_or_else(|Unrecognised(reason)| {
                    if let Some(core) = group.last().filter(|core| **core != place) {
                        placements.tract(*core, reason);
                    }
                    group.truncate(1);
                    let source = node.input_at(0).unwrap_or_default().to_owned();
                    Found { operator: Operator::Quantize(to), inputs: vec![source] }
                });
                placements.integer(&group, found.operator.kind(), place);
                stand_in(place, found, node.result());
            }
            "DequantizeLinear" => {
                let Some(from) = dequantized(&graph, node.result()) else { continue };
                stand_in(
                    place,
                    Found { operator: Operator::Dequantize(from.levels), inputs: vec![from.tensor] },
                    node.result(),
                );
                placements.integer(&[place], "dequantize", place);
            }
            _ => {}
        }
    }
    for (place, node) in graph.nodes().iter().enumerate() {
        let source = node.input_at(0).and_then(|name| dequantized(&graph, name));
        if let Some(from) = source
            && leave.is_none()
            && !placements.is_fused(place)
            && others::is_global_mean(&graph, node).unwrap_or(false)
        {
            let found = Found { operator: Operator::Features(from.levels), inputs: vec![from.tensor] };
            placements.integer(&[place], found.operator.kind(), place);
            stand_in(place, found, node.result());
        }
    }
    let placements = placements.report(&graph);
    graph.replace_nodes(changes)?;
    graph.remove_unused()?;
    fold_constants(&mut graph)?;
    let pixels = take_pixels(&mut graph, layout, &operators)?;
    let regions = regions::join(&mut graph, operators, isa)?;
    Ok(Lowered { proto: graph.into_proto(), regions, pixels, placements })
}

/// Recognises the group that ends in quantizer `node`; adds the places of its nodes to `group`, the core last.
fn fuse(graph: &Graph, node: &NodeProto, to: Levels, isa: Isa, group: &mut Vec<usize>) -> Result<Found, Unrecognised> {
    let mut tensor = node.input_at(0).ok_or("it has no input")?;
    let mut range = Output::full(to.zero);
    loop {
        let place = graph.producer(tensor).ok_or("its input is the network's")?;
        if graph.consumers(tensor).len() > 1 || graph.is_output(tensor) {
            return Err("its float result is read elsewhere too".into());
        }
        let inner = graph.node(place).ok_or("no such node")?;
        if inner.op_type != "DequantizeLinear" {
            group.push(place);
        }
        let Some((low, high)) = limits(graph, inner)? else { break };
        // Rounding is monotone: limits on values are limits on levels.
        range.low = range.low.max(to.level_of(low));
        range.high = range.high.min(to.level_of(high));
        tensor = inner.input_at(0).ok_or("it has no input")?;
    }
    if range.low > range.high {
        return Err("its limits leave nothing".into());
    }
    let place = graph.producer(tensor).ok_or("its input is the network's")?;
    let core = graph.node(place).ok_or("no such node")?;
    let plain = range == Output::full(to.zero);
    match core.op_type.as_str() {
        "Conv" => linear::convolution(graph, core, to, range, isa),
        "Gemm" | "MatMul" => linear::fully_connected(graph, core, None, to, range, isa),
        "Add" if core.input.iter().all(|name| dequantized(graph, name).is_some()) => {
            others::sum(graph, core, to, range)
        }
        "Add" if product_before(graph, core).is_some() => {
            let (product, bias) = product_before(graph, core).ok_or("no product")?;
            group.push(product);
            let node = graph.node(product).ok_or("no such node")?;
            linear::fully_connected(graph, node, Some(bias), to, range, isa)
        }
        "BatchNormalization" | "Add" | "Mul" | "Sub" | "Div" | "DequantizeLinear" => {
            if let Some(found) = others::with_levels(graph, core, to, range)? {
                return Ok(found);
            }
            let mut passed = Vec::new();
            let chain = others::chain(graph, tensor, &mut passed)?;
            group.extend(passed);
            others::tables(chain, to, range)
        }
        "AveragePool" | "GlobalAveragePool" | "ReduceMean" => others::mean_pool(graph, core, to, range),
        "MaxPool" if plain => others::max_pool(graph, core, to),
        "Concat" if plain => others::concat(graph, core, to),
        "Pad" if plain => others::pad(graph, core, to),
        _ if plain => others::function(graph, core, to),
        other => Err(format!("{other} before limits is not fused").into()),
    }
}

/// A `MatMul` and the constant that an `Add` puts on it.
fn product_before<'a>(graph: &'a Graph, add: &'a NodeProto) -> Option<(usize, &'a str)> {
    let is_product = |name: &str| {
        let place = graph.producer(name)?;
        let alone = graph.consumers(name).len() == 1 && graph.node(place)?.op_type == "MatMul";
        alone.then_some(place)
    };
    let (a, b) = (add.input_at(0)?, add.input_at(1)?);
    let is_vector = |name: &str| float_constant(graph, name).is_some_and(|it| it.shape.len() == 1);
    match (is_product(a), is_product(b)) {
        (Some(place), None) if is_vector(b) => Some((place, b)),
        (None, Some(place)) if is_vector(a) => Some((place, a)),
        _ => None,
    }
}

/// Lower and upper limit, if `node` only limits its input.
fn limits(graph: &Graph, node: &NodeProto) -> Result<Option<(f32, f32)>, Unrecognised> {
    match node.op_type.as_str() {
        "Relu" => Ok(Some((0.0, f32::INFINITY))),
        "Clip" => {
            let limit = |attribute: &str, place: usize, default: f32| match node.input_at(place) {
                None => Ok::<f32, Unrecognised>(node.float(attribute)?.unwrap_or(default)),
                Some(name) => {
                    let constant = float_constant(graph, name).and_then(|constant| constant.scalar());
                    constant.ok_or_else(|| "a limit is no constant".into())
                }
            };
            Ok(Some((limit("min", 1, f32::NEG_INFINITY)?, limit("max", 2, f32::INFINITY)?)))
        }
        _ => Ok(None),
    }
}

/// Keras exports turn the picture's axes after it was quantized; done before, the quantizer's levels are the pixels'.
fn transpose_before_quantizing(graph: &mut Graph) -> Result<(), OnnxError> {
    let find = |graph: &Graph| {
        graph.nodes().iter().enumerate().find_map(|(place, node)| {
            let from = (node.op_type == "Transpose").then(|| dequantized(graph, node.input_at(0)?))??;
            let quantizer = graph.node(graph.producer(&from.tensor)?)?;
            let picture = quantizer.input_at(0).filter(|name| graph.inputs().any(|input| input == *name))?;
            let [after] = graph.consumers(node.result()) else { return None };
            let same = graph.node(*after)?.op_type == "QuantizeLinear" && levels_of(graph, *after) == Ok(from.levels);
            same.then(|| (place, picture.to_owned()))
        })
    };
    if let Some((place, picture)) = find(graph) {
        graph.edit_node(place, |node| node.input[0] = picture)?;
        graph.remove_unused()?;
        graph.sort()?;
    }
    Ok(())
}

/// Replaces dequantized constants that are still read by their values.
fn fold_constants(graph: &mut Graph) -> Result<(), OnnxError> {
    let names = graph.nodes().iter().filter(|node| node.op_type == "DequantizeLinear").map(|node| node.result());
    let folded: Vec<_> = names.filter_map(|name| Some((name.to_owned(), float_constant(graph, name)?))).collect();
    if folded.is_empty() {
        return Ok(());
    }
    let places: HashSet<usize> = folded.iter().filter_map(|(name, _)| graph.producer(name)).collect();
    graph.fold_nodes(&places, folded)?;
    graph.remove_unused()
}

/// Makes the levels behind the first quantizer the network's input, if the input goes there only.
fn take_pixels(
    graph: &mut Graph,
    layout: Layout,
    operators: &HashMap<String, Operator>,
) -> Result<Option<Levels>, OnnxError> {
    let mut inputs = graph.inputs().map(str::to_owned);
    let (Some(input), None) = (inputs.next(), inputs.next()) else { return Ok(None) };
    drop(inputs);
    let only = |tensor: &str| match graph.consumers(tensor) {
        &[place] if !graph.is_output(tensor) => graph.node(place),
        _ => None,
    };
    let Some(mut reader) = only(&input) else { return Ok(None) };
    if layout == Layout::Nhwc {
        let turned = reader.op_type == "Transpose" && reader.ints("perm")? == Some(&[0, 3, 1, 2]);
        match only(reader.result()).filter(|_| turned) {
            Some(next) => reader = next,
            None => return Ok(None),
        }
    }
    let Some(Operator::Quantize(levels)) = operators.get(&reader.name) else { return Ok(None) };
    let (levels, made) = (*levels, reader.result().to_owned());
    graph.replace_uses(&made, &input)?;
    graph.remove_unused()?;
    Ok(Some(levels))
}

/// Collects where nodes go.
#[derive(Default)]
struct Placements {
    by: HashMap<usize, (String, usize)>,
    reasons: HashMap<usize, String>,
}

impl Placements {
    fn integer(&mut self, group: &[usize], kind: &str, end: usize) {
        for place in group {
            self.by.insert(*place, (kind.to_owned(), end));
        }
    }

    fn tract(&mut self, place: usize, reason: String) {
        self.reasons.insert(place, reason);
    }

    fn is_fused(&self, place: usize) -> bool {
        self.by.contains_key(&place)
    }

    fn report(self, graph: &Graph) -> Vec<Placement> {
        // A dequantizer all of whose readers are fused is part of them.
        let absorbed = |place: usize, node: &NodeProto| {
            let readers = graph.consumers(node.result());
            let fused = readers.iter().find_map(|reader| self.by.get(reader));
            let all = readers.iter().all(|reader| self.by.contains_key(reader)) && !graph.is_output(node.result());
            (node.op_type == "DequantizeLinear" && all).then(|| fused.or(self.by.get(&place))).flatten()
        };
        let by = |(place, node): (usize, &NodeProto)| {
            let integer = absorbed(place, node).or(self.by.get(&place));
            if let Some((kind, end)) = integer {
                let group = graph.node(*end).map_or("", title).to_owned();
                return By::Integer { kind: kind.clone(), group };
            }
            if node.op_type == "DequantizeLinear" && float_constant(graph, node.result()).is_some() {
                return By::Load;
            }
            let reason = self.reasons.get(&place).cloned();
            By::Tract { reason: reason.unwrap_or_else(|| "it does not stand between quantized tensors".into()) }
        };
        graph
            .nodes()
            .iter()
            .enumerate()
            .map(|it| Placement { node: title(it.1).to_owned(), op: it.1.op_type.clone(), by: by(it) })
            .collect()
    }
}
