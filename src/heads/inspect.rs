//! `arcticd head inspect`: everything in a head, and every doubt about it.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use super::bundle::ENTRIES;
use super::canaries::Canaries;
use super::signature::Signature;
use super::{LocalHead, TrustedKeys};
use crate::classifier::guarded;
use crate::cli::Inspect;
use crate::evaluate::{Evaluation, Share};
use crate::exit_code::ExitCode;
use crate::frame::ContentHash;
use crate::model::source::{self, Origin};
use crate::model::{BackboneManifest, Head, HeadManifest};
use crate::terminal;

/// Everything that is known of a head.
#[derive(Serialize)]
struct Report<'a> {
    /// File, directory or `builtin`.
    head: String,
    manifest: &'a HeadManifest,
    manifest_sha256: String,
    signature: Option<SignatureReport<'a>>,
    checks: Vec<Check>,
    /// Whether every check passed.
    ok: bool,
}

#[derive(Serialize)]
struct SignatureReport<'a> {
    key: String,
    trusted_comment: &'a str,
    /// The public key that it was checked with.
    trusted_by: Option<String>,
}

#[derive(Serialize)]
struct Check {
    check: &'static str,
    ok: bool,
    found: String,
}

impl Check {
    fn of(check: &'static str, result: Result<String>) -> Self {
        match result {
            Ok(found) => Self { check, ok: true, found },
            Err(error) => Self { check, ok: false, found: format!("{error:#}") },
        }
    }
}

/// Prints a head. Any doubt is [`ExitCode::Failure`]: not signed, not by a key given with `--trust`, damaged, made for
/// another backbone, or computing something else here.
///
/// # Errors
/// The head can't be read, is damaged, or its signature is wrong: then nothing in it is shown.
pub fn run(call: &Inspect) -> Result<ExitCode> {
    let (keys, bad) = TrustedKeys::load(&call.trust);
    let name = call.head.as_ref().map_or("builtin".into(), |path| path.display().to_string());
    let head = match &call.head {
        Some(path) => LocalHead::read(path, &keys),
        None => LocalHead::builtin(),
    };
    let head = head.with_context(|| name.clone())?;
    let trusted = head.signature.as_ref().and_then(|signature| keys.verify(signature, &head.bytes).ok());
    let signature = head.signature.as_ref().map(|signature| SignatureReport {
        key: signature.key().to_string(),
        trusted_comment: signature.trusted_comment(),
        trusted_by: trusted.map(|key| key.path().display().to_string()),
    });
    let mut checks =
        vec![Check::of("files", files(&head.manifest)), Check::of("signature", signature_check(call, &head, &keys))];
    if !bad.is_empty() {
        let list: Vec<String> = bad.iter().map(ToString::to_string).collect();
        checks.push(Check {
            check: "trust",
            ok: false,
            found: format!("not all keys can be used: {}", list.join("; ")),
        });
    }
    checks.extend(network(&head));
    checks.push(Check::of("backbone", backbone(call.backbone.as_deref(), &head.manifest)));
    let ok = checks.iter().all(|check| check.ok);
    let manifest_sha256 = ContentHash::of(&head.bytes).to_string();
    let report = Report { head: name, manifest: &head.manifest, manifest_sha256, signature, checks, ok };
    let mut out = terminal::out();
    let printed = if call.json { print_json(&mut out, &report) } else { print(&mut out, &report) };
    printed.and_then(|()| out.flush()).context("standard output")?;
    Ok(if ok { ExitCode::Ok } else { ExitCode::Failure })
}

/// Reading has compared them; a directory's manifest may list others, which nobody reads.
fn files(manifest: &HeadManifest) -> Result<String> {
    let names: Vec<&str> = manifest.files.keys().map(String::as_str).collect();
    if let Some(other) = names.iter().find(|name| !ENTRIES.contains(name)) {
        anyhow::bail!("the manifest lists {other}, which is no file of a head");
    }
    Ok(format!("{}, sizes and sha256 as the manifest says", names.join(", ")))
}

