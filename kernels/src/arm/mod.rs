//! 64-bit and 32-bit ARM.
//!
//! The inner loops are inline assembly: it is stable where the dot product intrinsics and all 32-bit ones are not, and
//! compilers neither keep a whole tile in registers nor load four of them by one instruction.

#[cfg(target_arch = "aarch64")]
pub(crate) mod dot;
#[cfg(target_arch = "aarch64")]
pub(crate) mod i8mm;
#[cfg(target_arch = "aarch64")]
mod levels;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon_depthwise;
