//! A head fitted on a trap's own labelled frames, and whether it is worth a trial. Pure.
//!
//! It is held against the head before on the same frames: the new one by fits that did not see the frame. It must not be
//! worse in balanced accuracy, and must find as many frames of each label that alerts without more false alerts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use time::OffsetDateTime;

use super::judges::Judge;
use super::proof::Trap;
use crate::classifier::rfc3339;
use crate::evaluate::{Evaluation, Judged, evaluate};
use crate::frame::ContentHash;
use crate::heads::Bundle;
use crate::journal::LabelledFrame;
use crate::model::{HeadManifest, LocalFit, Rivals, ScoresOutput, TrainedOn};
use crate::train::{self, Dataset, FitOptions, Layers, Outcome, Rows};

/// Fewest frames of a label.
const LEAST_FRAMES: usize = 10;
/// Most frames of a label, the latest: more cost time on a small board and teach little.
pub(super) const MOST_FRAMES: u64 = 500;
/// Part of the free memory that a fit may take.
const MEMORY: u64 = 2;
/// Frames that go into the canaries.
const CANARIES: usize = 4;

/// Who asked for it, and where.
pub(super) struct Provenance<'a> {
    pub trap: &'a Trap,
    pub key: &'a str,
    pub request: u64,
    /// Its own sequence: no head is kept out by it.
    pub floor: u64,
}

/// Fits a head and packs it, unsigned, if it is not worse than `against`.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn refit(frames: Vec<LabelledFrame>, against: &Judge, of: &Provenance) -> Result<Bundle, String> {
    let alerts = &of.trap.alerts;
    let counts = count(&frames);
    enough(&counts, against)?;
    let dataset = dataset(&frames, of.trap.backbone.features, alerts.gap_s);
    room(&dataset)?;
    // What alerts now must alert with the new head, and beside it what the configuration wants and is labelled.
    let mut alerting: Vec<String> = against.rules().alerting().map(|(label, _)| label.to_owned()).collect();
    let more = alerts.labels.iter().filter(|label| counts.contains_key(*label) && !crate::model::is_background(label));
    alerting.extend(more.filter(|label| !alerting.contains(label)).cloned().collect::<Vec<_>>());
    let options = FitOptions { layers: Layers::Linear, alerts: alerting, threads: 1, ..FitOptions::default() };
    let mut fitted = train::fit(&dataset, &options, &|_, _, _| {}).map_err(|error| error.to_string())?;
    let contest = Contest::of(&dataset, &mut fitted, against, of.trap);
    let fit = contest.told(of, &counts, against.head().title());
    if let Some(reason) = contest.lost() {
        return Err(format!("{reason}: {}", told(&fit)));
    }
    let photos: Vec<Vec<f32>> = spread(&dataset).map(|row| dataset.rows.row(row).to_vec()).collect();
    let manifest = manifest(&frames, &fitted, fit, contest.new, of);
    Bundle::make(manifest, fitted.onnx, &photos).map_err(|error| error.to_string())
}

fn count(frames: &[LabelledFrame]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for frame in frames {
        *counts.entry(frame.label.clone()).or_default() += 1;
    }
    counts
}

fn enough(counts: &BTreeMap<String, u64>, against: &Judge) -> Result<(), String> {
    let listed = || counts.iter().map(|(label, count)| format!("{label} {count}")).collect::<Vec<_>>().join(", ");
    let few = counts.values().any(|count| *count < LEAST_FRAMES as u64);
    if counts.len() < 2 || few {
        let have = if counts.is_empty() { "no labelled frame".to_owned() } else { listed() };
        return Err(format!("there must be at least two labels and {LEAST_FRAMES} frames of each; there are: {have}"));
    }
    match against.rules().alerting().find(|(label, _)| !counts.contains_key(*label)) {
        Some((label, _)) => Err(format!(
            "{label} alerts now, and no frame of it is labelled: a head fitted here would never alert for it; there are: {}",
            listed()
        )),
        None => Ok(()),
    }
}

