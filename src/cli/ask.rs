//! The arguments of `arcticd head ask`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::push::{BrokerFlags, Targets};
use crate::accept::ask::{MAX_FRAMES, MAX_HEADS};
use crate::frame::ContentHash;
use crate::journal::Which;

const AFTER_LONG_HELP: &str = "\
A request is signed, and counts once: traps take it only if its sequence is
above the last one of its kind. Without --sequence it is the next one after
what the traps say. Requests are not retained: a trap that is away gets them
when it returns, if its broker keeps sessions.

Examples:
  arcticd head ask features --where unsure --limit 20 -o look/ --trap mast-3 --key me.key
  arcticd head ask labels labels.csv --trap mast-3 --key me.key
  arcticd head ask refit --trap mast-3 --key me.key
  arcticd head ask forget 5c1f0a9b... --group coast --key me.key

Exit codes: 0 every trap did it, 3 some did not, or did not answer in time, 1
none did, or the broker can't be reached.";

/// Ask traps for something, signed, and wait for their answers.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_long_help = AFTER_LONG_HELP)]
pub struct AskCall {
    /// For what.
    #[command(subcommand)]
    pub what: AskWhat,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum AskWhat {
    /// Tell traps what is on frames whose features they keep
    #[command(after_help = "Example:\n  arcticd head ask labels labels.csv --trap mast-3 --key me.key")]
    Labels {
        /// A line a frame: its sha256 and its label, separated by a comma, a semicolon or white space
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Whom, and how.
        #[command(flatten)]
        way: AskWay,
    },
    /// Let traps fit a head on their labelled frames, and try it if it is not worse than theirs
    #[command(after_help = "Example:\n  arcticd head ask refit --trap mast-3 --key me.key")]
    Refit {
        /// Whom, and how.
        #[command(flatten)]
        way: AskWay,
    },
    /// Get the features of frames, so that a head can be trained without their photos
    #[command(
        after_help = "Example:\n  arcticd head ask features --where unsure --limit 20 -o look/ --trap mast-3 --key me.key"
    )]
    Features {
        /// Of these frames: sha256 of the file, as in a detection; several separated by commas
        #[arg(long, value_name = "SHA256", value_delimiter = ',', num_args = 1..=MAX_FRAMES, conflicts_with = "which")]
        frame: Vec<ContentHash>,
        /// Of frames without a label that the trap chooses
        #[arg(long = "where", id = "which", value_name = "KIND", value_parser = which, required_unless_present = "frame")]
        which: Option<Which>,
        /// How many of those
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=MAX_FRAMES as i64))]
        limit: u32,
        /// Folder for a JSON file a frame; without, they are printed, a line each
        #[arg(short, long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        output: Option<PathBuf>,
        /// Whom, and how.
        #[command(flatten)]
        way: AskWay,
    },
    /// Take heads out of service, for ever
    #[command(after_help = "Example:\n  arcticd head ask forget 5c1f0a9b... --group coast --key me.key")]
    Forget {
        /// Ids of the heads, as on head/state and in `arcticd head inspect`
        #[arg(value_name = "ID", required = true, num_args = 1..=MAX_HEADS)]
        heads: Vec<ContentHash>,
        /// Whom, and how.
        #[command(flatten)]
        way: AskWay,
    },
}

/// Whom a request goes to, and how it is signed.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AskWay {
    /// For whom.
    #[command(flatten)]
    pub targets: Targets,
    /// The secret key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: PathBuf,
    /// Read the key's password from the first line of a file instead of asking
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key_password_file: Option<PathBuf>,
    /// The request's number [default: one above the traps' last of this kind]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub sequence: Option<u64>,
    /// Seconds to wait for the traps; 0: publish and leave
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(0..=31_536_000))]
    pub wait: u64,
    /// Which broker.
    #[command(flatten)]
    pub broker: BrokerFlags,
}

fn which(text: &str) -> Result<Which, String> {
    match text {
        "novel" => Ok(Which::Novel),
        "alert" => Ok(Which::Alert),
        "unsure" => Ok(Which::Unsure),
        _ => Err("novel, alert or unsure".into()),
    }
}

impl AskWhat {
    /// Whom it goes to, and how.
    pub fn way(&self) -> &AskWay {
        match self {
            Self::Labels { way, .. } | Self::Refit { way } | Self::Features { way, .. } | Self::Forget { way, .. } => {
                way
            }
        }
    }
}
