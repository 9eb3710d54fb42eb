//! The five answers: name, capture directory, broker, credentials, location policy.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::place::{self, StagedSecret};
use super::terminal::Terminal;
use super::{absolute, objections, template, try_broker, try_capture};
use crate::cli::{Init, position};
use crate::config::{Config, LocationPolicy, Position};

/// Where cameras write, if nobody says otherwise.
const CAPTURES: &str = "/srv/captures";
/// What is typed for "no broker".
const NO_BROKER: &str = "none";

/// What was answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answers {
    pub trap: String,
    pub capture: PathBuf,
    pub broker: Option<String>,
    pub username: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub policy: LocationPolicy,
    pub position: Option<Position>,
    /// Days after which frames are deleted; none: they stay.
    pub retention: Option<u64>,
}

/// Answers, and where the password is.
#[derive(Debug)]
pub(super) struct Answered {
    pub answers: Answers,
    /// A password that was typed, not yet in its place.
    pub secret: Option<StagedSecret>,
    /// A file with a password that was there.
    pub password_file: Option<PathBuf>,
}

impl Answered {
    fn begin(call: &Init) -> Result<Self> {
        let path = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
        let answers = Answers {
            trap: call.trap.clone().or_else(Config::own_host_name).unwrap_or_default(),
            capture: absolute(call.capture.as_deref().unwrap_or(Path::new(CAPTURES)))?,
            broker: call.broker.clone().filter(|broker| broker != NO_BROKER),
            username: call.username.clone(),
            ca_file: path(&call.ca_file)?,
            policy: call.location_policy.map_or(LocationPolicy::Omitted, Into::into),
            position: call.location,
            retention: call.retention,
        };
        Ok(Self { answers, secret: None, password_file: path(&call.password_file)? })
    }

    /// The configuration as it will be written to `output`.
    pub(super) fn text(&self, output: &Path) -> Result<String> {
        let typed = self.secret.as_ref().map(|_| place::secret_path(output));
        template::configured(&self.answers, typed.as_deref().or(self.password_file.as_deref()))
    }

    /// The same, loaded, but with the password where it lies now.
    pub(super) fn config(&self, output: &Path) -> Result<Config> {
        let staged = self.secret.as_ref().map(StagedSecret::path);
        let text = template::configured(&self.answers, staged.or(self.password_file.as_deref()))?;
        objections(output, &text).map_err(|list| {
            let list: Vec<String> = list.into_iter().map(|(_, objection)| objection).collect();
            anyhow::anyhow!(list.join("\n"))
        })
    }

    /// What the loader has against one key, whatever else is still open.
    fn objection(&self, output: &Path, key: &str) -> Result<(), String> {
        let text = template::configured(&self.answers, None).map_err(|error| format!("{error:#}"))?;
        let list = objections(output, &text).err().unwrap_or_default();
        list.into_iter().find(|(wrong, _)| wrong == key).map_or(Ok(()), |(_, objection)| Err(objection))
    }
}

/// The flags that are missing where nobody can be asked, as a sentence; none if there are enough.
pub(super) fn missing(call: &Init) -> Option<String> {
    let nameless = call.trap.is_none() && (!call.yes || Config::own_host_name().is_none());
    let list: Vec<&str> = [
        (nameless, "--trap NAME"),
        (!call.yes && call.capture.is_none(), "--capture DIR"),
        (call.broker.is_none(), "--broker URL (or none)"),
        (!call.yes && call.location_policy.is_none(), "--location-policy omitted|rounded|exact"),
    ]
    .into_iter()
    .filter_map(|(missing, flag)| missing.then_some(flag))
    .collect();
    let why = if call.yes { "--yes leaves nothing to ask" } else { "there is no terminal to ask on" };
    (!list.is_empty()).then(|| {
        format!("{why}; missing: {}. A broker that asks for a user: --username, --password-file", list.join(", "))
    })
}

/// Answers from flags alone, tried.
///
/// # Errors
/// A value is wrong, or a test failed.
pub(super) fn from_flags(call: &Init, output: &Path) -> Result<Answered> {
    let answered = Answered::begin(call)?;
    let config = answered.config(output)?;
    check_position(&answered.answers)?;
    let capture = &answered.answers.capture;
    if call.yes && !capture.exists() {
        place::create_capture(capture)?;
    }
    if !try_capture(&config)? {
        bail!("nothing was written: create the capture directory first, or say --yes to let init do it");
    }
    if !call.untested && !try_broker(&config)? {
        bail!("nothing was written: mend what failed, or say --untested to write nevertheless");
    }
    Ok(answered)
}

fn check_position(answers: &Answers) -> Result<()> {
    if answers.position.is_some() && answers.policy == LocationPolicy::Omitted {
        bail!("--location would never be published: give --location-policy rounded or exact with it");
    }
    Ok(())
}

