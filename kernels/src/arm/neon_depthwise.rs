//! NEON depthwise convolution: 16 channels at once, two taps' products a 16-bit lane, then into 32 bits.

use std::arch::aarch64::*;
use std::arch::asm;

use super::levels::{Levels, gather};
use super::{LANES, blocks, pack_depthwise};
use crate::depthwise::{Channels, Taps};

/// Any window.
pub(super) const ANY: Channels =
    Channels { lanes: LANES, offset: 128, gather: Some(gather), pack: pack_depthwise, run: any };
/// 3 x 3, side by side.
pub(super) const SQUARE: Channels = Channels { run: square, ..ANY };
/// 3 x 3, every other column.
pub(super) const SQUARE_2: Channels = Channels { run: square_2, ..ANY };

/// # Safety
/// As [`Channels::run`].
unsafe fn any(taps: &Taps) {
    let levels = Levels::new(taps.limits);
    for (block, first) in blocks(taps.channels).enumerate() {
        // SAFETY: a block's 16 channels lie within each tap's `channels` and in the packed arrays, pixels within `count`.
        unsafe {
            let weights = taps.weights.add(block * taps.taps * LANES).cast::<i8>();
            let bias: [_; 4] = std::array::from_fn(|quarter| vld1q_s32(taps.bias.add(first + 4 * quarter)));
            let scale: [_; 4] = std::array::from_fn(|quarter| vld1q_f32(taps.scale.add(first + 4 * quarter)));
            for pixel in 0..taps.count {
                let offset = pixel * taps.step + first;
                let mut sums = bias;
                for (tap, start) in taps.starts.iter().enumerate().take(taps.taps) {
                    let x = vld1q_s8(start.add(offset).cast());
                    let weights = vld1q_s8(weights.add(tap * LANES));
                    let low = vmull_s8(vget_low_s8(x), vget_low_s8(weights));
                    let high = vmull_high_s8(x, weights);
                    sums[0] = vaddw_s16(sums[0], vget_low_s16(low));
                    sums[1] = vaddw_high_s16(sums[1], low);
                    sums[2] = vaddw_s16(sums[2], vget_low_s16(high));
                    sums[3] = vaddw_high_s16(sums[3], high);
                }
                let [a, b, c, d] = sums;
                let bytes = levels.of([[a, b], [c, d]], [[scale[0], scale[1]], [scale[2], scale[3]]]);
                vst1q_u8(taps.out.add(pixel * taps.channels + first), bytes);
            }
        }
    }
}

/// Loads a column of the windows into three registers.
#[rustfmt::skip]
macro_rules! load_column {
    ($a:literal $b:literal $c:literal) => {
        concat!(
            "ld1 {{v", $a, ".16b}}, [{row0}], {channels}\n",
            "ld1 {{v", $b, ".16b}}, [{row1}], {channels}\n",
            "ld1 {{v", $c, ".16b}}, [{row2}], {channels}\n",
        )
    };
}

/// Adds a tap's products (`$x` times `$w`), or those of two taps, to the sums in `v18` to `v21`.
#[rustfmt::skip]
macro_rules! taps {
    ($x:literal $w:literal $(, $y:literal $v:literal)?) => {
        concat!(
            "smull v22.8h, v", $x, ".8b, v", $w, ".8b\n smull2 v23.8h, v", $x, ".16b, v", $w, ".16b\n",
            $("smlal v22.8h, v", $y, ".8b, v", $v, ".8b\n smlal2 v23.8h, v", $y, ".16b, v", $v, ".16b\n",)?
            "saddw v18.4s, v18.4s, v22.4h\n saddw2 v19.4s, v19.4s, v22.8h\n",
            "saddw v20.4s, v20.4s, v23.4h\n saddw2 v21.4s, v21.4s, v23.8h\n",
        )
    };
}

/// A pixel from three columns of the picture; `v9` to `v17` are the weights, row by row.
#[rustfmt::skip]
macro_rules! pixel {
    (($a:literal $d:literal $g:literal) ($b:literal $e:literal $h:literal) ($c:literal $f:literal $i:literal)) => {
        concat!(
            "ld1 {{v18.4s-v21.4s}}, [{bias}]\n",
            taps!($a 9, $b 10), taps!($c 11, $d 12), taps!($e 13, $f 14), taps!($g 15, $h 16), taps!($i 17),
            "ld1 {{v24.4s-v27.4s}}, [{scale}]\n",
            levels!((18 19 20 21), (24 25 26 27), (28 29 30)),
            "st1 {{v18.16b}}, [{out}], {channels}\n",
            "subs {count}, {count}, #1\n",
        )
    };
}

/// A kernel for 3 x 3 windows: columns stay in registers while windows need them, so that the loop's body comes as often as
/// it takes until they are back in their places.
#[rustfmt::skip]
macro_rules! square {
    ($name:ident, $($body:expr),*) => {
        /// # Safety
        /// As [`Channels::run`], and the window is the one that the name says.
        unsafe fn $name(taps: &Taps) {
            let levels = Levels::new(taps.limits);
            for (block, first) in blocks(taps.channels).enumerate() {
                // SAFETY: a block's 16 channels lie within each pixel's `channels` and in the packed arrays. Lines hold
                // all windows of `count` pixels, there is at least one.
                unsafe {
                    asm!(
                        "ld1 {{v9.16b-v12.16b}}, [{weights}], #64",
                        "ld1 {{v13.16b-v16.16b}}, [{weights}], #64",
                        "ldr q17, [{weights}]",
                        "ld1 {{v28.16b-v30.16b}}, [{levels}]",
                        $($body,)*
                        weights = inout(reg) taps.weights.add(block * taps.taps * LANES) => _,
                        row0 = inout(reg) taps.starts[0].add(first) => _,
                        row1 = inout(reg) taps.starts[3].add(first) => _,
                        row2 = inout(reg) taps.starts[6].add(first) => _,
                        out = inout(reg) taps.out.add(first) => _,
                        count = inout(reg) taps.count => _,
                        bias = in(reg) taps.bias.add(first),
                        scale = in(reg) taps.scale.add(first),
                        channels = in(reg) taps.channels,
                        levels = in(reg) &raw const levels,
                        out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                        out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
                        out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                        out("v20") _, out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _,
                        out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _,
                        options(nostack),
                    );
                }
            }
        }
    };
}

square!(
    square,
    concat!(load_column!(0 1 2), load_column!(3 4 5), "2:"),
    concat!(load_column!(6 7 8), pixel!((0 1 2) (3 4 5) (6 7 8)), "b.eq 3f"),
    concat!(load_column!(0 1 2), pixel!((3 4 5) (6 7 8) (0 1 2)), "b.eq 3f"),
    concat!(load_column!(3 4 5), pixel!((6 7 8) (0 1 2) (3 4 5)), "b.ne 2b"),
    "3:"
);

square!(
    square_2,
    concat!(load_column!(0 1 2), "2:"),
    concat!(load_column!(3 4 5), load_column!(6 7 8), pixel!((0 1 2) (3 4 5) (6 7 8)), "b.eq 3f"),
    concat!(load_column!(3 4 5), load_column!(0 1 2), pixel!((6 7 8) (3 4 5) (0 1 2)), "b.ne 2b"),
    "3:"
);
