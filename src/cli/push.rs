//! The arguments of `arcticd head push` and `arcticd head clear`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::accept::Scope;
use crate::config;

const AFTER_LONG_HELP: &str = "\
The head stays on the broker (retained messages) until a later push replaces it
or `arcticd head clear` takes it back: a trap that wakes up next week finds it
with this machine switched off. What a push that was interrupted has brought to
the broker is not sent again.

Examples:
  arcticd head push bears.head --trap mast-3 --broker mqtts://broker.example
  arcticd head push bears.head --group coast --config push.toml --dry-run
  arcticd head push bears.head --trap mast-3,mast-4 --until active --wait 86400

Exit codes: 0 every trap took it, 3 some did not, or were not heard of in time,
1 none did, or the broker can't be reached. With --dry-run: 0 every known trap
would take it, else 3.";

/// Push a head to traps over MQTT, and wait for what they make of it.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_long_help = AFTER_LONG_HELP)]
pub struct Push {
    /// The signed head
    #[arg(value_name = "NAME.head", value_hint = ValueHint::FilePath)]
    pub head: PathBuf,
    /// For whom.
    #[command(flatten)]
    pub targets: Targets,
    /// Say what would be published and which traps would take it; publish nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Push also to traps that say beforehand that they will refuse it, or have decided already
    #[arg(long)]
    pub force: bool,
    /// What counts as taken
    #[arg(long, value_enum, value_name = "STATE", default_value_t = Until::Trial)]
    pub until: Until,
    /// Seconds to wait for the traps; 0: publish and leave
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(0..=31_536_000))]
    pub wait: u64,
    /// Print one JSON object at the end; everything else goes to standard error
    #[arg(long)]
    pub json: bool,
    /// Which broker. Last, for the heading of its flags stands above all that follow.
    #[command(flatten)]
    pub broker: BrokerFlags,
}

/// Take a head that was pushed off the broker again.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "Example:\n  arcticd head clear --trap mast-3 --broker mqtts://broker.example")]
pub struct Clear {
    /// For whom.
    #[command(flatten)]
    pub targets: Targets,
    /// Which broker.
    #[command(flatten)]
    pub broker: BrokerFlags,
}

/// Traps and groups, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(required = true, multiple = true)]
pub struct Targets {
    /// This trap; may be given several times, or names separated by commas
    #[arg(long, value_name = "TRAP", value_delimiter = ',', value_parser = trap)]
    pub trap: Vec<String>,
    /// All traps of this group; likewise
    #[arg(long, value_name = "GROUP", value_delimiter = ',', value_parser = group)]
    pub group: Vec<String>,
}

/// How the broker is reached, over what `[mqtt]` in the file after --config says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Broker (over [mqtt] of --config FILE)")]
pub struct BrokerFlags {
    /// mqtts://host:8883, or mqtt://host:1883 without encryption
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// First level of all topics [default: arcticd]
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    pub prefix: Option<String>,
    /// User name
    #[arg(long, value_name = "USER")]
    pub username: Option<String>,
    /// File with the password, readable by you alone
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
    /// Certificate authority of the broker (PEM) instead of the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,
    /// Client certificate (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cert_file: Option<PathBuf>,
    /// The client certificate's private key (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
}

/// What counts as taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// It judges frames beside the head in service
    Trial,
    /// It is in service alone; that takes as many frames as the trap's configuration says
    Active,
}

impl Targets {
    /// Each once, traps first.
    pub fn scopes(&self) -> Vec<Scope> {
        let traps = self.trap.iter().cloned().map(Scope::Trap);
        let mut scopes: Vec<Scope> = traps.chain(self.group.iter().cloned().map(Scope::Group)).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }
}

// What is given here is what traps are configured with, by the same rules: nothing that means more than itself in a topic.

fn trap(text: &str) -> Result<String, String> {
    config::allows("trap", text).map(|()| text.to_owned())
}

fn group(text: &str) -> Result<String, String> {
    config::allows("groups", text).map(|()| text.to_owned())
}

fn prefix(text: &str) -> Result<String, String> {
    config::allows("mqtt.prefix", text).map(|()| text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_trap_and_group_is_a_target_once() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let targets = Targets { trap: names(&["b", "a", "b"]), group: names(&["a"]) };
        assert_eq!(targets.scopes(), [Scope::Trap("a".into()), Scope::Trap("b".into()), Scope::Group("a".into())]);
    }

    #[test]
    fn a_name_can_not_reach_beyond_its_level_of_the_topic() {
        for name in [trap, group] {
            assert_eq!(name("mast-3").unwrap(), "mast-3");
            for wrong in ["", "+", "#", "a/b", "A", "a_b", "ø", "a b"] {
                assert!(name(wrong).is_err(), "{wrong}");
            }
        }
        assert_eq!(prefix("field_1").unwrap(), "field_1");
        for wrong in ["", "a/b", "+", "A"] {
            assert!(prefix(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_reserved_is_so_in_the_configuration_and_here() {
        for name in ["group", "fleet"] {
            assert!(trap(name).unwrap_err().contains("reserved"));
            assert_eq!(
                config::from_text("a.toml".as_ref(), &format!("groups = [{name:?}]")).is_ok(),
                group(name).is_ok()
            );
        }
    }
}
