//! Brings a network into the form that the other steps expect, without changing what it computes.
//!
//! Afterwards it ends at the feature map, takes its picture channel-first, is of operator set 13 or later, and all that
//! could be computed beforehand is a constant.

use std::collections::{BTreeMap, HashSet};

use tract_onnx::prelude::{DatumType, TValue};

use super::fold::{fold_affine, fold_padding};
use super::parts::Weighted;
use super::{QuantizeError, run};
use crate::model::{BackboneManifest, Layout, Pooling};
use crate::onnx::{Attributes, Constant, Data, Graph, OnnxError, elements};

/// Largest constant that is computed beforehand, in elements.
const MAX_FOLDED: usize = 64 << 20;

/// Operator set of what is written: the first whose `DequantizeLinear` has an axis.
const OPSET: i64 = 13;

/// A network ready to be quantized.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// It computes the feature map and nothing else.
    pub graph: Graph,
    /// Describes it: `cut`, `pooling`, and layouts are adapted; file and digest are not.
    pub manifest: BackboneManifest,
    /// Scales of weights that were stored as levels, by the weights' name.
    pub kept_scales: BTreeMap<String, Vec<f32>>,
}

impl Prepared {
    /// Prepares `graph`, which `manifest` describes.
    ///
    /// # Errors
    /// [`QuantizeError`] if the cut does not exist, the network has other than one input, or is of an old operator set
    /// that can't be carried over.
    pub fn of(mut graph: Graph, manifest: &BackboneManifest) -> Result<Self, QuantizeError> {
        let mut manifest = manifest.clone();
        let output = match (&manifest.output.cut, graph.outputs().next()) {
            (Some(cut), _) => cut.clone(),
            (None, Some(output)) => output.to_owned(),
            (None, None) => return Err(unsuitable("has no output")),
        };
        graph.cut_at(&output)?;
        if graph.inputs().count() != 1 {
            return Err(unsuitable("has more than one input; a backbone has one, the picture"));
        }
        upgrade(&mut graph)?;
        let kept_scales = kept_scales(&graph)?;
        drop_identities(&mut graph)?;
        fold_constants(&mut graph)?;
        if graph.nodes().iter().any(|node| node.op_type == "QuantizeLinear") {
            return Err(unsuitable("has quantized activations already; give the float network it was made from"));
        }
        cut_before_pooling(&mut graph, &mut manifest)?;
        take_channels_first(&mut graph, &mut manifest)?;
        own_parameters(&mut graph)?;
        fold_padding(&mut graph)?;
        fold_affine(&mut graph)?;
        graph.remove_unused()?;
        graph.sort()?;
        manifest.output.cut = graph.outputs().next().map(str::to_owned);
        Ok(Self { graph, manifest, kept_scales })
    }

    /// The tensor whose pooling gives the features.
    pub fn output(&self) -> &str {
        self.manifest.output.cut.as_deref().unwrap_or_default()
    }
}

fn unsuitable(problem: &str) -> QuantizeError {
    QuantizeError::Unsuitable { problem: problem.to_owned() }
}

/// Carries an older network over to operator set 13: what were attributes are inputs now.
fn upgrade(graph: &mut Graph) -> Result<(), QuantizeError> {
    let old = graph.opset();
    if old >= OPSET {
        return Ok(());
    }
    for place in 0..graph.nodes().len() {
        let Some(node) = graph.node(place).cloned() else { continue };
        let name = node.result().to_owned();
        let mut added: Vec<(usize, Constant)> = Vec::new();
        let mut moved: Vec<&str> = Vec::new();
        match node.op_type.as_str() {
            "Clip" if old < 11 => {
                for (place, key) in [(1, "min"), (2, "max")] {
                    added.extend(node.float(key)?.map(|bound| (place, Constant::f32([], vec![bound]))));
                }
                moved = vec!["min", "max"];
            }
            "Pad" if old < 11 => {
                let pads = node.ints("pads")?.or(node.ints("paddings")?).unwrap_or_default();
                added.push((1, Constant::i64(pads.to_vec())));
                added.push((2, Constant::f32([], vec![node.float("value")?.unwrap_or(0.0)])));
                moved = vec!["pads", "paddings", "value"];
            }
            "Squeeze" | "Unsqueeze" => {
                added.extend(node.ints("axes")?.map(|axes| (1, Constant::i64(axes.to_vec()))));
                moved = vec!["axes"];
            }
            "BatchNormalization" if old < 9 => moved = vec!["spatial"],
            "BatchNormalization" | "Conv" | "Relu" | "Clip" | "Pad" | "Add" | "Mul" | "Sub" | "Div" | "Sqrt"
            | "MaxPool" | "AveragePool" | "GlobalAveragePool" | "ReduceMean" | "Concat" | "Gemm" | "MatMul"
            | "Flatten" | "Reshape" | "Transpose" | "Identity" | "Dropout" | "Sigmoid" | "Tanh" | "LeakyRelu"
            | "Cast" | "DequantizeLinear" | "QuantizeLinear" | "HardSigmoid" | "Shape" | "Gather" | "Slice" => {}
            other => {
                let problem = format!(
                    "is of operator set {old}, and its {other} may mean something else in {OPSET}; export it for operator set {OPSET} or later"
                );
                return Err(QuantizeError::Unsuitable { problem });
            }
        }
        let mut inputs = node.input.clone();
        for (slot, constant) in added {
            let constant_name = format!("{name}.input{slot}");
            graph.set_constant(&constant_name, &constant)?;
            inputs.resize(inputs.len().max(slot + 1), String::new());
            inputs[slot] = constant_name;
        }
        graph.edit_node(place, |node| {
            node.input = inputs;
            node.attribute.retain(|attribute| !moved.contains(&attribute.name.as_str()));
        })?;
    }
    graph.set_opset(OPSET);
    Ok(())
}

