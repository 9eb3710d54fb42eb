//! A head for rendered scenes, fitted on the spot: features of some dozens of scenes through a real backbone, and
//! arcticd's own fit on them. Deterministic: the same backbone gives the same head.
//!
//! It knows nothing of photographs. It exists so that a demo and the tests have a head whose every score comes from
//! inference, whatever backbone is built in.

pub mod signed;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use arcticd::classifier::rfc3339;
use arcticd::evaluate::Judged;
use arcticd::frame::{self, ContentHash, Limits, Scale};
use arcticd::model::source::{self, Origin};
use arcticd::model::{Backbone, FileDigest, HeadBackbone, HeadManifest, Model, ScoresOutput};
use arcticd::train::{self, Dataset, FitOptions, Goal, Outcome, Rows};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::scenes::Scene;

/// Scenes to be shown have seeds from here on; those below are for fitting.
pub const FIRST_SHOWN_SEED: u64 = 1_000;

const FITTED_PER_KIND: u64 = 26;
/// Scenes that a fit looks at.
pub const SCENES: u64 = 4 * FITTED_PER_KIND;
/// Twice to three times what backbones look at.
const SIDES: (u32, u32) = (480, 360);

/// A head in memory.
pub struct DemoHead {
    manifest: HeadManifest,
    onnx: Vec<u8>,
    report: Report,
}

/// How the fit went, by fits that did not see the scene.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Scenes, each held out once.
    pub scenes: usize,
    /// Those whose most probable label is theirs.
    pub right: usize,
    /// Smallest probability that alerts.
    pub threshold: f32,
    /// Highest probability of a bear in a scene without one.
    pub highest_without_bear: f32,
    /// Lowest probability of a bear in a scene with one.
    pub lowest_bear: f32,
    /// Time taken.
    pub took: Duration,
}

struct Example {
    scene: Scene,
    features: Vec<f32>,
}

impl DemoHead {
    /// Fits a head for `backbone`.
    ///
    /// # Errors
    /// The backbone can't look at a scene, or bears that a fit did not see can't be told from the rest.
    pub fn fit(backbone: &Backbone) -> Result<Self> {
        let start = Instant::now();
        let dataset = dataset(backbone, &examples(backbone, 0..FITTED_PER_KIND)?)?;
        let bear = Scene::Bear.label();
        let options = FitOptions { alerts: vec![bear.to_owned()], goal: Goal::MinRecall(1.0), ..FitOptions::default() };
        let outcome = train::fit(&dataset, &options, &|_, _, _| {})?;
        let class = dataset.labels.iter().position(|label| label == bear).unwrap_or(0);
        let score = |judged: &Judged| judged.probabilities.get(class).copied().unwrap_or(0.0);
        let judged = || outcome.held_out.iter().map(|(_, judged)| judged);
        let report = Report {
            scenes: judged().count(),
            right: judged().filter(|judged| best(&judged.probabilities) == judged.truth).count(),
            threshold: outcome.labels.get(class).map_or(0.5, |label| label.threshold),
            highest_without_bear: judged().filter(|judged| judged.truth != class).map(score).fold(0.0, f32::max),
            lowest_bear: judged().filter(|judged| judged.truth == class).map(score).fold(1.0, f32::min),
            took: start.elapsed(),
        };
        ensure!(
            report.threshold > report.highest_without_bear,
            "the backbone {} does not tell rendered bears from the rest: {report:?}",
            backbone.manifest().id
        );
        let manifest = manifest(backbone, &outcome);
        Ok(Self { manifest, onnx: outcome.onnx, report })
    }

    /// How the fit went.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What the head says of itself.
    pub fn manifest(&self) -> &HeadManifest {
        &self.manifest
    }

    /// Writes `manifest.json` and `head.onnx` into `directory`, which is made if need be: a head as `model.head` wants it.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn write_to(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory).with_context(|| format!("head directory {}", directory.display()))?;
        let write = |name: &str, bytes: &[u8]| {
            let file = directory.join(name);
            std::fs::write(&file, bytes).with_context(|| format!("head file {}", file.display()))
        };
        write("head.onnx", &self.onnx)?;
        write("manifest.json", &serde_json::to_vec_pretty(&self.manifest)?)
    }
}

/// Directory of a head for the built-in backbone, kept below `cache` (tests: `env!("CARGO_TARGET_TMPDIR")`) and fitted
/// again when the backbone or this crate's code has changed.
///
/// # Errors
/// As [`DemoHead::fit`] and [`DemoHead::write_to`].
pub fn cached(cache: &Path) -> Result<PathBuf> {
    // What a head depends on, so that a changed scene can't meet an old head.
    const RECIPE: [&str; 10] = [
        include_str!("mod.rs"),
        include_str!("../../../src/train/calibrate.rs"),
        include_str!("../../../src/train/fit.rs"),
        include_str!("../../../src/train/linear.rs"),
        include_str!("../../../src/train/operating_point.rs"),
        include_str!("../scenes/mod.rs"),
        include_str!("../scenes/animals.rs"),
        include_str!("../scenes/background.rs"),
        include_str!("../scenes/canvas.rs"),
        include_str!("../scenes/random.rs"),
    ];
    let backbone = source::backbone(&Origin::Builtin, 1)?;
    let mut key = Sha256::new();
    key.update(&backbone.manifest().sha256);
    for part in RECIPE {
        key.update(part);
    }
    let name: String = key.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let directory = cache.join(format!("demo-head-{name}"));
    let usable = |directory: &Path| source::head(&Origin::Path(directory.to_owned())).is_ok();
    if usable(&directory) {
        return Ok(directory);
    }
    let head = DemoHead::fit(&backbone)?;
    // Written beside and renamed: another test process may be doing the same.
    let fresh = tempfile::Builder::new().prefix("demo-head-").tempdir_in(cache)?;
    head.write_to(&fresh.path().join("head"))?;
    match std::fs::rename(fresh.path().join("head"), &directory) {
        Ok(()) => Ok(directory),
        Err(_) if usable(&directory) => Ok(directory),
        Err(error) => Err(error).with_context(|| format!("head directory {}", directory.display())),
    }
}

