//! What the daemon would have published for a card full of frames, and the same in the formats of other tools. At a desk.
//!
//! [`card`](self) finds the files, `look` classifies each content once, `events` groups what was seen with the daemon's own
//! code and says its messages, `summary` tells a person, `megadetector` and `camtrap` tell other tools. `shard` lets many
//! machines do the looking.
//!
//! No journal and no broker is opened, and nothing on the card is changed.

mod camtrap;
mod card;
mod events;
mod look;
mod megadetector;
mod record;
mod setup;
mod shard;
mod species;
mod summary;
#[cfg(test)]
mod tests;

pub use shard::Shard;

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;

use crate::classifier::{Classifier, guarded};
use crate::cli::Replay;
use crate::config::{Alerts, Config};
use crate::exit_code::ExitCode;
use crate::frame::ContentHash;
use crate::memory::limits;
use crate::model::source::{self, Origin};
use crate::quantize::Progress;
use crate::report::counted;
use crate::terminal;
use crate::whole_file;

use card::Card;
use events::Events;
use look::Looked;
use record::Record;
use setup::Setup;
use shard::merge::Merged;

/// A file that could not be looked at, never to be confused with one where nothing was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Path below the card.
    name: String,
    /// Why, and what to do.
    reason: String,
    /// When it was last changed, if that can be told; never of a folder.
    modified: Option<OffsetDateTime>,
    /// Of its content, if it could be read.
    hash: Option<ContentHash>,
    folder: bool,
}

impl Failure {
    fn of_file(name: String, reason: String, modified: Option<OffsetDateTime>, hash: Option<ContentHash>) -> Self {
        Self { name, reason, modified, hash, folder: false }
    }

    fn of_folder(name: String, reason: String) -> Self {
        let name = if name.is_empty() { ".".to_owned() } else { name };
        Self { name, reason, modified: None, hash: None, folder: true }
    }
}

/// A file with the content of another one.
#[derive(Debug, Clone, PartialEq)]
struct Copy {
    name: String,
    of: ContentHash,
}

/// What was found on a card, and who looked.
#[derive(Debug)]
struct Findings {
    looked: Looked,
    events: Events,
    setup: Setup,
    /// The card, as it was named.
    root: String,
    /// What is written as the moment of all this.
    made_at: OffsetDateTime,
}

impl Findings {
    /// Failures that are files.
    fn files_failed(&self) -> impl Iterator<Item = &Failure> {
        self.looked.failures.iter().filter(|failure| !failure.folder)
    }

    /// What became of each content.
    fn by_hash(&self) -> (HashMap<ContentHash, &Record>, HashMap<ContentHash, &Failure>) {
        let records = self.looked.records.iter().map(|record| (record.hash, record)).collect();
        let failures = self.files_failed().filter_map(|failure| Some((failure.hash?, failure))).collect();
        (records, failures)
    }
}

/// Runs the command.
///
/// # Errors
/// Names the file and what is wrong with it. A frame that can't be looked at is none: it is listed, and the exit code says
/// so.
pub fn run(config: &Config, call: &Replay) -> Result<ExitCode> {
    let Some(root) = &call.directory else { return merge(call) };
    let alerts = alerts(config, call);
    let package = call.camtrap_dp.as_deref().map(|folder| camtrap::Target::check(folder, &alerts)).transpose()?;
    for path in call.megadetector.iter().chain(&call.output) {
        whole_file::check_writable(path)?;
    }
    let card = Card::find(root)?;
    if card.frames.is_empty() && card.failures.is_empty() {
        let (root, others) = (root.display(), card.others);
        bail!("no frame lies in or below {root} ({others} other files): name the card or the folder with the pictures");
    }
    let classifier = classifier(config, call, &alerts)?;
    let setup = Setup::of(&classifier, config.trap_name(), &alerts)?;
    let workers = call.threads.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let stop = stopped_by_signals()?;
    if let (Some(shard), Some(output)) = (call.shard, &call.output) {
        return shard::run(&classifier, setup, (root, card), shard, output, (workers, &stop));
    }
    let mut looked = Looked { failures: card.failures, ..Looked::default() };
    let files: Vec<(usize, PathBuf)> = card.frames.into_iter().enumerate().collect();
    let mut take = |_, seen| looked.take(seen);
    let interrupted = look::at(&classifier, root, &files, workers, &stop, &Progress::on_terminal(), &mut take)?;
    looked.sort();
    tell(looked, setup, root.display().to_string(), call, package, interrupted)
}

