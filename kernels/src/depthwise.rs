//! Depthwise convolution: a filter a channel, channels last, so that lanes are channels.

use std::ops::Range;

use crate::arithmetic::{Limits, Requantize, check_sums};
use crate::buffer::{Aligned, with_scratch};
use crate::lines::Picture;
use crate::{Isa, KernelError, Size, Window, check_length, check_shape};

/// Most taps of a window: 7 x 7.
pub const MAX_TAPS: usize = 49;

/// What a depthwise kernel gets: `count` neighbouring output pixels of one row.
#[repr(C)]
pub(crate) struct Taps {
    /// Where each tap of the first pixel's window starts; `channels` bytes readable there and at each further `step`.
    pub starts: [*const u8; MAX_TAPS],
    /// Taps of the window, and of one of its rows.
    pub taps: usize,
    pub width: usize,
    /// Output pixels.
    pub count: usize,
    /// Bytes from one pixel's tap to the next pixel's.
    pub step: usize,
    pub channels: usize,
    /// As the instruction set's `pack` wrote them, 64-byte aligned.
    pub weights: *const u8,
    /// Start values and scales, a channel each, padded to the instruction set's lanes.
    pub bias: *const i32,
    pub scale: *const f32,
    /// `count * channels` bytes writable.
    pub out: *mut u8,
    pub limits: Limits,
}

impl Taps {
    /// Whether each window shares all but one of three columns with the next.
    #[cfg(target_arch = "x86_64")]
    pub fn slides(&self) -> bool {
        self.width == 3 && self.step == self.channels && self.count > 1
    }
}

/// What the driver must know of an instruction set's depthwise kernel.
#[derive(Clone, Copy)]
pub(crate) struct Channels {
    /// Channels computed at once; bias and scale are padded to a multiple. Pictures of fewer channels are left to
    /// narrower kernels.
    pub lanes: usize,
    /// Taken from each activation (0, or 128 where signed bytes are multiplied).
    pub offset: u8,
    /// Copies activations, minus the offset, into lines that are padded on both sides. Where it is there, the kernel gets
    /// whole lines, and the taps of a window's row lie `channels` apart from the row's first on.
    ///
    /// # Safety
    /// `from` is readable and `to` writable for `count` bytes.
    pub gather: Option<unsafe fn(from: *const u8, count: usize, to: *mut u8)>,
    /// Writes `weights` (`[taps, channels]`) in the kernel's own order into zeroed bytes: 4 a tap and padded channel.
    pub pack: fn(weights: &[i8], taps: usize, channels: usize, packed: &mut [u8]),
    /// Computes pixels. It may read, but not write, up to `lanes` bytes beyond a tap's last channel only if they belong to
    /// the next pixel; it must not rely on that for the last pixel.
    ///
    /// # Safety
    /// The processor has the instruction set, and the [`Taps`] are as their fields say.
    pub run: unsafe fn(&Taps),
}

impl Channels {
    /// The kernel for a window over this many channels: the first of the instruction set's that is no wider.
    fn of(isa: Isa, window: &Window, channels: usize) -> Result<Self, KernelError> {
        if !isa.is_available() {
            return Err(KernelError::Isa(isa));
        }
        // Other instruction sets do not look at the window.
        let _ = window;
        let kernels: &[Self] = match isa {
            Isa::Portable => &[],
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &[crate::x86::avx2_depthwise::DEPTHWISE, crate::x86::avx2_narrow::DEPTHWISE],
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => &[crate::x86::avx_vnni::DEPTHWISE, crate::x86::avx2_narrow::DEPTHWISE],
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => &[crate::x86::avx512_vnni::DEPTHWISE, crate::x86::avx2_narrow::DEPTHWISE],
            #[cfg(target_arch = "aarch64")]
            Isa::Neon | Isa::NeonDot | Isa::NeonI8mm => &[crate::arm::depthwise(isa, window)],
            #[cfg(target_arch = "arm")]
            Isa::Neon32 => &[crate::arm::neon32_depthwise::DEPTHWISE],
            _ => return Err(KernelError::Isa(isa)),
        };
        let fits = kernels.iter().find(|kernel| kernel.lanes <= channels);
        Ok(fits.copied().unwrap_or(crate::portable::DEPTHWISE))
    }
}

/// A depthwise convolution with its weights packed for one instruction set.
pub struct Depthwise {
    kernel: Channels,
    window: Window,
    channels: usize,
    input_zero: u8,
    weights: Aligned,
    bias: Vec<i32>,
    scale: Vec<f32>,
    limits: Limits,
}

