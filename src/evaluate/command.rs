//! `arcticd eval`: labelled photos in, figures out.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Evaluation, Judged, evaluate};
use crate::classifier::guarded;
use crate::cli::Eval;
use crate::config::Alerts;
use crate::detect::Rules;
use crate::exit_code::ExitCode;
use crate::model::source::{self, Origin};
use crate::model::{HeadScores, Model};
use crate::photos;
use crate::quantize::Progress;
use crate::report::counted;
use crate::terminal;
use crate::train::{Cache, Extractor, Features, Labelled};

/// Misses and false alerts that the text lists, each.
const LISTED: usize = 10;

/// What is printed.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    evaluation: Evaluation,
    head: String,
    backbone: String,
    /// Photos that were named wrongly, or alerted wrongly or not.
    mistakes: Vec<Mistake>,
    /// Photos that could not be used.
    skipped: Vec<Skipped>,
    /// Photos of which only a part could be decoded.
    partial: Vec<String>,
    /// What makes the figures better than they are: photos that were trained on.
    warning: Option<String>,
    /// Conditions that are not met, each with its value.
    unmet: Vec<String>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Mistake {
    photo: String,
    label: String,
    named: String,
    confidence: f32,
    /// The label that it alerts as.
    alert: Option<String>,
}

#[derive(Debug, Serialize)]
struct Skipped {
    photo: String,
    reason: String,
}

/// Runs the command.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn run(call: &Eval) -> Result<ExitCode> {
    let start = Instant::now();
    let origin = |path: &Option<PathBuf>| path.clone().map_or(Origin::Builtin, Origin::Path);
    let model = guarded("load", || source::model(&origin(&call.backbone), &origin(&call.head), 1))??;
    let labelled = Labelled::for_head(&call.directory, model.head().manifest())?;
    photos::complain(&labelled.ignored);
    let cache = call.cache.as_deref().map_or_else(Cache::of_user, Cache::at);
    let extractor = Extractor { backbone: model.backbone(), cache: &cache, views: 0, seed: 0 };
    let features = extractor.extract(&labelled, &Progress::on_terminal());
    photos::complain(&features.skipped);
    if features.dataset.photos.is_empty() {
        bail!("{}: none of the {} photos could be used", call.directory.display(), features.skipped.len());
    }
    let known = known(call, &model, &features);
    if let Some(warning) = &known {
        terminal::complain(warning);
    }
    let mut outcome = judge(&model, &features)?;
    outcome.warning = known;
    let failed = call.require.iter().filter_map(|required| required.check(&outcome.evaluation).err());
    outcome.unmet = failed.map(|unmet| unmet.to_string()).collect();
    outcome.seconds = (start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;

    let mut out = terminal::out();
    let printed = if call.json {
        serde_json::to_writer(&mut out, &outcome).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        print(&mut out, &outcome)
    };
    printed.and_then(|()| out.flush()).context("standard output")?;
    for unmet in &outcome.unmet {
        terminal::complain(unmet);
    }
    Ok(match (outcome.unmet.is_empty(), outcome.skipped.is_empty()) {
        (false, _) => ExitCode::Failure,
        (true, false) => ExitCode::SomeFailed,
        (true, true) => ExitCode::Ok,
    })
}

/// Largest report that is read, in bytes: one of a million photos.
const MOST_REPORT: u64 = 1 << 28;

/// Warns of photos that the head was trained on, by the digests in the report that `train` left beside it, or where there
/// is none by the digest of them all in the head.
fn known(call: &Eval, model: &Model, features: &Features) -> Option<String> {
    let all = features.dataset.photos.len();
    let report = call.head.as_ref().map(|head| head.with_extension("report.json"));
    let trained_on = report.as_ref().and_then(|report| trained_on(report, &model.head().title()));
    let (known, says) = match &trained_on {
        Some(trained_on) => {
            let known = features.short_digests().iter().filter(|digest| trained_on.contains(*digest)).count();
            let report = report.map(|report| terminal::line(report.display())).unwrap_or_default();
            (known, format!(", {report} says"))
        }
        None => {
            let same = model.head().manifest().trained_on.as_ref() == Some(&features.trained_on());
            (if same { all } else { 0 }, String::new())
        }
    };
    let of = if known == all { format!("all {all} photos were") } else { format!("{known} of the {all} photos were") };
    (known > 0).then(|| format!("{of} trained on{says}: the figures flatter; measure on others"))
}

