#![allow(clippy::unwrap_used)]
use super::*;

fn labels(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn photo(truth: usize, probabilities: &[f32]) -> Judged {
    Judged { truth, probabilities: probabilities.to_vec() }
}

fn bears_and_others(bears: &[f32], others: &[f32]) -> Evaluation {
    let judged = |truth| move |p: &f32| photo(truth, &[*p, 1.0 - p]);
    let all: Vec<Judged> = bears.iter().map(judged(0)).chain(others.iter().map(judged(1))).collect();
    evaluate(&labels(&["polar_bear", "other"]), &all, &[("polar_bear".into(), 0.8)])
}

/// From R: `prop.test(hits, of, correct = FALSE)$conf.int`.
#[test]
fn wilsons_intervals_are_those_of_the_statisticians() {
    for (hits, of, low, high) in
        [(12, 15, 0.548_102, 0.929_52), (4, 816, 0.001_908, 0.012_533), (7, 7, 0.645_665, 1.0), (0, 22, 0.0, 0.148_655)]
    {
        let share = Share::of(hits, of);
        assert!((share.wilson_95[0] - low).abs() < 1e-4 && (share.wilson_95[1] - high).abs() < 1e-4, "{share:?}");
    }
}

#[test]
fn an_interval_holds_its_share_and_narrows_with_more_photos() {
    for of in 1..200 {
        for hits in 0..=of {
            let Share { share, wilson_95: [low, high], .. } = Share::of(hits, of);
            assert!(0.0 <= low && low <= share && share <= high && high <= 1.0, "{hits} of {of}");
        }
    }
    let width = |share: Share| share.wilson_95[1] - share.wilson_95[0];
    assert!(width(Share::of(80, 100)) < width(Share::of(8, 10)));
    assert_eq!(Share::of(0, 0).wilson_95, [0.0, 1.0]);
}

#[test]
fn always_saying_other_looks_as_bad_as_it_is() {
    let figures = bears_and_others(&[0.0; 2], &[0.0; 98]);
    assert_eq!(figures.accuracy, 0.98);
    assert_eq!(figures.balanced_accuracy, 0.5);
    assert_eq!(figures.recall, Some(0.0));
    assert_eq!(figures.per_class[0].precision.of, 0);
    assert_eq!(figures.per_class[0].f1, 0.0);
}

#[test]
fn alerts_count_at_their_threshold_and_not_at_the_most_probable_label() {
    let figures = bears_and_others(&[0.9, 0.8, 0.7, 0.2], &[0.81, 0.79, 0.0, 0.0, 0.0]);
    assert_eq!(figures.confusion, [[3, 1], [2, 3]]);
    assert_eq!(figures.recall, Some(0.5));
    assert_eq!(figures.false_alert_rate, Some(0.2));
    let alert = &figures.alerts[0];
    assert_eq!((alert.recall.hits, alert.recall.of, alert.threshold), (2, 4, 0.8));
    assert_eq!(alert.false_alerts_by_label, [("other".to_owned(), Share::of(1, 5))]);
}

#[test]
fn labels_without_photos_do_not_raise_or_lower_the_balanced_accuracy() {
    let judged = [photo(0, &[0.9, 0.1, 0.0]), photo(1, &[0.6, 0.4, 0.0])];
    let figures = evaluate(&labels(&["a", "b", "c"]), &judged, &[("c".into(), 0.5)]);
    assert_eq!(figures.balanced_accuracy, 0.5);
    assert_eq!(figures.recall, None);
    assert_eq!(figures.false_alert_rate, Some(0.0));
    assert_eq!(figures.per_class.len(), 3);
}

#[test]
fn nothing_and_nonsense_give_figures_without_nan() {
    let nonsense = [
        photo(0, &[f32::NAN, 0.2]),
        photo(0, &[]),
        photo(7, &[0.5, 0.5]),
        photo(1, &[f32::INFINITY, f32::NEG_INFINITY]),
    ];
    let alerts = [("a".to_owned(), f32::NAN), ("a".to_owned(), 0.5), ("unknown".to_owned(), 0.5)];
    for judged in [&[] as &[Judged], &nonsense] {
        for names in [&[] as &[&str], &["a", "b"]] {
            let figures = evaluate(&labels(names), judged, &alerts);
            assert!(figures.accuracy.is_finite() && figures.balanced_accuracy.is_finite());
            assert!(figures.images <= 3);
            assert!(figures.per_class.iter().all(|class| class.f1.is_finite()));
        }
    }
    let figures = evaluate(&labels(&["a", "b"]), &nonsense, &alerts[1..2]);
    assert_eq!(figures.confusion[0].iter().sum::<u64>(), 2, "a photo is never lost: {figures:?}");
    assert_eq!(figures.recall, Some(0.0));
}
