//! Multinomial logistic regression for few examples with many features.
//!
//! The weights are a combination of the examples, so plain gradient descent is done on the coefficients of that
//! combination: the same steps, on a matrix of examples by examples instead of features.

/// Weight of the penalty on large weights.
const PENALTY: f32 = 3e-5;
const STEPS: usize = 3_000;

/// `logit[class] = bias[class] + sum over j of weights[class][j] * feature[j]`: the standardisation is folded in.
pub struct Regression {
    pub weights: Vec<Vec<f32>>,
    pub bias: Vec<f32>,
}

impl Regression {
    /// Fits `rows` (examples of equal length) to `classes` (0 to `count` - 1).
    pub fn fit(rows: &[&[f32]], classes: &[usize], count: usize) -> Self {
        let scaling = Scaling::of(rows);
        let scaled: Vec<Vec<f32>> = rows.iter().map(|row| scaling.apply(row)).collect();
        let products: Vec<Vec<f32>> = scaled.iter().map(|a| scaled.iter().map(|b| dot(a, b)).collect()).collect();
        let examples = rows.len();
        let mut coefficients = vec![vec![0.0_f32; examples]; count];
        let mut bias = vec![0.0_f32; count];
        // An example's product with itself is about 1 and the curvature of the loss at most half of it, so 1 is stable.
        let step = 1.0;
        for _ in 0..STEPS {
            let mut errors = vec![vec![0.0_f32; examples]; count];
            for (index, products) in products.iter().enumerate() {
                let logits: Vec<f32> =
                    (0..count).map(|class| dot(&coefficients[class], products) + bias[class]).collect();
                for (class, probability) in softmax(&logits).into_iter().enumerate() {
                    let wanted = if classes[index] == class { 1.0 } else { 0.0 };
                    errors[class][index] = (probability - wanted) / examples as f32;
                }
            }
            for class in 0..count {
                for (coefficient, error) in coefficients[class].iter_mut().zip(&errors[class]) {
                    *coefficient -= step * (error + PENALTY * *coefficient);
                }
                bias[class] -= step * errors[class].iter().sum::<f32>();
            }
        }
        scaling.fold(&scaled, &coefficients, bias)
    }

    /// Probability of each class.
    pub fn probabilities(&self, features: &[f32]) -> Vec<f32> {
        let logits: Vec<f32> =
            self.weights.iter().zip(&self.bias).map(|(weights, bias)| dot(weights, features) + bias).collect();
        softmax(&logits)
    }

    /// The most probable class.
    pub fn best(&self, features: &[f32]) -> usize {
        let probabilities = self.probabilities(features);
        (0..probabilities.len()).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b])).unwrap_or(0)
    }
}

/// Mean and scale of each feature; scaled, an example has a length of about 1.
struct Scaling {
    mean: Vec<f32>,
    scale: Vec<f32>,
}

impl Scaling {
    fn of(rows: &[&[f32]]) -> Self {
        let features = rows.first().map_or(0, |row| row.len());
        let share = 1.0 / rows.len().max(1) as f32;
        let mean: Vec<f32> = (0..features).map(|j| rows.iter().map(|row| row[j]).sum::<f32>() * share).collect();
        let spread: Vec<f32> = (0..features)
            .map(|j| (rows.iter().map(|row| (row[j] - mean[j]).powi(2)).sum::<f32>() * share).sqrt())
            .collect();
        // A feature that hardly moves here must not be blown up into one that decides.
        let floor = (spread.iter().sum::<f32>() / features.max(1) as f32).max(1e-6);
        let length = (features as f32).sqrt();
        let scale = spread.iter().map(|spread| 1.0 / (spread.max(floor) * length)).collect();
        Self { mean, scale }
    }

    fn apply(&self, row: &[f32]) -> Vec<f32> {
        row.iter().zip(&self.mean).zip(&self.scale).map(|((value, mean), scale)| (value - mean) * scale).collect()
    }

    /// From coefficients of scaled examples to weights of raw features.
    fn fold(&self, scaled: &[Vec<f32>], coefficients: &[Vec<f32>], bias: Vec<f32>) -> Regression {
        let weights: Vec<Vec<f32>> = coefficients
            .iter()
            .map(|coefficients| {
                let sum = |j: usize| -> f32 { scaled.iter().zip(coefficients).map(|(row, c)| row[j] * c).sum() };
                self.scale.iter().enumerate().map(|(j, scale)| sum(j) * scale).collect()
            })
            .collect();
        let bias = bias.iter().zip(&weights).map(|(bias, weights)| bias - dot(weights, &self.mean)).collect();
        Regression { weights, bias }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_lie_apart_are_told_apart_on_raw_features() {
        // Feature 0 tells the class, on a large offset and beside a feature that never moves.
        let rows: Vec<Vec<f32>> = (0..30)
            .map(|i| vec![100.0 + (i % 3) as f32 * 4.0 + (i as f32 * 0.37).sin(), 7.0, (i as f32).cos()])
            .collect();
        let views: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let classes: Vec<usize> = (0..30).map(|i| i % 3).collect();
        let regression = Regression::fit(&views, &classes, 3);
        for (row, class) in rows.iter().zip(&classes) {
            assert_eq!(regression.best(row), *class, "{row:?}");
        }
        let sum: f32 = regression.probabilities(&rows[0]).iter().sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }
}
