//! A Camtrap DP 1.0 data package, which GBIF and the R package camtrapdp read: <https://camtrap-dp.tdwg.org>.
//!
//! `deployments` has a row a camera, `media` a row a file, `observations` a row a frame and a row an event.

mod deployment;
mod package;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use time::UtcOffset;

use self::deployment::Deployments;
use self::table::{MEDIA, OBSERVATIONS, Table};
use super::species::{self, Sort};
use super::{Failure, Findings, Record};
use crate::classifier::rfc3339;
use crate::config::{Alerts, LocationPolicy};
use crate::detection::{Detection, Kind, message_id};
use crate::frame::{ContentHash, Format};

/// The file that makes a folder a package.
const PACKAGE: &str = "datapackage.json";

/// A folder that a package can be written to.
pub struct Target {
    folder: PathBuf,
    /// What a package of ours that is already there says, perhaps edited by hand since.
    previous: Option<Map<String, Value>>,
}

impl Target {
    /// Checks, before hours are spent on what is to be in it, that a package can be written to `folder`.
    ///
    /// # Errors
    /// The folder holds something else, or the policy keeps back what the standard demands: positions.
    pub fn check(folder: &Path, alerts: &Alerts) -> Result<Self> {
        if alerts.location_policy == LocationPolicy::Omitted {
            bail!(
                "Camtrap DP demands a latitude and a longitude of each camera, but positions are kept back \
                 (alerts.location_policy is `omitted`); allow them to a tenth of a degree with `--location-policy \
                 rounded`, or in full with `exact`, and give them with `--location LAT,LON` if the frames have none"
            );
        }
        let previous = match fs::read_dir(folder).map(Iterator::count) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("{} can't be used for a package", folder.display()));
            }
            Ok(0) => None,
            Ok(_) => {
                let text = fs::read(folder.join(PACKAGE)).unwrap_or_default();
                let known = serde_json::from_slice::<Map<String, Value>>(&text).ok().filter(package::is_ours);
                let Some(known) = known else {
                    bail!(
                        "{} is not empty and no package of arcticd's: name a new folder, nothing there was changed",
                        folder.display()
                    );
                };
                Some(known)
            }
        };
        Ok(Self { folder: folder.to_owned(), previous })
    }

    /// Writes the package; clocks without a zone are taken to be at `offset`. The package that was there before is
    /// replaced, but for what a person writes into `datapackage.json`: contributors, licences, project and the like.
    ///
    /// # Errors
    /// A camera has no position, or those of the file system.
    pub fn write(&self, findings: &Findings, alerts: &Alerts, offset: Option<UtcOffset>) -> Result<()> {
        let deployments = Deployments::of(findings, alerts, offset)?;
        fs::create_dir_all(&self.folder).with_context(|| format!("{} can't be made", self.folder.display()))?;
        let rows = Rows { findings, deployments: &deployments, offset: offset.unwrap_or(UtcOffset::UTC) };
        deployments.write(&self.folder.join("deployments.csv"))?;
        MEDIA.write(&self.folder.join("media.csv"), |out| rows.media(out))?;
        OBSERVATIONS.write(&self.folder.join("observations.csv"), |out| rows.observations(out))?;
        // Last: it makes the others a package.
        package::write(&self.folder.join(PACKAGE), findings, &deployments, self.previous.as_ref())
    }
}

/// The rows of media and observations.
struct Rows<'a> {
    findings: &'a Findings,
    deployments: &'a Deployments,
    offset: UtcOffset,
}

