//! 32-bit NEON depthwise convolution: 16 channels at once, any window.

use std::arch::asm;

use super::neon32::{Levels, gather, levels, load_levels, neon};
use super::{LANES, blocks, pack_depthwise};
use crate::depthwise::{Channels, Taps};

pub(crate) const DEPTHWISE: Channels =
    Channels { lanes: LANES, offset: 128, gather: Some(gather), pack: pack_depthwise, run };

/// # Safety
/// As [`Channels::run`].
unsafe fn run(taps: &Taps) {
    let levels = Levels::new(taps.limits);
    for (block, first) in blocks(taps.channels).enumerate() {
        // SAFETY: a block's 16 channels lie within each tap's `channels` and in the packed arrays, pixels within `count`.
        unsafe {
            let weights = taps.weights.add(block * taps.taps * LANES);
            let (bias, scale) = (taps.bias.add(first), taps.scale.add(first));
            for pixel in 0..taps.count {
                let out = taps.out.add(pixel * taps.channels + first);
                multiply(taps, &levels, weights, bias, scale, pixel * taps.step + first, out);
            }
        }
    }
}

/// Computes 16 channels of a pixel whose taps lie `offset` bytes from the first pixel's.
///
/// # Safety
/// The processor has NEON; 16 bytes are readable of each tap, 16 weights a tap, bias and scale 16 times, and 16 bytes are
/// writable at `out`.
#[inline(always)]
unsafe fn multiply(
    taps: &Taps,
    levels: &Levels,
    weights: *const u8,
    bias: *const i32,
    scale: *const f32,
    offset: usize,
    out: *mut u8,
) {
    // SAFETY: as above; there is at least one tap.
    unsafe {
        neon!(
            "vld1.32 {{d16-d19}}, [{bias}]!",
            "vld1.32 {{d20-d23}}, [{bias}]",
            "2:",
            "ldr {tap}, [{starts}], #4",
            "add {tap}, {tap}, {offset}",
            "vld1.8 {{d0, d1}}, [{tap}]",
            "vld1.8 {{d2, d3}}, [{weights}:128]!",
            "vmull.s8 q2, d0, d2",
            "vmull.s8 q3, d1, d3",
            "vaddw.s16 q8, q8, d4",
            "vaddw.s16 q9, q9, d5",
            "vaddw.s16 q10, q10, d6",
            "vaddw.s16 q11, q11, d7",
            "subs {count}, {count}, #1",
            "bne 2b",
            "vld1.32 {{d24-d27}}, [{scale}]!",
            "vld1.32 {{d28-d31}}, [{scale}]",
            load_levels!(),
            levels!((8 12)(9 13)(10 14)(11 15)),
            "vmovn.i32 d16, q8\n vmovn.i32 d17, q9\n vmovn.i32 d18, q10\n vmovn.i32 d19, q11",
            "vmovn.i16 d16, q8\n vmovn.i16 d17, q9",
            "vst1.8 {{d16, d17}}, [{out}]",
            starts = inout(reg) taps.starts.as_ptr() => _,
            weights = inout(reg) weights => _,
            count = inout(reg) taps.taps => _,
            bias = inout(reg) bias => _,
            scale = inout(reg) scale => _,
            levels = inout(reg) levels => _,
            offset = in(reg) offset,
            out = in(reg) out,
            tap = out(reg) _,
        );
    }
}
