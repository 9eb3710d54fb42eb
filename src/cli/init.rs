//! The arguments of `arcticd init`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::config::{LocationPolicy, Position};

const AFTER_LONG_HELP: &str = "\
On a terminal, init asks for what the flags leave open. Elsewhere it takes
flags alone and says which are missing. Each answer is tried as `arcticd
check` would; nothing is started or enabled.

Examples:
  sudo arcticd init
  sudo arcticd init --trap mast-3 --capture /srv/captures \\
      --broker mqtts://broker.example --username mast-3 \\
      --password-file /etc/arcticd/mqtt_password --location-policy omitted

Exit codes: 0 written, 1 not written, 2 flags are missing or wrong.";

/// Write a configuration by five questions, or from flags, and try it.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(after_long_help = AFTER_LONG_HELP)]
pub struct Init {
    /// Name of this trap, [a-z0-9-]+
    #[arg(long, value_name = "NAME")]
    pub trap: Option<String>,
    /// Directory that the camera writes into
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub capture: Option<PathBuf>,
    /// mqtt://HOST[:PORT], mqtts://HOST[:PORT] for TLS, or none: alerts as JSON lines on standard output
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// User name at the broker
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// File with the password at the broker, one line, not readable by everyone
    #[arg(long, value_name = "FILE", requires = "username", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
    /// PEM file with the broker's certificate authority
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,
    /// What is published of positions
    #[arg(long, value_name = "POLICY")]
    pub location_policy: Option<Policy>,
    /// Where the trap stands, in degrees, for frames without GPS; needs a policy other than omitted
    #[arg(long, value_name = "LATITUDE,LONGITUDE", value_parser = position, allow_hyphen_values = true)]
    pub location: Option<Position>,
    /// Delete frames so many days after they were looked at, and sooner when the card is full [default: they stay]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=3650))]
    pub retention: Option<u64>,
    /// Configuration to write [default: that of --config, else /etc/arcticd/arcticd.toml]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// systemd drop-in to write if the unit can't reach the capture directory without; - prints it [default:
    /// /etc/systemd/system/arcticd.service.d/capture.conf with the default configuration, else -]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub drop_in: Option<PathBuf>,
    /// Ask nothing: take the defaults, create the capture directory if there is none
    #[arg(short, long)]
    pub yes: bool,
    /// Write over files that are there
    #[arg(long)]
    pub force: bool,
    /// Write even if the broker can't be reached from here
    #[arg(long)]
    pub untested: bool,
}

/// [`LocationPolicy`], as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// Positions stay on the trap
    Omitted,
    /// To a tenth of a degree
    Rounded,
    /// As measured
    Exact,
}

impl From<Policy> for LocationPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Omitted => Self::Omitted,
            Policy::Rounded => Self::Rounded,
            Policy::Exact => Self::Exact,
        }
    }
}

/// `78.2232,15.6267` as a position; north and east are positive.
///
/// # Errors
/// Says what a position looks like.
pub fn position(text: &str) -> Result<Position, String> {
    let degrees = |text: &str, most: f64| text.trim().parse().ok().filter(|degrees: &f64| degrees.abs() <= most);
    let (latitude, longitude) = text.split_once(',').unwrap_or((text, ""));
    match (degrees(latitude, 90.0), degrees(longitude, 180.0)) {
        (Some(latitude), Some(longitude)) => Ok(Position { latitude, longitude }),
        _ => Err("write degrees north, a comma, degrees east: 78.2232,15.6267".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_two_numbers_of_degrees_on_this_globe() {
        assert_eq!(position("78.2232, 15.6267"), Ok(Position { latitude: 78.2232, longitude: 15.6267 }));
        assert_eq!(position("-54,-36.5"), Ok(Position { latitude: -54.0, longitude: -36.5 }));
        for wrong in ["", "78", "78,", ",15", "91,0", "0,181", "nan,0", "inf,0", "78 15", "78,15,3", "N78,E15"] {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }
}