impl Rows<'_> {
    fn media(&self, out: &mut Table) -> Result<()> {
        let looked = &self.findings.looked;
        let mut copies = std::collections::HashMap::<ContentHash, Vec<&str>>::new();
        for copy in &looked.copies {
            copies.entry(copy.of).or_default().push(&copy.name);
        }
        let best: std::collections::HashSet<usize> =
            self.findings.events.spans.iter().filter(|span| span.alert).map(|span| span.best).collect();
        for (place, record) in looked.records.iter().enumerate() {
            let mut comments = Vec::new();
            if record.partial {
                comments.push("damaged file, decoded in part".to_owned());
            }
            if let Some(names) = copies.get(&record.hash) {
                comments.push(format!("the same content lies on the card as {}", names.join(", ")));
            }
            let favorite = if best.contains(&place) { "true" } else { "" };
            out.row(&[
                ("mediaID", &record.hash.to_string()),
                ("deploymentID", self.deployments.id(record.camera())),
                ("timestamp", &seconds(record.time(self.offset))),
                ("filePath", &file_path(&record.name)),
                ("filePublic", "false"),
                ("fileName", file_name(&record.name)),
                ("fileMediatype", mediatype(record.format)),
                ("favorite", favorite),
                ("mediaComments", &comments.join("; ")),
            ])?;
        }
        for failure in self.failures() {
            let Some(modified) = failure.modified else { continue };
            out.row(&[
                ("mediaID", &media_id(failure)),
                ("deploymentID", self.deployments.id(crate::pipeline::camera(&failure.name))),
                ("timestamp", &seconds(modified)),
                ("filePath", &file_path(&failure.name)),
                ("filePublic", "false"),
                ("fileName", file_name(&failure.name)),
                ("fileMediatype", mediatype_of_name(&failure.name)),
                ("mediaComments", &format!("not a readable picture; time of the file; {}", failure.reason)),
            ])?;
        }
        Ok(())
    }

    fn observations(&self, out: &mut Table) -> Result<()> {
        let looked = &self.findings.looked;
        for (place, record) in looked.records.iter().enumerate() {
            let Some(detection) = looked.common.unpack(record) else { continue };
            let span = self.findings.events.of_record.get(place).copied().flatten();
            let span = span.and_then(|span| self.findings.events.spans.get(span));
            let (first, last) = span.map_or((place, place), |span| (span.first, span.last));
            let own = [
                ("observationID", detection.id.as_str()),
                ("mediaID", &detection.frame.sha256),
                ("eventID", span.map_or("", |span| &span.id)),
                ("observationLevel", "media"),
            ];
            self.observation(out, &own, record, &detection, (first, last), None)?;
        }
        for span in &self.findings.events.spans {
            let Some(best) = looked.records.get(span.best) else { continue };
            let Some(detection) = looked.common.unpack(best) else { continue };
            let own = [("observationID", span.id.as_str()), ("eventID", &span.id), ("observationLevel", "event")];
            self.observation(out, &own, best, &detection, (span.first, span.last), Some(span.frames))?;
        }
        for failure in self.failures() {
            let Some(modified) = failure.modified else { continue };
            let (media, time) = (media_id(failure), seconds(modified));
            out.row(&[
                ("observationID", &message_id(&self.findings.setup.trap, &media, Kind::Detection)),
                ("deploymentID", self.deployments.id(crate::pipeline::camera(&failure.name))),
                ("mediaID", &media),
                ("eventStart", &time),
                ("eventEnd", &time),
                ("observationLevel", "media"),
                ("observationType", "unclassified"),
                ("observationComments", &failure.reason),
            ])?;
        }
        Ok(())
    }

    /// The row of a frame, or of an event of so many `frames` whose best one it is; the event reaches from the record at
    /// the first to that at the last of `between`.
    fn observation(
        &self,
        out: &mut Table,
        own: &[(&str, &str)],
        record: &Record,
        detection: &Detection,
        between: (usize, usize),
        frames: Option<u64>,
    ) -> Result<()> {
        let findings = self.findings;
        let records = &findings.looked.records;
        let time = |place: usize| seconds(records.get(place).unwrap_or(record).time(self.offset));
        let label = detection.label.as_str();
        let background = findings.setup.background.iter().any(|known| known == label);
        let novel = detection.novel == Some(true) && !detection.decision.alert;
        let (kind, species) = match species::sort(label, background) {
            Sort::Unknown => ("unknown", None),
            _ if novel => ("unknown", None),
            Sort::Animal => ("animal", species::species(label)),
            Sort::Human => ("human", None),
            Sort::Vehicle => ("vehicle", None),
            Sort::Blank => ("blank", None),
        };
        let mut tags = vec![format!("label:{label}"), format!("alert:{}", detection.decision.alert)];
        tags.extend(frames.map(|frames| format!("frames:{frames}")));
        tags.extend(detection.novel.map(|novel| format!("novel:{novel}")));
        let comments = match (kind, species) {
            ("unknown", _) => format!("{label}: none of the animals that the head knows, or not like them"),
            ("animal", None) => {
                format!("{}: the label of the head, no scientific name is known", label.replace('_', " "))
            }
            _ => String::new(),
        };
        let classified_by = findings.setup.classified_by();
        let probability = detection.confidence.clamp(0.0, 1.0).to_string();
        let mut row = own.to_vec();
        let (start, end) = (time(between.0), time(between.1));
        let (tags, processed) = (tags.join(" | "), seconds(record.processed_at()));
        row.extend([
            ("deploymentID", self.deployments.id(record.camera())),
            ("eventStart", start.as_str()),
            ("eventEnd", &end),
            ("observationType", kind),
            ("scientificName", species.map_or("", |species| species.name)),
            ("classificationMethod", "machine"),
            ("classifiedBy", &classified_by),
            ("classificationTimestamp", &processed),
            ("classificationProbability", &probability),
            ("observationTags", &tags),
            ("observationComments", &comments),
        ]);
        out.row(&row)
    }

    fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.findings.files_failed()
    }
}

