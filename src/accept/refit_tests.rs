#![allow(clippy::unwrap_used)]

use super::super::testing;
use super::*;
use crate::config::Alerts;
use crate::model::{HeadBackbone, Levels};

const FEATURES: usize = 16;

fn trap() -> Trap {
    let backbone = HeadBackbone { id: "net".into(), sha256: "ab12".into(), features: FEATURES };
    let (name, groups, alerts) = ("north".into(), Vec::new(), Alerts::default());
    Trap { name, groups, backbone, alerts, max_bytes: 1 << 20, max_jump: 10 }
}

/// Frames of two labels that differ in one feature by about `apart`, an hour between two of a label.
fn frames(count: u32, apart: f32, width: usize) -> Vec<LabelledFrame> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut frame = |number: u32| {
        let bear = number.is_multiple_of(2);
        let mut features: Vec<f32> = (0..width).map(|_| random.f32()).collect();
        features[0] += if bear { apart } else { 0.0 };
        LabelledFrame {
            frame: ContentHash::of(&number.to_le_bytes()),
            label: if bear { "polar_bear" } else { "other" }.into(),
            camera: None,
            captured_at: Some(i64::from(number) * 3600),
            levels: Levels::of(&features).unwrap(),
        }
    };
    (0..count).map(&mut frame).collect()
}

fn against(bear: f32, width: usize) -> Judge {
    let backbone = HeadBackbone { features: width, ..trap().backbone };
    testing::judge("old", 5, backbone, &testing::steady(width, bear))
}

fn refit_on(frames: Vec<LabelledFrame>, bear: f32, trap: &Trap) -> Result<Bundle, String> {
    let of = Provenance { trap, key: "0123456789ABCDEF", request: 4, floor: 7 };
    refit(frames, &against(bear, trap.backbone.features), &of)
}

#[test]
fn a_head_that_learnt_something_is_packed_with_where_it_comes_from() {
    let bundle = refit_on(frames(60, 2.0, FEATURES), 0.4, &trap()).unwrap();
    let manifest = bundle.manifest();
    assert!(bundle.signature().is_none());
    assert_eq!((manifest.name.as_str(), manifest.sequence, &manifest.audience), ("local", 7, &vec!["north".into()]));
    let fit = manifest.local.as_ref().unwrap();
    assert_eq!((fit.request, fit.against.as_str(), fit.frames["other"]), (4, "old 1", 30));
    assert_eq!(fit.balanced_accuracy.before, 0.5);
    assert!(fit.balanced_accuracy.now > 0.9, "{fit:?}");
    assert_eq!(fit.false_alerts["polar_bear"], Rivals { before: 0, now: 0 });
    assert!(fit.found["polar_bear"].now > 20, "{fit:?}");
    let head = bundle.head().unwrap();
    let bear = frames(2, 2.0, FEATURES)[0].levels.features();
    assert!(head.score(&bear).unwrap().iter().any(|(label, score)| label == "polar_bear" && *score > 0.5));
}

#[test]
fn a_head_that_is_worse_than_the_one_before_is_not_proposed() {
    // Nothing to be learnt, and the head before calls all of them bears: a fitted one finds fewer.
    let reason = refit_on(frames(60, 0.0, FEATURES), 0.9, &trap()).unwrap_err();
    assert!(reason.contains("worse") && reason.contains("of 30 found"), "{reason}");
}

#[test]
fn too_few_frames_or_labels_are_refused_with_what_there_is() {
    let one = |label: &str, count: usize| {
        frames(40, 2.0, FEATURES).into_iter().filter(|it| it.label == label).take(count).collect::<Vec<_>>()
    };
    for few in [Vec::new(), one("other", 20), [one("other", 20), one("polar_bear", 9)].concat()] {
        let reason = refit_on(few, 0.4, &trap()).unwrap_err();
        assert!(reason.contains("at least two labels and 10 frames"), "{reason}");
    }
    let mut foxes = one("polar_bear", 20);
    foxes.iter_mut().for_each(|it| it.label = "fox".into());
    let reason = refit_on([one("other", 20), foxes].concat(), 0.4, &trap()).unwrap_err();
    assert!(reason.contains("polar_bear alerts now"), "{reason}");
}

#[test]
fn frames_of_one_burst_stay_on_one_side_of_a_split() {
    let mut frames = frames(40, 2.0, FEATURES);
    // Bursts of five, a second apart, in each label.
    for (number, frame) in frames.iter_mut().enumerate() {
        let (place, second) = (number as i64 / 2 / 5, number as i64 / 2 % 5);
        frame.captured_at = Some(place * 3600 + second);
    }
    let dataset = dataset(&frames, FEATURES, 60);
    let mut clusters = dataset.cluster.clone();
    clusters.dedup();
    assert_eq!(clusters, [0, 5, 10, 15, 20, 25, 30, 35]);
}

#[test]
#[ignore = "measures"]
fn how_long_a_fit_takes() {
    let mut trap = trap();
    trap.backbone.features = 1280;
    for count in [300, 1000] {
        let frames = frames(count, 2.0, 1280);
        let start = std::time::Instant::now();
        let made = refit_on(frames, 0.4, &trap);
        println!("{count} frames of 1280 features: {:.2} s, {}", start.elapsed().as_secs_f64(), made.is_ok());
    }
}
