//! AVX2 matrix tile: activations and weights as `i16`, products added in pairs by `vpmaddwd`.
//!
//! `vpmaddubsw`, which multiplies bytes, saturates its pair sums: 255 * 127 * 2 does not fit 16 bits. Widening is exact, and
//! on cores with two multiplier pipes no slower, as `vpmaddubsw` needs a second multiplication to get to 32 bits.

use std::arch::asm;
use std::arch::x86_64::*;

use crate::arithmetic::Limits;
use crate::gemm::{Block, Gemm, Tile};

const ROWS: usize = 6;
const COLUMNS: usize = 16;
const GROUP: usize = 2;

pub(crate) const GEMM: Gemm = Gemm {
    rows: ROWS,
    columns: COLUMNS,
    group: GROUP,
    element: 2,
    widen: Some(widen_weights),
    offset: 0,
    gather,
    block,
};

/// # Safety
/// As [`Gemm::gather`].
unsafe fn gather(from: *const u8, count: usize, to: *mut u8) {
    // SAFETY: the instruction set was detected before this table was handed out; the rest is passed on.
    unsafe { widen(from, count, to) }
}

/// # Safety
/// As [`Gemm::widen`].
unsafe fn widen_weights(from: *const u8, count: usize, to: *mut u8) {
    #[target_feature(enable = "avx2")]
    unsafe fn whole(from: *const u8, count: usize, to: *mut u8) {
        // SAFETY: every access stays below `count`, a multiple of 32.
        unsafe {
            for at in (0..count).step_by(16) {
                let bytes = _mm_loadu_si128(from.add(at).cast());
                _mm256_store_si256(to.add(2 * at).cast(), _mm256_cvtepi8_epi16(bytes));
            }
        }
    }
    // SAFETY: as above; a group holds 16 columns of two weights.
    unsafe { whole(from, count, to) }
}

#[target_feature(enable = "avx2")]
unsafe fn widen(from: *const u8, count: usize, to: *mut u8) {
    // SAFETY: every access stays below `count`.
    unsafe {
        let mut at = 0;
        while at + 16 <= count {
            let bytes = _mm_loadu_si128(from.add(at).cast());
            _mm256_storeu_si256(to.add(2 * at).cast(), _mm256_cvtepu8_epi16(bytes));
            at += 16;
        }
        if count < 8 {
            return crate::portable::widen(from, count, to);
        }
        // The last eight may have been done before.
        for at in (at..count).step_by(8).map(|at| at.min(count - 8)) {
            let bytes = _mm_loadl_epi64(from.add(at).cast());
            _mm_storeu_si128(to.add(2 * at).cast(), _mm_cvtepu8_epi16(bytes));
        }
    }
}

/// # Safety
/// As [`Gemm::block`].
unsafe fn block(block: &Block) {
    // SAFETY: as above.
    unsafe {
        match block.columns {
            ..=8 => tiles::<1>(block),
            _ => tiles::<2>(block),
        }
    }
}

/// `N` vectors of columns. The last rows take a smaller tile, so that no row is computed more than twice.
#[target_feature(enable = "avx2")]
unsafe fn tiles<const N: usize>(block: &Block) {
    let levels = Levels::new(block.limits);
    // SAFETY: passed on.
    unsafe {
        // Miri knows no assembly.
        let rest = if N == 2 && !cfg!(miri) {
            block.whole_tiles(|tile| finish(tile, levels, whole_sums(tile)))
        } else {
            block.whole_tiles(|tile| multiply::<ROWS, N>(tile, levels))
        };
        match rest.count {
            ..=2 => rest.each_tile(|tile| multiply::<2, N>(tile, levels)),
            3..=4 => rest.each_tile(|tile| multiply::<4, N>(tile, levels)),
            _ => rest.each_tile(|tile| multiply::<ROWS, N>(tile, levels)),
        }
    }
}

#[inline(always)]
unsafe fn multiply<const ROWS: usize, const N: usize>(tile: &Tile<ROWS>, levels: Levels) {
    // SAFETY: passed on.
    unsafe {
        finish::<ROWS, N>(tile, levels, sums(tile));
    }
}

