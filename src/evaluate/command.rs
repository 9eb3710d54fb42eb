//! `arcticd eval`: labelled photos in, figures out.

use anyhow::{Result, bail};

use crate::cli::Eval;
use crate::exit_code::ExitCode;

/// Runs the command.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn run(_call: &Eval) -> Result<ExitCode> {
    bail!("not built yet")
}
