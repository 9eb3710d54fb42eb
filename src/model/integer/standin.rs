//! How fused operators get into tract's graph: tract parses stand-ins, which are then exchanged.

use std::collections::HashMap;

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{ModelProto, NodeProto};

use super::operator::Fused;

/// The stand-in's ONNX operator.
const KIND: &str = "ArcticdInteger";

/// A stand-in called `name`.
pub fn node(name: &str, inputs: &[String], output: &str) -> NodeProto {
    NodeProto {
        op_type: KIND.to_owned(),
        name: name.to_owned(),
        input: inputs.to_vec(),
        output: vec![output.to_owned()],
        ..Default::default()
    }
}

/// Parses `proto` and puts `operators` in the places of their stand-ins.
///
/// # Errors
/// tract refuses the network, or a stand-in has no operator.
pub fn model(proto: &ModelProto, operators: &HashMap<String, Fused>) -> TractResult<InferenceModel> {
    let mut onnx = tract_onnx::onnx()
        // Shapes written by exporters for another batch size would contradict ours.
        .with_ignore_output_shapes(true)
        .with_ignore_value_info(true);
    onnx.op_register.insert(KIND, parse);
    let mut model = onnx.model_for_proto_model(proto)?;
    for node in &mut model.nodes {
        if let Some(fused) = operators.get(&node.name) {
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

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let operator = self.fused()?.operator();
        for input in inputs {
            s.equals(&input.datum_type, operator.input())?;
        }
        s.equals(&outputs[0].datum_type, operator.result())?;
        s.given_all(inputs.iter().map(|input| &input.shape), move |s, shapes| {
            let shapes: TVec<TVec<usize>> = shapes
                .iter()
                .map(|shape| shape.iter().map(|side| Ok(side.to_usize()?)).collect())
                .collect::<TractResult<_>>()?;
            let shape: TVec<TDim> = operator.shape(&shapes)?.iter().map(|side| side.to_dim()).collect();
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.fused()?.clone(), inputs)
    }
}
