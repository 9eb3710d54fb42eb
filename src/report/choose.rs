//! What of the judged photos is shown: how sure it was against how right, and the worst mistakes.

use std::cmp::Reverse;
use std::path::Path;

use super::{Calibration, CalibrationBin, Mistake, Wrong};
use crate::evaluate::Judged;

/// Bins of the calibration curve: tenths.
const BINS: usize = 10;

/// How often the most probable label is right, by tenths of its probability.
///
/// `judged` was judged with logits already divided by `temperature`, which is only passed on. The error is the expected
/// calibration error (Naeini et al., AAAI 2015): the bins' distances of confidence and accuracy, weighted by photos.
pub fn calibration(judged: &[Judged], temperature: f64) -> Calibration {
    let mut sums = [(0.0_f64, 0_u64, 0_u64); BINS];
    for photo in judged {
        let Some((named, confidence)) = most_probable(photo) else { continue };
        let bin = ((confidence * BINS as f64) as usize).min(BINS - 1);
        if let Some((confidences, right, photos)) = sums.get_mut(bin) {
            *confidences += confidence;
            *right += u64::from(named == photo.truth);
            *photos += 1;
        }
    }
    let filled = sums.iter().filter(|(_, _, photos)| *photos > 0);
    let bins: Vec<CalibrationBin> = filled
        .map(|&(confidences, right, photos)| CalibrationBin {
            confidence: confidences / photos as f64,
            accuracy: right as f64 / photos as f64,
            photos,
        })
        .collect();
    let all: u64 = bins.iter().map(|bin| bin.photos).sum();
    let weighted = bins.iter().map(|bin| (bin.confidence - bin.accuracy).abs() * bin.photos as f64);
    Calibration { temperature, error: weighted.sum::<f64>() / all.max(1) as f64, bins }
}

/// A judged photo and where it is.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The photo; empty for packaged background features, which cannot be shown.
    pub photo: &'a Path,
    /// `held out` or `test`.
    pub part: &'static str,
    /// What was made of it.
    pub judged: &'a Judged,
}

