//! The arguments of `arcticd replay`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Say what the daemon would have published for a card full of frames.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Replay {
    /// The card, or a folder of frames; searched with all its sub-folders
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
    /// Write MegaDetector's batch format 1.6 (Timelapse, AddaxAI)
    #[arg(long, value_name = "FILE.json", value_hint = ValueHint::FilePath)]
    pub megadetector: Option<PathBuf>,
    /// Write a Camtrap DP 1.0 package (GBIF) into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub camtrap_dp: Option<PathBuf>,
    /// Print detections as JSON, an object a line
    #[arg(long)]
    pub json: bool,
}
