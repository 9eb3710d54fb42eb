//! Dense(units, relu), Dense(classes, softmax), trained by Adam as Keras does it: its defaults, its initial weights.
//!
//! The first layer may hold 100 million weights. Its gradient is therefore never stored: it is computed for a block of
//! inputs at a time and Adam's step taken on the spot, so that training needs three numbers a weight and reads each
//! once a step.

use fastrand::Rng;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis};

use super::metrics::{class_weights, softmax};
use super::network::{Dense, Network};
use super::parallel;
use super::space::Scaling;

/// Inputs summed at a time: sums of blocks do not depend on threads.
const BLOCK: usize = 1024;
/// Inputs whose weights are updated at a time: their gradient stays in the processor's cache.
const UPDATE: usize = 64;
/// Gradients below it do not move a weight, and their squares would be slow, denormal numbers.
const NOTHING: f32 = 1e-15;
/// Adam's constants in Keras: rate, decay of both moments, and what keeps the quotient finite.
const RATE: f32 = 1e-3;
const FIRST: f32 = 0.9;
const SECOND: f32 = 0.999;
const EPSILON: f32 = 1e-7;

/// How it is trained.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe {
    /// Width of the hidden layer.
    pub units: usize,
    /// Passes over the photos.
    pub epochs: u32,
    /// Photos a step.
    pub batch: usize,
    /// Initial weights and order of the photos follow from it.
    pub seed: u64,
    /// Threads for one step; the result does not depend on it.
    pub threads: usize,
}

/// Weights with Adam's moments.
struct Trained {
    value: Array2<f32>,
    first: Array2<f32>,
    second: Array2<f32>,
}

impl Trained {
    fn new(value: Array2<f32>) -> Self {
        let zero = Array2::zeros(value.dim());
        Self { first: zero.clone(), second: zero, value }
    }

    /// Glorot's uniform initialisation, [inputs, outputs].
    fn glorot(inputs: usize, outputs: usize, rng: &mut Rng) -> Self {
        let limit = (6.0 / (inputs + outputs).max(1) as f32).sqrt();
        Self::new(Array2::from_shape_simple_fn((inputs, outputs), || (rng.f32() * 2.0 - 1.0) * limit))
    }

    /// A step along a gradient that is the product of `inputs` [batch, inputs] and `errors` [batch, outputs].
    fn step(&mut self, inputs: &ArrayView2<f32>, errors: &ArrayView2<f32>, rate: f32, threads: usize) {
        let inputs = inputs.axis_chunks_iter(Axis(1), UPDATE);
        let weights = self.value.axis_chunks_iter_mut(Axis(0), UPDATE).zip(inputs);
        let moments =
            self.first.axis_chunks_iter_mut(Axis(0), UPDATE).zip(self.second.axis_chunks_iter_mut(Axis(0), UPDATE));
        let mut parts: Vec<Part> = weights
            .zip(moments)
            .map(|((value, inputs), (first, second))| Part { value, first, second, inputs })
            .collect();
        let each = parts.len().div_ceil(threads.max(1)).max(1);
        let work = |parts: &mut [Part]| parts.iter_mut().for_each(|part| part.adam(errors, rate));
        if each >= parts.len() {
            return work(&mut parts);
        }
        std::thread::scope(|scope| {
            for parts in parts.chunks_mut(each) {
                scope.spawn(move || work(parts));
            }
        });
    }
}

/// The weights of a block of inputs.
struct Part<'a> {
    value: ArrayViewMut2<'a, f32>,
    first: ArrayViewMut2<'a, f32>,
    second: ArrayViewMut2<'a, f32>,
    inputs: ArrayView2<'a, f32>,
}

impl Part<'_> {
    /// Adam's step (Kingma & Ba, 2015), with the bias correction in `rate`.
    fn adam(&mut self, errors: &ArrayView2<f32>, rate: f32) {
        let gradient = self.inputs.t().dot(errors).as_standard_layout().into_owned();
        let rows = self.value.rows_mut().into_iter().zip(self.first.rows_mut()).zip(self.second.rows_mut());
        for (((value, first), second), gradient) in rows.zip(gradient.rows()) {
            // All four lie in order; plain slices let the compiler use vector instructions.
            let (Some(value), Some(first), Some(second)) =
                (value.into_slice(), first.into_slice(), second.into_slice())
            else {
                continue;
            };
            let weights = value.iter_mut().zip(first).zip(second).zip(gradient.to_slice().unwrap_or_default());
            for (((value, first), second), gradient) in weights {
                let gradient = if gradient.abs() < NOTHING { 0.0 } else { *gradient };
                *first += (1.0 - FIRST) * (gradient - *first);
                *second += (1.0 - SECOND) * (gradient * gradient - *second);
                *value -= rate * *first / (second.sqrt() + EPSILON);
            }
        }
    }
}