/// The sums of a tile whose rows may lie anywhere.
#[inline(always)]
unsafe fn sums<const ROWS: usize, const N: usize>(tile: &Tile<ROWS>) -> [[__m256i; N]; ROWS] {
    // SAFETY: rows hold `groups` pairs, weights `groups` groups of 16 pairs (two vectors), bias 16 values.
    unsafe {
        let bias: [__m256i; N] = std::array::from_fn(|n| _mm256_loadu_si256(tile.bias.add(8 * n).cast()));
        let mut sums = [bias; ROWS];
        let mut weights = tile.weights.cast::<__m256i>();
        let rows: [*const i32; ROWS] = std::array::from_fn(|row| tile.rows[row].cast());
        for group in 0..tile.groups {
            let vectors: [__m256i; N] = std::array::from_fn(|n| _mm256_load_si256(weights.add(n)));
            weights = weights.add(2);
            for (sums, row) in sums.iter_mut().zip(rows) {
                let pair = _mm256_set1_epi32(row.add(group).read_unaligned());
                for (sum, vector) in sums.iter_mut().zip(vectors) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, vector));
                }
            }
        }
        sums
    }
}

/// Products of one group of a whole tile: `$a` and `$b` are displacements into rows and weights.
macro_rules! group {
    ($a:literal, $b:literal, $c:literal) => {
        concat!(
            "vmovdqa {u}, [{weights} + ",
            $b,
            "]\n",
            "vmovdqa {v}, [{weights} + ",
            $c,
            "]\n",
            row!("{s00}", "{s01}", "[{first} + ", $a),
            row!("{s10}", "{s11}", "[{first} + {stride} + ", $a),
            row!("{s20}", "{s21}", "[{first} + 2 * {stride} + ", $a),
            row!("{s30}", "{s31}", "[{fourth} + ", $a),
            row!("{s40}", "{s41}", "[{fourth} + {stride} + ", $a),
            row!("{s50}", "{s51}", "[{fourth} + 2 * {stride} + ", $a),
        )
    };
}

macro_rules! row {
    ($left:literal, $right:literal, $address:literal, $a:literal) => {
        concat!(
            "vpbroadcastd {pair}, dword ptr ",
            $address,
            $a,
            "]\n",
            "vpmaddwd {product}, {pair}, {u}\n",
            "vpaddd ",
            $left,
            ", ",
            $left,
            ", {product}\n",
            "vpmaddwd {pair}, {pair}, {v}\n",
            "vpaddd ",
            $right,
            ", ",
            $right,
            ", {pair}\n",
        )
    };
}

/// The sums of a whole tile, whose rows lie `stride` bytes apart. In assembly, as compilers spend a fifth of the
/// instructions on the rows' addresses: the loop is bound by how many are issued.
#[target_feature(enable = "avx2")]
unsafe fn whole_sums(tile: &Tile<ROWS>) -> [[__m256i; 2]; ROWS] {
    let stride = tile.rows[1] as usize - tile.rows[0] as usize;
    // SAFETY: as for `sums`; the assembly reads `groups` pairs of each row and `groups` groups of weights, and writes
    // registers only. `groups` is at least 1.
    unsafe {
        let bias = [_mm256_loadu_si256(tile.bias.cast()), _mm256_loadu_si256(tile.bias.add(8).cast())];
        let mut sums = [bias; ROWS];
        let [[s00, s01], [s10, s11], [s20, s21], [s30, s31], [s40, s41], [s50, s51]] = &mut sums;
        asm!(
            "shr {pairs}, 1",
            "jz 3f",
            ".p2align 5",
            "2:",
            group!("0", "0", "32"),
            group!("4", "64", "96"),
            "add {first}, 8",
            "add {fourth}, 8",
            "add {weights}, 128",
            "dec {pairs}",
            "jnz 2b",
            "3:",
            "test {groups}, 1",
            "jz 4f",
            group!("0", "0", "32"),
            "4:",
            pairs = inout(reg) tile.groups => _,
            groups = in(reg) tile.groups,
            first = inout(reg) tile.rows[0] => _,
            fourth = inout(reg) tile.rows[3] => _,
            weights = inout(reg) tile.weights => _,
            stride = in(reg) stride,
            s00 = inout(ymm_reg) *s00, s01 = inout(ymm_reg) *s01,
            s10 = inout(ymm_reg) *s10, s11 = inout(ymm_reg) *s11,
            s20 = inout(ymm_reg) *s20, s21 = inout(ymm_reg) *s21,
            s30 = inout(ymm_reg) *s30, s31 = inout(ymm_reg) *s31,
            s40 = inout(ymm_reg) *s40, s41 = inout(ymm_reg) *s41,
            s50 = inout(ymm_reg) *s50, s51 = inout(ymm_reg) *s51,
            u = out(ymm_reg) _, v = out(ymm_reg) _, pair = out(ymm_reg) _, product = out(ymm_reg) _,
            options(nostack, readonly),
        );
        sums
    }
}

