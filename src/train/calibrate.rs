//! The temperature that makes 0.9 mean 0.9 (Guo et al., On Calibration of Modern Neural Networks, 2017).

use ndarray::{ArrayView1, ArrayView2};

use super::metrics::{class_weights, cross_entropy};

/// Temperatures tried. Where the held-out photos are all named rightly, any lower one looks better still, but says more
/// than so few photos can know: probabilities became 0 and 1.
const RANGE: (f64, f64) = (0.2, 20.0);

/// The temperature with the least held-out log loss, classes counted alike, against smoothed targets (Platt,
/// Probabilistic Outputs for Support Vector Machines, 1999): `n` photos of a class, all named rightly, show no more than
/// `(n + 1) / (n + 2)`.
pub(super) fn temperature(logits: &ArrayView2<f32>, truth: &[usize]) -> f64 {
    let mut photos = vec![0_usize; logits.ncols()];
    for class in truth {
        if let Some(photos) = photos.get_mut(*class) {
            *photos += 1;
        }
    }
    let weights = class_weights(truth, logits.ncols());
    let loss = |log: f64| {
        let cooled = logits / log.exp() as f32;
        let rows = cooled.rows().into_iter().zip(truth).zip(&weights);
        rows.map(|((row, class), weight)| f64::from(*weight) * smoothed(row, *class, photos.get(*class).copied())).sum()
    };
    // Golden section: the loss is convex in one over the temperature, so it has one valley.
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high): (f64, f64) = (RANGE.0.ln(), RANGE.1.ln());
    let inner = |low: f64, high: f64| (high - ratio * (high - low), low + ratio * (high - low));
    let (mut left, mut right) = inner(low, high);
    let (mut at_left, mut at_right): (f64, f64) = (loss(left), loss(right));
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

/// Cross-entropy against `(photos + 1) / (photos + 2)` for `class` and like shares of the rest for the others, nats.
fn smoothed(logits: ArrayView1<f32>, class: usize, photos: Option<usize>) -> f64 {
    let rest = 1.0 / (photos.unwrap_or(0) as f64 + 2.0);
    let others = logits.len().saturating_sub(1).max(1) as f64;
    let own = f64::from(logits.get(class).copied().unwrap_or(0.0));
    let mean = (logits.iter().map(|logit| f64::from(*logit)).sum::<f64>() - own) / others;
    // The logarithm of the sum of powers is in both terms, so that only the logits differ.
    cross_entropy(logits, class) + rest * (own - mean)
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
    fn held_out_photos_that_are_all_named_rightly_do_not_make_it_sure_of_the_next() {
        for (gap, photos) in [(6.0, 15), (30.0, 15), (0.1, 15), (6.0, 100)] {
            let truth: Vec<usize> = (0..2 * photos).map(|row| row % 2).collect();
            let logits =
                Array2::from_shape_fn((2 * photos, 2), |(row, class)| if truth[row] == class { gap } else { 0.0 });
            let found = temperature(&logits.view(), &truth);
            let sure = f64::from(softmax(&(&logits / found as f32).view())[[0, 0]]);
            assert!((0.199..=20.0).contains(&found), "{found}");
            // What Platt allows, reached where the range of temperatures lets it be.
            let most = (photos + 1) as f64 / (photos + 2) as f64;
            assert!(sure <= most + 1e-3, "{gap} {photos}: {sure}");
            if gap > 1.0 {
                assert!(sure > most - 1e-2, "{gap} {photos}: {sure}");
            }
        }
    }

    #[test]
    fn the_smoothed_loss_is_the_cross_entropy_of_its_targets() {
        let logits = ndarray::array![2.0_f32, -1.0, 0.5];
        let row = softmax(&logits.view().insert_axis(ndarray::Axis(0)));
        let targets = [0.9, 0.05, 0.05];
        let expected: f64 = row.iter().zip(targets).map(|(p, target)| -target * f64::from(*p).ln()).sum();
        assert!((smoothed(logits.view(), 0, Some(8)) - expected).abs() < 1e-6);
    }

    #[test]
    fn one_that_is_three_times_too_sure_is_cooled_by_three() {
        let (logits, truth) = calibrated(3000);
        let found = temperature(&(&logits * 3.0).view(), &truth);
        assert!((2.7..3.3).contains(&found), "{found}");
    }
}
