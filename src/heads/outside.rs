//! Networks of Keras, PyTorch and scikit-learn, brought into the one form that a head's network has: features
//! `[1, features]` in, a value per label `[1, labels]` out, plain operators.
//!
//! What is rewritten here, at a desk, need not be understood on a trap: which of several outputs counts, feature maps that
//! a head pools or flattens itself, scikit-learn's own operators, a single Sigmoid for two labels.

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::pb::{NodeProto, ValueInfoProto};
use tract_onnx::prelude::*;

use crate::model::{Layout, ScoresOutput, growth};
use crate::onnx::{Attributes, Constant, Graph, attribute, elements, is_float, sides, title};

/// A head's network, and what became of it in words.
#[derive(Debug)]
pub struct Outside {
    /// The network in a head's form.
    pub onnx: Vec<u8>,
    /// What it ends in.
    pub output: ScoresOutput,
    /// What it is and what was changed, a sentence each.
    pub notes: Vec<String>,
}

/// Brings `onnx` into a head's form for `features` features and `labels` labels.
///
/// # Errors
/// Says what the network has instead and how to export it otherwise.
pub fn adopt(onnx: &[u8], features: usize, labels: usize) -> Result<Outside> {
    let mut graph = Graph::parse(onnx)?;
    let by = match graph.producer_of_file() {
        by if by.is_empty() => "an unnamed tool".to_owned(),
        by => by,
    };
    let mut notes = vec![format!("written by {by}, operator set {}", graph.opset())];
    choose_output(&mut graph, &mut notes)?;
    take_vector(&mut graph, features, &mut notes)?;
    plain_operators(&mut graph, &mut notes)?;
    let trial = Trial::run(&graph, features, growth::budget(features, onnx.len()))?;
    let values = trial.values()?;
    let (output, values) = match (values, labels) {
        (1, 2) => (from_one_value(&mut graph, &mut notes)?, 2),
        (found, labels) => {
            ensure!(
                found == labels,
                "the network gives {found} values, but {labels} labels are named; name one a value"
            );
            (trial.output(&graph)?, found)
        }
    };
    notes.push(match output {
        ScoresOutput::Probabilities => format!("{values} probabilities out"),
        ScoresOutput::Logits => format!("{values} logits out; arcticd makes probabilities of them by softmax"),
    });
    let scores = output_of(&graph)?;
    graph.declare_shape(&scores, &[1, values]);
    // Some files declare their operator set twice.
    graph.set_opset(graph.opset());
    Ok(Outside { onnx: graph.encode()?, output, notes })
}

fn output_of(graph: &Graph) -> Result<String> {
    graph.outputs().next().map(str::to_owned).context("the network has no output")
}

/// Keeps the output with the scores: a classifier of scikit-learn gives the winning label, too.
fn choose_output(graph: &mut Graph, notes: &mut Vec<String>) -> Result<()> {
    if let Some(map) = graph.nodes().iter().find(|node| matches!(node.op_type.as_str(), "ZipMap" | "SequenceMap")) {
        bail!(
            "its probabilities leave as a list of dictionaries (node `{}`, {}); convert it again with zipmap=False: convert_sklearn(model, options={{id(model): {{'zipmap': False}}}}, ...)",
            title(map),
            map.op_type
        );
    }
    let infos = graph.output_infos();
    let floats: Vec<&ValueInfoProto> = infos.iter().filter(|info| is_float(info)).collect();
    let names = || infos.iter().map(|info| info.name.as_str()).collect::<Vec<_>>().join(", ");
    let chosen = match floats.as_slice() {
        [] => bail!(
            "no output is of 32-bit floats ({}): a class number is not enough, export the probabilities or logits",
            names()
        ),
        [only] => only.name.clone(),
        several => match several.iter().find(|info| info.name.starts_with("probabilit")) {
            Some(info) => info.name.clone(),
            None => bail!("it has several outputs ({}); export it with one, the scores", names()),
        },
    };
    if infos.len() > 1 {
        notes.push(format!("of its outputs {} the scores are `{chosen}`", names()));
    }
    graph.set_outputs(&[&chosen])?;
    graph.remove_unused()?;
    Ok(())
}

