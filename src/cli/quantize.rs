//! The arguments of `arcticd backbone quantize`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

const LONG_HELP_END: &str = "\
The float network is ONNX, f32, one input: a picture [1,3,H,W] or [1,H,W,3]. The result is standard ONNX with
QuantizeLinear and DequantizeLinear nodes (weights int8 a channel, activations uint8 a tensor), cut at the feature map,
and a manifest OUT.toml beside it. Heads have to be trained again on the quantized backbone: its digest is another.

Exit codes: 0 done; 1 failed; 2 usage; 3 done, but some photos could not be read.

Example:
  arcticd backbone quantize mobilenet.onnx --calibrate photos/ -o mobilenet-int8.onnx";

/// Make an int8 backbone of a float one.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_long_help = LONG_HELP_END)]
pub struct Quantize {
    /// The float network
    #[arg(value_name = "FLOAT.onnx", value_hint = ValueHint::FilePath)]
    pub network: PathBuf,
    /// Folder of photos like those the network will see; searched with all its sub-folders
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub calibrate: PathBuf,
    /// File to write; its manifest goes beside it as .toml
    #[arg(short, long, value_name = "OUT.onnx", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// Manifest of the float network [default: FLOAT.toml, unless the flags below say it all]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub manifest: Option<PathBuf>,
    /// Without a manifest: sides of the square input, in pixels (16 to 1024)
    #[arg(long, value_name = "PIXELS", conflicts_with = "manifest")]
    pub size: Option<u32>,
    /// Without a manifest: symmetric (-1 to 1), zero_to_one, torch, caffe or caffe_over255
    #[arg(long, value_name = "RECIPE", conflicts_with = "manifest")]
    pub preprocessing: Option<String>,
    /// Without a manifest: node or tensor that makes the features [default: the network's output]
    #[arg(long, value_name = "NODE", conflicts_with = "manifest")]
    pub cut: Option<String>,
    /// Photos to calibrate on, at most (1 to 10000), spread evenly over the folder
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub photos: u32,
    /// How the range of a tensor's 256 levels is chosen; auto tries all and takes the best
    #[arg(long, value_enum, value_name = "METHOD", default_value_t = RangeMethod::Auto)]
    pub method: RangeMethod,
    /// Do not try cross-layer equalization
    #[arg(long)]
    pub no_equalize: bool,
    /// Do not try bias correction
    #[arg(long)]
    pub no_bias_correction: bool,
    /// Store weights as int8 and compute in floats: a file four times smaller, not faster
    #[arg(long, conflicts_with_all = ["method", "no_equalize", "no_bias_correction"])]
    pub weights_only: bool,
    /// A head (a directory with manifest.json and head.onnx) whose verdicts on both networks are compared
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub head: Option<PathBuf>,
    /// Print the report as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// How ranges are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RangeMethod {
    /// The best of all
    Auto,
    /// All values seen
    Minmax,
    /// The best of 99.9, 99.99 and 99.999 percent of them
    Percentile,
    /// The smallest mean-square error of rounding and clipping
    Mse,
}
