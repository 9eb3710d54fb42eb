//! What a training came to, made for looking: [`html`] for a wall, [`json`] for scripts, [`text`] for a terminal. Pure:
//! no file is read or written here.

mod choose;
mod html;
mod numbers;
mod projection;
mod text;
mod thumbnail;

#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::evaluate::{Evaluation, Share};

pub use choose::{Seen, calibration, mistakes};
pub use html::html;
pub use numbers::{balanced_interval, counted, thousands};
pub use projection::project;
pub use text::{fraction, text};
pub use thumbnail::thumbnail;

/// Everything a report shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Name and version of the head.
    pub head: String,
    /// Layers, in words: `linear, L2 0.01`, `mlp:1024 on the flattened feature map`.
    pub layers: String,
    /// Id of the backbone and length of its feature vector.
    pub backbone: String,
    /// RFC 3339.
    pub created_at: String,
    /// Photos a label.
    pub photos: Vec<Counts>,
    /// One a pass over the photos; for a linear head one a step of its fit.
    pub epochs: Vec<Epoch>,
    /// On photos that each fold's fit did not see, packaged ones included.
    pub cross_validation: Evaluation,
    /// How many of these are packaged.
    pub held_out_packaged: u64,
    /// sha256 of each photo trained on, its first 16 hex digits, sorted: `eval` warns of photos that it knows.
    pub trained_on: Vec<String>,
    /// On the test folder, if there is one; nothing was chosen by it.
    pub test: Option<Evaluation>,
    /// The threshold of each label that alerts and what it costs.
    pub operating_points: Vec<OperatingPoint>,
    /// How often it is right when it says p, over held-out photos.
    pub calibration: Calibration,
    /// How well frames unlike all classes are told.
    pub novelty: Option<NoveltyFigures>,
    /// Missed alerts, then the most confident other mistakes, on held-out and test photos.
    pub mistakes: Vec<Mistake>,
    /// Photos in two dimensions.
    pub map: Vec<MapPoint>,
    /// What the user should know: no background folder, few photos, photos left out.
    pub notes: Vec<String>,
    /// Seconds for features and for all that came after.
    pub seconds: Seconds,
}

/// Photos of a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counts {
    /// The label.
    pub label: String,
    /// A background label never alerts.
    pub background: bool,
    /// Photos trained on.
    pub train: u64,
    /// Packaged photos whose features stood in for photos to train on.
    pub packaged: u64,
    /// Photos kept for the test.
    pub test: u64,
}

/// One pass over the photos.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: u32,
    /// Balanced accuracy on what it is fitted to, 0 to 1.
    pub training_accuracy: f64,
    /// Balanced accuracy on the held-out part, 0 to 1.
    pub validation_accuracy: f64,
    /// Mean cross-entropy, nats.
    pub training_loss: f64,
    /// Mean cross-entropy, nats.
    pub validation_loss: f64,
}

/// A threshold, chosen on held-out training photos.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// The label that alerts.
    pub label: String,
    /// Smallest probability that alerts.
    pub threshold: f64,
    /// What was asked for, in words.
    pub wanted: String,
    /// Recall there, on held-out photos.
    pub recall: Share,
    /// False alerts there, on held-out photos.
    pub false_alert_rate: Share,
    /// All thresholds, falling: for the curves.
    pub curve: Vec<CurvePoint>,
}

/// One threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Smallest probability that alerts.
    pub threshold: f64,
    /// Share of the label's photos that alert.
    pub recall: f64,
    /// Share of the alerts that are right.
    pub precision: f64,
    /// Share of other photos that alert.
    pub false_alert_rate: f64,
}

/// How often it is right when it says p.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// The logits were divided by it.
    pub temperature: f64,
    /// Mean distance of what it says from how often it is right (expected calibration error), after the temperature.
    pub error: f64,
    /// Tenths of confidence that have photos.
    pub bins: Vec<CalibrationBin>,
}

/// Photos of like confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// Mean confidence of the most probable label.
    pub confidence: f64,
    /// Share of them that are right.
    pub accuracy: f64,
    /// How many.
    pub photos: u64,
}

/// How well frames unlike all classes are told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoveltyFigures {
    /// `mahalanobis` or `energy`.
    pub method: String,
    /// Score above which a frame is novel.
    pub threshold: f64,
    /// Share of known held-out photos that are called novel.
    pub false_novel: Share,
    /// Area under the curve on classes that were left out of training, one at a time; on photos that had no part in the
    /// choice of the method.
    pub auroc: Vec<(String, f64)>,
}

