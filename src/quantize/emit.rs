//! Writes the quantized network, as QDQ: the float operators stay, with QuantizeLinear and DequantizeLinear between.

use std::collections::{BTreeMap, HashMap};

use tract_onnx::pb::{NodeProto, TensorProto};

use super::QuantizeError;
use super::levels::{Levels, WeightLevels, bias_levels};
use super::parts::{Weighted, bounds};
use super::plan::Plan;
use super::simplify::Prepared;
use crate::onnx::{Attributes, Constant, Data, Graph, OnnxError, attribute, node, title};

/// The name under which readers find `tensor` in the quantized network.
pub fn dequantized(prepared: &Prepared, tensor: &str) -> String {
    if prepared.graph.is_output(tensor) { tensor.to_owned() } else { format!("{tensor}_DequantizeLinear") }
}

/// Quantizes weights and activations.
///
/// Activations whose bounds are those of u8 anyway are left out. The output is a float tensor of the same name as
/// before: the last DequantizeLinear.
///
/// # Errors
/// [`QuantizeError`] if names clash.
pub fn quantized(prepared: &Prepared, plan: &Plan, levels: &BTreeMap<String, Levels>) -> Result<Graph, QuantizeError> {
    let mut writer = Writer::default();
    let mut proto = prepared.graph.to_proto();
    let Some(graph) = proto.graph.as_mut() else { return Err(OnnxError::NoGraph.into()) };
    let mut nodes = std::mem::take(&mut graph.node);

    // Which tensor is quantized where, and under which name it is read.
    let mut source: HashMap<&str, String> = plan.tensors.iter().map(|name| (name.as_str(), name.clone())).collect();
    let mut left_out = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        let Some((low, high)) = bounds(&prepared.graph, node)? else { continue };
        let Some(input) = node.input_at(0).filter(|input| !plan.quantizes(input)) else { continue };
        if levels.get(node.result()).is_some_and(|levels| levels.saturates_within(low, high))
            && prepared.graph.producer(input).is_some()
            && let Some(entry) = source.get_mut(node.result())
        {
            input.clone_into(entry);
            left_out.push(place);
        }
    }
    for place in left_out.into_iter().rev() {
        nodes.remove(place);
    }
    let output = prepared.output();
    // The output's name goes to the last DequantizeLinear.
    let raw_output = format!("{output}_float");
    for node in nodes.iter_mut().filter(|node| title(node) == output || node.result() == output) {
        if node.result() == output && plan.quantizes(output) {
            node.output = vec![raw_output.clone()];
        }
        node.name = node.result().to_owned();
    }
    for tensor in &plan.tensors {
        let Some(levels) = levels.get(tensor) else { continue };
        let from = source.get(tensor.as_str()).map_or(tensor.as_str(), String::as_str);
        let from = if from == output { raw_output.as_str() } else { from };
        writer.activation(tensor, from, &dequantized(prepared, tensor), *levels);
    }
    for node in &mut nodes {
        let weighted = Weighted::of(&prepared.graph, node)?.and_then(|weighted| {
            let input = levels.get(&weighted.input)?;
            Some((weighted, *input))
        });
        if let Some((weighted, input)) = weighted {
            // Its output may have been renamed above; the names of its constants come from the original.
            writer.weights(prepared, &weighted, Some(input), node)?;
        }
        for input in node.input.iter_mut().filter(|input| plan.quantizes(input)) {
            *input = dequantized(prepared, input);
        }
    }
    nodes.append(&mut writer.nodes);
    graph.node = nodes;
    graph.initializer.append(&mut writer.constants);
    graph.value_info.clear();
    let mut graph = Graph::from_proto(proto)?;
    graph.remove_unused()?;
    Ok(graph)
}

/// Stores weights as int8 and computes in floats: a DequantizeLinear in front of each product.
///
/// # Errors
/// As [`quantized`].
pub fn weights_only(prepared: &Prepared) -> Result<Graph, QuantizeError> {
    let mut writer = Writer::default();
    let mut proto = prepared.graph.to_proto();
    let Some(graph) = proto.graph.as_mut() else { return Err(OnnxError::NoGraph.into()) };
    for node in &mut graph.node {
        if let Some(weighted) = Weighted::of(&prepared.graph, node)? {
            writer.weights(prepared, &weighted, None, node)?;
        }
    }
    graph.node.append(&mut writer.nodes);
    graph.initializer.append(&mut writer.constants);
    let mut graph = Graph::from_proto(proto)?;
    graph.remove_unused()?;
    Ok(graph)
}

