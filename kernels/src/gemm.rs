//! The matrix product behind convolutions: one block function an instruction set, one driver for all.
//!
//! A *row* is one output pixel's gathered inputs (its window's bytes, `depth` of them), a *column* an output channel. A tile
//! of `rows x columns` results is computed in registers. Rows are read either where they lie in the picture (pointwise layers, instruction
//! sets that multiply bytes) or from a panel, where they were gathered and, if need be, widened once for all columns.

use crate::KernelError;
use crate::arithmetic::{Limits, Requantize};
use crate::buffer::Aligned;
use crate::isa::Isa;

/// Bytes of a panel: it should stay in the second-level cache beside a column block of weights.
pub(crate) const PANEL_BYTES: usize = 96 << 10;
/// Tiles that a panel holds at least, or all weights would be read, and widened, for a few rows.
const MIN_TILES: usize = 9;

/// A panel of rows times a block of columns: what an instruction set gets at once.
pub(crate) struct Block {
    /// Start of the first row, `groups * group` elements readable there and at each further `stride`.
    pub rows: *const u8,
    /// Bytes from row to row.
    pub stride: usize,
    /// Rows, at least 1.
    pub count: usize,
    /// Where the first row's results go, `columns` bytes writable there and at each further `pitch`.
    pub out: *mut u8,
    /// Bytes from row to row of the results.
    pub pitch: usize,
    /// The column block's weights, 64-byte aligned.
    pub weights: *const u8,
    /// Products a sum, and groups of them; those that fill the last group have weight 0.
    #[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))] // Groups are small elsewhere.
    pub depth: usize,
    pub groups: usize,
    /// The column block's start values of the sums, and scales.
    pub bias: *const i32,
    pub scale: *const f32,
    /// Columns to write, 1 to the tile's number.
    pub columns: usize,
    pub limits: Limits,
}

impl Block {
    /// Calls `multiply` for each whole tile of `ROWS` rows and returns what is left, which may be nothing.
    ///
    /// # Safety
    /// The block is as its fields say.
    #[inline(always)]
    pub unsafe fn whole_tiles<const ROWS: usize>(&self, mut multiply: impl FnMut(&Tile<ROWS>)) -> Self {
        let mut rest = Self { ..*self };
        while rest.count >= ROWS {
            // SAFETY: that many rows are left.
            unsafe {
                multiply(&Tile {
                    rows: std::array::from_fn(|row| rest.rows.add(row * self.stride)),
                    out: std::array::from_fn(|row| rest.out.add(row * self.pitch)),
                    weights: self.weights,
                    groups: self.groups,
                    bias: self.bias,
                    scale: self.scale,
                    columns: self.columns,
                    limits: self.limits,
                });
            }
            // The last step leaves the results, by a row but for this block's columns.
            rest.rows = rest.rows.wrapping_add(ROWS * self.stride);
            rest.out = rest.out.wrapping_add(ROWS * self.pitch);
            rest.count -= ROWS;
        }
        rest
    }

    /// Calls `multiply` for each `ROWS` rows. Where fewer are left the last one stands in for those that lack.
    ///
    /// # Safety
    /// The block is as its fields say.
    #[inline(always)]
    pub unsafe fn each_tile<const ROWS: usize>(&self, mut multiply: impl FnMut(&Tile<ROWS>)) {
        for start in (0..self.count).step_by(ROWS) {
            let at: [usize; ROWS] = std::array::from_fn(|row| (start + row).min(self.count - 1));
            // SAFETY: `at` is below `count`, and the caller vouches for that many rows and results.
            let (rows, out) =
                unsafe { (at.map(|at| self.rows.add(at * self.stride)), at.map(|at| self.out.add(at * self.pitch))) };
            multiply(&Tile {
                rows,
                out,
                weights: self.weights,
                groups: self.groups,
                bias: self.bias,
                scale: self.scale,
                columns: self.columns,
                limits: self.limits,
            });
        }
    }
}

/// The part of a [`Block`] that is computed in registers.
#[repr(C)]
pub(crate) struct Tile<const ROWS: usize> {
    /// Start of each row, `groups * group` elements readable.
    pub rows: [*const u8; ROWS],
    /// Where each row's results go, `columns` bytes writable.
    pub out: [*mut u8; ROWS],
    /// As in [`Block`].
    pub weights: *const u8,
    pub groups: usize,
    pub bias: *const i32,
    pub scale: *const f32,
    pub columns: usize,
    pub limits: Limits,
}