/// One row a frame. Frames of one label and camera that came shortly after one another are alike: they stay on one side of
/// each split.
fn dataset(frames: &[LabelledFrame], features: usize, gap_s: u64) -> Dataset {
    let mut labels: Vec<String> = count(frames).into_keys().collect();
    labels.sort();
    let mut dataset = Dataset { labels, rows: Rows::new(features), ..Dataset::default() };
    // By time within each label and camera.
    let mut order: Vec<&LabelledFrame> = frames.iter().filter(|frame| frame.levels.levels.len() == features).collect();
    order.sort_by(|a, b| (&a.label, &a.camera, a.captured_at).cmp(&(&b.label, &b.camera, b.captured_at)));
    let gap = i64::try_from(gap_s).unwrap_or(i64::MAX);
    let mut before: Option<&LabelledFrame> = None;
    for (place, frame) in order.into_iter().enumerate() {
        let near = before.is_some_and(|before| {
            let apart = frame.captured_at.zip(before.captured_at).map(|(now, then)| now.saturating_sub(then));
            (&before.label, &before.camera) == (&frame.label, &frame.camera) && apart.is_some_and(|apart| apart <= gap)
        });
        let cluster = dataset.cluster.last().copied().filter(|_| near).unwrap_or(place);
        dataset.class.push(dataset.labels.iter().position(|label| *label == frame.label).unwrap_or(0));
        dataset.rows.push(&frame.levels.features());
        dataset.photo.push(place);
        dataset.plain.push(true);
        dataset.photos.push(PathBuf::from(frame.frame.to_string()));
        dataset.cluster.push(cluster);
        dataset.copies.push(place);
        before = Some(frame);
    }
    dataset
}

fn room(dataset: &Dataset) -> Result<(), String> {
    let (rows, classes) = (dataset.rows.len() as u64, dataset.labels.len() as u64);
    let needed =
        Layers::Linear.training_bytes(dataset.rows.width() as u64, classes, rows, rows, 1, FitOptions::default().folds);
    match crate::memory::available() {
        Some(free) if needed > free / MEMORY => Err(format!(
            "fitting on {rows} frames of {} features takes up to {} MiB, and {} are free",
            dataset.rows.width(),
            needed >> 20,
            free >> 20
        )),
        _ => Ok(()),
    }
}

/// Both heads' figures on the same frames.
struct Contest {
    old: Evaluation,
    new: Evaluation,
}

impl Contest {
    /// Sets the new head's thresholds so that it gives as many false alerts as the old one, and measures both.
    fn of(dataset: &Dataset, fitted: &mut Outcome, against: &Judge, trap: &Trap) -> Self {
        // Labels that only the old head knows come last: no frame is theirs, but it may name them.
        let mut labels = dataset.labels.clone();
        let known = against.head().manifest().labels.iter().map(|label| label.name.clone());
        labels.extend(known.filter(|label| !dataset.labels.contains(label)));
        let held_out = &fitted.held_out;
        let old: Vec<Judged> = held_out
            .iter()
            .map(|(row, judged)| {
                // A head that fails on a frame finds nothing on it.
                let scores = against.head().score(dataset.rows.row(*row)).unwrap_or_default();
                let score = |label: &String| scores.iter().find(|(name, _)| name == label).map_or(0.0, |(_, it)| *it);
                Judged { truth: judged.truth, probabilities: labels.iter().map(score).collect() }
            })
            .collect();
        let new: Vec<Judged> = held_out.iter().map(|(_, judged)| judged.clone()).collect();
        let alerting: Vec<(String, f32)> =
            against.rules().alerting().map(|(label, threshold)| (label.to_owned(), threshold)).collect();
        let old = evaluate(&labels, &old, &alerting);
        let mut thresholds = Vec::new();
        for (label, _) in &alerting {
            let Some(place) = labels.iter().position(|known| known == label) else { continue };
            let scores = new.iter().map(|it| (it.probabilities.get(place).copied().unwrap_or(0.0), it.truth == place));
            let share = old.alerts.iter().find(|it| it.label == *label).map_or(0.0, |it| it.false_alert_rate.share);
            let chosen = train::threshold_at(label, scores, share) as f32;
            if let Some(own) = fitted.labels.iter_mut().find(|own| own.name == *label) {
                own.threshold = chosen;
            }
            // What the configuration says goes over what a head says.
            thresholds.push((label.clone(), trap.alerts.thresholds.get(label).copied().unwrap_or(chosen)));
        }
        Self { old, new: evaluate(&labels, &new, &thresholds) }
    }