/// Makes the input a vector of `features`; a head that takes a feature map gets it from the vector.
fn take_vector(graph: &mut Graph, features: usize, notes: &mut Vec<String>) -> Result<()> {
    let [input] = graph.input_infos() else {
        bail!("it has {} inputs; a head has one, the features", graph.input_infos().len());
    };
    ensure!(is_float(input), "its input `{}` is not of 32-bit floats; export it with float32 features", input.name);
    let name = input.name.clone();
    let shape = sides(input).unwrap_or_else(|| vec![None, None]);
    let wanted: Vec<usize> = shape.iter().skip(1).map(|side| side.unwrap_or(0)).collect();
    let misfit = |takes: String| {
        format!(
            "it takes {takes}, but the backbone gives {features} features; a head fits the backbone whose features it was trained on"
        )
    };
    match *wanted.as_slice() {
        [0] => graph.declare_shape(&name, &[1, features]),
        [width] => {
            ensure!(width == features, misfit(format!("{width} features")));
            graph.declare_shape(&name, &[1, features]);
        }
        [a, b, c] if ![a, b, c].contains(&0) => {
            let values = a.checked_mul(b).and_then(|area| area.checked_mul(c));
            let values = values
                .with_context(|| format!("its input `{name}` has the shape {shape:?}, larger than any memory"))?;
            let layout = map_layout(graph, [a, b, c]);
            let (rows, columns, channels) = if layout == Layout::Nhwc { (a, b, c) } else { (b, c, a) };
            let map = format!("a map of {rows} x {columns} x {channels} = {values} values");
            let hint = if channels == features {
                "; it pools the map itself: take the backbone's features before its pooling (pooling = \"flatten\" in its manifest)"
            } else {
                ""
            };
            ensure!(values == features, "{}{hint}", misfit(map));
            let vector = unused(graph, "features");
            graph.set_input(&vector, &[1, features])?;
            let shape = unused(graph, "features.shape");
            let sides = [1, rows, columns, channels].map(|side| side as i64);
            graph.set_constant(&shape, &Constant::i64(sides.to_vec()))?;
            if layout == Layout::Nhwc {
                graph.add_node("Reshape", &[&vector, &shape], &name, Vec::new())?;
            } else {
                let last = unused(graph, "features.map");
                graph.add_node("Reshape", &[&vector, &shape], &last, Vec::new())?;
                graph.add_node("Transpose", &[&last], &name, vec![attribute::ints("perm", &[0, 3, 1, 2])])?;
            }
            let order = if layout == Layout::Nhwc { "as Keras has it" } else { "channels first, as PyTorch has it" };
            notes.push(format!("takes a map of {rows} x {columns} x {channels}, {order}: made of the flat features"));
            return Ok(());
        }
        _ => bail!("its input `{name}` has the shape {shape:?}; [batch, features] or a feature map is read"),
    }
    notes.push(format!("{features} features in"));
    Ok(())
}

/// Order of the axes of a map with these sides behind the batch: the exporter's habit, else the two equal or small sides
/// are rows and columns.
fn map_layout(graph: &Graph, [a, b, c]: [usize; 3]) -> Layout {
    let by = graph.producer_of_file().to_ascii_lowercase();
    match (a == b, b == c) {
        _ if by.starts_with("pytorch") => Layout::Nchw,
        _ if by.starts_with("tf2onnx") => Layout::Nhwc,
        (true, false) => Layout::Nhwc,
        (false, true) => Layout::Nchw,
        _ if a > c => Layout::Nchw,
        _ => Layout::Nhwc,
    }
}

/// A name that nothing has yet.
fn unused(graph: &Graph, name: &str) -> String {
    let taken = |name: &str| {
        graph.producer(name).is_some() || graph.is_constant(name) || graph.inputs().any(|input| input == name)
    };
    let mut free = name.to_owned();
    while taken(&free) {
        free.push('_');
    }
    free
}

