//! From a backbone's file to what is run: cut at a named node, a quantized network with fused integer operators.

use std::sync::Arc;

use kernels::Isa;
use tract_onnx::prelude::*;

use super::Engine;
use crate::frame::Pixels;
use crate::model::ModelError;
use crate::model::integer::{self, Fused, Placement};
use crate::model::manifest::{BackboneManifest, Layout, Pooling};
use crate::model::preprocess::{Tables, normalise};
use crate::onnx::{Graph, OnnxError};

/// A network as it is run.
pub(super) struct Plan {
    pub(super) runnable: Arc<TypedRunnableModel>,
    /// Pixels to levels, if the network takes them as they are.
    tables: Option<Tables>,
    pub(super) placements: Vec<Placement>,
    /// The parts that run on integer kernels.
    pub(super) regions: Vec<Fused>,
}

impl Plan {
    /// The network in `onnx`, as `manifest` wants it.
    pub(super) fn of(manifest: &BackboneManifest, onnx: &[u8], engine: Engine) -> Result<Self, ModelError> {
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
            return Self::float(manifest, graph);
        }
        if engine.float {
            return Self::float(manifest, integer::float_twin(graph).map_err(wrong)?);
        }
        pool_in_network(manifest, &mut graph).map_err(wrong)?;
        Self::integer(manifest, graph, engine.isa)
    }

    fn float(manifest: &BackboneManifest, graph: Graph) -> Result<Self, ModelError> {
        let runnable = tract_onnx::onnx()
            // Shapes written by exporters for another batch size would contradict ours.
            .with_ignore_output_shapes(true)
            .with_ignore_value_info(true)
            .model_for_proto_model(&graph.into_proto())
            .and_then(|model| model.with_input_fact(0, f32::fact(shape(manifest)).into()))
            .and_then(|model| model.into_optimized())
            .and_then(|model| model.into_runnable())
            .map_err(|error| network(manifest, error))?;
        Ok(Self { runnable, tables: None, placements: Vec::new(), regions: Vec::new() })
    }

    /// With fused integer operators; if tract can't work with those, without.
    fn integer(manifest: &BackboneManifest, graph: Graph, isa: Isa) -> Result<Self, ModelError> {
        let with = |graph: Graph, leave: Option<&str>| {
            let lowered = integer::lower(graph, manifest.input.layout, isa, leave)
                .map_err(|error| onnx_error(manifest, error))?;
            let integer::Lowered { proto, regions, pixels, placements } = lowered;
            let fact = if pixels.is_some() { u8::fact(pixel_shape(manifest)) } else { f32::fact(shape(manifest)) };
            let runnable = integer::model(&proto, &regions)
                .and_then(|model| model.with_input_fact(0, fact.into()))
                .and_then(|model| model.into_optimized())
                .and_then(|model| model.into_runnable())
                .map_err(|error| network(manifest, error))?;
            let tables = pixels.map(|levels| Tables::new(&manifest.input, |value| levels.level_of(value)));
            Ok(Self { runnable, tables, placements, regions: regions.into_values().collect() })
        };
        with(graph.clone(), None).or_else(|error| with(graph, Some(&format!("with fused operators: {error}"))))
    }

    /// Pixels of the input's size to its tensor.
    pub(super) fn input(&self, manifest: &BackboneManifest, pixels: &Pixels) -> TractResult<Tensor> {
        match &self.tables {
            Some(tables) => Tensor::from_shape(&pixel_shape(manifest), &tables.levels(pixels, &manifest.input)),
            None => Tensor::from_shape(&shape(manifest), &normalise(pixels, &manifest.input)),
        }
    }
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

/// Lets the network average its feature map itself, where that is what the manifest asks for: on levels it is cheaper.
fn pool_in_network(manifest: &BackboneManifest, graph: &mut Graph) -> Result<(), OnnxError> {
    let output = &manifest.output;
    let map = graph.outputs().next().map(str::to_owned);
    let (Pooling::Average, Layout::Nchw, Some(map)) = (output.pooling, output.layout, map) else { return Ok(()) };
    let pooled = format!("{map}.pooled");
    graph.add_node("GlobalAveragePool", &[&map], &pooled, Vec::new())?;
    graph.set_outputs(&[&pooled])
}

pub(super) fn network(manifest: &BackboneManifest, error: TractError) -> ModelError {
    ModelError::Network { what: format!("backbone {}", manifest.id), reason: format!("{error:#}") }
}

fn onnx_error(manifest: &BackboneManifest, error: OnnxError) -> ModelError {
    match error {
        OnnxError::NoSuchName { name, near } => ModelError::NoSuchNode { id: manifest.id.clone(), cut: name, near },
        other => ModelError::Network { what: format!("backbone {}", manifest.id), reason: other.to_string() },
    }
}
