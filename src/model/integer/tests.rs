//! Fused operators give what tract's float operators give between the same quantizers, to a level; and each one is really
//! fused.
#![allow(clippy::unwrap_used, clippy::panic)]

use fastrand::Rng;
use tract_onnx::pb::AttributeProto;
use tract_onnx::prelude::{DatumExt, InferenceModelExt, IntoRunnable, IntoTValue, Tensor, tvec};

use super::*;
use crate::onnx::{Constant, Data, Graph, attribute};

/// A network in the making: `x` (float, `[1, 6, 9, 9]`) is quantized to `q`.
struct Net {
    graph: Graph,
    rng: Rng,
}

const CHANNELS: usize = 6;
const SIDE: usize = 9;
const STEP: f32 = 0.05;

impl Net {
    fn new(seed: u64) -> Self {
        let graph = Graph::empty("test", "x", &[1, CHANNELS, SIDE, SIDE], 13);
        let mut net = Self { graph, rng: Rng::with_seed(seed) };
        net.quantized("x", "q", 0.02, 120);
        net
    }

    fn constant(&mut self, name: &str, shape: &[usize], data: Data) -> String {
        self.graph.set_constant(name, &Constant { shape: shape.to_vec(), data }).unwrap();
        name.to_owned()
    }

    fn floats(&mut self, name: &str, shape: &[usize], low: f32, high: f32) -> String {
        let values = (0..shape.iter().product()).map(|_| low + (high - low) * self.rng.f32()).collect();
        self.constant(name, shape, Data::F32(values))
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) {
        self.graph.add_node(op, inputs, output, attributes).unwrap();
    }

    /// `QuantizeLinear -> DequantizeLinear` from `float` to the float tensor `name`.
    fn quantized(&mut self, float: &str, name: &str, scale: f32, zero: u8) {
        let scale = self.constant(&format!("{name}.scale"), &[], Data::F32(vec![scale]));
        let zero = self.constant(&format!("{name}.zero"), &[], Data::U8(vec![zero]));
        let levels = format!("{name}.levels");
        self.node("QuantizeLinear", &[float, &scale, &zero], &levels, vec![]);
        self.node("DequantizeLinear", &[&levels, &scale, &zero], name, vec![]);
    }

    /// Dequantized `i8` weights with a scale along `axis`.
    fn weights(&mut self, name: &str, shape: &[usize], axis: usize) -> String {
        let values = (0..shape.iter().product()).map(|_| self.rng.i8(-127..=127)).collect();
        let levels = self.constant(&format!("{name}.levels"), shape, Data::I8(values));
        let scales = self.floats(&format!("{name}.scales"), &[shape[axis]], 0.001, 0.004);
        let zeros = self.constant(&format!("{name}.zeros"), &[shape[axis]], Data::I8(vec![0; shape[axis]]));
        self.node("DequantizeLinear", &[&levels, &scales, &zeros], name, vec![attribute::int("axis", axis as i64)]);
        name.to_owned()
    }

    fn values(&self, leave: Option<&str>, input: &Tensor) -> (Vec<f32>, Vec<Placement>) {
        let Lowered { proto, regions, pixels, placements } =
            lower(self.graph.clone(), Layout::Nchw, Isa::best(), leave).unwrap();
        let (fact, input) = match pixels {
            None => (f32::fact([1, CHANNELS, SIDE, SIDE]), input.clone()),
            Some(levels) => {
                let view = input.view();
                let mut bytes = vec![0; view.len()];
                operator::quantize(levels, view.as_slice::<f32>().unwrap(), input.shape(), &mut bytes);
                let shape = [1, SIDE, SIDE, CHANNELS];
                (u8::fact(shape), Tensor::from_shape(&shape, &bytes).unwrap())
            }
        };
        let plan = model(&proto, &regions).unwrap().with_input_fact(0, fact.into()).unwrap();
        let plan = plan.into_optimized().unwrap().into_runnable().unwrap();
        let result = plan.run(tvec![input.into_tvalue()]).unwrap();
        (result[0].view().as_slice::<f32>().unwrap().to_vec(), placements)
    }