fn media_id(failure: &Failure) -> String {
    failure.hash.unwrap_or_else(|| ContentHash::of(failure.name.as_bytes())).to_string()
}

/// ISO 8601 to the second with the offset, all that the standard's `%Y-%m-%dT%H:%M:%S%z` takes.
fn seconds(time: time::OffsetDateTime) -> String {
    rfc3339(time.replace_nanosecond(0).unwrap_or(time))
}

/// A name as the standard wants paths: relative, without `..`, `~` or dots in front, and on one line. What would break
/// that is percent-encoded, and the sign of percent with it.
fn file_path(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    let mut previous = None;
    for letter in name.chars() {
        let first = path.is_empty();
        let awkward = letter.is_control()
            || letter == '%'
            || letter == '\u{2028}'
            || letter == '\u{2029}'
            || first && matches!(letter, '.' | '/' | '~')
            || letter == '.' && previous == Some('.');
        if awkward {
            let mut bytes = [0; 4];
            letter.encode_utf8(&mut bytes).bytes().for_each(|byte| path.push_str(&format!("%{byte:02X}")));
        } else {
            path.push(letter);
        }
        // An encoded dot is none any more.
        previous = (!awkward).then_some(letter);
    }
    path
}

fn file_name(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

fn mediatype(format: Format) -> &'static str {
    match format {
        Format::Jpeg => "image/jpeg",
        Format::Png => "image/png",
        Format::Bmp => "image/bmp",
        Format::Gif => "image/gif",
        Format::Tiff => "image/tiff",
        Format::WebP => "image/webp",
    }
}

/// Of a file that could not be read: what its name promises.
fn mediatype_of_name(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match ending.as_str() {
        "jpg" | "jpeg" | "jpe" => "image/jpeg",
        "png" => "image/png",
        "bmp" => "image/bmp",
        "gif" => "image/gif",
        "tif" | "tiff" => "image/tiff",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "avif" => "image/avif",
        "jxl" => "image/jxl",
        _ => "image/x-raw",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_readable_and_never_breaks_the_standards_pattern() {
        for (name, path) in [
            ("north/DCIM/IMG 1.JPG", "north/DCIM/IMG 1.JPG"),
            ("~a.jpg", "%7Ea.jpg"),
            ("..a..jpg", "%2E.a.%2Ejpg"),
            ("a...jpg", "a.%2E.jpg"),
            ("two\nlines.jpg", "two%0Alines.jpg"),
            ("100%.jpg", "100%25.jpg"),
            ("Bj\u{f8}rn\u{f8}ya/\u{fffd}.jpg", "Bj\u{f8}rn\u{f8}ya/\u{fffd}.jpg"),
        ] {
            assert_eq!(file_path(name), path);
            assert!(!path.contains("..") && !path.starts_with(['.', '/', '~']) && !path.contains('\n'), "{path}");
        }
    }
}
