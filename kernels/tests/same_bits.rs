//! Every instruction set of this processor gives the bits of plain loops, over shapes, strides, paddings, zero points and
//! the edges of saturation.
#![allow(clippy::unwrap_used, clippy::panic)]

use fastrand::Rng;
use kernels::{Conv, Depthwise, Isa, KernelError, Output, Padding, Requantize, Size, Window};

/// The written arithmetic, once more and independently: `round_ties_even` instead of the rounding constant.
fn level(sum: i64, scale: f32, output: Output) -> u8 {
    let steps = sum as i32 as f32 * scale;
    let level = f64::from(steps).round_ties_even() + f64::from(output.zero);
    level.clamp(f64::from(output.low), f64::from(output.high)) as u8
}

struct Case {
    window: Window,
    size: Size,
    inputs: usize,
    zero: u8,
    input: Vec<u8>,
    weights: Vec<i8>,
    requantize: Requantize,
}

impl Case {
    fn new(rng: &mut Rng, window: Window, size: Size, inputs: usize, outputs: usize, per_output: usize) -> Self {
        let extreme = rng.u8(0..4) == 0;
        let input = (0..size.area() * inputs).map(|_| if extreme { 255 * rng.u8(0..2) } else { rng.u8(..) }).collect();
        let weight = |rng: &mut Rng| if extreme { if rng.bool() { 127 } else { -127 } } else { rng.i8(-127..=127) };
        let weights = (0..outputs * per_output).map(|_| weight(rng)).collect();
        let zero = [0, 255, 128, rng.u8(..)][rng.usize(0..4)];
        let spread = 2.0 / (per_output as f32).sqrt() / 40.0;
        let output = [
            Output::full(rng.u8(..)),
            Output { zero: 0, low: 0, high: 200 },
            Output { zero: 128, low: 128, high: 255 },
        ][rng.usize(0..3)];
        let requantize = Requantize {
            bias: (0..outputs).map(|_| rng.i32(-40_000..40_000)).collect(),
            // Powers of two make exact halves, which must go to the even side.
            scale: (0..outputs).map(|_| if rng.bool() { spread * rng.f32() } else { 1.0 / 128.0 }).collect(),
            output,
        };
        Self { window, size, inputs, zero, input, weights, requantize }
    }

    /// Sum over the window for output pixel (y, x); `weight` gives the weight of (row, column, input channel).
    fn sum(
        &self,
        y: usize,
        x: usize,
        channels: std::ops::Range<usize>,
        weight: impl Fn(usize, usize, usize) -> i8,
    ) -> i64 {
        let Window { size, stride, padding } = self.window;
        let mut sum = 0;
        for r in 0..size.height {
            for c in 0..size.width {
                let (row, column) = (
                    (y * stride.height + r) as i64 - padding.top as i64,
                    (x * stride.width + c) as i64 - padding.left as i64,
                );
                let inside =
                    (0..self.size.height as i64).contains(&row) && (0..self.size.width as i64).contains(&column);
                for k in channels.clone() {
                    let x = if inside {
                        self.input[(row as usize * self.size.width + column as usize) * self.inputs + k]
                    } else {
                        self.zero
                    };
                    sum += (i64::from(x) - i64::from(self.zero)) * i64::from(weight(r, c, k));
                }
            }
        }
        sum
    }
}

fn random_window(rng: &mut Rng, sides: &[usize]) -> Window {
    let size = Size::new(sides[rng.usize(0..sides.len())], sides[rng.usize(0..sides.len())]);
    let padding = Padding {
        top: rng.usize(0..size.height),
        left: rng.usize(0..size.width),
        bottom: rng.usize(0..size.height),
        right: rng.usize(0..size.width),
    };
    Window { size, stride: Size::new(rng.usize(1..=3), rng.usize(1..=3)), padding }
}

fn random_size(rng: &mut Rng, window: &Window) -> Size {
    Size::new(window.size.height + rng.usize(0..9), window.size.width + rng.usize(0..9))
}

/// Cases of each kind of operator. `KERNELS_TEST_ROUNDS` cuts them where an emulator runs the tests.
fn rounds() -> usize {
    std::env::var("KERNELS_TEST_ROUNDS").map_or(400, |rounds| rounds.parse().unwrap())
}

