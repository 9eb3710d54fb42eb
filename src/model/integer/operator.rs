//! The fused operators: `u8` levels, channels last.

use std::ops::Range;

use kernels::elementwise::{Sum, look_up, look_up_channels};
use kernels::pool::{self, Mean};
use kernels::{Conv, Depthwise, Isa, Padding, Size, Window};
use tract_linalg::multithread::{Executor, current_tract_executor};
use tract_onnx::tract_core::internal::*;

use super::levels::Levels;

/// What a fused node computes.
pub enum Operator {
    /// `f32` in the network's axis order to levels, channels last.
    Quantize(Levels),
    /// Levels, channels last, to `f32` in the network's axis order.
    Dequantize(Levels),
    /// All channels of a window to all channels.
    Convolution(Conv),
    /// All values of a vector to all.
    FullyConnected(Conv),
    /// A filter a channel.
    Depthwise(Depthwise),
    /// The sum of two tensors.
    Add(Sum),
    /// Any function of one value, or one a channel: 256 bytes each.
    Tables(Vec<u8>),
    /// Largest level in each window.
    MaxPool(Window),
    /// Mean over each window, or over the picture.
    MeanPool(Mean, Option<Window>),
    /// Mean over the picture as `f32`, `[1, channels, 1, 1]`: the features themselves.
    Features(Levels),
    /// Channels of several tensors side by side, each brought to the result's levels by its table.
    Concat(Vec<Option<Box<[u8; 256]>>>),
    /// A border of zeros.
    Pad(Padding, u8),
}

