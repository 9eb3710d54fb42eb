//! Why an ONNX file was refused.

/// Why an ONNX file was refused. The file's name is the caller's to add.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// More bytes than are read.
    #[error("{bytes} bytes are more than the {limit} that are read")]
    TooLarge {
        /// Found.
        bytes: usize,
        /// Allowed.
        limit: usize,
    },
    /// Not the protocol buffer that ONNX is.
    #[error("not an ONNX file: {reason}")]
    Syntax {
        /// The decoder's message.
        reason: String,
    },
    /// A model without a graph.
    #[error("the file holds no graph; is it an ONNX file?")]
    NoGraph,
    /// A part of ONNX that is not read.
    #[error("{what} can't be read; export the network without")]
    Unsupported {
        /// The part.
        what: String,
    },
    /// A tensor whose data is missing, elsewhere or of another size than its shape.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A name that stands for two things.
    #[error("the name `{name}` stands for more than one {what}")]
    Duplicate {
        /// `tensor`, `node`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A tensor that nothing makes.
    #[error("`{reader}` reads the tensor `{name}`, which nothing makes")]
    Dangling {
        /// Node, or `the graph's output`.
        reader: String,
        /// The tensor.
        name: String,
    },
    /// Nodes that wait for each other.
    #[error("the graph has a cycle through node `{node}`")]
    Cycle {
        /// One of them.
        node: String,
    },
    /// A node with an attribute of the wrong kind or out of range.
    #[error("node `{node}`: attribute `{attribute}` {problem}")]
    Attribute {
        /// The node.
        node: String,
        /// The attribute.
        attribute: String,
        /// What is wrong.
        problem: String,
    },
    /// No node or tensor has this name.
    #[error("there is no node or tensor `{name}`; near names: {near}")]
    NoSuchName {
        /// Looked for.
        name: String,
        /// Names that resemble it.
        near: String,
    },
}
