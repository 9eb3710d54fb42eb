//! Runs a network in floats and shows its inner tensors.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::QuantizeError;
use crate::frame::Pixels;
use crate::model::{Input, Layout, normalise};
use crate::onnx::{Graph, elements};

/// A network of which several tensors can be seen.
pub struct Runner {
    plan: Arc<TypedRunnableModel>,
    input: Input,
}

/// A tensor of one run.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Sides; batch first.
    pub shape: &'a [usize],
    /// Elements, row-major.
    pub values: &'a [f32],
}

impl Runner {
    /// Prepares `graph` so that a run gives `tensors`, in this order.
    ///
    /// # Errors
    /// [`QuantizeError::Run`] if tract can't load it.
    pub fn new(graph: &Graph, input: &Input, tensors: &[&str]) -> Result<Self, QuantizeError> {
        let mut graph = graph.clone();
        graph.set_outputs(tensors)?;
        graph.remove_unused()?;
        let plan = tract_onnx::onnx()
            .with_ignore_output_shapes(true)
            .with_ignore_value_info(true)
            .model_for_proto_model(&graph.to_proto())
            .and_then(|model| model.with_input_fact(0, f32::fact(shape(input)).into()))
            .and_then(|model| model.into_optimized())
            .and_then(|model| model.into_runnable())
            .map_err(wrong)?;
        Ok(Self { plan, input: input.clone() })
    }

    /// Runs `picture`, which must have the input's size, and hands each tensor to `look` with its number.
    ///
    /// # Errors
    /// [`QuantizeError::Run`] if tract fails or a tensor is not float.
    pub fn run(&self, picture: &Pixels, mut look: impl FnMut(usize, Seen<'_>)) -> Result<(), QuantizeError> {
        let tensor = Tensor::from_shape(&shape(&self.input), &normalise(picture, &self.input)).map_err(wrong)?;
        let results = self.plan.run(tvec!(tensor.into_tvalue())).map_err(wrong)?;
        for (number, result) in results.iter().enumerate() {
            look(number, Seen { shape: result.shape(), values: elements(result).map_err(wrong)? });
        }
        Ok(())
    }
}

/// Evaluates a network without inputs, of one output.
pub fn evaluate(graph: &Graph) -> Result<TValue, QuantizeError> {
    let results = tract_onnx::onnx()
        .with_ignore_output_shapes(true)
        .with_ignore_value_info(true)
        .model_for_proto_model(&graph.to_proto())
        .and_then(|model| model.into_optimized())
        .and_then(|model| model.into_runnable())
        .and_then(|plan| plan.run(tvec!()))
        .map_err(wrong)?;
    results.into_iter().next().ok_or_else(|| QuantizeError::Run { reason: "a constant part has no result".into() })
}

fn shape(input: &Input) -> [usize; 4] {
    let (width, height) = (input.width as usize, input.height as usize);
    match input.layout {
        Layout::Nchw => [1, 3, height, width],
        Layout::Nhwc => [1, height, width, 3],
    }
}

fn wrong(error: TractError) -> QuantizeError {
    QuantizeError::Run { reason: format!("{error:#}") }
}
