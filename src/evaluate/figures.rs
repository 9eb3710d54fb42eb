//! Judged photos to figures.

use super::{AlertFigures, ClassFigures, Evaluation, Judged, Share};

impl Share {
    /// `hits` of `of`, with Wilson's 95 % interval (Wilson 1927, JASA 22: 209-212), which stays within 0 to 1 and is
    /// honest about few photos.
    pub fn of(hits: u64, of: u64) -> Self {
        /// 97.5 % quantile of the normal distribution.
        const Z: f64 = 1.959_963_984_540_054;
        if of == 0 {
            return Self { hits: 0, of: 0, share: 0.0, wilson_95: [0.0, 1.0] };
        }
        let hits = hits.min(of);
        let (n, share) = (of as f64, hits as f64 / of as f64);
        let middle = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        // Rounding must not put the share outside of its own interval.
        let low = if hits == 0 { 0.0 } else { (middle - half).clamp(0.0, share) };
        let high = if hits == of { 1.0 } else { (middle + half).clamp(share, 1.0) };
        Self { hits, of, share, wilson_95: [low, high] }
    }

    /// Whether there was anything to count.
    pub fn is_known(&self) -> bool {
        self.of > 0
    }

    fn count(all: impl Iterator<Item = bool>) -> Self {
        let (hits, of) = all.fold((0, 0), |(hits, of), hit| (hits + u64::from(hit), of + 1));
        Self::of(hits, of)
    }
}

/// Figures of `judged` photos.
///
/// `labels` are the head's, `alerts` those that alert, with the smallest probability at which they do: the first one
/// gives the evaluation's `recall` and `false_alert_rate`. A label alerts from its threshold on even where another one is
/// more probable, as in the daemon; the confusion counts the most probable label. Labels without photos stand in the
/// lists but not in the balanced accuracy. No figure is NaN: a probability that is counts as none, a photo of a label
/// that there is not is left out.
pub fn evaluate(labels: &[String], judged: &[Judged], alerts: &[(String, f32)]) -> Evaluation {
    let judged: Vec<&Judged> = judged.iter().filter(|photo| photo.truth < labels.len()).collect();
    let mut confusion = vec![vec![0_u64; labels.len()]; labels.len()];
    for photo in &judged {
        let cell = photo.named(labels.len()).and_then(|named| confusion.get_mut(photo.truth)?.get_mut(named));
        if let Some(cell) = cell {
            *cell += 1;
        }
    }
    let cell = |row: usize, column: usize| confusion.get(row).and_then(|row| row.get(column)).copied().unwrap_or(0);
    let per_class: Vec<ClassFigures> = labels
        .iter()
        .enumerate()
        .map(|(class, label)| {
            let right = cell(class, class);
            let recall = Share::of(right, confusion.get(class).map_or(0, |row| row.iter().sum()));
            let precision = Share::of(right, (0..labels.len()).map(|row| cell(row, class)).sum());
            let sum = recall.share + precision.share;
            let f1 = if sum > 0.0 { 2.0 * recall.share * precision.share / sum } else { 0.0 };
            ClassFigures { label: label.clone(), recall, precision, f1 }
        })
        .collect();
    let recalls: Vec<f64> =
        per_class.iter().filter(|class| class.recall.is_known()).map(|class| class.recall.share).collect();
    let right: u64 = (0..labels.len()).map(|class| cell(class, class)).sum();
    let alerts: Vec<AlertFigures> = alerts.iter().filter_map(|alert| alert_figures(labels, &judged, alert)).collect();
    let known = |share: Share| share.is_known().then_some(share.share);
    Evaluation {
        images: judged.len() as u64,
        accuracy: Share::of(right, judged.len() as u64).share,
        balanced_accuracy: if recalls.is_empty() { 0.0 } else { recalls.iter().sum::<f64>() / recalls.len() as f64 },
        labels: labels.to_vec(),
        confusion,
        per_class,
        recall: alerts.first().and_then(|alert| known(alert.recall)),
        false_alert_rate: alerts.first().and_then(|alert| known(alert.false_alert_rate)),
        alerts,
    }
}

impl Judged {
    /// The probability of `class`; -1 where there is none.
    fn probability(&self, class: usize) -> f32 {
        self.probabilities.get(class).copied().filter(|value| !value.is_nan()).unwrap_or(-1.0)
    }

    /// The most probable of so many labels.
    pub fn named(&self, labels: usize) -> Option<usize> {
        (0..labels).max_by(|a, b| self.probability(*a).total_cmp(&self.probability(*b)))
    }
}

fn alert_figures(labels: &[String], judged: &[&Judged], (label, threshold): &(String, f32)) -> Option<AlertFigures> {
    let class = labels.iter().position(|known| known == label)?;
    let alerts = |photo: &&&Judged| photo.probability(class) >= *threshold;
    let of_label =
        |truth: usize| Share::count(judged.iter().filter(|photo| photo.truth == truth).map(|photo| alerts(&photo)));
    let others = judged.iter().filter(|photo| photo.truth != class);
    let by_label = labels.iter().enumerate().filter(|(truth, _)| *truth != class);
    Some(AlertFigures {
        label: label.clone(),
        // The decimals that were written, not those of the nearest f32.
        threshold: threshold.to_string().parse().unwrap_or(f64::from(*threshold)),
        recall: of_label(class),
        false_alert_rate: Share::count(others.map(|photo| alerts(&photo))),
        false_alerts_by_label: by_label
            .map(|(truth, label)| (label.clone(), of_label(truth)))
            .filter(|(_, share)| share.is_known())
            .collect(),
    })
}

#[cfg(test)]
#[path = "figures_tests.rs"]
mod tests;