/// The worst mistakes, at most `limit`: first photos of labels that alert (`alerts`, each with its threshold) which do not,
/// whatever they were named, then all others; in each part the surest first. Photos without a path are left out.
/// Thumbnails are left empty: the caller reads the photos.
pub fn mistakes<'a>(
    labels: &[String],
    alerts: &[(String, f32)],
    seen: impl IntoIterator<Item = Seen<'a>>,
    limit: usize,
) -> Vec<Mistake> {
    let mut all: Vec<(Wrong, f64, Seen<'a>)> = seen
        .into_iter()
        .filter(|seen| !seen.photo.as_os_str().is_empty())
        .filter_map(|seen| wrong(labels, alerts, seen.judged).map(|(wrong, sure)| (wrong, sure, seen)))
        .collect();
    all.sort_by(|(wrong_a, sure_a, a), (wrong_b, sure_b, b)| {
        let missed = |wrong: &Wrong| Reverse(*wrong == Wrong::MissedAlert);
        let order = missed(wrong_a).cmp(&missed(wrong_b)).then(sure_b.total_cmp(sure_a));
        order.then_with(|| a.photo.cmp(b.photo))
    });
    all.truncate(limit);
    all.into_iter().map(|(wrong, _, seen)| mistake(labels, wrong, seen)).collect()
}

/// What is wrong with a judgement, and how sure of it the head is; nothing if it is right in every respect.
fn wrong(labels: &[String], alerts: &[(String, f32)], judged: &Judged) -> Option<(Wrong, f64)> {
    let (named, confidence) = most_probable(judged)?;
    let truth = labels.get(judged.truth)?;
    let alert = |(label, threshold): &(String, f32)| {
        let place = labels.iter().position(|known| known == label)?;
        let score = judged.probabilities.get(place).copied().filter(|p| p.is_finite()).unwrap_or(0.0);
        Some((place, f64::from(score), score >= *threshold))
    };
    let mut falsely = None;
    for (place, score, alerts) in alerts.iter().filter_map(alert) {
        match (place == judged.truth, alerts) {
            (true, false) => return Some((Wrong::MissedAlert, 1.0 - score)),
            (false, true) => falsely = Some((Wrong::FalseAlert, score.max(confidence))),
            _ => {}
        }
    }
    let name = (labels.get(named) != Some(truth)).then_some((Wrong::Name, confidence));
    falsely.or(name)
}

fn mistake(labels: &[String], wrong: Wrong, seen: Seen<'_>) -> Mistake {
    let finite = seen.judged.probabilities.iter().map(|p| if p.is_finite() { *p } else { 0.0 });
    let mut scores: Vec<(String, f32)> = labels.iter().cloned().zip(finite).collect();
    scores.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    Mistake {
        photo: seen.photo.to_owned(),
        part: seen.part,
        truth: labels.get(seen.judged.truth).cloned().unwrap_or_default(),
        wrong,
        scores,
        thumbnail: String::new(),
    }
}

/// Place and probability of the most probable label, the first of equals; `None` without a finite one.
fn most_probable(photo: &Judged) -> Option<(usize, f64)> {
    let finite = photo.probabilities.iter().enumerate().filter(|(_, p)| p.is_finite());
    let (place, p) = finite.max_by(|(i, a), (j, b)| a.total_cmp(b).then(j.cmp(i)))?;
    Some((place, f64::from(*p).clamp(0.0, 1.0)))
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    fn judged(truth: usize, probabilities: &[f32]) -> Judged {
        Judged { truth, probabilities: probabilities.to_vec() }
    }

    #[test]
    fn calibration_compares_how_sure_with_how_right() {
        let mut photos = vec![judged(0, &[0.95, 0.05]); 9];
        photos.push(judged(1, &[0.95, 0.05]));
        photos.extend([judged(0, &[0.65, 0.35]), judged(1, &[0.65, 0.35])]);
        let found = calibration(&photos, 1.5);
        assert_eq!(found.bins.iter().map(|bin| bin.photos).collect::<Vec<_>>(), [2, 10]);
        assert!((found.bins[0].accuracy - 0.5).abs() < 1e-9 && (found.bins[1].accuracy - 0.9).abs() < 1e-9);
        assert!((found.error - (10.0 * 0.05 + 2.0 * 0.15) / 12.0).abs() < 1e-6, "{}", found.error);
        assert!((found.temperature - 1.5).abs() < f64::EPSILON);
    }

    #[test]
    fn probabilities_that_are_none_do_not_reach_the_figures() {
        let photos = [judged(0, &[f32::NAN, f32::NAN]), judged(0, &[]), judged(0, &[f32::NAN, 0.9]), judged(9, &[1.0])];
        let found = calibration(&photos, 1.0);
        assert!(found.error.is_finite());
        assert_eq!(found.bins.iter().map(|bin| bin.photos).sum::<u64>(), 2);
        assert!(calibration(&[], 1.0).bins.is_empty());
        assert!(calibration(&[], 1.0).error.abs() < f64::EPSILON);
    }

    #[test]
    fn missed_bears_come_first_then_the_surest_mistakes() {
        let labels: Vec<String> = ["arctic_fox", "other", "polar_bear"].map(str::to_owned).to_vec();
        let photos = [
            ("sure_other.jpg", judged(1, &[0.99, 0.01, 0.0])),
            ("right.jpg", judged(0, &[0.99, 0.01, 0.0])),
            ("missed_little.jpg", judged(2, &[0.1, 0.5, 0.4])),
            ("missed_much.jpg", judged(2, &[0.1, 0.9, 0.0])),
            ("unsure.jpg", judged(0, &[0.3, 0.3, 0.4])),
            ("", judged(0, &[0.0, 1.0, 0.0])),
            ("nonsense.jpg", judged(7, &[0.0, 1.0, 0.0])),
        ];
        let seen = || photos.iter().map(|(photo, judged)| Seen { photo: Path::new(photo), part: "held out", judged });
        let alerts = [("polar_bear".to_owned(), 0.45)];
        let found = mistakes(&labels, &alerts, seen(), 10);
        let names: Vec<_> = found.iter().map(|mistake| mistake.photo.to_str().expect("a name")).collect();
        assert_eq!(names, ["missed_much.jpg", "missed_little.jpg", "sure_other.jpg", "unsure.jpg"]);
        assert_eq!(found[0].scores[0], ("other".to_owned(), 0.9));
        assert_eq!(mistakes(&labels, &[], seen(), 1).len(), 1);
    }

    #[test]
    fn a_bear_that_is_named_rightly_and_does_not_alert_is_a_mistake_and_so_is_a_false_alert() {
        let labels: Vec<String> = ["other", "polar_bear"].map(str::to_owned).to_vec();
        let photos = [
            ("below.jpg", judged(1, &[0.4, 0.6])),
            ("found.jpg", judged(1, &[0.2, 0.8])),
            ("quiet.jpg", judged(0, &[0.9, 0.1])),
        ];
        let seen = || photos.iter().map(|(photo, judged)| Seen { photo: Path::new(photo), part: "test", judged });
        let found = |threshold: f32| -> Vec<(String, Wrong)> {
            let found = mistakes(&labels, &[("polar_bear".to_owned(), threshold)], seen(), 9);
            found.into_iter().map(|mistake| (mistake.photo.display().to_string(), mistake.wrong)).collect()
        };
        assert_eq!(found(0.7), [("below.jpg".to_owned(), Wrong::MissedAlert)]);
        assert_eq!(found(0.05), [("quiet.jpg".to_owned(), Wrong::FalseAlert)]);
        assert!(found(0.5).is_empty());
    }
}
