//! Bias correction: takes out the mean error that quantization adds to each output channel.
//!
//! After Nagel et al. 2019 (arXiv 1906.04721, section 4.2 and appendix D), empirically: on the photos each product is
//! computed twice from the same float input, once in floats, once with quantized input, weights and bias. The mean of the
//! difference over photos, rows and columns is subtracted from the bias.

use std::collections::BTreeMap;

use tract_onnx::pb::{NodeProto, TensorProto};

use super::QuantizeError;
use super::emit::weight_levels;
use super::levels::{Levels, bias_levels};
use super::parts::Weighted;
use super::photos::Photos;
use super::plan::Plan;
use super::progress::Progress;
use super::run::Runner;
use super::simplify::Prepared;
use crate::onnx::{Attributes, Constant, Data, Graph, OnnxError, attribute, node};

/// Photos that the means are taken over; more change them little.
const PHOTOS: usize = 64;

/// Mean error of each output channel, by weighted node's output.
pub type MeanErrors = BTreeMap<String, Vec<f32>>;

/// Measures the mean error of each convolution's channels.
///
/// # Errors
/// [`QuantizeError`] if the network does not run.
pub fn mean_errors(
    prepared: &Prepared,
    plan: &Plan,
    levels: &BTreeMap<String, Levels>,
    photos: &Photos,
    progress: &Progress,
) -> Result<MeanErrors, QuantizeError> {
    let (graph, names) = with_errors(prepared, plan, levels)?;
    let tensors: Vec<String> = names.iter().map(|name| error_name(name)).collect();
    let tensors: Vec<&str> = tensors.iter().map(String::as_str).collect();
    let mut sums: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    if names.is_empty() {
        return Ok(MeanErrors::new());
    }
    let runner = Runner::new(&graph, &prepared.manifest.input, &tensors)?;
    let count = photos.pictures.len().min(PHOTOS);
    for (done, place) in (0..count).map(|n| n * photos.pictures.len() / count).enumerate() {
        progress.show("measuring mean errors", done + 1, count);
        runner.run(&photos.pictures[place], |number, seen| {
            sums[number].resize(seen.values.len(), 0.0);
            for (sum, error) in sums[number].iter_mut().zip(seen.values) {
                *sum += f64::from(*error);
            }
        })?;
    }
    let means = sums.into_iter().map(|sums| sums.into_iter().map(|sum| (sum / count as f64) as f32).collect());
    Ok(names.into_iter().zip(means).collect())
}

/// Subtracts `errors` from the biases.
///
/// # Errors
/// [`QuantizeError`] for broken tensors.
pub fn correct(prepared: &mut Prepared, errors: &MeanErrors) -> Result<(), QuantizeError> {
    for weighted in Weighted::all(&prepared.graph)? {
        let (Some(errors), Some(name)) = (errors.get(&weighted.output), &weighted.bias) else { continue };
        let Some((_, bias)) = weighted.parameters(&prepared.graph)? else { continue };
        let bias: Vec<f32> = bias.iter().zip(errors).map(|(bias, error)| bias - error).collect();
        prepared.graph.set_constant(name, &Constant::f32([bias.len()], bias))?;
    }
    Ok(())
}

fn error_name(output: &str) -> String {
    format!("{output}.mean_error")
}

/// The float network with a quantized twin beside each convolution, and the mean of their difference.
fn with_errors(
    prepared: &Prepared,
    plan: &Plan,
    levels: &BTreeMap<String, Levels>,
) -> Result<(Graph, Vec<String>), QuantizeError> {
    let mut proto = prepared.graph.to_proto();
    let Some(graph) = proto.graph.as_mut() else { return Err(OnnxError::NoGraph.into()) };
    let mut added = Added::default();
    let mut names = Vec::new();
    for original in &prepared.graph.nodes().to_vec() {
        let Some(weighted) = Weighted::of(&prepared.graph, original)?.filter(|w| w.conv && w.bias.is_some()) else {
            continue;
        };
        let Some(input) = levels.get(&weighted.input).filter(|_| plan.quantizes(&weighted.input)) else { continue };
        added.twin(prepared, original, &weighted, *input)?;
        names.push(weighted.output);
    }
    // Two readers of one tensor share its rounded form.
    graph.node.append(&mut added.nodes);
    graph.initializer.append(&mut added.constants);
    Ok((Graph::from_proto(proto)?, names))
}

#[derive(Default)]
struct Added {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    rounded: BTreeMap<String, String>,
}

impl Added {
    fn twin(
        &mut self,
        prepared: &Prepared,
        original: &NodeProto,
        weighted: &Weighted,
        input: Levels,
    ) -> Result<(), QuantizeError> {
        let (weight, shape, bias) = weight_levels(prepared, weighted, Some(input))?;
        let (bias, scales) = bias_levels(&bias, input.scale, &weight.scales);
        let bias: Vec<f32> = bias.iter().zip(scales).map(|(level, scale)| *level as f32 * scale).collect();
        let name = |part: &str| format!("{}.twin.{part}", weighted.output);
        let rounded = self.rounded(&weighted.input, input);
        self.constants.push(Constant::f32(shape, weight.values()).to_proto(&name("weight")));
        self.constants.push(Constant::f32([bias.len()], bias).to_proto(&name("bias")));
        self.nodes.push(node(
            &original.op_type,
            &[&rounded, &name("weight"), &name("bias")],
            &name("product"),
            original.attribute.clone(),
        ));
        self.nodes.push(node("Sub", &[&name("product"), original.result()], &name("error"), Vec::new()));
        let axes = vec![attribute::ints("axes", &[2, 3]), attribute::int("keepdims", 0)];
        // From operator set 18 on the axes are an input.
        if prepared.graph.opset() < 18 {
            self.nodes.push(node("ReduceMean", &[&name("error")], &error_name(&weighted.output), axes));
        } else {
            self.constants.push(Constant::i64(vec![2, 3]).to_proto(&name("axes")));
            let inputs = [name("error"), name("axes")];
            let keep = vec![attribute::int("keepdims", 0)];
            self.nodes.push(node("ReduceMean", &[&inputs[0], &inputs[1]], &error_name(&weighted.output), keep));
        }
        Ok(())
    }

    fn rounded(&mut self, tensor: &str, levels: Levels) -> String {
        if let Some(name) = self.rounded.get(tensor) {
            return name.clone();
        }
        let name = |part: &str| format!("{tensor}.twin.{part}");
        let stored = |data, name: String| Constant { shape: Vec::new(), data }.to_proto(&name);
        self.constants.push(stored(Data::F32(vec![levels.scale]), name("scale")));
        self.constants.push(stored(Data::U8(vec![levels.zero]), name("zero")));
        self.nodes.push(node("QuantizeLinear", &[tensor, &name("scale"), &name("zero")], &name("levels"), Vec::new()));
        let inputs = [name("levels"), name("scale"), name("zero")];
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.nodes.push(node("DequantizeLinear", &inputs, &name("rounded"), Vec::new()));
        self.rounded.insert(tensor.to_owned(), name("rounded"));
        name("rounded")
    }
}
