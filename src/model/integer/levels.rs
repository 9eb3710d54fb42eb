//! What a level stands for.

/// A per-tensor quantization: `value = (level - zero) * scale`.
///
/// Levels are `u8` in here. Signed ones (-128 to 127, zero point likewise) are the same with 128 added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// A step; finite, > 0.
    pub scale: f32,
    /// The level that stands for 0.
    pub zero: u8,
}

impl Levels {
    /// The nearest level, ties to even, as ONNX' `QuantizeLinear`.
    pub fn level_of(self, value: f32) -> u8 {
        // `as` saturates, and a NaN becomes 0.
        ((value / self.scale).round_ties_even() + f32::from(self.zero)) as u8
    }

    /// As ONNX' `DequantizeLinear`.
    pub fn value_of(self, level: u8) -> f32 {
        (f32::from(level) - f32::from(self.zero)) * self.scale
    }

    /// The table that turns levels of `self` into levels of `other` through `function`.
    pub fn table(self, other: Self, function: impl Fn(f32) -> f32) -> Box<[u8; 256]> {
        Box::new(std::array::from_fn(|level| other.level_of(function(self.value_of(level as u8)))))
    }
}
