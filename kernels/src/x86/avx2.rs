//! AVX2 matrix tile: activations and weights as `i16`, products added in pairs by `vpmaddwd`.
//!
//! `vpmaddubsw`, which multiplies bytes, saturates its pair sums: 255 * 127 * 2 does not fit 16 bits. Widening is exact, and
//! on cores with two multiplier pipes no slower, as `vpmaddubsw` needs a second multiplication to get to 32 bits.

use std::arch::x86_64::*;

use crate::arithmetic::Limits;
use crate::gemm::{Block, Gemm, Tile};

const ROWS: usize = 6;
const COLUMNS: usize = 16;
const GROUP: usize = 2;

pub(crate) const GEMM: Gemm = Gemm { rows: ROWS, columns: COLUMNS, group: GROUP, element: 2, offset: 0, gather, block };

/// # Safety
/// As [`Gemm::gather`].
unsafe fn gather(from: *const u8, count: usize, to: *mut u8) {
    // SAFETY: the instruction set was detected before this table was handed out; the rest is passed on.
    unsafe { widen(from, count, to) }
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
        let rest = block.whole_tiles(|tile| multiply::<ROWS, N>(tile, levels));
        match rest.count {
            ..=2 => rest.each_tile(|tile| multiply::<2, N>(tile, levels)),
            3..=4 => rest.each_tile(|tile| multiply::<4, N>(tile, levels)),
            _ => rest.each_tile(|tile| multiply::<ROWS, N>(tile, levels)),
        }
    }
}

#[inline(always)]
unsafe fn multiply<const ROWS: usize, const N: usize>(tile: &Tile<ROWS>, levels: Levels) {
    // SAFETY: rows hold `groups` pairs, weights `groups` groups of 16 pairs (two vectors), bias and scale 16 values.
    // It is inlined where AVX2 is enabled.
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