/// The built-in backbone with `head`.
///
/// # Errors
/// The head does not load, or belongs to another backbone.
pub fn model(head: &Path) -> Result<Model> {
    source::model(&Origin::Builtin, &Origin::Path(head.to_owned()), 1)
}

/// All kinds of scenes with these seeds, on all processors.
fn examples(backbone: &Backbone, seeds: Range<u64>) -> Result<Vec<Example>> {
    let scenes: Vec<(Scene, u64)> = seeds.flat_map(|seed| Scene::ALL.map(|scene| (scene, seed))).collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = scenes.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = scenes
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().map(|(scene, seed)| example(backbone, *scene, *seed)).collect()))
            .collect();
        let mut examples = Vec::new();
        for part in parts {
            let part: Result<Vec<Example>> = part.join().map_err(|_| anyhow!("looking at a scene panicked"))?;
            examples.extend(part?);
        }
        Ok(examples)
    })
}

/// Through the same file format and decoder as the frames of a trap.
fn example(backbone: &Backbone, scene: Scene, seed: u64) -> Result<Example> {
    let input = &backbone.manifest().input;
    let file = scene.jpeg(seed, SIDES.0, SIDES.1)?;
    let frame = frame::decode(&file, Scale::for_resize(input.filter, input.width, input.height), &Limits::default())?;
    Ok(Example { scene, features: backbone.features_of(&frame.pixels)? })
}

fn best(probabilities: &[f32]) -> usize {
    (0..probabilities.len()).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b])).unwrap_or(0)
}

/// Each scene is a photo of its own.
fn dataset(backbone: &Backbone, examples: &[Example]) -> Result<Dataset> {
    let mut labels = Scene::ALL.map(|scene| scene.label().to_owned()).to_vec();
    labels.sort();
    let mut dataset = Dataset { labels, rows: Rows::new(backbone.features()), ..Dataset::default() };
    for (photo, example) in examples.iter().enumerate() {
        let class = dataset.labels.iter().position(|label| label == example.scene.label());
        dataset.class.push(class.context("a scene's label")?);
        dataset.rows.push(&example.features);
        dataset.photo.push(photo);
        dataset.plain.push(true);
        dataset.photos.push(PathBuf::from(format!("{photo}.jpg")));
        dataset.cluster.push(photo);
        dataset.copies.push(photo);
    }
    Ok(dataset)
}

fn manifest(backbone: &Backbone, outcome: &Outcome) -> HeadManifest {
    let onnx = &outcome.onnx;
    let digest = FileDigest { size: onnx.len() as u64, sha256: ContentHash::of(onnx).to_string() };
    let head_backbone = HeadBackbone {
        id: backbone.manifest().id.clone(),
        sha256: backbone.manifest().sha256.clone(),
        features: backbone.features(),
    };
    HeadManifest {
        created_at: rfc3339(OffsetDateTime::now_utc()),
        files: BTreeMap::from([("head.onnx".to_owned(), digest)]),
        output: Some(ScoresOutput::Probabilities),
        novelty: outcome.novelty.clone(),
        ..HeadManifest::new("demo-scenes".into(), "rendered".into(), head_backbone, outcome.labels.clone())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_fitted_head_loads_and_tells_scenes_it_never_saw_apart() {
        let backbone = source::backbone(&Origin::Builtin, 1).unwrap();
        let head = DemoHead::fit(&backbone).unwrap();
        println!("{:?}", head.report());
        let directory = tempfile::tempdir().unwrap();
        head.write_to(directory.path()).unwrap();
        let model = model(directory.path()).unwrap();
        let mut missed = 0;
        for seed in FIRST_SHOWN_SEED..FIRST_SHOWN_SEED + 6 {
            for scene in Scene::ALL {
                let scores = model.classify(&scene.render(seed, 640, 480)).unwrap();
                let bear = scores.labels.iter().find(|(label, _)| label == "polar_bear").unwrap().1;
                let alerts = bear >= head.report().threshold;
                println!("{seed} {scene:?} polar_bear {bear:.3}");
                assert!(!alerts || scene == Scene::Bear, "{scene:?} {seed} alerts with {bear}");
                missed += usize::from(!alerts && scene == Scene::Bear);
            }
        }
        assert!(missed <= 1, "{missed} of 6 bears missed");
    }
}