/// Puts together what shards saw. Who looked and by which rules is theirs; no configuration is read.
fn merge(call: &Replay) -> Result<ExitCode> {
    if let Some(path) = &call.megadetector {
        whole_file::check_writable(path)?;
    }
    let Merged { looked, setup, root } = shard::merge::read(&call.merge)?;
    let package = call.camtrap_dp.as_deref().map(|folder| camtrap::Target::check(folder, &setup.alerts())).transpose();
    let package = package.context("positions are those of the shards, which have to be made again with other ones")?;
    tell(looked, setup, root, call, package, false)
}

/// Groups what was looked at, and writes all that was asked for.
fn tell(
    mut looked: Looked,
    setup: Setup,
    root: String,
    call: &Replay,
    package: Option<camtrap::Target>,
    interrupted: bool,
) -> Result<ExitCode> {
    if let Some(moment) = call.made_at {
        looked.records.iter_mut().for_each(|record| record.processed(moment));
    }
    let made_at = call.made_at.unwrap_or_else(OffsetDateTime::now_utc);
    let alerts = setup.alerts();
    let mut out = BufWriter::new(terminal::out());
    let mut say = |message| {
        if call.json {
            serde_json::to_writer(&mut out, &message).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Ok(())
    };
    let (records, common) = (&looked.records, &looked.common);
    let events = events::group(records, common, &alerts, &setup.trap, &setup.background, made_at, &mut say);
    let events = events.context("standard output")?;
    let findings = Findings { looked, events, setup, root, made_at };
    if call.json {
        out.flush().context("standard output")?;
        // The messages are for a program; who started it still reads what failed.
        let _ = summary::write_short(&mut io::stderr().lock(), &findings);
    } else {
        summary::write(&mut out, &findings).and_then(|()| out.flush()).context("standard output")?;
    }
    if interrupted {
        bail!("interrupted: what is said above is of the frames looked at so far, and no file was written");
    }
    if let Some(words) =
        (call.megadetector.is_some() || call.camtrap_dp.is_some()).then(|| no_text(&findings)).flatten()
    {
        terminal::complain(words);
    }
    if let Some(path) = &call.megadetector {
        megadetector::write(path, &findings)?;
        terminal::complain(format_args!("MegaDetector results are in {}", terminal::line(path.display())));
    }
    if let (Some(package), Some(folder)) = (package, &call.camtrap_dp) {
        package.write(&findings, &alerts, call.utc_offset)?;
        terminal::complain(format_args!("the Camtrap DP package is in {}", terminal::line(folder.display())));
    }
    let good = findings.looked.records.iter().map(|_| ExitCode::Ok);
    Ok(ExitCode::of_parts(good.chain(findings.looked.failures.iter().map(|_| ExitCode::Failure))))
}

/// Says which files other tools won't find by what is written of them.
fn no_text(findings: &Findings) -> Option<String> {
    let looked = &findings.looked;
    let names = looked.records.iter().map(|record| &*record.name);
    let names = names.chain(findings.files_failed().map(|failure| failure.name.as_str()));
    let names = names.chain(looked.copies.iter().map(|copy| copy.name.as_str()));
    let lost: Vec<&str> = names.filter(|name| name.contains(char::REPLACEMENT_CHARACTER)).collect();
    lost.first().map(|first| {
        format!(
            "{} with a name that is not UTF-8, as {}: it stands in the results with \u{fffd}, and other tools won't find \
             the file; rename and replay again",
            counted(lost.len() as u64, "file"),
            terminal::line(first)
        )
    })
}

/// The configured rules with what the command line says over them.
fn alerts(config: &Config, call: &Replay) -> Alerts {
    let mut alerts = config.alerts.clone();
    alerts.location = call.location.or(alerts.location);
    alerts.location_policy = call.location_policy.map_or(alerts.location_policy, Into::into);
    alerts
}

fn classifier(config: &Config, call: &Replay, alerts: &Alerts) -> Result<Classifier> {
    let backbone = Origin::from_setting(call.backbone.as_ref().unwrap_or(&config.model.backbone));
    let head = Origin::from_setting(call.head.as_ref().unwrap_or(&config.model.head));
    // Frames side by side keep all processors busy; threads within a frame would only add to that.
    let model = guarded("load", || source::model(&backbone, &head, 1))??;
    let classifier = Classifier::new(model, config.trap_name(), alerts, limits())?;
    for warning in classifier.proven().rules().warnings() {
        terminal::complain(warning);
    }
    Ok(classifier)
}

/// A flag that the first SIGINT or SIGTERM sets; the second ends the process.
fn stopped_by_signals() -> Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let flag = stop.clone();
    thread::Builder::new().name("arcticd-signals".into()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if flag.swap(true, Ordering::Relaxed) {
                    std::process::exit(ExitCode::Failure as i32);
                }
                // On a line of its own, below the progress.
                let _ = writeln!(io::stderr());
                terminal::complain("stopping after the frames in work; once more to stop at once");
            }
        });
    })?;
    Ok(stop)
}
