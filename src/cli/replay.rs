//! The arguments of `arcticd replay`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use crate::config::{LocationPolicy, Position};
use crate::replay::Shard;

const AFTER_LONG_HELP: &str = "\
Nothing on the card, no journal and no running daemon is touched, and no broker
is needed. Thresholds, gap, policy and trap name are those of the configuration.

An archive of millions of frames is divided among machines: each looks at one
shard and writes what it saw, and a merge of all these files says what a single
run would have said (docs/replay.md has Slurm and Kubernetes).

Examples:
  arcticd replay /media/card                       what the daemon would have said
  arcticd replay /media/card --json                the same messages, one a line
  arcticd replay card --megadetector card/md.json  for Timelapse and AddaxAI
  arcticd replay card --camtrap-dp package \\
      --location 78.92,11.93 --location-policy rounded --utc-offset +01:00
  arcticd replay archive --shard 3/8 -o 3.shard    the third of eight parts
  arcticd replay --merge *.shard --json            what all eight say together

Exit codes: 0 all frames were looked at, 3 some files failed, 1 none could be
looked at, or it was interrupted. A shard whose files all failed ends with 3: it
is done.";

/// What a shard does not write: a merge does.
const OUTPUTS: [&str; 5] = ["json", "megadetector", "camtrap_dp", "utc_offset", "made_at"];

/// What a merge takes from the shards.
const LOOKING: [&str; 7] = ["directory", "shard", "head", "backbone", "threads", "location", "location_policy"];

/// Say what the daemon would have published for a card full of frames.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(after_long_help = AFTER_LONG_HELP)]
pub struct Replay {
    /// The card, or a folder of frames; searched with all its sub-folders, the first of which names the camera
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath, required_unless_present = "merge")]
    pub directory: Option<PathBuf>,
    /// Write MegaDetector's batch format 1.6 (Timelapse, AddaxAI)
    #[arg(long, value_name = "FILE.json", value_hint = ValueHint::FilePath)]
    pub megadetector: Option<PathBuf>,
    /// Write a Camtrap DP 1.0 package (GBIF) into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub camtrap_dp: Option<PathBuf>,
    /// Print the messages as JSON, an object a line; the summary goes to standard error
    #[arg(long)]
    pub json: bool,
    /// Head to look with instead of the configured one: `builtin` or a path
    #[arg(long, value_name = "HEAD", value_hint = ValueHint::AnyPath)]
    pub head: Option<String>,
    /// Backbone to look with instead of the configured one: `builtin` or a manifest
    #[arg(long, value_name = "BACKBONE", value_hint = ValueHint::AnyPath)]
    pub backbone: Option<String>,
    /// Frames looked at side by side [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Where the cameras stood, degrees north and east, for frames without a GPS position
    #[arg(long, value_name = "LAT,LON", value_parser = position, allow_hyphen_values = true)]
    pub location: Option<Position>,
    /// How much of a position is written, instead of alerts.location_policy
    #[arg(long, value_name = "POLICY")]
    pub location_policy: Option<Policy>,
    /// Look at one of N parts of the archive alone and write what is seen for a merge: 1/8, ..., 8/8
    #[arg(long, value_name = "I/N", requires = "output", conflicts_with_all = OUTPUTS)]
    pub shard: Option<Shard>,
    /// Where a shard is written
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "shard")]
    pub output: Option<PathBuf>,
    /// Put together what all shards of an archive saw, instead of looking; rules and positions are theirs
    #[arg(long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath, conflicts_with_all = LOOKING)]
    pub merge: Vec<PathBuf>,
    /// Write this moment wherever the results say when they were made (RFC 3339), and 0 for how long a frame took: the
    /// same frames then give the same bytes
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub made_at: Option<OffsetDateTime>,
    /// What the cameras' clocks show beside UTC, for cameras that do not write it (Camtrap DP)
    #[arg(long, value_name = "+HH:MM", value_parser = utc_offset, allow_hyphen_values = true)]
    pub utc_offset: Option<UtcOffset>,
}

/// How much of a position is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// As measured
    Exact,
    /// To a tenth of a degree
    Rounded,
    /// Not at all
    Omitted,
}

impl From<Policy> for LocationPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Exact => Self::Exact,
            Policy::Rounded => Self::Rounded,
            Policy::Omitted => Self::Omitted,
        }
    }
}

fn position(text: &str) -> Result<Position, String> {
    let degrees = |part: &str, limit: f64| part.trim().parse().ok().filter(|value: &f64| value.abs() <= limit);
    let parts = text.split_once(',').and_then(|(north, east)| Some((degrees(north, 90.0)?, degrees(east, 180.0)?)));
    let (latitude, longitude) =
        parts.ok_or("give degrees north (-90 to 90) and east (-180 to 180), as in 78.92,11.93")?;
    Ok(Position { latitude, longitude })
}

fn utc_offset(text: &str) -> Result<UtcOffset, String> {
    let text = if text == "Z" { "+00:00" } else { text };
    UtcOffset::parse(text, format_description!("[offset_hour sign:mandatory]:[offset_minute]"))
        .map_err(|_| "give hours and minutes east of Greenwich with their sign, as in +01:00".to_owned())
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "give a moment as in 2026-11-28T12:00:00Z".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_two_numbers_on_earth() {
        assert_eq!(position("-78.9, 11.93").unwrap(), Position { latitude: -78.9, longitude: 11.93 });
        for wrong in ["", "78.9", "91,0", "0,181", "NaN,0", "inf,1", "a,b", "1,2,3"] {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_offset_has_a_sign() {
        assert_eq!(utc_offset("+01:00").unwrap(), UtcOffset::from_hms(1, 0, 0).unwrap());
        assert_eq!(utc_offset("-03:30").unwrap(), UtcOffset::from_hms(-3, -30, 0).unwrap());
        assert_eq!(utc_offset("Z").unwrap(), UtcOffset::UTC);
        for wrong in ["", "1", "01:00", "+1", "CET", "+99:00"] {
            assert!(utc_offset(wrong).is_err(), "{wrong}");
        }
    }
}
