//! Fused operators that run one after the other without leaving their levels: one node of tract's graph.
//!
//! What lies between two of them is in buffers that are kept from frame to frame and handed on as soon as nobody reads them
//! any more: no memory is asked for, cleared or given back, and what the next operator reads is likely still in the cache.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kernels::Isa;
use tract_onnx::tract_core::internal::*;

use super::operator::{self, Operator};
use crate::onnx::elements;

/// Largest tensor between operators, in bytes: no network of pictures up to 1024 x 1024 comes near, a wrong one could ask for
/// more memory than there is.
const MAX_BYTES: usize = 1 << 27;

/// Where a step finds an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The region's input of this number.
    Input(usize),
    /// The result of the step of this number.
    Step(usize),
}

/// One operator of a region.
pub struct Step {
    /// What it computes.
    pub operator: Operator,
    /// From what.
    pub sources: Vec<Source>,
}

/// Operators in the order in which they run.
pub struct Region {
    steps: Vec<Step>,
    inputs: usize,
    /// Steps whose results leave the region.
    outputs: Vec<usize>,
    /// The last step that reads a step's result.
    last_reader: Vec<usize>,
    isa: Isa,
    /// Buffers that nobody reads, the last one used first.
    free: Mutex<Vec<Vec<u8>>>,
    /// Times by kind of operator, while somebody asks for them.
    times: Mutex<Option<Vec<(&'static str, Duration)>>>,
}

impl Region {
    /// Steps may read inputs and earlier steps only; `outputs` are numbers of steps.
    ///
    /// # Errors
    /// A step reads what is not there.
    pub fn new(steps: Vec<Step>, inputs: usize, outputs: Vec<usize>, isa: Isa) -> TractResult<Self> {
        let mut last_reader: Vec<usize> = (0..steps.len()).collect();
        for (place, step) in steps.iter().enumerate() {
            for source in &step.sources {
                match *source {
                    Source::Input(input) => ensure!(input < inputs, "a step reads input {input} of {inputs}"),
                    Source::Step(earlier) => {
                        ensure!(earlier < place, "step {place} reads step {earlier}");
                        last_reader[earlier] = place;
                    }
                }
            }
        }
        ensure!(outputs.iter().all(|output| *output < steps.len()), "results {outputs:?} of {} steps", steps.len());
        Ok(Self { steps, inputs, outputs, last_reader, isa, free: Mutex::default(), times: Mutex::default() })
    }

    /// Element type of each result.
    pub fn output_types(&self) -> impl Iterator<Item = DatumType> {
        self.outputs.iter().map(|step| self.steps[*step].operator.result())
    }

    /// Element type of each input, as its first reader wants it.
    pub fn input_types(&self) -> Vec<DatumType> {
        let reader = |input| self.steps.iter().find(|step| step.sources.contains(&Source::Input(input)));
        (0..self.inputs).map(|input| reader(input).map_or(DatumType::F32, |step| step.operator.input())).collect()
    }

    /// Shapes of the results for inputs of these shapes.
    ///
    /// # Errors
    /// A step can't work on them.
    pub fn output_shapes(&self, inputs: &[TVec<usize>]) -> TractResult<TVec<TVec<usize>>> {
        let shapes = self.shapes(inputs)?;
        Ok(self.outputs.iter().map(|step| shapes[*step].clone()).collect())
    }

