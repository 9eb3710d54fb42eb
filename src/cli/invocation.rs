//! What the command line means.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{
    AskCall, BackboneCommand, Clear, Cli, Command, Eval, Fleet, Head, HeadCommand, Init, Push, Replay, Shell, Train,
};
use crate::terminal;
use crate::watch::names::{self, Kind};

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Invocation {
    /// Run the daemon.
    Run {
        /// The file after `--config`.
        config: Option<PathBuf>,
    },
    /// Classify images and print.
    Once {
        /// At least one.
        images: Vec<PathBuf>,
        /// Print detections as JSON.
        json: bool,
        /// Where the only image's explanation is painted.
        explain: Option<PathBuf>,
        /// The file after `--config`.
        config: Option<PathBuf>,
    },
    /// Write a configuration.
    Init(Box<Init>),
    /// Check the installation in stages.
    Check {
        /// The file after `--config`.
        config: Option<PathBuf>,
        /// Print the verdicts as JSON.
        json: bool,
    },
    /// Train a head.
    Train(Box<Train>),
    /// Measure a head.
    Eval(Eval),
    /// Classify a card full of frames.
    Replay {
        /// What and where to.
        call: Replay,
        /// The file after `--config`.
        config: Option<PathBuf>,
    },
    /// Work on a head at a desk.
    Head(HeadCommand),
    /// Ask the daemon for its heads and their history.
    HeadList {
        /// Print JSON.
        json: bool,
        /// The file after `--config`.
        config: Option<PathBuf>,
    },
    /// Let the daemon return to the head before.
    HeadRollback {
        /// The file after `--config`.
        config: Option<PathBuf>,
    },
    /// Push a head to traps.
    Push {
        /// What and to whom.
        call: Box<Push>,
        /// The file after `--config`.
        config: Option<PathBuf>,
    },
    /// Take a pushed head back.
    Clear {
        /// From whom.
        call: Box<Clear>,
        /// The file after `--config`.
        config: Option<PathBuf>,
    },
    /// Ask traps for something.
    Ask {
        /// For what, and whom.
        call: Box<AskCall>,
        /// The file after `--config`.
        config: Option<PathBuf>,
    },
    /// Say how all traps stand.
    Fleet {
        /// How, and which broker.
        call: Box<Fleet>,
        /// The file after `--config`.
        config: Option<PathBuf>,
    },
    /// Work on a backbone at a desk.
    Backbone(BackboneCommand),
    /// Print a completion script.
    Completions {
        /// For this shell.
        shell: Shell,
    },
}

impl Invocation {
    /// Reads this process's command line. `--help`, `--version` and mistakes print and end the process here, mistakes
    /// with [`ExitCode::Usage`](crate::exit_code::ExitCode::Usage).
    pub fn parse() -> Self {
        Self::of(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    pub(super) fn of<W: Into<OsString> + Clone>(words: impl IntoIterator<Item = W>) -> Result<Self, clap::Error> {
        Cli::try_parse_from(words).map_err(with_hint)?.try_into()
    }
}

/// Who gives a picture alone wants to know what is in it.
fn with_hint(mut mistake: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(word)) = mistake.get(ContextKind::InvalidSubcommand)
        && let path = Path::new(word)
        && path.file_name().is_some_and(|name| names::kind(name) != Kind::Ignored)
    {
        let hint = format!("to see what is in a picture: arcticd --once {}", terminal::shell(path));
        mistake.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    mistake
}

impl TryFrom<Cli> for Invocation {
    type Error = clap::Error;

    fn try_from(cli: Cli) -> Result<Self, clap::Error> {
        let Cli { once, json, explain, config, command } = cli;
        let mistake = |kind, message| Err(super::command().error(kind, message));
        match command {
            _ if explain.is_some() && once.len() != 1 => {
                mistake(ErrorKind::MissingRequiredArgument, "--explain goes with --once and one image")
            }
            Some(_) if !once.is_empty() => {
                mistake(ErrorKind::ArgumentConflict, "--once is a call of its own and takes no command beside it")
            }
            None if !once.is_empty() => Ok(Self::Once { images: once, json, explain, config }),
            Some(Command::Check(check)) => Ok(Self::Check { config, json: json || check.json }),
            Some(Command::Eval(call)) => Ok(Self::Eval(Eval { json: json || call.json, ..call })),
            Some(Command::Replay(call)) if call.shard.is_some() && json => {
                mistake(ErrorKind::ArgumentConflict, "--json is for the merge of all shards")
            }
            Some(Command::Replay(call)) if !call.merge.is_empty() && config.is_some() => {
                mistake(ErrorKind::ArgumentConflict, "--merge takes the rules of the shards and no --config")
            }
            Some(Command::Replay(call)) => {
                Ok(Self::Replay { call: Replay { json: json || call.json, ..call }, config })
            }
            Some(Command::Head(Head::List { json: own })) => Ok(Self::HeadList { json: json || own, config }),
            Some(Command::Head(Head::Push(call))) => {
                Ok(Self::Push { call: Box::new(Push { json: json || call.json, ..*call }), config })
            }
            Some(Command::Fleet(call)) => {
                Ok(Self::Fleet { call: Box::new(Fleet { json: json || call.json, ..call }), config })
            }
            _ if json => mistake(ErrorKind::MissingRequiredArgument, "--json goes with --once or with check"),
            Some(Command::Init(call)) => {
                let output = call.output.clone().or(config);
                Ok(Self::Init(Box::new(Init { output, ..*call })))
            }
            Some(Command::Train(call)) => Ok(Self::Train(call)),
            Some(Command::Head(Head::Desk(command))) => Ok(Self::Head(*command)),
            Some(Command::Head(Head::Rollback)) => Ok(Self::HeadRollback { config }),
            Some(Command::Head(Head::Clear(call))) => Ok(Self::Clear { call, config }),
            Some(Command::Head(Head::Ask(call))) => Ok(Self::Ask { call, config }),
            Some(Command::Completions { shell }) => Ok(Self::Completions { shell }),
            Some(Command::Backbone(command)) => Ok(Self::Backbone(command)),
            Some(Command::Run) | None => Ok(Self::Run { config }),
        }
    }
}
