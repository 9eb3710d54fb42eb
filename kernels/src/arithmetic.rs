//! The one written arithmetic.
//!
//! `q = zero + round_half_even(clamp(f32(sum) * scale, low - zero, high - zero))`
//!
//! as onnxruntime's integer kernels do it: the exact `i32` sum is rounded to `f32` (to nearest, ties to even), multiplied
//! by one `f32` scale with no fused multiply-add, clamped, rounded half to even. Clamping before rounding is the same as
//! after, as the limits are integers, and it keeps every conversion in range.

use crate::KernelError;

/// Adding 1.5 * 2^23 to a value within +-2^22 leaves its nearest integer (ties to even) in the low bits.
pub(crate) const ROUNDER: f32 = 12_582_912.0;

/// The quantization of a result: its zero point and the range that a fused activation leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// The level that stands for 0.
    pub zero: u8,
    /// Smallest level, e.g. `zero` after a ReLU.
    pub low: u8,
    /// Largest level, e.g. that of 6 after a ReLU6.
    pub high: u8,
}

impl Output {
    /// All levels with this zero point.
    pub fn full(zero: u8) -> Self {
        Self { zero, low: 0, high: 255 }
    }

    /// Limits relative to the zero point.
    pub(crate) fn limits(self) -> Limits {
        Limits {
            zero: i32::from(self.zero),
            low: f32::from(self.low) - f32::from(self.zero),
            high: f32::from(self.high) - f32::from(self.zero),
        }
    }

    pub(crate) fn check(self) -> Result<(), KernelError> {
        if self.low > self.high {
            return Err(KernelError::Range(format!("the result's range {} to {} is empty", self.low, self.high)));
        }
        Ok(())
    }
}

/// How sums become levels: bias and scale a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Requantize {
    /// Added to the sum of `(x - zero) * w`, one an output channel.
    pub bias: Vec<i32>,
    /// Input scale * weight scale / output scale, one an output channel; finite, >= 0.
    pub scale: Vec<f32>,
    /// The result's levels.
    pub output: Output,
}

impl Requantize {
    pub(crate) fn check(&self, channels: usize) -> Result<(), KernelError> {
        crate::check_length("bias", self.bias.len(), channels)?;
        crate::check_length("scale", self.scale.len(), channels)?;
        if self.scale.iter().any(|scale| !scale.is_finite() || *scale < 0.0) {
            return Err(KernelError::Range("a scale is negative or no finite number".into()));
        }
        self.output.check()
    }
}

/// [`Output`] in the form that kernels use.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Limits {
    pub zero: i32,
    /// Lowest level minus zero.
    pub low: f32,
    /// Highest level minus zero.
    pub high: f32,
}

impl Limits {
    /// The level of a real value given in output steps.
    #[inline(always)]
    pub(crate) fn level(self, value: f32) -> u8 {
        // `max` first: a NaN (there is none) would become `low`.
        let clamped = value.max(self.low).min(self.high);
        let rounded = (clamped + ROUNDER).to_bits() as i32 - ROUNDER.to_bits() as i32;
        (rounded + self.zero) as u8
    }

    /// The level of an exact sum.
    #[inline(always)]
    pub(crate) fn requantize(self, sum: i32, scale: f32) -> u8 {
        self.level(sum as f32 * scale)
    }
}

/// Largest depth (products a sum) for which no `i32` sum of `u8 * i8` products can overflow, bias included.
pub(crate) const MAX_DEPTH: usize = 32_768;
/// Largest magnitude of a bias, for the same reason.
pub(crate) const MAX_BIAS: i32 = 1 << 29;

/// Checks that sums stay within `i32` and that no weight is -128, which some instruction sets can't multiply exactly.
pub(crate) fn check_sums(depth: usize, weights: &[i8], bias: &[i32]) -> Result<(), KernelError> {
    if depth == 0 || depth > MAX_DEPTH {
        return Err(KernelError::Range(format!("{depth} products a sum; 1 to {MAX_DEPTH} are supported")));
    }
    if weights.contains(&i8::MIN) {
        return Err(KernelError::Range("a weight is -128; -127 to 127 are supported".into()));
    }
    if bias.iter().any(|bias| bias.unsigned_abs() > MAX_BIAS as u32) {
        return Err(KernelError::Range(format!("a bias exceeds +-{MAX_BIAS}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_even_and_limits_saturate() {
        let limits = Output { zero: 10, low: 3, high: 250 }.limits();
        let level = |value: f32| limits.level(value);
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(level), [10, 12, 12, 10, 8]);
        assert_eq!([-7.4, -8.0, -1e9, 240.0, 241.0, 1e9].map(level), [3, 3, 3, 250, 250, 250]);
    }

    #[test]
    fn sums_beyond_24_bits_are_rounded_once_before_the_product() {
        let limits = Output::full(0).limits();
        assert_eq!(limits.requantize((1 << 24) + 1, 1.0 / (1 << 20) as f32), 16);
    }
}
