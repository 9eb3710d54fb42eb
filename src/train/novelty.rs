//! Frames unlike anything the head was trained on.
//!
//! Mahalanobis: the squared distance to the nearest class mean, under a covariance that the classes share (Lee et al.,
//! A Simple Unified Framework for Detecting Out-of-Distribution Samples, 2018), in the few directions in which the photos
//! differ most. Energy: minus the logarithm of the sum of the exponentiated logits (Liu et al., Energy-based
//! Out-of-distribution Detection, 2020).

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::metrics::class_weights;
use super::space::Space;

/// Directions kept; each costs a row of weights. On arctic animals 32 tell a left-out class worse (mean area 0.85 against
/// 0.91) and 128 no better.
const DIRECTIONS: usize = 64;
/// Rounds of the subspace iteration; the leading directions have settled long before.
const ROUNDS: usize = 12;
/// Share of the mean variance that the covariance is moved to.
const SHRINKAGE: f64 = 0.02;

/// Where the classes lie, in whitened directions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Distances {
    /// A row a direction.
    pub directions: Array2<f32>,
    /// `place = directions features + offset`.
    pub offset: Array1<f32>,
    /// A row a class that had photos.
    pub means: Array2<f32>,
}

impl Distances {
    /// Fits means and shared covariance, classes counted alike. Same numbers for same rows.
    pub fn fit(rows: &ArrayView2<f32>, classes: &[usize], count: usize) -> Self {
        let weights = class_weights(classes, count);
        let present: Vec<usize> = (0..count).filter(|class| classes.contains(class)).collect();
        let mut means = Array2::<f32>::zeros((present.len(), rows.ncols()));
        let own = |class: &usize| present.iter().position(|other| other == class).unwrap_or(0);
        for ((row, class), weight) in rows.rows().into_iter().zip(classes).zip(&weights) {
            means.row_mut(own(class)).scaled_add(*weight * present.len() as f32, &row);
        }
        let centre = means.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(rows.ncols()));
        let roots = Array1::from_iter(weights.iter().map(|weight| weight.sqrt())).insert_axis(Axis(1));
        let spread = (rows.to_owned() - &centre) * &roots;
        let kept = DIRECTIONS.min(rows.ncols()).min(rows.nrows()).max(1);
        let axes = leading_directions(&spread, kept);
        let mut within = rows.to_owned();
        for (mut row, class) in within.rows_mut().into_iter().zip(classes) {
            row -= &means.row(own(class));
        }
        let within = (within * &roots).dot(&axes.t());
        let whitening = whitening(&within.t().dot(&within));
        let directions = whitening.dot(&axes);
        let offset = -directions.dot(&centre);
        let means = (means - &centre).dot(&directions.t());
        Self { directions, offset, means }
    }

    /// The same on raw features.
    pub fn to_features(&self, space: &Space) -> Self {
        let (directions, offset) = space.to_features(&self.directions, self.offset.as_slice().unwrap_or_default());
        Self { directions, offset: offset.into(), means: self.means.clone() }
    }

    /// Squared distance of each row to the nearest mean.
    pub fn scores(&self, rows: &ArrayView2<f32>) -> Vec<f32> {
        let places = rows.dot(&self.directions.t()) + &self.offset;
        let apart = |place: ArrayView1<f32>, mean: ArrayView1<f32>| -> f32 {
            place.iter().zip(mean).map(|(a, b)| (a - b) * (a - b)).sum()
        };
        let nearest =
            |place| self.means.rows().into_iter().map(|mean| apart(place, mean)).fold(f32::INFINITY, f32::min);
        places.rows().into_iter().map(nearest).collect()
    }
}

/// The directions of largest variance of centred rows, a row each, by subspace iteration.
fn leading_directions(rows: &Array2<f32>, count: usize) -> Array2<f32> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut axes = Array2::from_shape_simple_fn((count, rows.ncols()), || rng.f32() - 0.5);
    for _ in 0..ROUNDS {
        axes = axes.dot(&rows.t()).dot(rows);
        orthonormalise(&mut axes);
    }
    axes
}

/// Gram and Schmidt, twice for accuracy; a row that depends on those before becomes zero.
fn orthonormalise(axes: &mut Array2<f32>) {
    for place in 0..axes.nrows() {
        let (above, mut rest) = axes.view_mut().split_at(Axis(0), place);
        let mut own = rest.row_mut(0);
        let before = own.dot(&own).sqrt();
        for _ in 0..2 {
            for other in above.rows() {
                let share = other.dot(&own);
                own.scaled_add(-share, &other);
            }
        }
        let length = own.dot(&own).sqrt();
        own *= if length > before * 1e-5 { 1.0 / length } else { 0.0 };
    }
}

