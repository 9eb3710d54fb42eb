//! Fitting layers fold by fold and then on everything.

use ndarray::{Array2, Axis};

use super::calibrate::temperature;
use super::cross_validation::Split;
use super::fit::{FitOptions, Progress};
use super::linear::Linear;
use super::metrics::{Balanced, balanced};
use super::network::{Dense, Network};
use super::parallel;
use super::rows::Dataset;
use super::space::Space;
use crate::report::Epoch;

/// Strengths of the L2 penalty that cross-validation chooses from, falling: each fit starts from the one before.
const STRENGTHS: [f32; 6] = [1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5];

/// What training came to.
pub(super) struct Learnt {
    /// Fitted on everything.
    pub network: Network,
    /// Logits of rows by fits that did not see them.
    pub held_out: HeldOut,
    /// Means over the folds.
    pub epochs: Vec<Epoch>,
    /// L2 penalty, of a linear head.
    pub strength: Option<f32>,
}

/// Logits of rows that the fit did not see.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct HeldOut {
    /// Places of the rows in the dataset, ascending.
    pub rows: Vec<usize>,
    /// A row each.
    pub logits: Array2<f32>,
}

impl HeldOut {
    /// Puts the folds' logits together.
    fn join(splits: &[Split], parts: &[Array2<f32>], classes: usize) -> Self {
        let places = splits.iter().zip(parts).flat_map(|(split, part)| split.held_out.iter().zip(part.rows()));
        let mut places: Vec<_> = places.collect();
        places.sort_by_key(|(row, _)| **row);
        let mut logits = Array2::zeros((places.len(), classes));
        for (mut to, (_, from)) in logits.rows_mut().into_iter().zip(&places) {
            to.assign(from);
        }
        Self { rows: places.into_iter().map(|(row, _)| *row).collect(), logits }
    }

    /// Those of the photos themselves, without changed views, and their classes.
    pub fn plain(&self, dataset: &Dataset) -> (Self, Vec<usize>) {
        let (places, rows): (Vec<usize>, Vec<usize>) =
            self.rows.iter().copied().enumerate().filter(|(_, row)| dataset.plain[*row]).unzip();
        let truth = rows.iter().map(|row| dataset.class[*row]).collect();
        (Self { logits: self.logits.select(Axis(0), &places), rows }, truth)
    }
}

/// Multinomial logistic regression; cross-validation chooses the penalty by the calibrated, balanced log loss.
pub(super) fn linear(
    dataset: &Dataset,
    space: &Space,
    splits: &[Split],
    options: &FitOptions,
    progress: Progress,
) -> Learnt {
    let classes = dataset.labels.len();
    let zero = || Linear::zero(classes, space.rows.ncols());
    let pick = |rows: &[usize]| -> (Array2<f32>, Vec<usize>) {
        (space.rows.select(Axis(0), rows), rows.iter().map(|row| dataset.class[*row]).collect())
    };
    let paths = parallel::map(options.threads, splits.len(), |fold| {
        let (rows, truth) = pick(&splits[fold].train);
        let (held_out, _) = pick(&splits[fold].held_out);
        let mut now = zero();
        let path = STRENGTHS.map(|strength| {
            now = std::mem::replace(&mut now, zero()).fit(&rows.view(), &truth, strength, |_| {});
            now.logits(&held_out.view())
        });
        progress("cross-validation", fold + 1, splits.len());
        path
    });
    let loss = |place: usize| {
        let parts: Vec<Array2<f32>> = paths.iter().map(|path| path[place].clone()).collect();
        let (plain, truth) = HeldOut::join(splits, &parts, classes).plain(dataset);
        let heat = temperature(&plain.logits.view(), &truth);
        balanced(&(&plain.logits / heat as f32).view(), &truth).loss
    };
    let losses: Vec<f64> = (0..STRENGTHS.len()).map(loss).collect();
    let chosen = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap_or(0);
    let strength = STRENGTHS[chosen];

    // Once more from zero, step by step: the curve, and logits of the very fit that is delivered. The last job is it.
    let mut fits = parallel::map(options.threads, splits.len() + 1, |fold| {
        let all: Vec<usize> = (0..dataset.class.len()).collect();
        let train = splits.get(fold).map_or(&all, |split| &split.train);
        let held_out = splits.get(fold).map_or(&[][..], |split| &split.held_out);
        let (rows, truth) = pick(train);
        let (own, own_truth) = pick(&only_plain(dataset, train));
        let (validation, validation_truth) = pick(&only_plain(dataset, held_out));
        let mut curve = Vec::new();
        let fitted = zero().fit(&rows.view(), &truth, strength, |now| {
            if fold < splits.len() {
                let training = balanced(&now.logits(&own.view()).view(), &own_truth);
                curve.push((training, balanced(&now.logits(&validation.view()).view(), &validation_truth)));
            }
        });
        let logits = fitted.logits(&pick(held_out).0.view());
        (fitted, logits, curve)
    });
    let network = fits.pop().map(|(fitted, _, _)| {
        let (weights, bias) = space.to_features(&fitted.weights, fitted.bias.as_slice().unwrap_or_default());
        Network { layers: vec![Dense { weights: weights.reversed_axes(), bias: bias.into() }] }
    });
    let (parts, curves): (Vec<_>, Vec<_>) = fits.into_iter().map(|(_, logits, curve)| (logits, curve)).unzip();
    Learnt {
        network: network.unwrap_or(Network { layers: Vec::new() }),
        held_out: HeldOut::join(splits, &parts, classes),
        epochs: mean_curve(&curves),
        strength: Some(strength),
    }
}

