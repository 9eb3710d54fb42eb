//! Small convolutional networks with random weights: everything that a backbone is made of, and quick.

use anyhow::Result;
use arcticd::onnx::{Constant, Graph, attribute};

use crate::scenes::random::Random;

/// Side of the networks' square input, in pixels.
pub const SIDE: u32 = 48;

/// Length of the networks' feature vector.
pub const FEATURES: usize = 24;

/// A network that takes a picture [1,3,48,48] to 24 features: inverted residuals with ReLU6 and depthwise convolutions,
/// then a pre-activation residual with max pooling on its way round. Batch norms have statistics that are not trivial.
///
/// Nodes are named like their tensors; `map` is the feature map [1,24,6,6], `features` its mean.
///
/// # Errors
/// None, unless the names clash.
pub fn small(seed: u64) -> Result<Vec<u8>> {
    let mut network = Network {
        graph: Graph::empty("small", "image", &[1, 3, SIDE as usize, SIDE as usize], 13),
        random: Random::new(seed),
    };
    let n = &mut network;
    n.graph.set_constant("zero", &Constant::f32([], vec![0.0]))?;
    n.graph.set_constant("six", &Constant::f32([], vec![6.0]))?;
    n.conv("image", "stem", Conv { into: 8, from: 3, side: 3, stride: 2, group: 1 })?;
    n.norm("stem", "stem.norm", 8)?;
    n.graph.add_node("Clip", &["stem.norm", "zero", "six"], "stem.act", Vec::new())?;
    n.inverted("stem.act", "b0", 8, 8, 16)?;
    n.inverted("b0", "b1", 16, 32, 16)?;
    n.graph.add_node("Add", &["b0", "b1"], "sum", Vec::new())?;
    // Before its activation the sum goes round, so that this batch norm can't be folded.
    n.norm("sum", "pre.norm", 16)?;
    n.graph.add_node("Relu", &["pre.norm"], "pre", Vec::new())?;
    n.conv("pre", "narrow", Conv { into: 12, from: 16, side: 3, stride: 2, group: 1 })?;
    n.norm("narrow", "narrow.norm", 12)?;
    n.graph.add_node("Relu", &["narrow.norm"], "narrow.act", Vec::new())?;
    n.conv("narrow.act", "wide", Conv { into: 24, from: 12, side: 1, stride: 1, group: 1 })?;
    let pool = vec![attribute::ints("kernel_shape", &[2, 2]), attribute::ints("strides", &[2, 2])];
    n.graph.add_node("MaxPool", &["sum"], "pool", pool)?;
    n.conv("pool", "round", Conv { into: 24, from: 16, side: 1, stride: 1, group: 1 })?;
    n.graph.add_node("Add", &["wide", "round"], "join", Vec::new())?;
    let pool = vec![attribute::ints("kernel_shape", &[2, 2]), attribute::ints("strides", &[2, 2])];
    n.graph.add_node("Relu", &["join"], "join.act", Vec::new())?;
    n.graph.add_node("AveragePool", &["join.act"], "map", pool)?;
    n.graph.add_node("GlobalAveragePool", &["map"], "mean", Vec::new())?;
    n.graph.add_node("Flatten", &["mean"], "features", vec![attribute::int("axis", 1)])?;
    n.graph.set_outputs(&["features"])?;
    Ok(n.graph.encode()?)
}

struct Network {
    graph: Graph,
    random: Random,
}

struct Conv {
    into: usize,
    from: usize,
    side: usize,
    stride: i64,
    group: usize,
}

impl Network {
    /// A convolution without bias that keeps the size, divided by the stride.
    fn conv(&mut self, from: &str, to: &str, conv: Conv) -> Result<()> {
        let inputs = conv.from / conv.group * conv.side * conv.side;
        // Keeps the variance behind a ReLU (He et al. 2015).
        let range = (6.0 / inputs as f32).sqrt();
        let weights = (0..conv.into * inputs).map(|_| self.random.between(-range, range)).collect();
        let weight = format!("{to}.weight");
        let shape = [conv.into, conv.from / conv.group, conv.side, conv.side];
        self.graph.set_constant(&weight, &Constant::f32(shape, weights))?;
        let pad = (conv.side / 2) as i64;
        let attributes = vec![
            attribute::ints("kernel_shape", &[conv.side as i64; 2]),
            attribute::ints("strides", &[conv.stride; 2]),
            attribute::ints("pads", &[pad; 4]),
            attribute::int("group", conv.group as i64),
        ];
        self.graph.add_node("Conv", &[from, &weight], to, attributes)?;
        Ok(())
    }

    fn norm(&mut self, from: &str, to: &str, channels: usize) -> Result<()> {
        let ranges = [("scale", 0.6, 1.6), ("shift", -0.2, 0.8), ("mean", -0.3, 0.3), ("variance", 0.3, 2.0)];
        let mut inputs = vec![from.to_owned()];
        for (part, low, high) in ranges {
            let values = (0..channels).map(|_| self.random.between(low, high)).collect();
            let name = format!("{to}.{part}");
            self.graph.set_constant(&name, &Constant::f32([channels], values))?;
            inputs.push(name);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.graph.add_node("BatchNormalization", &inputs, to, vec![attribute::float("epsilon", 1e-3)])?;
        Ok(())
    }

    /// Expansion, depthwise convolution and projection, as in MobileNetV2.
    fn inverted(&mut self, from: &str, to: &str, channels: usize, inner: usize, into: usize) -> Result<()> {
        let name = |part: &str| format!("{to}.{part}");
        let steps = [("expand", channels, inner, 1, 1), ("depth", inner, inner, 3, inner)];
        let mut last = from.to_owned();
        for (step, from, into, side, group) in steps {
            self.conv(&last, &name(step), Conv { into, from, side, stride: 1, group })?;
            let (norm, act) = (name(&format!("{step}.norm")), name(&format!("{step}.act")));
            self.norm(&name(step), &norm, into)?;
            self.graph.add_node("Clip", &[&norm, "zero", "six"], &act, Vec::new())?;
            last = act;
        }
        self.conv(&last, &name("project"), Conv { into, from: inner, side: 1, stride: 1, group: 1 })?;
        self.norm(&name("project"), to, into)
    }
}
