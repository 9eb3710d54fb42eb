//! The user's photos through the built-in head.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arcticd::config::{AlertPolicy, Alerts};
use arcticd::detection::Kind;
use arcticd::model::source::{self, Origin};

use crate::print::{self, Row};
use crate::rig::{Interrupted, PATIENCE, Rig};

/// Endings that the daemon takes for frames.
const FRAMES: [&str; 9] = ["jpg", "jpeg", "jpe", "png", "bmp", "gif", "tif", "tiff", "webp"];
/// Photos that wait in the capture directory at a time: the copies need room on the disk.
const AHEAD: usize = 200;

/// Folders within folders are looked into so deep.
const DEEPEST: usize = 16;

/// A photo, and its path below the given directory.
struct Photo {
    file: PathBuf,
    name: String,
}

/// Shows all photos in `directory`; files that could not be scored change the exit code at the end.
pub fn show(directory: &Path) -> Result<ExitCode> {
    let (photos, others) = find(directory)?;
    ensure!(
        !photos.is_empty(),
        "{}: no photo in there ({} other files); JPEG, PNG, TIFF, WebP, BMP or GIF is wanted",
        directory.display(),
        others.len()
    );
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
    print::fact("alerts", format!("{}; policy every_frame: each alerting frame is a message", alerting.join(", ")));

    let alerts = Alerts { policy: AlertPolicy::EveryFrame, ..Alerts::default() };
    let mut rig = Rig::start(alerts, |_| Ok("builtin".to_owned()))?;
    print::fact("broker", format!("{}, embedded, loopback only\n", rig.broker_url()));
    let mut rows = Vec::new();
    let mut unscored: Vec<(String, String)> = Vec::new();
    for part in photos.chunks(AHEAD) {
        let mut copied = Vec::new();
        for photo in part {
            match rig.copy_in(&photo.name, &photo.file) {
                Ok(()) => copied.push(photo.name.as_str()),
                Err(error) if error.is::<Interrupted>() => return Err(error),
                Err(error) => unscored.push((photo.name.clone(), format!("{error:#}"))),
            }
        }
        classified(&mut rig, &copied)?;
        for name in copied {
            let entry = rig.ledger().frame(name)?.with_context(|| format!("{name} is not in the journal"))?;
            match (entry.failed, entry.label) {
                (None, Some(label)) => {
                    let told = match (entry.alert, entry.name == name) {
                        // A frame is its content, and alerts once.
                        (_, false) => format!("- (same content as {})", entry.name),
                        (true, true) => "alert".into(),
                        (false, true) => "-".into(),
                    };
                    let scored = print::score(&label, entry.confidence.unwrap_or_default());
                    rows.push(Row { name: name.into(), truth: None, scored, told });
                }
                (reason, _) => unscored.push((name.into(), reason.unwrap_or_default())),
            }
        }
    }
    rig.finish()?;
    unscored.extend(others.into_iter().map(|name| (name, "no frame by its name".into())));
    conclude(rig, &rows, &unscored)
}

fn conclude(rig: Rig, rows: &[Row], unscored: &[(String, String)]) -> Result<ExitCode> {
    print::table(rows);
    let expected = rows.iter().filter(|row| row.told == "alert").count();
    let arrived = rig.detections().iter().filter(|detection| detection.kind == Kind::Detection).count();
    drop(rig);
    if !unscored.is_empty() {
        println!("  Not scored:");
        for (name, reason) in unscored {
            println!("  - {name}: {reason}");
        }
        println!();
    }
    ensure!(arrived == expected, "{expected} frames alerted, but {arrived} alerts arrived over MQTT");
    println!("  {} photos scored, {} files not; {arrived} alerts arrived over MQTT.", rows.len(), unscored.len());
    println!("  Everything is stopped, and no file is left behind.");
    Ok(if unscored.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
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
        ensure!(
            since.elapsed() < PATIENCE,
            "{done} of {} photos classified, and no progress for {PATIENCE:?}",
            names.len()
        );
        Ok(done == names.len())
    })
}

/// Photos below `directory`, and the names of the files that are none.
fn find(directory: &Path) -> Result<(Vec<Photo>, Vec<String>)> {
    ensure!(directory.is_dir(), "{}: not a directory", directory.display());
    let (mut photos, mut others) = (Vec::new(), Vec::new());
    let mut folders = vec![(directory.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let file = entry.with_context(|| folder.display().to_string())?.path();
            let relative = file.strip_prefix(directory).unwrap_or(&file);
            let hidden = relative.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            match relative.to_str() {
                _ if hidden => {}
                // A link may lead back up: the depth is bounded.
                _ if file.is_dir() && depth < DEEPEST => folders.push((file, depth + 1)),
                Some(name) if file.is_file() && is_frame(relative) => {
                    let name = name.to_owned();
                    photos.push(Photo { file, name });
                }
                _ => others.push(relative.to_string_lossy().into_owned()),
            }
        }
    }
    photos.sort_by(|a, b| a.name.cmp(&b.name));
    others.sort();
    Ok((photos, others))
}

fn is_frame(name: &Path) -> bool {
    let ending = name.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    FRAMES.iter().any(|known| known.eq_ignore_ascii_case(ending))
}
