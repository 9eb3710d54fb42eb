//! `arcticd train`: photos in, head and report out.

use anyhow::{Result, bail};

use crate::cli::Train;
use crate::exit_code::ExitCode;

/// Runs the command.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn run(_call: &Train) -> Result<ExitCode> {
    bail!("not built yet")
}
