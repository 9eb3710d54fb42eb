//! Integer kernels for convolutional networks.
//!
//! Activations are `u8` with a zero point, channels last (`[rows, columns, channels]`, NHWC of batch 1), weights are `i8`
//! in -127..=127 with a scale per output channel, sums are exact `i32`. Each operator ends in the same
//! [requantization](arithmetic), so that **all instruction sets give the same bits**; the tests compare each with plain
//! loops.
//!
//! * [`Isa`]: the instruction sets, which of them this processor has, and which one is taken.
//! * [`Conv`]: convolution of any kernel size, pointwise and fully connected layers included.
//! * [`Depthwise`]: a filter a channel.
//! * [`elementwise`] and [`pool`]: sums, table look-ups, maxima and means.
//!
//! The interface is safe: sizes are checked once a call, and everything behind it relies on that. Unsafe code is confined
//! to this crate. Convolution is a matrix product over rows gathered from the picture: `gemm` packs rows and drives
//! one tile function an instruction set, which multiplies, accumulates and requantizes in registers.
//!
//! `tests/miri.sh` runs the kernels of x86-64 instruction sets that a processor lacks in an interpreter.

pub mod arithmetic;
#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
mod arm;
mod buffer;
mod conv;
mod depthwise;
pub mod elementwise;
mod gemm;
mod isa;
mod lines;
pub mod pool;
mod portable;
mod window;

#[cfg(target_arch = "x86_64")]
mod x86;

pub use arithmetic::{Output, Requantize};
pub use conv::Conv;
pub use depthwise::{Depthwise, MAX_TAPS};
pub use isa::Isa;
pub use window::{Padding, Size, Window};

/// Why an operator can't be built or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A length does not fit the declared shape.
    #[error("{what} has {found} values, {expected} are expected")]
    Length {
        /// Which argument.
        what: &'static str,
        /// Its length.
        found: usize,
        /// What the shape calls for.
        expected: usize,
    },
    /// A value that the arithmetic does not cover.
    #[error("{0}")]
    Range(String),
    /// This processor lacks the instruction set.
    #[error("this processor has no {0}")]
    Isa(Isa),
}

/// Compares a length with the product of a shape's sides, which may be too large a number.
pub(crate) fn check_shape(what: &'static str, found: usize, sides: &[usize]) -> Result<(), KernelError> {
    let product = sides.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
    let expected = product.ok_or_else(|| KernelError::Range(format!("{what} of shape {sides:?}")))?;
    check_length(what, found, expected)
}

pub(crate) fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), KernelError> {
    if found == expected { Ok(()) } else { Err(KernelError::Length { what, found, expected }) }
}
