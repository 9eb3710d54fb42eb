//! The command line: what may be typed, and what it means.
//!
//! [`Cli`] is what clap understands, [`Invocation`] what the rest of the program is asked to do; `invocation` is the one
//! conversion between them.

mod ask;
mod backbone;
mod eval;
mod fleet;
mod head;
mod init;
mod invocation;
mod push;
mod quantize;
mod replay;
mod train;

use std::io;
use std::path::PathBuf;

pub use ask::{AskCall, AskWay, AskWhat};
pub use backbone::{Add, BackboneCommand, MapPooling};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
pub use clap_complete::Shell;
pub use eval::Eval;
pub use fleet::Fleet;
pub use head::{Head, HeadCommand, Inspect, NewKey, Pack, Sign};
pub use init::{Init, Policy, position};
pub use invocation::Invocation;
pub use push::{BrokerFlags, Clear, Push, Targets, Until};
pub use quantize::{Quantize, RangeMethod};
pub use replay::Replay;
pub use train::Train;

const LONG_ABOUT: &str = "\
Watches a directory that cameras write to, classifies each frame on this device, and sends an alert to an MQTT broker. \
An alert is written to disk before it is sent and deleted only when the broker has acknowledged it.

Without a command, arcticd runs as the daemon.";

const AFTER_LONG_HELP: &str = "\
Examples:
  arcticd                               run, with /etc/arcticd/arcticd.toml
  arcticd --config ./arcticd.toml       run, with this configuration
  arcticd init                          write a configuration, asked for step by step
  arcticd check                         test everything from the configuration to the broker
  arcticd --once frame.jpg              classify one frame and print what is in it
  arcticd --once *.jpg --json           the same as JSON, an object a line
  arcticd --once a.jpg --explain a.png  and paint where in the frame that came from
  arcticd train photos/ -o my.head      make a head of folders of photos
  arcticd eval photos/ --head my.head   measure it
  arcticd head push my.head --group coast --broker mqtts://broker.example
  arcticd fleet --config push.toml      see how all traps stand, from the broker
  arcticd backbone bench                time the built-in network on this device

Configuration:
  /etc/arcticd/arcticd.toml, or the file after --config. Without a file the
  built-in defaults hold: frames from ./captures, alerts as JSON lines on
  standard output.

Environment:
  ARCTICD_<SECTION>_<KEY>   sets one key over the file; empty counts as not set:
                            ARCTICD_MQTT_URL=mqtts://broker:8883
                            ARCTICD_ALERTS_LABELS=polar_bear,walrus
  ARCTICD_KERNELS           integer kernels to use instead of the best ones
                            this processor has (arcticd backbone inspect
                            prints their name)
  CREDENTIALS_DIRECTORY     where systemd puts the credential mqtt_password;
                            a password is never taken from the command line
                            or from an ARCTICD_ variable

Exit codes:
  0   done
  1   failed
  2   the command line was not understood
  3   some images failed, the others were done
  78  the configuration is wrong; starting again will not help";

const SHORT_HELP_END: &str = "More, with examples, environment and exit codes: arcticd --help";

/// The command line as it is typed.
#[derive(Debug, Parser)]
#[command(
    name = "arcticd",
    version,
    about = "Edge daemon for wildlife camera traps: classifies frames on the device and loses no alert",
    long_about = LONG_ABOUT,
    after_help = SHORT_HELP_END,
    after_long_help = AFTER_LONG_HELP,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Classify these images, print the result and exit; needs no configuration and no broker
    #[arg(long, value_name = "IMAGE", num_args = 1.., value_hint = ValueHint::FilePath)]
    once: Vec<PathBuf>,

    /// Print JSON instead of text (with --once or check)
    #[arg(long)]
    json: bool,

    /// Paint which places of the image spoke for its label, beside what the network saw of it (with --once and one image)
    #[arg(long, value_name = "FILE.png", value_hint = ValueHint::FilePath)]
    explain: Option<PathBuf>,

    /// Configuration file [default: /etc/arcticd/arcticd.toml]
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon (the default)
    #[command(after_help = "Examples:\n  arcticd run\n  arcticd run --config ./arcticd.toml")]
    Run,
    /// Write a configuration by five questions, or from flags, and try it
    Init(Box<Init>),
    /// Check configuration, directories, model and broker, and say what to mend
    Check(Check),
    /// Train a head on folders of photos
    Train(Box<Train>),
    /// Measure a head on labelled photos
    Eval(Eval),
    /// Say what the daemon would have published for a card full of frames
    Replay(Replay),
    /// Make keys, sign and inspect heads, take over heads trained elsewhere, push heads to traps
    #[command(subcommand)]
    Head(Head),
    /// Print a table of all traps, from what the broker knows of them
    Fleet(Fleet),
    /// Look into a backbone, time it, or make it smaller and faster
    #[command(subcommand)]
    Backbone(BackboneCommand),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  arcticd completions bash > /usr/share/bash-completion/completions/arcticd")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  arcticd check\n  arcticd check --config ./arcticd.toml --json")]
