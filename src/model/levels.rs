//! Feature vectors in a quarter of their bytes: where they are stored and sent, 256 levels are enough.

/// A feature vector as levels between its smallest and its largest value: feature i is about `low + step * levels[i]`, off
/// by half a step at most.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    /// The smallest feature.
    pub low: f32,
    /// Between two levels, not negative.
    pub step: f32,
    /// One a feature.
    pub levels: Vec<u8>,
}

impl Levels {
    /// Of these features; none if one is no finite number, or there are none.
    pub fn of(features: &[f32]) -> Option<Self> {
        let low = features.iter().copied().reduce(f32::min)?;
        let high = features.iter().copied().reduce(f32::max)?;
        let step = (high - low) / 255.0;
        if !step.is_finite() || features.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let level = |value: &f32| if step > 0.0 { ((value - low) / step).round() as u8 } else { 0 };
        Some(Self { low, step, levels: features.iter().map(level).collect() })
    }

    /// The features that these levels stand for.
    pub fn features(&self) -> Vec<f32> {
        self.levels.iter().map(|level| self.low + self.step * f32::from(*level)).collect()
    }
}