#[test]
fn convolutions_give_the_bits_of_plain_loops() {
    let mut rng = Rng::with_seed(1);
    for round in 0..rounds() {
        let pointwise = round % 2 == 0;
        let window = if pointwise { Window::pointwise() } else { random_window(&mut rng, &[1, 2, 3, 5]) };
        let size = random_size(&mut rng, &window);
        let (inputs, outputs) = (rng.usize(1..70), rng.usize(1..70));
        let depth = window.size.area() * inputs;
        let case = Case::new(&mut rng, window, size, inputs, outputs, depth);
        let out = window.output(size).unwrap();
        let mut expected = Vec::new();
        for y in 0..out.height {
            for x in 0..out.width {
                for o in 0..outputs {
                    let weight = |r: usize, c: usize, k: usize| {
                        case.weights[o * depth + (r * window.size.width + c) * inputs + k]
                    };
                    let sum = case.sum(y, x, 0..inputs, weight) + i64::from(case.requantize.bias[o]);
                    expected.push(level(sum, case.requantize.scale[o], case.requantize.output));
                }
            }
        }
        for isa in Isa::available() {
            let conv = Conv::new(isa, window, inputs, &case.weights, case.zero, &case.requantize).unwrap();
            let mut found = vec![7; expected.len()];
            // In two parts, as two threads would do it.
            let cut = rng.usize(0..=out.height);
            let (upper, lower) = found.split_at_mut(cut * out.width * outputs);
            conv.run(&case.input, size, upper, 0..cut).unwrap();
            conv.run(&case.input, size, lower, cut..out.height).unwrap();
            assert!(found == expected, "{isa}: {window:?} over {size:?}, {inputs} to {outputs} channels");
        }
    }
}

#[test]
fn depthwise_convolutions_give_the_bits_of_plain_loops() {
    let mut rng = Rng::with_seed(2);
    for _ in 0..rounds() {
        let window = random_window(&mut rng, &[1, 2, 3, 3, 3, 5, 7]);
        let size = random_size(&mut rng, &window);
        let channels = rng.usize(1..70);
        let taps = window.size.area();
        let case = Case::new(&mut rng, window, size, channels, channels, taps);
        let out = window.output(size).unwrap();
        // `Case` draws weights as [channel][tap]; the kernel wants [tap][channel].
        let weights: Vec<i8> = (0..taps)
            .flat_map(|tap| (0..channels).map(move |c| (tap, c)))
            .map(|(tap, c)| case.weights[c * taps + tap])
            .collect();
        let mut expected = Vec::new();
        for y in 0..out.height {
            for x in 0..out.width {
                for c in 0..channels {
                    let weight = |r: usize, column: usize, _| weights[(r * window.size.width + column) * channels + c];
                    let sum = case.sum(y, x, c..c + 1, weight) + i64::from(case.requantize.bias[c]);
                    expected.push(level(sum, case.requantize.scale[c], case.requantize.output));
                }
            }
        }
        for isa in Isa::available() {
            let conv = Depthwise::new(isa, window, &weights, case.zero, &case.requantize).unwrap();
            let mut found = vec![7; expected.len()];
            let cut = rng.usize(0..=out.height);
            let (upper, lower) = found.split_at_mut(cut * out.width * channels);
            conv.run(&case.input, size, upper, 0..cut).unwrap();
            conv.run(&case.input, size, lower, cut..out.height).unwrap();
            assert!(found == expected, "{isa}: {window:?} over {size:?}, {channels} channels");
        }
    }
}

/// Few enough products for Miri, which runs the instruction sets that this processor lacks.
#[test]
fn every_part_of_a_tile_gives_the_bits_of_plain_rust() {
    let mut rng = Rng::with_seed(3);
    // Rows below, at and above a tile's, columns around each number of vectors, depths that are whole groups and not.
    for (width, inputs) in [(1, 4), (9, 3)] {
        for outputs in [8, 9, 16, 17, 24, 33, 48, 50] {
            let size = Size::new(1, width);
            let case = Case::new(&mut rng, Window::pointwise(), size, inputs, outputs, inputs);
            let run = |isa: Isa| {
                let conv = Conv::new(isa, case.window, inputs, &case.weights, case.zero, &case.requantize).unwrap();
                let mut found = vec![7; width * outputs];
                conv.run(&case.input, size, &mut found, 0..1).unwrap();
                found
            };
            let expected = run(Isa::Portable);
            for isa in Isa::available() {
                assert!(run(isa) == expected, "{isa}: {width} pixels, {inputs} to {outputs} channels");
            }
        }
    }
}

