//! A head from feature rows: layers, temperature, threshold, novelty.

use ndarray::Axis;

use super::calibrate::temperature;
use super::cross_validation::{Split, splits};
use super::learner::{self, HeldOut, Learnt};
use super::metrics::softmax;
use super::notes::{alike, few_folds, overconfident, silent, thin_evidence};
use super::novelty_choice::{self, Known};
use super::operating_point::{Scored, choose, missed};
use super::options::{Goal, Layers};
use super::rows::{Dataset, Rows};
use super::space::Space;
use crate::evaluate::Judged;
use crate::model::{Label, Novelty, is_background, is_label};
use crate::onnx::OnnxError;
use crate::report::{self, Calibration, Epoch, NoveltyFigures, OperatingPoint};

/// Told what is done: words, steps done, steps in all. Called from several threads.
pub type Progress<'a> = &'a (dyn Fn(&str, usize, usize) + Sync);

/// How a head is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct FitOptions {
    /// Which layers.
    pub layers: Layers,
    /// Passes over the photos (mlp).
    pub epochs: u32,
    /// Photos a step (mlp).
    pub batch: u32,
    /// Folds, initial weights and order follow from it.
    pub seed: u64,
    /// Folds wanted; fewer where a class has fewer photos.
    pub folds: u32,
    /// Labels that alert. Empty: `polar_bear`, if there is one.
    pub alerts: Vec<String>,
    /// What the thresholds are chosen for.
    pub goal: Goal,
    /// Share of known photos that may be called novel, 0 to 1.
    pub novel_share: f64,
    /// Threads; the result does not depend on it.
    pub threads: usize,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            layers: Layers::Linear,
            epochs: 10,
            batch: 10,
            seed: 0,
            folds: 5,
            alerts: Vec::new(),
            goal: Goal::default(),
            novel_share: 0.01,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// A fitted head and how it did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// `head.onnx`: ends in probabilities, the temperature is part of the weights.
    pub onnx: Vec<u8>,
    /// For the manifest: alerts, thresholds, background labels.
    pub labels: Vec<Label>,
    /// For the manifest.
    pub novelty: Option<Novelty>,
    /// How well novelty is told.
    pub novelty_figures: Option<NoveltyFigures>,
    /// Curve of the fit, mean over the folds.
    pub epochs: Vec<Epoch>,
    /// Photos by fits that did not see them, calibrated: place in `Dataset::photos` and what was said. All photos, or
    /// those of one fold where the network is too large for more.
    pub held_out: Vec<(usize, Judged)>,
    /// How often it is right when it says p, on the same photos.
    pub calibration: Calibration,
    /// L2 penalty that cross-validation chose (linear).
    pub strength: Option<f64>,
    /// Folds used.
    pub folds: u32,
    /// One a label that alerts.
    pub operating_points: Vec<OperatingPoint>,
    /// Layers in words.
    pub layers: String,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Why there is no head.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// Nothing to tell apart.
    #[error("there are photos of {found} only; a head needs at least two labels: add a folder of another label")]
    OneClass {
        /// The label, or `no label`.
        found: String,
    },
    /// Nothing could be held out.
    #[error(
        "label {label} has {photos} photo(s), copies counted once, and at least 2 are needed (20 to be of use): add photos or take the folder out"
    )]
    TooFewPhotos {
        /// The label.
        label: String,
        /// Photos of unlike content.
        photos: usize,
    },
    /// A broken feature.
    #[error(
        "a feature of {photo} is not a finite number; the backbone's arithmetic broke down on it: take the photo out"
    )]
    NotFinite {
        /// The photo's path.
        photo: String,
    },
    /// Vectors of unequal length, or places that do not exist.
    #[error("the feature rows contradict each other ({what}): extract them again")]
    Inconsistent {
        /// What does not fit.
        what: &'static str,
    },
    /// Not a label for topics and payloads.
    #[error("label `{label}` must match [a-z0-9_]+: rename its folder")]
    Label {
        /// As found.
        label: String,
    },
    /// No such label.
    #[error("no photos of `{label}`, which should alert; there are {known}")]
    UnknownAlert {
        /// As wanted.
        label: String,
        /// All labels.
        known: String,
    },
    /// Background is what never alerts.
    #[error("`{label}` is a background label, which never alerts: name the animal's label instead")]
    BackgroundAlert {
        /// As wanted.
        label: String,
    },
    /// A package without the heavier layers.
    #[error("this build trains linear heads only: use `--layers linear`, or a build with the feature `train`")]
    NoMlp,
    /// The fit left the finite numbers.
    #[error("training broke down: the weights are not finite numbers; use `--layers linear`, or fewer units")]
    Diverged,
    /// The network could not be written.
    #[error("the trained layers can't be written as ONNX: {0}")]
    Encode(#[from] OnnxError),
}

