//! Rewriting a graph: nodes and initializers in and out, order, the cut.

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto};

use super::{Attributes, Constant, Graph, Index, OnnxError, title};

impl Index {
    pub(super) fn of(graph: &GraphProto) -> Result<Self, OnnxError> {
        let mut index = Self::default();
        let mut made: HashSet<&str> = HashSet::new();
        let stored = graph.initializer.iter().map(|tensor| &tensor.name);
        let results = graph.node.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty());
        for name in graph.input.iter().map(|input| &input.name).chain(stored).chain(results) {
            if name.is_empty() {
                return Err(OnnxError::Unsupported { what: "an input or initializer without a name".into() });
            }
            if !made.insert(name) {
                return Err(OnnxError::Duplicate { what: "tensor", name: name.clone() });
            }
        }
        for (place, tensor) in graph.initializer.iter().enumerate() {
            index.initializer.insert(tensor.name.clone(), place);
        }
        for (place, node) in graph.node.iter().enumerate() {
            index.add(place, node);
        }
        Ok(index)
    }

    fn add(&mut self, place: usize, node: &NodeProto) {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            self.producer.insert(output.clone(), place);
        }
        for input in node.input.iter().filter(|name| !name.is_empty()) {
            let readers = self.consumers.entry(input.clone()).or_default();
            if readers.last() != Some(&place) {
                readers.push(place);
            }
        }
    }
}

/// Moves the tensors of `Constant` nodes to the initializers, so that there is one place to look for them.
pub(super) fn constants_to_initializers(graph: &mut GraphProto) -> Result<(), OnnxError> {
    let (constants, nodes) = std::mem::take(&mut graph.node).into_iter().partition(|node| node.op_type == "Constant");
    graph.node = nodes;
    let constants: Vec<NodeProto> = constants;
    for node in constants {
        let name = node.result();
        let tensor = if let Some(tensor) = node.tensor("value")? {
            let mut tensor = tensor.clone();
            tensor.name = name.to_owned();
            tensor
        } else if let Some(value) = node.float("value_float")? {
            Constant::f32([], vec![value]).to_proto(name)
        } else if let Some(values) = node.ints("value_ints")? {
            Constant::i64(values.to_vec()).to_proto(name)
        } else if node.attribute.iter().any(|attribute| attribute.name == "value_int") {
            let value = node.int("value_int", 0)?;
            Constant { shape: Vec::new(), data: super::Data::I64(vec![value]) }.to_proto(name)
        } else if let Some(list) = node.attribute.iter().find(|attribute| attribute.name == "value_floats") {
            Constant::f32([list.floats.len()], list.floats.clone()).to_proto(name)
        } else {
            return Err(OnnxError::Unsupported { what: format!("the Constant node `{}`", title(&node)) });
        };
        graph.initializer.push(tensor);
    }
    Ok(())
}

impl Graph {
    fn reindex(&mut self) -> Result<(), OnnxError> {
        self.index = Index::of(&self.graph)?;
        Ok(())
    }

    pub(super) fn check_references(&self) -> Result<(), OnnxError> {
        let inputs: HashSet<&str> = self.inputs().collect();
        let known = |name: &str| inputs.contains(name) || self.is_constant(name) || self.producer(name).is_some();
        for node in &self.graph.node {
            if let Some(name) = node.input.iter().find(|name| !name.is_empty() && !known(name)) {
                return Err(OnnxError::Dangling { reader: title(node).to_owned(), name: name.clone() });
            }
        }
        match self.outputs().find(|name| !known(name)) {
            Some(name) => Err(OnnxError::Dangling { reader: "the graph's output".into(), name: name.to_owned() }),
            None => Ok(()),
        }
    }

    /// Puts the nodes into topological order; nodes that may stand in either order keep theirs.
    ///
    /// # Errors
    /// [`OnnxError::Cycle`].
    pub fn sort(&mut self) -> Result<(), OnnxError> {
        let nodes = &self.graph.node;
        let sources = |place: usize| {
            let names = nodes[place].input.iter().filter(|name| !name.is_empty());
            names.filter_map(|name| self.producer(name)).collect::<BTreeSet<usize>>()
        };
        let mut waits: Vec<usize> = (0..nodes.len()).map(|place| sources(place).len()).collect();
        let mut ready: BTreeSet<usize> = (0..nodes.len()).filter(|place| waits[*place] == 0).collect();
        let mut order = Vec::with_capacity(nodes.len());
        while let Some(place) = ready.pop_first() {
            order.push(place);
            let readers: BTreeSet<usize> =
                nodes[place].output.iter().flat_map(|name| self.consumers(name)).copied().collect();
            for reader in readers {
                waits[reader] -= 1;
                if waits[reader] == 0 {
                    ready.insert(reader);
                }
            }
        }
        if let Some(place) = waits.iter().position(|count| *count > 0) {
            return Err(OnnxError::Cycle { node: title(&nodes[place]).to_owned() });
        }
        if order.iter().enumerate().any(|(at, place)| at != *place) {
            let mut nodes: Vec<Option<NodeProto>> =
                std::mem::take(&mut self.graph.node).into_iter().map(Some).collect();
            self.graph.node = order.into_iter().filter_map(|place| nodes[place].take()).collect();
            self.reindex()?;
        }
        Ok(())
    }

