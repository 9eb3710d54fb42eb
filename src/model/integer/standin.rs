//! How regions get into tract's graph: tract parses stand-ins, which are then exchanged.

use std::collections::HashMap;

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{ModelProto, NodeProto};

use super::region::Fused;

/// The stand-in's ONNX operator.
pub const KIND: &str = "ArcticdInteger";

/// A stand-in called `name`.
pub fn node(name: &str, inputs: Vec<String>, outputs: Vec<String>) -> NodeProto {
    NodeProto { op_type: KIND.to_owned(), name: name.to_owned(), input: inputs, output: outputs, ..Default::default() }
}

/// Parses `proto` and puts `regions` in the places of their stand-ins, by name.
///
/// # Errors
/// tract refuses the network.
pub fn model(proto: &ModelProto, regions: &HashMap<String, Fused>) -> TractResult<InferenceModel> {
    let mut onnx = tract_onnx::onnx()
        // Shapes written by exporters for another batch size would contradict ours.
        .with_ignore_output_shapes(true)
        .with_ignore_value_info(true);
    onnx.op_register.insert(KIND, parse);
    let mut model = onnx.model_for_proto_model(proto)?;
    for node in &mut model.nodes {
        if let Some(fused) = regions.get(&node.name).filter(|_| node.op.name() == KIND) {
            node.op = expand(StandIn(Some(fused.clone())));
        }
    }
    Ok(model)
}

fn parse(_context: &ParsingContext, _node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    Ok((expand(StandIn(None)), vec![]))
}

/// `None` only between parsing and the exchange.
#[derive(Debug, Clone)]
struct StandIn(Option<Fused>);

impl StandIn {
    fn fused(&self) -> TractResult<&Fused> {
        self.0.as_ref().context("a stand-in was not exchanged")
    }
}

impl Expansion for StandIn {
    fn name(&self) -> StaticName {
        KIND.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.0.as_ref().map_or(1, |fused| fused.region().output_types().count()))
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let region = self.fused()?.region();
        for (input, datum_type) in inputs.iter().zip(region.input_types()) {
            s.equals(&input.datum_type, datum_type)?;
        }
        for (output, datum_type) in outputs.iter().zip(region.output_types()) {
            s.equals(&output.datum_type, datum_type)?;
        }
        s.given_all(inputs.iter().map(|input| &input.shape), move |s, shapes| {
            let shapes: TVec<TVec<usize>> = shapes
                .iter()
                .map(|shape| shape.iter().map(|side| Ok(side.to_usize()?)).collect())
                .collect::<TractResult<_>>()?;
            for (output, shape) in outputs.iter().zip(region.output_shapes(&shapes)?) {
                let shape: TVec<TDim> = shape.iter().map(|side| side.to_dim()).collect();
                s.equals(&output.shape, shape)?;
            }
            Ok(())
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.fused()?.clone(), inputs)
    }
}
