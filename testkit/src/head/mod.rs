//! A head for rendered scenes, fitted on the spot: features of some dozens of scenes through a real backbone, and a
//! multinomial logistic regression on them. Deterministic: the same backbone gives the same head.
//!
//! It knows nothing of photographs. It exists so that a demo and the tests have a head whose every score comes from
//! inference, whatever backbone is built in.

mod network;
mod regression;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use arcticd::classifier::rfc3339;
use arcticd::frame::{self, ContentHash, Limits, Scale};
use arcticd::model::source::{self, Origin};
use arcticd::model::{Backbone, FileDigest, HeadBackbone, HeadManifest, Label, Model, ScoresOutput};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::scenes::Scene;
use regression::Regression;

/// Scenes to be shown have seeds from here on; those below are for fitting.
pub const FIRST_SHOWN_SEED: u64 = 1_000;

const FITTED_PER_KIND: u64 = 20;
const HELD_OUT_PER_KIND: u64 = 6;
/// Scenes that a fit looks at.
pub const SCENES: u64 = 4 * (FITTED_PER_KIND + HELD_OUT_PER_KIND);
/// Twice to three times what backbones look at.
const SIDES: (u32, u32) = (480, 360);

/// A head in memory.
pub struct DemoHead {
    manifest: HeadManifest,
    onnx: Vec<u8>,
    report: Report,
}

/// How the fit went.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Scenes that the weights were fitted on.
    pub fitted: usize,
    /// Scenes that only the threshold was chosen on.
    pub held_out: usize,
    /// Of the held-out scenes, those whose most probable label is theirs.
    pub held_out_right: usize,
    /// Smallest probability that alerts.
    pub threshold: f32,
    /// Highest probability of a bear in a scene without one, over all scenes.
    pub highest_without_bear: f32,
    /// Lowest probability of a bear in a held-out scene with one.
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
    /// The backbone can't look at a scene, or can't tell the held-out bears from the rest.
    pub fn fit(backbone: &Backbone) -> Result<Self> {
        let start = Instant::now();
        let fitted = examples(backbone, 0..FITTED_PER_KIND)?;
        let held_out = examples(backbone, FITTED_PER_KIND..FITTED_PER_KIND + HELD_OUT_PER_KIND)?;
        let class = |example: &Example| Scene::ALL.iter().position(|scene| *scene == example.scene).unwrap_or(0);
        let rows: Vec<&[f32]> = fitted.iter().map(|example| example.features.as_slice()).collect();
        let classes: Vec<usize> = fitted.iter().map(class).collect();
        let regression = Regression::fit(&rows, &classes, Scene::ALL.len());

        let bear = |example: &Example| regression.probabilities(&example.features)[class_of(Scene::Bear)];
        let without = fitted.iter().chain(&held_out).filter(|example| example.scene != Scene::Bear).map(bear);
        let highest_without_bear = without.fold(0.0, f32::max);
        let bears = held_out.iter().filter(|example| example.scene == Scene::Bear).map(bear);
        let lowest_bear = bears.fold(1.0, f32::min);
        let report = Report {
            fitted: fitted.len(),
            held_out: held_out.len(),
            held_out_right: held_out
                .iter()
                .filter(|example| regression.best(&example.features) == class(example))
                .count(),
            threshold: threshold(highest_without_bear, lowest_bear),
            highest_without_bear,
            lowest_bear,
            took: start.elapsed(),
        };
        ensure!(
            report.threshold > highest_without_bear,
            "the backbone {} does not tell rendered bears from the rest: {report:?}",
            backbone.manifest().id
        );
        let onnx = network::encode(&regression);
        let manifest = manifest(backbone, &onnx, report.threshold);
        Ok(Self { manifest, onnx, report })
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
    const RECIPE: [&str; 8] = [
        include_str!("mod.rs"),
        include_str!("network.rs"),
        include_str!("regression.rs"),
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

fn class_of(wanted: Scene) -> usize {
    Scene::ALL.iter().position(|scene| *scene == wanted).unwrap_or(0)
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

/// Half-way (in log odds) between what is no bear and what is one, and never where a scene without a bear was seen.
fn threshold(highest_without_bear: f32, lowest_bear: f32) -> f32 {
    let odds = |p: f32| (p.clamp(1e-6, 1.0 - 1e-6) / (1.0 - p.clamp(1e-6, 1.0 - 1e-6))).ln();
    let middle = (odds(highest_without_bear) + odds(lowest_bear)) / 2.0;
    let half_way = 1.0 / (1.0 + (-middle).exp());
    // Two digits are enough for people; rounded up, it stays above what was seen.
    (((half_way.max(highest_without_bear) * 100.0).floor() + 1.0) / 100.0).min(1.0)
}

fn manifest(backbone: &Backbone, onnx: &[u8], threshold: f32) -> HeadManifest {
    let label = |scene: Scene| Label {
        name: scene.label().to_owned(),
        alert: scene == Scene::Bear,
        threshold: if scene == Scene::Bear { threshold } else { 0.5 },
        background: scene == Scene::Empty,
    };
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
        ..HeadManifest::new("demo-scenes".into(), "rendered".into(), head_backbone, Scene::ALL.map(label).to_vec())
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