    /// Adds a node with one output and returns its place. Its name is its output's.
    ///
    /// # Errors
    /// [`OnnxError::Duplicate`] if the output exists already.
    pub fn add_node(
        &mut self,
        kind: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) -> Result<usize, OnnxError> {
        self.push_node(super::node(kind, inputs, output, attributes))
    }

    /// Adds a node and returns its place.
    ///
    /// # Errors
    /// [`OnnxError::Duplicate`] if an output exists already.
    pub fn push_node(&mut self, node: NodeProto) -> Result<usize, OnnxError> {
        for name in &node.output {
            if self.is_constant(name) || self.producer(name).is_some() || self.inputs().any(|input| input == name) {
                return Err(OnnxError::Duplicate { what: "tensor", name: name.clone() });
            }
        }
        let place = self.graph.node.len();
        self.index.add(place, &node);
        self.graph.node.push(node);
        Ok(place)
    }

    /// Changes the node at `place`, its inputs and outputs included; nothing happens if there is none.
    ///
    /// # Errors
    /// [`OnnxError::Duplicate`] if its outputs now clash with others.
    pub fn edit_node(&mut self, place: usize, change: impl FnOnce(&mut NodeProto)) -> Result<(), OnnxError> {
        if let Some(node) = self.graph.node.get_mut(place) {
            change(node);
        }
        self.reindex()
    }

    /// Stores `value` under `name`, in place of an initializer of that name if there is one.
    ///
    /// # Errors
    /// [`OnnxError::Duplicate`] if a node or input has that name.
    pub fn set_constant(&mut self, name: &str, value: &Constant) -> Result<(), OnnxError> {
        if self.producer(name).is_some() || self.inputs().any(|input| input == name) {
            return Err(OnnxError::Duplicate { what: "tensor", name: name.to_owned() });
        }
        let tensor = value.to_proto(name);
        match self.index.initializer.get(name).and_then(|place| self.graph.initializer.get_mut(*place)) {
            Some(stored) => *stored = tensor,
            None => {
                self.index.initializer.insert(name.to_owned(), self.graph.initializer.len());
                self.graph.initializer.push(tensor);
            }
        }
        Ok(())
    }

    /// Lets every reader of `old`, and the graph's outputs, take `new` instead.
    ///
    /// # Errors
    /// [`OnnxError::Duplicate`] never, unless the graph was broken before.
    pub fn replace_uses(&mut self, old: &str, new: &str) -> Result<(), OnnxError> {
        for node in &mut self.graph.node {
            for input in node.input.iter_mut().filter(|input| *input == old) {
                new.clone_into(input);
            }
        }
        for output in self.graph.output.iter_mut().filter(|output| output.name == old) {
            new.clone_into(&mut output.name);
        }
        self.reindex()
    }

    /// Removes the nodes at `places`.
    ///
    /// # Errors
    /// [`OnnxError::Dangling`] if something still reads their results.
    pub fn remove_nodes(&mut self, places: &HashSet<usize>) -> Result<(), OnnxError> {
        self.remove_nodes_unchecked(places)?;
        self.check_references()
    }

    /// As [`Graph::remove_nodes`], for an edit that puts another maker into the place of the one removed.
    pub(crate) fn remove_nodes_unchecked(&mut self, places: &HashSet<usize>) -> Result<(), OnnxError> {
        self.drop_nodes(places);
        self.reindex()
    }

    /// Drops the inputs, for a part of a network that does not need them.
    pub(crate) fn remove_inputs(&mut self) {
        self.graph.input.clear();
    }

