//! 64-bit and 32-bit ARM.
//!
//! The inner loops are inline assembly: it is stable where the dot product intrinsics and all 32-bit ones are not, and
//! compilers neither keep a whole tile in registers nor load four of them by one instruction.

#[cfg(target_arch = "aarch64")]
#[macro_use]
mod levels;
#[cfg(target_arch = "aarch64")]
pub(crate) mod dot;
#[cfg(target_arch = "aarch64")]
mod dot_depthwise;
#[cfg(target_arch = "aarch64")]
pub(crate) mod i8mm;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_depthwise;

/// The depthwise kernel for a window: 3 x 3 ones with the usual steps have their own.
#[cfg(target_arch = "aarch64")]
pub(crate) fn depthwise(isa: crate::Isa, window: &crate::Window) -> crate::depthwise::Channels {
    let square = window.size == crate::Size::new(3, 3);
    match (isa, window.stride.width) {
        (crate::Isa::Neon, 1) if square => neon_depthwise::SQUARE,
        (crate::Isa::Neon, 2) if square => neon_depthwise::SQUARE_2,
        (_, 1) if square => dot_depthwise::SQUARE,
        (_, 2) if square => dot_depthwise::SQUARE_2,
        _ => neon_depthwise::ANY,
    }
}
