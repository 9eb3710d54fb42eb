//! `arcticd backbone bench`: how fast this backbone is here, quantized and float, in one run.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::backbone;
use crate::exit_code::ExitCode;
use crate::frame::Pixels;
use crate::model::Backbone;
use crate::terminal;

/// Times are medians in milliseconds, one thread, from pixels of the input's size to features.
#[derive(Debug, Serialize)]
struct Report {
    backbone: String,
    kernels: &'static str,
    rounds: usize,
    /// The same network with its quantizers taken out, in tract.
    f32_ms: f64,
    /// As it runs in the daemon; absent if the network is not quantized.
    int8_ms: Option<f64>,
    /// `int8_ms / f32_ms`.
    ratio: Option<f64>,
    /// Share of time a kind of operator, 0 to 1, of what the daemon runs.
    ops: BTreeMap<String, f64>,
    /// Resident memory of a process that has classified.
    rss_mb: f64,
    /// From starting a process to its first features.
    cold_start_ms: f64,
}

/// Times the backbone at `path` (the built-in one without).
///
/// # Errors
/// The backbone can't be loaded or run, or a second process can't be started.
pub fn run(path: Option<&Path>, rounds: usize, json: bool) -> Result<ExitCode> {
    let fast = backbone(path, false)?;
    let quantized = !fast.placements().is_empty();
    let float = backbone(path, true)?;
    let picture = fast.probe();
    let (mut fast_times, mut float_times) = (Vec::new(), Vec::new());
    // Interleaved: whatever else the machine does falls on both.
    for round in 0..=rounds {
        let (a, b) = (time(&fast, &picture, 3)?, time(&float, &picture, 1)?);
        // The first round warms up.
        if round > 0 {
            fast_times.extend(a);
            float_times.extend(b);
        }
    }
    let (fast_ms, float_ms) = (median(&mut fast_times), median(&mut float_times));
    let (rss_mb, cold_start_ms) = process(path)?;
    let report = Report {
        backbone: fast.manifest().id.clone(),
        kernels: fast.engine().isa.name(),
        rounds,
        f32_ms: if quantized { float_ms } else { fast_ms },
        int8_ms: quantized.then_some(fast_ms),
        ratio: quantized.then_some(fast_ms / float_ms),
        ops: shares(&fast, &picture, rounds)?,
        rss_mb,
        cold_start_ms,
    };
    let mut out = terminal::out();
    let printed =
        if json { serde_json::to_writer(&mut out, &report).map_err(io::Error::from) } else { print(&mut out, &report) };
    printed.and_then(|()| writeln!(out)).context("standard output")?;
    Ok(ExitCode::Ok)
}

fn time(backbone: &Backbone, picture: &Pixels, runs: usize) -> Result<Vec<f64>> {
    (0..runs)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(backbone.features_of_input(picture)?);
            Ok(milliseconds(start.elapsed()))
        })
        .collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn shares(backbone: &Backbone, picture: &Pixels, rounds: usize) -> Result<BTreeMap<String, f64>> {
    let mut kinds: BTreeMap<String, f64> = BTreeMap::new();
    for _ in 0..rounds {
        for (kind, time) in backbone.profile(picture)? {
            *kinds.entry(kind).or_default() += time.as_secs_f64();
        }
    }
    let total: f64 = kinds.values().sum();
    kinds.values_mut().for_each(|share| *share = (*share / total * 1000.0).round() / 1000.0);
    kinds.retain(|_, share| *share > 0.0);
    Ok(kinds)
}

/// Resident memory in MB and start-up time in milliseconds of a process of its own; medians of some.
fn process(path: Option<&Path>) -> Result<(f64, f64)> {
    let (mut memory, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let start = Instant::now();
        let mut server = Server::start(path)?;
        server.ask(1)?;
        starts.push(milliseconds(start.elapsed()));
        server.ask(5)?;
        memory.push(server.resident()?);
    }
    Ok((median(&mut memory), median(&mut starts)))
}

struct Server {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Server {
    fn start(path: Option<&Path>) -> Result<Self> {
        let program = std::env::current_exe().context("this program's own path")?;
        let mut child = Command::new(program)
            .args(["backbone", "bench", "--serve"])
            .args(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("a second process for memory and start-up time")?;
        let asks = child.stdin.take().context("its standard input")?;
        let answers = BufReader::new(child.stdout.take().context("its standard output")?);
        Ok(Self { child, asks, answers })
    }

    fn ask(&mut self, runs: usize) -> Result<()> {
        writeln!(self.asks, "{runs}").context("the second process is gone")?;
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer).context("the second process")?;
        anyhow::ensure!(read > 0, "the second process ended without an answer");
        Ok(())
    }

    /// Megabytes (10^6 bytes).
    fn resident(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).with_context(|| path)?;
        Ok((kib * 1.024 / 100.0).round() / 10.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already, and nobody waits for it otherwise.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out, "{}, one thread, kernels {}", report.backbone, report.kernels)?;
    if let (Some(fast), Some(ratio)) = (report.int8_ms, report.ratio) {
        writeln!(out, "  int8        {fast:7.2} ms   {ratio:.2} of f32")?;
    }
    writeln!(out, "  f32         {:7.2} ms", report.f32_ms)?;
    writeln!(out, "  cold start  {:7.1} ms", report.cold_start_ms)?;
    writeln!(out, "  memory      {:7.1} MB", report.rss_mb)?;
    let mut ops: Vec<_> = report.ops.iter().collect();
    ops.sort_by(|a, b| b.1.total_cmp(a.1));
    let ops: Vec<String> = ops.iter().map(|(kind, share)| format!("{kind} {:.0} %", **share * 100.0)).collect();
    write!(out, "  time in     {}", ops.join(", "))
}
