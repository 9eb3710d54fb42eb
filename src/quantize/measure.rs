//! How far a quantized network is from the float one: features, inner layers, verdicts.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::QuantizeError;
use super::emit::dequantized;
use super::parts::Weighted;
use super::photos::Photos;
use super::plan::Plan;
use super::progress::Progress;
use super::run::Runner;
use super::simplify::Prepared;
use crate::frame::Pixels;
use crate::model::{Backbone, BackboneManifest, Head, Input, Layout, Pooling};
use crate::onnx::Graph;

/// Photos that layers are compared on: every inner tensor of each is held in memory.
const LAYER_PHOTOS: usize = 16;

/// Feature vectors, one a photo.
pub type Features = Vec<Vec<f32>>;

/// How near two sets of features are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Nearness {
    /// Length of the difference by length of the float features, mean over the photos. What candidates are chosen by.
    pub relative_error: f64,
    /// Cosine of the angle between them, mean over the photos.
    pub cosine_mean: f64,
    /// The least cosine.
    pub cosine_min: f64,
}

impl Nearness {
    /// Compares `found` with `float`.
    pub fn of(float: &[Vec<f32>], found: &[Vec<f32>]) -> Self {
        let pairs: Vec<(f64, f64)> = float.iter().zip(found).map(|(a, b)| compare(a, b)).collect();
        let count = pairs.len().max(1) as f64;
        Self {
            relative_error: pairs.iter().map(|(error, _)| error).sum::<f64>() / count,
            cosine_mean: pairs.iter().map(|(_, cosine)| cosine).sum::<f64>() / count,
            cosine_min: pairs.iter().map(|(_, cosine)| *cosine).fold(1.0, f64::min),
        }
    }
}

/// Relative error and cosine.
fn compare(a: &[f32], b: &[f32]) -> (f64, f64) {
    let sum =
        |of: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| of(f64::from(*a), f64::from(*b))).sum::<f64>();
    let (aa, bb, ab) = (sum(&|a, _| a * a), sum(&|_, b| b * b), sum(&|a, b| a * b));
    let difference = sum(&|a, b| (a - b) * (a - b));
    let both_zero = aa == 0.0 && bb == 0.0;
    let relative = if both_zero { 0.0 } else { (difference / aa.max(f64::MIN_POSITIVE)).sqrt() };
    let cosine = if both_zero { 1.0 } else { ab / (aa * bb).sqrt().max(f64::MIN_POSITIVE) };
    (relative, cosine.min(1.0))
}

/// Hex sha256.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Loads `onnx` as the daemon will.
///
/// # Errors
/// [`QuantizeError::Model`].
pub fn load(manifest: &BackboneManifest, onnx: &[u8]) -> Result<Backbone, QuantizeError> {
    let manifest = BackboneManifest { sha256: digest(onnx), self_test: None, ..manifest.clone() };
    Ok(Backbone::load(manifest, onnx, 1)?)
}

/// Features of `pictures` in `backbone`.
///
/// # Errors
/// [`QuantizeError::Model`].
pub fn features(
    backbone: &Backbone,
    pictures: &[&Pixels],
    what: &str,
    progress: &Progress,
) -> Result<Features, QuantizeError> {
    let one = |(done, picture): (usize, &&Pixels)| {
        progress.show(what, done + 1, pictures.len());
        Ok(backbone.features_of(picture)?)
    };
    pictures.iter().enumerate().map(one).collect()
}

/// Signal to quantization noise of one layer's output, the whole network before it quantized, too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// The tensor that the layer makes, behind its activation.
    pub tensor: String,
    /// `Conv`, `depthwise Conv`, `Gemm`, `MatMul`.
    pub kind: &'static str,
    /// Power of the float values by power of the difference, in decibels.
    pub sqnr_db: f64,
}