    fn shapes(&self, inputs: &[TVec<usize>]) -> TractResult<Vec<TVec<usize>>> {
        let mut shapes: Vec<TVec<usize>> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let shape = step.operator.shape(&operands(step, inputs, &shapes))?;
            let bytes = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
            ensure!(bytes.is_some_and(|bytes| (1..=MAX_BYTES).contains(&bytes)), "a tensor of shape {shape:?}");
            shapes.push(shape);
        }
        Ok(shapes)
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == self.inputs, "{} inputs instead of {}", inputs.len(), self.inputs);
        let input_shapes: Vec<TVec<usize>> = inputs.iter().map(|input| input.shape().into()).collect();
        let shapes = self.shapes(&input_shapes)?;
        // Another thread may be at it, or have died: buffers are a convenience only.
        let mut free = self.free.try_lock().map(|mut free| std::mem::take(&mut *free)).unwrap_or_default();
        let mut levels: Vec<Vec<u8>> = Vec::with_capacity(self.steps.len());
        let mut results: Vec<Option<TValue>> = vec![None; self.outputs.len()];
        let mut times = self.times.lock().ok().filter(|times| times.is_some());
        for (place, step) in self.steps.iter().enumerate() {
            let start = Instant::now();
            let (shape, operand_shapes) = (&shapes[place], operands(step, &input_shapes, &shapes));
            let length = shape.iter().product();
            let mut result = Vec::new();
            let mut leaving = None;
            if let (Operator::Quantize(to), Some(Source::Input(input))) = (&step.operator, step.sources.first()) {
                result = buffer(&mut free, length);
                operator::quantize(*to, elements(&inputs[*input])?, &operand_shapes[0], &mut result[..length]);
            } else {
                let operands: TVec<&[u8]> = step
                    .sources
                    .iter()
                    .map(|source| match *source {
                        Source::Input(input) => elements(&inputs[input]),
                        Source::Step(step) => Ok(&levels[step][..shapes[step].iter().product()]),
                    })
                    .collect::<TractResult<_>>()?;
                match &step.operator {
                    Operator::Dequantize(from) => {
                        let values = operator::dequantize(*from, operands[0], &operand_shapes[0]);
                        leaving = Some(Tensor::from_shape(shape, &values)?);
                    }
                    Operator::Features(from) => {
                        let values = operator::means(*from, operands[0], &operand_shapes[0])?;
                        leaving = Some(Tensor::from_shape(shape, &values)?);
                    }
                    operator => {
                        result = buffer(&mut free, length);
                        operator.compute(self.isa, &operands, &operand_shapes, shape, &mut result[..length])?;
                    }
                }
            }
            if let Some(output) = self.outputs.iter().position(|output| *output == place) {
                let tensor = leaving.map_or_else(|| Tensor::from_shape(shape, &result[..length]), Ok)?;
                results[output] = Some(tensor.into_tvalue());
            }
            levels.push(result);
            for source in &step.sources {
                if let Source::Step(earlier) = *source
                    && self.last_reader[earlier] == place
                {
                    free.push(std::mem::take(&mut levels[earlier]));
                }
            }
            if let Some(times) = times.as_mut().and_then(|times| times.as_mut()) {
                times.push((step.operator.kind(), start.elapsed()));
            }
        }
        free.extend(levels);
        // What was handed over before is empty.
        free.retain(|buffer| !buffer.is_empty());
        if let Ok(mut kept) = self.free.try_lock() {
            *kept = free;
        }
        results.into_iter().map(|result| result.context("a result was not computed")).collect()
    }
}

fn operands(step: &Step, inputs: &[TVec<usize>], shapes: &[TVec<usize>]) -> TVec<TVec<usize>> {
    let of = |source: &Source| match *source {
        Source::Input(input) => inputs[input].clone(),
        Source::Step(step) => shapes[step].clone(),
    };
    step.sources.iter().map(of).collect()
}

/// A buffer of at least `length` bytes with whatever was in it: the smallest free one that is large enough, else the
/// largest, grown.
fn buffer(free: &mut Vec<Vec<u8>>, length: usize) -> Vec<u8> {
    let fitting = free.iter().enumerate().filter(|(_, it)| it.len() >= length).min_by_key(|(_, it)| it.len());
    let best = fitting.or_else(|| free.iter().enumerate().max_by_key(|(_, it)| it.len())).map(|(place, _)| place);
    let mut buffer = best.map(|place| free.swap_remove(place)).unwrap_or_default();
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    buffer
}

/// A [`Region`] as tract sees it.
#[derive(Clone)]
pub struct Fused(Arc<Region>);

impl Fused {
    /// The region as a node.
    pub fn new(region: Region) -> Self {
        Self(Arc::new(region))
    }

    /// What it computes.
    pub fn region(&self) -> &Region {
        &self.0
    }

    /// Starts to note times, or stops and returns those noted, by kind of operator.
    pub fn note_times(&self, on: bool) -> Vec<(&'static str, Duration)> {
        let Ok(mut times) = self.0.times.lock() else { return Vec::new() };
        std::mem::replace(&mut *times, on.then(Vec::new)).unwrap_or_default()
    }
}

impl fmt::Debug for Fused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} integer operators ({})", self.0.steps.len(), self.0.isa)
    }
}

/// Two are equal only if they are one: packed weights are not compared.
impl PartialEq for Fused {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Fused {}

impl Op for Fused {
    fn name(&self) -> StaticName {
        NAME.into()
    }

    op_as_typed_op!();
}

/// Its operator's name in tract's graph.
pub const NAME: &str = "Integer";

impl EvalOp for Fused {
    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.run(&inputs)
    }

    // Folding a constant through a network of one picture is never wanted.
    not_out_of_plan!();
}

impl TypedOp for Fused {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shapes = inputs
            .iter()
            .map(|fact| Ok(fact.shape.as_concrete().context("integer operators need a known shape")?.into()))
            .collect::<TractResult<TVec<TVec<usize>>>>()?;
        for (fact, expected) in inputs.iter().zip(self.0.input_types()) {
            ensure!(fact.datum_type == expected, "{fact:?} instead of {expected:?}");
        }
        let shapes = self.0.output_shapes(&shapes)?;
        Ok(self.0.output_types().zip(shapes).map(|(datum_type, shape)| datum_type.fact(shape)).collect())
    }

    as_op!();
}
