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
#[cfg(target_arch = "arm")]
pub(crate) mod neon32;
#[cfg(target_arch = "arm")]
pub(crate) mod neon32_depthwise;
#[cfg(target_arch = "aarch64")]
mod neon_depthwise;
mod tiles;

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

/// Channels that depthwise kernels compute at once.
const LANES: usize = 16;

/// First channel of each block; the last block overlaps the one before, so that no lane is without a channel.
fn blocks(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels).step_by(LANES).map(move |first| first.min(channels - LANES))
}

/// Per block and tap: the 16 channels' weights.
fn pack_depthwise(weights: &[i8], taps: usize, channels: usize, packed: &mut [u8]) {
    let places = blocks(channels).flat_map(|first| (0..taps).map(move |tap| tap * channels + first));
    for (from, target) in places.zip(packed.chunks_exact_mut(LANES)) {
        for (target, weight) in target.iter_mut().zip(&weights[from..from + LANES]) {
            *target = *weight as u8;
        }
    }
}
