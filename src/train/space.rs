//! Features standardised, and turned into as few coordinates as the rows need.
//!
//! With more features than rows the rows span only as many directions as there are rows. Their coordinates there are
//! the rows of the Cholesky factor `L` of the Gram matrix `S S^T = L L^T` (`S`: standardised rows): same lengths, same
//! angles, so a fit with an L2 penalty comes out the same, on far narrower rows. What is linear in coordinates is led
//! back to raw features by [`Space::to_features`].

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, linalg::general_mat_mul};

use super::parallel;
use super::rows::Rows;

/// Columns of raw features that are standardised at a time: bounds the memory, and the sums do not depend on threads.
pub(super) const BLOCK: usize = 2048;
/// Added to the Gram matrix' diagonal, as a share of its mean: equal rows must not stop the factorisation.
const JITTER: f64 = 3e-6;

/// Standardised rows.
pub(super) struct Space<'a> {
    raw: ArrayView2<'a, f32>,
    scaling: Scaling,
    /// Lower triangle; only where rows were turned.
    factor: Option<Array2<f64>>,
    /// Coordinates, a row for each row of features; lengths are about 1.
    pub rows: Array2<f32>,
}

/// Mean and scale of each feature.
#[derive(Debug, Clone)]
pub(super) struct Scaling {
    /// Mean over the rows.
    pub mean: Vec<f32>,
    /// One over the spread; a feature that hardly moves is not blown up into one that decides.
    pub scale: Vec<f32>,
}

impl Scaling {
    /// Of rows of equal length.
    pub fn of(rows: &ArrayView2<f32>) -> Self {
        let share = 1.0 / rows.nrows().max(1) as f64;
        let mut mean = vec![0.0_f64; rows.ncols()];
        let mut spread = mean.clone();
        for row in rows.rows() {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value) * share);
        }
        for row in rows.rows() {
            let terms = spread.iter_mut().zip(&mean).zip(row);
            terms.for_each(|((sum, mean), value)| *sum += (f64::from(*value) - mean).powi(2) * share);
        }
        spread.iter_mut().for_each(|spread| *spread = spread.sqrt());
        let typical = spread.iter().sum::<f64>() / spread.len().max(1) as f64;
        let floor = (typical / 3.0).max(1e-9);
        let scale = spread.iter().map(|spread| (1.0 / spread.max(floor)) as f32).collect();
        Self { mean: mean.iter().map(|mean| *mean as f32).collect(), scale }
    }

    /// Standardises the columns from `first` on.
    pub fn apply(&self, columns: &ArrayView2<f32>, first: usize, by: f32) -> Array2<f32> {
        let mut out = columns.to_owned();
        for mut row in out.rows_mut() {
            let terms = row.iter_mut().zip(self.mean.iter().skip(first)).zip(self.scale.iter().skip(first));
            terms.for_each(|((value, mean), scale)| *value = (*value - mean) * scale * by);
        }
        out
    }
}

/// `rows` as a matrix.
pub(super) fn matrix(rows: &Rows) -> ArrayView2<'_, f32> {
    // The shape is the rows' own; an empty view stands for what can't happen.
    ArrayView2::from_shape((rows.len(), rows.width()), rows.values()).unwrap_or_else(|_| ArrayView2::from(&[[]; 0]))
}

impl<'a> Space<'a> {
    /// Standardises `rows`, and turns them where there are fewer of them than features.
    pub fn of(rows: &'a Rows, threads: usize) -> Self {
        let raw = matrix(rows);
        let scaling = Scaling::of(&raw);
        let length = length(&raw);
        if raw.nrows() >= raw.ncols() {
            let rows = scaling.apply(&raw, 0, length);
            return Self { raw, scaling, factor: None, rows };
        }
        let factor = cholesky(gram(&raw, &scaling, threads));
        let rows = factor.mapv(|value| value as f32);
        Self { raw, scaling, factor: Some(factor), rows }
    }

