//! Where fuzzing of heads and messages begins: with what is right.

use arcticd::accept::Ask;
use arcticd::accept::ask::{FrameLabel, Wanted, What};
use arcticd::frame::ContentHash;
use arcticd::journal::Which;
use arcticd::onnx::{Constant, Graph, OnnxError, attribute};

use super::plain::{self, FEATURES};

/// Operators of one input that a head may have.
const SIMPLE: [&str; 24] = [
    "Relu",
    "LeakyRelu",
    "Elu",
    "Celu",
    "Selu",
    "Gelu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Tanh",
    "Softplus",
    "Softsign",
    "LogSoftmax",
    "Erf",
    "Neg",
    "Abs",
    "Sqrt",
    "Reciprocal",
    "Exp",
    "Identity",
    "Flatten",
    "Dropout",
    "LpNormalization",
    "Clip",
];

/// Operators of two, with the constant that is their second.
const PAIRS: [&str; 10] = ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "PRelu", "Greater"];

/// Networks of heads by name, as `head.onnx`.
///
/// # Errors
/// None; what is put together here is right.
pub fn networks() -> Result<Vec<(String, Vec<u8>)>, OnnxError> {
    let mut found = vec![("plain".to_owned(), plain::network())];
    for kind in SIMPLE {
        found.push((kind.to_lowercase(), network(|graph| graph.add_node(kind, &["features"], "x", vec![]))?));
    }
    for kind in PAIRS {
        let build = |graph: &mut Graph| {
            graph.set_constant("second", &Constant::f32([1, FEATURES], vec![0.5; FEATURES]))?;
            graph.add_node(kind, &["features", "second"], "x", vec![])
        };
        found.push((kind.to_lowercase(), network(build)?));
    }
    let shaped = |graph: &mut Graph| {
        graph.set_constant("map", &Constant::i64(vec![1, 2, 2, 2]))?;
        graph.add_node("Reshape", &["features", "map"], "a", vec![])?;
        graph.add_node("Transpose", &["a"], "b", vec![attribute::ints("perm", &[0, 3, 1, 2])])?;
        let along = vec![attribute::ints("axes", &[2, 3]), attribute::int("keepdims", 0)];
        graph.add_node("ReduceMean", &["b"], "c", along)?;
        graph.add_node("Concat", &["c", "c", "c", "c"], "x", vec![attribute::int("axis", 1)])
    };
    found.push(("shapes".to_owned(), network(shaped)?));
    let cut = |graph: &mut Graph| {
        for (name, values) in [("from", vec![0]), ("to", vec![4]), ("axis", vec![1]), ("places", vec![0, 1, 2, 3])] {
            graph.set_constant(name, &Constant::i64(values))?;
        }
        graph.add_node("Slice", &["features", "from", "to", "axis"], "a", vec![])?;
        graph.add_node("Gather", &["features", "places"], "b", vec![attribute::int("axis", 1)])?;
        graph.add_node("Concat", &["a", "b"], "x", vec![attribute::int("axis", 1)])
    };
    found.push(("cut".to_owned(), network(cut)?));
    Ok(found)
}

/// A first part that ends in `x`, and the layers behind it.
fn network<T>(first: impl FnOnce(&mut Graph) -> Result<T, OnnxError>) -> Result<Vec<u8>, OnnxError> {
    let mut graph = Graph::empty("head", "features", &[1, FEATURES], 13);
    first(&mut graph)?;
    let weights = (0..FEATURES * 2).map(|place| place as f32 / 16.0).collect();
    graph.set_constant("weights", &Constant::f32([FEATURES, 2], weights))?;
    graph.add_node("MatMul", &["x", "weights"], "logits", vec![])?;
    graph.add_node("Softmax", &["logits"], "scores", vec![attribute::int("axis", 1)])?;
    graph.set_outputs(&["scores"])?;
    graph.encode()
}

/// `canaries.bin` of a plain head.
pub fn canaries() -> Vec<u8> {
    plain::canaries().encode()
}

/// Requests by name, not signed.
pub fn asks() -> Vec<(&'static str, Vec<u8>)> {
    let frame = ContentHash::of(b"a frame");
    [
        ("labels", What::Labels(vec![FrameLabel { frame, label: "polar_bear".into() }])),
        ("refit", What::Refit),
        ("frames", What::Features(Wanted::Frames(vec![frame]))),
        ("some", What::Features(Wanted::Some(Which::Alert, 5))),
        ("forget", What::Forget(vec![frame])),
    ]
    .map(|(name, what)| (name, Ask { audience: vec!["test".into()], sequence: 1, what }.encode()))
    .into()
}

/// Rows of messages as [`super::messages`] reads them.
pub fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let message = |what: u8, bytes: &[u8]| [&[what][..], &(bytes.len() as u16).to_le_bytes(), bytes].concat();
    let mut rows: Vec<_> =
        [3, 4, 5, 5, 6].into_iter().zip(asks()).map(|(kind, (name, ask))| (name, message(kind | 8, &ask))).collect();
    rows.push(("whole", message(8, &plain::network())));
    rows.push((
        "noise",
        [message(0, b"no head"), message(1, b"{}"), message(2, b"\0piece"), message(7, b"too large")].concat(),
    ));
    let offered = plain::offered();
    let pieces = [message(9, &offered.manifest), message(2, &[&[0], offered.row.as_slice()].concat())].concat();
    rows.push(("pieces", pieces));
    rows
}
