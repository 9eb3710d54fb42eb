//! SDOT depthwise convolution for 3 x 3 windows: 16 channels at once, a column's three taps a dot product.
//!
//! A column of the picture is sorted so that a channel's three bytes lie side by side (the fourth has weight 0), once for
//! the three windows that it belongs to.

use std::arch::asm;

use super::levels::{Levels, gather};
use super::{LANES, blocks};
use crate::depthwise::{Channels, Taps};

/// Bytes of a block's weights: three columns of 16 channels with four rows.
const BLOCK_BYTES: usize = 3 * 4 * LANES;

/// 3 x 3, side by side.
pub(super) const SQUARE: Channels = Channels { lanes: LANES, offset: 128, gather: Some(gather), pack, run: square };
/// 3 x 3, every other column.
pub(super) const SQUARE_2: Channels = Channels { run: square_2, ..SQUARE };

/// Per block, column and channel: the weights of three rows and a zero.
fn pack(weights: &[i8], _taps: usize, channels: usize, packed: &mut [u8]) {
    for (first, packed) in blocks(channels).zip(packed.chunks_exact_mut(BLOCK_BYTES)) {
        for (at, packed) in packed.chunks_exact_mut(4).enumerate() {
            let (column, lane) = (at / LANES, at % LANES);
            for (row, packed) in packed.iter_mut().enumerate().take(3) {
                *packed = weights[(3 * row + column) * channels + first + lane] as u8;
            }
        }
    }
}

/// Loads a column of the windows and sorts it into four registers of four channels.
#[rustfmt::skip]
macro_rules! load_column {
    ($a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "ld1 {{v24.16b}}, [{row0}], {channels}\n",
            "ld1 {{v25.16b}}, [{row1}], {channels}\n",
            "ld1 {{v26.16b}}, [{row2}], {channels}\n",
            "zip1 v27.16b, v24.16b, v25.16b\n zip2 v28.16b, v24.16b, v25.16b\n",
            "zip1 v24.16b, v26.16b, v26.16b\n zip2 v25.16b, v26.16b, v26.16b\n",
            "zip1 v", $a, ".8h, v27.8h, v24.8h\n zip2 v", $b, ".8h, v27.8h, v24.8h\n",
            "zip1 v", $c, ".8h, v28.8h, v25.8h\n zip2 v", $d, ".8h, v28.8h, v25.8h\n",
        )
    };
}

/// Adds a column's products to the sums in `v24` to `v27`.
#[rustfmt::skip]
macro_rules! products {
    (($($x:literal)*), ($($w:literal)*)) => { products!(@ (24 25 26 27) ($($x)*) ($($w)*)) };
    (@ ($($sum:literal)*) ($($x:literal)*) ($($w:literal)*)) => {
        concat!($("sdot v", $sum, ".4s, v", $x, ".16b, v", $w, ".16b\n"),*)
    };
}

/// A pixel from three columns; the first one's registers are free afterwards.
#[rustfmt::skip]
macro_rules! pixel {
    (($a:literal $b:literal $c:literal $d:literal) $middle:tt $right:tt) => {
        concat!(
            "ld1 {{v24.4s-v27.4s}}, [{bias}]\n",
            products!(($a $b $c $d), (12 13 14 15)), products!($middle, (16 17 18 19)), products!($right, (20 21 22 23)),
            "ld1 {{v", $a, ".4s-v", $d, ".4s}}, [{scale}]\n",
            levels!((24 25 26 27), ($a $b $c $d), (29 30 31)),
            "st1 {{v24.16b}}, [{out}], {channels}\n",
            "subs {count}, {count}, #1\n",
        )
    };
}

/// A kernel for 3 x 3 windows: columns stay in registers while windows need them, so that the loop's body comes as often as
/// it takes until they are back in their places.
#[rustfmt::skip]
macro_rules! square {
    ($name:ident, $inner:ident, $($body:expr),*) => {
        /// # Safety
        /// As [`Channels::run`], and the window is the one that the name says.
        unsafe fn $name(taps: &Taps) {
            // SAFETY: the instruction set was detected before this table was handed out; the rest is passed on.
            unsafe { $inner(taps) }
        }

        #[target_feature(enable = "dotprod")]
        unsafe fn $inner(taps: &Taps) {
            let levels = Levels::new(taps.limits);
            for (block, first) in blocks(taps.channels).enumerate() {
                // SAFETY: a block's 16 channels lie within each pixel's `channels` and in the packed arrays. Lines hold
                // all windows of `count` pixels, there is at least one.
                unsafe {
                    asm!(
                        "ld1 {{v12.16b-v15.16b}}, [{weights}], #64",
                        "ld1 {{v16.16b-v19.16b}}, [{weights}], #64",
                        "ld1 {{v20.16b-v23.16b}}, [{weights}]",
                        "ld1 {{v29.16b-v31.16b}}, [{levels}]",
                        $($body,)*
                        weights = inout(reg) taps.weights.add(block * BLOCK_BYTES) => _,
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
                        out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                        options(nostack),
                    );
                }
            }
        }
    };
}

square!(
    square,
    adjacent,
    concat!(load_column!(0 1 2 3), load_column!(4 5 6 7), "2:"),
    concat!(load_column!(8 9 10 11), pixel!((0 1 2 3) (4 5 6 7) (8 9 10 11)), "b.eq 3f"),
    concat!(load_column!(0 1 2 3), pixel!((4 5 6 7) (8 9 10 11) (0 1 2 3)), "b.eq 3f"),
    concat!(load_column!(4 5 6 7), pixel!((8 9 10 11) (0 1 2 3) (4 5 6 7)), "b.ne 2b"),
    "3:"
);

square!(
    square_2,
    every_other,
    concat!(load_column!(0 1 2 3), "2:"),
    concat!(load_column!(4 5 6 7), load_column!(8 9 10 11), pixel!((0 1 2 3) (4 5 6 7) (8 9 10 11)), "b.eq 3f"),
    // The first column's registers are free and become the last one.
    concat!(load_column!(4 5 6 7), load_column!(0 1 2 3), pixel!((8 9 10 11) (4 5 6 7) (0 1 2 3)), "b.ne 2b"),
    "3:"
);
