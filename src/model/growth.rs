//! How much a head's network makes of its input, known before any of it is computed.
//!
//! Allowed operators can still make much of little: `Concat(x, x)` doubles, a sum of a row and a column is a whole
//! matrix, and a few kilobytes of such nodes would fill any memory. Their shapes follow from those of the input and of
//! the weights, so they are worked out node by node, each one before tract computes what is constant.

use std::collections::HashMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{Factoid, InferenceModel};
use tract_onnx::tract_hir::internal::{DatumType, InferenceFact};

use super::ModelError;

/// Values that any head may make: 4 MiB of f32.
const FREE: usize = 1 << 20;

/// Vectors as long as the features: some layers of scaling, normalisation and activation on all of them.
const VECTORS: usize = 16;

/// Values for each byte of the file: weights of 8 bits become floats and may be transposed once more.
const PER_BYTE: usize = 2;

/// Values that all nodes of a head may make together.
pub(crate) fn budget(features: usize, file: usize) -> usize {
    FREE.saturating_add(features.saturating_mul(VECTORS)).saturating_add(file.saturating_mul(PER_BYTE))
}

/// Works out the shapes in `model`, whose input has a known one, and checks that all nodes together make at most `budget`
/// values. Nothing larger than that is computed meanwhile.
///
/// # Errors
/// [`ModelError::Shape`] names the node that goes beyond it, or whose size can't be told without running it;
/// [`ModelError::Network`] if the shapes contradict each other.
pub(crate) fn check(what: &str, model: &mut InferenceModel, budget: usize) -> Result<(), ModelError> {
    let wrong = |error: TractError| ModelError::Network { what: what.to_owned(), reason: format!("{error:#}") };
    let refused = |problem: String| ModelError::Shape { what: what.to_owned(), problem };
    let mut made = 0_usize;
    let mut wide = Typed { model: TypedModel::default(), mapping: HashMap::new(), budget };
    for id in model.eval_order().map_err(wrong)? {
        // The input and the weights lie in the manifest and the file.
        if model.node(id).inputs.is_empty() {
            wide.grow(model, id).map_err(wrong)?;
            continue;
        }
        // `InferenceConcat` is tract's word for ONNX's.
        let (name, operator) = (model.node(id).name.clone(), model.node(id).op.name().replacen("Inference", "", 1));
        let known = facts(model, id, false).map_err(wrong)?;
        for (place, fact) in known.into_iter().enumerate() {
            let shape = fact.shape.as_concrete_finite().map_err(wrong)?.ok_or_else(|| {
                refused(format!(
                    "the size of what node `{name}` ({operator}) makes can't be told before it runs; export the network with fixed shapes"
                ))
            })?;
            let values = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
            made = values.and_then(|values| made.checked_add(values)).filter(|made| *made <= budget).ok_or_else(|| {
                refused(format!(
                    "node `{name}` ({operator}) makes a tensor of shape {shape:?}; with it the network makes more than the {budget} values that a head of its size may make"
                ))
            })?;
            // tract computes constants of any kind meanwhile; text has no bounded size.
            if fact.datum_type.concretize() == Some(DatumType::String) {
                return Err(refused(format!("node `{name}` ({operator}) makes text")));
            }
            model.set_outlet_fact(OutletId::new(id, place), fact).map_err(wrong)?;
        }
        // Operators are made of simpler ones, and their rules do not tell all: a PRelu's slope may be wider than its input.
        let in_node = |error: TractError| wrong(error.context(format!("node `{name}` ({operator})")));
        let results = wide.grow(model, id).map_err(in_node)?;
        if let Some(shape) = results {
            return Err(refused(format!(
                "node `{name}` ({operator}) makes a tensor of shape {shape} on its way, which is no head's"
            )));
        }
        for (place, fact) in facts(model, id, true).map_err(wrong)?.into_iter().enumerate() {
            model.set_outlet_fact(OutletId::new(id, place), fact).map_err(wrong)?;
        }
        wide.keep_constants(model, id).map_err(wrong)?;
    }
    Ok(())
}

/// The simpler operators that those of the file are made of, with their shapes, as far as they were looked at. Nothing
/// but constants of a few values is computed as they are put together.
struct Typed {
    model: TypedModel,
    mapping: HashMap<OutletId, OutletId>,
    budget: usize,
}

