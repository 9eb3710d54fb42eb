//! AVX2 depthwise convolution: 32 channels at once, taps in pairs through `vpmaddwd`.
//!
//! Unpacking works within 128 bits, so channels lie in *quarters*: each 128 bits of vector `q` hold channels
//! `4 * q..4 * q + 4` of 16. Weights, start values and scales are read in that order, and packing the results undoes it.

use std::arch::x86_64::*;

use super::avx2::Levels;
use crate::depthwise::{Channels, MAX_TAPS, Taps};

const LANES: usize = 32;
/// Bytes of the weights of a pair of taps for [`LANES`] channels.
const PAIR_BYTES: usize = 4 * LANES;

pub(crate) const DEPTHWISE: Channels = Channels { lanes: LANES, offset: 0, gather: None, pack, run };

/// First channel of each block; the last block overlaps the one before, so that no lane is without a channel.
fn blocks(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels).step_by(LANES).map(move |first| first.min(channels - LANES))
}

/// Pairs of taps, the second of which may be none. Nine taps of a 3x3 window are taken as the upper two of each column,
/// the lower left and middle one, and the lower right one: neighbouring windows share all pairs of bytes.
fn pair(taps: usize, pair: usize) -> [Option<usize>; 2] {
    match (taps, pair) {
        (9, 0..3) => [Some(pair), Some(3 + pair)],
        (9, 3) => [Some(6), Some(7)],
        (9, _) => [None, Some(8)],
        _ => [Some(2 * pair), Some(2 * pair + 1).filter(|tap| *tap < taps)],
    }
}

/// Per block and pair of taps: the channels' two weights as `i16`.
fn pack(weights: &[i8], taps: usize, channels: usize, packed: &mut [u8]) {
    let places = blocks(channels).flat_map(|first| (0..taps.div_ceil(2)).map(move |at| (first, at)));
    for ((first, at), target) in places.zip(packed.chunks_exact_mut(PAIR_BYTES)) {
        for (lane, target) in target.chunks_exact_mut(4).enumerate() {
            let channel = first + lane % 8 / 4 * 16 + lane / 8 * 4 + lane % 4;
            for (tap, target) in pair(taps, at).into_iter().zip(target.chunks_exact_mut(2)) {
                let weight = tap.map_or(0, |tap| weights[tap * channels + channel]);
                target.copy_from_slice(&i16::from(weight).to_ne_bytes());
            }
        }
    }
}

/// # Safety
/// As [`Channels::run`].
unsafe fn run(taps: &Taps) {
    // SAFETY: the instruction set was detected before this table was handed out; the rest is passed on.
    unsafe {
        match taps.taps {
            9 if taps.slides() => slide(taps),
            9 => wide::<9>(taps),
            25 => wide::<25>(taps),
            _ => wide::<MAX_TAPS>(taps),
        }
    }
}

/// What a block of 32 channels starts and ends with. Its functions are inlined where AVX2 is enabled: a compiler that left
/// one out would keep the sums in memory.
struct Block {
    first: usize,
    weights: *const __m256i,
    bias: [__m256i; 4],
    scale: [__m256; 4],
    levels: Levels,
}

impl Block {
    /// # Safety
    /// The processor has AVX2, and `taps` are as their fields say.
    #[inline(always)]
    unsafe fn each(taps: &Taps, mut pixels: impl FnMut(&Self)) {
        for (block, first) in blocks(taps.channels).enumerate() {
            // SAFETY: bias and scale hold all channels; `pack` wrote this many bytes a block.
            pixels(&unsafe {
                Self {
                    first,
                    weights: taps.weights.add(block * taps.taps.div_ceil(2) * PAIR_BYTES).cast(),
                    bias: std::array::from_fn(|q| quarter(taps.bias.add(first), q)),
                    scale: std::array::from_fn(|q| _mm256_castsi256_ps(quarter(taps.scale.add(first).cast(), q))),
                    levels: Levels::new(taps.limits),
                }
            });
        }
    }

