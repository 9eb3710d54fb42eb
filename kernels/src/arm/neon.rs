//! NEON matrix tile for cores without dot product: signed bytes, two products a 16-bit lane, then pairs into 32 bits.
//!
//! 16 products of one row and one column take `smull`, `smlal2`, `sadalp`. Two products of a byte in -128..=127 and a
//! weight in -127..=127 fit 16 bits: 2 * 128 * 127 = 32,512. Sums stay spread over four lanes until the end.

use std::arch::asm;

use super::levels::{Levels, gather};
use super::tiles;
use crate::gemm::{Block, Gemm};

const ROWS: usize = 2;
const COLUMNS: usize = 8;
const GROUP: usize = 16;

pub(crate) const GEMM: Gemm =
    Gemm { rows: ROWS, columns: COLUMNS, group: GROUP, element: 1, widen: None, offset: 128, gather, block };

/// # Safety
/// As [`Gemm::block`].
unsafe fn block(block: &Block) {
    let levels = Levels::new(block.limits);
    // SAFETY: passed on.
    unsafe { tiles::each::<ROWS, COLUMNS>(block, |rows, out, pitch| multiply(block, &levels, rows, out, pitch)) }
}

/// Both rows (in `$x` and `$y`) times two columns, all of a group's products or the lower half; `$add` puts pair sums into
/// four sums (`saddlp` at first, then `sadalp`).
#[rustfmt::skip]
macro_rules! columns {
    (half, $x:literal $y:literal, $left:literal $right:literal, $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "smull v2.8h, v", $x, ".8b, v", $left, ".8b\n smull v3.8h, v", $y, ".8b, v", $left, ".8b\n",
            "smull v4.8h, v", $x, ".8b, v", $right, ".8b\n smull v5.8h, v", $y, ".8b, v", $right, ".8b\n",
            "sadalp v", $a, ".4s, v2.8h\n sadalp v", $b, ".4s, v3.8h\n",
            "sadalp v", $c, ".4s, v4.8h\n sadalp v", $d, ".4s, v5.8h\n",
        )
    };
    ($add:literal, $x:literal $y:literal, $left:literal $right:literal, $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "smull v2.8h, v", $x, ".8b, v", $left, ".8b\n smull v3.8h, v", $y, ".8b, v", $left, ".8b\n",
            "smull v4.8h, v", $x, ".8b, v", $right, ".8b\n smull v5.8h, v", $y, ".8b, v", $right, ".8b\n",
            "smlal2 v2.8h, v", $x, ".16b, v", $left, ".16b\n smlal2 v3.8h, v", $y, ".16b, v", $left, ".16b\n",
            "smlal2 v4.8h, v", $x, ".16b, v", $right, ".16b\n smlal2 v5.8h, v", $y, ".16b, v", $right, ".16b\n",
            $add, " v", $a, ".4s, v2.8h\n ", $add, " v", $b, ".4s, v3.8h\n",
            $add, " v", $c, ".4s, v4.8h\n ", $add, " v", $d, ".4s, v5.8h\n",
        )
    };
}

/// 16 products of each row and column, or 8, from rows that are loaded here or were loaded into `$x` and `$y`.
#[rustfmt::skip]
macro_rules! group {
    ($add:tt) => { concat!("ldr q0, [{row0}], #16\n ldr q1, [{row1}], #16\n", group!($add, 0 1)) };
    ($add:tt, $x:literal $y:literal) => {
        concat!(
            "ld1 {{v6.16b-v9.16b}}, [{weights}], #64\n",
            columns!($add, $x $y, 6 7, 16 24 17 25),
            "ld1 {{v10.16b-v13.16b}}, [{weights}], #64\n",
            columns!($add, $x $y, 8 9, 18 26 19 27),
            columns!($add, $x $y, 10 11, 20 28 21 29),
            columns!($add, $x $y, 12 13, 22 30 23 31),
        )
    };
}

/// Adds up the partial sums of four columns into the first one's register, and their bias.
#[rustfmt::skip]
macro_rules! reduce {
    ($a:literal $b:literal $c:literal $d:literal, $bias:literal) => {
        concat!(
            "addp v", $a, ".4s, v", $a, ".4s, v", $b, ".4s\n addp v", $c, ".4s, v", $c, ".4s, v", $d, ".4s\n",
            "addp v", $a, ".4s, v", $a, ".4s, v", $c, ".4s\n add v", $a, ".4s, v", $a, ".4s, v", $bias, ".4s\n",
        )
    };
}

/// Computes a tile; sums of columns 0 to 7 are in `v16` to `v23` for the first row, in `v24` to `v31` for the second.
///
/// # Safety
/// The block is as its fields say, and eight bytes are writable at `out` and at `pitch` bytes from there.
#[inline(always)]
unsafe fn multiply(block: &Block, levels: &Levels, rows: [*const u8; ROWS], out: *mut u8, pitch: usize) {
    // Half a group at the end is worth a path of its own: many layers have 24 inputs.
    let half = usize::from(block.groups > 1 && (1..=GROUP / 2).contains(&(block.depth % GROUP)));
    // SAFETY: `groups` groups of 16 bytes are read of each row and column; there is at least one.
    unsafe {
        asm!(
            group!("saddlp"),
            "subs {groups}, {groups}, #1",
            "b.eq 3f",
            "tbz {groups}, #0, 2f",
            group!("sadalp"),
            "subs {groups}, {groups}, #1",
            "b.eq 3f",
            // Two groups a round.
            "2:",
            "ldp q0, q14, [{row0}], #32",
            "ldp q1, q15, [{row1}], #32",
            group!("sadalp", 0 1),
            group!("sadalp", 14 15),
            "subs {groups}, {groups}, #2",
            "b.ne 2b",
            "3:",
            "cbz {half}, 5f",
            group!(half),
            "5:",
            "ldp q0, q1, [{bias}]",
            reduce!(16 17 18 19, 0), reduce!(20 21 22 23, 1), reduce!(24 25 26 27, 0), reduce!(28 29 30 31, 1),
            "ldp q0, q1, [{scale}]",
            "ld1 {{v2.16b-v4.16b}}, [{levels}]",
            levels!((16 20 24 28), (0 1 0 1), (2 3 4)),
            "st1 {{v16.8b}}, [{out}], {pitch}",
            "st1 {{v16.d}}[1], [{out}]",
            row0 = inout(reg) rows[0] => _,
            row1 = inout(reg) rows[1] => _,
            weights = inout(reg) block.weights => _,
            groups = inout(reg) block.groups - half => _,
            half = in(reg) half,
            out = inout(reg) out => _,
            pitch = in(reg) pitch,
            bias = in(reg) block.bias,
            scale = in(reg) block.scale,
            levels = in(reg) levels,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
            out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
            out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _,
            out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _,
            out("v30") _, out("v31") _,
            options(nostack),
        );
    }
}
