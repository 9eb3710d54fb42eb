//! Why a network could not be quantized.

use crate::model::ModelError;
use crate::onnx::OnnxError;
use crate::photos::ListError;

/// Why a network could not be quantized.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The file can't be read or rewritten.
    #[error("the network: {0}")]
    Onnx(#[from] OnnxError),
    /// The network does not run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A part of the network does not run.
    #[error("the network can't be run: {reason}")]
    Run {
        /// What tract said.
        reason: String,
    },
    /// Something about the network that the quantizer can't work with.
    #[error("the network {problem}")]
    Unsuitable {
        /// What, and what to do.
        problem: String,
    },
    /// Nothing to calibrate on.
    #[error(
        "no photo in {folder} could be used ({skipped} unreadable); give a folder with JPEG, PNG, TIFF or WebP files"
    )]
    NoPhotos {
        /// The folder.
        folder: String,
        /// Files that were tried.
        skipped: usize,
    },
    /// A folder that can't be listed.
    #[error(transparent)]
    Folder(#[from] ListError),
}