/// The weights of a node as levels, as both ways of writing choose them.
///
/// # Errors
/// [`QuantizeError::Unsuitable`] if they are no floats.
pub fn weight_levels(
    prepared: &Prepared,
    weighted: &Weighted,
    input: Option<Levels>,
) -> Result<(WeightLevels, Vec<usize>, Vec<f32>), QuantizeError> {
    let unsuitable = || QuantizeError::Unsuitable {
        problem: format!("has weights at `{}` that can't be quantized", weighted.output),
    };
    let (weight, bias) = weighted.parameters(&prepared.graph)?.ok_or_else(unsuitable)?;
    let units: Option<Vec<f64>> =
        input.map(|levels| bias.iter().map(|bias| f64::from(*bias) / f64::from(levels.scale)).collect());
    let kept = prepared.kept_scales.get(&weighted.weight).map(Vec::as_slice);
    let levels = WeightLevels::of(&weight, weighted.axis, kept, units.as_deref()).ok_or_else(unsuitable)?;
    Ok((levels, weight.shape, bias))
}

/// Nodes and constants to be added.
#[derive(Default)]
struct Writer {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Writer {
    fn constant(&mut self, name: String, shape: Vec<usize>, data: Data) -> String {
        self.constants.push(Constant { shape, data }.to_proto(&name));
        name
    }

    /// `from` -> QuantizeLinear -> DequantizeLinear -> `to`.
    fn activation(&mut self, tensor: &str, from: &str, to: &str, levels: Levels) {
        let scale = self.constant(format!("{tensor}_scale"), Vec::new(), Data::F32(vec![levels.scale]));
        let zero = self.constant(format!("{tensor}_zero_point"), Vec::new(), Data::U8(vec![levels.zero]));
        let quantized = format!("{tensor}_QuantizeLinear");
        self.nodes.push(node("QuantizeLinear", &[from, &scale, &zero], &quantized, Vec::new()));
        self.nodes.push(node("DequantizeLinear", &[&quantized, &scale, &zero], to, Vec::new()));
    }

    /// Levels of a node's weights, and of its bias if its input is quantized; the node then reads them.
    fn weights(
        &mut self,
        prepared: &Prepared,
        weighted: &Weighted,
        input: Option<Levels>,
        reader: &mut NodeProto,
    ) -> Result<(), QuantizeError> {
        let (weight, shape, bias) = weight_levels(prepared, weighted, input)?;
        let channels = weight.scales.len();
        let name = &weighted.weight;
        let levels = self.constant(format!("{name}_quantized"), shape, Data::I8(weight.levels));
        let scale = self.constant(format!("{name}_scale"), vec![channels], Data::F32(weight.scales.clone()));
        let zero = self.constant(format!("{name}_zero_point"), vec![channels], Data::I8(vec![0; channels]));
        let axis = i64::try_from(weighted.axis).unwrap_or_default();
        self.dequantize(&levels, &scale, &zero, axis, &mut reader.input[1]);
        let (Some(input), Some(name)) = (input, &weighted.bias) else { return Ok(()) };
        let (levels, scales) = bias_levels(&bias, input.scale, &weight.scales);
        let levels = self.constant(format!("{name}_quantized"), vec![channels], Data::I32(levels));
        let scale = self.constant(format!("{name}_scale"), vec![channels], Data::F32(scales));
        let zero = self.constant(format!("{name}_zero_point"), vec![channels], Data::I32(vec![0; channels]));
        self.dequantize(&levels, &scale, &zero, 0, &mut reader.input[2]);
        Ok(())
    }

    fn dequantize(&mut self, levels: &str, scale: &str, zero: &str, axis: i64, reader: &mut String) {
        let output = format!("{reader}_DequantizeLinear");
        self.nodes.push(node("DequantizeLinear", &[levels, scale, zero], &output, vec![attribute::int("axis", axis)]));
        *reader = output;
    }
}