    /// Quantizes `last` with [`STEP`], runs the network fused and left to tract, and compares.
    fn assert_fused(mut self, last: &str, kind: &str) {
        self.quantized(last, "y", STEP, 130);
        self.graph.set_outputs(&["y"]).unwrap();
        for _ in 0..4 {
            let values: Vec<f32> = (0..CHANNELS * SIDE * SIDE).map(|_| 5.0 * self.rng.f32() - 2.5).collect();
            let input = Tensor::from_shape(&[1, CHANNELS, SIDE, SIDE], &values).unwrap();
            let (fused, placements) = self.values(None, &input);
            let (left, _) = self.values(Some("to compare"), &input);
            let tract = placements.iter().filter(|it| matches!(it.by, By::Tract { .. })).count();
            assert_eq!(tract, 0, "{placements:?}");
            let found = placements.iter().any(|it| matches!(&it.by, By::Integer { kind: it, .. } if it == kind));
            assert!(found, "no {kind}: {placements:?}");
            assert_eq!(fused.len(), left.len());
            let spread = left.iter().fold((f32::MAX, f32::MIN), |(low, high), it| (low.min(*it), high.max(*it)));
            assert!(spread.1 - spread.0 > 4.0 * STEP, "the results say nothing: {spread:?}");
            let apart = fused.iter().zip(&left).filter(|(a, b)| (**a - **b).abs() > STEP * 0.5).count();
            let far = fused.iter().zip(&left).filter(|(a, b)| (**a - **b).abs() > STEP * 1.5).count();
            // Only ties may be rounded otherwise.
            assert!(far == 0 && apart * 50 <= left.len(), "{kind}: {apart} of {} differ, {far} far", left.len());
        }
    }
}

fn pads() -> AttributeProto {
    attribute::ints("pads", &[1, 0, 1, 1])
}

#[test]
fn a_convolution_takes_in_its_bias_and_its_limits() {
    for stride in [1, 2] {
        let mut net = Net::new(1);
        let weights = net.weights("w", &[8, CHANNELS, 3, 3], 0);
        let bias = net.floats("b", &[8], -0.5, 0.5);
        let strides = attribute::ints("strides", &[stride, stride]);
        net.node("Conv", &["q", &weights, &bias], "c", vec![pads(), strides]);
        let (low, high) = (net.floats("low", &[], 0.0, 0.0), net.floats("high", &[], 2.0, 2.0));
        net.node("Clip", &["c", &low, &high], "r", vec![]);
        net.assert_fused("r", "convolution");
    }
}

#[test]
fn a_pointwise_convolution_is_one() {
    let mut net = Net::new(2);
    let weights = net.weights("w", &[5, CHANNELS, 1, 1], 0);
    net.node("Conv", &["q", &weights], "c", vec![]);
    net.assert_fused("c", "pointwise");
}

#[test]
fn a_depthwise_convolution_is_one() {
    for (side, stride) in [(3, 1), (3, 2), (5, 2)] {
        let mut net = Net::new(3);
        let weights = net.weights("w", &[CHANNELS, 1, side, side], 0);
        let attributes =
            vec![pads(), attribute::int("group", CHANNELS as i64), attribute::ints("strides", &[stride, stride])];
        net.node("Conv", &["q", &weights], "c", attributes);
        net.node("Relu", &["c"], "r", vec![]);
        net.assert_fused("r", "depthwise");
    }
}

#[test]
fn a_residual_sum_adds_two_scales() {
    let mut net = Net::new(4);
    let weights = net.weights("w", &[CHANNELS, CHANNELS, 1, 1], 0);
    net.node("Conv", &["q", &weights], "c", vec![]);
    net.quantized("c", "d", 0.03, 100);
    net.node("Add", &["d", "q"], "s", vec![]);
    net.node("Relu", &["s"], "r", vec![]);
    net.assert_fused("r", "add");
}

#[test]
fn a_batch_norm_that_no_convolution_takes_in_is_a_table_a_channel() {
    let mut net = Net::new(5);
    let names = ["gamma", "beta", "mean", "variance"];
    let constants: Vec<String> = names.iter().map(|name| net.floats(name, &[CHANNELS], 0.5, 1.5)).collect();
    let mut inputs = vec!["q"];
    inputs.extend(constants.iter().map(String::as_str));
    net.node("BatchNormalization", &inputs, "n", vec![]);
    net.node("Relu", &["n"], "r", vec![]);
    net.assert_fused("r", "table");
}

#[test]
fn a_product_and_a_sum_with_constants_a_channel_are_tables() {
    let mut net = Net::new(6);
    let factor = net.floats("factor", &[1, CHANNELS, 1, 1], 0.5, 1.5);
    net.node("Mul", &["q", &factor], "m", vec![]);
    net.quantized("m", "n", 0.03, 110);
    let offset = net.floats("offset", &[CHANNELS, 1, 1], -0.5, 0.5);
    net.node("Add", &[&offset, "n"], "s", vec![]);
    net.assert_fused("s", "table");
}

#[test]
fn functions_of_one_value_are_tables() {
    for op in ["Sigmoid", "Tanh", "HardSigmoid", "LeakyRelu", "Elu"] {
        let mut net = Net::new(7);
        net.node(op, &["q"], "f", vec![]);
        net.assert_fused("f", "table");
    }
}