/// Fits a head. Same dataset, options and machine: same bytes.
///
/// # Errors
/// [`FitError`] says what to do about it.
pub fn fit(dataset: &Dataset, options: &FitOptions, progress: Progress) -> Result<Outcome, FitError> {
    check(dataset)?;
    let alerts = alerts(dataset, options)?;
    let mut notes = Vec::new();
    let splits = splits(dataset, options.folds as usize, options.seed)?;
    notes.extend(few_folds(dataset, splits.len(), options.folds as usize));
    notes.extend(alike(dataset));
    let plain: Vec<usize> = (0..dataset.class.len()).filter(|row| dataset.plain[*row]).collect();
    let all_rows = matches!(options.layers, Layers::Linear);
    // Views tell the layers more, but novelty is about photos as they are: a space of these alone will do.
    let mut photos = Rows::new(dataset.rows.width());
    if !all_rows {
        plain.iter().for_each(|row| photos.push(dataset.rows.row(*row)));
    }
    let space = Space::of(if all_rows { &dataset.rows } else { &photos }, options.threads);
    let Learnt { mut network, held_out, epochs, strength } = learn(dataset, &space, &splits, options, progress)?;
    let (own, truth) = held_out.plain(dataset);
    let heat = temperature(&own.logits.view(), &truth);
    network.cool(heat);
    let finite =
        network.layers.iter().all(|layer| layer.weights.iter().chain(&layer.bias).all(|value| value.is_finite()));
    if !finite || own.logits.iter().any(|value| !value.is_finite()) {
        return Err(FitError::Diverged);
    }
    if let Layers::Mlp { units } = options.layers
        && learner::is_large(units, dataset.rows.width())
    {
        notes.push(format!("So large a network was held out from one fold only: {} photos.", own.rows.len()));
    }

    notes.extend(overconfident(heat));

    progress("novelty", 0, 1);
    let known = Known {
        rows: if all_rows { space.rows.select(Axis(0), &plain) } else { space.rows.clone() },
        classes: plain.iter().map(|row| dataset.class[*row]).collect(),
        folds: fold_of(&plain, &splits),
        labels: &dataset.labels,
        energies: super::novelty::energies(&(&own.logits / heat as f32).view()),
        strength,
    };
    let choice = novelty_choice::choose(&known, options);
    let distances = choice.distances.map(|distances| distances.to_features(&space));
    progress("novelty", 1, 1);

    let operating_points = operating_points(dataset, &alerts, &held_out, heat, options.goal);
    notes.extend(silent(dataset, &operating_points));
    notes.extend(operating_points.iter().filter_map(missed));
    let packaged =
        plain.iter().filter_map(|row| dataset.photo.get(*row)).filter(|photo| dataset.is_packaged(**photo)).count()
            as u64;
    notes.extend(operating_points.iter().filter_map(|point| thin_evidence(point, packaged)));
    let labels = dataset.labels.iter().enumerate().map(|(place, name)| Label {
        name: name.clone(),
        alert: alerts.contains(&place),
        threshold: operating_points
            .iter()
            .find(|point| &point.label == name)
            .map_or(0.5, |point| point.threshold as f32),
        background: is_background(name),
    });
    let probabilities = softmax(&(&own.logits / heat as f32).view());
    let judged = probabilities.rows().into_iter().zip(&truth);
    let judged: Vec<Judged> =
        judged.map(|(row, truth)| Judged { truth: *truth, probabilities: row.to_vec() }).collect();
    let calibration = report::calibration(&judged, heat);
    Ok(Outcome {
        onnx: network.encode(distances.as_ref())?,
        labels: labels.collect(),
        novelty: Some(choice.novelty),
        novelty_figures: Some(choice.figures),
        epochs,
        held_out: own.rows.iter().map(|row| dataset.photo[*row]).zip(judged).collect(),
        calibration,
        strength: strength.map(f64::from),
        folds: splits.len() as u32,
        operating_points,
        layers: match (options.layers, strength) {
            (Layers::Mlp { units }, _) => format!("mlp:{units}, {} epochs", options.epochs),
            (Layers::Linear, strength) => format!("linear, L2 {}", strength.unwrap_or(0.0)),
        },
        notes,
    })
}

