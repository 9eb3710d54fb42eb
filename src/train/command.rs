//! `arcticd train`: photos in, head and report out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use time::OffsetDateTime;

use super::background::{self, Background};
use super::folders::label_named;
use super::report::{self as story, Told};
use super::{
    Cache, Extractor, FalseAlerts, Features, FitError, FitOptions, Folders, FoldersError, Goal, Labelled, Layers,
    Outcome, bytes_needed, fit,
};
use crate::classifier::{guarded, rfc3339};
use crate::cli::Train;
use crate::evaluate::Judged;
use crate::exit_code::ExitCode;
use crate::heads::{self, Bundle};
use crate::memory;
use crate::model::source::{self, Origin};
use crate::model::{Backbone, Head, HeadBackbone, HeadManifest, is_background, is_name};
use crate::photos;
use crate::quantize::Progress;
use crate::report;
use crate::terminal;
use crate::whole_file;

/// Share of each label's photos that is kept for the test where the folders have no test part.
const TEST_SHARE: f64 = 0.2;

/// Runs the command.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn run(call: &Train) -> Result<ExitCode> {
    let goal = goal(call)?;
    let files = Files::beside(&call.output)?;
    if let Some(key) = &call.key {
        ensure!(key.is_file(), "--key {}: there is no such file; `arcticd head new-key` makes one", key.display());
    }
    // Whoever mistypes a password learns it before the work.
    let key =
        call.key.as_deref().map(|key| heads::command::load_key(key, call.password_file.as_deref())).transpose()?;
    let (name, version) = (name(call)?, version(call)?);
    let (sequence, replaced) = heads::command::sequence(&call.output, call.sequence);
    let folders = Folders::read(&call.directory)?;
    for part in [Some(&folders.train), folders.test.as_ref()].into_iter().flatten() {
        photos::complain(&part.ignored);
    }
    let alerts = alerts(call, &folders)?;
    let backbone = backbone(call)?;
    let (stand_in, without) = stand_in(call, &backbone, &folders)?;
    check_memory(call, &backbone, &folders)?;

    let progress = Progress::on_terminal();
    let set_aside = folders.one_level;
    let (train, test) = features(call, &backbone, folders, &progress)?;
    let mut skipped = Vec::new();
    for part in [Some(&train), test.as_ref()].into_iter().flatten() {
        skipped.extend(part.skipped.iter().cloned());
    }
    photos::complain(&skipped);
    if let [label, ..] = train.empty_labels()[..] {
        bail!("label {label}: none of its photos could be used; add photos or take the folder out");
    }
    let mut notes = story::notes_on_photos(&train, test.as_ref(), &skipped, set_aside);

    let start = Instant::now();
    let (trained_on, mut digests) = (train.trained_on(), train.short_digests());
    digests.sort_unstable();
    let took = train.took;
    let mut dataset = train.dataset.clone();
    notes.extend(without);
    if let Some(stand_in) = stand_in {
        stand_in.add_to(&mut dataset, background::LABEL)?;
    }
    let options = FitOptions {
        layers: call.layers,
        epochs: call.epochs,
        batch: call.batch,
        seed: call.seed,
        folds: call.folds,
        alerts,
        goal,
        ..FitOptions::default()
    };
    let mut outcome = fit(&dataset, &options, &|what, done, all| progress.show(what, done, all))?;
    notes.append(&mut outcome.notes);

    let created = rfc3339(OffsetDateTime::now_utc());
    let mut manifest = HeadManifest {
        sequence,
        created_at: created.clone(),
        novelty: outcome.novelty.clone(),
        trained_on: Some(trained_on),
        ..HeadManifest::new(name, version, reference(&backbone), outcome.labels.clone())
    };
    // Loaded once without its figures, which it is needed for.
    let canaries = canaries(&dataset);
    let head = Bundle::make(manifest.clone(), outcome.onnx.clone(), &canaries)?.head()?;
    let tested = test.as_ref().map(|test| judged(&head, test)).transpose()?;
    let told = Told {
        head: &head,
        backbone: &backbone,
        layers: layers(call, &outcome),
        dataset: &dataset,
        test: test.as_ref().zip(tested.as_deref()),
        outcome: &outcome,
        notes,
        goal,
        trained_on: digests,
        created,
        features: took,
        fit: start.elapsed(),
    };
    let report = told.report(&progress)?;
    manifest.evaluation = Some(story::summary(&report)?);
    let mut bundle = Bundle::make(manifest, outcome.onnx, &canaries)?;
    if let Some(key) = &key {
        bundle.set_signature(heads::command::sign_with(&bundle, key)?);
    }
    if let Some(replaced) = replaced {
        terminal::complain(replaced);
    }
    bundle.save(&call.output)?;
    whole_file::write_bytes(&files.html, report::html(&report).as_bytes())?;
    whole_file::write_bytes(&files.json, report::json(&report)?.as_bytes())?;
    print(call, &report, &files).with_context(|| {
        format!("{} is written, but not all could be said of it on standard output", call.output.display())
    })?;
    Ok(if skipped.is_empty() { ExitCode::Ok } else { ExitCode::SomeFailed })
}

