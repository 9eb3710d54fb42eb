//! The arguments of `arcticd train`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Train a head on folders of photos.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(
    after_help = "Examples:\n  arcticd train photos/ -o svalbard.head\n  arcticd train photos/ -o svalbard.head --backbone resnet50v2-int8.toml --layers mlp:256"
)]
pub struct Train {
    /// Folders: DIR/train/LABEL/ and, if there is one, DIR/test/LABEL/; or DIR/LABEL/
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
    /// Head to write; NAME.report.html and NAME.report.json go beside it
    #[arg(short, long, value_name = "NAME.head", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// Manifest of the backbone (a .toml file); the built-in backbone without
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub backbone: Option<PathBuf>,
    /// Layers: linear, or mlp:N (Dense(N, relu), Dense(classes, softmax), as the tutorial with mlp:1024)
    #[arg(long, value_name = "LAYERS", default_value = "linear")]
    pub layers: crate::train::Layers,
    /// Train on the whole feature map instead of its mean (Keras' Flatten)
    #[arg(long)]
    pub flatten: bool,
    /// Passes over the photos (mlp)
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub epochs: u32,
    /// Photos a step (mlp)
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: u32,
    /// Changed views a photo, beside the photo itself: mirrored, cropped, re-lit, gray as under infrared
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub views: u32,
    /// Everything drawn at random follows from it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Folds of the cross-validation
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=20))]
    pub folds: u32,
    /// Labels that alert, separated by commas [default: polar_bear, if there is such a folder]
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub alert: Vec<String>,
    /// Choose the alert's threshold so that this share of its photos is found (0 to 1) [default: 0.95]
    #[arg(long, value_name = "SHARE", conflicts_with = "max_false_alerts")]
    pub min_recall: Option<f64>,
    /// Choose the alert's threshold so that there are at most so many false alerts: a share (0.001), or COUNT/day with --frames-per-day
    #[arg(long, value_name = "RATE")]
    pub max_false_alerts: Option<crate::train::FalseAlerts>,
    /// Frames a trap takes a day, for --max-false-alerts COUNT/day
    #[arg(long, value_name = "N")]
    pub frames_per_day: Option<f64>,
    /// Do not add the packaged background features when there is no background folder
    #[arg(long)]
    pub no_background: bool,
    /// Name of the head, [a-z0-9.-]+ [default: from NAME.head]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Version for people [default: today's date]
    #[arg(long, value_name = "TEXT")]
    pub head_version: Option<String>,
    /// Counts the releases of this head: traps take none below the one they have [default: one above that of the head
    /// that is replaced, else 1]
    #[arg(long, value_name = "N")]
    pub sequence: Option<u64>,
    /// Folder that keeps features between runs [default: below the user's cache folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// Sign the head with this secret key at once, as `head sign` does
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
    /// With --key: file whose first line is the key's password
    #[arg(long, value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
    /// Print the report as one JSON object
    #[arg(long)]
    pub json: bool,
}
