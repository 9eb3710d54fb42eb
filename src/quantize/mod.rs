//! Makes an int8 backbone of a float one: post-training static quantization, calibrated on photos.
//!
//! The way of a network: [`simplify`] brings it into one form and [`fold`]s batch norms, `equalize` evens out its
//! channels, `ranges` measures its tensors on the [`photos`], `correct` takes out mean errors, and `emit` writes the
//! result as standard QDQ that any ONNX runtime can run. Every step beyond plain rounding is a candidate: it is kept if
//! the features of the whole network come nearer to the float ones, and the [`Report`] lists all that was tried.

pub mod command;
mod correct;
mod emit;
mod equalize;
mod error;
mod fold;
mod levels;
mod measure;
mod parts;
mod photos;
mod plan;
mod progress;
mod ranges;
mod report;
mod run;
mod simplify;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

pub use error::QuantizeError;
pub use levels::Levels;
pub use measure::{Agreement, Layer, Nearness};
pub(crate) use measure::{digest, shape_of};
pub use photos::Photos;
pub use progress::Progress;
pub use ranges::Method;
pub use report::{Candidate, Report};
pub use simplify::Prepared;

use crate::frame::Pixels;
use crate::model::{Backbone, BackboneManifest, Head, SelfTest};
use crate::onnx::Graph;
use measure::Features;
use plan::Plan;
use ranges::Statistics;

/// Photos that candidates are compared on, at most.
const COMPARED: usize = 48;

/// First features that the manifest's self-test holds.
const SELF_TEST_FEATURES: usize = 16;

/// What to try.
#[derive(Debug, Clone)]
pub struct Options {
    /// Ways to choose ranges; the best is taken.
    pub methods: Vec<Method>,
    /// Try cross-layer equalization.
    pub equalize: bool,
    /// Try bias correction.
    pub correct_bias: bool,
    /// Store weights as int8 and compute in floats.
    pub weights_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { methods: Method::ALL.to_vec(), equalize: true, correct_bias: true, weights_only: false }
    }
}

/// A quantized backbone.
#[derive(Debug, Clone)]
pub struct Quantized {
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// Its manifest: id, digest, cut and self-test are its own, `file` is still to be set.
    pub manifest: BackboneManifest,
    /// How near it comes.
    pub report: Report,
}

/// Quantizes the network `onnx` that `manifest` describes.
///
/// Deterministic: the same bytes, photos and options give the same file.
///
/// # Errors
/// [`QuantizeError`] if the network can't be read, rewritten or run.
pub fn quantize(
    onnx: &[u8],
    manifest: &BackboneManifest,
    photos: &Photos,
    head: Option<&Head>,
    options: &Options,
    progress: &Progress,
) -> Result<Quantized, QuantizeError> {
    let start = Instant::now();
    let pictures: Vec<&Pixels> = photos.pictures.iter().collect();
    let original = measure::load(manifest, onnx)?;
    let float = measure::features(&original, &pictures, "running the float network", progress)?;
    drop(original);
    let prepared = Prepared::of(Graph::parse(onnx)?, manifest)?;
    check_unchanged(&prepared, &pictures, &float, progress)?;

    let search = Search { photos, float: &float, progress };
    let chosen =
        if options.weights_only { Chosen::weights_only(&prepared)? } else { search.best(&prepared, options)? };

    let Chosen { mut graph, step, reference, plan, candidates, taken, equalized_pairs } = chosen;
    let bytes = graph.encode()?;
    let mut manifest = prepared.manifest.clone();
    manifest.id = format!("{}-{}", manifest.id, if options.weights_only { "w8" } else { "int8" });
    manifest.sha256 = measure::digest(&bytes);
    let backbone = measure::load(&manifest, &bytes)?;
    let found = measure::features(&backbone, &pictures, "running the quantized network", progress)?;
    manifest.self_test = Some(self_test(&backbone, step)?);
    let report = Report {
        id: manifest.id.clone(),
        weights_only: options.weights_only,
        photos: pictures.len(),
        skipped: photos.skipped.len(),
        compared_on: search.compared().len(),
        candidates,
        taken,
        equalized_pairs,
        features: Nearness::of(&float, &found),
        layers: measure::layers(&reference, &plan, &graph, photos, progress)?,
        head: head.map(|head| measure::agreement(head, &float, &found)).transpose()?,
        bytes_before: onnx.len(),
        bytes_after: bytes.len(),
        seconds: start.elapsed().as_secs_f64(),
    };
    Ok(Quantized { onnx: bytes, manifest, report })
}

/// A guard against mistakes of our own: preparing must not change what the network computes.
fn check_unchanged(
    prepared: &Prepared,
    pictures: &[&Pixels],
    float: &Features,
    progress: &Progress,
) -> Result<(), QuantizeError> {
    const TOLERANCE: f64 = 1e-3;
    let bytes = prepared.graph.clone().encode()?;
    let few = &pictures[..pictures.len().min(2)];
    let found = measure::features(&measure::load(&prepared.manifest, &bytes)?, few, "checking", progress)?;
    let nearness = Nearness::of(&float[..few.len()], &found);
    if nearness.relative_error < TOLERANCE {
        return Ok(());
    }
    let problem = format!(
        "computes something else after batch norms and constants are folded (relative error {:.4}); please report it with the file",
        nearness.relative_error
    );
    Err(QuantizeError::Unsuitable { problem })
}