    /// Removes nodes, initializers and notes on shapes that no output needs. Inputs stay.
    ///
    /// # Errors
    /// [`OnnxError::Duplicate`] never, unless the graph was broken before.
    pub fn remove_unused(&mut self) -> Result<(), OnnxError> {
        let mut needed: HashSet<String> = HashSet::new();
        let mut open: Vec<String> = self.outputs().map(str::to_owned).collect();
        let mut kept: HashSet<usize> = HashSet::new();
        while let Some(name) = open.pop() {
            if !needed.insert(name.clone()) {
                continue;
            }
            let Some(place) = self.producer(&name) else { continue };
            if kept.insert(place) {
                open.extend(self.graph.node[place].input.iter().filter(|name| !name.is_empty()).cloned());
            }
        }
        let mut place = 0;
        self.graph.node.retain(|_| {
            place += 1;
            kept.contains(&(place - 1))
        });
        self.graph.initializer.retain(|tensor| needed.contains(&tensor.name));
        self.graph.value_info.retain(|info| needed.contains(&info.name));
        self.graph.quantization_annotation.clear();
        self.reindex()
    }

    /// Makes `tensors` the graph's outputs. A shape is declared where the file states one.
    ///
    /// # Errors
    /// [`OnnxError::NoSuchName`].
    pub fn set_outputs(&mut self, tensors: &[&str]) -> Result<(), OnnxError> {
        let mut outputs = Vec::new();
        for name in tensors {
            if self.producer(name).is_none() && !self.is_constant(name) && !self.inputs().any(|input| input == *name) {
                return Err(self.no_such(name));
            }
            let all = self.graph.output.iter().chain(&self.graph.value_info).chain(&self.graph.input);
            let known = all.clone().find(|info| info.name == *name).cloned();
            outputs.push(known.unwrap_or_else(|| float_info(name, None)));
        }
        self.graph.output = outputs;
        Ok(())
    }

    /// Makes a float tensor of this shape the only input. What was one before has to be made by a node next.
    ///
    /// # Errors
    /// [`OnnxError::Duplicate`] if the name is taken.
    pub fn set_input(&mut self, name: &str, shape: &[usize]) -> Result<(), OnnxError> {
        self.graph.input = vec![float_info(name, Some(shape))];
        self.reindex()
    }

    /// Declares the shape of a float output or input.
    pub fn declare_shape(&mut self, tensor: &str, shape: &[usize]) {
        let infos = self.graph.input.iter_mut().chain(&mut self.graph.output);
        for info in infos.filter(|info| info.name == tensor) {
            *info = float_info(tensor, Some(shape));
        }
    }

    /// The tensor meant by a node's or tensor's name: a node stands for its first output, and goes before a tensor, as
    /// in tract.
    ///
    /// # Errors
    /// [`OnnxError::NoSuchName`], or [`OnnxError::Duplicate`] if several nodes have that name.
    pub fn tensor_named(&self, name: &str) -> Result<String, OnnxError> {
        let mut nodes = self.graph.node.iter().filter(|node| !node.name.is_empty() && node.name == name);
        match (nodes.next(), nodes.next()) {
            (Some(_), Some(_)) => Err(OnnxError::Duplicate { what: "node", name: name.to_owned() }),
            (Some(node), None) => Ok(node.result().to_owned()),
            (None, _) if self.producer(name).is_some() => Ok(name.to_owned()),
            (None, _) => Err(self.no_such(name)),
        }
    }

    /// Makes the tensor meant by a node's or tensor's name the only output, drops what it does not need, and returns it.
    ///
    /// # Errors
    /// As [`Graph::tensor_named`].
    pub fn cut_at(&mut self, name: &str) -> Result<String, OnnxError> {
        let tensor = self.tensor_named(name)?;
        self.set_outputs(&[&tensor])?;
        self.remove_unused()?;
        Ok(tensor)
    }

    fn no_such(&self, name: &str) -> OnnxError {
        let names = self.graph.node.iter().flat_map(|node| [title(node), node.result()]);
        let mut ranked: HashMap<&str, f64> = HashMap::new();
        for known in names {
            ranked.insert(known, strsim::jaro_winkler(name, known));
        }
        let mut ranked: Vec<_> = ranked.into_iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        let near = ranked.iter().take(3).map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        OnnxError::NoSuchName { name: name.to_owned(), near }
    }
}

pub(super) fn float_info(name: &str, shape: Option<&[usize]>) -> ValueInfoProto {
    let shape = shape.map(|shape| TensorShapeProto {
        dim: shape
            .iter()
            .map(|side| Dimension {
                value: Some(dimension::Value::DimValue(i64::try_from(*side).unwrap_or(i64::MAX))),
                ..Default::default()
            })
            .collect(),
    });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() }),
        ..Default::default()
    }
}
