//! `arcticd head list` and `head rollback`: asked of the daemon that runs here.

use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::Serialize;

use super::control;
use super::inbox::{Answer, Request};
use super::report::{HeadFacts, OfferReport, Report};
use crate::config::Config;
use crate::exit_code::ExitCode;
use crate::journal::HeadEntry;
use crate::terminal::{self, plain};

/// What `head list --json` prints.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Listing {
    /// As on `head/state`.
    report: Report,
    /// What became of heads, the latest step first.
    history: Vec<HeadEntry>,
}

/// Prints which heads serve, and their history.
///
/// # Errors
/// No daemon answers.
pub fn list(config: &Config, json: bool) -> Result<ExitCode> {
    match control::ask(&config.state.directory, &Request::HeadList)? {
        Answer::HeadList { report, history } if json => {
            terminal::print(&serde_json::to_string(&Listing { report: *report, history })?)?;
        }
        Answer::HeadList { report, history } => terminal::print(&text(&report, &history))?,
        Answer::Done(text) | Answer::Refused(text) => bail!("{text}"),
    }
    Ok(ExitCode::Ok)
}

/// Lets the daemon return to the head before.
///
/// # Errors
/// No daemon answers, or there is no head before.
pub fn rollback(config: &Config) -> Result<ExitCode> {
    match control::ask(&config.state.directory, &Request::HeadRollback)? {
        Answer::Done(text) => terminal::print(&plain(&text))?,
        Answer::Refused(text) => bail!("{text}"),
        Answer::HeadList { .. } => bail!("the daemon's answer is not understood; is it of another version?"),
    }
    Ok(ExitCode::Ok)
}

fn text(report: &Report, history: &[HeadEntry]) -> String {
    let mut lines = vec![format!("active    {}", head(&report.active))];
    if let Some(previous) = &report.previous {
        lines.push(format!("previous  {}", head(previous)));
    }
    if let Some(offered) = report.offer.as_ref().filter(|offered| offered.head.id != report.active.id) {
        lines.push(format!("offered   {}", offer(offered)));
    }
    if let Some(next) = &report.next {
        lines.push(format!("next      {}", offer(next)));
    }
    lines.push(format!("floor     sequence {}: this and lower ones are not taken", report.floor));
    if let Some(last) = &report.refused.last {
        lines.push(format!("refused   {} unproven messages since the start, the last: {last}", report.refused.count));
    }
    if report.local.kept > 0 {
        let labelled = report.local.labelled.iter().map(|(label, count)| format!(", {count} labelled {label}"));
        lines.push(format!("kept      features of {} frames{}", report.local.kept, labelled.collect::<String>()));
    }
    for (kind, asked) in &report.local.asked {
        let outcome = asked.outcome.as_deref().unwrap_or("under way");
        lines.push(format!("asked     {kind}, sequence {}, by key {}: {outcome}", asked.sequence, asked.key));
    }
    if !history.is_empty() {
        lines.push(String::new());
    }
    let width = history.iter().map(|entry| entry.name.len() + entry.version.len() + 1).max().unwrap_or_default();
    lines.extend(history.iter().map(|entry| {
        let name = format!("{} {}", entry.name, entry.version);
        let reason = entry.reason.as_ref().map(|reason| format!("  {reason}")).unwrap_or_default();
        format!("{}  {name:width$}  {:>6}  {}{reason}", seconds(&entry.at), entry.sequence, entry.step)
    }));
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

/// A time without the part behind its seconds, of which zeros at the end are not written: columns would shift.
fn seconds(at: &str) -> String {
    match at.split_once('.') {
        Some((whole, rest)) => format!("{whole}{}", rest.trim_start_matches(|letter: char| letter.is_ascii_digit())),
        None => at.to_owned(),
    }
}

fn head(facts: &HeadFacts) -> String {
    let key = facts.key.as_ref().map(|key| format!(", signed by key {key}")).unwrap_or_default();
    format!("{} {}, sequence {}, {}{key}", facts.name, facts.version, facts.sequence, facts.origin)
}

fn offer(offered: &OfferReport) -> String {
    let mut text = format!("{}: {}", head(&offered.head), offered.state);
    if offered.received < offered.pieces {
        text.push_str(&format!(", {} of {} pieces", offered.received, offered.pieces));
    }
    if let Some(trial) = &offered.trial {
        text.push_str(&format!(
            ", {} of {} frames ({} alerts alike, {} new, {} dropped)",
            trial.frames, trial.of, trial.agreed_alerts, trial.new_alerts, trial.dropped_alerts
        ));
    }
    if let Some(reason) = &offered.reason {
        text.push_str(&format!("; {reason}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_wide_as_each_other() {
        for at in ["2026-11-24T10:00:07Z", "2026-11-24T10:00:07.1Z", "2026-11-24T10:00:07.123456789Z"] {
            assert_eq!(seconds(at), "2026-11-24T10:00:07Z");
        }
        assert_eq!(seconds("2026-11-24T10:00:07.5+01:00"), "2026-11-24T10:00:07+01:00");
    }
}