/// Puts plain operators in the place of those that only exporters of classical models write, and of pooling layers.
fn plain_operators(graph: &mut Graph, notes: &mut Vec<String>) -> Result<()> {
    let opset = graph.opset();
    // A node is replaced by some, which are put behind all others: the list of what is looked at stays as it was.
    for node in graph.nodes().to_vec() {
        let parts = match node.op_type.as_str() {
            "Scaler" => Part::scaler(&node)?,
            "LinearClassifier" => Part::linear(&node)?,
            "GlobalAveragePool" if opset < 18 => {
                let axes = vec![attribute::ints("axes", &[2, 3])];
                vec![Part { kind: "ReduceMean", constant: None, attributes: axes }]
            }
            "GlobalAveragePool" => {
                let axes = Some(Constant::i64(vec![2, 3]));
                vec![Part { kind: "ReduceMean", constant: axes, attributes: Vec::new() }]
            }
            _ => continue,
        };
        let from = node.input_at(0).with_context(|| format!("node `{}` has no input", title(&node)))?;
        // The classifier's first output is the winning label.
        let to = if node.op_type == "LinearClassifier" { node.output.get(1) } else { node.output.first() };
        let to = to.with_context(|| format!("node `{}` has no output", title(&node)))?;
        if let Some(place) = graph.producer(to) {
            graph.remove_nodes_unchecked(&[place].into())?;
        }
        let mut from = from.to_owned();
        let last = parts.len().saturating_sub(1);
        for (number, part) in parts.into_iter().enumerate() {
            let result = if number == last { to.clone() } else { unused(graph, &format!("{to}.{number}")) };
            let mut inputs = vec![from.clone()];
            if let Some(constant) = &part.constant {
                let name = unused(graph, &format!("{to}.{number}.constant"));
                graph.set_constant(&name, constant)?;
                inputs.push(name);
            }
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            graph.add_node(part.kind, &inputs, &result, part.attributes)?;
            from = result;
        }
        notes.push(format!("{} rewritten as plain operators", node.op_type));
        if let Some(list) = node.attribute.iter().find(|attribute| attribute.name == "classlabels_strings") {
            let names: Vec<_> = list.strings.iter().map(|name| String::from_utf8_lossy(name)).collect();
            notes.push(format!("its own names of the classes, in their order: {}", names.join(", ")));
        }
    }
    graph.sort()?;
    Ok(())
}

/// One operator of those that take another's place: on the one before, and a constant.
struct Part {
    kind: &'static str,
    constant: Option<Constant>,
    attributes: Vec<tract_onnx::pb::AttributeProto>,
}

impl Part {
    fn with(kind: &'static str, constant: Constant) -> Self {
        Self { kind, constant: Some(constant), attributes: Vec::new() }
    }

    /// `(x - offset) * scale`, a number a feature or one for all.
    fn scaler(node: &NodeProto) -> Result<Vec<Self>> {
        let row = |name| {
            let values = floats(node, name);
            Constant::f32([1, values.len()], values)
        };
        let (offset, scale) = (row("offset"), row("scale"));
        ensure!(!offset.is_empty() && !scale.is_empty(), "the Scaler `{}` has no numbers", title(node));
        Ok(vec![Self::with("Sub", offset), Self::with("Mul", scale)])
    }

    /// A row of coefficients a class, and what follows.
    fn linear(node: &NodeProto) -> Result<Vec<Self>> {
        let classes = node.attribute.iter().find_map(|attribute| match attribute.name.as_str() {
            "classlabels_ints" => Some(attribute.ints.len()),
            "classlabels_strings" => Some(attribute.strings.len()),
            _ => None,
        });
        let (coefficients, intercepts) = (floats(node, "coefficients"), floats(node, "intercepts"));
        let classes = classes.filter(|classes| *classes > 1 && intercepts.len() == *classes);
        let classes = classes.filter(|classes| coefficients.len().is_multiple_of(*classes));
        let Some(classes) = classes else {
            bail!("the LinearClassifier `{}` has not one row of coefficients a class", title(node));
        };
        let width = coefficients.len() / classes;
        // [classes, width] to [width, classes].
        let turned = (0..width).flat_map(|feature| coefficients.iter().skip(feature).step_by(width).copied());
        let weights = Constant::f32([width, classes], turned.collect());
        let mut parts = vec![Self::with("MatMul", weights), Self::with("Add", Constant::f32([1, classes], intercepts))];
        match node.text("post_transform")?.unwrap_or("NONE") {
            "NONE" => {}
            "SOFTMAX" => {
                parts.push(Self { kind: "Softmax", constant: None, attributes: vec![attribute::int("axis", 1)] });
            }
            "LOGISTIC" => parts.push(Self { kind: "Sigmoid", constant: None, attributes: Vec::new() }),
            other => bail!("the LinearClassifier `{}` ends in {other}, which is not read", title(node)),
        }
        Ok(parts)
    }
}

fn floats(node: &NodeProto, name: &str) -> Vec<f32> {
    node.attribute.iter().find(|attribute| attribute.name == name).map_or_else(Vec::new, |list| list.floats.clone())
}