impl Depthwise {
    /// Packs `weights`, `[window rows, window columns, channels]`, for `isa`; outside the picture lies `input_zero`.
    ///
    /// # Errors
    /// A length that does not fit, a weight of -128, a window beyond 7 x 7, or an instruction set that is not there.
    pub fn new(
        isa: Isa,
        window: Window,
        weights: &[i8],
        input_zero: u8,
        requantize: &Requantize,
    ) -> Result<Self, KernelError> {
        let channels = requantize.bias.len();
        let kernel = Channels::of(isa, &window, channels)?;
        let taps = window.size.area();
        requantize.check(channels)?;
        check_sums(taps, weights, &requantize.bias)?;
        check_length("weights", weights.len(), taps.saturating_mul(channels))?;
        if channels == 0 || taps > MAX_TAPS {
            return Err(KernelError::Range(format!(
                "{channels} channels, {taps} taps; up to {MAX_TAPS} are supported"
            )));
        }
        let padded = channels.next_multiple_of(kernel.lanes);
        let mut packed = Aligned::zeroed(4 * taps * padded);
        (kernel.pack)(weights, taps, channels, packed.bytes_mut());
        let mut bias = requantize.bias.clone();
        for (channel, bias) in bias.iter_mut().enumerate() {
            let sum: i32 = weights.iter().skip(channel).step_by(channels).map(|weight| i32::from(*weight)).sum();
            *bias -= (i32::from(input_zero) - i32::from(kernel.offset)) * sum;
        }
        bias.resize(padded, 0);
        let mut scale = requantize.scale.clone();
        scale.resize(padded, 0.0);
        let limits = requantize.output.limits();
        Ok(Self { kernel, window, channels, input_zero, weights: packed, bias, scale, limits })
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The window it slides.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Bytes of packed weights.
    pub fn bytes(&self) -> usize {
        self.weights.bytes().len()
    }

    /// Computes the given output `rows` of `input` (`[height, width, channels]`) into `output` (`[rows, width, channels]`).
    ///
    /// # Errors
    /// A length that does not fit, or lines whose copies would take more than 64 MiB.
    pub fn run(&self, input: &[u8], size: Size, output: &mut [u8], rows: Range<usize>) -> Result<(), KernelError> {
        let out = self.window.output(size)?;
        check_shape("input", input.len(), &[size.height, size.width, self.channels])?;
        check_length("output rows", rows.end.min(out.height), rows.end)?;
        check_shape("output", output.len(), &[rows.len(), out.width, self.channels])?;
        let line = out.width * self.channels;
        if output.is_empty() {
            return Ok(());
        }
        if let Some(gather) = self.kernel.gather {
            return self.run_lines(gather, input, size, output, rows);
        }
        let Window { size: window, stride, padding } = self.window;
        // Output columns whose windows lie inside: they are computed in one go, the others one by one.
        let first = padding.left.div_ceil(stride.width).min(out.width);
        let last = (size.width + padding.left)
            .checked_sub(window.width)
            .map_or(first, |room| (room / stride.width + 1).clamp(first, out.width));
        let step = stride.width * self.channels;
        // A tap above or below the picture reads this instead, for as many pixels as a row's windows cover.
        let outside = (out.width - 1) * step + window.width * self.channels;
        with_scratch(outside, |zeros| {
            zeros[..outside].fill(self.input_zero);
            for (row, output) in rows.zip(output.chunks_exact_mut(line)) {
                let top = (row * stride.height) as isize - padding.top as isize;
                let mut part = |columns: Range<usize>| {
                    if columns.is_empty() {
                        return;
                    }
                    let mut taps = Taps {
                        starts: [zeros.as_ptr(); MAX_TAPS],
                        taps: window.area(),
                        width: window.width,
                        count: columns.len(),
                        step,
                        channels: self.channels,
                        weights: self.weights.bytes().as_ptr(),
                        bias: self.bias.as_ptr(),
                        scale: self.scale.as_ptr(),
                        out: output[columns.start * self.channels..].as_mut_ptr(),
                        limits: self.limits,
                    };
                    let left = (columns.start * stride.width) as isize - padding.left as isize;
                    for y in 0..window.height {
                        for x in 0..window.width {
                            let (from, at) = (top + y as isize, left + x as isize);
                            let inside =
                                (0..size.height as isize).contains(&from) && (0..size.width as isize).contains(&at);
                            if inside {
                                let start = (from as usize * size.width + at as usize) * self.channels;
                                taps.starts[y * window.width + x] = input[start..].as_ptr();
                            }
                        }
                    }
                    // SAFETY: `Channels::of` saw the instruction set. Taps inside the picture stay inside for all
                    // columns (one column, or columns whose windows lie inside), the others read `zeros`, which is as long
                    // as the row needs; `output` was checked to hold the row.
                    unsafe { (self.kernel.run)(&taps) };
                };
                (0..first).for_each(|column| part(column..column + 1));
                part(first..last);
                (last..out.width).for_each(|column| part(column..column + 1));
            }
        });
        Ok(())
    }

    /// As [`Depthwise::run`], over copied lines.
    fn run_lines(
        &self,
        gather: unsafe fn(*const u8, usize, *mut u8),
        input: &[u8],
        size: Size,
        output: &mut [u8],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        let Window { size: window, stride, .. } = self.window;
        let line = output.len() / rows.len();
        let (outside, channels) = (self.input_zero, self.channels);
        let picture = Picture { input, size, channels, window: &self.window, element: 1, outside, gather };
        picture.with_lines(0, |mut lines, _| {
            let mut starts = [std::ptr::null(); MAX_TAPS];
            for (row, output) in rows.zip(output.chunks_exact_mut(line)) {
                lines.starts(row, &mut starts);
                let mut taps = Taps {
                    starts,
                    taps: window.area(),
                    width: window.width,
                    count: line / channels,
                    step: stride.width * channels,
                    channels,
                    weights: self.weights.bytes().as_ptr(),
                    bias: self.bias.as_ptr(),
                    scale: self.scale.as_ptr(),
                    out: output.as_mut_ptr(),
                    limits: self.limits,
                };
                for (tap, start) in taps.starts.iter_mut().enumerate().take(taps.taps) {
                    *start = starts[tap / window.width].wrapping_add(tap % window.width * channels);
                }
                // SAFETY: `Channels::of` saw the instruction set. A line holds all windows of the row, `output` their
                // results.
                unsafe { (self.kernel.run)(&taps) };
            }
        })
    }
}
