//! An ONNX file as a graph that can be walked and rewritten.
//!
//! [`Graph`] owns the decoded file and keeps an index of who makes and who reads each tensor. Reading is strict: what
//! [`Graph::parse`] accepts has unique tensor names, no cycle, no dangling input, no data outside the file and tensors
//! whose sizes fit their shapes, so the passes that walk it need not check again.
//!
//! Nodes are addressed by their place in [`Graph::nodes`]; places stay valid until nodes are removed or sorted.

mod attributes;
mod edit;
mod error;
mod replace;
mod values;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::Framework;

pub use attributes::{Attributes, attribute};
pub use error::OnnxError;
pub(crate) use values::elements;
pub use values::{Constant, Data, is_float, sides};

/// Largest file that is read, in bytes.
const MAX_BYTES: usize = 1 << 30;

/// A decoded ONNX file with an index of its tensors.
#[derive(Debug, Clone)]
pub struct Graph {
    model: ModelProto,
    graph: GraphProto,
    index: Index,
}

/// Who makes and who reads what, by tensor name.
#[derive(Debug, Clone, Default)]
struct Index {
    producer: HashMap<String, usize>,
    consumers: HashMap<String, Vec<usize>>,
    initializer: HashMap<String, usize>,
}

impl Graph {
    /// Reads an ONNX file.
    ///
    /// # Errors
    /// [`OnnxError`] for what is no ONNX, refers to data outside the file, holds control flow, or contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, OnnxError> {
        if bytes.len() > MAX_BYTES {
            return Err(OnnxError::TooLarge { bytes: bytes.len(), limit: MAX_BYTES });
        }
        let model = tract_onnx::onnx()
            .proto_model_for_read(&mut &*bytes)
            .map_err(|error| OnnxError::Syntax { reason: format!("{error:#}") })?;
        Self::from_proto(model)
    }

    /// A graph of nothing but a float input, to be built up.
    pub fn empty(name: &str, input: &str, shape: &[usize], opset: i64) -> Self {
        let mut graph = Self { model: ModelProto::default(), graph: GraphProto::default(), index: Index::default() };
        graph.model.ir_version = 8;
        graph.set_opset(opset);
        name.clone_into(&mut graph.graph.name);
        graph.graph.input = vec![edit::float_info(input, Some(shape))];
        graph
    }

    /// Checks and indexes a decoded file. `Constant` nodes become initializers and nodes are put in order.
    ///
    /// # Errors
    /// As [`Graph::parse`].
    pub fn from_proto(mut model: ModelProto) -> Result<Self, OnnxError> {
        let mut graph = model.graph.take().ok_or(OnnxError::NoGraph)?;
        if !graph.sparse_initializer.is_empty() {
            return Err(OnnxError::Unsupported { what: "sparse initializers".into() });
        }
        edit::constants_to_initializers(&mut graph)?;
        // Before IR version 4 each initializer was also listed as an input.
        let stored: std::collections::HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let inputs = std::mem::take(&mut graph.input);
        graph.input = inputs.into_iter().filter(|input| !stored.contains(input.name.as_str())).collect();
        for tensor in &graph.initializer {
            values::check(tensor)?;
        }
        for node in &graph.node {
            if node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty()) {
                return Err(OnnxError::Unsupported { what: format!("control flow (node `{}`)", title(node)) });
            }
            attributes::check(node)?;
        }
        let index = Index::of(&graph)?;
        let mut graph = Self { model, graph, index };
        graph.check_references()?;
        graph.sort()?;
        Ok(graph)
    }

    /// Writes the file. Nodes are put in order first.
    ///
    /// # Errors
    /// [`OnnxError::Cycle`] if edits have made one.
    pub fn encode(&mut self) -> Result<Vec<u8>, OnnxError> {
        self.sort()?;
        Ok(prost::Message::encode_to_vec(&self.to_proto()))
    }

    /// The file as tract takes it.
    pub fn to_proto(&self) -> ModelProto {
        ModelProto { graph: Some(self.graph.clone()), ..self.model.clone() }
    }

    /// Version of the default operator set; 1 if the file does not say.
    pub fn opset(&self) -> i64 {
        let own = |domain: &str| domain.is_empty() || domain == "ai.onnx";
        self.model.opset_import.iter().find(|set| own(&set.domain)).map_or(1, |set| set.version)
    }

    /// Declares version `version` of the default operator set, whose meaning the nodes must already have.
    pub fn set_opset(&mut self, version: i64) {
        self.model.opset_import.retain(|set| !set.domain.is_empty() && set.domain != "ai.onnx");
        self.model.opset_import.insert(0, tract_onnx::pb::OperatorSetIdProto { domain: String::new(), version });
    }

    /// The file's header: versions, producer, metadata. Its graph is empty, it lives here.
    pub fn header_mut(&mut self) -> &mut ModelProto {
        &mut self.model
    }

    /// The graph's name.
    pub fn name(&self) -> &str {
        &self.graph.name
    }

    /// All nodes. In topological order after [`Graph::parse`], [`Graph::sort`] and [`Graph::encode`].
    pub fn nodes(&self) -> &[NodeProto] {
        &self.graph.node
    }

    /// The node at `place`.
    pub fn node(&self, place: usize) -> Option<&NodeProto> {
        self.graph.node.get(place)
    }

    /// The inputs that are not initializers, with the types and shapes that the file declares.
    pub fn input_infos(&self) -> &[ValueInfoProto] {
        &self.graph.input
    }

    /// The outputs, with the types and shapes that the file declares.
    pub fn output_infos(&self) -> &[ValueInfoProto] {
        &self.graph.output
    }

    /// The tool that wrote the file, with its version; empty if the file does not say.
    pub fn producer_of_file(&self) -> String {
        // tf2onnx of some versions writes `1.17.0 None`.
        let version = self.model.producer_version.trim_end_matches(" None");
        format!("{} {version}", self.model.producer_name).trim().to_owned()
    }

    /// Names of the inputs that are not initializers.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.graph.input.iter().map(|input| input.name.as_str())
    }

    /// Names of the outputs.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.graph.output.iter().map(|output| output.name.as_str())
    }

    /// Place of the node that makes `tensor`; `None` for inputs and initializers.
    pub fn producer(&self, tensor: &str) -> Option<usize> {
        self.index.producer.get(tensor).copied()
    }

    /// Places of the nodes that read `tensor`, ascending; a node that reads it twice is listed once.
    pub fn consumers(&self, tensor: &str) -> &[usize] {
        self.index.consumers.get(tensor).map_or(&[], Vec::as_slice)
    }

    /// Whether `tensor` is one of the graph's outputs.
    pub fn is_output(&self, tensor: &str) -> bool {
        self.outputs().any(|output| output == tensor)
    }

    /// Whether `tensor` is an initializer.
    pub fn is_constant(&self, tensor: &str) -> bool {
        self.index.initializer.contains_key(tensor)
    }

    /// The initializer `tensor` as stored.
    pub fn initializer(&self, tensor: &str) -> Option<&TensorProto> {
        self.index.initializer.get(tensor).and_then(|place| self.graph.initializer.get(*place))
    }

    /// All initializers as stored.
    pub fn initializers(&self) -> &[TensorProto] {
        &self.graph.initializer
    }

    /// The initializer `tensor` decoded, `None` if there is none.
    ///
    /// # Errors
    /// [`OnnxError::Tensor`] for element types other than f32, f64, f16, i8, u8, i32, i64 and bool.
    pub fn constant(&self, tensor: &str) -> Result<Option<Constant>, OnnxError> {
        self.initializer(tensor).map(Constant::of).transpose()
    }

    /// Shape of `tensor`, if the file states all of its sides: of initializers, inputs, outputs and `value_info`.
    pub fn shape(&self, tensor: &str) -> Option<Vec<usize>> {
        if let Some(stored) = self.initializer(tensor) {
            return stored.dims.iter().map(|side| usize::try_from(*side).ok()).collect();
        }
        let all = self.graph.value_info.iter().chain(&self.graph.input).chain(&self.graph.output);
        all.filter(|info| info.name == tensor).find_map(values::static_shape)
    }
}

/// A node with one output, named like it.
pub fn node(kind: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: kind.to_owned(),
        name: output.to_owned(),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute,
        ..Default::default()
    }
}

/// A node's name, or its first output's if it has none.
pub fn title(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or(&node.op_type, |output| output) } else { &node.name }
}