/// What is wrong with what was made of a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// It is of a label that alerts and lies below the threshold, whatever it was named.
    MissedAlert,
    /// It alerts as a label that it is not, whatever it was named.
    FalseAlert,
    /// Named wrongly, which alerts neither too much nor too little.
    Name,
}

/// A photo that was named wrongly, or alerted wrongly or not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mistake {
    /// The photo.
    #[serde(serialize_with = "lossy")]
    pub photo: PathBuf,
    /// `held out` or `test`.
    pub part: &'static str,
    /// Its true label.
    pub truth: String,
    /// In which way.
    pub wrong: Wrong,
    /// Label and probability, most probable first.
    pub scores: Vec<(String, f32)>,
    /// A JPEG or PNG of at most 160 pixels a side, in base64 with its `data:` prefix; not in the JSON.
    #[serde(skip)]
    pub thumbnail: String,
}

/// A photo on the feature map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapPoint {
    /// Its true label's place in the labels.
    pub class: usize,
    /// Coordinates, any unit.
    pub at: [f32; 2],
    /// Named rightly.
    pub right: bool,
    /// The photo's path.
    #[serde(serialize_with = "lossy")]
    pub photo: PathBuf,
}

/// Time taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Seconds {
    /// Reading photos and running the backbone; little when they were kept from before.
    pub features: f64,
    /// Fitting, cross-validation and all the rest.
    pub fit: f64,
}

/// The report as one JSON object: numbers rounded to six digits, thumbnails left out, `null` where a number is none.
///
/// # Errors
/// If it cannot be written as JSON, which no field of it causes.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(report)?;
    numbers::round(&mut value);
    Ok(value.to_string())
}

/// A path as text; serde refuses one that is not UTF-8, and a report should not fail for a file's name.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::testing::{degenerate, sample};
    use super::*;

    #[test]
    fn the_json_has_the_pages_numbers_rounded_and_no_pictures() {
        let report = sample(4);
        let text = json(&report).expect("writes");
        let value: serde_json::Value = serde_json::from_str(&text).expect("parses");
        assert_eq!(value["cross_validation"]["images"], report.cross_validation.images);
        assert_eq!(
            value["operating_points"][0]["curve"].as_array().map(Vec::len),
            Some(report.cross_validation.images as usize)
        );
        assert!(!text.contains("data:image") && value["mistakes"][0]["photo"].is_string());
        let digits = |number: &str| {
            let mantissa = number.split('e').next().unwrap_or_default().trim_start_matches(['-', '0', '.']);
            mantissa.bytes().filter(u8::is_ascii_digit).count()
        };
        let longest =
            text.split([',', ':', '[', ']', '{', '}']).filter(|part| part.parse::<f64>().is_ok()).map(digits).max();
        assert!(longest.is_some_and(|digits| digits <= 6), "{longest:?}");
    }

    #[test]
    fn each_label_that_alerts_is_in_page_text_and_json() {
        let mut report = sample(4);
        let second =
            OperatingPoint { label: "walrus".to_owned(), threshold: 0.32, ..report.operating_points[0].clone() };
        report.operating_points.push(second);
        assert!(text(&report).contains("walrus alerts from 0.32 on"), "{}", text(&report));
        let page = html(&report);
        for part in [
            "polar_<wbr>bear found",
            "walrus found",
            "walrus alerts from 0.32 on",
            "walrus from 0.32 on",
            "The alert: walrus",
        ] {
            assert!(page.contains(part), "no {part}");
        }
        let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let unlike: std::collections::HashSet<&&str> = ids.iter().collect();
        assert_eq!(unlike.len(), ids.len(), "an id twice: {ids:?}");
        let value: serde_json::Value = serde_json::from_str(&json(&report).expect("writes")).expect("parses");
        assert_eq!(value["operating_points"][1]["label"], "walrus");
    }

    #[test]
    fn the_json_of_numbers_that_are_none_is_json() {
        for report in degenerate() {
            let text = json(&report).expect("writes");
            serde_json::from_str::<serde_json::Value>(&text).expect("parses");
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_name_that_is_not_utf_8_does_not_cost_the_report() {
        use std::os::unix::ffi::OsStrExt;
        let mut report = sample(2);
        report.map[0].photo = PathBuf::from(std::ffi::OsStr::from_bytes(b"bear\xff.jpg"));
        report.mistakes[0].photo = report.map[0].photo.clone();
        assert!(json(&report).expect("writes").contains("bear\u{fffd}.jpg"));
        assert!(html(&report).contains("bear\u{fffd}.jpg"));
    }
}
