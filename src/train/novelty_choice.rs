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
///
/// The better of two flatters itself on what it was chosen by, so the figures are of other photos than those.
pub(super) fn choose(known: &Known, options: &FitOptions) -> Choice {
    let count = known.labels.len();
    let left_out = |part, strength| match count {
        ..3 => Vec::new(),
        _ => leave_each_class_out(known, part, strength, options.threads),
    };
    let chosen_by = left_out(0, known.strength);
    let mean = |which: fn(&Areas) -> Option<f64>| {
        let areas: Vec<f64> = chosen_by.iter().filter_map(which).collect();
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
            auroc: left_out(1, known.strength.filter(|_| energy))
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

/// Fits on all folds but one without a class; tells photos of that class from the known ones held out. `part` 0 takes the
/// known ones of the first fold and new ones of the folds with even numbers, 1 those of the second and of the odd ones.
fn leave_each_class_out(known: &Known, part: usize, strength: Option<f32>, threads: usize) -> Vec<Areas> {
    parallel::map(threads, known.labels.len(), |class| {
        let seen = known.places(|row| known.folds[row] != part && known.classes[row] != class);
        let held_out = known.places(|row| known.folds[row] == part && known.classes[row] != class);
        let novel = known.places(|row| known.folds[row] % 2 == part && known.classes[row] == class);
        let rows = |places: &[usize]| known.rows.select(Axis(0), places);
        let distances = known.distances(&seen);
        let mahalanobis = auroc(&distances.scores(&rows(&held_out).view()), &distances.scores(&rows(&novel).view()));
        let energy = strength.map(|strength| {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::train::rows::Dataset;
    use crate::train::{space, testing};

    fn known(dataset: &Dataset, strength: Option<f32>) -> Known<'_> {
        Known {
            rows: space::matrix(&dataset.rows).to_owned() / 100.0,
            classes: dataset.class.clone(),
            folds: (0..dataset.class.len()).map(|row| row % 4).collect(),
            labels: &dataset.labels,
            energies: vec![0.0; dataset.class.len()],
            strength,
        }
    }

    #[test]
    fn the_better_score_is_chosen_by_some_photos_and_its_figures_are_of_others() {
        let dataset = testing::blobs(3, 40, 6, 1, 5);
        // Photos of a fold moved outwards are far from every mean and yet claimed with confidence: known by their energy.
        let chosen = |far: Option<usize>| {
            let mut known = known(&dataset, Some(1e-3));
            let centre = known.rows.mean_axis(Axis(0)).unwrap();
            for (mut row, fold) in known.rows.rows_mut().into_iter().zip(&known.folds) {
                if Some(*fold) == far {
                    let out = &row - &centre;
                    row.scaled_add(3.0, &out);
                }
            }
            let Choice { novelty, figures, .. } = choose(&known, &FitOptions::default());
            let mean = figures.auroc.iter().map(|(_, area)| area).sum::<f64>() / 3.0;
            (novelty.method, mean)
        };
        let (method, near) = chosen(None);
        assert!(method == NoveltyMethod::Mahalanobis && near > 0.9, "{near}");
        assert_eq!(chosen(Some(0)).0, NoveltyMethod::Energy, "they choose");
        let (method, far) = chosen(Some(1));
        assert_eq!(method, NoveltyMethod::Mahalanobis, "they do not choose");
        assert!(far < 0.6, "and yet they are in the figures: {far}");
    }

    #[test]
    fn photos_that_choose_do_not_move_the_figures() {
        let dataset = testing::blobs(3, 40, 6, 1, 5);
        // Photos of the last label in every other fold are made to lie where the first label lies.
        let area = |hidden: fn(usize) -> bool| {
            let mut known = known(&dataset, None);
            for row in (80..120).filter(|row| hidden(row % 4)) {
                let first = known.rows.row(row - 80).to_owned();
                known.rows.row_mut(row).assign(&first);
            }
            choose(&known, &FitOptions::default()).figures.auroc.pop().unwrap()
        };
        let apart = area(|_| false);
        assert!(apart.0 == "class_2" && apart.1 > 0.9, "{apart:?}");
        assert_eq!(area(|fold| fold % 2 == 0), apart);
        assert!(area(|fold| fold % 2 == 1).1 < 0.7);
    }
}
