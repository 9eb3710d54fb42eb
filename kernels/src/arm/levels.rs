//! Requantization in registers, the same for all 64-bit instruction sets.

use std::arch::aarch64::*;
use std::arch::asm;

use crate::arithmetic::Limits;

/// In assembly: four vectors of sums and four of scales become 16 levels in the first one; then come [`Levels`]' vectors.
#[rustfmt::skip]
macro_rules! levels {
    (($a:literal $b:literal $c:literal $d:literal), ($($scale:literal)*), ($zero:literal $low:literal $high:literal)) => {
        concat!(
            levels!(@each "scvtf v", ".4s, v", ".4s", ($a $b $c $d)),
            levels!(@scale ($a $b $c $d), ($($scale)*)),
            levels!(@each "fcvtns v", ".4s, v", ".4s", ($a $b $c $d)),
            "sqxtn v", $a, ".4h, v", $a, ".4s\n sqxtn v", $c, ".4h, v", $c, ".4s\n",
            "sqxtn2 v", $a, ".8h, v", $b, ".4s\n sqxtn2 v", $c, ".8h, v", $d, ".4s\n",
            "sqadd v", $a, ".8h, v", $a, ".8h, v", $zero, ".8h\n sqadd v", $c, ".8h, v", $c, ".8h, v", $zero, ".8h\n",
            "sqxtun v", $a, ".8b, v", $a, ".8h\n sqxtun2 v", $a, ".16b, v", $c, ".8h\n",
            "umax v", $a, ".16b, v", $a, ".16b, v", $low, ".16b\n",
            "umin v", $a, ".16b, v", $a, ".16b, v", $high, ".16b\n",
        )
    };
    // Eight levels, in the lower half.
    (($a:literal $b:literal), ($($scale:literal)*), ($zero:literal $low:literal $high:literal)) => {
        concat!(
            levels!(@each "scvtf v", ".4s, v", ".4s", ($a $b)),
            levels!(@scale ($a $b), ($($scale)*)),
            levels!(@each "fcvtns v", ".4s, v", ".4s", ($a $b)),
            "sqxtn v", $a, ".4h, v", $a, ".4s\n sqxtn2 v", $a, ".8h, v", $b, ".4s\n",
            "sqadd v", $a, ".8h, v", $a, ".8h, v", $zero, ".8h\n sqxtun v", $a, ".8b, v", $a, ".8h\n",
            "umax v", $a, ".8b, v", $a, ".8b, v", $low, ".8b\n",
            "umin v", $a, ".8b, v", $a, ".8b, v", $high, ".8b\n",
        )
    };
    (@each $left:literal, $middle:literal, $right:literal, ($($v:literal)*)) => {
        concat!($($left, $v, $middle, $v, $right, "\n"),*)
    };
    (@scale ($($v:literal)*), ($($scale:literal)*)) => {
        concat!($("fmul v", $v, ".4s, v", $v, ".4s, v", $scale, ".4s\n"),*)
    };
}

/// [`Limits`] as vectors of integers.
///
/// `fcvtns` rounds half to even and saturates, and so does each step of narrowing. As the limits are integers, clamping
/// the narrowed levels gives what [`Limits::level`] gets by clamping before it rounds.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Levels {
    zero: int16x8_t,
    low: uint8x16_t,
    high: uint8x16_t,
}

impl Levels {
    #[inline(always)]
    pub fn new(limits: Limits) -> Self {
        let byte = |steps: f32| (steps as i32 + limits.zero) as u8;
        // SAFETY: every aarch64 processor that Rust supports has NEON.
        unsafe {
            Self {
                zero: vdupq_n_s16(limits.zero as i16),
                low: vdupq_n_u8(byte(limits.low)),
                high: vdupq_n_u8(byte(limits.high)),
            }
        }
    }

    /// The levels of two times eight sums.
    #[inline(always)]
    pub fn of(self, sums: [[int32x4_t; 2]; 2], scale: [[float32x4_t; 2]; 2]) -> uint8x16_t {
        // SAFETY: as above.
        unsafe {
            let steps = |sum, scale| vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sum), scale));
            let words = |[a, b]: [int32x4_t; 2], [left, right]: [float32x4_t; 2]| {
                let words = vqmovn_high_s32(vqmovn_s32(steps(a, left)), steps(b, right));
                vqaddq_s16(words, self.zero)
            };
            let bytes = vqmovun_high_s16(vqmovun_s16(words(sums[0], scale[0])), words(sums[1], scale[1]));
            vminq_u8(vmaxq_u8(bytes, self.low), self.high)
        }
    }
}

/// Activations minus 128, as signed bytes.
///
/// # Safety
/// As [`Gemm::gather`](crate::gemm::Gemm::gather).
pub(super) unsafe fn gather(from: *const u8, count: usize, to: *mut u8) {
    // SAFETY: every access stays below `count`.
    unsafe {
        let sign = vdupq_n_u8(0x80);
        if count >= 16 {
            asm!(
                "subs {left}, {left}, #64",
                "b.lt 3f",
                "2:",
                "ld1 {{v0.16b-v3.16b}}, [{from}], #64",
                "eor v0.16b, v0.16b, {sign:v}.16b",
                "eor v1.16b, v1.16b, {sign:v}.16b",
                "eor v2.16b, v2.16b, {sign:v}.16b",
                "eor v3.16b, v3.16b, {sign:v}.16b",
                "subs {left}, {left}, #64",
                "st1 {{v0.16b-v3.16b}}, [{to}], #64",
                "b.ge 2b",
                "3:",
                "adds {left}, {left}, #48",
                "b.lt 5f",
                "4:",
                "ldr q0, [{from}], #16",
                "eor v0.16b, v0.16b, {sign:v}.16b",
                "subs {left}, {left}, #16",
                "str q0, [{to}], #16",
                "b.ge 4b",
                "5:",
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                left = inout(reg) count => _,
                sign = in(vreg) sign,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                options(nostack),
            );
            // The last vector may overlap what was written before.
            let at = count - 16;
            vst1q_u8(to.add(at), veorq_u8(vld1q_u8(from.add(at)), sign));
        } else if count >= 8 {
            let sign = vget_low_u8(sign);
            let (first, last) = (vld1_u8(from), vld1_u8(from.add(count - 8)));
            vst1_u8(to, veor_u8(first, sign));
            vst1_u8(to.add(count - 8), veor_u8(last, sign));
        } else {
            for at in 0..count {
                *to.add(at) = *from.add(at) ^ 0x80;
            }
        }
    }
}
