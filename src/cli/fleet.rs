//! The arguments of `arcticd fleet`.

use clap::Args;

use super::BrokerFlags;

const AFTER_LONG_HELP: &str = "\
Read from what traps have left with the broker (availability, health and
head/state, retained); no trap is asked or disturbed. SEEN is the age of the last
heartbeat and FRAME that of the last frame, both by the trap's own clock.

Examples:
  arcticd fleet --broker mqtts://broker.example --username console \\
      --password-file pw
  arcticd fleet --config push.toml --watch
  arcticd fleet --config push.toml --json | jq -r 'select(.state==\"offline\").trap'

Exit codes: 0 the table was printed, 3 some traps have left something that can't
be read, 1 all have, or none has left anything, or the broker can't be reached.";

/// Print a table of all traps, from what the broker knows of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(after_long_help = AFTER_LONG_HELP)]
pub struct Fleet {
    /// Print one JSON object a trap
    #[arg(long)]
    pub json: bool,
    /// Go on, until interrupted: on a terminal the table is drawn anew, elsewhere traps are printed again as they change
    #[arg(long)]
    pub watch: bool,
    /// Which broker.
    #[command(flatten)]
    pub broker: BrokerFlags,
}
