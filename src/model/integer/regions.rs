//! Joins fused operators that follow each other into regions.

use std::collections::{BTreeMap, HashMap, HashSet};

use kernels::Isa;
use tract_onnx::prelude::DatumType;

use super::operator::Operator;
use super::region::{Fused, Region, Source, Step};
use super::standin;
use crate::onnx::{Attributes, Graph, OnnxError};

/// A region in the making.
#[derive(Default)]
struct Draft {
    steps: Vec<Step>,
    inputs: Vec<String>,
    /// Where each tensor made inside is.
    made: HashMap<String, usize>,
}

/// Replaces the stand-ins of `graph`, whose operators are in `operators` by name, by one a region; returns the regions by
/// their stand-in's name.
///
/// Operators between which no float node lies share a region. A float node that reads a region and is read by it would
/// wait for itself; therefore what comes behind a float node is of a later region than what comes before.
///
/// # Errors
/// The graph contradicts itself.
pub fn join(
    graph: &mut Graph,
    mut operators: HashMap<String, Operator>,
    isa: Isa,
) -> Result<HashMap<String, Fused>, OnnxError> {
    let is_operator = |place: usize| graph.node(place).is_some_and(|node| node.op_type == standin::KIND);
    // A dequantized result is a float tensor, though an operator makes it.
    let makes_floats: HashSet<usize> = (0..graph.nodes().len())
        .filter(|place| {
            let operator = graph.node(*place).and_then(|node| operators.get(&node.name));
            operator.is_some_and(|operator| operator.result() == DatumType::F32)
        })
        .collect();
    // How many float stretches lie before each node.
    let mut stretches: Vec<usize> = Vec::with_capacity(graph.nodes().len());
    let mut drafts: BTreeMap<usize, Draft> = BTreeMap::new();
    for (place, node) in graph.nodes().iter().enumerate() {
        let before = node.input.iter().filter_map(|name| graph.producer(name)).map(|producer| {
            let leaves_floats = is_operator(place) && (!is_operator(producer) || makes_floats.contains(&producer));
            stretches.get(producer).copied().unwrap_or(0) + usize::from(leaves_floats)
        });
        let stretch = before.max().unwrap_or(0);
        stretches.push(stretch);
        let Some(operator) = operators.remove(&node.name) else { continue };
        let draft = drafts.entry(stretch).or_default();
        let sources: Vec<Source> = node.input.iter().map(|name| draft.source(name)).collect();
        let step = draft.add(graph, operator, sources, node.input_at(0).unwrap_or_default());
        draft.made.insert(node.result().to_owned(), step);
    }
    let mut regions = HashMap::new();
    let mut nodes = Vec::new();
    for (number, draft) in drafts {
        let leaves = |name: &str| {
            let read = graph.consumers(name).iter().any(|reader| !is_operator(*reader) || stretches[*reader] != number);
            graph.is_output(name) || read
        };
        let mut outputs: Vec<(usize, String)> =
            draft.made.into_iter().filter(|(name, _)| leaves(name)).map(|(name, step)| (step, name)).collect();
        outputs.sort();
        let name = format!("integer:{number}");
        let (steps, names): (Vec<usize>, Vec<String>) = outputs.into_iter().unzip();
        let region = Region::new(draft.steps, draft.inputs.len(), steps, isa)
            .map_err(|error| OnnxError::Unsupported { what: format!("a group of integer operators ({error:#})") })?;
        nodes.push(standin::node(&name, draft.inputs, names));
        regions.insert(name, Fused::new(region));
    }
    let places: HashSet<usize> = (0..graph.nodes().len()).filter(|place| is_operator(*place)).collect();
    graph.exchange_nodes(&places, nodes)?;
    Ok(regions)
}

impl Draft {
    fn source(&mut self, name: &str) -> Source {
        if let Some(step) = self.made.get(name) {
            return Source::Step(*step);
        }
        let known = self.inputs.iter().position(|input| input == name);
        Source::Input(known.unwrap_or_else(|| {
            self.inputs.push(name.to_owned());
            self.inputs.len() - 1
        }))
    }

    /// Adds a step and returns its number. Tables of tables become one.
    fn add(&mut self, graph: &Graph, operator: Operator, sources: Vec<Source>, first_input: &str) -> usize {
        let alone = graph.consumers(first_input).len() == 1 && !graph.is_output(first_input);
        if let (Operator::Tables(after), &[Source::Step(earlier)], true) = (&operator, sources.as_slice(), alone)
            && let Operator::Tables(before) = &mut self.steps[earlier].operator
            && (before.len() == after.len() || before.len() == 256 || after.len() == 256)
        {
            *before = composed(before, after);
            self.made.remove(first_input);
            return earlier;
        }
        self.steps.push(Step { operator, sources });
        self.steps.len() - 1
    }
}

/// `after` applied to `before`; each holds 256 bytes a channel, or 256 for all.
fn composed(before: &[u8], after: &[u8]) -> Vec<u8> {
    let (before, after) = (before.as_chunks::<256>().0, after.as_chunks::<256>().0);
    let channels = before.len().max(after.len());
    let of = |tables: &[[u8; 256]], channel: usize| tables[if tables.len() == 1 { 0 } else { channel }];
    (0..channels)
        .flat_map(|channel| {
            let table = of(after, channel);
            of(before, channel).map(|level| table[usize::from(level)])
        })
        .collect()
}
