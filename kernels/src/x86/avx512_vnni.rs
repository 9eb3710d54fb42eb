//! AVX-512 VNNI: [`vnni`](super::vnni)'s kernels 512 bits wide.

use std::arch::x86_64::*;

use super::avx_vnni::Ymm;
use super::vnni::{self, GROUP, Lanes, VECTORS};
use crate::arithmetic::Limits;
use crate::depthwise::{Channels, MAX_TAPS, Taps};
use crate::gemm::{Block, Gemm};

/// Seven rows: the pixels of 7x7, 14x14, 28x28 pictures and so on are whole tiles. 21 of 32 registers hold sums.
const ROWS: usize = 7;

pub(crate) const GEMM: Gemm = Gemm {
    rows: ROWS,
    columns: VECTORS * Zmm::COUNT,
    group: GROUP,
    element: 1,
    widen: None,
    offset: 0,
    gather: super::avx_vnni::gather,
    block,
};

/// # Safety
/// As [`Gemm::block`].
unsafe fn block(block: &Block) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn wide(block: &Block) {
        // SAFETY: passed on.
        unsafe { vnni::block::<Zmm, ROWS>(block) }
    }
    // SAFETY: the instruction set was detected before this table was handed out; the rest is passed on.
    unsafe { wide(block) }
}

/// Channels of a 512-bit and of a 256-bit block.
const WIDE: usize = 64;
const NARROW: usize = 32;

pub(crate) const DEPTHWISE: Channels = Channels { lanes: NARROW, offset: 0, gather: None, pack, run };

/// Blocks of 64 channels, and a last one of 64 or 32 that overlaps them rather than have lanes without a channel.
fn blocks(channels: usize) -> impl Iterator<Item = (usize, usize)> {
    let rest = channels % WIDE;
    let last = match rest {
        0 => None,
        1..=NARROW => Some((channels - NARROW, NARROW)),
        _ if channels < WIDE => Some((channels - NARROW, NARROW)),
        _ => Some((channels - WIDE, WIDE)),
    };
    let alone = (NARROW + 1..WIDE).contains(&channels).then_some((0, NARROW));
    (0..channels / WIDE).map(|block| (block * WIDE, WIDE)).chain(alone).chain(last)
}

fn pack(weights: &[i8], taps: usize, channels: usize, packed: &mut [u8]) {
    let mut at = 0;
    for (first, width) in blocks(channels) {
        at += vnni::pack(width / 4, weights, taps, channels, first, &mut packed[at..]);
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

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn pixels<const MOST: usize>(taps: &Taps) {
    let mut weights = taps.weights;
    for (first, width) in blocks(taps.channels) {
        // SAFETY: `blocks` stays within the channels, and `pack` wrote them in this order.
        unsafe {
            match width {
                WIDE => vnni::pixels::<Zmm, MOST>(taps, first, weights),
                _ => vnni::pixels::<Ymm<true>, MOST>(taps, first, weights),
            }
            weights = weights.add(taps.taps.div_ceil(GROUP) * GROUP * width);
        }
    }
}

/// 16 lanes.
#[derive(Clone, Copy)]
struct Zmm(__m512i);

/// The arithmetic of `Limits::requantize`, as `vcvtps2dq` rounds half to even, with the limits applied afterwards: what is
/// out of its range below becomes the least `i32`; above it is cut, which integers do as well as floats of one sign.
#[inline(always)]
unsafe fn level(sum: __m512i, scale: __m512, limits: Limits) -> __m512i {
    // SAFETY: AVX-512F is there.
    unsafe {
        let steps = _mm512_castps_si512(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale));
        let steps = _mm512_castsi512_ps(_mm512_min_epi32(steps, _mm512_set1_epi32(65536.0_f32.to_bits() as i32)));
        let level = _mm512_add_epi32(nearest(steps), _mm512_set1_epi32(limits.zero));
        let [low, high] = [limits.low, limits.high].map(|steps| _mm512_set1_epi32(steps as i32 + limits.zero));
        _mm512_min_epi32(_mm512_max_epi32(level, low), high)
    }
}

/// `vcvtps2dq`, which Miri knows for 256 bits only.
#[inline(always)]
unsafe fn nearest(steps: __m512) -> __m512i {
    // SAFETY: AVX-512F is there.
    unsafe {
        if cfg!(miri) {
            let bits = _mm512_castps_si512(steps);
            let halves = [_mm512_castsi512_si256(bits), _mm512_extracti64x4_epi64(bits, 1)];
            let [low, high] = halves.map(|half| _mm256_cvtps_epi32(_mm256_castsi256_ps(half)));
            _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)
        } else {
            _mm512_cvtps_epi32(steps)
        }
    }
}

// All unsafe blocks: as the trait says.
impl Lanes for Zmm {
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_setzero_si512()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_loadu_si512(from.cast())) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const u8) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_set1_epi32(from.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn dot(self, bytes: Self, weights: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_dpbusd_epi32(self.0, bytes.0, weights.0)) }
    }

    #[inline(always)]
    unsafe fn write<const N: usize>(sums: [Self; N], scale: *const f32, limits: Limits, out: *mut u8, columns: usize) {
        // SAFETY: as above; the mask keeps to the columns.
        unsafe {
            for (n, sum) in sums.into_iter().enumerate() {
                let first = n * Self::COUNT;
                let bytes = _mm512_cvtepi32_epi8(level(sum.0, _mm512_loadu_ps(scale.add(first)), limits));
                match columns - first {
                    rest @ 1..Self::COUNT => _mm_mask_storeu_epi8(out.add(first).cast(), (1 << rest) - 1, bytes),
                    _ => _mm_storeu_si128(out.add(first).cast(), bytes),
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn interleave([a, b, c, d]: [Self; GROUP]) -> [Self; GROUP] {
        // SAFETY: as above.
        unsafe {
            let (ab, cd) = (_mm512_unpacklo_epi8(a.0, b.0), _mm512_unpacklo_epi8(c.0, d.0));
            let (ef, gh) = (_mm512_unpackhi_epi8(a.0, b.0), _mm512_unpackhi_epi8(c.0, d.0));
            [
                Self(_mm512_unpacklo_epi16(ab, cd)),
                Self(_mm512_unpackhi_epi16(ab, cd)),
                Self(_mm512_unpacklo_epi16(ef, gh)),
                Self(_mm512_unpackhi_epi16(ef, gh)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load_quarter(from: *const i32, q: usize) -> Self {
        // SAFETY: as above: 64 values, of which each 16 give four.
        unsafe {
            let four = |at: usize| _mm_loadu_si128(from.add(16 * at + 4 * q).cast());
            let low = _mm256_inserti128_si256(_mm256_castsi128_si256(four(0)), four(1), 1);
            let high = _mm256_inserti128_si256(_mm256_castsi128_si256(four(2)), four(3), 1);
            Self(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1))
        }
    }

    #[inline(always)]
    unsafe fn write_quarters(sums: [Self; GROUP], scale: [Self; GROUP], limits: Limits, out: *mut u8) {
        // SAFETY: as above. Packing works within 128 bits, where quarters lie side by side.
        unsafe {
            let level = |q: usize| level(sums[q].0, _mm512_castsi512_ps(scale[q].0), limits);
            let words = [_mm512_packs_epi32(level(0), level(1)), _mm512_packs_epi32(level(2), level(3))];
            _mm512_storeu_si512(out.cast(), _mm512_packus_epi16(words[0], words[1]));
        }
    }
}