struct Check {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// The command line's description, from which help, completions and the man page are made.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Writes the completion script for `shell`.
///
/// # Errors
/// Those of `out`.
pub fn write_completions(shell: Shell, out: &mut dyn io::Write) -> io::Result<()> {
    // clap_complete panics when its writer fails, and a closed pipe is no bug; a vector does not fail.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "arcticd", &mut script);
    out.write_all(&script)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(words: &str) -> Result<Invocation, clap::Error> {
        Invocation::of(words.split_whitespace())
    }

    fn refused(words: &str) -> String {
        let error = parse(words).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{words}");
        error.to_string()
    }

    #[test]
    fn description_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn without_a_command_the_daemon_runs() {
        assert_eq!(parse("arcticd").unwrap(), Invocation::Run { config: None });
        let config = Some(PathBuf::from("a.toml"));
        for words in ["arcticd --config a.toml", "arcticd run --config a.toml", "arcticd --config a.toml run"] {
            assert_eq!(parse(words).unwrap(), Invocation::Run { config: config.clone() }, "{words}");
        }
    }

    #[test]
    fn once_takes_images_up_to_the_next_flag() {
        let images = vec![PathBuf::from("a.jpg"), PathBuf::from("b.jpg")];
        let expected = Invocation::Once { images, json: true, explain: None, config: Some("c.toml".into()) };
        for words in [
            "arcticd --once a.jpg b.jpg --json --config c.toml",
            "arcticd --config c.toml --json --once a.jpg b.jpg",
            "arcticd --once a.jpg --json --once b.jpg --config c.toml",
        ] {
            assert_eq!(parse(words).unwrap(), expected, "{words}");
        }
    }

    #[test]
    fn check_takes_its_flags_on_either_side() {
        let expected = Invocation::Check { config: Some("c.toml".into()), json: true };
        for words in ["arcticd check --json --config c.toml", "arcticd --json --config c.toml check"] {
            assert_eq!(parse(words).unwrap(), expected, "{words}");
        }
    }

    #[test]
    fn usage_mistakes_exit_with_2_and_say_what_is_wrong() {
        assert!(refused("arcticd --once a.jpg --json check").contains("--once is a call of its own"));
        for line in ["--explain e.png", "--once a.jpg b.jpg --explain e.png", "--explain e.png check"] {
            assert!(refused(&format!("arcticd {line}")).contains("--explain goes with --once and one image"), "{line}");
        }
        assert!(refused("arcticd --json").contains("--json goes with --once or with check"));
        assert!(refused("arcticd --json run").contains("--json goes with"));
        assert!(refused("arcticd run --json").contains("--json"));
        assert!(refused("arcticd --once").contains("IMAGE"));
        for line in ["frames/a.JPG", "a.heic b.jpg"] {
            let first = line.split(' ').next().unwrap();
            assert!(refused(&format!("arcticd {line}")).contains(&format!("arcticd --once {first}")), "{line}");
        }
        assert!(!refused("arcticd svalbard.head").contains("--once"));
        assert!(refused("arcticd chekc").contains("'check'"));
        assert!(refused("arcticd --config").contains("FILE"));
        assert!(refused("arcticd completions cobol").contains("bash"));
        assert_eq!(crate::exit_code::ExitCode::Usage as i32, 2);
    }

    #[test]
    fn help_and_version_are_no_failures() {
        for words in ["arcticd --help", "arcticd -h", "arcticd --version", "arcticd check --help"] {
            assert_eq!(parse(words).unwrap_err().exit_code(), 0, "{words}");
        }
    }

    /// What the help of `command` ends with, if it has examples: each as one line.
    fn examples(command: &clap::Command) -> Vec<String> {
        let help = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
        let mut lines: Vec<String> = Vec::new();
        let help = help.unwrap_or_default();
        let begin = help.lines().skip_while(|line| !matches!(*line, "Example:" | "Examples:")).skip(1);
        for line in begin.take_while(|line| line.starts_with("  ")) {
            match lines.last_mut().filter(|last| last.ends_with('\\')) {
                Some(last) => *last = last.trim_end_matches('\\').to_owned() + line.trim_start(),
                None => lines.push(line.trim_start().to_owned()),
            }
        }
        lines
    }

    /// Each command at the end of a branch, with the words that lead to it.
    fn commands(command: &clap::Command, words: &str, found: &mut Vec<(String, clap::Command)>) {
        let below: Vec<&clap::Command> = command.get_subcommands().filter(|below| !below.is_hide_set()).collect();
        if below.is_empty() || !examples(command).is_empty() {
            found.push((words.to_owned(), command.clone()));
        }
        below.into_iter().for_each(|below| commands(below, &format!("{words} {}", below.get_name()), found));
    }

    #[test]
    fn the_help_of_each_command_has_an_example_that_is_understood() {
        let mut all = Vec::new();
        commands(&command(), "arcticd", &mut all);
        assert!(all.len() > 15, "{all:?}");
        for (words, command) in all {
            let examples = examples(&command);
            assert!(!examples.is_empty(), "{words} --help has no example: set after_help or after_long_help");
            for example in examples {
                // What it does stands behind two spaces, what a shell does with it behind > or |; an id that is cut short
                // stands for a whole one.
                let typed = example.strip_prefix("sudo ").unwrap_or(&example).split("  ").next().unwrap();
                let typed = typed
                    .split(" > ")
                    .flat_map(|part| part.split(" | "))
                    .next()
                    .unwrap()
                    .replace("5c1f0a9b...", &"5c".repeat(32));
                assert!(typed.starts_with(&words), "{words} --help shows another command: {typed}");
                let meant = parse(&typed);
                assert!(meant.is_ok(), "{words} --help: {typed}: {}", meant.unwrap_err());
            }
        }
    }

    #[test]
    fn help_names_every_exit_code_and_the_default_configuration() {
        let help = command().render_long_help().to_string();
        for code in ["\n  0 ", "\n  1 ", "\n  2 ", "\n  3 ", "\n  78 "] {
            assert!(help.contains(code), "{code:?} in {help}");
        }
        assert!(help.contains(crate::config::DEFAULT_PATH));
    }

    #[test]
    fn each_shell_gets_a_script_and_a_closed_pipe_is_an_error() {
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            write_completions(shell, &mut script).unwrap();
            assert!(String::from_utf8(script).unwrap().contains("arcticd"));
            assert_eq!(write_completions(shell, &mut Closed).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
