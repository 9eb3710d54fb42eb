//! What a training came to, put together for the report.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Dataset, Features, Outcome};
use crate::evaluate::{Evaluation, Judged, evaluate};
use crate::frame::{self, Scale};
use crate::memory;
use crate::model::{Backbone, Head};
use crate::quantize::Progress;
use crate::report::{self, Counts, MapPoint, Mistake, Report, Seconds, Seen};

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
        let mut mistakes = self.mistakes();
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
            test: self.test.map(|(_, judged)| figures(judged)),
            operating_points: self.outcome.operating_points.clone(),
            calibration: self.outcome.calibration.clone(),
            novelty: self.outcome.novelty_figures.clone(),
            mistakes,
            map: self.map(),
            seconds: Seconds { features: self.features.as_secs_f64(), fit: self.fit.as_secs_f64() },
            notes: self.notes,
        })
    }

    fn alerts(&self) -> impl Iterator<Item = &crate::model::Label> {
        self.head.manifest().labels.iter().filter(|label| label.alert)
    }

    fn counts(&self) -> Vec<Counts> {
        let count = |data: &Dataset, label: &str| {
            let rows = data.class.iter().zip(&data.plain).filter(|(_, plain)| **plain);
            rows.filter(|(class, _)| data.labels.get(**class).is_some_and(|own| own == label)).count() as u64
        };
        let labels = self.head.manifest().labels.iter();
        let counts = labels.map(|label| Counts {
            label: label.name.clone(),
            background: label.background,
            train: count(self.dataset, &label.name),
            test: self.test.map_or(0, |(test, _)| count(&test.dataset, &label.name)),
        });
        counts.collect()
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let alerts: Vec<String> = self.alerts().map(|label| label.name.clone()).collect();
        let photo = |data: &'_ Dataset, place: usize| data.photos.get(place).cloned().unwrap_or_default();
        let held_out = self.outcome.held_out.iter();
        let mut photos: Vec<_> =
            held_out.map(|(place, judged)| (photo(self.dataset, *place), "held out", judged)).collect();
        if let Some((test, judged)) = self.test {
            photos
                .extend(judged.iter().enumerate().map(|(place, judged)| (photo(&test.dataset, place), "test", judged)));
        }
        let seen = photos.iter().map(|(photo, part, judged)| Seen { photo, part, judged });
        report::mistakes(&self.dataset.labels, &alerts, seen, MISTAKES)
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

fn thumbnail(photo: &Path) -> Option<String> {
    let bytes = std::fs::read(photo).ok()?;
    let scale = Scale::AtLeast { width: THUMBNAIL, height: THUMBNAIL };
    let decode = || frame::decode(&bytes, scale, &memory::limits()).ok();
    let pixels = crate::classifier::guarded("decode", decode).ok()??.pixels;
    report::thumbnail(&pixels).ok()
}

/// What the user should know of the photos.
pub(super) fn notes_on_photos(train: &Features, test: Option<&Features>, skipped: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let photos = |count: usize| if count == 1 { "1 photo".to_owned() } else { format!("{count} photos") };
    if skipped > 0 {
        notes.push(format!("{} could not be used and were left out.", photos(skipped)));
    }
    if !train.partial.is_empty() {
        notes.push(format!("{} are damaged; what could be decoded of them is used.", photos(train.partial.len())));
    }
    if let Some(test) = test {
        let known = test.also_in(train).len();
        if known > 0 {
            notes.push(format!(
                "{} of the test are, or nearly are, among those trained on: the test flatters.",
                photos(known)
            ));
        }
    }
    notes
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
