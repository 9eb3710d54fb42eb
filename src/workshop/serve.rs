//! `arcticd backbone bench --serve`: a process that classifies on request, so that others can be timed beside it.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::backbone;
use crate::exit_code::ExitCode;

/// Most runs that a line may ask for.
const MOST: usize = 100_000;

/// Reads a number a line; answers with that many times in milliseconds, each from pixels to features. Ends with the input.
///
/// # Errors
/// The backbone can't be loaded or run, or a line is no number.
pub fn run(path: Option<&Path>, float: bool) -> Result<ExitCode> {
    let backbone = backbone(path, float)?;
    let picture = backbone.probe();
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line.context("standard input")?;
        let count = line.trim().parse().with_context(|| format!("`{line}` is no number of runs"))?;
        if count > MOST {
            bail!("{count} runs are more than {MOST}");
        }
        let mut times = Vec::new();
        for _ in 0..count {
            let start = Instant::now();
            std::hint::black_box(backbone.features_of_input(&picture)?);
            times.push(format!("{:.4}", start.elapsed().as_secs_f64() * 1000.0));
        }
        writeln!(out, "{}", times.join(" ")).and_then(|()| out.flush()).context("standard output")?;
    }
    Ok(ExitCode::Ok)
}