/// Requantizes and stores a tile's sums.
#[inline(always)]
unsafe fn finish<const ROWS: usize, const N: usize>(tile: &Tile<ROWS>, levels: Levels, sums: [[__m256i; N]; ROWS]) {
    // SAFETY: scale holds 16 values, each row of results `columns` bytes. It is inlined where AVX2 is enabled.
    unsafe {
        let scale: [__m256; N] = std::array::from_fn(|n| _mm256_loadu_ps(tile.scale.add(8 * n)));
        // Four vectors are packed at once: those of two rows, or of four.
        for first in (0..ROWS).step_by(4 / N) {
            let steps = |at: usize| levels.steps(sums[(first + at / N).min(ROWS - 1)][at % N], scale[at % N]);
            let halves = levels.rows([steps(0), steps(1), steps(2), steps(3)]);
            for (at, out) in tile.out[first..].iter().take(4 / N).enumerate() {
                let half = if N == 2 { halves[at] } else { halves[at / 2] };
                let row = if N == 1 && at % 2 == 1 { _mm_unpackhi_epi64(half, half) } else { half };
                match tile.columns {
                    16 if N == 2 => _mm_storeu_si128(out.cast(), row),
                    8 if N == 1 => _mm_storel_epi64(out.cast(), row),
                    columns => {
                        let mut bytes = [0_u8; 16];
                        _mm_storeu_si128(bytes.as_mut_ptr().cast(), row);
                        std::ptr::copy_nonoverlapping(bytes.as_ptr(), *out, columns);
                    }
                }
            }
        }
    }
}

/// [`Limits`] in registers. Sums are requantized in two steps, so that clamping is done on 32 packed bytes.
#[derive(Clone, Copy)]
pub(crate) struct Levels {
    zero: __m256i,
    low: __m256i,
    high: __m256i,
}

impl Levels {
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(crate) fn new(limits: Limits) -> Self {
        let level = |steps: f32| _mm256_set1_epi8((steps as i32 + limits.zero) as u8 as i8);
        Self { zero: _mm256_set1_epi16(limits.zero as i16), low: level(limits.low), high: level(limits.high) }
    }

    /// Sums in output steps, rounded half to even by `vcvtps2dq`. What is out of its range below becomes the least `i32`,
    /// above it is cut, which [`Levels::bytes`] does in any case.
    ///
    /// # Safety
    /// The processor has AVX2, as below.
    #[inline(always)]
    pub(crate) unsafe fn steps(self, sums: __m256i, scale: __m256) -> __m256i {
        // SAFETY: passed on.
        unsafe {
            let steps = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scale);
            _mm256_cvtps_epi32(_mm256_min_ps(steps, _mm256_set1_ps(65536.0)))
        }
    }

    /// Levels of steps. Packing saturates, and works within 128 bits: there lie four of each vector, one vector after the
    /// other.
    #[inline(always)]
    pub(crate) unsafe fn bytes(self, [a, b, c, d]: [__m256i; 4]) -> __m256i {
        // SAFETY: passed on.
        unsafe {
            let [ab, cd] = [_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)];
            let bytes = _mm256_packus_epi16(_mm256_adds_epi16(ab, self.zero), _mm256_adds_epi16(cd, self.zero));
            _mm256_min_epu8(_mm256_max_epu8(bytes, self.low), self.high)
        }
    }
    /// Levels of `a` and `b`, and of `c` and `d`, each 16 in order.
    #[inline(always)]
    pub(crate) unsafe fn rows(self, steps: [__m256i; 4]) -> [__m128i; 2] {
        // SAFETY: passed on.
        unsafe {
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let bytes = _mm256_permutevar8x32_epi32(self.bytes(steps), order);
            [_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)]
        }
    }
}