fn only_plain(dataset: &Dataset, rows: &[usize]) -> Vec<usize> {
    rows.iter().copied().filter(|row| dataset.plain[*row]).collect()
}

/// Two dense layers by Adam. A network too large to be trained once a fold is held out from one fold only.
#[cfg(feature = "train")]
pub(super) fn mlp(
    dataset: &Dataset,
    units: usize,
    splits: &[Split],
    options: &FitOptions,
    progress: Progress,
) -> Learnt {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ndarray::ArrayView2;

    use super::mlp::{Lessons, Recipe, fit};
    use super::space::{Scaling, matrix};

    let classes = dataset.labels.len();
    let raw = matrix(&dataset.rows);
    let large = is_large(units, raw.ncols());
    let splits = if large { &splits[..1.min(splits.len())] } else { splits };
    // A large network takes all threads for each step, and all memory: one after the other.
    let (at_once, threads) = if large { (1, options.threads) } else { (options.threads, 1) };
    let (done, epochs) = (AtomicUsize::new(0), (splits.len() + 1) * options.epochs as usize);
    let fitted = |split: Option<&Split>| {
        let all: Vec<usize> = (0..dataset.class.len()).collect();
        let train = split.map_or(&all, |split| &split.train);
        let held_out = split.map_or(&[][..], |split| &split.held_out);
        let lessons = Lessons { rows: raw, count: classes, ..lessons(dataset, train) };
        let scaling = Scaling::of(&raw.select(Axis(0), &only_plain(dataset, train)).view());
        let recipe =
            Recipe { units, epochs: options.epochs, batch: options.batch as usize, seed: options.seed, threads };
        let measure = |rows: &[usize], logits: &dyn Fn(&ArrayView2<f32>) -> Array2<f32>| {
            let truth: Vec<usize> = rows.iter().map(|row| dataset.class[*row]).collect();
            balanced(&logits(&raw.select(Axis(0), rows).view()).view(), &truth)
        };
        let (own, validation) = (only_plain(dataset, train), only_plain(dataset, held_out));
        let mut curve = Vec::new();
        let network = fit(&lessons, scaling, &recipe, |_, logits| {
            if split.is_some() {
                curve.push((measure(&own, logits), measure(&validation, logits)));
            }
            progress("epochs", done.fetch_add(1, Ordering::Relaxed) + 1, epochs);
        });
        let logits = network.logits(&raw.select(Axis(0), held_out).view());
        (network, logits, curve)
    };
    let folds = parallel::map(at_once, splits.len(), |fold| {
        let (_, logits, curve) = fitted(splits.get(fold));
        (logits, curve)
    });
    // After the folds: their weights are gone, and its steps may use all threads.
    let (network, _, _) = fitted(None);
    let (parts, curves): (Vec<_>, Vec<_>) = folds.into_iter().unzip();
    Learnt { network, held_out: HeldOut::join(splits, &parts, classes), epochs: mean_curve(&curves), strength: None }
}

/// Whether cross-validation of so many weights would take too long.
pub(super) fn is_large(units: usize, features: usize) -> bool {
    units.saturating_mul(features) > 16_000_000
}

#[cfg(feature = "train")]
fn lessons<'a>(dataset: &Dataset, rows: &[usize]) -> super::mlp::Lessons<'a> {
    let mut photos: std::collections::BTreeMap<usize, Vec<usize>> = std::collections::BTreeMap::new();
    for row in rows {
        photos.entry(dataset.photo[*row]).or_default().push(*row);
    }
    let photos: Vec<Vec<usize>> = photos.into_values().collect();
    let class = |rows: &Vec<usize>| rows.first().map_or(0, |row| dataset.class[*row]);
    let classes = photos.iter().map(class).collect();
    super::mlp::Lessons { rows: ndarray::ArrayView2::from(&[[]; 0]), photos, classes, count: 0 }
}

/// Means over the folds; a fold that ended earlier stays where it was.
fn mean_curve(curves: &[Vec<(Balanced, Balanced)>]) -> Vec<Epoch> {
    let curves: Vec<_> = curves.iter().filter(|curve| !curve.is_empty()).collect();
    let length = curves.iter().map(|curve| curve.len()).max().unwrap_or(0);
    let mean = |at: usize, what: fn(&(Balanced, Balanced)) -> f64| {
        let values = curves.iter().filter_map(|curve| curve.get(at).or(curve.last())).map(what);
        values.sum::<f64>() / curves.len().max(1) as f64
    };
    (0..length)
        .map(|at| Epoch {
            epoch: at as u32 + 1,
            training_accuracy: mean(at, |(training, _)| training.accuracy),
            validation_accuracy: mean(at, |(_, validation)| validation.accuracy),
            training_loss: mean(at, |(training, _)| training.loss),
            validation_loss: mean(at, |(_, validation)| validation.loss),
        })
        .collect()
}
