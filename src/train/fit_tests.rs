//! The promises of a fit, on made-up features.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::frame::ContentHash;
use crate::model::{FileDigest, Head, HeadBackbone, HeadManifest, NoveltyMethod};

fn options(layers: Layers) -> FitOptions {
    FitOptions { layers, folds: 3, threads: 2, alerts: vec!["class_1".into()], ..FitOptions::default() }
}

fn fitted(dataset: &Dataset, options: &FitOptions) -> Outcome {
    fit(dataset, options, &|_, _, _| {}).unwrap()
}

/// The head as a trap would load it.
fn loaded(dataset: &Dataset, outcome: &Outcome) -> Head {
    let backbone = HeadBackbone { id: "made-up".into(), sha256: String::new(), features: dataset.rows.width() };
    let mut manifest = HeadManifest::new("test".into(), "1".into(), backbone, outcome.labels.clone());
    let digest = FileDigest { size: outcome.onnx.len() as u64, sha256: ContentHash::of(&outcome.onnx).to_string() };
    manifest.files.insert("head.onnx".into(), digest);
    manifest.novelty.clone_from(&outcome.novelty);
    Head::load(manifest, &outcome.onnx).unwrap()
}

fn right(head: &Head, dataset: &Dataset) -> f64 {
    let named = |row: &[f32]| {
        let scores = head.score(row).unwrap();
        (0..scores.len()).max_by(|a, b| scores[*a].1.total_cmp(&scores[*b].1)).unwrap()
    };
    let hits = dataset.rows.iter().zip(&dataset.class).filter(|(row, class)| named(row) == **class).count();
    hits as f64 / dataset.rows.len() as f64
}

#[test]
fn a_head_that_no_trap_would_take_because_nothing_alerts_is_told_and_how_to_mend_it() {
    let dataset = testing::blobs(3, 12, 6, 2, 4);
    let silent = |alerts: &[&str]| {
        let alerts = alerts.iter().map(|label| (*label).to_owned()).collect();
        let outcome = fitted(&dataset, &FitOptions { alerts, ..options(Layers::Linear) });
        outcome.notes.iter().any(|note| note.contains("No label alerts") && note.contains("--alert class_0"))
    };
    assert!(silent(&[]) && !silent(&["class_1"]));
}

#[test]
fn classes_that_lie_apart_are_learnt_and_hold_in_photos_held_out() {
    // More features than rows, and more rows than features: the two ways of the linear fit.
    for (photos, width) in [(12, 64), (40, 6)] {
        let dataset = testing::blobs(3, photos, width, 2, 4);
        let outcome = fitted(&dataset, &options(Layers::Linear));
        assert!(right(&loaded(&dataset, &outcome), &dataset) > 0.97, "{width}");
        let hits = outcome.held_out.iter().filter(|(_, photo)| photo.probabilities[photo.truth] > 0.5).count();
        assert!(hits as f64 > 0.9 * outcome.held_out.len() as f64, "{hits} of {}", outcome.held_out.len());
        assert_eq!(outcome.held_out.len(), dataset.photos.len());
        assert!(outcome.operating_points[0].recall.share >= 0.95);
        assert!(outcome.labels[1].alert && !outcome.labels[0].alert);
        assert!(!outcome.epochs.is_empty());
    }
}

#[test]
fn the_file_gives_the_fitters_own_probabilities() {
    for layers in [
        Layers::Linear,
        #[cfg(feature = "train")]
        Layers::Mlp { units: 8 },
    ] {
        let dataset = testing::blobs(3, 9, 20, 1, 5);
        let splits = cross_validation::splits(&dataset, 3, 0).unwrap();
        let space = space::Space::of(&dataset.rows, 1);
        let learnt = match layers {
            Layers::Linear => learner::linear(&dataset, &space, &splits, &options(layers), &|_, _, _| {}),
            #[cfg(feature = "train")]
            Layers::Mlp { units } => learner::mlp(&dataset, units, &splits, &options(layers), &|_, _, _| {}),
            #[cfg(not(feature = "train"))]
            Layers::Mlp { .. } => unreachable!(),
        };
        let outcome = fitted(&dataset, &options(layers));
        let head = loaded(&dataset, &outcome);
        let logits = learnt.network.logits(&space::matrix(&dataset.rows)) / outcome.calibration.temperature as f32;
        let expected = metrics::softmax(&logits.view());
        for (row, expected) in dataset.rows.iter().zip(expected.rows()) {
            for ((_, found), expected) in head.score(row).unwrap().iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
        }
    }
}

#[test]
fn the_file_gives_the_fitters_own_distance_and_calls_a_strange_frame_novel() {
    let dataset = testing::blobs(4, 20, 24, 1, 6);
    let rows = space::matrix(&dataset.rows);
    let distances = novelty::Distances::fit(&rows, &dataset.class, 4);
    let mut outcome = fitted(&dataset, &options(Layers::Linear));
    let dense = network::Dense { weights: ndarray::Array2::zeros((24, 4)), bias: ndarray::Array1::zeros(4) };
    outcome.onnx = network::Network { layers: vec![dense] }.encode(Some(&distances)).unwrap();
    outcome.novelty = Some(crate::model::Novelty { method: NoveltyMethod::Mahalanobis, threshold: 500.0 });
    let head = loaded(&dataset, &outcome);
    for (row, expected) in dataset.rows.iter().zip(distances.scores(&rows)) {
        let found = head.look(row).unwrap();
        assert!((found.novelty.unwrap() - expected).abs() < 1e-2 + expected * 1e-4, "{found:?} {expected}");
        assert_eq!(found.novel, Some(false));
    }
    assert_eq!(head.look(&[-300.0; 24]).unwrap().novel, Some(true));
}