/// Rows to learn from.
pub(super) struct Lessons<'a> {
    /// All rows, raw.
    pub rows: ArrayView2<'a, f32>,
    /// For each photo the places of its rows; an epoch takes one of them.
    pub photos: Vec<Vec<usize>>,
    /// For each photo its class.
    pub classes: Vec<usize>,
    /// How many classes there are.
    pub count: usize,
}

/// A network in training, on standardised rows.
struct Mlp {
    scaling: Scaling,
    hidden: Trained,
    hidden_bias: Trained,
    last: Trained,
    last_bias: Trained,
    threads: usize,
}

impl Mlp {
    fn hidden(&self, rows: &ArrayView2<f32>) -> Array2<f32> {
        let blocks: Vec<_> =
            rows.axis_chunks_iter(Axis(1), BLOCK).zip(self.hidden.value.axis_chunks_iter(Axis(0), BLOCK)).collect();
        let parts = parallel::map(if blocks.len() < 8 { 1 } else { self.threads }, blocks.len(), |place| {
            let (rows, weights) = &blocks[place];
            rows.dot(weights)
        });
        let zero = Array2::zeros((rows.nrows(), self.hidden.value.ncols()));
        let sums = parts.into_iter().fold(zero, |sum, part| sum + part);
        (sums + &self.hidden_bias.value).mapv_into(|sum: f32| sum.max(0.0))
    }

    /// One step on standardised `rows`; `weights` are the rows' own.
    fn step(&mut self, rows: &ArrayView2<f32>, classes: &[usize], weights: &[f32], at: i32) {
        let hidden = self.hidden(rows);
        let mut errors = softmax(&(hidden.dot(&self.last.value) + &self.last_bias.value).view());
        for ((mut row, class), weight) in errors.rows_mut().into_iter().zip(classes).zip(weights) {
            if let Some(wanted) = row.get_mut(*class) {
                *wanted -= 1.0;
            }
            row.mapv_inplace(|error| error * weight / classes.len().max(1) as f32);
        }
        let mut hidden_errors = errors.dot(&self.last.value.t());
        hidden_errors.zip_mut_with(&hidden, |error, hidden| *error = if *hidden > 0.0 { *error } else { 0.0 });
        let rate = RATE * (1.0 - SECOND.powi(at)).sqrt() / (1.0 - FIRST.powi(at));
        let ones = Array2::ones((rows.nrows(), 1));
        self.last.step(&hidden.view(), &errors.view(), rate, 1);
        self.last_bias.step(&ones.view(), &errors.view(), rate, 1);
        self.hidden.step(rows, &hidden_errors.view(), rate, self.threads);
        self.hidden_bias.step(&ones.view(), &hidden_errors.view(), rate, 1);
    }

    fn logits(&self, raw: &ArrayView2<f32>) -> Array2<f32> {
        let scaled = self.scaling.apply(raw, 0, 1.0);
        self.hidden(&scaled.view()).dot(&self.last.value) + &self.last_bias.value
    }

    /// On raw features: the standardisation becomes part of the first layer.
    fn finish(self) -> Network {
        let Self { scaling, hidden, hidden_bias, last, last_bias, .. } = self;
        // The moments go first: they are twice as large as what stays.
        let mut weights = hidden.value;
        drop((hidden.first, hidden.second));
        let mut bias = hidden_bias.value.row(0).to_owned();
        for ((mut row, mean), scale) in weights.rows_mut().into_iter().zip(&scaling.mean).zip(&scaling.scale) {
            row.mapv_inplace(|weight| weight * scale);
            bias.scaled_add(-mean, &row);
        }
        let bias_of = |trained: Trained| -> Array1<f32> { trained.value.row(0).to_owned() };
        Network { layers: vec![Dense { weights, bias }, Dense { weights: last.value, bias: bias_of(last_bias) }] }
    }
}

