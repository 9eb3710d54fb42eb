//! `arcticd head`: keys, signing, inspection, heads from outside.

use anyhow::{Result, bail};

use crate::cli::HeadCommand;
use crate::exit_code::ExitCode;

/// Runs the command.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn run(call: &HeadCommand) -> Result<ExitCode> {
    match call {
        HeadCommand::Pack(call) => super::pack::run(call),
        HeadCommand::NewKey(_) | HeadCommand::Sign(_) | HeadCommand::Inspect(_) => {
            bail!("not built yet")
        }
    }
}
