//! Which novelty score a head carries, from where on, and how well it tells a class that it never saw.

use ndarray::{Array2, Axis};

use super::fit::FitOptions;
use super::linear::Linear;
use super::novelty::{Distances, auroc, energies, threshold};
use super::parallel;
use crate::evaluate::Share;
use crate::model::{Novelty, NoveltyMethod};
use crate::report::NoveltyFigures;

/// The photos as the choice sees them: one row each.
pub(super) struct Known<'a> {
    /// Coordinates, lengths about 1.
    pub rows: Array2<f32>,
    /// Class of each.
    pub classes: Vec<usize>,
    /// Fold that holds it out.
    pub folds: Vec<usize>,
    /// All labels.
    pub labels: &'a [String],
    /// Energies by fits that did not see the photo, for as many photos as there are such.
    pub energies: Vec<f32>,
    /// Penalty of a linear head; other heads are too slow to be fitted once a class.
    pub strength: Option<f32>,
}

/// The score taken.
pub(super) struct Choice {
    /// For the manifest.
    pub novelty: Novelty,
    /// For the report.
    pub figures: NoveltyFigures,
    /// Means and covariance, in coordinates; none for the energy.
    pub distances: Option<Distances>,
}

/// Takes the score that tells left-out classes better: Mahalanobis' or, of linear heads, the energy. With two classes
/// leaving one out leaves nothing to tell apart, and the energy is taken unmeasured.
pub(super) fn choose(known: &Known, options: &FitOptions) -> Choice {
    let count = known.labels.len();
    let left_out = if count < 3 { Vec::new() } else { leave_each_class_out(known, options.threads) };
    let mean = |which: fn(&Areas) -> Option<f64>| {
        let areas: Vec<f64> = left_out.iter().filter_map(which).collect();
        areas.iter().sum::<f64>() / areas.len().max(1) as f64
    };
    let energy = count < 3 || mean(|areas| areas.energy) > mean(|areas| Some(areas.mahalanobis));
    let folds = known.folds.iter().max().map_or(0, |last| last + 1);
    let scores = if energy {
        known.energies.clone()
    } else {
        let parts = parallel::map(options.threads, folds, |fold| {
            let (seen, held_out) =
                (known.places(|row| known.folds[row] != fold), known.places(|row| known.folds[row] == fold));
            known.distances(&seen).scores(&known.rows.select(Axis(0), &held_out).view())
        });
        parts.into_iter().flatten().collect()
    };
    let threshold = threshold(&scores, options.novel_share);
    let novel = scores.iter().filter(|score| **score > threshold).count();
    let area = |areas: &Areas| if energy { areas.energy } else { Some(areas.mahalanobis) };
    let all: Vec<usize> = (0..known.classes.len()).collect();
    Choice {
        novelty: Novelty { method: if energy { NoveltyMethod::Energy } else { NoveltyMethod::Mahalanobis }, threshold },
        figures: NoveltyFigures {
            method: if energy { "energy" } else { "mahalanobis" }.to_owned(),
            threshold: f64::from(threshold),
            false_novel: Share::of(novel as u64, scores.len() as u64),
            auroc: left_out
                .iter()
                .filter_map(|areas| Some((known.labels[areas.class].clone(), area(areas)?)))
                .collect(),
        },
        distances: (!energy).then(|| known.distances(&all)),
    }
}

impl Known<'_> {
    fn places(&self, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.classes.len()).filter(|row| wanted(*row)).collect()
    }

    fn distances(&self, seen: &[usize]) -> Distances {
        let classes: Vec<usize> = seen.iter().map(|row| self.classes[*row]).collect();
        Distances::fit(&self.rows.select(Axis(0), seen).view(), &classes, self.labels.len())
    }
}

/// Areas under the curve with one class left out.
struct Areas {
    class: usize,
    mahalanobis: f64,
    energy: Option<f64>,
}

/// Fits on the first fold's training photos without a class; tells its photos from the known ones of that fold.
fn leave_each_class_out(known: &Known, threads: usize) -> Vec<Areas> {
    parallel::map(threads, known.labels.len(), |class| {
        let seen = known.places(|row| known.folds[row] != 0 && known.classes[row] != class);
        let held_out = known.places(|row| known.folds[row] == 0 && known.classes[row] != class);
        let novel = known.places(|row| known.classes[row] == class);
        let rows = |places: &[usize]| known.rows.select(Axis(0), places);
        let distances = known.distances(&seen);
        let mahalanobis = auroc(&distances.scores(&rows(&held_out).view()), &distances.scores(&rows(&novel).view()));
        let energy = known.strength.map(|strength| {
            let others: Vec<usize> =
                seen.iter().map(|row| known.classes[*row] - usize::from(known.classes[*row] > class)).collect();
            let seen = rows(&seen);
            let zero = Linear::zero(known.labels.len() - 1, seen.ncols());
            let fitted = zero.fit(&seen.view(), &others, strength, |_| {});
            let of = |places: &[usize]| energies(&fitted.logits(&rows(places).view()).view());
            auroc(&of(&held_out), &of(&novel))
        });
        Areas { class, mahalanobis, energy }
    })
}