    /// Turns `values = directions coordinates + offset` into the same of raw features: weights, a row a direction, and
    /// offset.
    pub fn to_features(&self, directions: &Array2<f32>, offset: &[f32]) -> (Array2<f32>, Vec<f32>) {
        let length = length(&self.raw);
        let mut weights = match &self.factor {
            None => directions * length,
            Some(factor) => {
                let mixed = solve_transposed(factor, directions);
                let mut weights = Array2::zeros((directions.nrows(), self.raw.ncols()));
                for (block, (columns, mut out)) in self
                    .raw
                    .axis_chunks_iter(Axis(1), BLOCK)
                    .zip(weights.axis_chunks_iter_mut(Axis(1), BLOCK))
                    .enumerate()
                {
                    let scaled = self.scaling.apply(&columns, block * BLOCK, length);
                    general_mat_mul(length, &mixed, &scaled, 0.0, &mut out);
                }
                weights
            }
        };
        for mut row in weights.rows_mut() {
            row.iter_mut().zip(&self.scaling.scale).for_each(|(weight, scale)| *weight *= scale);
        }
        let shift = weights.rows().into_iter().map(|row| {
            row.iter().zip(&self.scaling.mean).map(|(weight, mean)| f64::from(*weight) * f64::from(*mean)).sum::<f64>()
        });
        let offset = offset.iter().zip(shift).map(|(offset, shift)| (f64::from(*offset) - shift) as f32).collect();
        (weights, offset)
    }
}

/// Makes a standardised row about 1 long.
fn length(raw: &ArrayView2<f32>) -> f32 {
    1.0 / (raw.ncols().max(1) as f32).sqrt()
}

fn gram(raw: &ArrayView2<f32>, scaling: &Scaling, threads: usize) -> Array2<f64> {
    let blocks: Vec<_> = raw.axis_chunks_iter(Axis(1), BLOCK).collect();
    let mut sum = Array2::<f64>::zeros((raw.nrows(), raw.nrows()));
    // As many at once as there are threads: each product is as large as the sum.
    for first in (0..blocks.len()).step_by(threads.max(1)) {
        let at_once = threads.max(1).min(blocks.len() - first);
        let products = parallel::map(threads, at_once, |place| {
            let block = first + place;
            let scaled = scaling.apply(&blocks[block], block * BLOCK, length(raw));
            scaled.dot(&scaled.t())
        });
        for product in products {
            sum.zip_mut_with(&product, |sum, value| *sum += f64::from(*value));
        }
    }
    sum
}

/// The lower triangle `L` of `L L^T = matrix`, whose diagonal is raised a little.
pub(super) fn cholesky(mut matrix: Array2<f64>) -> Array2<f64> {
    let side = matrix.nrows();
    let jitter = (matrix.diag().sum() / side.max(1) as f64 * JITTER).max(1e-12);
    for i in 0..side {
        let (done, mut rest) = matrix.view_mut().split_at(Axis(0), i);
        let mut row = rest.row_mut(0);
        for (j, above) in done.rows().into_iter().enumerate() {
            row[j] = (row[j] - first(&row.view(), j).dot(&first(&above, j))) / above[j];
        }
        let own = first(&row.view(), i);
        let square = row[i] + jitter - own.dot(&own);
        row[i] = square.max(jitter).sqrt();
        row.slice_axis_mut(Axis(0), (i + 1..).into()).fill(0.0);
    }
    matrix
}

fn first<'a>(row: &ArrayView1<'a, f64>, count: usize) -> ArrayView1<'a, f64> {
    (*row).split_at(Axis(0), count).0
}

/// `Y` of `Y L = directions`, a row each.
fn solve_transposed(factor: &Array2<f64>, directions: &Array2<f32>) -> Array2<f32> {
    let mut solved = directions.mapv(f64::from);
    for mut row in solved.rows_mut() {
        for place in (0..factor.nrows()).rev() {
            let value = row[place] / factor[[place, place]];
            row[place] = value;
            let above = first(&factor.row(place), place);
            row.slice_axis_mut(Axis(0), (..place).into()).scaled_add(-value, &above);
        }
    }
    solved.mapv(|value| value as f32)
}
