//! USMMLA matrix tile: two rows of eight unsigned bytes times two columns of eight signed ones an instruction.
//!
//! It multiplies activations as they are, so rows are read where they lie in the picture.

use std::arch::asm;

use super::levels::Levels;
use super::tiles;
use crate::gemm::{Block, Gemm};

/// Five pairs: pictures of 7 x 7, 14 x 14, ... pixels waste few.
const ROWS: usize = 10;
const COLUMNS: usize = 8;
const GROUP: usize = 8;

pub(crate) const GEMM: Gemm =
    Gemm { rows: ROWS, columns: COLUMNS, group: GROUP, element: 1, widen: None, offset: 0, gather, block };

/// # Safety
/// As [`Gemm::gather`].
unsafe fn gather(from: *const u8, count: usize, to: *mut u8) {
    // SAFETY: the caller vouches for both.
    unsafe { std::ptr::copy_nonoverlapping(from, to, count) }
}

/// # Safety
/// As [`Gemm::block`].
unsafe fn block(block: &Block) {
    // SAFETY: the instruction set was detected before this table was handed out; the rest is passed on.
    unsafe { whole(block) }
}

/// A pair of rows in `$rows` times four pairs of columns, in `$w0` to `$w3`.
#[rustfmt::skip]
macro_rules! products {
    ($rows:literal, ($($weights:literal)*), ($($sum:literal)*)) => {
        concat!($("usmmla v", $sum, ".4s, v", $rows, ".16b, v", $weights, ".16b\n"),*)
    };
}

/// 16 products: loads a pair of rows, sorts their halves, multiplies.
#[rustfmt::skip]
macro_rules! pair {
    ($first:literal, $second:literal, $sums:tt) => {
        concat!(
            "ldr q8, [{row", $first, "}], #16\n ldr q9, [{row", $second, "}], #16\n",
            "zip1 v10.2d, v8.2d, v9.2d\n zip2 v11.2d, v8.2d, v9.2d\n",
            products!(10, (0 1 2 3), $sums),
            products!(11, (4 5 6 7), $sums),
        )
    };
}

/// 8 products.
#[rustfmt::skip]
macro_rules! half_pair {
    ($first:literal, $second:literal, $sums:tt) => {
        concat!(
            "ldr d8, [{row", $first, "}], #8\n ld1 {{v8.d}}[1], [{row", $second, "}], #8\n",
            products!(8, (0 1 2 3), $sums),
        )
    };
}

/// A pair of rows' sums start with the bias.
#[rustfmt::skip]
macro_rules! start {
    ($a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "zip1 v", $a, ".2d, v0.2d, v0.2d\n zip2 v", $b, ".2d, v0.2d, v0.2d\n",
            "zip1 v", $c, ".2d, v1.2d, v1.2d\n zip2 v", $d, ".2d, v1.2d, v1.2d\n",
        )
    };
}

/// Sorts the sums of a pair of rows, two by two, into rows; requantizes and writes them.
#[rustfmt::skip]
macro_rules! finish {
    ($a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "zip1 v0.2d, v", $a, ".2d, v", $b, ".2d\n zip1 v1.2d, v", $c, ".2d, v", $d, ".2d\n",
            "zip2 v2.2d, v", $a, ".2d, v", $b, ".2d\n zip2 v3.2d, v", $c, ".2d, v", $d, ".2d\n",
            levels!((0 1 2 3), (4 5 4 5), (6 7 8)),
            "st1 {{v0.8b}}, [{out}], {pitch}\n st1 {{v0.d}}[1], [{out}], {pitch}\n",
        )
    };
}

#[target_feature(enable = "i8mm")]
unsafe fn whole(block: &Block) {
    let levels = Levels::new(block.limits);
    // SAFETY: passed on.
    unsafe { tiles::each::<ROWS, COLUMNS>(block, |rows, out, pitch| multiply(block, &levels, rows, out, pitch)) }
}

/// Computes a tile; a register from `v12` on holds the sums of two rows and two columns.
///
/// # Safety
/// The processor has the instruction set, the block is as its fields say, and eight bytes are writable at `out` and at nine
/// further places, `pitch` bytes apart.
#[inline(always)]
unsafe fn multiply(block: &Block, levels: &Levels, rows: [*const u8; ROWS], out: *mut u8, pitch: usize) {
    // SAFETY: `groups` groups of eight bytes are read of each row and column, two at once while there are so many.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "ldp q0, q1, [{bias}]",
            start!(12 13 14 15),
            start!(16 17 18 19),
            start!(20 21 22 23),
            start!(24 25 26 27),
            start!(28 29 30 31),
            "subs {groups}, {groups}, #2",
            "b.lt 3f",
            "2:",
            "ld1 {{v0.16b-v3.16b}}, [{weights}], #64",
            "ld1 {{v4.16b-v7.16b}}, [{weights}], #64",
            pair!(0, 1, (12 13 14 15)),
            pair!(2, 3, (16 17 18 19)),
            pair!(4, 5, (20 21 22 23)),
            pair!(6, 7, (24 25 26 27)),
            pair!(8, 9, (28 29 30 31)),
            "subs {groups}, {groups}, #2",
            "b.ge 2b",
            "3:",
            "tbz {groups}, #0, 4f",
            "ld1 {{v0.16b-v3.16b}}, [{weights}], #64",
            half_pair!(0, 1, (12 13 14 15)),
            half_pair!(2, 3, (16 17 18 19)),
            half_pair!(4, 5, (20 21 22 23)),
            half_pair!(6, 7, (24 25 26 27)),
            half_pair!(8, 9, (28 29 30 31)),
            "4:",
            "ldp q4, q5, [{scale}]",
            "ld1 {{v6.16b-v8.16b}}, [{levels}]",
            finish!(12 13 14 15),
            finish!(16 17 18 19),
            finish!(20 21 22 23),
            finish!(24 25 26 27),
            finish!(28 29 30 31),
            row0 = inout(reg) rows[0] => _,
            row1 = inout(reg) rows[1] => _,
            row2 = inout(reg) rows[2] => _,
            row3 = inout(reg) rows[3] => _,
            row4 = inout(reg) rows[4] => _,
            row5 = inout(reg) rows[5] => _,
            row6 = inout(reg) rows[6] => _,
            row7 = inout(reg) rows[7] => _,
            row8 = inout(reg) rows[8] => _,
            row9 = inout(reg) rows[9] => _,
            weights = inout(reg) block.weights => _,
            groups = inout(reg) block.groups => _,
            out = inout(reg) out => _,
            pitch = in(reg) pitch,
            bias = in(reg) block.bias,
            scale = in(reg) block.scale,
            levels = in(reg) levels,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack),
        );
    }
}
