//! The temperature that makes 0.9 mean 0.9 (Guo et al., On Calibration of Modern Neural Networks, 2017).

use ndarray::ArrayView2;

use super::metrics::balanced;

/// Logarithms of the temperatures tried: 0.05 to 20.
const RANGE: (f64, f64) = (-3.0, 3.0);

/// The temperature with the least held-out log loss, classes counted alike.
pub(super) fn temperature(logits: &ArrayView2<f32>, truth: &[usize]) -> f64 {
    let loss = |log: f64| balanced(&(logits / log.exp() as f32).view(), truth).loss;
    // Golden section: the loss is convex in one over the temperature, so it has one valley.
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = RANGE;
    let inner = |low: f64, high: f64| (high - ratio * (high - low), low + ratio * (high - low));
    let (mut left, mut right) = inner(low, high);
    let (mut at_left, mut at_right) = (loss(left), loss(right));
    for _ in 0..40 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = inner(low, high).0;
            at_left = loss(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = inner(low, high).1;
            at_right = loss(right);
        }
    }
    ((low + high) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::train::metrics::softmax;

    /// Logits whose labels are drawn from their own softmax.
    fn calibrated(rows: usize) -> (Array2<f32>, Vec<usize>) {
        let mut rng = fastrand::Rng::with_seed(5);
        let logits = Array2::from_shape_simple_fn((rows, 3), || (rng.f32() - 0.5) * 8.0);
        let draw = |row: ndarray::ArrayView1<f32>, mut left: f32| {
            row.iter()
                .position(|p| {
                    left -= p;
                    left <= 0.0
                })
                .unwrap_or(2)
        };
        let probabilities = softmax(&logits.view());
        let truth = probabilities.rows().into_iter().map(|row| draw(row, rng.f32())).collect();
        (logits, truth)
    }

    #[test]
    fn a_calibrated_head_keeps_its_temperature() {
        let (logits, truth) = calibrated(3000);
        let found = temperature(&logits.view(), &truth);
        assert!((0.9..1.1).contains(&found), "{found}");
    }

    #[test]
    fn one_that_is_three_times_too_sure_is_cooled_by_three() {
        let (logits, truth) = calibrated(3000);
        let found = temperature(&(&logits * 3.0).view(), &truth);
        assert!((2.7..3.3).contains(&found), "{found}");
    }
}