impl Typed {
    /// Adds a node; the shape that is larger than the budget, or another than the node's result should have.
    fn grow(&mut self, source: &InferenceModel, id: usize) -> TractResult<Option<String>> {
        let node = source.node(id);
        let before = self.model.nodes().len();
        let results = node.op.to_typed(source, node, &mut self.model, &self.mapping)?;
        let made = self.model.nodes().iter().skip(before);
        for fact in made.flat_map(|node| node.outputs.iter().map(|output| &output.fact)) {
            let values = fact
                .shape
                .as_concrete()
                .and_then(|shape| shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side)));
            if !node.inputs.is_empty() && values.is_none_or(|values| values > self.budget) {
                return Ok(Some(format!("{:?}", fact.shape)));
            }
        }
        for (place, result) in results.iter().enumerate() {
            let outlet = OutletId::new(id, place);
            let (found, expected) = (self.model.outlet_fact(*result)?, source.outlet_fact(outlet)?);
            let expected = expected.shape.as_concrete_finite()?;
            if !node.inputs.is_empty() && found.shape.as_concrete() != expected.as_deref() {
                return Ok(Some(format!("{:?}", found.shape)));
            }
            self.mapping.insert(outlet, *result);
        }
        Ok(None)
    }

    /// Puts what was computed of a node in its place, as operators behind it may need the values.
    fn keep_constants(&mut self, source: &InferenceModel, id: usize) -> TractResult<()> {
        for (place, output) in source.node(id).outputs.iter().enumerate() {
            if let Some(value) = output.fact.value.concretize() {
                let constant = self.model.add_const(format!("computed {id} {place}"), value)?;
                self.mapping.insert(OutletId::new(id, place), constant);
            }
        }
        Ok(())
    }
}