#[test]
fn two_classes_are_told_from_the_rest_by_energy() {
    let dataset = testing::blobs(2, 20, 8, 1, 7);
    let outcome = fitted(&dataset, &options(Layers::Linear));
    assert_eq!(outcome.novelty.as_ref().unwrap().method, NoveltyMethod::Energy);
    let novel = loaded(&dataset, &outcome);
    let called = dataset.rows.iter().filter(|row| novel.look(row).unwrap().novel == Some(true)).count();
    assert!(called <= 4, "{called} of 40 known photos");
}

#[test]
fn the_same_bytes_come_out_for_any_number_of_threads() {
    let dataset = testing::blobs(3, 10, 40, 2, 8);
    for layers in [
        Layers::Linear,
        #[cfg(feature = "train")]
        Layers::Mlp { units: 6 },
    ] {
        let with = |threads| fitted(&dataset, &FitOptions { threads, ..options(layers) });
        assert!(with(1) == with(3), "{layers:?}");
    }
}

#[test]
fn what_can_not_become_a_head_is_refused_with_advice() {
    let good = testing::blobs(2, 6, 4, 1, 9);
    let refused = |change: &dyn Fn(&mut Dataset), options: &FitOptions| {
        let mut dataset = good.clone();
        change(&mut dataset);
        fit(&dataset, options, &|_, _, _| {}).unwrap_err()
    };
    let plain = options(Layers::Linear);
    assert!(matches!(refused(&|dataset| *dataset = Dataset::default(), &plain), FitError::OneClass { .. }));
    let broken = |dataset: &mut Dataset| {
        dataset.rows = Rows::new(4);
        (0..12).for_each(|row| dataset.rows.push(&[if row == 7 { f32::NAN } else { row as f32 }; 4]));
    };
    assert!(refused(&broken, &plain).to_string().contains("1/7.jpg"));
    let absent = FitOptions { alerts: vec!["bear".into()], ..plain.clone() };
    assert!(matches!(refused(&|_| {}, &absent), FitError::UnknownAlert { .. }));
    let other = |dataset: &mut Dataset| dataset.labels = vec!["bear".into(), "other".into()];
    let quiet = FitOptions { alerts: vec!["other".into()], ..plain.clone() };
    assert!(matches!(refused(&other, &quiet), FitError::BackgroundAlert { .. }));
    let doubles = |dataset: &mut Dataset| {
        dataset.cluster[..6].fill(0);
        dataset.copies[..6].fill(0);
    };
    assert!(matches!(refused(&doubles, &plain), FitError::TooFewPhotos { photos: 1, .. }));
    assert!(matches!(refused(&|dataset| dataset.class[0] = 9, &plain), FitError::Inconsistent { .. }));
}

#[test]
fn photos_of_one_fixed_camera_make_a_head_and_a_note() {
    let mut dataset = testing::blobs(2, 15, 6, 2, 9);
    dataset.cluster[..15].fill(0);
    dataset.cluster[15..].fill(15);
    let outcome = fitted(&dataset, &FitOptions { folds: 5, ..options(Layers::Linear) });
    assert_eq!((outcome.folds, outcome.held_out.len()), (5, 30));
    assert!(outcome.notes.iter().any(|note| note.contains("class_0, class_1 look alike")), "{:?}", outcome.notes);
    // Two places: no photo is held out from its near-duplicates, at the price of folds.
    dataset.cluster[5..15].fill(5);
    dataset.cluster[20..].fill(20);
    let outcome = fitted(&dataset, &FitOptions { folds: 5, ..options(Layers::Linear) });
    assert_eq!((outcome.folds, outcome.held_out.len()), (2, 30));
    assert!(!outcome.notes.iter().any(|note| note.contains("look alike")), "{:?}", outcome.notes);
    let told = |note: &String| note.contains("in 2 folds instead of 5") && note.contains("of class_0, class_1;");
    assert!(outcome.notes.iter().any(told), "{:?}", outcome.notes);
    dataset.cluster = dataset.copies.clone();
    let outcome = fitted(&dataset, &options(Layers::Linear));
    assert!(!outcome.notes.iter().any(|note| note.contains("alike") || note.contains("folds")), "{:?}", outcome.notes);
}

#[test]
fn features_that_never_move_do_no_harm() {
    let mut dataset = testing::blobs(2, 8, 4, 1, 3);
    let rows = dataset.rows.clone();
    dataset.rows = Rows::new(6);
    rows.iter().for_each(|row| dataset.rows.push(&[row, &[0.0, 5.0]].concat()));
    assert!(right(&loaded(&dataset, &fitted(&dataset, &options(Layers::Linear))), &dataset) > 0.9);
}
