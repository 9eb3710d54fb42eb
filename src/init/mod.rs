//! `arcticd init`: from five answers to a configuration that was tried, before it is written.
//!
//! * `answers` takes them from flags, or asks (`terminal`) and holds each against the loader and the stages of
//!   [`crate::check`] at once.
//! * `template` puts them into the example that documents every key.
//! * `unit` is what systemd has to be told of the capture directory; [`crate::account`] what the daemon's user may read.
//! * `place` writes, and never over what somebody wrote.
//!
//! Nothing is started or enabled: the commands for that are printed.

mod answers;
mod place;
mod template;
mod terminal;
pub(crate) mod unit;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use answers::Answers;
use place::StagedSecret;
pub use template::unconfigured;
use terminal::Terminal;

use crate::account;
use crate::check::{self, Report};
use crate::cli::Init;
use crate::config::{self, Config, DEFAULT_PATH};
use crate::exit_code::ExitCode;
use crate::terminal::{complain, print};

/// Asks, tries, writes, and says what is left to do.
///
/// # Errors
/// A file can't be written or is there already, a test failed, or the person at the terminal stopped. Nothing is written
/// then, save where the disk fails between two files.
pub fn run(call: &Init) -> Result<ExitCode> {
    let asking = io::stdin().is_terminal() && !call.yes;
    if !asking && let Some(missing) = answers::missing(call) {
        complain(missing);
        return Ok(ExitCode::Usage);
    }
    let output = absolute(call.output.as_deref().unwrap_or(Path::new(DEFAULT_PATH)))?;
    place::prepare(&output, call.force)?;
    let drop_in = drop_in_path(call, &output)?;
    let mut answered =
        if asking { answers::asked(call, &output, &mut Terminal)? } else { answers::from_flags(call, &output)? };
    let config = answered.config(&output)?;
    let drop_in = unit::drop_in(&config.capture)?.map(|text| (drop_in, text));
    if let Some((Some(path), text)) = &drop_in {
        place::prepare_drop_in(path, text, call.force)?;
    }
    if asking && !Terminal.yes(&format!("Write {}?", output.display()))? {
        bail!("stopped; nothing was written");
    }
    let text = answered.text(&output)?;
    let warnings = config::from_text(&output, &text)?.warnings;
    write(&output, &text, answered.secret.take(), drop_in.as_ref())?;
    let stale = drop_in.is_none() && call.drop_in.is_none() && output == Path::new(DEFAULT_PATH);
    let removed = stale && place::remove_drop_in(Path::new(unit::DROP_IN))?;
    let remarks = account::remarks(&config, drop_in.is_some() && account::in_a_home(&config.capture.directory));
    warnings.iter().chain(&remarks).try_for_each(|remark| print(&format!("note: {remark}")))?;
    print(&unit::next_steps(&output, removed || matches!(drop_in, Some((Some(_), _)))))?;
    Ok(ExitCode::Ok)
}

/// Whether the file at `path` is still the one that packages install: there is nothing in it that somebody wants.
pub fn is_untouched(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| unconfigured().is_ok_and(|packaged| packaged == text))
}

/// The configuration last: with it everything that it names is in place.
fn write(
    output: &Path,
    text: &str,
    secret: Option<StagedSecret>,
    drop_in: Option<&(Option<PathBuf>, String)>,
) -> Result<()> {
    match drop_in {
        Some((Some(path), text)) => {
            place::write(path, text)?;
            print(&format!("wrote {}: systemd lets the daemon reach the capture directory", path.display()))?;
        }
        Some((None, text)) => {
            print(&format!(
                "systemd needs this to let the daemon reach the capture directory; put it into {}:\n\n{text}",
                unit::DROP_IN
            ))?;
        }
        None => {}
    }
    if let Some(secret) = secret {
        print(&format!("wrote {}", secret.keep()?))?;
    }
    place::write(output, text)?;
    print(&format!("wrote {}", output.display()))
}

/// Where the drop-in goes, should one be needed; none: to standard output.
fn drop_in_path(call: &Init, output: &Path) -> Result<Option<PathBuf>> {
    match call.drop_in.as_deref() {
        Some(path) if path == Path::new("-") => Ok(None),
        Some(path) => absolute(path).map(Some),
        // A configuration that the unit does not read must not change the unit.
        None => Ok((output == Path::new(DEFAULT_PATH)).then(|| unit::DROP_IN.into())),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{}: no absolute path can be made of it", path.display()))
}

/// The directory as `arcticd check` tries it; whether it is good.
fn try_capture(config: &Config) -> Result<bool> {
    Report::new(false).say("capture", check::capture(config))
}

/// The broker as `arcticd check` tries it; whether all stages are good.
fn try_broker(config: &Config) -> Result<bool> {
    let mut report = Report::new(false);
    check::broker(config, &mut report)?;
    Ok(!report.failed())
}

/// What the loader has against `text`, as sentences about keys alone: there is no file yet that a line could be found in.
fn objections(output: &Path, text: &str) -> Result<Config, Vec<(String, String)>> {
    match config::from_text(output, text) {
        Ok(loaded) => Ok(loaded.config),
        Err(error) => {
            let list = error.problems().iter();
            Err(list.map(|problem| (problem.key.clone(), format!("`{}` {}", problem.key, problem.message))).collect())
        }
    }
}