/// What is known of the results of a node by its operator's rules alone, or, with `values`, by computing it, too, if all
/// that it takes is constant.
fn facts(model: &mut InferenceModel, id: usize, values: bool) -> TractResult<Vec<InferenceFact>> {
    let owned = |facts: TVec<&InferenceFact>| facts.into_iter().cloned().collect::<Vec<_>>();
    let (inputs, outputs) = model.node_facts(id)?;
    let (inputs, outputs) = (owned(inputs), owned(outputs));
    let observed = model.node(id).op.observe_outlets(model, model.node(id))?;
    let observed = observed.into_iter().map(|outlet| model.outlet_fact(outlet).cloned());
    let observed = observed.collect::<TractResult<Vec<_>>>()?;
    let (inputs, outputs, observed) = (inputs.iter().collect(), outputs.iter().collect(), observed.iter().collect());
    let op = &mut model.node_mut(id).op;
    let inferred = if values { op.infer(inputs, outputs, observed) } else { op.infer_facts(inputs, outputs, observed) };
    let (_, found, _) = inferred?;
    Ok(found.into_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Head, HeadBackbone, HeadManifest, Label};
    use crate::onnx::{Constant, Graph, attribute};

    const FEATURES: usize = 1280;

    /// What a head says that ends in the mean of `tensor`.
    fn loaded(mut graph: Graph, tensor: &str) -> Result<Head, ModelError> {
        let attributes = vec![attribute::int("keepdims", 0)];
        graph.add_node("ReduceMean", &[tensor], "mean", attributes).unwrap();
        graph.set_constant("weights", &Constant::f32([1, 2], vec![1.0, -1.0])).unwrap();
        graph.add_node("Mul", &["mean", "weights"], "scores", vec![]).unwrap();
        graph.set_outputs(&["scores"]).unwrap();
        let onnx = graph.encode().unwrap();
        let of = HeadBackbone { id: "b".into(), sha256: "0".into(), features: FEATURES };
        let label = |name: &str| Label { name: name.into(), alert: false, threshold: 0.5, background: false };
        let mut manifest = HeadManifest::new("large".into(), "1".into(), of, vec![label("a"), label("b")]);
        let file = crate::model::FileDigest {
            size: onnx.len() as u64,
            sha256: crate::frame::ContentHash::of(&onnx).to_string(),
        };
        manifest.files = [("head.onnx".to_owned(), file)].into();
        Head::load(manifest, &onnx)
    }

    fn graph() -> Graph {
        Graph::empty("head", "features", &[1, FEATURES], 13)
    }

    fn doubled(mut graph: Graph, from: &str, times: usize) -> (Graph, String) {
        let mut last = from.to_owned();
        for number in 0..times {
            let next = format!("double{number}");
            graph.add_node("Concat", &[&last, &last], &next, vec![attribute::int("axis", 1)]).unwrap();
            last = next;
        }
        (graph, last)
    }

    fn refused((graph, tensor): (Graph, String)) -> String {
        loaded(graph, &tensor).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_few_doublings_are_a_heads_own_business() {
        let (graph, tensor) = doubled(graph(), "features", 3);
        loaded(graph, &tensor).unwrap();
    }

    #[test]
    fn doubling_again_and_again_is_refused_before_it_is_computed() {
        for times in [20, 40, 200] {
            let message = refused(doubled(graph(), "features", times));
            assert!(
                message.contains("head large 1: node `double8` (Concat)") && message.contains("[1, 655360]"),
                "{message}"
            );
        }
    }

    #[test]
    fn constants_that_are_doubled_are_refused_too() {
        let mut graph = graph();
        graph.set_constant("ones", &Constant::f32([1, 1000], vec![1.0; 1000])).unwrap();
        let (mut graph, tensor) = doubled(graph, "ones", 60);
        graph.add_node("ReduceMean", &[&tensor], "one", vec![attribute::int("keepdims", 0)]).unwrap();
        graph.add_node("Mul", &["features", "one"], "all", vec![]).unwrap();
        let message = refused((graph, "all".into()));
        assert!(
            message.contains("(Concat)") && message.contains("values that a head of its size may make"),
            "{message}"
        );
    }

    #[test]
    fn a_sum_of_row_and_column_and_a_product_of_column_and_row_are_refused() {
        for (operator, named) in [("Add", "Add"), ("MatMul", "MatMul")] {
            let mut graph = graph();
            graph.set_constant("turned", &Constant::i64(vec![-1, 1])).unwrap();
            graph.add_node("Reshape", &["features", "turned"], "column", vec![]).unwrap();
            graph.add_node(operator, &["column", "features"], "matrix", vec![]).unwrap();
            graph.add_node("Relu", &["matrix"], "again", vec![]).unwrap();
            let message = refused((graph, "again".into()));
            assert!(message.contains(named) && message.contains("[1280, 1280]"), "{message}");
        }
    }

    #[test]
    fn one_row_picked_a_million_times_is_refused() {
        let mut graph = graph();
        graph.set_constant("places", &Constant::i64(vec![0; 5000])).unwrap();
        graph.add_node("Gather", &["features", "places"], "rows", vec![attribute::int("axis", 0)]).unwrap();
        let message = refused((graph, "rows".into()));
        assert!(message.contains("(Gather)") && message.contains("[5000, 1280]"), "{message}");
    }

    #[test]
    fn what_an_operator_makes_on_its_way_is_refused_too() {
        for constant in [false, true] {
            for operator in ["PRelu", "Clip"] {
                let mut graph = graph();
                graph.set_constant("slope", &Constant::f32([2000, 1], vec![0.5; 2000])).unwrap();
                graph.set_constant("row", &Constant::f32([1, 2000], vec![0.5; 2000])).unwrap();
                let from = if constant { "row" } else { "features" };
                graph.add_node(operator, &[from, "slope"], "bent", vec![]).unwrap();
                graph.add_node("ReduceMean", &["bent"], "one", vec![attribute::int("keepdims", 0)]).unwrap();
                graph.add_node("Mul", &["features", "one"], "all", vec![]).unwrap();
                let message = refused((graph, "all".into()));
                assert!(message.contains("node `bent`"), "{operator} {constant}: {message}");
            }
        }
    }

    #[test]
    fn many_small_tensors_count_together() {
        let mut graph = graph();
        let mut last = "features".to_owned();
        for number in 0..900 {
            let next = format!("same{number}");
            graph.add_node("Relu", &[&last], &next, vec![]).unwrap();
            last = next;
        }
        let message = refused((graph, last));
        assert!(message.contains("node `same"), "{message}");
    }
}
