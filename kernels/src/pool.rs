//! Maxima and means over windows, channels last.

use crate::arithmetic::Output;
use crate::{KernelError, Size, Window, check_shape};

/// Largest level in each window; `input` is `[height, width, channels]`, padding never wins.
///
/// # Errors
/// Lengths that do not fit.
pub fn max(window: &Window, channels: usize, input: &[u8], size: Size, output: &mut [u8]) -> Result<(), KernelError> {
    let out = window.output(size)?;
    check_shape("input", input.len(), &[size.height, size.width, channels])?;
    check_shape("output", output.len(), &[out.height, out.width, channels])?;
    output.fill(0);
    each_window(window, size, out, |pixel, sources| {
        let target = &mut output[pixel * channels..][..channels];
        for source in sources {
            for (y, x) in target.iter_mut().zip(&input[source * channels..][..channels]) {
                *y = (*y).max(*x);
            }
        }
    });
    Ok(())
}

/// A mean over windows, requantized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The input's zero point.
    pub zero: u8,
    /// The input's scale; finite.
    pub from: f32,
    /// The output's scale; finite, > 0.
    pub to: f32,
    /// Whether padding counts as zeros (it is left out of the count otherwise).
    pub count_padding: bool,
    /// The result's levels.
    pub output: Output,
}

impl Mean {
    /// `output = level(sum of (x - zero) * (from / (to * count)))` over each window.
    ///
    /// # Errors
    /// Lengths that do not fit, or a scale that is no finite number.
    pub fn run(
        &self,
        window: &Window,
        channels: usize,
        input: &[u8],
        size: Size,
        output: &mut [u8],
    ) -> Result<(), KernelError> {
        let out = window.output(size)?;
        self.output.check()?;
        check_shape("input", input.len(), &[size.height, size.width, channels])?;
        check_shape("output", output.len(), &[out.height, out.width, channels])?;
        if !self.from.is_finite() || !self.to.is_finite() || self.to <= 0.0 {
            return Err(KernelError::Range("a scale is no finite number".into()));
        }
        if window.size.area() > 1 << 22 {
            return Err(KernelError::Range(format!("a mean over {} pixels", window.size.area())));
        }
        let limits = self.output.limits();
        let mut sums = vec![0_i32; channels];
        each_window(window, size, out, |pixel, sources| {
            sums.fill(0);
            let mut count = 0;
            for source in sources {
                count += 1;
                for (sum, x) in sums.iter_mut().zip(&input[source * channels..][..channels]) {
                    *sum += i32::from(*x);
                }
            }
            let zeros = i32::from(self.zero) * count;
            let count = if self.count_padding { window.size.area() as f32 } else { count as f32 };
            let scale = self.from / (self.to * count);
            for (y, sum) in output[pixel * channels..][..channels].iter_mut().zip(&sums) {
                *y = limits.requantize(sum - zeros, scale);
            }
        });
        Ok(())
    }
}

/// Calls `visit` with each output pixel and the input pixels under its window.
fn each_window(window: &Window, size: Size, out: Size, mut visit: impl FnMut(usize, &mut dyn Iterator<Item = usize>)) {
    let span = |at: usize, stride: usize, before: usize, length: usize, side: usize| {
        let start = at * stride;
        start.saturating_sub(before)..(start + length).saturating_sub(before).min(side)
    };
    for y in 0..out.height {
        let rows = span(y, window.stride.height, window.padding.top, window.size.height, size.height);
        for x in 0..out.width {
            let columns = span(x, window.stride.width, window.padding.left, window.size.width, size.width);
            let mut sources = rows.clone().flat_map(|row| columns.clone().map(move |column| row * size.width + column));
            visit(y * out.width + x, &mut sources);
        }
    }
}
