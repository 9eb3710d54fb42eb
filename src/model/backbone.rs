//! The frozen network: loaded, cut at a named node, pooled to a vector of features.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kernels::Isa;
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

use super::ModelError;
use super::integer::{self, Fused, Levels, Placement};
use super::manifest::{BackboneManifest, Layout, Pooling};
use super::preprocess::{Tables, normalise};
use crate::frame::Pixels;
use crate::onnx::{Graph, OnnxError};

/// A backbone ready to run.
pub struct Backbone {
    manifest: BackboneManifest,
    plan: Arc<TypedRunnableModel>,
    executor: Executor,
    engine: Engine,
    /// Pixels to levels, if the network takes them as they are.
    tables: Option<Tables>,
    placements: Vec<Placement>,
    /// The parts of the plan that run on integer kernels.
    regions: Vec<Fused>,
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
        let Loaded { plan, tables, placements, regions } = load(&manifest, onnx, engine)?;
        let executor = if engine.threads > 1 {
            Executor::multithread_with_name(engine.threads, "arcticd-backbone")
        } else {
            Executor::SingleThread
        };
        Ok(Self { manifest, plan, executor, engine, tables, placements, regions })
    }

    /// How it is computed.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Where each node of the file went; empty if none is quantized.
    pub fn placements(&self) -> &[Placement] {
        &self.placements
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
        let values = map.view().as_slice::<f32>().map_err(|error| self.network(error))?;
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
        let mut state = self.plan.spawn().map_err(|error| self.network(error))?;
        for region in &self.regions {
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
        let inside = self.regions.iter().flat_map(|region| region.note_times(false));
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
        let input = &self.manifest.input;
        let tensor = match &self.tables {
            Some(tables) => Tensor::from_shape(&pixel_shape(&self.manifest), &tables.levels(pixels, input)),
            None => Tensor::from_shape(&shape(&self.manifest), &normalise(pixels, input)),
        };
        tensor.map_err(|error| self.network(error))
    }

    /// Runs the network on a prepared tensor.
    pub(super) fn run(&self, tensor: Tensor) -> Result<Vec<f32>, ModelError> {
        let map = self.map(tensor)?;
        let values = map.view().as_slice::<f32>().map_err(|error| self.network(error))?;
        let features = self.pool(map.shape(), values)?;
        if features.iter().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite { what: format!("backbone {}", self.manifest.id) });
        }
        Ok(features)
    }

    /// What the network itself gives.
    fn map(&self, tensor: Tensor) -> Result<TValue, ModelError> {
        let result = multithread_tract_scope(self.executor.clone(), || self.plan.run(tvec!(tensor.into_tvalue())))
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

fn network(manifest: &BackboneManifest, error: TractError) -> ModelError {
    ModelError::Network { what: format!("backbone {}", manifest.id), reason: format!("{error:#}") }
}

/// The file often says which axis the colours are on; tract's own complaint about it would help nobody.
fn check_layout(manifest: &BackboneManifest, graph: &Graph) -> Result<(), ModelError> {
    let declared = graph.inputs().next().and_then(|input| graph.shape(input)).unwrap_or_default();
    let (right, other) = match (manifest.input.layout, &declared[..]) {
        (Layout::Nchw, &[_, colours, _, 3]) if colours != 3 => ("nhwc", "nchw"),
        (Layout::Nhwc, &[_, 3, _, colours]) if colours != 3 => ("nchw", "nhwc"),
        _ => return Ok(()),
    };
    let problem =
        format!("the file's input is {declared:?}, so input.layout is \"{right}\"; the manifest says \"{other}\"");
    Err(ModelError::Shape { what: format!("backbone {}", manifest.id), problem })
}

/// Shape of the input tensor.
fn shape(manifest: &BackboneManifest) -> [usize; 4] {
    let (width, height) = (manifest.input.width as usize, manifest.input.height as usize);
    match manifest.input.layout {
        Layout::Nchw => [1, 3, height, width],
        Layout::Nhwc => [1, height, width, 3],
    }
}

/// Shape of the input where the network takes pixels as they are.
fn pixel_shape(manifest: &BackboneManifest) -> [usize; 4] {
    [1, manifest.input.height as usize, manifest.input.width as usize, 3]
}

struct Loaded {
    plan: Arc<TypedRunnableModel>,
    tables: Option<Tables>,
    placements: Vec<Placement>,
    regions: Vec<Fused>,
}

fn load(manifest: &BackboneManifest, onnx: &[u8], engine: Engine) -> Result<Loaded, ModelError> {
    let wrong = |error: OnnxError| onnx_error(manifest, error);
    let mut graph = Graph::parse(onnx).map_err(wrong)?;
    if let Some(cut) = &manifest.output.cut {
        graph.cut_at(cut).map_err(wrong)?;
    }
    if graph.inputs().count() != 1 {
        let problem = format!("has {} inputs; a backbone has one, the picture", graph.inputs().count());
        return Err(ModelError::Shape { what: format!("backbone {}", manifest.id), problem });
    }
    check_layout(manifest, &graph)?;
    if !integer::is_quantized(&graph) {
        return Ok(Loaded {
            plan: float_plan(manifest, graph)?,
            tables: None,
            placements: Vec::new(),
            regions: Vec::new(),
        });
    }
    if engine.float {
        graph = integer::float_twin(graph).map_err(wrong)?;
        return Ok(Loaded {
            plan: float_plan(manifest, graph)?,
            tables: None,
            placements: Vec::new(),
            regions: Vec::new(),
        });
    }
    pool_in_network(manifest, &mut graph).map_err(wrong)?;
    let (plan, pixels, placements, regions) = integer_plan(manifest, graph, engine.isa)?;
    let tables = pixels.map(|levels| Tables::new(&manifest.input, |value| levels.level_of(value)));
    Ok(Loaded { plan, tables, placements, regions })
}

type IntegerPlan = (Arc<TypedRunnableModel>, Option<Levels>, Vec<Placement>, Vec<Fused>);

/// The plan with fused integer operators; if tract can't work with those, without.
fn integer_plan(manifest: &BackboneManifest, graph: Graph, isa: Isa) -> Result<IntegerPlan, ModelError> {
    let with = |graph: Graph, leave: Option<&str>| {
        let lowered =
            integer::lower(graph, manifest.input.layout, isa, leave).map_err(|error| onnx_error(manifest, error))?;
        let integer::Lowered { proto, regions, pixels, placements } = lowered;
        let fact = if pixels.is_some() { u8::fact(pixel_shape(manifest)) } else { f32::fact(shape(manifest)) };
        let plan = integer::model(&proto, &regions)
            .and_then(|model| model.with_input_fact(0, fact.into()))
            .and_then(|model| model.into_optimized())
            .and_then(|model| model.into_runnable())
            .map_err(|error| network(manifest, error))?;
        Ok((plan, pixels, placements, regions.into_values().collect()))
    };
    with(graph.clone(), None).or_else(|error| with(graph, Some(&format!("with fused operators: {error}"))))
}

/// Lets the network average its feature map itself, where that is what the manifest asks for: on levels it is cheaper.
fn pool_in_network(manifest: &BackboneManifest, graph: &mut Graph) -> Result<(), OnnxError> {
    let output = &manifest.output;
    let map = graph.outputs().next().map(str::to_owned);
    let (Pooling::Average, Layout::Nchw, Some(map)) = (output.pooling, output.layout, map) else { return Ok(()) };
    let pooled = format!("{map}.pooled");
    graph.add_node("GlobalAveragePool", &[&map], &pooled, Vec::new())?;
    graph.set_outputs(&[&pooled])
}

fn float_plan(manifest: &BackboneManifest, graph: Graph) -> Result<Arc<TypedRunnableModel>, ModelError> {
    tract_onnx::onnx()
        // Shapes written by exporters for another batch size would contradict ours.
        .with_ignore_output_shapes(true)
        .with_ignore_value_info(true)
        .model_for_proto_model(&graph.into_proto())
        .and_then(|model| model.with_input_fact(0, f32::fact(shape(manifest)).into()))
        .and_then(|model| model.into_optimized())
        .and_then(|model| model.into_runnable())
        .map_err(|error| network(manifest, error))
}

fn onnx_error(manifest: &BackboneManifest, error: OnnxError) -> ModelError {
    match error {
        OnnxError::NoSuchName { name, near } => ModelError::NoSuchNode { id: manifest.id.clone(), cut: name, near },
        other => ModelError::Network { what: format!("backbone {}", manifest.id), reason: other.to_string() },
    }
}