impl Operator {
    /// For reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Quantize(_) => "quantize",
            Self::Dequantize(_) => "dequantize",
            Self::Convolution(conv) if conv.window().is_pointwise() => "pointwise",
            Self::Convolution(_) => "convolution",
            Self::FullyConnected(_) => "fully connected",
            Self::Depthwise(_) => "depthwise",
            Self::Add(_) => "add",
            Self::Tables(_) => "table",
            Self::MaxPool(_) => "max pool",
            Self::MeanPool(..) => "mean pool",
            Self::Features(_) => "features",
            Self::Concat(_) => "concat",
            Self::Pad(..) => "pad",
        }
    }

    /// Element type of the result.
    pub fn result(&self) -> DatumType {
        match self {
            Self::Dequantize(_) | Self::Features(_) => DatumType::F32,
            _ => DatumType::U8,
        }
    }

    /// Element type of the inputs.
    pub fn input(&self) -> DatumType {
        if matches!(self, Self::Quantize(_)) { DatumType::F32 } else { DatumType::U8 }
    }

    /// Shape of the result for inputs of these shapes.
    ///
    /// # Errors
    /// The operator can't work on them.
    pub fn shape(&self, inputs: &[TVec<usize>]) -> TractResult<TVec<usize>> {
        let first = inputs.first().context("an operator without inputs")?;
        let picture = || {
            ensure!(first.len() == 4, "a tensor of shape {first:?} is no picture");
            Picture::of(first)
        };
        match self {
            Self::Quantize(_) => Ok(channels_last(first)),
            Self::Dequantize(_) => Ok(channels_first(first)),
            Self::FullyConnected(conv) => {
                ensure!(
                    first.as_slice() == [1, conv.inputs()],
                    "a vector of {} is expected, not {first:?}",
                    conv.inputs()
                );
                Ok(tvec![1, conv.outputs()])
            }
            Self::Convolution(conv) => {
                let picture = picture()?;
                ensure!(picture.channels == conv.inputs(), "{} channels are expected, not {first:?}", conv.inputs());
                picture.slid(conv.window(), conv.outputs())
            }
            Self::Depthwise(conv) => {
                let picture = picture()?;
                ensure!(
                    picture.channels == conv.channels(),
                    "{} channels are expected, not {first:?}",
                    conv.channels()
                );
                picture.slid(conv.window(), conv.channels())
            }
            Self::MaxPool(window) | Self::MeanPool(_, Some(window)) => {
                let picture = picture()?;
                picture.slid(window, picture.channels)
            }
            Self::MeanPool(_, None) => Ok(tvec![1, 1, 1, picture()?.channels]),
            Self::Features(_) => {
                let Picture { size, channels } = picture()?;
                ensure!(size.area() <= 1 << 22, "a mean over {size:?}");
                Ok(tvec![1, channels, 1, 1])
            }
            Self::Pad(padding, _) => {
                let Picture { size, channels } = picture()?;
                let Padding { top, left, bottom, right } = padding;
                Ok(tvec![1, size.height + top + bottom, size.width + left + right, channels])
            }
            Self::Add(_) => {
                let same = inputs.iter().all(|shape| shape == first);
                ensure!(same, "tensors of shapes {inputs:?} are added; only equal shapes are");
                Ok(first.clone())
            }
            Self::Tables(tables) => {
                let channels = tables.len() / 256;
                let fits = channels == 1 || (first.len() == 4 && first[0] == 1 && first[3] == channels);
                ensure!(fits, "{channels} tables for {first:?}");
                Ok(first.clone())
            }
            Self::Concat(_) => {
                ensure!(first.len() == 2 || (first.len() == 4 && first[0] == 1), "{inputs:?} are joined");
                let mut shape = first.clone();
                let last = shape.len() - 1;
                ensure!(inputs.iter().all(|it| it.len() == shape.len() && it[..last] == shape[..last]), "{inputs:?}");
                shape[last] = inputs.iter().map(|it| it[last]).sum();
                Ok(shape)
            }
        }
    }

    /// Levels to levels. `shapes` are the inputs', `shape` the result's, as [`Operator::shape`] says.
    ///
    /// # Errors
    /// A length that does not fit.
    pub fn compute(
        &self,
        isa: Isa,
        inputs: &[&[u8]],
        shapes: &[TVec<usize>],
        shape: &[usize],
        output: &mut [u8],
    ) -> TractResult<()> {
        match self {
            Self::Convolution(conv) | Self::FullyConnected(conv) => {
                let Picture { size, .. } = Picture::of(&shapes[0])?;
                in_rows(shape, output, |rows, part| Ok(conv.run(inputs[0], size, part, rows)?))
            }
            Self::Depthwise(conv) => {
                let Picture { size, .. } = Picture::of(&shapes[0])?;
                in_rows(shape, output, |rows, part| Ok(conv.run(inputs[0], size, part, rows)?))
            }
            Self::Add(sum) => Ok(sum.run(isa, inputs[0], inputs[1], output)?),
            Self::Tables(tables) => match tables.as_chunks::<256>() {
                ([table], []) => Ok(look_up(table, inputs[0], output)?),
                _ => Ok(look_up_channels(tables, inputs[0], output)?),
            },
            Self::MaxPool(window) => {
                let Picture { size, channels } = Picture::of(&shapes[0])?;
                Ok(pool::max(window, channels, inputs[0], size, output)?)
            }
            Self::MeanPool(mean, window) => {
                let Picture { size, channels } = Picture::of(&shapes[0])?;
                let whole = Window { size, ..Window::pointwise() };
                Ok(mean.run(&window.unwrap_or(whole), channels, inputs[0], size, output)?)
            }
            Self::Concat(tables) => concat(tables, inputs, shapes, shape, output),
            Self::Pad(padding, zero) => {
                output.fill(*zero);
                let row = shapes[0][2] * shapes[0][3];
                let start = |y: usize| ((y + padding.top) * shape[2] + padding.left) * shape[3];
                for (y, source) in inputs[0].chunks_exact(row).enumerate() {
                    output[start(y)..start(y) + row].copy_from_slice(source);
                }
                Ok(())
            }
            Self::Quantize(_) | Self::Dequantize(_) | Self::Features(_) => bail!("not an operator on levels"),
        }
    }
}

/// A tensor of one picture, channels last; rank 2 is a picture of one pixel.
struct Picture {
    size: Size,
    channels: usize,
}

impl Picture {
    fn of(shape: &[usize]) -> TractResult<Self> {
        match *shape {
            [1, height, width, channels] => Ok(Self { size: Size::new(height, width), channels }),
            [1, channels] => Ok(Self { size: Size::new(1, 1), channels }),
            _ => bail!("a tensor of shape {shape:?}; integer operators work on one picture at a time"),
        }
    }

    fn slid(&self, window: &Window, channels: usize) -> TractResult<TVec<usize>> {
        let Size { height, width } = window.output(self.size)?;
        Ok(tvec![1, height, width, channels])
    }
}