#[test]
fn pools_are_taken_over_windows_and_over_the_picture() {
    let window = || vec![attribute::ints("kernel_shape", &[3, 3]), attribute::ints("strides", &[2, 2]), pads()];
    for count in [0, 1] {
        let mut net = Net::new(8);
        let mut attributes = window();
        attributes.push(attribute::int("count_include_pad", count));
        net.node("AveragePool", &["q"], "p", attributes);
        net.assert_fused("p", "mean pool");
    }
    let mut net = Net::new(9);
    // A maximum keeps its input's levels; a sum behind it gives the result others.
    net.node("MaxPool", &["q"], "p", window());
    net.quantized("p", "m", 0.02, 120);
    net.node("Add", &["m", "m"], "s", vec![]);
    net.assert_fused("s", "max pool");
}

#[test]
fn channels_are_joined_though_their_scales_differ() {
    let mut net = Net::new(10);
    let weights = net.weights("w", &[4, CHANNELS, 1, 1], 0);
    net.node("Conv", &["q", &weights], "c", vec![]);
    net.quantized("c", "d", 0.03, 100);
    net.node("Concat", &["q", "d"], "j", vec![attribute::int("axis", 1)]);
    net.assert_fused("j", "concat");
}

#[test]
fn a_border_of_zeros_is_one_though_zero_is_no_level_of_its_own() {
    let mut net = Net::new(11);
    let pads = net.constant("pads", &[8], Data::I64(vec![0, 0, 1, 2, 0, 0, 3, 0]));
    net.node("Pad", &["q", &pads], "p", vec![]);
    net.quantized("p", "b", 0.02, 120);
    let weights = net.weights("w", &[5, CHANNELS, 3, 3], 0);
    net.node("Conv", &["b", &weights], "c", vec![]);
    net.assert_fused("c", "pad");
}

#[test]
fn a_float_node_between_integer_ones_waits_for_one_region_and_feeds_the_next() {
    let mut net = Net::new(12);
    let weights = net.weights("w", &[CHANNELS, CHANNELS, 1, 1], 0);
    net.node("Conv", &["q", &weights], "c", vec![]);
    net.quantized("c", "d", 0.03, 100);
    net.node("Exp", &["d"], "e", vec![]);
    net.quantized("e", "f", 0.05, 10);
    // Read on both sides of the float node.
    net.node("Add", &["f", "d"], "s", vec![]);
    net.quantized("s", "y", STEP, 130);
    net.graph.set_outputs(&["y"]).unwrap();
    let lowered = lower(net.graph.clone(), Layout::Nchw, Isa::best(), None).unwrap();
    assert_eq!(lowered.regions.len(), 2, "one before and one behind");
    let reason = lowered.placements.iter().find(|it| it.op == "Exp").unwrap();
    assert!(matches!(&reason.by, By::Tract { reason } if reason.contains("Exp")), "{reason:?}");
    let values: Vec<f32> = (0..CHANNELS * SIDE * SIDE).map(|index| (index % 90) as f32 / 30.0 - 1.5).collect();
    let input = Tensor::from_shape(&[1, CHANNELS, SIDE, SIDE], &values).unwrap();
    let (fused, left) = (net.values(None, &input).0, net.values(Some("to compare"), &input).0);
    assert!(fused.iter().zip(&left).all(|(a, b)| (a - b).abs() < 1.5 * STEP));
}

#[test]
fn what_the_arithmetic_does_not_cover_stays_tracts_and_says_why() {
    let refused = |change: fn(&mut Net)| {
        let mut net = Net::new(13);
        change(&mut net);
        net.quantized("c", "y", STEP, 130);
        net.graph.set_outputs(&["y"]).unwrap();
        let placements = lower(net.graph.clone(), Layout::Nchw, Isa::best(), None).unwrap().placements;
        let conv = placements.into_iter().find(|it| it.op == "Conv").unwrap();
        match conv.by {
            By::Tract { reason } => reason,
            other => panic!("{other:?}"),
        }
    };
    let dilated = refused(|net| {
        let weights = net.weights("w", &[4, CHANNELS, 3, 3], 0);
        net.node("Conv", &["q", &weights], "c", vec![attribute::ints("dilations", &[2, 2])]);
    });
    assert!(dilated.contains("dilated"), "{dilated}");
    let grouped = refused(|net| {
        let weights = net.weights("w", &[4, CHANNELS / 2, 1, 1], 0);
        net.node("Conv", &["q", &weights], "c", vec![attribute::int("group", 2)]);
    });
    assert!(grouped.contains("groups"), "{grouped}");
    let float = refused(|net| {
        let weights = net.floats("w", &[4, CHANNELS, 1, 1], -0.1, 0.1);
        net.node("Conv", &["q", &weights], "c", vec![]);
    });
    assert!(float.contains("not quantized"), "{float}");
}

