//! 32-bit NEON matrix tile: as the 64-bit one for cores without dot product, with half as many registers.
//!
//! Neither intrinsics nor detection are stable for 32-bit ARM, and the usual target is compiled without NEON: everything is
//! assembly that gets addresses and no vectors.

use std::arch::asm;
use std::sync::LazyLock;

use super::tiles;
use crate::arithmetic::{Limits, ROUNDER};
use crate::gemm::{Block, Gemm};

const ROWS: usize = 2;
const COLUMNS: usize = 4;
const GROUP: usize = 16;

pub(crate) const GEMM: Gemm =
    Gemm { rows: ROWS, columns: COLUMNS, group: GROUP, element: 1, widen: None, offset: 128, gather, block };

/// Whether the kernel tells of NEON: `AT_HWCAP` of the auxiliary vector, pairs of words.
pub(crate) static DETECTED: LazyLock<bool> = LazyLock::new(|| {
    const AT_HWCAP: u32 = 16;
    const NEON: u32 = 1 << 12;
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    let vector = std::fs::read("/proc/self/auxv").unwrap_or_default();
    cfg!(target_endian = "little")
        && vector.chunks_exact(8).any(|pair| word(&pair[..4]) == AT_HWCAP && word(&pair[4..]) & NEON != 0)
});

/// What requantization adds and compares, in the order of [`levels`].
#[repr(C)]
pub(super) struct Levels {
    low: f32,
    high: f32,
    rounder: f32,
    /// The zero point, less the bits that [`ROUNDER`] left.
    zero: i32,
}

impl Levels {
    pub fn new(limits: Limits) -> Self {
        let zero = limits.zero - ROUNDER.to_bits() as i32;
        Self { low: limits.low, high: limits.high, rounder: ROUNDER, zero }
    }
}

/// Sums to levels of 32 bits, by the steps of [`Limits::requantize`]; `q4` to `q7` hold [`Levels`].
#[rustfmt::skip]
macro_rules! levels {
    ($(($sum:literal $scale:literal))*) => {
        concat!(
            $("vcvt.f32.s32 q", $sum, ", q", $sum, "\n"),*,
            $("vmul.f32 q", $sum, ", q", $sum, ", q", $scale, "\n"),*,
            $("vmax.f32 q", $sum, ", q", $sum, ", q4\n"),*,
            $("vmin.f32 q", $sum, ", q", $sum, ", q5\n"),*,
            $("vadd.f32 q", $sum, ", q", $sum, ", q6\n"),*,
            $("vadd.i32 q", $sum, ", q", $sum, ", q7\n"),*,
        )
    };
}
pub(super) use levels;

/// Loads [`Levels`].
#[rustfmt::skip]
macro_rules! load_levels {
    () => {
        "vld1.32 {{d8[], d9[]}}, [{levels}]!\n vld1.32 {{d10[], d11[]}}, [{levels}]!\n \
         vld1.32 {{d12[], d13[]}}, [{levels}]!\n vld1.32 {{d14[], d15[]}}, [{levels}]\n"
    };
}
pub(super) use load_levels;

/// As [`asm`], where the assembler may use NEON and the compiler keeps nothing in its registers.
#[rustfmt::skip]
macro_rules! neon {
    ($($argument:tt)*) => {
        asm!(
            ".fpu neon",
            $($argument)*
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
            out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d12") _, out("d13") _, out("d14") _,
            out("d15") _, out("d16") _, out("d17") _, out("d18") _, out("d19") _, out("d20") _, out("d21") _,
            out("d22") _, out("d23") _, out("d24") _, out("d25") _, out("d26") _, out("d27") _, out("d28") _,
            out("d29") _, out("d30") _, out("d31") _,
            options(nostack),
        )
    };
}
pub(super) use neon;

/// Activations minus 128, as signed bytes.
///
/// # Safety
/// As [`Gemm::gather`].
pub(super) unsafe fn gather(from: *const u8, count: usize, to: *mut u8) {
    let whole = count - count % 16;
    // SAFETY: 16 bytes are read and written a time, below `whole`; then single ones below `count`.
    unsafe {
        if whole > 0 {
            neon!(
                "vmov.i8 q1, #128",
                "2:",
                "vld1.8 {{d0, d1}}, [{from}]!",
                "veor q0, q0, q1",
                "vst1.8 {{d0, d1}}, [{to}]!",
                "subs {whole}, {whole}, #16",
                "bne 2b",
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                whole = inout(reg) whole => _,
            );
        }
        for at in whole..count {
            *to.add(at) = *from.add(at) ^ 0x80;
        }
    }
}

