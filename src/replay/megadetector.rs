//! MegaDetector's batch output format 1.6, which Timelapse and AddaxAI read:
//! <https://lila.science/megadetector-output-format>.
//!
//! A head looks at the whole frame, so a frame has one detection whose box is the frame, or none. Its confidence is the
//! probability that the frame shows one of the head's animals at all: 1 - the probability of its background labels.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use time::macros::format_description;

use super::Findings;
use super::record::{Clock, Record};
use super::species::{self, Sort};
use crate::whole_file;

/// Version of the format; a string by its rules.
const FORMAT_VERSION: &str = "1.6";

/// MegaDetector itself leaves out what is below.
const LEAST_CONFIDENCE: f32 = 0.005;

/// Classifications written for a frame.
const MOST_CLASSES: usize = 5;

#[derive(Serialize)]
struct Image<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    /// As EXIF writes it, in the camera's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    datetime: Option<String>,
    /// Empty: nothing was found. Null: nobody could look.
    detections: Option<Vec<Detection>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
}

#[derive(Serialize)]
struct Detection {
    category: &'static str,
    conf: f32,
    /// Left, top, width, height, as fractions of the frame.
    bbox: [f32; 4],
    classifications: Vec<(String, f32)>,
}

/// Writes what was found to `path`: an entry for each file, copies included, in the order of their names.
///
/// # Errors
/// Those of the file system.
pub fn write(path: &Path, findings: &Findings) -> Result<()> {
    let mut images: Vec<(&str, Result<&Record, &str>)> =
        findings.looked.records.iter().map(|record| (&*record.name, Ok(record))).collect();
    images.extend(findings.files_failed().map(|failure| (failure.name.as_str(), Err(failure.reason.as_str()))));
    let (records, failures) = findings.by_hash();
    for copy in &findings.looked.copies {
        match (records.get(&copy.of), failures.get(&copy.of)) {
            (Some(record), _) => images.push((&copy.name, Ok(record))),
            (None, Some(failure)) => images.push((&copy.name, Err(&failure.reason))),
            (None, None) => images.push((&copy.name, Err("interrupted before it was looked at"))),
        }
    }
    images.sort_unstable_by_key(|(name, _)| *name);
    whole_file::write::<anyhow::Error>(path, |out| {
        let head = head(findings);
        // By hand, so that a hundred thousand entries are never in memory as text.
        writeln!(out, "{{")?;
        for (key, value) in &head {
            writeln!(out, " {}: {},", Value::from(*key), serde_json::to_string_pretty(value)?.replace('\n', "\n "))?;
        }
        write!(out, " \"images\": [")?;
        for (place, (name, outcome)) in images.iter().enumerate() {
            write!(out, "{}\n  ", if place == 0 { "" } else { "," })?;
            serde_json::to_writer(&mut *out, &image(findings, name, *outcome))?;
        }
        writeln!(out, "\n ]\n}}")?;
        Ok(())
    })
    .with_context(|| whole_file::cannot(path))
}

/// Everything but the images.
fn head(findings: &Findings) -> [(&'static str, Value); 4] {
    let now = findings
        .made_at
        .to_offset(time::UtcOffset::UTC)
        .format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]"));
    // Timelapse shows what is above by default: nothing that alerts may be hidden.
    let typical = findings.setup.alerting.iter().map(|(_, threshold)| *threshold).fold(0.5, f32::min);
    let labels = findings.looked.common.labels.iter().enumerate();
    let names: serde_json::Map<String, Value> =
        labels.clone().map(|(id, label)| (id.to_string(), label.replace('_', " ").into())).collect();
    let described = labels.map(|(id, label)| (id.to_string(), description(label).into())).collect();
    let info = json!({
        "format_version": FORMAT_VERSION,
        "detector": format!("{} (whole frames, no boxes)", findings.setup.program),
        "detection_completion_time": now.as_deref().unwrap_or_default(),
        "detector_metadata": {
            "typical_detection_threshold": rounded(typical),
            "conservative_detection_threshold": rounded(typical / 2.0),
        },
        "classifier": format!("{} on {}", findings.setup.head, findings.setup.backbone),
        "classification_completion_time": now.as_deref().unwrap_or_default(),
        "classifier_metadata": { "typical_classification_threshold": rounded(typical) },
    });
    [
        ("info", info),
        ("detection_categories", json!({ "1": "animal", "2": "person", "3": "vehicle" })),
        ("classification_categories", names.into()),
        ("classification_category_descriptions", Value::Object(described)),
    ]
}

/// The taxonomy that tools search in, from the kingdom down.
fn description(label: &str) -> String {
    match species::species(label) {
        Some(it) => format!("animalia;chordata;{};{};{};{}", it.class, it.order, it.family, it.name).to_lowercase(),
        None => label.replace('_', " "),
    }
}

fn image<'a>(findings: &Findings, name: &'a str, outcome: Result<&Record, &'a str>) -> Image<'a> {
    match outcome {
        Ok(record) => Image {
            file: name,
            width: Some(record.sides.0),
            height: Some(record.sides.1),
            datetime: datetime(record),
            detections: Some(detection(findings, record).into_iter().collect()),
            failure: None,
        },
        Err(reason) => {
            Image { file: name, width: None, height: None, datetime: None, detections: None, failure: Some(reason) }
        }
    }
}

/// As MegaDetector's own tools: EXIF's time if there is one, never the file's.
fn datetime(record: &Record) -> Option<String> {
    let format = format_description!("[year]:[month]:[day] [hour]:[minute]:[second]");
    let written = || record.time(time::UtcOffset::UTC).format(format).ok();
    if record.clock == Clock::File { None } else { written() }
}

fn detection(findings: &Findings, record: &Record) -> Option<Detection> {
    let labels = &findings.looked.common.labels;
    let is_background = |label: &str| findings.setup.background.iter().any(|known| known == label);
    let mut scores: Vec<(usize, &str, f32)> = labels
        .iter()
        .zip(&record.scores)
        .enumerate()
        .map(|(id, (label, score))| (id, label.as_str(), *score))
        .collect();
    scores.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
    let found = scores.iter().find(|(_, label, _)| !is_background(label))?;
    let background: f32 = scores.iter().filter(|(_, label, _)| is_background(label)).map(|(_, _, score)| score).sum();
    // Without a background label nothing speaks against an animal but the head's own doubt.
    let conf = if findings.setup.background.is_empty() { found.2 } else { (1.0 - background).max(found.2).min(1.0) };
    let category = match species::sort(found.1, false) {
        Sort::Human => "2",
        Sort::Vehicle => "3",
        Sort::Animal | Sort::Blank | Sort::Unknown => "1",
    };
    let classifications =
        scores.iter().take(MOST_CLASSES).map(|(id, _, score)| (id.to_string(), rounded(*score))).collect();
    let detection = Detection { category, conf: rounded(conf), bbox: [0.0, 0.0, 1.0, 1.0], classifications };
    (conf >= LEAST_CONFIDENCE).then_some(detection)
}

/// To four digits, down: what is shown never passes a threshold that the frame did not.
fn rounded(probability: f32) -> f32 {
    ((f64::from(probability) * 1e4).floor() / 1e4) as f32
}