fn learn(
    dataset: &Dataset,
    space: &Space,
    splits: &[Split],
    options: &FitOptions,
    progress: Progress,
) -> Result<Learnt, FitError> {
    match options.layers {
        Layers::Linear => Ok(learner::linear(dataset, space, splits, options, progress)),
        #[cfg(feature = "train")]
        Layers::Mlp { units } => Ok(learner::mlp(dataset, units, splits, options, progress)),
        #[cfg(not(feature = "train"))]
        Layers::Mlp { .. } => Err(FitError::NoMlp),
    }
}

fn check(dataset: &Dataset) -> Result<(), FitError> {
    let wrong = |what| Err(FitError::Inconsistent { what });
    let rows = dataset.rows.len();
    if [dataset.class.len(), dataset.photo.len(), dataset.plain.len()] != [rows; 3] {
        return wrong("not one class, photo and kind a row");
    }
    let photos = dataset.photos.len();
    if [dataset.cluster.len(), dataset.copies.len()] != [photos; 2]
        || dataset.cluster.iter().chain(&dataset.copies).chain(&dataset.photo).any(|place| *place >= photos)
        || dataset.class.iter().any(|class| *class >= dataset.labels.len())
    {
        return wrong("a place that does not exist");
    }
    if let Some(label) = dataset.labels.iter().find(|label| !is_label(label)) {
        return Err(FitError::Label { label: label.clone() });
    }
    if dataset.labels.len() < 2 {
        let found = dataset.labels.first().cloned().unwrap_or_else(|| "no label".into());
        return Err(FitError::OneClass { found });
    }
    // Far beyond what any network gives, and still safe to square.
    let broken = |row: &[f32]| row.iter().any(|value| !value.is_finite() || value.abs() > 1e9);
    if let Some(row) = dataset.rows.iter().position(broken) {
        let photo = dataset.photos.get(dataset.photo[row]).map(|path| path.display().to_string());
        return Err(FitError::NotFinite { photo: photo.unwrap_or_default() });
    }
    for (class, label) in dataset.labels.iter().enumerate() {
        if !dataset.class.iter().zip(&dataset.plain).any(|(own, plain)| *own == class && *plain) {
            return Err(FitError::TooFewPhotos { label: label.clone(), photos: 0 });
        }
    }
    Ok(())
}

/// Places of the labels that alert.
fn alerts(dataset: &Dataset, options: &FitOptions) -> Result<Vec<usize>, FitError> {
    let place = |label: &str| dataset.labels.iter().position(|known| known == label);
    if options.alerts.is_empty() {
        return Ok(place("polar_bear").into_iter().collect());
    }
    let wanted = options.alerts.iter().map(|label| match place(label) {
        Some(_) if is_background(label) => Err(FitError::BackgroundAlert { label: label.clone() }),
        Some(place) => Ok(place),
        None => Err(FitError::UnknownAlert { label: label.clone(), known: dataset.labels.join(", ") }),
    });
    wanted.collect()
}

fn operating_points(
    dataset: &Dataset,
    alerts: &[usize],
    held_out: &HeldOut,
    temperature: f64,
    goal: Goal,
) -> Vec<OperatingPoint> {
    let probabilities = softmax(&(&held_out.logits / temperature as f32).view());
    let point = |class: &usize| {
        let scored = held_out.rows.iter().zip(probabilities.rows()).map(|(row, probabilities)| Scored {
            score: probabilities[*class],
            positive: dataset.class[*row] == *class,
            plain: dataset.plain[*row],
        });
        choose(&dataset.labels[*class], &scored.collect::<Vec<_>>(), goal)
    };
    alerts.iter().map(point).collect()
}

/// Fold that holds each of `rows` out; beyond the last where none does.
fn fold_of(rows: &[usize], splits: &[Split]) -> Vec<usize> {
    let mut folds = std::collections::HashMap::new();
    for (fold, split) in splits.iter().enumerate() {
        split.held_out.iter().for_each(|row| {
            folds.insert(*row, fold);
        });
    }
    rows.iter().map(|row| folds.get(row).copied().unwrap_or(splits.len())).collect()
}
