//! Trained layers, and the ONNX file that they become.

#[cfg(any(feature = "train", test))]
use ndarray::ArrayView2;
use ndarray::{Array1, Array2};

use super::novelty::Distances;
use crate::onnx::{Constant, Graph, OnnxError, attribute};

/// `rows weights + bias`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dense {
    /// `[inputs, outputs]`, as Keras holds them.
    pub weights: Array2<f32>,
    /// `[outputs]`.
    pub bias: Array1<f32>,
}

impl Dense {
    #[cfg(any(feature = "train", test))]
    fn apply(&self, rows: &ArrayView2<f32>) -> Array2<f32> {
        rows.dot(&self.weights) + &self.bias
    }
}

/// Dense layers on raw features, with a ReLU between them; the last gives logits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    /// At least one.
    pub layers: Vec<Dense>,
}

impl Network {
    /// A row of logits a row.
    #[cfg(any(feature = "train", test))]
    pub fn logits(&self, rows: &ArrayView2<f32>) -> Array2<f32> {
        let mut values: Option<Array2<f32>> = None;
        for layer in &self.layers {
            values = Some(match values {
                None => layer.apply(rows),
                Some(hidden) => layer.apply(&hidden.mapv(|value| value.max(0.0)).view()),
            });
        }
        values.unwrap_or_default()
    }

    /// Divides the logits by `temperature`.
    pub fn cool(&mut self, temperature: f64) {
        if let Some(last) = self.layers.last_mut() {
            last.weights /= temperature as f32;
            last.bias /= temperature as f32;
        }
    }

    /// The file: `features` [1, n] in, `probabilities` [1, classes] out. The second output is `distance` [1, 1] with
    /// `distances`, else `logits` [1, classes], which the energy is computed from. Takes the network: it may fill the
    /// memory.
    pub fn encode(self, distances: Option<&Distances>) -> Result<Vec<u8>, OnnxError> {
        let features = self.layers.first().map_or(0, |layer| layer.weights.nrows());
        let classes = self.layers.last().map_or(0, |layer| layer.bias.len());
        let mut graph = Graph::empty("head", "features", &[1, features], 13);
        graph.header_mut().producer_name = "arcticd".into();
        let count = self.layers.len();
        let mut from = "features".to_owned();
        for (place, layer) in self.layers.into_iter().enumerate() {
            let (weights, bias) = (format!("weights{place}"), format!("bias{place}"));
            let shape = layer.weights.dim();
            set(&mut graph, &weights, [shape.0, shape.1], layer.weights)?;
            graph.set_constant(&bias, &Constant::f32([shape.1], layer.bias.to_vec()))?;
            let sums = if place + 1 == count { "logits".to_owned() } else { format!("sums{place}") };
            graph.add_node("Gemm", &[&from, &weights, &bias], &sums, Vec::new())?;
            if place + 1 < count {
                from = format!("hidden{place}");
                graph.add_node("Relu", &[&sums], &from, Vec::new())?;
            }
        }
        graph.add_node("Softmax", &["logits"], "probabilities", vec![attribute::int("axis", 1)])?;
        let second = match distances {
            Some(distances) => distance(&mut graph, distances)?,
            None => "logits",
        };
        graph.set_outputs(&["probabilities", second])?;
        graph.declare_shape("probabilities", &[1, classes]);
        graph.declare_shape(second, &[1, if distances.is_some() { 1 } else { classes }]);
        graph.sort()?;
        Ok(prost::Message::encode_to_vec(&graph.into_proto()))
    }
}

fn set(graph: &mut Graph, name: &str, shape: [usize; 2], values: Array2<f32>) -> Result<(), OnnxError> {
    // Moved, not copied, where the values lie in order, as they do.
    let values =
        if values.is_standard_layout() { values.into_raw_vec_and_offset().0 } else { values.iter().copied().collect() };
    graph.set_constant(name, &Constant::f32(shape, values))
}

/// Nodes for the squared distance to the nearest mean; returns the output's name.
fn distance(graph: &mut Graph, distances: &Distances) -> Result<&'static str, OnnxError> {
    let directions = distances.directions.t();
    set(graph, "directions", [directions.nrows(), directions.ncols()], directions.to_owned())?;
    graph.set_constant("origin", &Constant::f32([distances.offset.len()], distances.offset.to_vec()))?;
    let (classes, width) = distances.means.dim();
    set(graph, "means", [classes, width], distances.means.clone())?;
    graph.set_constant("along", &Constant::i64(vec![1]))?;
    graph.add_node("MatMul", &["features", "directions"], "turned", Vec::new())?;
    graph.add_node("Add", &["turned", "origin"], "place", Vec::new())?;
    graph.add_node("Sub", &["place", "means"], "apart", Vec::new())?;
    graph.add_node("Mul", &["apart", "apart"], "squares", Vec::new())?;
    graph.add_node("ReduceSum", &["squares", "along"], "distances", vec![attribute::int("keepdims", 1)])?;
    let nearest = vec![attribute::ints("axes", &[0]), attribute::int("keepdims", 1)];
    graph.add_node("ReduceMin", &["distances"], "distance", nearest)?;
    Ok("distance")
}