/// Scales of weights that the file stores as levels.
fn kept_scales(graph: &Graph) -> Result<BTreeMap<String, Vec<f32>>, OnnxError> {
    let mut kept = BTreeMap::new();
    for node in graph.nodes().iter().filter(|node| node.op_type == "DequantizeLinear") {
        let [levels, scale, ..] = node.input.as_slice() else { continue };
        if graph.is_constant(levels)
            && let Some(scale) = graph.constant(scale)?.as_ref().and_then(Constant::floats)
        {
            kept.insert(node.result().to_owned(), scale.to_vec());
        }
    }
    Ok(kept)
}

/// Takes out nodes that hand on what they get.
fn drop_identities(graph: &mut Graph) -> Result<(), OnnxError> {
    let mut dropped = HashSet::new();
    for place in 0..graph.nodes().len() {
        let Some(node) = graph.node(place).cloned() else { continue };
        let Some(input) = node.input_at(0) else { continue };
        if matches!(node.op_type.as_str(), "Identity" | "Dropout") && !graph.is_output(node.result()) {
            graph.replace_uses(node.result(), input)?;
            dropped.insert(place);
        }
    }
    graph.remove_nodes(&dropped)
}

/// Computes what depends on nothing but constants.
fn fold_constants(graph: &mut Graph) -> Result<(), QuantizeError> {
    let mut folded = HashSet::new();
    let mut results: Vec<(String, Constant)> = Vec::new();
    for place in 0..graph.nodes().len() {
        let Some(node) = graph.node(place).cloned() else { continue };
        let known = |name: &String| name.is_empty() || graph.is_constant(name);
        let output = node.result().to_owned();
        if node.input.is_empty() || node.output.len() != 1 || !node.input.iter().all(known) || graph.is_output(&output)
        {
            continue;
        }
        let mut alone = graph.clone();
        alone.set_outputs(&[&output])?;
        alone.remove_unused()?;
        alone.remove_inputs();
        let Some(constant) = to_constant(&run::evaluate(&alone)?) else { continue };
        // It takes the node's place under a name of its own until the node is gone.
        let name = format!("{output}.folded");
        graph.set_constant(&name, &constant)?;
        graph.replace_uses(&output, &name)?;
        folded.insert(place);
        results.push((output, constant));
    }
    graph.remove_nodes(&folded)?;
    for (name, constant) in results {
        graph.set_constant(&name, &constant)?;
        graph.replace_uses(&format!("{name}.folded"), &name)?;
    }
    graph.remove_unused()?;
    Ok(())
}

fn to_constant(value: &TValue) -> Option<Constant> {
    if value.len() > MAX_FOLDED {
        return None;
    }
    let data = match value.datum_type() {
        DatumType::F32 => Data::F32(elements::<f32>(value).ok()?.to_vec()),
        DatumType::I32 => Data::I32(elements::<i32>(value).ok()?.to_vec()),
        DatumType::I64 => Data::I64(elements::<i64>(value).ok()?.to_vec()),
        DatumType::I8 => Data::I8(elements::<i8>(value).ok()?.to_vec()),
        DatumType::U8 => Data::U8(elements::<u8>(value).ok()?.to_vec()),
        _ => return None,
    };
    Some(Constant { shape: value.shape().to_vec(), data })
}

