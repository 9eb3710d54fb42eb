//! NEON depthwise convolution: 16 channels at once, two taps' products a 16-bit lane, then into 32 bits.

use std::arch::aarch64::*;

use super::levels::Levels;
use crate::depthwise::{Channels, Taps};

const LANES: usize = 16;
/// Pixels computed at once in the middle of a row; weights are loaded once for them.
const PIXELS: usize = 4;

pub(crate) const DEPTHWISE: Channels = Channels { lanes: LANES, offset: 128, pack, run };

/// First channel of each block; the last block overlaps the one before, so that no lane is without a channel.
fn blocks(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels).step_by(LANES).map(move |first| first.min(channels - LANES))
}

/// Per block and tap: the 16 channels' weights.
fn pack(weights: &[i8], taps: usize, channels: usize, packed: &mut [u8]) {
    let places = blocks(channels).flat_map(|first| (0..taps).map(move |tap| tap * channels + first));
    for (from, target) in places.zip(packed.chunks_exact_mut(LANES)) {
        for (target, weight) in target.iter_mut().zip(&weights[from..from + LANES]) {
            *target = *weight as u8;
        }
    }
}

/// # Safety
/// As [`Channels::run`].
unsafe fn run(taps: &Taps) {
    for (block, first) in blocks(taps.channels).enumerate() {
        // SAFETY: a block's 16 channels lie within each tap's `channels`, and pixels within `count`.
        unsafe {
            let block = Lanes {
                taps,
                first,
                weights: taps.weights.add(block * taps.taps * LANES).cast(),
                levels: Levels::new(taps.limits),
            };
            // With step one, neighbours share the pixels of their windows' rows.
            let square = taps.taps == 9 && taps.width == 3 && taps.step == taps.channels;
            let mut pixel = 0;
            while pixel + PIXELS <= taps.count {
                if square {
                    block.square(pixel)
                } else {
                    block.pixels::<PIXELS>(pixel)
                }
                pixel += PIXELS;
            }
            while pixel < taps.count {
                block.pixels::<1>(pixel);
                pixel += 1;
            }
        }
    }
}

/// 16 channels.
struct Lanes<'a> {
    taps: &'a Taps,
    first: usize,
    weights: *const i8,
    levels: Levels,
}

type Sums = [int32x4_t; 4];

impl Lanes<'_> {
    /// Activations minus 128.
    ///
    /// # Safety
    /// 16 bytes are readable at `at`.
    #[inline(always)]
    unsafe fn load(at: *const u8) -> int8x16_t {
        // SAFETY: the caller's.
        unsafe { vreinterpretq_s8_u8(veorq_u8(vld1q_u8(at), vdupq_n_u8(0x80))) }
    }

    /// Adds the products of one or two taps.
    #[inline(always)]
    fn add(sums: &mut Sums, taps: [int8x16_t; 2], weights: [int8x16_t; 2], count: usize) {
        // SAFETY: every aarch64 processor that Rust supports has NEON.
        unsafe {
            let mut low = vmull_s8(vget_low_s8(taps[0]), vget_low_s8(weights[0]));
            let mut high = vmull_high_s8(taps[0], weights[0]);
            if count == 2 {
                low = vmlal_s8(low, vget_low_s8(taps[1]), vget_low_s8(weights[1]));
                high = vmlal_high_s8(high, taps[1], weights[1]);
            }
            sums[0] = vaddw_s16(sums[0], vget_low_s16(low));
            sums[1] = vaddw_high_s16(sums[1], low);
            sums[2] = vaddw_s16(sums[2], vget_low_s16(high));
            sums[3] = vaddw_high_s16(sums[3], high);
        }
    }

    #[inline(always)]
    unsafe fn bias(&self) -> Sums {
        // SAFETY: bias is padded to a multiple of 16.
        unsafe { std::array::from_fn(|quarter| vld1q_s32(self.taps.bias.add(self.first + 4 * quarter))) }
    }

    /// Requantizes and writes a pixel.
    #[inline(always)]
    unsafe fn finish(&self, sums: Sums, pixel: usize) {
        // SAFETY: scale is padded to a multiple of 16, and the block's channels of the pixel are there.
        unsafe {
            let scale: [_; 4] = std::array::from_fn(|quarter| vld1q_f32(self.taps.scale.add(self.first + 4 * quarter)));
            let [a, b, c, d] = sums;
            let bytes = self.levels.of([[a, b], [c, d]], [[scale[0], scale[1]], [scale[2], scale[3]]]);
            vst1q_u8(self.taps.out.add(pixel * self.taps.channels + self.first), bytes);
        }
    }

    /// `COUNT` pixels of any window.
    #[inline(always)]
    unsafe fn pixels<const COUNT: usize>(&self, pixel: usize) {
        // SAFETY: the driver vouches for all taps of these pixels.
        unsafe {
            let mut sums = [self.bias(); COUNT];
            let offset = pixel * self.taps.step + self.first;
            let mut tap = 0;
            while tap < self.taps.taps {
                let count = (self.taps.taps - tap).min(2);
                // A last tap without a partner is not counted twice.
                let other = tap + count - 1;
                let weights = [tap, other].map(|tap| vld1q_s8(self.weights.add(tap * LANES)));
                let starts = [tap, other].map(|tap| self.taps.starts[tap].add(offset));
                for (pixel, sums) in sums.iter_mut().enumerate() {
                    let taps = starts.map(|start| Self::load(start.add(pixel * self.taps.step)));
                    if count == 2 { Self::add(sums, taps, weights, 2) } else { Self::add(sums, taps, weights, 1) }
                }
                tap += 2;
            }
            for (at, sums) in sums.into_iter().enumerate() {
                self.finish(sums, pixel + at);
            }
        }
    }

    /// [`PIXELS`] pixels of a 3 x 3 window with step one.
    #[inline(always)]
    unsafe fn square(&self, pixel: usize) {
        // SAFETY: as above; a row of the windows is `PIXELS + 2` pixels of the picture side by side.
        unsafe {
            let mut sums = [self.bias(); PIXELS];
            let offset = pixel * self.taps.step + self.first;
            let row = |y: usize| -> [int8x16_t; PIXELS + 2] {
                let start = self.taps.starts[3 * y].add(offset);
                std::array::from_fn(|x| Self::load(start.add(x * self.taps.channels)))
            };
            let weight = |tap: usize| vld1q_s8(self.weights.add(tap * LANES));
            let top = row(0);
            for (x, sums) in sums.iter_mut().enumerate() {
                Self::add(sums, [top[x], top[x + 1]], [weight(0), weight(1)], 2);
            }
            let middle = row(1);
            for (x, sums) in sums.iter_mut().enumerate() {
                Self::add(sums, [top[x + 2], middle[x]], [weight(2), weight(3)], 2);
            }
            for (x, sums) in sums.iter_mut().enumerate() {
                Self::add(sums, [middle[x + 1], middle[x + 2]], [weight(4), weight(5)], 2);
            }
            let bottom = row(2);
            for (x, sums) in sums.iter_mut().enumerate() {
                Self::add(sums, [bottom[x], bottom[x + 1]], [weight(6), weight(7)], 2);
            }
            for (x, sums) in sums.iter_mut().enumerate() {
                Self::add(sums, [bottom[x + 2]; 2], [weight(8); 2], 1);
            }
            for (at, sums) in sums.into_iter().enumerate() {
                self.finish(sums, pixel + at);
            }
        }
    }
}