    /// Why the new head is worse, if it is.
    fn lost(&self) -> Option<String> {
        if self.new.balanced_accuracy < self.old.balanced_accuracy - 1e-9 {
            return Some("it is worse than the head before".into());
        }
        let worse = self.old.alerts.iter().zip(&self.new.alerts).find(|(old, new)| {
            new.recall.hits < old.recall.hits || new.false_alert_rate.hits > old.false_alert_rate.hits
        });
        worse.map(|(old, _)| format!("it is worse at {} than the head before", old.label))
    }

    fn told(&self, of: &Provenance, frames: &BTreeMap<String, u64>, against: String) -> LocalFit {
        let pairs = |figure: fn(&crate::evaluate::AlertFigures) -> u64| {
            let both = self.old.alerts.iter().zip(&self.new.alerts);
            both.map(|(old, new)| (old.label.clone(), Rivals { before: figure(old), now: figure(new) })).collect()
        };
        LocalFit {
            trap: of.trap.name.clone(),
            key: of.key.to_owned(),
            request: of.request,
            frames: frames.clone(),
            against,
            balanced_accuracy: Rivals { before: self.old.balanced_accuracy, now: self.new.balanced_accuracy },
            found: pairs(|alert| alert.recall.hits),
            false_alerts: pairs(|alert| alert.false_alert_rate.hits),
        }
    }
}

/// Its figures in a line.
pub(super) fn told(fit: &LocalFit) -> String {
    let Rivals { before, now } = fit.balanced_accuracy;
    let mut text = format!("balanced accuracy {now:.3} instead of {before:.3} of {}", fit.against);
    for (label, Rivals { before, now }) in &fit.found {
        let of = fit.frames.get(label).copied().unwrap_or_default();
        let falsely = fit.false_alerts.get(label).copied().unwrap_or(Rivals { before: 0, now: 0 });
        text.push_str(&format!(
            "; {label}: {now} instead of {before} of {of} found, at {} instead of {} false alerts",
            falsely.now, falsely.before
        ));
    }
    text
}

/// A few rows from the beginning to the end.
fn spread(dataset: &Dataset) -> impl Iterator<Item = usize> {
    let rows = dataset.rows.len();
    (0..CANARIES.min(rows)).map(move |number| number * rows / CANARIES.max(1))
}

fn manifest(
    frames: &[LabelledFrame],
    fitted: &Outcome,
    fit: LocalFit,
    evaluation: Evaluation,
    of: &Provenance,
) -> HeadManifest {
    let mut hashes: Vec<String> = frames.iter().map(|frame| frame.frame.to_string()).collect();
    hashes.sort();
    let digest = ContentHash::of(hashes.join("\n").as_bytes()).to_string();
    let now = rfc3339(OffsetDateTime::now_utc());
    let day = now.get(..10).unwrap_or(&now);
    let version = format!("{day}.{}", of.request);
    HeadManifest {
        sequence: of.floor,
        created_at: now.clone(),
        output: Some(ScoresOutput::Probabilities),
        audience: vec![of.trap.name.clone()],
        novelty: fitted.novelty.clone(),
        evaluation: serde_json::to_value(evaluation).ok(),
        trained_on: Some(TrainedOn { photos: frames.len() as u64, digest }),
        local: Some(fit),
        ..HeadManifest::new("local".into(), version, of.trap.backbone.clone(), fitted.labels.clone())
    }
}

#[cfg(test)]
#[path = "refit_tests.rs"]
mod tests;
