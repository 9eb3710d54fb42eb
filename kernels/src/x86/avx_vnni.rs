//! AVX-VNNI: [`vnni`](super::vnni)'s kernels 256 bits wide, for processors without AVX-512.

use std::arch::x86_64::*;

use super::avx2::Levels;
use super::vnni::{self, GROUP, Lanes, VECTORS};
use crate::arithmetic::Limits;
use crate::depthwise::{Channels, MAX_TAPS, Taps};
use crate::gemm::{Block, Gemm};

/// 12 of 16 registers hold sums.
const ROWS: usize = 4;

pub(crate) const GEMM: Gemm = Gemm {
    rows: ROWS,
    columns: VECTORS * Ymm::<false>::COUNT,
    group: GROUP,
    element: 1,
    widen: None,
    offset: 0,
    gather,
    block,
};

/// Bytes are multiplied as they come.
///
/// # Safety
/// As [`Gemm::gather`].
pub(super) unsafe fn gather(from: *const u8, count: usize, to: *mut u8) {
    // SAFETY: passed on; a panel is no picture.
    unsafe { std::ptr::copy_nonoverlapping(from, to, count) }
}

/// # Safety
/// As [`Gemm::block`].
unsafe fn block(block: &Block) {
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn wide(block: &Block) {
        // SAFETY: passed on.
        unsafe { vnni::block::<Ymm<false>, ROWS>(block) }
    }
    // SAFETY: the instruction set was detected before this table was handed out; the rest is passed on.
    unsafe { wide(block) }
}

/// Channels of a block.
const CHANNELS: usize = 32;

pub(crate) const DEPTHWISE: Channels = Channels { lanes: CHANNELS, offset: 0, gather: None, pack, run };

/// First channel of each block; the last block overlaps the one before, so that no lane is without a channel.
fn blocks(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels).step_by(CHANNELS).map(move |first| first.min(channels - CHANNELS))
}

fn pack(weights: &[i8], taps: usize, channels: usize, packed: &mut [u8]) {
    let mut at = 0;
    for first in blocks(channels) {
        at += vnni::pack(CHANNELS / 4, weights, taps, channels, first, &mut packed[at..]);
    }
}

/// # Safety
/// As [`Channels::run`].
unsafe fn run(taps: &Taps) {
    // SAFETY: the instruction set was detected before this table was handed out; the rest is passed on.
    unsafe {
        match taps.taps {
            9 => pixels::<9>(taps),
            25 => pixels::<25>(taps),
            _ => pixels::<MAX_TAPS>(taps),
        }
    }
}

#[target_feature(enable = "avx2,avxvnni")]
unsafe fn pixels<const MOST: usize>(taps: &Taps) {
    let bytes = taps.taps.div_ceil(GROUP) * GROUP * CHANNELS;
    for (block, first) in blocks(taps.channels).enumerate() {
        // SAFETY: `blocks` stays within the channels, and `pack` wrote them in this order.
        unsafe { vnni::pixels::<Ymm<false>, MOST>(taps, first, taps.weights.add(block * bytes)) }
    }
}

/// 8 lanes. `EVEX`: by AVX-512's encoding of the instruction rather than AVX-VNNI's.
#[derive(Clone, Copy)]
pub(super) struct Ymm<const EVEX: bool>(__m256i);

// All unsafe blocks: as the trait says.
impl<const EVEX: bool> Lanes for Ymm<EVEX> {
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_setzero_si256()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const u8) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_set1_epi32(from.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn dot(self, bytes: Self, weights: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            Self(match EVEX {
                true => _mm256_dpbusd_epi32(self.0, bytes.0, weights.0),
                false => _mm256_dpbusd_avx_epi32(self.0, bytes.0, weights.0),
            })
        }
    }

    #[inline(always)]
    unsafe fn write<const N: usize>(sums: [Self; N], scale: *const f32, limits: Limits, out: *mut u8, columns: usize) {
        // SAFETY: as above; what is beyond the columns is cut off.
        unsafe {
            let levels = Levels::new(limits);
            let steps = |n: usize| levels.steps(sums[n].0, _mm256_loadu_ps(scale.add(n * Self::COUNT)));
            for left in (0..N).step_by(2) {
                let first = left * Self::COUNT;
                let pair = [steps(left), steps((left + 1).min(N - 1))];
                let levels = levels.rows([pair[0], pair[1], pair[0], pair[1]])[0];
                match columns - first {
                    16.. if left + 1 < N => _mm_storeu_si128(out.add(first).cast(), levels),
                    8.. if left + 1 == N => _mm_storel_epi64(out.add(first).cast(), levels),
                    rest => {
                        let mut bytes = [0_u8; 16];
                        _mm_storeu_si128(bytes.as_mut_ptr().cast(), levels);
                        std::ptr::copy_nonoverlapping(bytes.as_ptr(), out.add(first), rest);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn interleave([a, b, c, d]: [Self; GROUP]) -> [Self; GROUP] {
        // SAFETY: as above.
        unsafe {
            let (ab, cd) = (_mm256_unpacklo_epi8(a.0, b.0), _mm256_unpacklo_epi8(c.0, d.0));
            let (ef, gh) = (_mm256_unpackhi_epi8(a.0, b.0), _mm256_unpackhi_epi8(c.0, d.0));
            [
                Self(_mm256_unpacklo_epi16(ab, cd)),
                Self(_mm256_unpackhi_epi16(ab, cd)),
                Self(_mm256_unpacklo_epi16(ef, gh)),
                Self(_mm256_unpackhi_epi16(ef, gh)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load_quarter(from: *const i32, q: usize) -> Self {
        // SAFETY: as above: 32 values, of which each 16 give four.
        unsafe {
            let four = |at: usize| _mm_loadu_si128(from.add(16 * at + 4 * q).cast());
            Self(_mm256_inserti128_si256(_mm256_castsi128_si256(four(0)), four(1), 1))
        }
    }

    #[inline(always)]
    unsafe fn write_quarters(sums: [Self; GROUP], scale: [Self; GROUP], limits: Limits, out: *mut u8) {
        // SAFETY: as above. Packing works within 128 bits, where quarters lie side by side.
        unsafe {
            let levels = Levels::new(limits);
            let steps = std::array::from_fn(|q| levels.steps(sums[q].0, _mm256_castsi256_ps(scale[q].0)));
            _mm256_storeu_si256(out.cast(), levels.bytes(steps));
        }
    }
}
