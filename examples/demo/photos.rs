//! The user's photos through the built-in head.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use arcticd::config::{AlertPolicy, Alerts};
use arcticd::model::source::{self, Origin};
use walkdir::WalkDir;

use crate::print::{self, Row};
use crate::rig::{PATIENCE, Rig};

/// Endings that the daemon takes for frames.
const FRAMES: [&str; 9] = ["jpg", "jpeg", "jpe", "png", "bmp", "gif", "tif", "tiff", "webp"];
/// Photos that wait in the capture directory at a time: the copies need room on the disk.
const AHEAD: usize = 200;

/// A photo, and its path below the given directory.
struct Photo {
    file: PathBuf,
    name: String,
}

/// Shows all photos in `directory`; fails if one could not be read, but only at the end.
pub fn show(directory: &Path) -> Result<ExitCode> {
    let (photos, others) = find(directory)?;
    ensure!(!photos.is_empty(), "{}: no photo in there ({} other files); JPEG, PNG, TIFF, WebP, BMP or GIF is wanted", directory.display(), others.len());
    print::title("arcticd demo: your photos, the built-in head, and the alerts that arrive over MQTT");
    let head = source::head(&Origin::Builtin)?;
    let labels: Vec<&str> = head.manifest().labels.iter().map(|label| label.name.as_str()).collect();
    print::fact("photos", format!("{} from {} (copied, never touched)", photos.len(), directory.display()));
    print::fact("head", format!("{}, which knows {}", head.title(), labels.join(", ")));
    let alerting: Vec<String> = head
        .manifest()
        .labels
        .iter()
        .filter(|label| label.alert)
        .map(|label| format!("{} from {}", label.name, label.threshold))
        .collect();
    print::fact("alerts", format!("{}; each frame is a message, bursts are not grouped", alerting.join(", ")));

    let alerts = Alerts { policy: AlertPolicy::EveryFrame, ..Alerts::default() };
    let mut rig = Rig::start(alerts, |_| Ok("builtin".to_owned()))?;
    print::fact("broker", format!("{}, embedded, loopback only\n", rig.broker_url()));
    let mut rows: Vec<Row> = Vec::new();
    let mut unreadable = others.len();
    for part in photos.chunks(AHEAD) {
        let mut copied = Vec::new();
        for photo in part {
            match rig.copy_in(&photo.name, &photo.file) {
                Ok(()) => copied.push(photo.name.as_str()),
                Err(error) if error.is::<crate::Interrupted>() => return Err(error),
                Err(error) => {
                    unreadable += 1;
                    rows.push(row(&photo.name, "unreadable", format!("{error:#}")));
                }
            }
        }
        classified(&mut rig, &copied)?;
        for name in copied {
            let entry = rig.ledger().frame(name)?.with_context(|| format!("{name} is not in the journal"))?;
            rows.push(match (entry.failed, entry.label) {
                (None, Some(label)) => {
                    let told = if entry.alert { "alert" } else { "-" };
                    row(name, print::score(&label, entry.confidence.unwrap_or_default()), told)
                }
                (reason, _) => {
                    unreadable += 1;
                    row(name, "unreadable", reason.unwrap_or_default())
                }
            });
        }
    }
    rig.finish()?;
    rows.extend(others.iter().map(|name| row(name, "not looked at", "no frame by its name")));
    print::table(&rows);
    conclude(&rig, &rows, photos.len(), unreadable)
}

fn conclude(rig: &Rig, rows: &[Row], photos: usize, unreadable: usize) -> Result<ExitCode> {
    let copies = rows.iter().filter(|row| row.told == "alert" && rig.alert_of(&row.name).is_none()).count();
    let arrived = rig.detections().iter().filter(|d| d.kind == arcticd::detection::Kind::Detection).count();
    let expected = rows.iter().filter(|row| row.told == "alert").count() - copies;
    println!("  {photos} photos, {arrived} alerts over MQTT, {unreadable} files that could not be scored.");
    if copies > 0 {
        println!("  {copies} alerting photos have the content of another one: a frame is its content, and alerts once.");
    }
    if arrived < expected {
        bail!("{arrived} of {expected} alerts arrived");
    }
    Ok(if unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn row(name: &str, scored: impl Into<String>, told: impl Into<String>) -> Row {
    Row { name: name.into(), truth: None, scored: scored.into(), told: told.into() }
}

/// Waits for these frames, for as long as there is progress.
fn classified(rig: &mut Rig, names: &[&str]) -> Result<()> {
    let mut best = 0;
    let mut since = Instant::now();
    rig.wait("the photos to be classified", Duration::MAX, |rig| {
        let files = rig.ledger().files()?;
        let done = names.iter().filter(|name| files.binary_search_by(|file| file.as_str().cmp(name)).is_ok()).count();
        if done > best {
            (best, since) = (done, Instant::now());
        }
        ensure!(since.elapsed() < PATIENCE, "{done} of {} photos classified, and no progress for {PATIENCE:?}", names.len());
        Ok(done == names.len())
    })
}

/// Photos below `directory`, and the names of the files that are none.
fn find(directory: &Path) -> Result<(Vec<Photo>, Vec<String>)> {
    ensure!(directory.is_dir(), "{}: not a directory", directory.display());
    let (mut photos, mut others) = (Vec::new(), Vec::new());
    for entry in WalkDir::new(directory).follow_links(true).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                others.push(error.to_string());
                continue;
            }
        };
        if !entry.file_type().is_file() {
            continue;
        }
        let relative = entry.path().strip_prefix(directory).unwrap_or(entry.path());
        let hidden = relative.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'));
        match relative.to_str() {
            Some(name) if !hidden && is_frame(relative) => {
                photos.push(Photo { file: entry.path().to_owned(), name: name.to_owned() });
            }
            _ => others.push(relative.to_string_lossy().into_owned()),
        }
    }
    Ok((photos, others))
}

fn is_frame(name: &Path) -> bool {
    let ending = name.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    FRAMES.iter().any(|known| known.eq_ignore_ascii_case(ending))
}