/// Trains on `lessons`. After each pass `seen` gets the pass, from 1, and what gives logits of raw rows.
pub(super) fn fit(
    lessons: &Lessons,
    scaling: Scaling,
    recipe: &Recipe,
    mut seen: impl FnMut(u32, &dyn Fn(&ArrayView2<f32>) -> Array2<f32>),
) -> Network {
    let mut rng = Rng::with_seed(recipe.seed);
    let width = lessons.rows.ncols();
    let mut mlp = Mlp {
        scaling,
        hidden: Trained::glorot(width, recipe.units, &mut rng),
        hidden_bias: Trained::new(Array2::zeros((1, recipe.units))),
        last: Trained::glorot(recipe.units, lessons.count, &mut rng),
        last_bias: Trained::new(Array2::zeros((1, lessons.count))),
        threads: recipe.threads,
    };
    let count = lessons.photos.len();
    let weights: Vec<f32> =
        class_weights(&lessons.classes, lessons.count).iter().map(|weight| weight * count as f32).collect();
    let mut order: Vec<usize> = (0..count).collect();
    let mut at = 0_i32;
    for epoch in 1..=recipe.epochs {
        rng.shuffle(&mut order);
        for batch in order.chunks(recipe.batch.max(1)) {
            let rows: Vec<usize> =
                batch.iter().filter_map(|photo| rng.choice(&lessons.photos[*photo]).copied()).collect();
            let classes: Vec<usize> = batch.iter().map(|photo| lessons.classes[*photo]).collect();
            let weights: Vec<f32> = batch.iter().map(|photo| weights[*photo]).collect();
            let rows = mlp.scaling.apply(&lessons.rows.select(Axis(0), &rows).view(), 0, 1.0);
            at = at.saturating_add(1);
            mlp.step(&rows.view(), &classes, &weights, at);
        }
        seen(epoch, &|rows| {
            // In portions: all rows at once could be as large as the weights.
            let mut logits = Array2::zeros((rows.nrows(), lessons.count));
            for (rows, mut logits) in rows.axis_chunks_iter(Axis(0), 64).zip(logits.axis_chunks_iter_mut(Axis(0), 64)) {
                logits.assign(&mlp.logits(&rows));
            }
            logits
        });
    }
    mlp.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> (Array2<f32>, Vec<usize>) {
        // A disc inside a ring: no line tells them apart.
        let rows = Array2::from_shape_fn((60, 2), |(row, column)| {
            let (radius, angle) = (if row.is_multiple_of(2) { 0.5 } else { 2.0 }, row as f32 * 0.7);
            radius * if column == 0 { angle.cos() } else { angle.sin() }
        });
        (rows, (0..60).map(|row| row % 2).collect())
    }

    fn trained(threads: usize) -> (Network, Vec<usize>, Array2<f32>) {
        let (rows, classes) = ring();
        let photos = (0..60).map(|row| vec![row]).collect();
        let lessons = Lessons { rows: rows.view(), photos, classes: classes.clone(), count: 2 };
        let recipe = Recipe { units: 24, epochs: 60, batch: 10, seed: 7, threads };
        let network = fit(&lessons, Scaling::of(&rows.view()), &recipe, |_, _| {});
        let logits = network.logits(&rows.view());
        (network, classes, logits)
    }

    #[test]
    fn what_no_line_divides_is_learnt() {
        let (_, classes, logits) = trained(1);
        let right =
            logits.rows().into_iter().zip(&classes).filter(|(row, class)| crate::train::metrics::best(*row) == **class);
        assert!(right.count() >= 58);
    }

    #[test]
    fn the_weights_are_the_same_bits_for_any_number_of_threads() {
        let rows = Array2::from_shape_fn((12, 3 * BLOCK), |(row, column)| ((row * 31 + column * 7) % 13) as f32);
        let one = |threads| {
            let lessons = Lessons {
                rows: rows.view(),
                photos: (0..12).map(|row| vec![row]).collect(),
                classes: (0..12).map(|row| row % 3).collect(),
                count: 3,
            };
            let recipe = Recipe { units: 4, epochs: 2, batch: 5, seed: 1, threads };
            fit(&lessons, Scaling::of(&rows.view()), &recipe, |_, _| {})
        };
        assert_eq!(one(1), one(4));
    }
}
