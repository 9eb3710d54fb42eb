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
        crate::portable::widen(from.add(at), count - at, to.add(2 * at));
    }
}

/// # Safety
/// As [`Gemm::block`].
unsafe fn block(block: &Block) {
    // SAFETY: as above.
    unsafe { block.each_tile(|tile| multiply(tile)) }
}

#[target_feature(enable = "avx2")]
unsafe fn multiply(tile: &Tile<ROWS>) {
    // SAFETY: rows hold `groups` pairs, weights `groups` groups of 16 pairs (two vectors), bias 16 values.
    unsafe {
        let bias = [_mm256_loadu_si256(tile.bias.cast()), _mm256_loadu_si256(tile.bias.add(8).cast())];
        let mut sums = [bias; ROWS];
        let mut weights = tile.weights.cast::<__m256i>();
        let rows: [*const i32; ROWS] = std::array::from_fn(|row| tile.rows[row].cast());
        for group in 0..tile.groups {
            let (left, right) = (_mm256_load_si256(weights), _mm256_load_si256(weights.add(1)));
            weights = weights.add(2);
            for (sums, row) in sums.iter_mut().zip(rows) {
                let pair = _mm256_set1_epi32(row.add(group).read_unaligned());
                sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(pair, left));
                sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(pair, right));
            }
        }
        let scale = [_mm256_loadu_ps(tile.scale), _mm256_loadu_ps(tile.scale.add(8))];
        for (row, sums) in sums.into_iter().enumerate() {
            let levels = levels(sums, scale, tile.limits);
            if tile.columns == COLUMNS {
                _mm_storeu_si128(tile.out[row].cast(), levels);
            } else {
                let mut bytes = [0_u8; COLUMNS];
                _mm_storeu_si128(bytes.as_mut_ptr().cast(), levels);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), tile.out[row], tile.columns);
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
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(crate) fn steps(self, sums: __m256i, scale: __m256) -> __m256i {
        let steps = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scale);
        _mm256_cvtps_epi32(_mm256_min_ps(steps, _mm256_set1_ps(65536.0)))
    }

    /// Levels of steps. Packing saturates, and works within 128 bits: there lie four of each vector, one vector after the
    /// other.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(crate) fn bytes(self, [a, b, c, d]: [__m256i; 4]) -> __m256i {
        let words = [_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)].map(|word| _mm256_adds_epi16(word, self.zero));
        _mm256_min_epu8(_mm256_max_epu8(_mm256_packus_epi16(words[0], words[1]), self.low), self.high)
    }
}

/// Requantizes 16 sums; the arithmetic of [`Limits::requantize`], as `vcvtps2dq` rounds half to even.
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn levels(sums: [__m256i; 2], scale: [__m256; 2], limits: Limits) -> __m128i {
    let (low, high) = (_mm256_set1_ps(limits.low), _mm256_set1_ps(limits.high));
    let zero = _mm256_set1_epi32(limits.zero);
    let level = |sum, scale| {
        let steps = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale);
        let clamped = _mm256_min_ps(_mm256_max_ps(steps, low), high);
        _mm256_add_epi32(_mm256_cvtps_epi32(clamped), zero)
    };
    let words = _mm256_packs_epi32(level(sums[0], scale[0]), level(sums[1], scale[1]));
    // Packing works within halves: the quarters are a0 b0 a1 b1.
    let words = _mm256_permute4x64_epi64(words, 0b11_01_10_00);
    _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1))
}