fn print(call: &Train, report: &report::Report, files: &Files) -> Result<()> {
    let mut out = terminal::out();
    let (head, typed) = (terminal::line(call.output.display()), terminal::shell(&call.output));
    if call.json {
        let value: serde_json::Value = serde_json::from_str(&report::json(report)?)?;
        writeln!(out, "{value}")?;
    } else {
        writeln!(out, "{}", report::text(report))?;
        writeln!(out, "{head} written, {} shows how it went", terminal::line(files.html.display()))?;
        if call.key.is_none() {
            writeln!(out, "It is unsigned: `arcticd head sign {typed} --key KEY` before it is pushed.")?;
        }
    }
    Ok(out.flush()?)
}

fn goal(call: &Train) -> Result<Goal> {
    Ok(match (call.max_false_alerts, call.frames_per_day) {
        (None, Some(_)) => bail!("--frames-per-day goes with --max-false-alerts COUNT/day"),
        (None, None) => match call.min_recall {
            Some(recall) if recall > 0.0 && recall <= 1.0 => Goal::MinRecall(recall),
            Some(recall) => bail!("--min-recall is {recall}; a share above 0, up to 1, is wanted"),
            None => Goal::default(),
        },
        (Some(FalseAlerts::Share(rate)), _) => Goal::MaxFalseAlerts(rate),
        (Some(FalseAlerts::PerDay(count)), Some(frames)) if frames.is_finite() && frames > 0.0 => {
            Goal::MaxFalseAlerts((count / frames).min(1.0))
        }
        (Some(FalseAlerts::PerDay(_)), Some(frames)) => bail!("--frames-per-day is {frames}; it must be above 0"),
        (Some(FalseAlerts::PerDay(_)), None) => {
            bail!("--max-false-alerts COUNT/day needs --frames-per-day: how many frames does a trap take?")
        }
    })
}

/// The files beside the head.
struct Files {
    html: PathBuf,
    json: PathBuf,
}

impl Files {
    fn beside(head: &Path) -> Result<Self> {
        ensure!(
            head.extension().is_some_and(|ending| ending == "head"),
            "{}: the name of a head ends in .head",
            head.display()
        );
        // A long calculation must not end at a folder that was never there.
        let files = Self { html: head.with_extension("report.html"), json: head.with_extension("report.json") };
        [head, &files.html, &files.json].into_iter().try_for_each(whole_file::check_writable)?;
        Ok(files)
    }
}

/// The name given, or what can be made of the file's.
fn name(call: &Train) -> Result<String> {
    if let Some(name) = &call.name {
        ensure!(is_name(name), "--name {name}: it must match [a-z0-9.-]+");
        return Ok(name.clone());
    }
    let stem = call.output.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    ensure!(is_name(&name), "no name can be made of {}; give --name", call.output.display());
    Ok(name)
}

fn version(call: &Train) -> Result<String> {
    let Some(version) = &call.head_version else { return Ok(OffsetDateTime::now_utc().date().to_string()) };
    let line = !version.is_empty() && version.len() <= 64 && !version.chars().any(char::is_control);
    ensure!(line, "--head-version {version:?}: it must be one line of at most 64 bytes");
    Ok(version.clone())
}

/// The labels that are to alert, as folders' names are read; one that there is not is told before the work.
fn alerts(call: &Train, folders: &Folders) -> Result<Vec<String>, FitError> {
    let labels = &folders.train.labels;
    let alerts: Vec<String> = call.alert.iter().map(|name| label_named(name)).collect();
    for (label, typed) in alerts.iter().zip(&call.alert) {
        if is_background(label) {
            return Err(FitError::BackgroundAlert { label: label.clone() });
        }
        if !labels.contains(label) {
            return Err(FitError::UnknownAlert { label: typed.clone(), known: labels.join(", ") });
        }
    }
    Ok(alerts)
}

fn backbone(call: &Train) -> Result<Backbone> {
    let origin = call.backbone.clone().map_or(Origin::Builtin, Origin::Path);
    let engine = source::engine(1)?;
    let load = if call.flatten { source::flattened_backbone } else { source::backbone_with };
    guarded("load", || load(&origin, engine))?
}

/// A flattened map of 100,352 features fills memory before anybody notices.
fn check_memory(call: &Train, backbone: &Backbone, folders: &Folders) -> Result<()> {
    let (photos, tests) = (folders.train.photos.len(), folders.test.as_ref().map_or(0, |test| test.photos.len()));
    let width = backbone.features();
    let rows = photos as u64 * (u64::from(call.views) + 1);
    let classes = folders.train.labels.len() as u64;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let needed = call
        .layers
        .training_bytes(width as u64, classes, rows, photos as u64, threads, call.folds)
        .saturating_add(bytes_needed(photos, call.views, width))
        .saturating_add(bytes_needed(tests, 0, width));
    if let Layers::Mlp { units } = call.layers {
        let bytes = (width as u64 + classes).saturating_mul(units as u64).saturating_mul(4);
        let most = heads::bundle::Limits::LOCAL.network;
        ensure!(
            bytes < most,
            "{units} units on {width} features are {} MB; a head may have {} MB: take fewer units, or pooled features",
            bytes >> 20,
            most >> 20
        );
    }
    let free = memory::available();
    if let Some(free) = free
        && needed > free / 10 * 9
    {
        bail!(
            "{photos} photos in {} views at {width} features need about {} MB of memory, {} MB are free: take fewer --views, pooled features (without --flatten), or fewer units",
            call.views + 1,
            needed >> 20,
            free >> 20
        );
    }
    Ok(())
}

