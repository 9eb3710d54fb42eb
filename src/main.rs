//! The thin binary: says which part of the library is asked for, and what the exit code is.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode as ProcessExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use arcticd::cli::{self, BackboneCommand, Invocation};
use arcticd::config::{self, Config, DEFAULT_PATH, Loaded};
use arcticd::daemon::{self, DaemonError};
use arcticd::exit_code::ExitCode;
use arcticd::service::{Manager, Reload};
use arcticd::{
    accept, check, evaluate, fleet, heads, init, log, once, push, quantize, replay, terminal, train, workshop,
};

fn main() -> ProcessExitCode {
    run(Invocation::parse())
        .unwrap_or_else(|error| {
            terminal::complain(format_args!("{error:#}"));
            ExitCode::Failure
        })
        .into()
}

fn run(invocation: Invocation) -> Result<ExitCode> {
    match invocation {
        Invocation::Run { config } => with_config(config.as_deref(), |loaded| daemon(loaded, config.clone())),
        // A package's configuration keeps the daemon from running until it is replaced, but nobody from looking at a photo.
        Invocation::Once { images, json, explain, config: None } if init::is_untouched(Path::new(DEFAULT_PATH)) => {
            once::run(&Config::default(), &images, json, explain.as_deref())
        }
        Invocation::Once { images, json, explain, config } => {
            with_config(config.as_deref(), |loaded| once::run(&loaded.config, &images, json, explain.as_deref()))
        }
        Invocation::Init(call) => init::run(&call),
        Invocation::Check { config, json } => check::run(config.as_deref(), json),
        Invocation::Train(call) => train::command::run(&call),
        Invocation::Eval(call) => evaluate::command::run(&call),
        Invocation::Replay { call, .. } if !call.merge.is_empty() => replay::run(&Config::default(), &call),
        Invocation::Replay { call, config } => {
            with_config(config.as_deref(), |loaded| replay::run(&loaded.config, &call))
        }
        Invocation::Head(command) => heads::command::run(&command),
        Invocation::HeadList { json, config } => {
            with_config(config.as_deref(), |loaded| accept::command::list(&loaded.config, json))
        }
        Invocation::HeadRollback { config } => {
            with_config(config.as_deref(), |loaded| accept::command::rollback(&loaded.config))
        }
        Invocation::Push { call, config } => {
            with_config(config.as_deref(), |loaded| push::command::run(&loaded.config.mqtt, &call))
        }
        Invocation::Clear { call, config } => {
            with_config(config.as_deref(), |loaded| push::clear::run(&loaded.config.mqtt, &call))
        }
        Invocation::Ask { call, config } => {
            with_config(config.as_deref(), |loaded| push::asking::run(&loaded.config.mqtt, &call))
        }
        Invocation::Fleet { call, config } => {
            with_config(config.as_deref(), |loaded| fleet::command::run(&loaded.config.mqtt, &call))
        }
        Invocation::Backbone(command) => match command {
            BackboneCommand::Inspect { backbone, json } => workshop::inspect::run(backbone.as_deref(), json),
            BackboneCommand::Bench { backbone, serve: true, float, .. } => workshop::serve(backbone.as_deref(), float),
            BackboneCommand::Bench { backbone, json, rounds, .. } => {
                workshop::bench::run(backbone.as_deref(), rounds as usize, json)
            }
            BackboneCommand::Features { images, backbone, pixels } => {
                workshop::features::run(backbone.as_deref(), &images, pixels.as_deref())
            }
            BackboneCommand::Quantize(call) => quantize::command::run(&call),
            BackboneCommand::Add(call) => workshop::add::run(&call),
        },
        Invocation::Completions { shell } => {
            cli::write_completions(shell, &mut terminal::out())?;
            Ok(ExitCode::Ok)
        }
    }
}

/// SIGHUP reads the same configuration again; at a terminal that is hung up it ends the daemon, as it always did.
fn reload(path: Option<PathBuf>) -> Result<Reload> {
    if std::io::stdin().is_terminal() {
        return Ok(Reload::never());
    }
    let hangup = signal(SignalKind::hangup()).context("SIGHUP can't be caught")?;
    Ok(Reload::on(hangup, move || config::load(path.as_deref(), config::environment())))
}

fn with_config(path: Option<&Path>, work: impl FnOnce(Loaded) -> Result<ExitCode>) -> Result<ExitCode> {
    match config::load(path, config::environment()) {
        Ok(loaded) => work(loaded),
        Err(error) => {
            terminal::complain(error);
            Ok(ExitCode::BadConfig)
        }
    }
}

/// Threads for name look-ups and the journal's moments. A flood of messages would take hundreds, and the unit grants 64.
const BLOCKING: usize = 16;

fn daemon(loaded: Loaded, path: Option<PathBuf>) -> Result<ExitCode> {
    log::start(&loaded.config.log);
    tracing::info!("configuration: {}", loaded.source);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be caught")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be caught")?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        daemon::run(loaded.config, stop, Manager::from_environment(), reload(path)?).await
    });
    // A name look-up that hangs, or a reader that does not read, must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(()) => Ok(ExitCode::Ok),
        Err(DaemonError::Config(error)) => {
            terminal::complain(format_args!("{error:#}"));
            Ok(ExitCode::BadConfig)
        }
        Err(DaemonError::Failed(error)) => Err(error),
    }
}
