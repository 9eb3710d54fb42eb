//! Multinomial logistic regression with an L2 penalty, by L-BFGS (Nocedal & Wright, Numerical Optimization, 7.2).

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, linalg::general_mat_mul};

use super::metrics::{class_weights, cross_entropy, softmax};

/// Steps that the curvature is remembered of.
const MEMORY: usize = 10;
const MOST_STEPS: usize = 200;
/// The fit ends where the gradient has shrunk to this share of what it was at zero weights...
const GRADIENT: f64 = 1e-4;
/// ...or where five steps gained less than this share of the loss.
const GAIN: f64 = 1e-4;

/// `logits = rows weights^T + bias`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Linear {
    /// A row a class.
    pub weights: Array2<f32>,
    /// One a class.
    pub bias: Array1<f32>,
}

impl Linear {
    /// All zero.
    pub fn zero(classes: usize, width: usize) -> Self {
        Self { weights: Array2::zeros((classes, width)), bias: Array1::zeros(classes) }
    }

    /// A row of logits a row.
    pub fn logits(&self, rows: &ArrayView2<f32>) -> Array2<f32> {
        rows.dot(&self.weights.t()) + &self.bias
    }

    /// Minimises the mean cross-entropy, classes counted alike, plus `strength / 2` times the squared weights, from
    /// `self` on. Rows are best about 1 long. `seen` is shown the weights after each step.
    pub fn fit(self, rows: &ArrayView2<f32>, classes: &[usize], strength: f32, mut seen: impl FnMut(&Self)) -> Self {
        let problem =
            Problem { rows, classes, weights: class_weights(classes, self.bias.len()), strength: strength.max(0.0) };
        let (_, at_zero) = problem.at(&Self::zero(self.bias.len(), rows.ncols()));
        let small = at_zero.dot(&at_zero).sqrt() * GRADIENT;
        let mut now = self;
        let (mut loss, mut gradient) = problem.at(&now);
        let mut history: Vec<Pair> = Vec::new();
        let mut losses = vec![loss];
        for _ in 0..MOST_STEPS {
            if gradient.dot(&gradient).sqrt() <= small {
                break;
            }
            let direction = direction(&history, &gradient);
            let Some((next, next_loss, next_gradient, step)) = search(&problem, &now, loss, &gradient, &direction)
            else {
                break;
            };
            let change = direction.scaled(step);
            let mut turn = next_gradient.clone();
            turn.add(&gradient, -1.0);
            let curvature = change.dot(&turn);
            if curvature > 1e-10 * turn.dot(&turn) {
                history.push(Pair { change, turn, curvature });
                if history.len() > MEMORY {
                    history.remove(0);
                }
            }
            (now, loss, gradient) = (next, next_loss, next_gradient);
            seen(&now);
            losses.push(loss);
            if let [.., before, _, _, _, _, last] = losses.as_slice()
                && before - last <= GAIN * last.abs()
            {
                break;
            }
        }
        now
    }

    fn dot(&self, other: &Self) -> f64 {
        let product = |(a, b): (&f32, &f32)| f64::from(*a) * f64::from(*b);
        self.weights.iter().zip(&other.weights).map(product).sum::<f64>()
            + self.bias.iter().zip(&other.bias).map(product).sum::<f64>()
    }

    fn add(&mut self, other: &Self, by: f32) {
        self.weights.scaled_add(by, &other.weights);
        self.bias.scaled_add(by, &other.bias);
    }

    fn scaled(&self, by: f32) -> Self {
        Self { weights: &self.weights * by, bias: &self.bias * by }
    }
}

/// A step and what it did to the gradient.
struct Pair {
    change: Linear,
    turn: Linear,
    curvature: f64,
}

struct Problem<'a> {
    rows: &'a ArrayView2<'a, f32>,
    classes: &'a [usize],
    weights: Vec<f32>,
    strength: f32,
}

