//! Where log lines go: standard error, so that alerts alone are on standard output.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat, LogLevel};

/// Starts logging. Libraries speak from `warn` on unless the level is `trace`.
pub fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let filter = match log.level {
        LogLevel::Trace => EnvFilter::new("trace"),
        LogLevel::Error => EnvFilter::new("error"),
        _ => EnvFilter::new(format!("warn,arcticd={level}")),
    };
    // systemd's journal stamps lines itself.
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start, as tests do, keeps the first.
    let _ = match (log.format, under_systemd) {
        (LogFormat::Json, _) => builder.json().try_init(),
        (LogFormat::Text, true) => builder.without_time().with_target(false).try_init(),
        (LogFormat::Text, false) => builder.with_target(false).try_init(),
    };
}