    /// Adds the products of pair number `at` to `sums`.
    ///
    /// # Safety
    /// The processor has AVX2, and there are that many pairs.
    #[inline(always)]
    unsafe fn add(&self, sums: &mut [__m256i; 4], words: &[__m256i; 4], at: usize) {
        for (q, (sum, words)) in sums.iter_mut().zip(words).enumerate() {
            // SAFETY: passed on.
            unsafe {
                let weights = _mm256_load_si256(self.weights.add(4 * at + q));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(*words, weights));
            }
        }
    }

    /// # Safety
    /// The processor has AVX2, and there are that many pixels.
    #[inline(always)]
    unsafe fn write(&self, taps: &Taps, sums: &[__m256i; 4], pixel: usize) {
        // SAFETY: passed on.
        unsafe {
            let steps = std::array::from_fn(|q| self.levels.steps(sums[q], self.scale[q]));
            let target = taps.out.add(pixel * taps.channels + self.first);
            _mm256_storeu_si256(target.cast(), self.levels.bytes(steps));
        }
    }
}

/// Quarter `q` of 32 channels' values.
#[inline(always)]
unsafe fn quarter(from: *const i32, q: usize) -> __m256i {
    // SAFETY: the caller has 32 values there.
    unsafe { _mm256_loadu2_m128i(from.add(16 + 4 * q).cast(), from.add(4 * q).cast()) }
}

/// Each channel's two bytes as words, in quarters.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn interleave(a: __m256i, b: __m256i) -> [__m256i; 4] {
    // SAFETY: passed on.
    unsafe {
        let (low, high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
        let zero = _mm256_setzero_si256();
        [
            _mm256_unpacklo_epi8(low, zero),
            _mm256_unpackhi_epi8(low, zero),
            _mm256_unpacklo_epi8(high, zero),
            _mm256_unpackhi_epi8(high, zero),
        ]
    }
}

/// Windows one after the other. `MOST` is the number of taps where it is known, so that loops over it are unrolled.
#[target_feature(enable = "avx2")]
unsafe fn wide<const MOST: usize>(taps: &Taps) {
    let count = if MOST == MAX_TAPS { taps.taps } else { MOST };
    // SAFETY: a block's channels lie within each tap's, and pixels within `count`.
    unsafe {
        Block::each(taps, |block| {
            for pixel in 0..taps.count {
                let offset = pixel * taps.step + block.first;
                let mut sums = block.bias;
                for at in 0..count.div_ceil(2) {
                    // The weight beside a missing tap is 0.
                    let [a, b] = pair(count, at).map(|tap| match tap {
                        Some(tap) => _mm256_loadu_si256(taps.starts[tap].add(offset).cast()),
                        None => _mm256_setzero_si256(),
                    });
                    block.add(&mut sums, &interleave(a, b), at);
                }
                block.write(taps, &sums, pixel);
            }
        });
    }
}

/// Windows of 3x3 that share two columns with the next: each column of bytes is loaded and unpacked once, and added to the
/// sums of the three pixels that it belongs to.
#[target_feature(enable = "avx2")]
unsafe fn slide(taps: &Taps) {
    // SAFETY: as above. Beyond the first window's columns, the right one of each pixel's window is read.
    unsafe {
        Block::each(taps, |block| {
            let load = |tap: usize, pixel: usize| {
                _mm256_loadu_si256(taps.starts[tap].add(pixel * taps.channels + block.first).cast())
            };
            // Sums of the pixel whose right column comes next, and of the one after it.
            let (mut this, mut next) = (block.bias, block.bias);
            block.add(&mut this, &interleave(load(0, 0), load(3, 0)), 0);
            let middle = interleave(load(1, 0), load(4, 0));
            block.add(&mut this, &middle, 1);
            block.add(&mut next, &middle, 0);
            let mut before = load(7, 0);
            block.add(&mut this, &interleave(load(6, 0), before), 3);
            for pixel in 0..taps.count {
                let upper = interleave(load(2, pixel), load(5, pixel));
                block.add(&mut this, &upper, 2);
                block.add(&mut next, &upper, 1);
                let mut last = block.bias;
                block.add(&mut last, &upper, 0);
                let right = load(8, pixel);
                let lower = interleave(before, right);
                before = right;
                block.add(&mut this, &lower, 4);
                block.add(&mut next, &lower, 3);
                block.write(taps, &this, pixel);
                (this, next) = (next, last);
            }
        });
    }
}
