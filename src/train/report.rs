//! What a training came to, put together for the report.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Dataset, Features, Goal, Outcome};
use crate::evaluate::{AlertFigures, Evaluation, Judged, evaluate};
use crate::frame::{self, Scale};
use crate::memory;
use crate::model::{Backbone, Head};
use crate::photos;
use crate::quantize::Progress;
use crate::report::{self, Counts, MapPoint, Mistake, Report, Seconds, Seen, counted, thousands};

/// Mistakes that are shown.
const MISTAKES: usize = 24;

/// Sides that a photo is decoded at for a thumbnail.
const THUMBNAIL: u32 = 160;

/// All that is known once the head is fitted.
pub(super) struct Told<'a> {
    pub head: &'a Head,
    pub backbone: &'a Backbone,
    pub layers: String,
    /// What was fitted, packaged background included.
    pub dataset: &'a Dataset,
    pub test: Option<(&'a Features, &'a [Judged])>,
    pub outcome: &'a Outcome,
    pub notes: Vec<String>,
    pub goal: Goal,
    /// Short digests of the photos trained on.
    pub trained_on: Vec<String>,
    pub created: String,
    pub features: Duration,
    pub fit: Duration,
}

impl Told<'_> {
    /// Evaluates, chooses what is shown, and reads the photos that are.
    pub fn report(self, progress: &Progress) -> Result<Report> {
        let labels = &self.dataset.labels;
        let alerts: Vec<(String, f32)> = self.alerts().map(|label| (label.name.clone(), label.threshold)).collect();
        let figures = |judged: &[Judged]| evaluate(labels, judged, &alerts);
        let held_out: Vec<Judged> = self.outcome.held_out.iter().map(|(_, judged)| judged.clone()).collect();
        let mut mistakes = self.mistakes(&alerts);
        let test = self.test.map(|(_, judged)| figures(judged));
        let mut notes = self.notes.clone();
        notes.extend(test.iter().flat_map(|test| missed_on_test(test, self.goal)));
        let packaged = self.outcome.held_out.iter().filter(|(photo, _)| self.dataset.is_packaged(*photo)).count();
        for (done, mistake) in mistakes.iter_mut().enumerate() {
            progress.show("thumbnails", done, MISTAKES);
            // A photo that went away meanwhile is shown without its picture.
            mistake.thumbnail = thumbnail(&mistake.photo).unwrap_or_default();
        }
        progress.show("thumbnails", 1, 1);
        Ok(Report {
            head: self.head.title(),
            layers: self.layers.clone(),
            backbone: format!("{}, {} features", self.backbone.manifest().id, self.backbone.features()),
            created_at: self.created.clone(),
            photos: self.counts(),
            epochs: self.outcome.epochs.clone(),
            cross_validation: figures(&held_out),
            held_out_packaged: packaged as u64,
            trained_on: self.trained_on.clone(),
            test,
            operating_points: self.outcome.operating_points.clone(),
            calibration: self.outcome.calibration.clone(),
            novelty: self.outcome.novelty_figures.clone(),
            mistakes,
            map: self.map(),
            seconds: Seconds { features: self.features.as_secs_f64(), fit: self.fit.as_secs_f64() },
            notes,
        })
    }

    fn alerts(&self) -> impl Iterator<Item = &crate::model::Label> {
        self.head.manifest().labels.iter().filter(|label| label.alert)
    }

    fn counts(&self) -> Vec<Counts> {
        let count = |data: &Dataset, label: &str, packaged: bool| {
            let rows = data.class.iter().zip(&data.plain).zip(&data.photo).filter(|((_, plain), _)| **plain);
            let own = rows.filter(|((class, _), _)| data.labels.get(**class).is_some_and(|own| own == label));
            own.filter(|(_, photo)| data.is_packaged(**photo) == packaged).count() as u64
        };
        let labels = self.head.manifest().labels.iter();
        let counts = labels.map(|label| Counts {
            label: label.name.clone(),
            background: label.background,
            train: count(self.dataset, &label.name, false),
            packaged: count(self.dataset, &label.name, true),
            test: self.test.map_or(0, |(test, _)| count(&test.dataset, &label.name, false)),
        });
        counts.collect()
    }

    fn mistakes(&self, alerts: &[(String, f32)]) -> Vec<Mistake> {
        let photo = |data: &'_ Dataset, place: usize| data.photos.get(place).cloned().unwrap_or_default();
        let held_out = self.outcome.held_out.iter();
        let mut photos: Vec<_> =
            held_out.map(|(place, judged)| (photo(self.dataset, *place), "held out", judged)).collect();
        if let Some((test, judged)) = self.test {
            photos
                .extend(judged.iter().enumerate().map(|(place, judged)| (photo(&test.dataset, place), "test", judged)));
        }
        let seen = photos.iter().map(|(photo, part, judged)| Seen { photo, part, judged });
        report::mistakes(&self.dataset.labels, alerts, seen, MISTAKES)
    }

    /// The photos themselves, held out where they were.
    fn map(&self) -> Vec<MapPoint> {
        let data = self.dataset;
        let mut right = vec![true; data.photos.len()];
        for (place, judged) in &self.outcome.held_out {
            let named = judged.probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            if let Some(slot) = right.get_mut(*place) {
                *slot = named.is_some_and(|(named, _)| named == judged.truth);
            }
        }
        let plain: Vec<usize> = (0..data.rows.len()).filter(|row| data.plain[*row]).collect();
        let mut rows = super::Rows::new(data.rows.width());
        plain.iter().for_each(|row| rows.push(data.rows.row(*row)));
        let class: Vec<usize> = plain.iter().map(|row| data.class[*row]).collect();
        let at = report::project(&rows, &class);
        let points = plain.iter().zip(at).map(|(row, at)| MapPoint {
            class: data.class[*row],
            at,
            right: right.get(data.photo[*row]).copied().unwrap_or(true),
            photo: data.photos.get(data.photo[*row]).cloned().unwrap_or_default(),
        });
        points.collect()
    }
}