/// Features of the photos to train on and to test on.
fn features(
    call: &Train,
    backbone: &Backbone,
    folders: Folders,
    progress: &Progress,
) -> Result<(Features, Option<Features>)> {
    let cache = call.cache.as_deref().map_or_else(Cache::of_user, Cache::at);
    let extractor = Extractor { backbone, cache: &cache, views: call.views, seed: call.seed };
    let train = extractor.extract(&folders.train, progress);
    if folders.one_level {
        let (train, test) = train.split(TEST_SHARE, call.seed);
        return Ok((train, Some(test).filter(|test| !test.dataset.photos.is_empty())));
    }
    let plain = Extractor { views: 0, ..extractor };
    let test = |test: Labelled| plain.extract(&test, progress);
    Ok((train, folders.test.map(test).filter(|test| !test.dataset.photos.is_empty())))
}

/// What stands in where there is no background folder to train on, and what is to be said of it.
fn stand_in(call: &Train, backbone: &Backbone, folders: &Folders) -> Result<(Option<Background>, Option<String>)> {
    if folders.train.labels.iter().any(|label| is_background(label)) {
        return Ok((None, None));
    }
    const COST: &str = "Without photos of what is not looked for, every frame must be one of the labels: measured on this \
                        project's photos, 1.57 % false alerts instead of 0.08 % at 99 % of the bears found. A folder \
                        `other` of a hundred frames of your site is the best remedy";
    let packaged = Background::builtin()?;
    let fits = packaged.backbone == backbone.manifest().sha256 && packaged.rows.width() == backbone.features();
    let lacking = match (call.no_background, fits) {
        (true, _) => Some("--no-background leaves the packaged one out"),
        (false, false) => Some("none is packaged for this backbone"),
        (false, true) => None,
    };
    if let (Some(_), [label]) = (lacking, &folders.train.labels[..]) {
        return Err(FoldersError::OneLabel { path: call.directory.clone(), label: label.clone() }.into());
    }
    let tested = folders.untrained_background.as_deref();
    match (lacking, tested) {
        (Some(why), Some(folder)) => bail!(
            "{}: there is no background folder to train on, and {why}, so that no head could be tested on this one; add \
             a folder train/{}, or move this one away",
            folder.display(),
            background::LABEL
        ),
        (Some(why), None) => Ok((None, Some(format!("There is no background folder, and {why}. {COST}.")))),
        (None, tested) => {
            let rows = packaged.rows.len();
            let (to_train_on, tested) = match tested {
                Some(_) => (" to train on", ". The test is on your own photos of it and shows how far that holds"),
                None => ("", ""),
            };
            let words = format!(
                "There is no background folder{to_train_on}: the features of {rows} packaged photos stand in as \
                 `{}`{tested}. {COST}.",
                background::LABEL
            );
            Ok((Some(packaged), Some(words)))
        }
    }
}

fn reference(backbone: &Backbone) -> HeadBackbone {
    let manifest = backbone.manifest();
    HeadBackbone { id: manifest.id.clone(), sha256: manifest.sha256.clone(), features: backbone.features() }
}

fn layers(call: &Train, outcome: &Outcome) -> String {
    format!("{}{}", outcome.layers, if call.flatten { ", on the flattened feature map" } else { "" })
}

/// The first photo of each label: what the head must give again wherever it runs.
fn canaries(dataset: &super::Dataset) -> Vec<Vec<f32>> {
    let first = |class: usize| {
        let mut rows = dataset.class.iter().zip(&dataset.plain);
        rows.position(|(own, plain)| *own == class && *plain).map(|row| dataset.rows.row(row).to_vec())
    };
    (0..dataset.labels.len()).filter_map(first).collect()
}

/// What the head says of each photo itself, in the head's labels.
fn judged(head: &Head, features: &Features) -> Result<Vec<Judged>> {
    let data = &features.dataset;
    let labels = &head.manifest().labels;
    let place = |class: usize| {
        let name = data.labels.get(class)?;
        labels.iter().position(|label| &label.name == name)
    };
    let plain = (0..data.rows.len()).filter(|row| data.plain[*row]);
    let judge = |row: usize| {
        let truth = place(data.class[row]).context("the test has a label that the head lacks")?;
        let scored = head.look(data.rows.row(row))?;
        Ok(Judged { truth, probabilities: scored.labels.into_iter().map(|(_, p)| p).collect() })
    };
    plain.map(judge).collect()
}
