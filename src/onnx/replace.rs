//! Exchanging many nodes at once.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{ModelProto, NodeProto};

use super::{Constant, Graph, Index, OnnxError};

impl Graph {
    /// Puts each of `nodes` in place of the one at its place; their outputs should be the same.
    ///
    /// # Errors
    /// The graph would contradict itself.
    pub fn replace_nodes(&mut self, nodes: HashMap<usize, NodeProto>) -> Result<(), OnnxError> {
        for (place, node) in nodes {
            if let Some(old) = self.graph.node.get_mut(place) {
                *old = node;
            }
        }
        self.index = Index::of(&self.graph)?;
        self.check_references()
    }

    /// Removes the nodes at `places` and stores their results as constants.
    ///
    /// # Errors
    /// The graph would contradict itself.
    pub fn fold_nodes(&mut self, places: &HashSet<usize>, results: Vec<(String, Constant)>) -> Result<(), OnnxError> {
        self.drop_nodes(places);
        self.graph.initializer.extend(results.iter().map(|(name, constant)| constant.to_proto(name)));
        self.index = Index::of(&self.graph)?;
        self.check_references()
    }

    /// Removes the nodes at `places`, adds `nodes`, and puts all in order.
    ///
    /// # Errors
    /// The graph would contradict itself.
    pub fn exchange_nodes(&mut self, places: &HashSet<usize>, nodes: Vec<NodeProto>) -> Result<(), OnnxError> {
        self.drop_nodes(places);
        self.graph.node.extend(nodes);
        self.index = Index::of(&self.graph)?;
        self.check_references()?;
        self.sort()
    }

    /// Removes nodes; the caller puts the index right.
    pub(super) fn drop_nodes(&mut self, places: &HashSet<usize>) {
        let mut place = 0;
        self.graph.node.retain(|_| {
            place += 1;
            !places.contains(&(place - 1))
        });
    }

    /// The file as tract takes it, without a copy.
    pub fn into_proto(self) -> ModelProto {
        ModelProto { graph: Some(self.graph), ..self.model }
    }
}
