//! The layers of MobileNetV2 1.0 at 224 x 224 with random weights: 52 convolutions, 10 sums and the last mean.
//!
//! ```text
//! cargo run --release -p kernels --example mobilenet_shapes [-- ISA [TIMES]]
//! ```
//!
//! Prints the time per kind of layer. For profiling, and for counting instructions in an emulator (the difference of
//! two numbers of times).

use std::time::{Duration, Instant};

use fastrand::Rng;
use kernels::elementwise::{Addend, Sum};
use kernels::pool::Mean;
use kernels::{Conv, Depthwise, Isa, Output, Padding, Requantize, Size, Window};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Expansion, output channels, repetitions, first stride: the table of the MobileNetV2 paper.
const BLOCKS: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

enum Operator {
    Conv(Conv),
    Depthwise(Depthwise),
    /// Adds the kept tensor to the current one.
    Sum(Sum),
    Mean(Mean),
}

struct Layer {
    kind: &'static str,
    operator: Operator,
    size: Size,
    channels: usize,
    /// Its input is kept for a sum further down.
    keep: bool,
}

struct Network {
    rng: Rng,
    isa: Isa,
    size: Size,
    channels: usize,
    layers: Vec<Layer>,
}

const ZERO: u8 = 120;

impl Network {
    fn push(&mut self, kind: &'static str, operator: Operator, keep: bool) {
        self.layers.push(Layer { kind, operator, size: self.size, channels: self.channels, keep });
    }

    fn requantize(&mut self, channels: usize, depth: usize) -> Requantize {
        let scale = 1.0 / (74.0 * (depth as f32).sqrt());
        let bias = (0..channels).map(|_| self.rng.i32(-500..500)).collect();
        Requantize { bias, scale: vec![scale; channels], output: Output { zero: ZERO, low: 0, high: 250 } }
    }

    fn weights(&mut self, count: usize) -> Vec<i8> {
        (0..count).map(|_| self.rng.i8(-127..=127)).collect()
    }

    fn conv(&mut self, kind: &'static str, window: Window, outputs: usize, keep: bool) -> Result<()> {
        let depth = window.size.area() * self.channels;
        let requantize = self.requantize(outputs, depth);
        let weights = self.weights(depth * outputs);
        let conv = Conv::new(self.isa, window, self.channels, &weights, ZERO, &requantize)?;
        self.push(kind, Operator::Conv(conv), keep);
        (self.size, self.channels) = (window.output(self.size)?, outputs);
        Ok(())
    }

    fn depthwise(&mut self, stride: usize) -> Result<()> {
        let window = window(stride);
        let requantize = self.requantize(self.channels, 9);
        let weights = self.weights(9 * self.channels);
        let depthwise = Depthwise::new(self.isa, window, &weights, ZERO, &requantize)?;
        let kind = if stride == 1 { "depthwise, stride 1" } else { "depthwise, stride 2" };
        self.push(kind, Operator::Depthwise(depthwise), false);
        self.size = window.output(self.size)?;
        Ok(())
    }

    fn block(&mut self, expansion: usize, outputs: usize, stride: usize) -> Result<()> {
        let residual = stride == 1 && outputs == self.channels;
        if expansion > 1 {
            self.conv("expand", Window::pointwise(), expansion * self.channels, residual)?;
        }
        self.depthwise(stride)?;
        self.conv("project", Window::pointwise(), outputs, false)?;
        if residual {
            let addends = [Addend { zero: ZERO, ratio: 0.7 }, Addend { zero: ZERO, ratio: 0.6 }];
            self.push("sum", Operator::Sum(Sum { addends, output: Output::full(ZERO) }), false);
        }
        Ok(())
    }

    fn mobilenet(isa: Isa) -> Result<Self> {
        let mut network =
            Self { rng: Rng::with_seed(1), isa, size: Size::new(224, 224), channels: 3, layers: Vec::new() };
        network.conv("first", window(2), 32, false)?;
        for (expansion, outputs, times, stride) in BLOCKS {
            for time in 0..times {
                network.block(expansion, outputs, if time == 0 { stride } else { 1 })?;
            }
        }
        network.conv("last", Window::pointwise(), 1280, false)?;
        let mean = Mean { zero: ZERO, from: 1.0, to: 1.0, count_padding: false, output: Output::full(ZERO) };
        network.push("mean", Operator::Mean(mean), false);
        Ok(network)
    }

    /// Runs all layers and adds each one's time to that of its kind.
    fn run(&self, input: &[u8], times: &mut Vec<(&'static str, Duration)>) -> Result<Vec<u8>> {
        let mut kept = Vec::new();
        let mut current = input.to_vec();
        for layer in &self.layers {
            let (output, time) = layer.run(&current, &kept)?;
            if layer.keep {
                kept = current;
            }
            current = output;
            match times.iter_mut().find(|(kind, _)| *kind == layer.kind) {
                Some((_, sum)) => *sum += time,
                None => times.push((layer.kind, time)),
            }
        }
        Ok(current)
    }
}

impl Layer {
    fn run(&self, input: &[u8], kept: &[u8]) -> Result<(Vec<u8>, Duration)> {
        let out = match &self.operator {
            Operator::Conv(conv) => conv.window().output(self.size)?,
            Operator::Depthwise(depthwise) => depthwise.window().output(self.size)?,
            Operator::Sum(_) => self.size,
            Operator::Mean(_) => Size::new(1, 1),
        };
        let channels = if let Operator::Conv(conv) = &self.operator { conv.outputs() } else { self.channels };
        let mut output = vec![0; out.area() * channels];
        let start = Instant::now();
        match &self.operator {
            Operator::Conv(conv) => conv.run(input, self.size, &mut output, 0..out.height)?,
            Operator::Depthwise(depthwise) => depthwise.run(input, self.size, &mut output, 0..out.height)?,
            Operator::Sum(sum) => sum.run(Isa::best(), input, kept, &mut output)?,
            Operator::Mean(mean) => {
                let window = Window { size: self.size, ..Window::pointwise() };
                mean.run(&window, channels, input, self.size, &mut output)?;
            }
        }
        Ok((output, start.elapsed()))
    }
}

/// 3 x 3, padded as Keras does it.
fn window(stride: usize) -> Window {
    let before = usize::from(stride == 1);
    let padding = Padding { top: before, left: before, bottom: 1, right: 1 };
    Window { size: Size::new(3, 3), stride: Size::new(stride, stride), padding }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let isa = match arguments.next() {
        Some(name) => Isa::named(&name).ok_or_else(|| format!("no instruction set is called {name}"))?,
        None => Isa::best(),
    };
    let count: u32 = arguments.next().map_or(Ok(20), |count| count.parse())?;
    let network = Network::mobilenet(isa)?;
    let mut rng = Rng::with_seed(2);
    let input: Vec<u8> = (0..224 * 224 * 3).map(|_| rng.u8(..)).collect();
    let mut times = Vec::new();
    let mut features = Vec::new();
    for _ in 0..count {
        features = network.run(&input, &mut times)?;
    }
    // The sum tells whether two instruction sets computed the same.
    println!("{isa}, {count} times; features add up to {}", features.iter().map(|x| u64::from(*x)).sum::<u64>());
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(count.max(1));
    for (kind, time) in &times {
        println!("{kind:20} {:8.3} ms", milliseconds(*time));
    }
    println!("{:20} {:8.3} ms", "all", milliseconds(times.iter().map(|(_, time)| *time).sum()));
    Ok(())
}