/// Runs `work` on all rows of `output`, or on a share of them on each thread of tract's executor.
fn in_rows(
    shape: &[usize],
    output: &mut [u8],
    work: impl Fn(Range<usize>, &mut [u8]) -> TractResult<()> + Sync,
) -> TractResult<()> {
    let (height, line) = if shape.len() == 4 { (shape[1], shape[2] * shape[3]) } else { (1, shape[1]) };
    match current_tract_executor() {
        Executor::MultiThread(pool) if height > 1 => {
            let share = height.div_ceil(pool.current_num_threads().max(1));
            let results: std::sync::Mutex<TractResult<()>> = std::sync::Mutex::new(Ok(()));
            pool.scope(|scope| {
                for (index, part) in output.chunks_mut(share * line).enumerate() {
                    let (work, results) = (&work, &results);
                    scope.spawn(move |_| {
                        let rows = index * share..index * share + part.len() / line;
                        if let (Err(error), Ok(mut results)) = (work(rows, part), results.lock()) {
                            *results = Err(error);
                        }
                    });
                }
            });
            results.into_inner().unwrap_or_else(|_| bail!("a thread panicked"))
        }
        _ => work(0..height, output),
    }
}

fn concat(
    tables: &[Option<Box<[u8; 256]>>],
    inputs: &[&[u8]],
    shapes: &[TVec<usize>],
    shape: &[usize],
    output: &mut [u8],
) -> TractResult<()> {
    let total = shape[shape.len() - 1];
    let mut first = 0;
    for ((table, input), shape) in tables.iter().zip(inputs).zip(shapes) {
        let channels = shape[shape.len() - 1];
        for (source, target) in input.chunks_exact(channels).zip(output.chunks_exact_mut(total)) {
            let target = &mut target[first..first + channels];
            match table {
                Some(table) => look_up(table, source, target)?,
                None => target.copy_from_slice(source),
            }
        }
        first += channels;
    }
    Ok(())
}

/// `[1, ..., c]` from `[1, c, ...]`.
fn channels_last(shape: &[usize]) -> TVec<usize> {
    let mut shape: TVec<usize> = shape.into();
    if shape.len() > 2 {
        shape[1..].rotate_left(1);
    }
    shape
}

fn channels_first(shape: &[usize]) -> TVec<usize> {
    let mut shape: TVec<usize> = shape.into();
    if shape.len() > 2 {
        shape[1..].rotate_right(1);
    }
    shape
}

/// Levels of `values` (of `shape`, in the network's axis order), channels last.
pub fn quantize(levels: Levels, values: &[f32], shape: &[usize], output: &mut [u8]) {
    let channels = if shape.len() > 2 { shape[1] } else { 1 };
    let area = values.len() / channels.max(1);
    for (place, pixel) in output.chunks_exact_mut(channels.max(1)).enumerate() {
        for (channel, level) in pixel.iter_mut().enumerate() {
            *level = levels.level_of(values[channel * area + place]);
        }
    }
}

/// Values of `output`'s levels (of `shape`, channels last) in the network's axis order.
pub fn dequantize(levels: Levels, values: &[u8], shape: &[usize]) -> Vec<f32> {
    to_channels_first(values, shape, |level| levels.value_of(level))
}

fn to_channels_first<T: Copy, U>(values: &[T], shape: &[usize], map: impl Fn(T) -> U) -> Vec<U> {
    let channels = if shape.len() > 2 { shape[shape.len() - 1] } else { 1 };
    let area = values.len() / channels.max(1);
    let map = &map;
    (0..channels).flat_map(|channel| (0..area).map(move |place| map(values[place * channels + channel]))).collect()
}

/// Mean over the picture a channel; `values` are of `shape`, channels last.
///
/// # Errors
/// It is no picture.
pub fn means(levels: Levels, values: &[u8], shape: &[usize]) -> TractResult<Vec<f32>> {
    let picture = Picture::of(shape)?;
    let mut sums = vec![0_i32; picture.channels];
    for pixel in values.chunks_exact(picture.channels) {
        for (sum, level) in sums.iter_mut().zip(pixel) {
            *sum += i32::from(*level);
        }
    }
    let area = picture.size.area();
    let zeros = i32::from(levels.zero) * area as i32;
    Ok(sums.into_iter().map(|sum| (sum - zeros) as f32 * levels.scale / area as f32).collect())
}
