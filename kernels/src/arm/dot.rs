//! SDOT matrix tile: four products of signed bytes added to a lane, rows by lane of a register.

use std::arch::aarch64::*;
use std::arch::asm;

use super::levels::{Levels, gather, store};
use crate::gemm::{Block, Gemm, Tile};

/// Seven rows and not eight: pictures of the usual networks have 7 x 7, 14 x 14, ... pixels, and 14 sums leave room for a
/// row's and a column's registers.
const ROWS: usize = 7;
const COLUMNS: usize = 8;
const GROUP: usize = 4;

pub(crate) const GEMM: Gemm =
    Gemm { rows: ROWS, columns: COLUMNS, group: GROUP, element: 1, offset: 128, gather, block };

/// # Safety
/// As [`Gemm::block`].
unsafe fn block(block: &Block) {
    // SAFETY: the instruction set was detected before this table was handed out; the rest is passed on.
    unsafe { tiles(block) }
}

#[target_feature(enable = "dotprod")]
unsafe fn tiles(block: &Block) {
    let levels = Levels::new(block.limits);
    // SAFETY: bias and scale hold eight columns; the rest is passed on.
    unsafe {
        let bias = [vld1q_s32(block.bias), vld1q_s32(block.bias.add(4))];
        let scale = [vld1q_f32(block.scale), vld1q_f32(block.scale.add(4))];
        block.each_tile(|tile| {
            let sums = multiply(tile, bias);
            // Pairs of rows fill a register of levels.
            for pair in 0..ROWS / 2 {
                let (a, b) = (2 * pair, 2 * pair + 1);
                let bytes = levels.of([sums[a], sums[b]], [scale; 2]);
                store(vget_low_u8(bytes), tile.out[a], block.columns);
                store(vget_high_u8(bytes), tile.out[b], block.columns);
            }
            let bytes = levels.of([sums[ROWS - 1]; 2], [scale; 2]);
            store(vget_low_u8(bytes), tile.out[ROWS - 1], block.columns);
        });
    }
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

/// Sums of products, the bias included.
#[target_feature(enable = "dotprod")]
#[inline]
unsafe fn multiply(tile: &Tile<ROWS>, bias: [int32x4_t; 2]) -> [[int32x4_t; 2]; ROWS] {
    let mut sums = [bias; ROWS];
    // SAFETY: `groups` groups of four bytes are read of each row and column, four groups at once while there are so many.
    unsafe {
        asm!(
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
            row0 = inout(reg) tile.rows[0] => _,
            row1 = inout(reg) tile.rows[1] => _,
            row2 = inout(reg) tile.rows[2] => _,
            row3 = inout(reg) tile.rows[3] => _,
            row4 = inout(reg) tile.rows[4] => _,
            row5 = inout(reg) tile.rows[5] => _,
            row6 = inout(reg) tile.rows[6] => _,
            weights = inout(reg) tile.weights => _,
            groups = inout(reg) tile.groups => _,
            inout("v16") sums[0][0], inout("v17") sums[0][1], inout("v18") sums[1][0], inout("v19") sums[1][1],
            inout("v20") sums[2][0], inout("v21") sums[2][1], inout("v22") sums[3][0], inout("v23") sums[3][1],
            inout("v24") sums[4][0], inout("v25") sums[4][1], inout("v26") sums[5][0], inout("v27") sums[5][1],
            inout("v28") sums[6][0], inout("v29") sums[6][1],
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
            out("v15") _,
            options(nostack, readonly),
        );
    }
    sums
}
