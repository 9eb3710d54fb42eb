//! The threshold from which a label alerts, and what it costs.

use super::options::Goal;
use crate::evaluate::Share;
use crate::report::{CurvePoint, OperatingPoint};

/// Highest threshold that a wanted recall leads to. Held-out scores of a few dozen photos say little of the lowest score
/// of the next hundred, new places score lower than known ones, and a missed animal costs more than a false alert.
const CAP: f64 = 0.5;

/// Lowest threshold: below it, nearly every frame alerts.
const LEAST: f64 = 1e-4;

/// A held-out row as the threshold sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scored {
    /// Probability of the label.
    pub score: f32,
    /// Whether it is of the label.
    pub positive: bool,
    /// A photo itself, not a changed view of one.
    pub plain: bool,
}

/// Chooses the threshold of `label`; figures and curve are of the photos themselves.
///
/// The goal is held on the photos and, because a few photos are too few for a quantile, also on all their changed
/// views. Between the last score that has to alert and the next one that need not, the middle (in log odds) is taken:
/// on these photos it changes nothing, to new ones it gives room.
pub(super) fn choose(label: &str, scored: &[Scored], goal: Goal) -> OperatingPoint {
    let plain: Vec<Scored> = scored.iter().copied().filter(|row| row.plain).collect();
    let both = [bound(&plain, goal), bound(scored, goal)];
    let threshold = match goal {
        Goal::MinRecall(_) => both[0].min(both[1]).min(CAP),
        Goal::MaxFalseAlerts(_) => both[0].max(both[1]),
    };
    // What the head's manifest will hold.
    let threshold = f64::from(threshold.max(LEAST) as f32);
    let alerts = |positive: bool| {
        let of = plain.iter().filter(move |row| row.positive == positive);
        let hits = of.clone().filter(|row| f64::from(row.score) >= threshold).count();
        Share::of(hits as u64, of.count() as u64)
    };
    let (recall, false_alert_rate) = (alerts(true), alerts(false));
    let views = plain.len() < scored.len();
    let reached = match goal {
        Goal::MinRecall(share) => recall.of == 0 || recall.share >= share.min(1.0) - 1e-9,
        Goal::MaxFalseAlerts(share) => false_alert_rate.of == 0 || false_alert_rate.share <= share.max(0.0) + 1e-9,
    };
    OperatingPoint {
        label: label.to_owned(),
        threshold,
        wanted: format!("{goal}{}{}", if views { VIEWS } else { "" }, if reached { "" } else { MISSED }),
        recall,
        false_alert_rate,
        curve: curve(&plain),
    }
}

/// The threshold of `label` at which no more than a `share` (0 to 1) of the frames without it alert. `scores`: probability
/// of the label, and whether it is on the frame.
pub(crate) fn threshold_at(label: &str, scores: impl Iterator<Item = (f32, bool)>, share: f64) -> f64 {
    let scored = scores.map(|(score, positive)| Scored { score, positive, plain: true });
    choose(label, &scored.collect::<Vec<_>>(), Goal::MaxFalseAlerts(share)).threshold
}

/// Said where the goal was held on more than the photos themselves.
const VIEWS: &str = ", also of changed views";

/// Said of a goal that no threshold reaches.
const MISSED: &str = ", which no threshold reaches";

/// Says that a goal was missed: photos of the label and others score all the same, as high or as low as can be.
pub(super) fn missed(point: &OperatingPoint) -> Option<String> {
    point.wanted.ends_with(MISSED).then(|| {
        format!(
            "{}: wanted was {}; of the held-out photos {} of {} are found at {} of {} false alerts: look at the worst \
             mistakes for photos in the wrong folder.",
            point.label,
            point.wanted,
            point.recall.hits,
            point.recall.of,
            point.false_alert_rate.hits,
            point.false_alert_rate.of
        )
    })
}

/// The threshold that just reaches the goal on these rows.
fn bound(rows: &[Scored], goal: Goal) -> f64 {
    let falling = |positive: bool| {
        let mut scores: Vec<f32> = rows.iter().filter(|row| row.positive == positive).map(|row| row.score).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        scores
    };
    match goal {
        Goal::MinRecall(recall) => {
            let positives = falling(true);
            // The tolerance is for shares like 0.95 of 20, which are 19 but for rounding.
            let needed = (recall.clamp(0.0, 1.0) * positives.len() as f64 - 1e-9).ceil().max(1.0) as usize;
            let Some(lowest) = positives.get(needed - 1).or(positives.last()) else { return CAP };
            let below = rows.iter().map(|row| row.score).filter(|score| score < lowest).fold(0.0, f32::max);
            middle(below, *lowest)
        }
        Goal::MaxFalseAlerts(share) => {
            let negatives = falling(false);
            let allowed = (share.clamp(0.0, 1.0) * negatives.len() as f64 + 1e-9).floor() as usize;
            let Some(highest) = negatives.get(allowed) else { return LEAST };
            let above = rows.iter().map(|row| row.score).filter(|score| score > highest).fold(1.0, f32::min);
            middle(*highest, above)
        }
    }
}

