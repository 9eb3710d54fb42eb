//! Convolution over all channels: pointwise, k x k, and fully connected (a 1x1 picture).

use std::ops::Range;

use crate::arithmetic::{Requantize, check_sums};
use crate::buffer::with_scratch;
use crate::gemm::{Gemm, Packed};
use crate::lines::{Picture, SLACK, copy_loosely};
use crate::{Isa, KernelError, Size, Window, check_length, check_shape};

/// A convolution with its weights packed for one instruction set.
pub struct Conv {
    packed: Packed,
    window: Window,
    inputs: usize,
    input_zero: u8,
}

impl Conv {
    /// Packs `weights`, `[outputs, window rows, window columns, inputs]`, for `isa`.
    ///
    /// `inputs` is the number of input channels; outside the picture lies `input_zero`.
    ///
    /// # Errors
    /// A length that does not fit, a weight of -128, a sum that could overflow, or an instruction set that is not there.
    pub fn new(
        isa: Isa,
        window: Window,
        inputs: usize,
        weights: &[i8],
        input_zero: u8,
        requantize: &Requantize,
    ) -> Result<Self, KernelError> {
        let outputs = requantize.bias.len();
        let depth = window.size.area().saturating_mul(inputs);
        requantize.check(outputs)?;
        check_sums(depth, weights, &requantize.bias)?;
        check_length("weights", weights.len(), outputs.saturating_mul(depth))?;
        if outputs == 0 {
            return Err(KernelError::Range("a convolution without output channels".into()));
        }
        let packed = Packed::new(Gemm::of(isa)?, weights, depth, input_zero, requantize);
        Ok(Self { packed, window, inputs, input_zero })
    }

    /// Number of output channels.
    pub fn outputs(&self) -> usize {
        self.packed.channels
    }

    /// Number of input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The window it slides.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Bytes of packed weights.
    pub fn bytes(&self) -> usize {
        self.packed.bytes()
    }

    /// Computes the given output `rows` of `input` (`[height, width, inputs]`) into `output` (`[rows, width, outputs]`).
    ///
    /// # Errors
    /// A length that does not fit, or lines whose copies would take more than 64 MiB.
    pub fn run(&self, input: &[u8], size: Size, output: &mut [u8], rows: Range<usize>) -> Result<(), KernelError> {
        let out = self.window.output(size)?;
        check_shape("input", input.len(), &[size.height, size.width, self.inputs])?;
        check_length("output rows", rows.end.min(out.height), rows.end)?;
        check_shape("output", output.len(), &[rows.len(), out.width, self.packed.channels])?;
        if output.is_empty() {
            return Ok(());
        }
        let pixels = rows.start * out.width..rows.end * out.width;
        let depth = self.packed.depth;
        if self.window.is_pointwise() && self.packed.gemm.reads_in_place(depth) {
            // Rows lie side by side: depth equals a row's bytes.
            for (part, chunk) in parts(pixels, self.packed.panel_rows()).zip(output.chunks_mut(self.chunk_bytes())) {
                // SAFETY: the lengths were checked; `part` is within the picture and `chunk` holds its results.
                unsafe {
                    let rows = input.as_ptr().add(part.start * depth);
                    self.packed.run(rows, depth, part.len(), chunk.as_mut_ptr(), std::ptr::null_mut());
                };
            }
            return Ok(());
        }
        if self.window.is_pointwise() && self.packed.row_bytes() == depth * self.packed.gemm.element {
            self.run_copied(input, output, pixels);
            Ok(())
        } else {
            self.run_gathered(input, size, output, pixels, out.width)
        }
    }

    fn chunk_bytes(&self) -> usize {
        self.packed.panel_rows() * self.packed.channels
    }

    /// Pointwise, where the panel's rows lie side by side as the picture's pixels do: one copy is all.
    fn run_copied(&self, input: &[u8], output: &mut [u8], pixels: Range<usize>) {
        let (depth, stride) = (self.packed.depth, self.packed.row_bytes());
        let panel_rows = self.packed.panel_rows().min(pixels.len());
        let stage_bytes = self.packed.stage_bytes();
        with_scratch(stage_bytes + panel_rows * stride, |scratch| {
            let (stage, panel) = scratch.split_at_mut(stage_bytes);
            for (part, chunk) in parts(pixels, panel_rows).zip(output.chunks_mut(panel_rows * self.packed.channels)) {
                let values = &input[part.start * depth..part.end * depth];
                let panel = &mut panel[..part.len() * stride];
                // SAFETY: both slices hold as many values; the panel holds a row a pixel of `part`, `chunk` their results.
                unsafe {
                    (self.packed.gemm.gather)(values.as_ptr(), values.len(), panel.as_mut_ptr());
                    self.packed.run(panel.as_ptr(), stride, part.len(), chunk.as_mut_ptr(), stage.as_mut_ptr());
                }
            }
        });
    }

    /// Any window: its rows are copied one after the other from padded lines.
    fn run_gathered(
        &self,
        input: &[u8],
        size: Size,
        output: &mut [u8],
        pixels: Range<usize>,
        width: usize,
    ) -> Result<(), KernelError> {
        let Window { size: window, stride: step, .. } = self.window;
        let gemm = &self.packed.gemm;
        let stride = self.packed.row_bytes();
        let panel_rows = self.packed.panel_rows().min(pixels.len());
        // Bytes of a window's row, and from one pixel's to the next one's.
        let (line, step) = (window.width * self.inputs * gemm.element, step.width * self.inputs * gemm.element);
        let picture = Picture {
            input,
            size,
            channels: self.inputs,
            window: &self.window,
            element: gemm.element,
            outside: self.input_zero,
            gather: gemm.gather,
        };
        let stage_bytes = self.packed.stage_bytes();
        picture.with_lines(stage_bytes + panel_rows * stride + SLACK, |mut lines, beside| {
            let (stage, panel) = beside.split_at_mut(stage_bytes);
            let mut starts = vec![std::ptr::null(); window.height];
            let (mut y, mut x) = (pixels.start / width, pixels.start % width);
            lines.starts(y, &mut starts);
            for (part, chunk) in parts(pixels, panel_rows).zip(output.chunks_mut(panel_rows * self.packed.channels)) {
                for row in (0..part.len() * stride).step_by(stride) {
                    if x == width {
                        (y, x) = (y + 1, 0);
                        lines.starts(y, &mut starts);
                    }
                    for (at, start) in starts.iter().enumerate() {
                        // What a copy writes beyond its end is overwritten by the next one, belongs to weights that are 0,
                        // or lies in the slack.
                        // SAFETY: a line holds all windows, a panel's row all rows of one.
                        unsafe { copy_loosely(start.add(x * step), panel[row + at * line..].as_mut_ptr(), line) };
                    }
                    x += 1;
                }
                // SAFETY: the panel holds a gathered row a pixel of `part`, `chunk` their results.
                unsafe { self.packed.run(panel.as_ptr(), stride, part.len(), chunk.as_mut_ptr(), stage.as_mut_ptr()) };
            }
        })
    }
}

/// Cuts `range` into parts of `length`, the last one shorter.
fn parts(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(length.max(1)).map(move |start| start..(start + length).min(range.end))
}
