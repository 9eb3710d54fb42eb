//! AVX2 depthwise convolution for layers of less than 32 channels: 16 at once.

use std::arch::x86_64::*;

use super::avx2::Levels;
use crate::depthwise::{Channels, Taps};

const LANES: usize = 16;
/// Bytes of the weights of a pair of taps for [`LANES`] channels.
const PAIR_BYTES: usize = 4 * LANES;

pub(crate) const DEPTHWISE: Channels = Channels { lanes: LANES, offset: 0, gather: None, pack, run };

/// First channel of each block; the last block overlaps the one before, so that no lane is without a channel.
fn blocks(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels).step_by(LANES).map(move |first| first.min(channels - LANES))
}

/// Per block and pair of taps: the 16 channels' two weights as `i16`.
fn pack(weights: &[i8], taps: usize, channels: usize, packed: &mut [u8]) {
    let places = blocks(channels).flat_map(|first| (0..taps.div_ceil(2)).map(move |pair| (first, pair)));
    for ((first, pair), target) in places.zip(packed.chunks_exact_mut(PAIR_BYTES)) {
        for (lane, target) in target.chunks_exact_mut(4).enumerate() {
            for (tap, target) in [2 * pair, 2 * pair + 1].into_iter().zip(target.chunks_exact_mut(2)) {
                let weight = if tap < taps { weights[tap * channels + first + lane] } else { 0 };
                target.copy_from_slice(&i16::from(weight).to_ne_bytes());
            }
        }
    }
}

/// # Safety
/// As [`Channels::run`].
unsafe fn run(taps: &Taps) {
    // SAFETY: the instruction set was detected before this table was handed out; the rest is passed on.
    unsafe { pixels(taps) }
}

#[target_feature(enable = "avx2")]
unsafe fn pixels(taps: &Taps) {
    let levels = Levels::new(taps.limits);
    let count = taps.taps;
    let pairs = count.div_ceil(2);
    for (block, first) in blocks(taps.channels).enumerate() {
        // SAFETY: a block's 16 channels lie within each tap's `channels`, and pixels within `count`.
        unsafe {
            let weights = taps.weights.add(block * pairs * PAIR_BYTES).cast::<__m256i>();
            let load = |at: *const i32| _mm256_loadu_si256(at.cast());
            let bias = [load(taps.bias.add(first)), load(taps.bias.add(first + 8))];
            let scale = [_mm256_loadu_ps(taps.scale.add(first)), _mm256_loadu_ps(taps.scale.add(first + 8))];
            for pixel in 0..taps.count {
                let offset = pixel * taps.step + first;
                let mut sums = bias;
                for pair in 0..pairs {
                    let a = _mm_loadu_si128(taps.starts[2 * pair].add(offset).cast());
                    // The weight beside a missing tap is 0.
                    let b = if 2 * pair + 1 < count {
                        _mm_loadu_si128(taps.starts[2 * pair + 1].add(offset).cast())
                    } else {
                        _mm_setzero_si128()
                    };
                    let low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
                    let high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
                    let at = weights.add(2 * pair);
                    sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(low, _mm256_load_si256(at)));
                    sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(high, _mm256_load_si256(at.add(1))));
                }
                let target = taps.out.add(pixel * taps.channels + first);
                let [a, b] = [levels.steps(sums[0], scale[0]), levels.steps(sums[1], scale[1])];
                _mm_storeu_si128(target.cast(), levels.rows([a, b, a, b])[0]);
            }
        }
    }
}