#[test]
fn every_width_of_depthwise_blocks_gives_the_bits_of_plain_rust() {
    let mut rng = Rng::with_seed(4);
    let square = |side: usize| Size::new(side, side);
    // Channels around blocks of 16, 32 and 64; windows that share columns, that do not, and other numbers of taps.
    for (side, stride) in [(3, 1), (3, 2), (5, 1), (2, 1)] {
        for channels in [16, 33, 64, 70, 100] {
            let padding = Padding { top: side / 2, left: 1, bottom: side / 2, right: 1 };
            let window = Window { size: square(side), stride: square(stride), padding };
            let size = Size::new(1, 1 + side);
            let case = Case::new(&mut rng, window, size, channels, channels, side * side);
            let run = |isa: Isa| {
                let conv = Depthwise::new(isa, window, &case.weights, case.zero, &case.requantize).unwrap();
                let out = window.output(size).unwrap();
                let mut found = vec![7; out.area() * channels];
                conv.run(&case.input, size, &mut found, 0..out.height).unwrap();
                found
            };
            let expected = run(Isa::Portable);
            for isa in Isa::available() {
                assert!(run(isa) == expected, "{isa}: {window:?}, {channels} channels");
            }
        }
    }
}

#[test]
fn the_deepest_allowed_sums_do_not_overflow() {
    let depth = 32_768;
    for (x, w) in [(255, 127), (255, -127), (0, 127)] {
        let requantize = Requantize { bias: vec![1 << 29], scale: vec![1e-7], output: Output::full(0) };
        let weights = vec![w; depth];
        for zero in [0, 255] {
            let sum = depth as i64 * (i64::from(x) - i64::from(zero)) * i64::from(w) + (1 << 29);
            for isa in Isa::available() {
                let conv = Conv::new(isa, Window::pointwise(), depth, &weights, zero, &requantize).unwrap();
                let mut found = [9];
                conv.run(&vec![x; depth], Size::new(1, 1), &mut found, 0..1).unwrap();
                assert_eq!(found[0], level(sum, 1e-7, Output::full(0)), "{isa}: {x} {w} {zero}");
            }
        }
    }
}

#[test]
fn what_the_arithmetic_does_not_cover_is_refused() {
    let one = |bias: i32, scale: f32| Requantize { bias: vec![bias], scale: vec![scale], output: Output::full(0) };
    let new = |weights: &[i8], requantize: &Requantize| {
        Conv::new(Isa::Portable, Window::pointwise(), weights.len(), weights, 0, requantize).err()
    };
    assert!(matches!(new(&[-128], &one(0, 1.0)), Some(KernelError::Range(_))));
    assert!(matches!(new(&[], &one(0, 1.0)), Some(KernelError::Range(_))));
    assert!(matches!(new(&[1], &one(i32::MAX, 1.0)), Some(KernelError::Range(_))));
    assert!(matches!(new(&[1], &one(0, f32::NAN)), Some(KernelError::Range(_))));
    let conv = Conv::new(Isa::Portable, Window::pointwise(), 1, &[1], 0, &one(0, 1.0)).unwrap();
    let run = |input: usize, output: usize| conv.run(&vec![0; input], Size::new(2, 2), &mut vec![0; output], 0..2);
    assert!(run(4, 4).is_ok());
    assert!(matches!(run(3, 4), Err(KernelError::Length { .. })));
    assert!(matches!(run(4, 5), Err(KernelError::Length { .. })));
}

#[test]
fn copies_that_would_take_more_than_a_small_machine_has_are_refused() {
    // Allowed sides and 32 KB of picture; a copy of the row for each row of the window would be 134 MB.
    let (channels, size, rows) = (8, Size::new(1, 4096), 4095);
    let padding = Padding { top: rows - 1, bottom: rows - 1, ..Padding::default() };
    let requantize = Requantize { bias: vec![0], scale: vec![1.0], output: Output::full(0) };
    let window = Window { size: Size::new(rows, 1), stride: Size::new(1, 1), padding };
    for isa in Isa::available() {
        let conv = Conv::new(isa, window, channels, &vec![1; rows * channels], 0, &requantize).unwrap();
        let done = conv.run(&vec![0; channels * size.area()], size, &mut vec![0; size.width], 0..1);
        assert!(matches!(done, Err(KernelError::Range(_))), "{isa}: {done:?}");
    }
    // As tall a window over a narrow picture is served.
    let conv = Conv::new(Isa::best(), window, channels, &vec![1; rows * channels], 0, &requantize).unwrap();
    conv.run(&vec![0; channels], Size::new(1, 1), &mut [0], 0..1).unwrap();
}

#[test]
fn only_instruction_sets_of_this_processor_can_be_chosen() {
    for isa in Isa::ALL {
        assert_eq!(Isa::named(isa.name()), Some(isa));
        let requantize = Requantize { bias: vec![0], scale: vec![1.0], output: Output::full(0) };
        let made = Conv::new(isa, Window::pointwise(), 1, &[1], 0, &requantize);
        assert_eq!(made.is_ok(), isa.is_available(), "{isa}");
    }
    println!("tested here: {:?}", Isa::available());
}
