//! What the daemon would have published for a card full of frames, and the same in the formats of other tools. At a desk.

use std::path::Path;

use anyhow::{Result, bail};

use crate::cli::Replay;
use crate::config::Config;
use crate::exit_code::ExitCode;

/// Runs the command.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn run(_config: &Config, call: &Replay) -> Result<ExitCode> {
    let _: &Path = &call.directory;
    bail!("not built yet")
}