#[test]
fn a_dequantized_tensor_may_be_quantized_again_beside_its_other_readers() {
    let mut net = Net::new(14);
    net.quantized("q", "again", 0.03, 100);
    net.node("Add", &["q", "again"], "s", vec![]);
    net.quantized("s", "y", STEP, 130);
    net.graph.set_outputs(&["y"]).unwrap();
    let values: Vec<f32> = (0..CHANNELS * SIDE * SIDE).map(|index| (index % 90) as f32 / 30.0 - 1.5).collect();
    let input = Tensor::from_shape(&[1, CHANNELS, SIDE, SIDE], &values).unwrap();
    let fused = net.values(None, &input).0;
    assert!(fused.iter().zip(&values).all(|(found, value)| (found - 2.0 * value).abs() < 0.08), "{fused:?}");
}

#[test]
fn levels_that_something_else_reads_stay_in_the_files_order() {
    let mut net = Net::new(15);
    let (scale, zero) = (net.floats("s", &[], 0.02, 0.02), net.constant("z", &[], Data::U8(vec![120])));
    net.node("QuantizeLinear", &["q", &scale, &zero], "levels", vec![]);
    net.node("Flatten", &["levels"], "flat", vec![]);
    net.node("DequantizeLinear", &["flat", &scale, &zero], "y", vec![]);
    net.graph.set_outputs(&["y"]).unwrap();
    let values: Vec<f32> = (0..CHANNELS * SIDE * SIDE).map(|index| (index % 90) as f32 / 30.0 - 1.5).collect();
    let input = Tensor::from_shape(&[1, CHANNELS, SIDE, SIDE], &values).unwrap();
    let found = net.values(None, &input).0;
    assert!(found.iter().zip(&values).all(|(found, value)| (found - value).abs() < 0.011), "{found:?}");
}

#[test]
fn signed_levels_without_a_zero_point_mean_what_they_say() {
    let mut net = Net::new(16);
    let (scale, zero) = (net.floats("s", &[], 0.02, 0.02), net.constant("z", &[], Data::I8(vec![0])));
    net.node("QuantizeLinear", &["q", &scale, &zero], "levels", vec![]);
    net.node("DequantizeLinear", &["levels", &scale], "y", vec![]);
    net.graph.set_outputs(&["y"]).unwrap();
    let values: Vec<f32> = (0..CHANNELS * SIDE * SIDE).map(|index| (index % 90) as f32 / 30.0 - 1.5).collect();
    let input = Tensor::from_shape(&[1, CHANNELS, SIDE, SIDE], &values).unwrap();
    let found = net.values(None, &input).0;
    assert!(found.iter().zip(&values).all(|(found, value)| (found - value).abs() < 0.021), "{found:?}");
}

#[test]
fn a_network_that_asks_for_too_much_memory_is_an_error() {
    let mut net = Net::new(17);
    let mut last = "q".to_owned();
    for step in 0..34 {
        let (joined, name) = (format!("j{step}"), format!("q{step}"));
        net.node("Concat", &[&last, &last], &joined, vec![attribute::int("axis", 1)]);
        net.quantized(&joined, &name, 0.02, 120);
        last = name;
    }
    net.graph.set_outputs(&[&last]).unwrap();
    let Lowered { proto, regions, .. } = lower(net.graph, Layout::Nchw, Isa::best(), None).unwrap();
    let fact = u8::fact([1, SIDE, SIDE, CHANNELS]);
    let loaded = model(&proto, &regions).and_then(|model| model.with_input_fact(0, fact.into()));
    assert!(loaded.and_then(|model| model.into_optimized()).is_err());
}

#[test]
fn weights_without_elements_are_refused_at_once() {
    let mut net = Net::new(18);
    let levels = net.constant("w.levels", &[1 << 44, 0, 1, 1], Data::I8(vec![]));
    let scale = net.floats("w.scale", &[], 0.1, 0.1);
    net.node("DequantizeLinear", &[&levels, &scale], "w", vec![]);
    net.node("Conv", &["q", "w"], "c", vec![]);
    net.quantized("c", "y", STEP, 130);
    net.graph.set_outputs(&["y"]).unwrap();
    let placements = lower(net.graph, Layout::Nchw, Isa::best(), None).unwrap().placements;
    assert!(
        placements
            .iter()
            .any(|it| it.op == "Conv" && matches!(&it.by, By::Tract { reason } if reason.contains("empty")))
    );
}