/// Makes two values of one, the probability or logit of the second label.
fn from_one_value(graph: &mut Graph, notes: &mut Vec<String>) -> Result<ScoresOutput> {
    let mut last = output_of(graph)?;
    if !ends_in(graph, "Sigmoid") {
        let next = unused(graph, "scores.sigmoid");
        graph.add_node("Sigmoid", &[&last], &next, Vec::new())?;
        last = next;
    }
    let [shape, one, row, other, both] =
        ["scores.shape", "scores.one", "scores.second", "scores.first", "scores"].map(|name| unused(graph, name));
    graph.set_constant(&shape, &Constant::i64(vec![1, 1]))?;
    graph.set_constant(&one, &Constant::f32([1, 1], vec![1.0]))?;
    graph.add_node("Reshape", &[&last, &shape], &row, Vec::new())?;
    graph.add_node("Sub", &[&one, &row], &other, Vec::new())?;
    graph.add_node("Concat", &[&other, &row], &both, vec![attribute::int("axis", 1)])?;
    graph.set_outputs(&[&both])?;
    notes.push("its one value is the probability of the second label; the first gets the rest".into());
    Ok(ScoresOutput::Probabilities)
}

/// Whether the scores come out of an operator of this kind.
fn ends_in(graph: &Graph, kind: &str) -> bool {
    let mut tensor = graph.outputs().next();
    // Bounded by the number of nodes.
    for _ in graph.nodes() {
        match tensor.and_then(|tensor| graph.producer(tensor)).and_then(|place| graph.node(place)) {
            Some(node) if node.op_type == kind => return true,
            Some(node) if matches!(node.op_type.as_str(), "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Cast") => {
                tensor = node.input_at(0);
            }
            _ => return false,
        }
    }
    false
}

/// What a network gives for made-up features.
struct Trial(Vec<Vec<f32>>);

impl Trial {
    fn run(graph: &Graph, features: usize, budget: usize) -> Result<Self> {
        let mut model = tract_onnx::onnx()
            .with_ignore_output_shapes(true)
            .with_ignore_value_info(true)
            .model_for_proto_model(&graph.to_proto())
            .and_then(|model| model.with_input_fact(0, f32::fact([1, features]).into()))
            .context("the network can't be loaded")?;
        growth::check("the network", &mut model, budget)?;
        let plan = model.into_optimized().and_then(|model| model.into_runnable());
        let plan = plan.context("the network can't be loaded")?;
        let probe = |seed: usize, index: usize| (((index + seed) * 7919) % 97) as f32 / 24.0 - seed as f32 / 2.0;
        let run = |seed| -> Result<Vec<f32>> {
            let vector: Vec<f32> =
                (0..features).map(|index| if seed == 0 { 0.0 } else { probe(seed, index) }).collect();
            let tensor = Tensor::from_shape(&[1, features], &vector)?;
            let results = plan.run(tvec!(tensor.into_tvalue())).context("the network can't be run")?;
            let values = results.first().context("the network has no output")?;
            Ok(elements::<f32>(values)?.to_vec())
        };
        let rows = (0..5).map(run).collect::<Result<Vec<_>>>()?;
        ensure!(
            rows.iter().flatten().all(|value| value.is_finite()),
            "it gives values that are no finite numbers; were its weights trained and saved?"
        );
        Ok(Self(rows))
    }

    fn values(&self) -> Result<usize> {
        let first = self.0.first().map_or(0, Vec::len);
        ensure!(first > 0, "the network gives no value");
        Ok(first)
    }

    /// Probabilities sum to 1 whatever the features are; logits do not.
    fn output(&self, graph: &Graph) -> Result<ScoresOutput> {
        let one = |row: &Vec<f32>| {
            row.iter().all(|value| (0.0..=1.0).contains(value)) && (row.iter().sum::<f32>() - 1.0).abs() < 1e-3
        };
        if self.0.iter().all(one) {
            return Ok(ScoresOutput::Probabilities);
        }
        ensure!(
            !ends_in(graph, "Softmax"),
            "it ends in a Softmax, but its values do not sum to 1: does that run over the labels?"
        );
        ensure!(
            !ends_in(graph, "Sigmoid"),
            "it ends in a Sigmoid for each label, so that several labels may hold at once; arcticd wants one label a frame: train it with softmax"
        );
        Ok(ScoresOutput::Logits)
    }
}

#[cfg(test)]
#[path = "outside_tests.rs"]
mod tests;
