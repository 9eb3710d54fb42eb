//! NEON matrix tile for cores without dot product: signed bytes, two products a 16-bit lane, then pairs into 32 bits.
//!
//! 16 products of one row and one column take `smull`, `smlal2`, `sadalp`. Two products of a byte in -128..=127 and a
//! weight in -127..=127 fit 16 bits: 2 * 128 * 127 = 32,512. Sums stay spread over four lanes until the end.

use std::arch::aarch64::*;
use std::arch::asm;

use super::levels::{Levels, gather, store};
use crate::gemm::{Block, Gemm, Tile};

const ROWS: usize = 2;
const COLUMNS: usize = 8;
const GROUP: usize = 16;

pub(crate) const GEMM: Gemm =
    Gemm { rows: ROWS, columns: COLUMNS, group: GROUP, element: 1, offset: 128, gather, block };

/// # Safety
/// As [`Gemm::block`].
unsafe fn block(block: &Block) {
    let levels = Levels::new(block.limits);
    // SAFETY: bias and scale hold eight columns; the rest is passed on.
    unsafe {
        let bias = [vld1q_s32(block.bias), vld1q_s32(block.bias.add(4))];
        let scale = [vld1q_f32(block.scale), vld1q_f32(block.scale.add(4))];
        block.each_tile(|tile| {
            let sums = multiply(tile);
            let reduce = |row: [int32x4_t; COLUMNS]| {
                let four = |a, b, c, d| vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
                let [a, b, c, d, e, f, g, h] = row;
                [vaddq_s32(four(a, b, c, d), bias[0]), vaddq_s32(four(e, f, g, h), bias[1])]
            };
            let bytes = levels.of(sums.map(reduce), [scale; 2]);
            store(vget_high_u8(bytes), tile.out[1], block.columns);
            store(vget_low_u8(bytes), tile.out[0], block.columns);
        });
    }
}

/// Both rows (`v0`, `v1`) times two columns; `$add` puts pair sums into four sums (`saddlp` at first, then `sadalp`).
macro_rules! columns {
    ($add:literal, $left:literal, $right:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "smull v2.8h, v0.8b, v",
            $left,
            ".8b\n smull v3.8h, v1.8b, v",
            $left,
            ".8b\n",
            "smull v4.8h, v0.8b, v",
            $right,
            ".8b\n smull v5.8h, v1.8b, v",
            $right,
            ".8b\n",
            "smlal2 v2.8h, v0.16b, v",
            $left,
            ".16b\n smlal2 v3.8h, v1.16b, v",
            $left,
            ".16b\n",
            "smlal2 v4.8h, v0.16b, v",
            $right,
            ".16b\n smlal2 v5.8h, v1.16b, v",
            $right,
            ".16b\n",
            $add,
            " v",
            $a,
            ".4s, v2.8h\n",
            $add,
            " v",
            $b,
            ".4s, v3.8h\n",
            $add,
            " v",
            $c,
            ".4s, v4.8h\n",
            $add,
            " v",
            $d,
            ".4s, v5.8h\n",
        )
    };
}

/// 16 products of each row and column.
macro_rules! group {
    ($add:literal) => {
        concat!(
            "ld1 {{v6.16b-v9.16b}}, [{weights}], #64\n",
            "ldr q0, [{row0}], #16\n ldr q1, [{row1}], #16\n",
            columns!($add, 6, 7, 16, 24, 17, 25),
            "ld1 {{v10.16b-v13.16b}}, [{weights}], #64\n",
            columns!($add, 8, 9, 18, 26, 19, 27),
            columns!($add, 10, 11, 20, 28, 21, 29),
            columns!($add, 12, 13, 22, 30, 23, 31),
        )
    };
}

/// Sums of products, four partial ones each.
///
/// # Safety
/// The tile is as its fields say.
#[inline(always)]
unsafe fn multiply(tile: &Tile<ROWS>) -> [[int32x4_t; COLUMNS]; ROWS] {
    // SAFETY: `groups` groups of 16 bytes are read of each row and column; there is at least one.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); COLUMNS]; ROWS];
        asm!(
            group!("saddlp"),
            "subs {groups}, {groups}, #1",
            "b.eq 3f",
            "2:",
            group!("sadalp"),
            "subs {groups}, {groups}, #1",
            "b.ne 2b",
            "3:",
            row0 = inout(reg) tile.rows[0] => _,
            row1 = inout(reg) tile.rows[1] => _,
            weights = inout(reg) tile.weights => _,
            groups = inout(reg) tile.groups => _,
            out("v16") sums[0][0], out("v17") sums[0][1], out("v18") sums[0][2], out("v19") sums[0][3],
            out("v20") sums[0][4], out("v21") sums[0][5], out("v22") sums[0][6], out("v23") sums[0][7],
            out("v24") sums[1][0], out("v25") sums[1][1], out("v26") sums[1][2], out("v27") sums[1][3],
            out("v28") sums[1][4], out("v29") sums[1][5], out("v30") sums[1][6], out("v31") sums[1][7],
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
            out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
            options(nostack, readonly),
        );
        sums
    }
}
