//! The frozen network: loaded, cut at a named node, pooled to a vector of features.

use std::sync::Arc;

use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

use super::ModelError;
use super::manifest::{BackboneManifest, Layout, Pooling};
use super::preprocess::normalise;
use crate::frame::{self, Pixels};

/// A backbone ready to run.
pub struct Backbone {
    manifest: BackboneManifest,
    plan: Arc<TypedRunnableModel>,
    executor: Executor,
}

impl Backbone {
    /// Loads `onnx`, checks it against `manifest` and runs its self-test.
    ///
    /// # Errors
    /// [`ModelError`] says which of digest, network, cut, shape or self-test failed.
    pub fn load(manifest: BackboneManifest, onnx: &[u8], threads: usize) -> Result<Self, ModelError> {
        super::source::check_digest(&format!("backbone {}", manifest.id), onnx, &manifest.sha256)?;
        let plan = plan(&manifest, onnx)?;
        let executor = if threads > 1 {
            Executor::multithread_with_name(threads, "arcticd-backbone")
        } else {
            Executor::SingleThread
        };
        let backbone = Self { manifest, plan, executor };
        backbone.self_test()?;
        Ok(backbone)
    }

    /// What the backbone says of itself.
    pub fn manifest(&self) -> &BackboneManifest {
        &self.manifest
    }

    /// Length of the feature vector.
    pub fn features(&self) -> usize {
        self.manifest.output.features
    }

    /// Resizes, normalises and runs `pixels`; returns [`Backbone::features`] numbers.
    ///
    /// # Errors
    /// As [`super::Model::classify`].
    pub fn features_of(&self, pixels: &Pixels) -> Result<Vec<f32>, ModelError> {
        let input = &self.manifest.input;
        let small = frame::resize(pixels, input.width, input.height, input.filter, input.fit)?;
        self.run(self.prepare(&small)?)
    }

    /// The self-test's picture, of the input's size: pixel(x, y, c) = (31 x + 17 y + 85 c + x y) mod 256.
    pub fn probe(&self) -> Pixels {
        let (width, height) = (self.manifest.input.width, self.manifest.input.height);
        let rgb = (0..height)
            .flat_map(|y| {
                (0..width).flat_map(move |x| (0..3).map(move |c| ((31 * x + 17 * y + 85 * c + x * y) % 256) as u8))
            })
            .collect();
        Pixels { width, height, rgb }
    }

    /// Pixels of the input's size to its tensor.
    pub(super) fn prepare(&self, pixels: &Pixels) -> Result<Tensor, ModelError> {
        let input = &self.manifest.input;
        Tensor::from_shape(&shape(&self.manifest), &normalise(pixels, input)).map_err(|error| self.network(error))
    }

