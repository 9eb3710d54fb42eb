//! The arguments of `arcticd eval`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Measure a head on labelled photos.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(
    after_help = "Examples:\n  arcticd eval photos/test --head svalbard.head\n  arcticd eval photos/test --head svalbard.head --require recall>=0.99"
)]
pub struct Eval {
    /// Folders of photos: DIR/LABEL/
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
    /// A .head file or a head's directory; the built-in head without
    #[arg(long, value_name = "HEAD", value_hint = ValueHint::AnyPath)]
    pub head: Option<PathBuf>,
    /// Manifest of the backbone (a .toml file); the built-in backbone without
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub backbone: Option<PathBuf>,
    /// Exit with 1 unless this holds: balanced_accuracy>=0.95, recall>=0.99, false_alert_rate<=0.001 ...
    #[arg(long, value_name = "CONDITION")]
    pub require: Vec<crate::evaluate::Requirement>,
    /// Folder that keeps features between runs [default: below the user's cache folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}