/// The digests in a report, if it is one of the head called `title`.
fn trained_on(report: &Path, title: &str) -> Option<HashSet<String>> {
    #[derive(Deserialize)]
    struct Report {
        head: String,
        trained_on: HashSet<String>,
    }
    let mut text = Vec::new();
    File::open(report).ok()?.take(MOST_REPORT).read_to_end(&mut text).ok()?;
    let report: Report = serde_json::from_slice(&text).ok()?;
    (report.head == title && !report.trained_on.is_empty()).then_some(report.trained_on)
}

fn judge(model: &Model, features: &Features) -> Result<Outcome> {
    let head = model.head();
    let rules = Rules::new(&Alerts::default(), head.manifest());
    if let Err(error) = &rules {
        terminal::complain(format_args!("{error}; no figures of alerts"));
    }
    let alerts: Vec<(String, f32)> = rules.as_ref().map_or_else(
        |_| Vec::new(),
        |rules| rules.alerting().map(|(label, threshold)| (label.to_owned(), threshold)).collect(),
    );
    let data = &features.dataset;
    let mut judged = Vec::with_capacity(data.photos.len());
    let mut mistakes = Vec::new();
    for ((row, class), photo) in data.rows.iter().zip(&data.class).zip(&data.photos) {
        let HeadScores { labels: scores, novel, .. } = guarded("classify", || head.look(row))??;
        let alert = rules.as_ref().ok().map(|rules| rules.judge(&scores, novel)).filter(|verdict| verdict.alert);
        let alert = alert.map(|verdict| verdict.label);
        let photo_judged = Judged { truth: *class, probabilities: scores.iter().map(|(_, score)| *score).collect() };
        let named = photo_judged.named(scores.len()).and_then(|place| scores.get(place));
        if let (Some(label), Some((named, confidence))) = (data.labels.get(*class), named) {
            let should_alert = alerts.iter().any(|(alerting, _)| alerting == label);
            let right = match &alert {
                Some(alert) => alert == label,
                None => !should_alert,
            };
            if named != label || !right {
                let (photo, label, named) = (text(photo), label.clone(), named.clone());
                mistakes.push(Mistake { photo, label, named, confidence: *confidence, alert });
            }
        }
        judged.push(photo_judged);
    }
    let skipped = features.skipped.iter().map(|(path, reason)| Skipped { photo: text(path), reason: reason.clone() });
    Ok(Outcome {
        evaluation: evaluate(&data.labels, &judged, &alerts),
        head: head.title(),
        backbone: model.backbone().manifest().id.clone(),
        mistakes,
        skipped: skipped.collect(),
        partial: features.partial.iter().map(|path| text(path)).collect(),
        warning: None,
        unmet: Vec::new(),
        seconds: 0.0,
    })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn print(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let Outcome { evaluation, head, backbone, seconds, .. } = outcome;
    writeln!(out, "{head} on {backbone}: {} photos, {seconds:.1} s", evaluation.images)?;
    match outcome.skipped.len() {
        0 => {}
        1 => writeln!(out, "1 more could not be used and is in no figure")?,
        more => writeln!(out, "{more} more could not be used and are in no figure")?,
    }
    if !outcome.partial.is_empty() {
        let (count, paths) = (outcome.partial.len() as u64, outcome.partial.iter().map(PathBuf::from));
        let names = photos::names(paths.collect::<Vec<_>>().iter());
        writeln!(out, "{} among these looked at as far as decoded: {names}", counted(count, "damaged photo"))?;
    }
    writeln!(out, "\n{evaluation}")?;
    for alert in &evaluation.alerts {
        let missed = |mistake: &&Mistake| mistake.label == alert.label && mistake.alert.as_ref() != Some(&alert.label);
        let falsely = |mistake: &&Mistake| mistake.label != alert.label && mistake.alert.as_ref() == Some(&alert.label);
        list(out, &format!("missed {}", alert.label), outcome.mistakes.iter().filter(missed).collect())?;
        list(out, &format!("false alerts of {}", alert.label), outcome.mistakes.iter().filter(falsely).collect())?;
    }
    Ok(())
}

fn list(out: &mut impl Write, what: &str, mistakes: Vec<&Mistake>) -> io::Result<()> {
    if mistakes.is_empty() {
        return Ok(());
    }
    writeln!(out, "{what}")?;
    for mistake in mistakes.iter().take(LISTED) {
        let photo = terminal::line(&mistake.photo);
        writeln!(out, "  {photo} (named {}, {:.3})", mistake.named, mistake.confidence)?;
    }
    if mistakes.len() > LISTED {
        writeln!(out, "  and {} more, all listed with --json", mistakes.len() - LISTED)?;
    }
    Ok(())
}
