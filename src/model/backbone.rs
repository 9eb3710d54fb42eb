//! The frozen network: loaded, run on pixels, pooled to a vector of features. `plan` makes of its file what is run.

mod plan;

use std::time::{Duration, Instant};

use kernels::Isa;
use plan::{Plan, network};
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

use super::ModelError;
use super::integer::{self, Placement};
use super::manifest::{BackboneManifest, Layout, Pooling};
use crate::frame::Pixels;
use crate::onnx::elements;

/// A backbone ready to run.
pub struct Backbone {
    manifest: BackboneManifest,
    plan: Plan,
    executor: Executor,
    engine: Engine,
}

/// How a backbone is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Engine {
    /// Threads for one frame, at least 1.
    pub threads: usize,
    /// Instruction set of the integer kernels.
    pub isa: Isa,
    /// Whether quantizers are taken out and all is computed in `f32`: for comparison only.
    pub float: bool,
}

impl Engine {
    /// The best that this processor has, with this many threads.
    pub fn threads(threads: usize) -> Self {
        Self { threads, isa: Isa::best(), float: false }
    }
}

/// Features place by place, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Rows of cells.
    pub rows: usize,
    /// Cells in a row.
    pub columns: usize,
    /// Features of a cell.
    pub channels: usize,
    /// Cell after cell.
    pub values: Vec<f32>,
}

impl Backbone {
    /// Loads `onnx`, checks it against `manifest` and runs its self-test.
    ///
    /// # Errors
    /// [`ModelError`] says which of digest, network, cut, shape or self-test failed.
    pub fn load(manifest: BackboneManifest, onnx: &[u8], threads: usize) -> Result<Self, ModelError> {
        Self::load_with(manifest, onnx, Engine::threads(threads))
    }

    /// As [`Backbone::load`], on the given kernels.
    ///
    /// # Errors
    /// As [`Backbone::load`].
    pub fn load_with(manifest: BackboneManifest, onnx: &[u8], engine: Engine) -> Result<Self, ModelError> {
        let backbone = Self::untested(manifest, onnx, engine)?;
        // The float twin of a quantized network computes something else: no quantizer clips or rounds in it.
        if !engine.float {
            backbone.self_test()?;
        }
        Ok(backbone)
    }

    /// As [`Backbone::load_with`], with the whole feature map for features, in row, column, channel order (Keras'
    /// `Flatten`), instead of the map's mean. The self-test, which is of the mean, is left out.
    ///
    /// # Errors
    /// As [`Backbone::load`]; [`ModelError::Shape`] if the features are no mean of a map.
    pub fn load_flattened(mut manifest: BackboneManifest, onnx: &[u8], engine: Engine) -> Result<Self, ModelError> {
        if manifest.output.pooling != Pooling::Average {
            let problem = "its features are no mean of a map (`pooling = \"average\"`), so there is nothing to flatten";
            return Err(ModelError::Shape { what: format!("backbone {}", manifest.id), problem: problem.into() });
        }
        manifest.output.pooling = Pooling::Flatten;
        manifest.self_test = None;
        let mut backbone = Self::untested(manifest, onnx, engine)?;
        backbone.manifest.output.features = backbone.map(backbone.prepare(&backbone.probe())?)?.len();
        Ok(backbone)
    }

    fn untested(manifest: BackboneManifest, onnx: &[u8], engine: Engine) -> Result<Self, ModelError> {
        super::source::check_digest(&format!("backbone {}", manifest.id), onnx, &manifest.sha256)?;
        let plan = Plan::of(&manifest, onnx, engine)?;
        let executor = if engine.threads > 1 {
            Executor::multithread_with_name(engine.threads, "arcticd-backbone")
        } else {
            Executor::SingleThread
        };
        Ok(Self { manifest, plan, executor, engine })
    }

    /// How it is computed.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Where each node of the file went; empty if none is quantized.
    pub fn placements(&self) -> &[Placement] {
        &self.plan.placements
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
        Ok(self.timed_features_of(pixels)?.0)
    }

    /// As [`Backbone::features_of`] for pixels that have the input's size already.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for another size; otherwise as [`super::Model::classify`].
    pub fn features_of_input(&self, pixels: &Pixels) -> Result<Vec<f32>, ModelError> {
        let input = &self.manifest.input;
        if (pixels.width, pixels.height) != (input.width, input.height) {
            return Err(self.shape(format!("{} x {} pixels are not its input", pixels.width, pixels.height)));
        }
        self.run(self.prepare(pixels)?)
    }

    /// The feature map of pixels that have the input's size already, where it was loaded with
    /// [`Backbone::load_flattened`].
    ///
    /// # Errors
    /// As [`Backbone::features_of_input`].
    pub fn map_of_input(&self, pixels: &Pixels) -> Result<Map, ModelError> {
        let map = self.map(self.prepare(pixels)?)?;
        let values = elements::<f32>(&map).map_err(|error| self.network(error))?;
        let (rows, columns, channels) = match (self.manifest.output.pooling, self.manifest.output.layout, map.shape()) {
            (Pooling::Flatten, Layout::Nchw, &[1, channels, rows, columns]) => (rows, columns, channels),
            (Pooling::Flatten, Layout::Nhwc, &[1, rows, columns, channels]) => (rows, columns, channels),
            (_, _, shape) => return Err(self.shape(format!("a tensor of shape {shape:?} is no feature map"))),
        };
        Ok(Map { rows, columns, channels, values: self.pool(map.shape(), values)? })
    }

    /// Time of each node for one picture of the input's size, by kind of operator.
    ///
    /// # Errors
    /// As [`Backbone::features_of_input`].
    pub fn profile(&self, pixels: &Pixels) -> Result<Vec<(String, Duration)>, ModelError> {
        let start = Instant::now();
        let tensor = self.prepare(pixels)?;
        let mut times = vec![("pixels".to_owned(), start.elapsed())];
        let mut state = self.plan.runnable.spawn().map_err(|error| self.network(error))?;
        for region in &self.plan.regions {
            region.note_times(true);
        }
        let result = state.run_plan_with_eval(tvec![tensor.into_tvalue()], |context, op_state, node, inputs| {
            let start = Instant::now();
            let result = tract_onnx::tract_core::plan::eval(context, op_state, node, inputs);
            // What is inside a region is counted there.
            if node.op().name() != integer::NAME {
                times.push((node.op().name().into_owned(), start.elapsed()));
            }
            result
        });
        let inside = self.plan.regions.iter().flat_map(|region| region.note_times(false));
        let inside: Vec<_> = inside.map(|(kind, time)| (format!("integer {kind}"), time)).collect();
        result.map_err(|error| self.network(error))?;
        times.extend(inside);
        Ok(times)
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
        self.plan.input(&self.manifest, pixels).map_err(|error| self.network(error))
    }

    /// Runs the network on a prepared tensor.
    pub(super) fn run(&self, tensor: Tensor) -> Result<Vec<f32>, ModelError> {
        let map = self.map(tensor)?;
        let values = elements::<f32>(&map).map_err(|error| self.network(error))?;
        let features = self.pool(map.shape(), values)?;
        if features.iter().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite { what: format!("backbone {}", self.manifest.id) });
        }
        Ok(features)
    }

    /// What the network itself gives.
    fn map(&self, tensor: Tensor) -> Result<TValue, ModelError> {
        let result =
            multithread_tract_scope(self.executor.clone(), || self.plan.runnable.run(tvec!(tensor.into_tvalue())))
                .map_err(|error| self.network(error))?;
        result.into_iter().next().ok_or_else(|| self.shape("the network has no output".into()))
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
        let features = self.features_of_input(&self.probe())?;
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