/// Asks for what the flags leave open, and tries each answer at once.
///
/// # Errors
/// The person stopped, or a file for the password can't be written.
pub(super) fn asked(call: &Init, output: &Path, terminal: &mut Terminal) -> Result<Answered> {
    let mut answered = Answered::begin(call)?;
    terminal.say("Five questions; Enter takes what stands in brackets. Nothing is written before the end.\n")?;
    if call.trap.is_none() {
        let proposal = Some(answered.answers.trap.clone()).filter(|name| !name.is_empty());
        terminal.ask("1/5 Name of this trap, in topics and alerts", proposal.as_deref(), |answer| {
            answered.answers.trap = answer.to_owned();
            answered.objection(output, "trap")
        })?;
    }
    capture(call, output, terminal, &mut answered)?;
    broker(call, output, terminal, &mut answered)?;
    if call.location_policy.is_none() {
        let question = "5/5 Positions in alerts: omitted, rounded (to about 11 km) or exact; poachers read too";
        answered.answers.policy = terminal.ask(question, Some("omitted"), |answer| match answer {
            "omitted" => Ok(LocationPolicy::Omitted),
            "rounded" => Ok(LocationPolicy::Rounded),
            "exact" => Ok(LocationPolicy::Exact),
            _ => Err("omitted, rounded or exact, please".into()),
        })?;
    }
    if answered.answers.policy != LocationPolicy::Omitted && answered.answers.position.is_none() {
        let question = "    Where the trap stands, LATITUDE,LONGITUDE; empty: only what frames themselves say";
        let place = |answer: &str| if answer.is_empty() { Ok(None) } else { position(answer).map(Some) };
        answered.answers.position = terminal.ask(question, None, place)?;
    }
    check_position(&answered.answers)?;
    Ok(answered)
}

fn capture(call: &Init, output: &Path, terminal: &Terminal, answered: &mut Answered) -> Result<()> {
    let question = "2/5 Directory that the camera writes into";
    let mut proposal = call.capture.is_none().then(|| CAPTURES.to_owned());
    loop {
        if call.capture.is_none() {
            terminal.ask(question, proposal.as_deref(), |answer| {
                if !answer.starts_with('/') {
                    return Err("the whole path, please, beginning with /".into());
                }
                answered.answers.capture = answer.into();
                answered.objection(output, "capture.directory")
            })?;
        }
        let directory = &answered.answers.capture;
        if !directory.exists() && terminal.yes(&format!("    There is no {}. Create it?", directory.display()))? {
            // The person may answer another one.
            if let Err(error) = place::create_capture(directory) {
                terminal.say(&format!("  {error:#}"))?;
            }
        }
        let config = Config {
            capture: crate::config::Capture { directory: directory.clone(), ..Default::default() },
            ..Default::default()
        };
        if try_capture(&config)? {
            return Ok(());
        }
        if call.capture.is_some() {
            bail!("nothing was written: {} can't be used as --capture", directory.display());
        }
        proposal = Some(directory.display().to_string());
    }
}

/// Questions three and four, until the broker acknowledges a message or the person goes on without.
fn broker(call: &Init, output: &Path, terminal: &Terminal, answered: &mut Answered) -> Result<()> {
    let mut given = call.broker.is_some();
    loop {
        if !given {
            let question = "3/5 Broker, mqtts://HOST or mqtt://HOST; none: alerts stay here, as lines in the log";
            terminal.ask(question, answered.answers.broker.clone().as_deref(), |answer| {
                if answer.is_empty() {
                    return Err("an address, or none".into());
                }
                answered.answers.broker = Some(answer.to_owned()).filter(|broker| broker != NO_BROKER);
                answered.objection(output, "mqtt.url")
            })?;
        }
        if answered.answers.broker.is_none() {
            return Ok(());
        }
        credentials(call, output, terminal, answered)?;
        let config = answered.config(output)?;
        if call.untested || try_broker(&config)? {
            return Ok(());
        }
        let choice = terminal.ask(
            "    That failed. a: answer again, w: go on and write it nevertheless, s: stop",
            Some("a"),
            |answer| match answer {
                "a" | "w" | "s" => Ok(answer.to_owned()),
                _ => Err("a, w or s, please".into()),
            },
        )?;
        match choice.as_str() {
            "w" => return Ok(()),
            "s" => bail!("stopped; nothing was written"),
            _ => given = false,
        }
    }
}

fn credentials(call: &Init, output: &Path, terminal: &Terminal, answered: &mut Answered) -> Result<()> {
    if call.username.is_none() {
        let before = answered.answers.username.clone();
        let question = "4/5 User name at the broker; - if it asks for none";
        terminal.ask(question, Some(before.as_deref().unwrap_or("-")), |answer| {
            answered.answers.username = Some(answer.to_owned()).filter(|name| name != "-");
            answered.objection(output, "mqtt.username")
        })?;
    }
    answered.secret = None;
    let Some(username) = answered.answers.username.clone().filter(|_| call.password_file.is_none()) else {
        return Ok(());
    };
    answered.password_file = None;
    let path = place::secret_path(output);
    if path.exists() && !call.force {
        if terminal.yes(&format!("    Use the password in {}?", path.display()))? {
            answered.password_file = Some(path);
            return Ok(());
        }
        bail!("nothing was written: {} is there already; say --force to write over it", path.display());
    }
    let password = terminal.password(&format!("    Password of {username}, not shown; empty if there is none"))?;
    if !password.is_empty() {
        let staged = StagedSecret::write(&path, &password);
        answered.secret = Some(staged.context("the password could not be written")?);
    }
    Ok(())
}