/// What the driver must know of an instruction set's tile.
#[derive(Clone, Copy)]
pub(crate) struct Gemm {
    /// Rows a tile; panels hold a multiple.
    pub rows: usize,
    /// Columns a tile.
    pub columns: usize,
    /// Products that belong together: weights are stored `[block][group][column][in group]`.
    pub group: usize,
    /// Bytes of a panel's element: 1 or 2.
    pub element: usize,
    /// Turns weights, which are kept as `i8`, into 16 bits, where panels have those: a column block at a time, for all rows of
    /// a panel. Kept so they would take twice the memory, and large networks wait for it.
    ///
    /// # Safety
    /// `from` is readable for `count` bytes, `to` writable for `count` elements.
    pub widen: Option<unsafe fn(from: *const u8, count: usize, to: *mut u8)>,
    /// Taken from each activation in a panel (0, or 128 where signed bytes are multiplied).
    pub offset: u8,
    /// Turns activations into a panel's elements.
    ///
    /// # Safety
    /// `from` is readable for `count` bytes, `to` writable for `count` elements.
    pub gather: unsafe fn(from: *const u8, count: usize, to: *mut u8),
    /// Multiplies and requantizes.
    ///
    /// # Safety
    /// The processor has the instruction set, and the [`Block`] is as its fields say.
    pub block: unsafe fn(&Block),
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
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => Ok(crate::x86::avx_vnni::GEMM),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => Ok(crate::x86::avx512_vnni::GEMM),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Ok(crate::arm::neon::GEMM),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot => Ok(crate::arm::dot::GEMM),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonI8mm => Ok(crate::arm::i8mm::GEMM),
            #[cfg(target_arch = "arm")]
            Isa::Neon32 => Ok(crate::arm::neon32::GEMM),
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
        let mut packed = Aligned::zeroed(blocks * groups * gemm.group * gemm.columns);
        let bytes = packed.bytes_mut();
        for (channel, row) in weights.chunks_exact(depth).enumerate() {
            let (block, column) = (channel / gemm.columns, channel % gemm.columns);
            for (k, weight) in row.iter().enumerate() {
                let (group, inside) = (k / gemm.group, k % gemm.group);
                let at = ((block * groups + group) * gemm.columns + column) * gemm.group + inside;
                bytes[at] = *weight as u8;
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

    /// Weights of a column block.
    fn block_weights(&self) -> usize {
        self.groups * self.gemm.group * self.gemm.columns
    }

    /// Bytes that [`Packed::run`] needs to widen a column block's weights.
    pub fn stage_bytes(&self) -> usize {
        self.gemm.widen.map_or(0, |_| (2 * self.block_weights()).next_multiple_of(64))
    }

    /// Rows that fit a panel, a multiple of the tile's.
    pub fn panel_rows(&self) -> usize {
        (PANEL_BYTES / self.row_bytes() / self.gemm.rows).max(MIN_TILES) * self.gemm.rows
    }

    /// Bytes of weights.
    pub fn bytes(&self) -> usize {
        self.weights.bytes().len()
    }

    /// Computes `count` rows that start at `rows` and lie `stride` bytes apart, into `out`, `[count, channels]`.
    ///
    /// # Safety
    /// Each row is readable for [`Packed::row_bytes`] bytes, and `out` writable for `count * channels`. `stage` is aligned to
    /// 64 and writable for [`Packed::stage_bytes`].
    pub unsafe fn run(&self, rows: *const u8, stride: usize, count: usize, out: *mut u8, stage: *mut u8) {
        let gemm = &self.gemm;
        let block_weights = self.block_weights();
        for first in (0..self.channels).step_by(gemm.columns) {
            let block = first / gemm.columns;
            // Weights are the outer loop: a block of them serves all rows of the panel while it is in the nearest cache.
            let kept = &self.weights.bytes()[block * block_weights..][..block_weights];
            let weights = match gemm.widen {
                None => kept.as_ptr(),
                Some(widen) => {
                    // SAFETY: `Gemm::of` saw the instruction set; the stage holds two bytes a weight.
                    unsafe { widen(kept.as_ptr(), kept.len(), stage) };
                    stage
                }
            };
            let block = Block {
                rows,
                stride,
                count,
                // SAFETY: `first` is a channel.
                out: unsafe { out.add(first) },
                pitch: self.channels,
                weights,
                depth: self.depth,
                groups: self.groups,
                bias: self.bias[first..].as_ptr(),
                scale: self.scale[first..].as_ptr(),
                columns: (self.channels - first).min(gemm.columns),
                limits: self.limits,
            };
            // SAFETY: `Gemm::of` saw the instruction set; pointers are as the fields say.
            unsafe { (gemm.block)(&block) };
        }
    }
}
