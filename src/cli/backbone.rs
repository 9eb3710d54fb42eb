//! The arguments of `arcticd backbone`; those of `quantize` have a file of their own.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::Quantize;

/// What is done with a backbone at a desk.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum BackboneCommand {
    /// List node by node what runs on integer kernels, what in tract, and why
    #[command(
        after_help = "Examples:\n  arcticd backbone inspect                          the built-in one\n  arcticd backbone inspect mobilenet-int8.toml"
    )]
    Inspect {
        /// Its manifest (a .toml file); the built-in backbone without
        #[arg(value_name = "BACKBONE", value_hint = ValueHint::FilePath)]
        backbone: Option<PathBuf>,
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Time it here: quantized and float in one run, one thread; start-up and memory of a process
    #[command(
        after_help = "Examples:\n  arcticd backbone bench                            the built-in one\n  arcticd backbone bench mobilenet-int8.toml --json"
    )]
    Bench {
        /// Its manifest (a .toml file); the built-in backbone without
        #[arg(value_name = "BACKBONE", value_hint = ValueHint::FilePath)]
        backbone: Option<PathBuf>,
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
        /// Rounds of three quantized and one float run
        #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rounds: u32,
        /// Answer each number on standard input with the times of that many runs
        #[arg(long, hide = true)]
        serve: bool,
        /// With --serve: in f32, without the quantizers
        #[arg(long, hide = true, requires = "serve")]
        float: bool,
    },
    /// Print the features of photos, bit for bit, an object a line: to compare one machine with another
    #[command(after_help = "Example:\n  arcticd backbone features frame.jpg")]
    Features {
        /// Photos
        #[arg(value_name = "IMAGE", required = true, value_hint = ValueHint::FilePath)]
        images: Vec<PathBuf>,
        /// Manifest of the backbone (a .toml file); the built-in one without
        #[arg(long, value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
        backbone: Option<PathBuf>,
        /// Write what the network is shown into this folder too, as NUMBER.bmp, counted from 1
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        pixels: Option<PathBuf>,
    },
    /// Make an int8 backbone of a float one, calibrated on photos
    Quantize(Box<Quantize>),
    /// Write the manifest of a network that you bring
    Add(Add),
}

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
