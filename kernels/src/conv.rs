//! Convolution over all channels: pointwise, k x k, and fully connected (a 1x1 picture).

use std::ops::Range;

use crate::arithmetic::{Requantize, check_sums};
use crate::buffer::with_scratch;
use crate::gemm::{Gemm, Packed};
use crate::{Isa, KernelError, Size, Window, check_length};

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
    /// A length that does not fit.
    pub fn run(&self, input: &[u8], size: Size, output: &mut [u8], rows: Range<usize>) -> Result<(), KernelError> {
        let out = self.window.output(size)?;
        check_length("input", input.len(), size.area() * self.inputs)?;
        check_length("output rows", rows.end.min(out.height), rows.end)?;
        check_length("output", output.len(), rows.len() * out.width * self.packed.channels)?;
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
                    self.packed.run(input.as_ptr().add(part.start * depth), depth, part.len(), chunk.as_mut_ptr())
                };
            }
            return Ok(());
        }
        let stride = self.packed.row_bytes();
        let panel_rows = self.packed.panel_rows().min(pixels.len());
        with_scratch(panel_rows * stride, |panel| {
            for (part, chunk) in parts(pixels, panel_rows).zip(output.chunks_mut(panel_rows * self.packed.channels)) {
                if self.window.is_pointwise() && stride == depth * self.packed.gemm.element {
                    // The panel's rows lie side by side as the picture's pixels do: one copy is all.
                    self.put(&input[part.start * depth..part.end * depth], panel);
                } else {
                    let mut at = Size::new(part.start / out.width, part.start % out.width);
                    for row in panel.chunks_exact_mut(stride).take(part.len()) {
                        self.gather(input, size, at, row);
                        at.width += 1;
                        if at.width == out.width {
                            at = Size::new(at.height + 1, 0);
                        }
                    }
                }
                // SAFETY: the panel holds a gathered row a pixel of `part`, `chunk` their results.
                unsafe { self.packed.run(panel.as_ptr(), stride, part.len(), chunk.as_mut_ptr()) };
            }
        });
        Ok(())
    }

    fn chunk_bytes(&self) -> usize {
        self.packed.panel_rows() * self.packed.channels
    }

    /// Puts activations into a panel, from its first element on.
    fn put(&self, values: &[u8], panel: &mut [u8]) {
        let target = &mut panel[..values.len() * self.packed.gemm.element];
        // SAFETY: both slices have the lengths that are passed.
        unsafe { (self.packed.gemm.gather)(values.as_ptr(), values.len(), target.as_mut_ptr()) };
    }

    /// Gathers the window of one output pixel (its row and column in `at`) into a panel's row.
    fn gather(&self, input: &[u8], size: Size, at: Size, row: &mut [u8]) {
        let Window { size: window, stride, padding } = self.window;
        let gemm = &self.packed.gemm;
        let line = window.width * self.inputs;
        if let (Some(top), Some(left)) =
            ((at.height * stride.height).checked_sub(padding.top), (at.width * stride.width).checked_sub(padding.left))
            && top + window.height <= size.height
            && left + window.width <= size.width
        {
            // Most windows lie inside.
            for y in 0..window.height {
                let from = ((top + y) * size.width + left) * self.inputs;
                self.put(&input[from..from + line], &mut row[y * line * gemm.element..]);
            }
            return;
        }
        // Columns of the window that lie inside the picture.
        let left = (at.width * stride.width) as isize - padding.left as isize;
        let before = left.min(0).unsigned_abs().min(window.width);
        let after =
            (left + window.width as isize - size.width as isize).max(0).unsigned_abs().min(window.width - before);
        let inside = window.width - before - after;
        let mut put = |at: usize, values: &[u8]| self.put(values, &mut row[at * gemm.element..]);
        let outside = [self.input_zero; 64];
        let fill = |mut at: usize, end: usize, put: &mut dyn FnMut(usize, &[u8])| {
            while at < end {
                let count = (end - at).min(outside.len());
                put(at, &outside[..count]);
                at += count;
            }
        };
        for y in 0..window.height {
            let start = y * line;
            let source = (at.height * stride.height + y) as isize - padding.top as isize;
            if source < 0 || source as usize >= size.height || inside == 0 {
                fill(start, start + line, &mut put);
                continue;
            }
            let first = (source as usize * size.width) as isize + left + before as isize;
            let from = first as usize * self.inputs;
            fill(start, start + before * self.inputs, &mut put);
            put(start + before * self.inputs, &input[from..from + inside * self.inputs]);
            fill(start + (before + inside) * self.inputs, start + line, &mut put);
        }
    }
}

/// Cuts `range` into parts of `length`, the last one shorter.
fn parts(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(length.max(1)).map(move |start| start..(start + length).min(range.end))
}