/// # Safety
/// As [`Gemm::block`].
unsafe fn block(block: &Block) {
    let levels = Levels::new(block.limits);
    // SAFETY: passed on.
    unsafe { tiles::each::<ROWS, COLUMNS>(block, |rows, out, pitch| multiply(block, &levels, rows, out, pitch)) }
}

/// Both rows (`q0`, `q1`) times two columns (`q2`, `q3`); `$add` puts pair sums into four sums.
#[rustfmt::skip]
macro_rules! columns {
    ($add:literal, $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "vld1.8 {{d4-d7}}, [{weights}:128]!\n",
            "vmull.s8 q4, d0, d4\n vmull.s8 q5, d2, d4\n vmull.s8 q6, d0, d6\n vmull.s8 q7, d2, d6\n",
            "vmlal.s8 q4, d1, d5\n vmlal.s8 q5, d3, d5\n vmlal.s8 q6, d1, d7\n vmlal.s8 q7, d3, d7\n",
            $add, " q", $a, ", q4\n",
            $add, " q", $b, ", q5\n",
            $add, " q", $c, ", q6\n",
            $add, " q", $d, ", q7\n",
        )
    };
}

/// 16 products of each row and column.
#[rustfmt::skip]
macro_rules! group {
    ($add:literal) => {
        concat!(
            "vld1.8 {{d0, d1}}, [{row0}]!\n vld1.8 {{d2, d3}}, [{row1}]!\n",
            columns!($add, 8 12 9 13),
            columns!($add, 10 14 11 15),
        )
    };
}

/// Computes a tile; sums of columns 0 to 3 are in `q8` to `q11` for the first row, in `q12` to `q15` for the second.
///
/// # Safety
/// The processor has NEON, the block is as its fields say, and four bytes are writable at `out` and at `pitch` bytes from
/// there.
unsafe fn multiply(block: &Block, levels: &Levels, rows: [*const u8; ROWS], out: *mut u8, pitch: usize) {
    // SAFETY: `groups` groups of 16 bytes are read of each row and column; there is at least one.
    unsafe {
        neon!(
            group!("vpaddl.s16"),
            "subs {groups}, {groups}, #1",
            "beq 3f",
            "2:",
            group!("vpadal.s16"),
            "subs {groups}, {groups}, #1",
            "bne 2b",
            "3:",
            "vpadd.i32 d16, d16, d17\n vpadd.i32 d18, d18, d19\n vpadd.i32 d20, d20, d21\n vpadd.i32 d22, d22, d23",
            "vpadd.i32 d24, d24, d25\n vpadd.i32 d26, d26, d27\n vpadd.i32 d28, d28, d29\n vpadd.i32 d30, d30, d31",
            "vpadd.i32 d16, d16, d18\n vpadd.i32 d17, d20, d22\n vpadd.i32 d18, d24, d26\n vpadd.i32 d19, d28, d30",
            "vld1.32 {{d0, d1}}, [{bias}]",
            "vld1.32 {{d2, d3}}, [{scale}]",
            "vadd.i32 q8, q8, q0",
            "vadd.i32 q9, q9, q0",
            load_levels!(),
            levels!((8 1)(9 1)),
            "vmovn.i32 d16, q8",
            "vmovn.i32 d17, q9",
            "vmovn.i16 d16, q8",
            "vst1.32 {{d16[0]}}, [{out}], {pitch}",
            "vst1.32 {{d16[1]}}, [{out}]",
            row0 = inout(reg) rows[0] => _,
            row1 = inout(reg) rows[1] => _,
            weights = inout(reg) block.weights => _,
            groups = inout(reg) block.groups => _,
            out = inout(reg) out => _,
            pitch = in(reg) pitch,
            bias = in(reg) block.bias,
            scale = in(reg) block.scale,
            levels = inout(reg) levels => _,
        );
    }
}
