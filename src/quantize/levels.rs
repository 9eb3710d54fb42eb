//! Numbers to levels and back: u8 with a zero point a tensor, i8 with a scale a channel.

use crate::onnx::Constant;

/// Weights use -127 to 127: with -128 the sum of two products overflows 16 bits on some machines.
pub const LARGEST: f32 = 127.0;

/// A bias in units of the accumulator. It must leave room for the sum of products; the integer kernels refuse 2^29.
const LARGEST_BIAS: f64 = (1_u32 << 28) as f64;

/// How a tensor's values become u8: `level = round(value / scale) + zero`, half to even, saturating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// Step between two levels, above 0.
    pub scale: f32,
    /// The level that stands for 0.
    pub zero: u8,
}

impl Levels {
    /// Levels that cover `low` to `high` and hold 0 exactly.
    pub fn of_range(low: f32, high: f32) -> Self {
        let (low, high) = (f64::from(low.min(0.0)), f64::from(high.max(0.0)));
        let scale = ((high - low) / 255.0) as f32;
        if !(scale.is_normal() && scale.is_finite()) {
            // All values are 0, any step is right.
            return Self { scale: 1.0 / 255.0, zero: 0 };
        }
        let zero = (-low / f64::from(scale)).round_ties_even().clamp(0.0, 255.0) as u8;
        Self { scale, zero }
    }

    /// The value of level 0.
    pub fn low(self) -> f32 {
        -f32::from(self.zero) * self.scale
    }

    /// The value of level 255.
    pub fn high(self) -> f32 {
        (255.0 - f32::from(self.zero)) * self.scale
    }

    /// `value` after a round trip through its level.
    pub fn round_trip(self, value: f32) -> f32 {
        let zero = f32::from(self.zero);
        let level = ((value / self.scale).round_ties_even() + zero).clamp(0.0, 255.0);
        (level - zero) * self.scale
    }

    /// Whether saturation to u8 alone keeps values within `low` and `high`, so that a clip to those is not needed.
    pub fn saturates_within(self, low: f32, high: f32) -> bool {
        let slack = self.scale * 1e-3;
        self.low() >= low - slack && self.high() <= high + slack
    }
}

/// Weights as levels with a scale a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightLevels {
    /// -127 to 127, in the weights' order.
    pub levels: Vec<i8>,
    /// A scale a channel.
    pub scales: Vec<f32>,
    /// Elements between two of a channel and the next: the product of the sides behind the channel's axis.
    inner: usize,
}

impl WeightLevels {
    /// Quantizes `weights` symmetrically a channel of `axis`.
    ///
    /// `kept` are the scales that the weights were stored with, if they were: taken again where every weight still is a
    /// multiple of them, so that nothing is lost. `bias_units` are bias / input scale a channel: a channel of tiny
    /// weights gets a scale at which its bias fits.
    pub fn of(weights: &Constant, axis: usize, kept: Option<&[f32]>, bias_units: Option<&[f64]>) -> Option<Self> {
        let values = weights.floats()?;
        let channels = *weights.shape.get(axis)?;
        let inner = weights.shape.get(axis + 1..)?.iter().product::<usize>();
        if channels == 0 || inner == 0 {
            return None;
        }
        let channel_of = |place: usize| place / inner % channels;
        let mut largest = vec![0_f32; channels];
        for (place, value) in values.iter().enumerate() {
            let entry = &mut largest[channel_of(place)];
            *entry = entry.max(value.abs());
        }
        let mut scales: Vec<f32> = largest.iter().map(|largest| (largest / LARGEST).max(1e-12)).collect();
        if let Some(kept) = kept.filter(|kept| kept.len() == channels) {
            let fits = |place: usize, value: f32| {
                let level = value / kept[channel_of(place)];
                (level - level.round()).abs() < 1e-3 && level.abs() < LARGEST + 0.5
            };
            if values.iter().enumerate().all(|(place, value)| fits(place, *value)) {
                scales = kept.to_vec();
            }
        }
        for (scale, bias) in scales.iter_mut().zip(bias_units.unwrap_or_default()) {
            *scale = scale.max((bias.abs() / LARGEST_BIAS) as f32);
        }
        let level = |(place, value): (usize, &f32)| {
            (value / scales[channel_of(place)]).round_ties_even().clamp(-LARGEST, LARGEST) as i8
        };
        let levels = values.iter().enumerate().map(level).collect();
        Some(Self { levels, scales, inner })
    }