    /// Runs the network on a prepared tensor.
    pub(super) fn run(&self, tensor: Tensor) -> Result<Vec<f32>, ModelError> {
        let result = multithread_tract_scope(self.executor.clone(), || self.plan.run(tvec!(tensor.into_tvalue())))
            .map_err(|error| self.network(error))?;
        let map = result.first().ok_or_else(|| self.shape("the network has no output".into()))?;
        let values = map.view().as_slice::<f32>().map_err(|error| self.network(error))?;
        let features = self.pool(map.shape(), values)?;
        if features.iter().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite { what: format!("backbone {}", self.manifest.id) });
        }
        Ok(features)
    }

    fn pool(&self, shape: &[usize], values: &[f32]) -> Result<Vec<f32>, ModelError> {
        let output = &self.manifest.output;
        let pooled = match (output.pooling, shape) {
            (Pooling::None, _) => values.to_vec(),
            (pooling, &[1, a, b, c]) => {
                let (channels, area) = match output.layout {
                    Layout::Nchw => (a, b * c),
                    Layout::Nhwc => (c, a * b),
                };
                let at = |channel: usize, place: usize| match output.layout {
                    Layout::Nchw => values[channel * area + place],
                    Layout::Nhwc => values[place * channels + channel],
                };
                if pooling == Pooling::Average {
                    let mean = |channel| (0..area).map(|place| at(channel, place)).sum::<f32>() / area as f32;
                    (0..channels).map(mean).collect()
                } else {
                    (0..area)
                        .flat_map(|place| (0..channels).map(move |channel| (channel, place)))
                        .map(|(channel, place)| at(channel, place))
                        .collect()
                }
            }
            (pooling, other) => {
                let pooling = format!("{pooling:?}").to_lowercase();
                return Err(self.shape(format!(
                    "the cut gives a tensor of shape {other:?}, which `pooling = \"{pooling}\"` can't use; it needs [1, channels, rows, columns]"
                )));
            }
        };
        if pooled.len() != output.features {
            return Err(self.shape(format!(
                "the cut and pooling give {} features (tensor {shape:?}), the manifest says {}",
                pooled.len(),
                output.features
            )));
        }
        Ok(pooled)
    }

    fn self_test(&self) -> Result<(), ModelError> {
        // Without numbers to compare, the run still proves that shapes fit and nothing overflows.
        let features = self.run(self.prepare(&self.probe())?)?;
        let Some(test) = &self.manifest.self_test else { return Ok(()) };
        let mean = features.iter().sum::<f32>() / features.len() as f32;
        let firsts = features.iter().zip(&test.first).enumerate();
        let mut pairs = firsts.map(|(index, (found, expected))| (format!("feature {index}"), *found, *expected));
        let wrong = pairs.find(|(_, found, expected)| (found - expected).abs() > test.tolerance).or_else(|| {
            ((mean - test.mean).abs() > test.tolerance).then(|| ("mean of all features".into(), mean, test.mean))
        });
        match wrong {
            None => Ok(()),
            Some((place, found, expected)) => Err(ModelError::SelfTest {
                id: self.manifest.id.clone(),
                place,
                found,
                expected,
                tolerance: test.tolerance,
            }),
        }
    }

    fn network(&self, error: TractError) -> ModelError {
        network(&self.manifest, error)
    }

    fn shape(&self, problem: String) -> ModelError {
        ModelError::Shape { what: format!("backbone {}", self.manifest.id), problem }
    }
}

fn network(manifest: &BackboneManifest, error: TractError) -> ModelError {
    ModelError::Network { what: format!("backbone {}", manifest.id), reason: format!("{error:#}") }
}

/// Shape of the input tensor.
fn shape(manifest: &BackboneManifest) -> [usize; 4] {
    let (width, height) = (manifest.input.width as usize, manifest.input.height as usize);
    match manifest.input.layout {
        Layout::Nchw => [1, 3, height, width],
        Layout::Nhwc => [1, height, width, 3],
    }
}

fn plan(manifest: &BackboneManifest, mut onnx: &[u8]) -> Result<Arc<TypedRunnableModel>, ModelError> {
    let wrong = |error| network(manifest, error);
    let mut model = tract_onnx::onnx()
        // Shapes written by exporters for another batch size would contradict ours.
        .with_ignore_output_shapes(true)
        .with_ignore_value_info(true)
        .model_for_read(&mut onnx)
        .map_err(wrong)?;
    if let Some(cut) = &manifest.output.cut
        && model.select_outputs_by_name([cut]).is_err()
    {
        let names: Vec<&str> = model.nodes().iter().map(|node| node.name.as_str()).collect();
        return Err(ModelError::NoSuchNode { id: manifest.id.clone(), cut: cut.clone(), near: near(cut, &names) });
    }
    if model.inputs.len() != 1 {
        let problem = format!("has {} inputs; a backbone has one, the picture", model.inputs.len());
        return Err(ModelError::Shape { what: format!("backbone {}", manifest.id), problem });
    }
    model
        .with_input_fact(0, f32::fact(shape(manifest)).into())
        .and_then(|model| model.into_optimized())
        .and_then(|model| model.into_runnable())
        .map_err(wrong)
}

/// The three names most like `wanted`.
fn near(wanted: &str, names: &[&str]) -> String {
    let mut ranked: Vec<_> = names.iter().map(|name| (strsim::jaro_winkler(wanted, name), *name)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.iter().take(3).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}