/// Numbers for the manifest: `step` is how much a feature may move when one rounding falls the other way.
fn self_test(backbone: &Backbone, step: f32) -> Result<SelfTest, QuantizeError> {
    let features = backbone.features_of(&backbone.probe())?;
    let mean = features.iter().sum::<f32>() / features.len().max(1) as f32;
    let largest = features.iter().fold(0_f32, |largest, value| largest.max(value.abs()));
    let first = features.into_iter().take(SELF_TEST_FEATURES).collect();
    Ok(SelfTest { first, mean, tolerance: (2.0 * step).max(1e-3 * largest).max(1e-5) })
}

/// What the search ended with.
struct Chosen {
    graph: Graph,
    /// Step between two levels of the output.
    step: f32,
    /// The float network that the layers are to be compared with.
    reference: Prepared,
    plan: Plan,
    candidates: Vec<Candidate>,
    taken: Option<Candidate>,
    equalized_pairs: usize,
}

impl Chosen {
    fn weights_only(prepared: &Prepared) -> Result<Self, QuantizeError> {
        Ok(Self {
            graph: emit::weights_only(prepared)?,
            step: 0.0,
            reference: prepared.clone(),
            plan: Plan::of(&prepared.graph)?,
            candidates: Vec::new(),
            taken: None,
            equalized_pairs: 0,
        })
    }
}

/// Compares candidates by the features of the whole network.
struct Search<'a> {
    photos: &'a Photos,
    float: &'a Features,
    progress: &'a Progress,
}

/// A float network with levels for its tensors.
#[derive(Clone)]
struct Levelled {
    method: Method,
    prepared: Prepared,
    levels: BTreeMap<String, Levels>,
    pairs: usize,
}

impl Search<'_> {
    /// Places of the photos that candidates are compared on.
    fn compared(&self) -> Vec<usize> {
        let all = self.photos.pictures.len();
        let count = all.min(COMPARED);
        (0..count).map(|n| n * all / count.max(1)).collect()
    }

    fn nearness(&self, prepared: &Prepared, graph: &mut Graph, what: &str) -> Result<Nearness, QuantizeError> {
        let places = self.compared();
        let pictures: Vec<&Pixels> = places.iter().map(|place| &self.photos.pictures[*place]).collect();
        let float: Features = places.iter().map(|place| self.float[*place].clone()).collect();
        let bytes = graph.encode()?;
        let backbone = measure::load(&prepared.manifest, &bytes)?;
        Ok(Nearness::of(&float, &measure::features(&backbone, &pictures, what, self.progress)?))
    }

    fn best(&self, prepared: &Prepared, options: &Options) -> Result<Chosen, QuantizeError> {
        let plan = Plan::of(&prepared.graph)?;
        if plan.weighted.is_empty() {
            let problem = "holds no convolution or matrix product with constant weights; there is nothing to quantize";
            return Err(QuantizeError::Unsuitable { problem: problem.into() });
        }
        let mut candidates = Vec::new();
        let mut best: Option<(Candidate, Levelled)> = None;
        for levelled in self.levelled(prepared, &plan, options)? {
            let mut graph = emit::quantized(&levelled.prepared, &plan, &levelled.levels)?;
            let what = format!("trying {}", levelled.method.name());
            let candidate = Candidate {
                method: levelled.method,
                equalized: levelled.pairs > 0,
                bias_corrected: false,
                nearness: self.nearness(&levelled.prepared, &mut graph, &what)?,
            };
            candidates.push(candidate);
            if best.as_ref().is_none_or(|(best, _)| candidate.nearer_than(best)) {
                best = Some((candidate, levelled));
            }
        }
        let Some((mut taken, mut best)) = best else {
            return Err(QuantizeError::Unsuitable { problem: "was given no way to choose ranges".into() });
        };
        let reference = best.prepared.clone();
        if options.correct_bias {
            let errors = correct::mean_errors(&best.prepared, &plan, &best.levels, self.photos, self.progress)?;
            let mut corrected = best.clone();
            correct::correct(&mut corrected.prepared, &errors)?;
            let mut graph = emit::quantized(&corrected.prepared, &plan, &corrected.levels)?;
            let nearness = self.nearness(&corrected.prepared, &mut graph, "trying corrected biases")?;
            let candidate = Candidate { bias_corrected: true, nearness, ..taken };
            candidates.push(candidate);
            if candidate.nearer_than(&taken) {
                (taken, best) = (candidate, corrected);
            }
        }
        Ok(Chosen {
            graph: emit::quantized(&best.prepared, &plan, &best.levels)?,
            step: best.levels.get(best.prepared.output()).map_or(0.0, |levels| levels.scale),
            reference,
            plan,
            candidates,
            taken: Some(taken),
            equalized_pairs: best.pairs,
        })
    }

    /// Each network to try, with levels by each method.
    fn levelled(&self, prepared: &Prepared, plan: &Plan, options: &Options) -> Result<Vec<Levelled>, QuantizeError> {
        let statistics = Statistics::collect(prepared, plan, self.photos, self.progress)?;
        let mut all = Vec::new();
        let mut add = |prepared: &Prepared, statistics: &Statistics, pairs: usize| {
            for method in &options.methods {
                let levels = statistics.levels(prepared, plan, *method);
                all.push(Levelled { method: *method, prepared: prepared.clone(), levels, pairs });
            }
        };
        add(prepared, &statistics, 0);
        if options.equalize {
            let mut equalized = prepared.clone();
            let pairs = equalize::equalize(&mut equalized, &statistics)?;
            if pairs > 0 {
                let statistics = Statistics::collect(&equalized, plan, self.photos, self.progress)?;
                add(&equalized, &statistics, pairs);
            }
        }
        Ok(all)
    }
}
