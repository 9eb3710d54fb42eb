//! Losses and accuracies that count each class alike, however many photos it has.

use ndarray::{Array2, ArrayView1, ArrayView2};

/// Softmax of each row, shifted by the largest logit so that nothing overflows.
pub(super) fn softmax(logits: &ArrayView2<f32>) -> Array2<f32> {
    let mut out = logits.to_owned();
    for mut row in out.rows_mut() {
        let largest = row.fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        row.mapv_inplace(|logit| (logit - largest).exp());
        let sum = row.sum();
        row.mapv_inplace(|power| power / sum);
    }
    out
}

/// Minus the logarithm of the probability that `logits` give to `class`, nats.
pub(super) fn cross_entropy(logits: ArrayView1<f32>, class: usize) -> f64 {
    let largest = logits.fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    sum.ln() - logits.get(class).map_or(0.0, |logit| f64::from(logit - largest))
}

/// The place of the largest value; the first of equal ones.
pub(super) fn best(values: ArrayView1<f32>) -> usize {
    let better = |a: (usize, f32), b: (usize, f32)| if b.1 > a.1 { b } else { a };
    values.iter().copied().enumerate().fold((0, f32::NEG_INFINITY), better).0
}

/// How `logits` do on `truth`, classes counted alike.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Balanced {
    /// Mean of the classes' shares named rightly.
    pub accuracy: f64,
    /// Mean of the classes' mean cross-entropies, nats.
    pub loss: f64,
}

/// Measures rows of `logits` against their true classes; classes without a row do not count.
pub(super) fn balanced(logits: &ArrayView2<f32>, truth: &[usize]) -> Balanced {
    let mut sums = vec![(0.0_f64, 0.0_f64, 0.0_f64); logits.ncols()];
    for (row, class) in logits.rows().into_iter().zip(truth) {
        if let Some((rows, right, loss)) = sums.get_mut(*class) {
            *rows += 1.0;
            *right += f64::from(u8::from(best(row) == *class));
            *loss += cross_entropy(row, *class);
        }
    }
    let present: Vec<_> = sums.into_iter().filter(|(rows, _, _)| *rows > 0.0).collect();
    let share = 1.0 / present.len().max(1) as f64;
    Balanced {
        accuracy: present.iter().map(|(rows, right, _)| right / rows).sum::<f64>() * share,
        loss: present.iter().map(|(rows, _, loss)| loss / rows).sum::<f64>() * share,
    }
}

/// A weight for each row that makes all classes weigh alike; they sum to 1.
pub(super) fn class_weights(classes: &[usize], count: usize) -> Vec<f32> {
    let mut rows = vec![0_usize; count];
    for class in classes {
        if let Some(rows) = rows.get_mut(*class) {
            *rows += 1;
        }
    }
    let present = rows.iter().filter(|rows| **rows > 0).count().max(1);
    let weight = |class: &usize| 1.0 / (rows.get(*class).copied().unwrap_or(1).max(1) * present) as f32;
    classes.iter().map(weight).collect()
}
