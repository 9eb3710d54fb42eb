//! The arguments of `arcticd backbone add`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// Write the manifest of a backbone that a user brings.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    after_help = "Examples:\n  arcticd backbone add resnet50v2.onnx --like keras-resnet50v2\n  arcticd backbone add --like help                   what it may be like"
)]
pub struct Add {
    /// The network
    #[arg(value_name = "FILE.onnx", value_hint = ValueHint::FilePath)]
    pub network: Option<PathBuf>,
    /// Where the network is from: keras-resnet50v2, keras-mobilenetv2, torchvision, ... (--like help lists them)
    #[arg(long, value_name = "FAMILY")]
    pub like: String,
    /// Node or tensor to cut at [default: where the family's networks end in features]
    #[arg(long, value_name = "NODE")]
    pub cut: Option<String>,
    /// How a feature map becomes a vector [default: its average, or what the network itself does with it]
    #[arg(long, value_name = "HOW")]
    pub pooling: Option<MapPooling>,
    /// Manifest to write, beside the network [default: FILE.toml]
    #[arg(short, long, value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// How a feature map becomes a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MapPooling {
    /// The mean over rows and columns
    Average,
    /// All values, as the transfer-learning tutorial takes them
    Flatten,
}