/// Ends the network at the feature map if what follows only averages it: that is done in floats, and more exactly, by
/// who reads the manifest. A transposition at the end becomes a note on the layout.
fn cut_before_pooling(graph: &mut Graph, manifest: &mut BackboneManifest) -> Result<(), OnnxError> {
    let Some(mut tensor) = graph.outputs().next().map(str::to_owned) else { return Ok(()) };
    // Over what shapes the average: a Flatten, Reshape or Squeeze of one value a channel.
    let mut walk = tensor.clone();
    while let Some(node) = graph.producer(&walk).and_then(|place| graph.node(place)) {
        let Some(input) = node.input_at(0) else { break };
        let layout = match node.op_type.as_str() {
            "Flatten" | "Reshape" | "Squeeze" | "Identity" => {
                input.clone_into(&mut walk);
                continue;
            }
            "GlobalAveragePool" => Layout::Nchw,
            "ReduceMean" => match mean_axes(graph, node)?.as_deref() {
                Some([2, 3]) => Layout::Nchw,
                Some([1, 2]) => Layout::Nhwc,
                _ => break,
            },
            _ => break,
        };
        input.clone_into(&mut tensor);
        manifest.output.pooling = Pooling::Average;
        manifest.output.layout = layout;
        break;
    }
    if let Some(node) = graph.producer(&tensor).and_then(|place| graph.node(place))
        && node.op_type == "Transpose"
        && node.ints("perm")? == Some(&[0, 2, 3, 1])
        && manifest.output.pooling != Pooling::None
        && manifest.output.layout == Layout::Nhwc
        && let Some(input) = node.input_at(0)
    {
        input.clone_into(&mut tensor);
        manifest.output.layout = Layout::Nchw;
    }
    if graph.producer(&tensor).is_some() {
        graph.set_outputs(&[&tensor])?;
        graph.remove_unused()?;
    }
    Ok(())
}

/// Axes of a mean, ascending, if they are known and count from the front for rank 4.
fn mean_axes(graph: &Graph, node: &tract_onnx::pb::NodeProto) -> Result<Option<Vec<i64>>, OnnxError> {
    let axes = match node.input_at(1) {
        Some(name) => graph.constant(name)?.and_then(|axes| axes.integers()),
        None => node.ints("axes")?.map(<[i64]>::to_vec),
    };
    Ok(axes.map(|axes| {
        let mut axes: Vec<i64> = axes.into_iter().map(|axis| if axis < 0 { axis + 4 } else { axis }).collect();
        axes.sort_unstable();
        axes
    }))
}

/// Takes out a transposition that only brings the picture into the order that convolutions want; the manifest says
/// in which order the picture is to come.
fn take_channels_first(graph: &mut Graph, manifest: &mut BackboneManifest) -> Result<(), OnnxError> {
    let Some(input) = graph.inputs().next().map(str::to_owned) else { return Ok(()) };
    let &[place] = graph.consumers(&input) else { return Ok(()) };
    let Some(node) = graph.node(place).cloned() else { return Ok(()) };
    let to_channels_first = node.op_type == "Transpose" && node.ints("perm")? == Some(&[0, 3, 1, 2]);
    if manifest.input.layout == Layout::Nhwc && to_channels_first && !graph.is_output(node.result()) {
        graph.replace_uses(node.result(), &input)?;
        graph.remove_nodes(&HashSet::from([place]))?;
        manifest.input.layout = Layout::Nchw;
    }
    let (width, height) = (manifest.input.width as usize, manifest.input.height as usize);
    match manifest.input.layout {
        Layout::Nchw => graph.declare_shape(&input, &[1, 3, height, width]),
        Layout::Nhwc => graph.declare_shape(&input, &[1, height, width, 3]),
    }
    Ok(())
}

/// Gives each weighted node weights and a bias of its own, so that they can be changed.
fn own_parameters(graph: &mut Graph) -> Result<(), QuantizeError> {
    for place in 0..graph.nodes().len() {
        let Some(node) = graph.node(place).cloned() else { continue };
        let Some(weighted) = Weighted::of(graph, &node)? else { continue };
        let Some((weight, bias)) = weighted.parameters(graph)? else {
            let problem = format!("has weights at `{}` whose type or size does not fit", weighted.output);
            return Err(QuantizeError::Unsuitable { problem });
        };
        let mut names = vec![weighted.input.clone(), weighted.weight.clone()];
        if graph.consumers(&weighted.weight).len() > 1 {
            names[1] = format!("{}.weight", weighted.output);
            graph.set_constant(&names[1], &weight)?;
        }
        if node.op_type != "MatMul" {
            names.push(format!("{}.bias", weighted.output));
            graph.set_constant(&names[2], &Constant::f32([bias.len()], bias))?;
        }
        graph.edit_node(place, |node| node.input = names)?;
    }
    // Gone from the file with the exporter's remarks: they describe another one.
    let header = graph.header_mut();
    header.metadata_props.clear();
    "arcticd".clone_into(&mut header.producer_name);
    env!("CARGO_PKG_VERSION").clone_into(&mut header.producer_version);
    header.ir_version = header.ir_version.max(7);
    Ok(())
}
