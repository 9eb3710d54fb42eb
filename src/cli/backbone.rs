//! The arguments of `arcticd backbone add`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Write the manifest of a backbone that a user brings.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Add {
    /// The network
    #[arg(value_name = "FILE.onnx", value_hint = ValueHint::FilePath)]
    pub network: PathBuf,
    /// Where the network is from: keras-resnet50v2, keras-mobilenetv2, torchvision, ... (--like help lists them)
    #[arg(long, value_name = "FAMILY")]
    pub like: String,
    /// Node or tensor to cut at [default: where the family's networks end in features]
    #[arg(long, value_name = "NODE")]
    pub cut: Option<String>,
    /// Manifest to write [default: FILE.toml]
    #[arg(short, long, value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}
