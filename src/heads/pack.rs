//! `arcticd head pack`: a head of a network that was trained elsewhere.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Bundle, outside};
use crate::classifier::guarded;
use crate::cli::Pack;
use crate::exit_code::ExitCode;
use crate::model::source::{self, Origin};
use crate::model::{HeadBackbone, HeadManifest, Label, is_background, is_label, is_name};
use crate::terminal;

/// Largest network that is read, in bytes: a head on flattened features may have 400 MB.
const MAX_BYTES: u64 = 1 << 30;

/// Runs the command.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn run(call: &Pack) -> Result<ExitCode> {
    let labels = labels(call)?;
    let name = name(call)?;
    let onnx = read(&call.onnx, MAX_BYTES)?;
    let origin = match call.backbone.to_str() {
        Some(setting) => Origin::from_setting(setting),
        None => Origin::Path(call.backbone.clone()),
    };
    let backbone = guarded("load", || source::backbone(&origin, 1))??;
    let at = || call.onnx.display().to_string();
    // A network that makes a library panic is an error like any other.
    let adopted = guarded("load", || outside::adopt(&onnx, backbone.features(), labels.len()));
    let adopted = adopted.map_err(anyhow::Error::from).and_then(|adopted| adopted).with_context(at)?;
    let of = backbone.manifest();
    let trained_on = HeadBackbone { id: of.id.clone(), sha256: of.sha256.clone(), features: backbone.features() };
    let now = OffsetDateTime::now_utc();
    let version = call.head_version.clone().unwrap_or_else(|| now.date().to_string());
    let mut manifest = HeadManifest::new(name, version, trained_on, labels);
    let (sequence, replaced) = super::command::sequence(&call.output, call.sequence);
    manifest.sequence = sequence;
    manifest.created_at = now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default();
    manifest.output = Some(adopted.output);
    // One vector as the backbone gives it: made-up ones alone may all lie on one side of every boundary.
    let real = backbone.features_of_input(&backbone.probe())?;
    let bundle = Bundle::make(manifest, adopted.onnx, &[real]).with_context(at)?;
    bundle.head().with_context(at)?;
    if let Some(replaced) = replaced {
        terminal::complain(replaced);
    }
    bundle.save(&call.output)?;
    terminal::print(&words(call, &adopted.notes, bundle.manifest()))?;
    Ok(ExitCode::Ok)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let of = || format!("network {}", path.display());
    let mut bytes = Vec::new();
    // Pipes and devices have no size that could be asked for.
    File::open(path).with_context(of)?.take(limit + 1).read_to_end(&mut bytes).with_context(of)?;
    ensure!(bytes.len() as u64 <= limit, "{}: it has more than the {limit} bytes that are read", of());
    Ok(bytes)
}

/// The labels as they were named, with what they do.
fn labels(call: &Pack) -> Result<Vec<Label>> {
    let threshold: f32 = call
        .threshold
        .parse()
        .ok()
        .filter(|p| (0.0..=1.0).contains(p))
        .with_context(|| format!("--threshold {}: a probability from 0 to 1 is wanted", call.threshold))?;
    for label in &call.labels {
        let near: String = label.trim().to_lowercase().replace([' ', '-'], "_");
        let near = if is_label(&near) { format!("; `{near}` would do") } else { String::new() };
        ensure!(is_label(label), "--labels: `{label}` can't be a label, which is made of a-z, 0-9 and _{near}");
    }
    for (flag, named) in [("--alert", &call.alert), ("--background", &call.background)] {
        if let Some(unknown) = named.iter().find(|name| !call.labels.contains(name)) {
            bail!("{flag} {unknown}: no such label; there are {}", call.labels.join(", "));
        }
    }
    let background = |name: &String| {
        if call.background.is_empty() {
            is_background(name) && !call.alert.contains(name)
        } else {
            call.background.contains(name)
        }
    };
    let label = |name: &String| Label {
        name: name.clone(),
        alert: call.alert.contains(name),
        threshold,
        background: background(name),
    };
    Ok(call.labels.iter().map(label).collect())
}

/// The name given, or the output's.
fn name(call: &Pack) -> Result<String> {
    let stem = call.output.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let stem: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let name = call.name.clone().unwrap_or(stem);
    ensure!(is_name(&name), "--name {name}: a name is made of a-z, 0-9, . and -");
    Ok(name)
}

/// What was made of what, a line each.
fn words(call: &Pack, notes: &[String], manifest: &HeadManifest) -> String {
    let labels = manifest.labels.iter().enumerate().map(|(number, label)| {
        let role = match (label.alert, label.background) {
            (true, _) => format!(" (alerts from {})", label.threshold),
            (false, true) => " (background)".to_owned(),
            (false, false) => String::new(),
        };
        format!("{number} {}{role}", label.name)
    });
    let mut words = vec![
        // Names in the network are those of whoever made it.
        format!("{}: {}", terminal::line(call.onnx.display()), terminal::plain(&notes.join("; "))),
        format!("labels in the order of its output: {}", labels.collect::<Vec<_>>().join(", ")),
    ];
    if call.alert.is_empty() {
        words.push("no label is marked with --alert: the trap's [alerts] labels decide, else polar_bear alerts".into());
    }
    let (backbone, output) = (&manifest.backbone, terminal::line(call.output.display()));
    words.push(format!("{output}: {} {} for backbone {}", manifest.name, manifest.version, backbone.id));
    words.push(format!(
        "It is not signed: `arcticd head sign {} --key KEY` makes traps accept it over the air.",
        terminal::shell(&call.output)
    ));
    words.join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_more_is_read_than_a_network_may_have_even_of_what_has_no_size() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [1; 100]).unwrap();
        assert_eq!(read(file.path(), 100).unwrap().len(), 100);
        for path in [file.path(), Path::new("/dev/zero")] {
            let message = read(path, 99).unwrap_err().to_string();
            assert!(message.contains("99 bytes") && message.contains(&path.display().to_string()), "{message}");
        }
    }
}
