//! SDOT matrix tile: four products of signed bytes added to a lane, rows by lane of a register.

use std::arch::asm;

use super::levels::{Levels, gather};
use super::tiles;
use crate::gemm::{Block, Gemm};

/// Seven rows and not eight: pictures of the usual networks have 7 x 7, 14 x 14, ... pixels, and 14 sums leave room for a
/// row's and a column's registers.
const ROWS: usize = 7;
const COLUMNS: usize = 8;
const GROUP: usize = 4;

pub(crate) const GEMM: Gemm =
    Gemm { rows: ROWS, columns: COLUMNS, group: GROUP, element: 1, widen: None, offset: 128, gather, block };

/// # Safety
/// As [`Gemm::block`].
unsafe fn block(block: &Block) {
    // SAFETY: the instruction set was detected before this table was handed out; the rest is passed on.
    unsafe { whole(block) }
}

/// All rows (`v0` to `v6`, four products at `$lane`) times eight columns.
macro_rules! products {
    ($left:literal, $right:literal, $lane:literal) => {
        products!($left, $right, $lane, (0 16 17) (1 18 19) (2 20 21) (3 22 23) (4 24 25) (5 26 27) (6 28 29))
    };
    ($left:literal, $right:literal, $lane:literal, $(($row:literal $a:literal $b:literal))*) => {
        concat!($(
            "sdot v", $a, ".4s, v", $left, ".16b, v", $row, ".4b[", $lane, "]\n",
            "sdot v", $b, ".4s, v", $right, ".16b, v", $row, ".4b[", $lane, "]\n",
        )*)
    };
}

#[target_feature(enable = "dotprod")]
unsafe fn whole(block: &Block) {
    let levels = Levels::new(block.limits);
    // SAFETY: passed on.
    unsafe { tiles::each::<ROWS, COLUMNS>(block, |rows, out, pitch| multiply(block, &levels, rows, out, pitch)) }
}

/// Computes a tile; a row's sums are in two registers from `v16` on.
///
/// # Safety
/// The processor has the instruction set, the block is as its fields say, and eight bytes are writable at `out` and at six
/// further places, `pitch` bytes apart.
#[inline(always)]
unsafe fn multiply(block: &Block, levels: &Levels, rows: [*const u8; ROWS], out: *mut u8, pitch: usize) {
    // SAFETY: `groups` groups of four bytes are read of each row and column, four groups at once while there are so many.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "ldp q16, q17, [{bias}]",
            "ldp q18, q19, [{bias}]",
            "ldp q20, q21, [{bias}]",
            "ldp q22, q23, [{bias}]",
            "ldp q24, q25, [{bias}]",
            "ldp q26, q27, [{bias}]",
            "ldp q28, q29, [{bias}]",
            "subs {groups}, {groups}, #4",
            "b.lt 3f",
            "2:",
            "ld1 {{v8.16b-v11.16b}}, [{weights}], #64",
            "ldr q0, [{row0}], #16",
            "ldr q1, [{row1}], #16",
            "ldr q2, [{row2}], #16",
            "ldr q3, [{row3}], #16",
            "ldr q4, [{row4}], #16",
            "ldr q5, [{row5}], #16",
            "ldr q6, [{row6}], #16",
            products!(8, 9, 0),
            "ld1 {{v12.16b-v15.16b}}, [{weights}], #64",
            products!(10, 11, 1),
            products!(12, 13, 2),
            products!(14, 15, 3),
            "subs {groups}, {groups}, #4",
            "b.ge 2b",
            "3:",
            "adds {groups}, {groups}, #4",
            "b.eq 5f",
            "4:",
            "ldp q8, q9, [{weights}], #32",
            "ldr s0, [{row0}], #4",
            "ldr s1, [{row1}], #4",
            "ldr s2, [{row2}], #4",
            "ldr s3, [{row3}], #4",
            "ldr s4, [{row4}], #4",
            "ldr s5, [{row5}], #4",
            "ldr s6, [{row6}], #4",
            products!(8, 9, 0),
            "subs {groups}, {groups}, #1",
            "b.ne 4b",
            "5:",
            "ldp q0, q1, [{scale}]",
            "ld1 {{v2.16b-v4.16b}}, [{levels}]",
            levels!((16 17 18 19), (0 1 0 1), (2 3 4)),
            levels!((20 21 22 23), (0 1 0 1), (2 3 4)),
            levels!((24 25 26 27), (0 1 0 1), (2 3 4)),
            levels!((28 29), (0 1), (2 3 4)),
            "st1 {{v16.8b}}, [{out}], {pitch}",
            "st1 {{v16.d}}[1], [{out}], {pitch}",
            "st1 {{v20.8b}}, [{out}], {pitch}",
            "st1 {{v20.d}}[1], [{out}], {pitch}",
            "st1 {{v24.8b}}, [{out}], {pitch}",
            "st1 {{v24.d}}[1], [{out}], {pitch}",
            "st1 {{v28.8b}}, [{out}]",
            row0 = inout(reg) rows[0] => _,
            row1 = inout(reg) rows[1] => _,
            row2 = inout(reg) rows[2] => _,
            row3 = inout(reg) rows[3] => _,
            row4 = inout(reg) rows[4] => _,
            row5 = inout(reg) rows[5] => _,
            row6 = inout(reg) rows[6] => _,
            weights = inout(reg) block.weights => _,
            groups = inout(reg) block.groups => _,
            out = inout(reg) out => _,
            pitch = in(reg) pitch,
            bias = in(reg) block.bias,
            scale = in(reg) block.scale,
            levels = in(reg) levels,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
            out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
            out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _,
            out("v29") _,
            options(nostack),
        );
    }
}