/// Compares the layers of the float and the quantized network on the same photos.
///
/// # Errors
/// [`QuantizeError::Run`].
pub fn layers(
    prepared: &Prepared,
    plan: &Plan,
    quantized: &Graph,
    photos: &Photos,
    progress: &Progress,
) -> Result<Vec<Layer>, QuantizeError> {
    let seen: Vec<(&Weighted, &String)> =
        plan.weighted.iter().filter_map(|weighted| Some((weighted, plan.after.get(&weighted.output)?))).collect();
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    let tensors: Vec<&str> = seen.iter().map(|(_, tensor)| tensor.as_str()).collect();
    let found: Vec<String> = tensors
        .iter()
        .map(|tensor| dequantized(prepared, tensor))
        .map(|name| if quantized.producer(&name).is_some() { name } else { name.replace("_DequantizeLinear", "") })
        .collect();
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let input = &prepared.manifest.input;
    let (float, quantized) = (Runner::new(&prepared.graph, input, &tensors)?, Runner::new(quantized, input, &found)?);
    let mut power = vec![(0_f64, 0_f64); tensors.len()];
    let count = photos.pictures.len().min(LAYER_PHOTOS);
    for (done, place) in (0..count).map(|n| n * photos.pictures.len() / count).enumerate() {
        progress.show("comparing layers", done + 1, count);
        let picture = &photos.pictures[place];
        let mut kept: Vec<Vec<f32>> = Vec::new();
        float.run(picture, |_, seen| kept.push(seen.values.to_vec()))?;
        quantized.run(picture, |number, seen| {
            let (signal, noise) = &mut power[number];
            for (a, b) in kept[number].iter().zip(seen.values) {
                *signal += f64::from(*a).powi(2);
                *noise += f64::from(a - b).powi(2);
            }
        })?;
    }
    let layer = |((weighted, tensor), (signal, noise)): (&(&Weighted, &String), &(f64, f64))| Layer {
        tensor: (*tensor).clone(),
        kind: match (weighted.conv, weighted.group) {
            (true, 1) => "Conv",
            (true, _) => "grouped Conv",
            (false, _) => "matrix product",
        },
        sqnr_db: 10.0 * (signal.max(1e-30) / noise.max(1e-30)).log10(),
    };
    Ok(seen.iter().zip(&power).map(layer).collect())
}

/// What a head makes of both networks' features.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    /// Photos compared.
    pub photos: usize,
    /// Photos whose most probable label is the same.
    pub same_label: usize,
    /// Largest difference of a probability.
    pub max_difference: f32,
}

/// Compares the verdicts of `head` on both sets of features.
///
/// # Errors
/// [`QuantizeError::Model`] if the head does not fit.
pub fn agreement(head: &Head, float: &[Vec<f32>], found: &[Vec<f32>]) -> Result<Agreement, QuantizeError> {
    let mut result = Agreement { photos: 0, same_label: 0, max_difference: 0.0 };
    for (a, b) in float.iter().zip(found) {
        let (a, b) = (head.score(a)?, head.score(b)?);
        let best = |scores: &[(String, f32)]| {
            scores.iter().enumerate().max_by(|a, b| a.1.1.total_cmp(&b.1.1)).map(|(place, _)| place)
        };
        result.photos += 1;
        result.same_label += usize::from(best(&a) == best(&b));
        let differences = a.iter().zip(&b).map(|(a, b)| (a.1 - b.1).abs());
        result.max_difference = differences.fold(result.max_difference, f32::max);
    }
    Ok(result)
}

/// Fills in `pooling` and `features` of a manifest from a run: a map of rank 4 is averaged, all else taken as it is.
///
/// # Errors
/// [`QuantizeError`] if the cut does not exist or the network does not run.
pub fn complete_output(manifest: &mut BackboneManifest, graph: &Graph) -> Result<(), QuantizeError> {
    let output = match &manifest.output.cut {
        Some(cut) => graph.tensor_named(cut)?,
        None => graph.outputs().next().unwrap_or_default().to_owned(),
    };
    let shape = shape_of(&manifest.input, graph, &output)?;
    let (pooling, features) = match (shape.as_slice(), manifest.output.layout) {
        (&[_, channels, _, _], Layout::Nchw) | (&[_, _, _, channels], Layout::Nhwc) => (Pooling::Average, channels),
        (other, _) => (Pooling::None, other.iter().product()),
    };
    (manifest.output.pooling, manifest.output.features) = (pooling, features);
    Ok(())
}

/// Shape of `tensor`, batch first, as a run on a black picture gives it.
///
/// # Errors
/// [`QuantizeError`] if there is no such tensor or the network does not run.
pub fn shape_of(input: &Input, graph: &Graph, tensor: &str) -> Result<Vec<usize>, QuantizeError> {
    let black = Pixels {
        width: input.width,
        height: input.height,
        rgb: vec![0; input.width as usize * input.height as usize * 3],
    };
    let mut shape = Vec::new();
    Runner::new(graph, input, &[tensor])?.run(&black, |_, seen| shape = seen.shape.to_vec())?;
    Ok(shape)
}
