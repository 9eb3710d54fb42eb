//! USMMLA matrix tile: two rows of eight unsigned bytes times two columns of eight signed ones an instruction.
//!
//! It multiplies activations as they are, so rows are read where they lie in the picture.

use std::arch::aarch64::*;
use std::arch::asm;

use super::levels::{Levels, store};
use crate::gemm::{Block, Gemm, Tile};

/// Five pairs: pictures of 7 x 7, 14 x 14, ... pixels waste few.
const ROWS: usize = 10;
const PAIRS: usize = ROWS / 2;
const COLUMNS: usize = 8;
const GROUP: usize = 8;

pub(crate) const GEMM: Gemm = Gemm { rows: ROWS, columns: COLUMNS, group: GROUP, element: 1, offset: 0, gather, block };

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
    unsafe { tiles(block) }
}

#[target_feature(enable = "i8mm")]
unsafe fn tiles(block: &Block) {
    let levels = Levels::new(block.limits);
    // SAFETY: bias and scale hold eight columns; the rest is passed on.
    unsafe {
        let scale = [vld1q_f32(block.scale), vld1q_f32(block.scale.add(4))];
        // Two columns' bias, for two rows.
        let bias: [int32x4_t; 4] = std::array::from_fn(|pair| {
            let two = vld1_s32(block.bias.add(2 * pair));
            vcombine_s32(two, two)
        });
        block.each_tile(|tile| {
            let sums = multiply(tile, bias);
            for (pair, sums) in sums.into_iter().enumerate() {
                let wide = sums.map(|sums| vreinterpretq_s64_s32(sums));
                let first = [vzip1q_s64(wide[0], wide[1]), vzip1q_s64(wide[2], wide[3])];
                let second = [vzip2q_s64(wide[0], wide[1]), vzip2q_s64(wide[2], wide[3])];
                let rows = [first, second].map(|row| row.map(|sums| vreinterpretq_s32_s64(sums)));
                let bytes = levels.of(rows, [scale; 2]);
                store(vget_low_u8(bytes), tile.out[2 * pair], block.columns);
                store(vget_high_u8(bytes), tile.out[2 * pair + 1], block.columns);
            }
        });
    }
}

/// A pair of rows in `$rows` times four pairs of columns, in `$w0` to `$w3`.
macro_rules! products {
    ($rows:literal, ($($weights:literal)*), ($($sum:literal)*)) => {
        concat!($("usmmla v", $sum, ".4s, v", $rows, ".16b, v", $weights, ".16b\n"),*)
    };
}

/// 16 products: loads a pair of rows, sorts their halves, multiplies.
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
macro_rules! half_pair {
    ($first:literal, $second:literal, $sums:tt) => {
        concat!(
            "ldr d8, [{row", $first, "}], #8\n ld1 {{v8.d}}[1], [{row", $second, "}], #8\n",
            products!(8, (0 1 2 3), $sums),
        )
    };
}

/// Sums of products, the bias included: per pair of rows and pair of columns two by two.
#[target_feature(enable = "i8mm")]
#[inline]
unsafe fn multiply(tile: &Tile<ROWS>, bias: [int32x4_t; 4]) -> [[int32x4_t; 4]; PAIRS] {
    let mut sums = [bias; PAIRS];
    // SAFETY: `groups` groups of eight bytes are read of each row and column, two at once while there are so many.
    unsafe {
        asm!(
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
            row0 = inout(reg) tile.rows[0] => _,
            row1 = inout(reg) tile.rows[1] => _,
            row2 = inout(reg) tile.rows[2] => _,
            row3 = inout(reg) tile.rows[3] => _,
            row4 = inout(reg) tile.rows[4] => _,
            row5 = inout(reg) tile.rows[5] => _,
            row6 = inout(reg) tile.rows[6] => _,
            row7 = inout(reg) tile.rows[7] => _,
            row8 = inout(reg) tile.rows[8] => _,
            row9 = inout(reg) tile.rows[9] => _,
            weights = inout(reg) tile.weights => _,
            groups = inout(reg) tile.groups => _,
            inout("v12") sums[0][0], inout("v13") sums[0][1], inout("v14") sums[0][2], inout("v15") sums[0][3],
            inout("v16") sums[1][0], inout("v17") sums[1][1], inout("v18") sums[1][2], inout("v19") sums[1][3],
            inout("v20") sums[2][0], inout("v21") sums[2][1], inout("v22") sums[2][2], inout("v23") sums[2][3],
            inout("v24") sums[3][0], inout("v25") sums[3][1], inout("v26") sums[3][2], inout("v27") sums[3][3],
            inout("v28") sums[4][0], inout("v29") sums[4][1], inout("v30") sums[4][2], inout("v31") sums[4][3],
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            options(nostack, readonly),
        );
    }
    sums
}
