//! `arcticd backbone add`: the manifest of a backbone that a user brings.

use anyhow::{Result, bail};

use crate::cli::Add;
use crate::exit_code::ExitCode;

/// Runs the command.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn run(_call: &Add) -> Result<ExitCode> {
    bail!("not built yet")
}