fn signature_check(call: &Inspect, head: &LocalHead, keys: &TrustedKeys) -> Result<String> {
    let Some(signature) = &head.signature else {
        return match call.head {
            None => Ok("none needed: it is part of this program".into()),
            Some(_) => Err(anyhow::anyhow!("not signed; sign it with `arcticd head sign`")),
        };
    };
    if call.trust.is_empty() {
        let key = Signature::key(signature);
        anyhow::bail!(
            "by key {key}, if it is to be believed: not checked against any trusted key; name those that count with --trust"
        );
    }
    if keys.iter().next().is_none() {
        anyhow::bail!("by key {}, if it is to be believed: none of the keys of --trust can be used", signature.key());
    }
    let key = keys.verify(signature, &head.bytes)?;
    Ok(format!("by key {}, trusted as {}", key.id(), key.path().display()))
}

/// Whether the network loads, and computes here what it computed where it was made.
fn network(head: &LocalHead) -> Vec<Check> {
    let checked = guarded("load", || match Head::load(head.manifest.clone(), &head.network) {
        Ok(loaded) => {
            let found = format!("loads, gives {} probabilities", head.manifest.labels.len());
            vec![Check::of("network", Ok(found)), Check::of("canaries", canaries(head, &loaded))]
        }
        Err(error) => vec![Check::of("network", Err(error.into()))],
    });
    // A network that makes a library panic is a doubt like any other.
    checked.unwrap_or_else(|error| vec![Check::of("network", Err(error.into()))])
}

fn canaries(head: &LocalHead, loaded: &Head) -> Result<String> {
    let Some(bytes) = &head.canaries else { return Ok("it has none".into()) };
    let canaries = Canaries::parse(bytes)?;
    let largest = canaries.check(loaded)?;
    Ok(format!("{} pass, largest difference {largest:.1e} of {:.0e} allowed", canaries.len(), canaries.tolerance()))
}

fn backbone(path: Option<&Path>, head: &HeadManifest) -> Result<String> {
    let wanted = &head.backbone;
    let origin = path.map_or(Origin::Builtin, |path| Origin::Path(path.into()));
    let found: BackboneManifest = source::backbone_manifest(&origin)?;
    // How many features a whole feature map has, only the network itself knows.
    let flattened = source::wants_flattened(head, &found);
    let features = match flattened {
        true => guarded("load", || source::backbone_for(&origin, head, source::engine(1)?))??.features(),
        false => found.output.features,
    };
    let mut differences = Vec::new();
    if wanted.id != found.id {
        differences.push(format!("it is {}", found.id));
    }
    if !wanted.sha256.eq_ignore_ascii_case(&found.sha256) {
        differences.push("its sha256 is another".into());
    }
    if wanted.features != features {
        differences.push(format!("it gives {features} features"));
    }
    let which = if path.is_some() { "the backbone given" } else { "the built-in backbone" };
    if differences.is_empty() {
        let whole = if flattened { ", with its whole feature map" } else { "" };
        return Ok(format!("{which}, {}, is the one it was trained on{whole}", found.id));
    }
    anyhow::bail!(
        "it was trained on {} with {} features, {which} is another: {}; name the right one with --backbone",
        wanted.id,
        wanted.features,
        differences.join(", ")
    )
}

fn print_json(out: &mut impl Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    writeln!(out)
}

fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let manifest = report.manifest;
    writeln!(out, "{} {}, sequence {}", manifest.name, terminal::line(&manifest.version), manifest.sequence)?;
    let audience = if manifest.audience.is_empty() { "all traps".into() } else { manifest.audience.join(", ") };
    row(out, "for", &terminal::line(&audience))?;
    row(out, "created", &terminal::line(&manifest.created_at))?;
    let backbone = &manifest.backbone;
    row(
        out,
        "backbone",
        &format!(
            "{}, {} features, sha256 {}",
            terminal::line(&backbone.id),
            backbone.features,
            terminal::line(&backbone.sha256)
        ),
    )?;
    let wide = manifest.labels.iter().map(|label| label.name.len()).max().unwrap_or(0).max(20);
    for (number, label) in manifest.labels.iter().enumerate() {
        let kind = match label {
            label if label.background => "background, never alerts".to_owned(),
            label if label.alert => format!("alerts from {}", label.threshold),
            label => format!("threshold {}", label.threshold),
        };
        row(out, if number == 0 { "labels" } else { "" }, &format!("{:wide$} {kind}", label.name))?;
    }
    for (number, (name, file)) in manifest.files.iter().enumerate() {
        let text =
            format!("{:20} {:>9} bytes, sha256 {}", terminal::line(name), file.size, terminal::line(&file.sha256));
        row(out, if number == 0 { "files" } else { "" }, &text)?;
    }
    if let Some(chunks) = &manifest.chunks {
        row(out, "pieces", &format!("{} of {} bytes", chunks.sha256.len(), chunks.size))?;
    }
    row(out, "manifest", &format!("sha256 {}", report.manifest_sha256))?;
    if let Some(trained_on) = &manifest.trained_on {
        row(
            out,
            "trained on",
            &format!("{} photos, digest {}", trained_on.photos, terminal::line(&trained_on.digest)),
        )?;
    }
    if let Some(novelty) = &manifest.novelty {
        row(out, "novelty", &format!("{:?}, novel above {}", novelty.method, novelty.threshold).to_lowercase())?;
    }
    if let Some(evaluation) = &manifest.evaluation {
        print_evaluation(out, evaluation)?;
    }
    if let Some(signature) = &report.signature {
        row(out, "signature", &format!("key {}", signature.key))?;
        row(out, "", &terminal::line(signature.trusted_comment.replace('\t', "  ")))?;
    }
    for check in &report.checks {
        writeln!(out, "{:5} {}: {}", if check.ok { "ok" } else { "DOUBT" }, check.check, terminal::line(&check.found))?;
    }
    Ok(())
}

fn print_evaluation(out: &mut impl Write, value: &Value) -> io::Result<()> {
    let Ok(evaluation) = serde_json::from_value::<Evaluation>(value.clone()) else {
        // Another tool's: what it says at its top.
        let keys: Vec<String> = match value {
            Value::Object(map) => map.iter().filter_map(|(key, value)| summary(key, value)).collect(),
            other => vec![other.to_string()],
        };
        let keys = if keys.is_empty() { "another tool's".to_owned() } else { keys.join(", ") };
        return row(out, "evaluation", &terminal::line(format!("{keys} (the whole with --json)")));
    };
    let text = format!("{} photos, balanced accuracy {:.4}", evaluation.images, evaluation.balanced_accuracy);
    row(out, "evaluation", &text)?;
    let wide = evaluation.per_class.iter().map(|class| class.label.len()).max().unwrap_or(0).max(20);
    for class in &evaluation.per_class {
        row(out, "", &format!("{:wide$} recall {}", terminal::line(&class.label), share(&class.recall)))?;
    }
    for alert in &evaluation.alerts {
        let text = format!(
            "{} from {}: found {}, false alerts {}",
            terminal::line(&alert.label),
            alert.threshold,
            share(&alert.recall),
            share(&alert.false_alert_rate)
        );
        row(out, "", &text)?;
    }
    Ok(())
}

/// A figure in words; what holds several is left to the JSON.
fn summary(key: &str, value: &Value) -> Option<String> {
    let key = key.replace('_', " ");
    match value {
        Value::Number(_) | Value::String(_) | Value::Bool(_) => Some(format!("{key} {value}")),
        _ => None,
    }
}

fn share(share: &Share) -> String {
    let [low, high] = share.wilson_95;
    format!(
        "{} of {} ({:.1} %, 95 %: {:.1} to {:.1})",
        share.hits,
        share.of,
        100.0 * share.share,
        100.0 * low,
        100.0 * high
    )
}

fn row(out: &mut impl Write, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "  {name:10}  {text}")
}