/// `L^-1` of the shrunk covariance `L L^T`: turns it into the identity.
fn whitening(covariance: &Array2<f32>) -> Array2<f32> {
    let side = covariance.nrows();
    let mean = covariance.diag().iter().map(|value| f64::from(*value)).sum::<f64>() / side.max(1) as f64;
    let mean = mean.max(1e-12);
    let mut shrunk = covariance.mapv(|value| f64::from(value) * (1.0 - SHRINKAGE));
    shrunk.diag_mut().mapv_inplace(|value| value + mean * SHRINKAGE);
    let factor = super::space::cholesky(shrunk);
    let mut inverse = Array2::<f64>::eye(side);
    for row in 0..side {
        let (above, mut own) = inverse.view_mut().split_at(Axis(0), row);
        let mut own = own.row_mut(0);
        for (above, factor) in above.rows().into_iter().zip(factor.row(row)) {
            own.scaled_add(-factor, &above);
        }
        own /= factor[[row, row]];
    }
    inverse.mapv(|value| value as f32)
}

/// Minus the logarithm of the sum of the exponentiated logits: high where no class is claimed.
pub(super) fn energies(logits: &ArrayView2<f32>) -> Vec<f32> {
    logits.rows().into_iter().map(|row| crate::model::energy(row.as_slice().unwrap_or(&row.to_vec()))).collect()
}

/// Probability that a novel score is above a known one, ties counted half (area under the ROC curve).
pub(super) fn auroc(known: &[f32], novel: &[f32]) -> f64 {
    let mut all: Vec<(f32, bool)> = known.iter().map(|score| (*score, false)).collect();
    all.extend(novel.iter().map(|score| (*score, true)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut below = 0.0;
    let mut wins = 0.0;
    for ties in all.chunk_by(|a, b| a.0 == b.0) {
        let novel = ties.iter().filter(|(_, novel)| *novel).count() as f64;
        let known = ties.len() as f64 - novel;
        wins += novel * (below + known / 2.0);
        below += known;
    }
    let pairs = (known.len() * novel.len()) as f64;
    if pairs > 0.0 { wins / pairs } else { 0.5 }
}

/// The score that `share` of the known ones lie above, between two of them where there are enough.
pub(super) fn threshold(known: &[f32], share: f64) -> f32 {
    let mut known = known.to_vec();
    known.sort_by(f32::total_cmp);
    let Some(last) = known.len().checked_sub(1) else { return f32::MAX };
    let at = (1.0 - share.clamp(0.0, 1.0)) * last as f64;
    let (low, high) = (known[at.floor() as usize], known[at.ceil() as usize]);
    // The next float up: known photos that score the same are not novel.
    (low + (high - low) * at.fract() as f32).next_up()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{space::matrix, testing};

    #[test]
    fn a_class_never_seen_lies_farther_than_known_ones() {
        let dataset = testing::blobs(4, 40, 48, 1, 2);
        let rows = matrix(&dataset.rows);
        let known: Vec<usize> =
            (0..160).filter(|row| dataset.class[*row] != 3 && dataset.photo[*row].is_multiple_of(2)).collect();
        let held_out: Vec<usize> =
            (0..160).filter(|row| dataset.class[*row] != 3 && !dataset.photo[*row].is_multiple_of(2)).collect();
        let novel: Vec<usize> = (0..160).filter(|row| dataset.class[*row] == 3).collect();
        let classes: Vec<usize> = known.iter().map(|row| dataset.class[*row]).collect();
        let distances = Distances::fit(&rows.select(Axis(0), &known).view(), &classes, 4);
        let scores = |places: &[usize]| distances.scores(&rows.select(Axis(0), places).view());
        let area = auroc(&scores(&held_out), &scores(&novel));
        assert!(area > 0.9, "{area}");
    }

    #[test]
    fn whitened_rows_have_unit_variance() {
        let mut rng = fastrand::Rng::with_seed(1);
        let rows = Array2::from_shape_fn((400, 3), |(_, column)| (rng.f32() - 0.5) * [1.0, 10.0, 30.0][column]);
        let covariance = rows.t().dot(&rows) / 400.0;
        let white = rows.dot(&whitening(&covariance).t());
        let variance = white.t().dot(&white) / 400.0;
        // The narrow direction is shrunk towards the mean variance, the widest is not.
        assert!((variance[[2, 2]] - 1.0).abs() < 0.15 && variance[[0, 0]] < 1.0, "{variance}");
    }

    #[test]
    fn the_area_is_one_for_parted_and_a_half_for_equal_scores() {
        assert_eq!(auroc(&[0.0, 1.0], &[2.0, 3.0]), 1.0);
        assert_eq!(auroc(&[1.0, 1.0], &[1.0, 1.0]), 0.5);
        assert_eq!(auroc(&[2.0], &[1.0]), 0.0);
    }

    #[test]
    fn about_the_wanted_share_of_known_photos_is_novel() {
        let known: Vec<f32> = (0..1000).map(|score| score as f32).collect();
        let above = known.iter().filter(|score| **score > threshold(&known, 0.01)).count();
        assert!((9..=11).contains(&above), "{above}");
        assert!(threshold(&[5.0], 0.01) > 5.0);
    }
}