    /// The weights that the levels stand for.
    pub fn values(&self) -> Vec<f32> {
        let channel_of = |place: usize| place / self.inner % self.scales.len();
        self.levels
            .iter()
            .enumerate()
            .map(|(place, level)| f32::from(*level) * self.scales[channel_of(place)])
            .collect()
    }
}

/// A bias in units of the accumulator, `input scale * weight scale`; and that scale.
pub fn bias_levels(bias: &[f32], input_scale: f32, weight_scales: &[f32]) -> (Vec<i32>, Vec<f32>) {
    let scales: Vec<f32> = weight_scales.iter().map(|scale| scale * input_scale).collect();
    let level = |(bias, scale): (&f32, &f32)| (f64::from(*bias) / f64::from(*scale)).round_ties_even() as i32;
    (bias.iter().zip(&scales).map(level).collect(), scales)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn zero_is_always_a_level_and_errors_are_at_most_half_a_step() {
        for (low, high) in [(-1.0, 1.0), (0.0, 6.0), (-0.3, 7.1), (0.5, 3.0), (-4.0, -1.0)] {
            let levels = Levels::of_range(low, high);
            assert_eq!(levels.round_trip(0.0), 0.0);
            for step in 0..=1000 {
                let value = low + (high - low) * step as f32 / 1000.0;
                assert!((levels.round_trip(value) - value).abs() <= levels.scale * 0.51 + levels.scale, "{value}");
                if value > levels.low() && value < levels.high() {
                    assert!((levels.round_trip(value) - value).abs() <= levels.scale * 0.501, "{value} in {levels:?}");
                }
            }
        }
    }

    #[test]
    fn ranges_that_are_no_ranges_give_a_usable_scale() {
        for (low, high) in [(0.0, 0.0), (f32::NAN, f32::NAN), (0.0, f32::INFINITY), (0.0, 1e-44)] {
            assert!(Levels::of_range(low, high).scale.is_normal());
        }
    }

    #[test]
    fn weights_never_reach_minus_128() {
        let weights = Constant::f32([2, 3], vec![-1.0, 0.5, 1.0, -3.0, 0.1, 0.2]);
        let levels = WeightLevels::of(&weights, 0, None, None).unwrap();
        assert_eq!(levels.levels, [-127, 64, 127, -127, 4, 8]);
        // A kept scale under which a weight would be -128 is not kept.
        let levels = WeightLevels::of(&weights, 0, Some(&[1.0 / 128.0, 3.0 / 128.0]), None).unwrap();
        assert_eq!(levels.levels.iter().min(), Some(&-127));
        assert!(levels.values().iter().zip(weights.floats().unwrap()).all(|(a, b)| (a - b).abs() < 0.02));
    }

    #[test]
    fn weights_that_were_levels_before_come_back_unchanged() {
        let scales = [0.013_f32, 0.4];
        let stored = [5_i8, -100, 3, 127, -2, 0];
        let values = stored.iter().enumerate().map(|(place, level)| f32::from(*level) * scales[place / 3]).collect();
        let levels = WeightLevels::of(&Constant::f32([2, 3], values), 0, Some(&scales), None).unwrap();
        assert_eq!(levels.levels, stored);
        assert_eq!(levels.scales, scales);
    }

    #[test]
    fn the_axis_of_a_matrix_product_is_its_last() {
        let weights = Constant::f32([2, 2], vec![1.0, 10.0, -0.5, 5.0]);
        let levels = WeightLevels::of(&weights, 1, None, None).unwrap();
        assert_eq!(levels.scales, [1.0 / 127.0, 10.0 / 127.0]);
        assert_eq!(levels.levels, [127, 127, -64, 64]);
    }

    #[test]
    fn a_bias_on_tiny_weights_fits() {
        let weights = Constant::f32([1, 1], vec![1e-10]);
        let input = 0.02_f32;
        let units = [f64::from(3.0 / input)];
        let levels = WeightLevels::of(&weights, 0, None, Some(&units)).unwrap();
        let (bias, scales) = bias_levels(&[3.0], input, &levels.scales);
        assert!((bias[0] as f32 * scales[0] - 3.0).abs() < 1e-4);
        assert!(bias[0].unsigned_abs() < 1 << 29);
    }
}