/// Says of each alert when the test photos do not bear its goal out.
fn missed_on_test(test: &Evaluation, goal: Goal) -> Vec<String> {
    let missed = |alert: &AlertFigures| match goal {
        Goal::MinRecall(share) => alert.recall.of > 0 && alert.recall.share < share - 1e-9,
        Goal::MaxFalseAlerts(share) => alert.false_alert_rate.of > 0 && alert.false_alert_rate.share > share + 1e-9,
    };
    let words = |alert: &AlertFigures| {
        let (what, share) = match goal {
            Goal::MinRecall(_) => ("found", &alert.recall),
            Goal::MaxFalseAlerts(_) => ("false alerts", &alert.false_alert_rate),
        };
        format!(
            "{}: the goal ({goal}) holds on the held-out photos and not on the test photos: {} {what}. New places are like \
             the test: train on photos more like them, or ask for more.",
            alert.label,
            report::fraction(share)
        )
    };
    test.alerts.iter().filter(|alert| missed(alert)).map(words).collect()
}

fn thumbnail(photo: &Path) -> Option<String> {
    let bytes = std::fs::read(photo).ok()?;
    let scale = Scale::AtLeast { width: THUMBNAIL, height: THUMBNAIL };
    let decode = || frame::decode(&bytes, scale, &memory::limits()).ok();
    let pixels = crate::classifier::guarded("decode", decode).ok()??.pixels;
    report::thumbnail(&pixels).ok()
}

/// What the user should know of the photos. `set_aside`: the test was taken from the photos to train on.
pub(super) fn notes_on_photos(
    train: &Features,
    test: Option<&Features>,
    skipped: &[(PathBuf, String)],
    set_aside: bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    let number = |count: usize| counted(count as u64, "photo");
    if let Some(test) = test.filter(|_| set_aside) {
        notes.push(format!(
            "There is no train folder around the labels, so about a fifth of each label's photos, {} in all, was set \
             aside for the test and not trained on; to choose them, put them into test/LABEL/ and the others into \
             train/LABEL/.",
            thousands(test.dataset.photos.len() as u64)
        ));
    }
    if !skipped.is_empty() {
        let (were, names) = (was(skipped.len()), photos::names(skipped.iter().map(|(path, _)| path)));
        notes.push(format!("{} could not be used and {were} left out: {names}.", number(skipped.len())));
    }
    let partial: Vec<&PathBuf> =
        [Some(train), test].into_iter().flatten().flat_map(|features| &features.partial).collect();
    if !partial.is_empty() {
        let (is, names) = (if partial.len() == 1 { "is" } else { "are" }, photos::names(partial.iter().copied()));
        notes.push(format!(
            "{} {is} damaged and used as far as decoded: {names}. Look whether the animal is on that part.",
            number(partial.len())
        ));
    }
    let exported: usize = [Some(train), test].into_iter().flatten().map(|features| features.exported.len()).sum();
    if exported > 0 {
        notes.push(format!(
            "{} of the {} came as features that a trap exported, without a picture: frames of one burst among them can't \
             be recognised, so that figures on held-out ones may flatter, and there are no changed views.",
            thousands(exported as u64),
            number(photos_of(train) + test.map_or(0, photos_of))
        ));
    }
    if let Some(test) = test {
        let known = test.also_in(train).len();
        if known > 0 {
            let is = if known == 1 { "is" } else { "are" };
            notes.push(format!(
                "{} of the test {is}, or nearly {is}, among those trained on: the test flatters.",
                number(known)
            ));
        }
    }
    notes
}

fn photos_of(features: &Features) -> usize {
    features.dataset.photos.len()
}

fn was(count: usize) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// For the head's manifest: figures of the test if there was one, else of the cross-validation, and the threshold's cost.
pub(super) fn summary(report: &Report) -> Result<Value> {
    let (measured_on, evaluation): (&str, &Evaluation) = match &report.test {
        Some(test) => ("test", test),
        None => ("cross_validation", &report.cross_validation),
    };
    let mut value = serde_json::to_value(evaluation)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("measured_on".into(), measured_on.into());
        let cost = |point: &report::OperatingPoint| {
            json!({
                "label": point.label, "threshold": point.threshold, "wanted": point.wanted,
                "recall": point.recall, "false_alert_rate": point.false_alert_rate,
            })
        };
        let costs: Value = report.operating_points.iter().map(cost).collect();
        object.insert("operating_points".into(), costs);
    }
    Ok(value)
}