impl Problem<'_> {
    /// Loss and gradient.
    fn at(&self, point: &Linear) -> (f64, Linear) {
        let logits = point.logits(self.rows);
        let term =
            |((row, class), weight): ((ArrayView1<f32>, &usize), &f32)| f64::from(*weight) * cross_entropy(row, *class);
        let fit: f64 = logits.rows().into_iter().zip(self.classes).zip(&self.weights).map(term).sum();
        let mut errors = softmax(&logits.view());
        for ((mut row, class), weight) in errors.rows_mut().into_iter().zip(self.classes).zip(&self.weights) {
            if let Some(wanted) = row.get_mut(*class) {
                *wanted -= 1.0;
            }
            row.mapv_inplace(|error| error * weight);
        }
        let mut weights = point.weights.clone();
        let squares: f64 = weights.iter().map(|weight| f64::from(*weight).powi(2)).sum();
        general_mat_mul(1.0, &errors.t(), self.rows, self.strength, &mut weights);
        let bias = errors.sum_axis(ndarray::Axis(0));
        (fit + f64::from(self.strength) / 2.0 * squares, Linear { weights, bias })
    }
}

/// Minus the gradient, bent by the remembered curvature (the two-loop recursion).
fn direction(history: &[Pair], gradient: &Linear) -> Linear {
    let mut direction = gradient.scaled(-1.0);
    let mut shares = Vec::with_capacity(history.len());
    for pair in history.iter().rev() {
        let share = pair.change.dot(&direction) / pair.curvature;
        direction.add(&pair.turn, -share as f32);
        shares.push(share);
    }
    if let Some(last) = history.last() {
        direction = direction.scaled((last.curvature / last.turn.dot(&last.turn)) as f32);
    }
    for (pair, share) in history.iter().zip(shares.into_iter().rev()) {
        let back = pair.turn.dot(&direction) / pair.curvature;
        direction.add(&pair.change, (share - back) as f32);
    }
    direction
}

/// The first of ever smaller steps that gains enough (Armijo): point, loss, gradient and step.
fn search(
    problem: &Problem,
    now: &Linear,
    loss: f64,
    gradient: &Linear,
    direction: &Linear,
) -> Option<(Linear, f64, Linear, f32)> {
    let slope = gradient.dot(direction);
    if !slope.is_finite() || slope >= 0.0 {
        return None;
    }
    let mut step = 1.0_f32;
    for _ in 0..30 {
        let mut next = now.clone();
        next.add(direction, step);
        let (next_loss, next_gradient) = problem.at(&next);
        if next_loss <= loss + 1e-4 * f64::from(step) * slope {
            return Some((next, next_loss, next_gradient, step));
        }
        step *= 0.5;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(points: &[(f32, f32)]) -> Array2<f32> {
        Array2::from_shape_fn(
            (points.len(), 2),
            |(row, column)| if column == 0 { points[row].0 } else { points[row].1 },
        )
    }

    #[test]
    fn the_gradient_vanishes_at_the_fit() {
        let rows = rows(&[(0.1, 1.0), (0.9, 0.2), (-0.7, 0.3), (0.2, -1.0), (0.5, 0.5), (-0.4, -0.6)]);
        let classes = [0, 1, 2, 0, 1, 2];
        let fitted = Linear::zero(3, 2).fit(&rows.view(), &classes, 1e-2, |_| {});
        let weights = class_weights(&classes, 3);
        let problem = Problem { rows: &rows.view(), classes: &classes, weights, strength: 1e-2 };
        let (_, gradient) = problem.at(&fitted);
        assert!(gradient.dot(&gradient).sqrt() < 2e-3, "{}", gradient.dot(&gradient).sqrt());
    }

    #[test]
    fn a_rare_class_is_worth_as_much_as_a_frequent_one() {
        // 40 of class 0 and 2 of class 1 on overlapping ground: without weights everything would be class 0.
        let mut points: Vec<(f32, f32)> = (0..40).map(|i| (-0.5 + (i as f32 * 0.7).sin(), 0.0)).collect();
        points.extend([(0.6, 0.0), (0.4, 0.0)]);
        let classes: Vec<usize> = (0..42).map(|i| usize::from(i >= 40)).collect();
        let rows = rows(&points);
        let fitted = Linear::zero(2, 2).fit(&rows.view(), &classes, 1e-3, |_| {});
        let logits = fitted.logits(&rows.view());
        assert!(logits[[40, 1]] > logits[[40, 0]] && logits[[41, 1]] > logits[[41, 0]], "{logits:?}");
    }
}