/// A number in (`low`, `high`], half-way in log odds and with as few digits as fit.
fn middle(low: f32, high: f32) -> f64 {
    let (low, high) = (f64::from(low), f64::from(high));
    let odds = |p: f64| (p.clamp(1e-4, 1.0 - 1e-4) / (1.0 - p.clamp(1e-4, 1.0 - 1e-4))).ln();
    let between = 1.0 / (1.0 + (-(odds(low) + odds(high)) / 2.0).exp());
    let fits = |value: &f64| f64::from(*value as f32) > low && f64::from(*value as f32) <= high;
    let rounded = [1e2, 1e3, 1e4].into_iter().map(|digits| (between * digits).round() / digits);
    rounded.chain([between]).find(fits).unwrap_or(high)
}

/// All thresholds, falling.
fn curve(rows: &[Scored]) -> Vec<CurvePoint> {
    let mut rows: Vec<Scored> = rows.to_vec();
    rows.sort_by(|a, b| b.score.total_cmp(&a.score));
    let positives = rows.iter().filter(|row| row.positive).count();
    let share = |hits: usize, of: usize| hits as f64 / of.max(1) as f64;
    let mut found = 0;
    let mut points: Vec<CurvePoint> = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        found += usize::from(row.positive);
        if rows.get(place + 1).is_some_and(|next| next.score == row.score) {
            continue;
        }
        let alerts = place + 1;
        points.push(CurvePoint {
            threshold: f64::from(row.score),
            recall: share(found, positives),
            precision: share(found, alerts),
            false_alert_rate: share(alerts - found, rows.len() - positives),
        });
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(positives: &[f32], negatives: &[f32]) -> Vec<Scored> {
        let row = |positive| move |score: &f32| Scored { score: *score, positive, plain: true };
        positives.iter().map(row(true)).chain(negatives.iter().map(row(false))).collect()
    }

    #[test]
    fn the_wanted_recall_is_met_on_its_data() {
        let mut rng = fastrand::Rng::with_seed(3);
        for count in 1..60 {
            let positives: Vec<f32> = (0..count).map(|_| rng.f32()).collect();
            let negatives: Vec<f32> = (0..200).map(|_| rng.f32() * rng.f32()).collect();
            for recall in [0.5, 0.9, 0.95, 0.99, 1.0] {
                let point = choose("bear", &rows(&positives, &negatives), Goal::MinRecall(recall));
                assert!(point.recall.share >= recall - 1e-9, "{count} {recall}: {point:?}");
                assert!(point.threshold <= CAP && point.threshold > 0.0);
            }
            for share in [0.0, 0.01, 0.3] {
                let point = choose("bear", &rows(&positives, &negatives), Goal::MaxFalseAlerts(share));
                assert!(point.false_alert_rate.share <= share + 1e-9, "{count} {share}: {point:?}");
            }
        }
    }

    #[test]
    fn between_well_parted_scores_the_threshold_leaves_room_to_both_sides() {
        let point = choose("bear", &rows(&[0.9, 0.95], &[0.01, 0.02]), Goal::MinRecall(1.0));
        assert!((0.1..=0.5).contains(&point.threshold), "{}", point.threshold);
    }

    #[test]
    fn changed_views_lower_a_threshold_that_a_few_photos_set_too_high() {
        let mut scored = rows(&[0.49, 0.48], &[0.1, 0.2]);
        scored.push(Scored { score: 0.3, positive: true, plain: false });
        let point = choose("bear", &scored, Goal::MinRecall(1.0));
        assert!(point.threshold <= 0.3 && point.wanted == "at least 100 % found, also of changed views", "{point:?}");
    }

    #[test]
    fn a_goal_missed_because_scores_are_as_high_as_can_be_is_said() {
        let saturated = rows(&[1.0, 1.0, 0.9], &[1.0, 1.0, 0.2, 0.1]);
        let point = choose("bear", &saturated, Goal::MaxFalseAlerts(0.25));
        assert_eq!((point.threshold, point.false_alert_rate.hits), (1.0, 2));
        assert!(point.wanted.starts_with("at most 25 % false alerts, which no threshold"), "{}", point.wanted);
        assert!(missed(&point).unwrap_or_default().contains("2 of 4 false alerts"));
        let point = choose("bear", &saturated, Goal::MaxFalseAlerts(0.5));
        assert!(point.false_alert_rate.hits == 2 && missed(&point).is_none(), "{point:?}");
    }

    #[test]
    fn no_threshold_is_nothing() {
        for goal in [Goal::MinRecall(1.0), Goal::MinRecall(0.0), Goal::MaxFalseAlerts(1.0), Goal::MaxFalseAlerts(0.0)] {
            for positives in [&[0.0, 0.0, 1.0][..], &[1e-30, 0.4], &[]] {
                for negatives in [&[0.0, 0.0][..], &[1.0, 1e-35], &[]] {
                    let point = choose("bear", &rows(positives, negatives), goal);
                    assert!((9e-5..=1.0).contains(&point.threshold), "{goal}: {point:?}");
                }
            }
        }
        let point = choose("bear", &rows(&[0.0, 0.9], &[0.0, 0.1]), Goal::MinRecall(1.0));
        assert!(missed(&point).is_some_and(|note| note.contains("1 of 2 are found")), "{point:?}");
    }

    #[test]
    fn the_curve_falls_in_threshold_and_ends_with_everything() {
        let curve = curve(&rows(&[0.9, 0.5], &[0.5, 0.1]));
        assert_eq!(curve.iter().map(|point| point.threshold as f32).collect::<Vec<_>>(), [0.9, 0.5, 0.1]);
        assert_eq!((curve[1].recall, curve[1].false_alert_rate), (1.0, 0.5));
        assert_eq!(curve[2].precision, 0.5);
    }
}
