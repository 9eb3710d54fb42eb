//! The matrix product behind convolutions: one tile function an instruction set, one driver for all.
//!
//! A *row* is one output pixel's gathered inputs (its window's bytes, `depth` of them), a *column* an output channel. A tile
//! computes `rows x columns` results. Rows are read either where they lie in the picture (pointwise layers, instruction
//! sets that multiply bytes) or from a panel, where they were gathered and, if need be, widened once for all columns.

use crate::KernelError;
use crate::arithmetic::{Limits, Requantize};
use crate::buffer::Aligned;
use crate::isa::Isa;

/// Most rows of any tile.
pub(crate) const MAX_ROWS: usize = 16;
/// Bytes of a panel: it should stay in the second-level cache beside a column block of weights.
pub(crate) const PANEL_BYTES: usize = 96 << 10;

/// What a tile function gets.
#[repr(C)]
pub(crate) struct Tile {
    /// Start of each row, `groups * group` elements readable. Beyond the last real row the last one is repeated.
    pub rows: [*const u8; MAX_ROWS],
    /// Where each row's results go, `columns` bytes writable; repeated likewise.
    pub out: [*mut u8; MAX_ROWS],
    /// The column block's weights, 64-byte aligned.
    pub weights: *const u8,
    /// Groups of products a sum.
    pub groups: usize,
    /// The column block's start values of the sums, and scales.
    pub bias: *const i32,
    pub scale: *const f32,
    /// Columns to write, 1 to the tile's number.
    pub columns: usize,
    pub limits: Limits,
}

/// What the driver must know of an instruction set's tile.
#[derive(Clone, Copy)]
pub(crate) struct Gemm {
    /// Rows a tile, up to [`MAX_ROWS`].
    pub rows: usize,
    /// Columns a tile.
    pub columns: usize,
    /// Products that belong together: weights are stored `[block][group][column][in group]`.
    pub group: usize,
    /// Bytes of a weight and of a panel's element: 1 or 2.
    pub element: usize,
    /// Taken from each activation in a panel (0, or 128 where signed bytes are multiplied).
    pub offset: u8,
    /// Turns activations into a panel's elements.
    ///
    /// # Safety
    /// `from` is readable for `count` bytes, `to` writable for `count` elements.
    pub gather: unsafe fn(from: *const u8, count: usize, to: *mut u8),
    /// Computes a tile.
    ///
    /// # Safety
    /// The processor has the instruction set, and the [`Tile`] is as its fields say.
    pub tile: unsafe fn(&Tile),
}

impl Gemm {
    pub fn of(isa: Isa) -> Result<Self, KernelError> {
        if !isa.is_available() {
            return Err(KernelError::Isa(isa));
        }
        match isa {
            Isa::Portable => Ok(crate::portable::GEMM),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Ok(crate::x86::avx2::GEMM),
            _ => Err(KernelError::Isa(isa)),
        }
    }

    /// Whether rows can be read where they lie.
    pub fn reads_in_place(&self, depth: usize) -> bool {
        self.element == 1 && self.offset == 0 && depth.is_multiple_of(self.group)
    }
}

/// Weights, start values and scales as the tiles want them.
pub(crate) struct Packed {
    pub gemm: Gemm,
    pub depth: usize,
    pub channels: usize,
    /// Groups a sum: depth over group, rounded up.
    pub groups: usize,
    weights: Aligned,
    bias: Vec<i32>,
    scale: Vec<f32>,
    limits: Limits,
}

impl Packed {
    /// `weights` is `[channels, depth]`. The caller has checked ranges and lengths.
    pub fn new(gemm: Gemm, weights: &[i8], depth: usize, input_zero: u8, requantize: &Requantize) -> Self {
        let channels = requantize.bias.len();
        let groups = depth.div_ceil(gemm.group);
        let blocks = channels.div_ceil(gemm.columns);
        let mut packed = Aligned::zeroed(blocks * groups * gemm.group * gemm.columns * gemm.element);
        let bytes = packed.bytes_mut();
        for (channel, row) in weights.chunks_exact(depth).enumerate() {
            let (block, column) = (channel / gemm.columns, channel % gemm.columns);
            for (k, weight) in row.iter().enumerate() {
                let (group, inside) = (k / gemm.group, k % gemm.group);
                let at = ((block * groups + group) * gemm.columns + column) * gemm.group + inside;
                match gemm.element {
                    1 => bytes[at] = *weight as u8,
                    _ => bytes[2 * at..2 * at + 2].copy_from_slice(&i16::from(*weight).to_ne_bytes()),
                }
            }
        }
        let zero = i32::from(input_zero) - i32::from(gemm.offset);
        let sums = weights.chunks_exact(depth).map(|row| row.iter().map(|weight| i32::from(*weight)).sum::<i32>());
        let mut bias: Vec<i32> = requantize.bias.iter().zip(sums).map(|(bias, sum)| bias - zero * sum).collect();
        let mut scale = requantize.scale.clone();
        bias.resize(blocks * gemm.columns, 0);
        scale.resize(blocks * gemm.columns, 0.0);
        Self { gemm, depth, channels, groups, weights: packed, bias, scale, limits: requantize.output.limits() }
    }

    /// Bytes of a panel's row.
    pub fn row_bytes(&self) -> usize {
        self.groups * self.gemm.group * self.gemm.element
    }

    /// Rows that fit a panel, a multiple of the tile's.
    pub fn panel_rows(&self) -> usize {
        (PANEL_BYTES / self.row_bytes() / self.gemm.rows).max(1) * self.gemm.rows
    }

    /// Bytes of weights.
    pub fn bytes(&self) -> usize {
        self.weights.bytes().len()
    }

    /// Computes `count` rows that start at `rows` and lie `stride` bytes apart, into `out`, `[count, channels]`.
    ///
    /// # Safety
    /// Each row is readable for [`Packed::row_bytes`] bytes, and `out` writable for `count * channels`.
    pub unsafe fn run(&self, rows: *const u8, stride: usize, count: usize, out: *mut u8) {
        let gemm = &self.gemm;
        let block_bytes = self.groups * gemm.group * gemm.columns * gemm.element;
        for first in (0..self.channels).step_by(gemm.columns) {
            let block = first / gemm.columns;
            // Weights first: a block of them serves all rows of the panel while it is in the nearest cache.
            let weights = self.weights.bytes()[block * block_bytes..].as_ptr();
            let (bias, scale) = (self.bias[first..].as_ptr(), self.scale[first..].as_ptr());
            let columns = (self.channels - first).min(gemm.columns);
            for start in (0..count).step_by(gemm.rows) {
                let mut tile = Tile {
                    rows: [std::ptr::null(); MAX_ROWS],
                    out: [std::ptr::null_mut(); MAX_ROWS],
                    weights,
                    groups: self.groups,
                    bias,
                    scale,
                    columns,
                    limits: self.limits,
                };
                for row in 0..gemm.rows {
                    let at = (start + row).min(count - 1);
                    // SAFETY: `at < count`, and the caller vouches for that many rows and results.
                    unsafe {
                        tile.rows[row] = rows.add(at * stride);
                        tile.out[row] = out.add(at * self.channels + first);
                    }
                }
                // SAFETY: `Gemm::of` saw the instruction set; pointers are as the fields say.
                unsafe { (gemm.tile)(&tile) };
            }
        }
    }
}
