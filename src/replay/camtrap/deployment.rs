//! A camera at its place: each first sub-folder of the card is one.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use time::{OffsetDateTime, UtcOffset};

use super::seconds;
use super::table::DEPLOYMENTS;
use crate::config::{Alerts, LocationPolicy};
use crate::detection::Location;
use crate::pipeline::camera;
use crate::replay::Findings;
use crate::replay::record::Clock;
use crate::terminal::line;

/// Metres in a degree of latitude (the earth's mean circumference, 40,030 km, by 360).
const METRES_A_DEGREE: f64 = 111_195.0;

/// The cameras of a card.
pub struct Deployments(BTreeMap<Option<String>, Deployment>);

/// A camera at its place.
pub struct Deployment {
    id: String,
    /// Where it stood, as far as the policy lets it out.
    pub location: Location,
    /// First frame.
    pub start: OffsetDateTime,
    /// Last frame.
    pub end: OffsetDateTime,
    doubtful_times: bool,
    frames: usize,
}

/// What the files of a camera say.
#[derive(Default)]
struct Draft {
    location: Option<Location>,
    /// By the camera's clock.
    camera: Option<(OffsetDateTime, OffsetDateTime)>,
    /// By the file system's.
    file: Option<(OffsetDateTime, OffsetDateTime)>,
    doubtful_times: bool,
    frames: usize,
}

impl Deployments {
    /// The cameras of what was found; a camera lasts from its first frame to its last.
    ///
    /// # Errors
    /// A camera without a position.
    pub fn of(findings: &Findings, alerts: &Alerts, offset: Option<UtcOffset>) -> Result<Self> {
        let mut drafts: BTreeMap<Option<String>, Draft> = BTreeMap::new();
        for record in &findings.looked.records {
            let draft = drafts.entry(record.camera().map(str::to_owned)).or_default();
            draft.location = draft.location.or(record.location);
            draft.frames += 1;
            let time = record.time(offset.unwrap_or(UtcOffset::UTC));
            draft.doubtful_times |= match record.clock {
                Clock::Zoned => false,
                Clock::Local => offset.is_none(),
                Clock::File => true,
            };
            stretch(if record.clock == Clock::File { &mut draft.file } else { &mut draft.camera }, time);
        }
        for failure in findings.files_failed() {
            let Some(modified) = failure.modified else { continue };
            let draft = drafts.entry(camera(&failure.name).map(str::to_owned)).or_default();
            draft.doubtful_times = true;
            draft.frames += 1;
            stretch(&mut draft.file, modified);
        }
        let fallback =
            alerts.location.and_then(|it| Location::published(it.latitude, it.longitude, alerts.location_policy));
        let mut deployments = BTreeMap::new();
        for (camera, draft) in drafts {
            let Some(location) = draft.location.or(fallback) else {
                bail!(
                    "no position is known for {}: Camtrap DP demands one of each camera; give it with `--location \
                     LAT,LON` or as alerts.location",
                    camera.as_deref().map_or("the card".to_owned(), |name| format!("camera {}", line(name)))
                );
            };
            let Some((start, end)) = draft.camera.or(draft.file) else { continue };
            let name = camera.as_deref().map(|name| format!("-{}", line(name))).unwrap_or_default();
            let id = format!("{}{name}-{}", findings.setup.trap, start.date());
            let (doubtful_times, frames) = (draft.doubtful_times, draft.frames);
            deployments.insert(camera, Deployment { id, location, start, end, doubtful_times, frames });
        }
        Ok(Self(deployments))
    }

    /// The id of a camera's deployment.
    pub fn id(&self, camera: Option<&str>) -> &str {
        self.0.get(&camera.map(str::to_owned)).map_or("", |deployment| &deployment.id)
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &Deployment> {
        self.0.values()
    }

    /// Writes the table.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, path: &Path) -> Result<()> {
        DEPLOYMENTS.write(path, |out| {
            for (camera, it) in &self.0 {
                let name = camera.as_deref().map(line).unwrap_or_default();
                let uncertainty = uncertainty(&it.location).map(|metres| metres.to_string()).unwrap_or_default();
                out.row(&[
                    ("deploymentID", &it.id),
                    ("locationName", &name),
                    ("latitude", &it.location.latitude.to_string()),
                    ("longitude", &it.location.longitude.to_string()),
                    ("coordinateUncertainty", &uncertainty),
                    ("deploymentStart", &seconds(it.start)),
                    ("deploymentEnd", &seconds(it.end)),
                    ("cameraID", &name),
                    ("timestampIssues", if it.doubtful_times { "true" } else { "false" }),
                    (
                        "deploymentComments",
                        &format!(
                            "start and end are those of the first and last of {} frames, not of the camera's set-up",
                            it.frames
                        ),
                    ),
                ])?;
            }
            Ok(())
        })
    }
}

fn stretch(span: &mut Option<(OffsetDateTime, OffsetDateTime)>, time: OffsetDateTime) {
    let (first, last) = span.unwrap_or((time, time));
    *span = Some((first.min(time), last.max(time)));
}

/// How far the camera may be from a rounded position, in metres: half a tenth of a degree north and east at once. None
/// for an exact one, whose accuracy only the receiver knows.
fn uncertainty(location: &Location) -> Option<u32> {
    if location.policy != LocationPolicy::Rounded {
        return None;
    }
    let north = 0.05 * METRES_A_DEGREE;
    // A rounded latitude may stand for one nearer the equator, where degrees of longitude are longer.
    let nearest = (location.latitude.abs() - 0.05).max(0.0);
    Some(north.hypot(north * nearest.to_radians().cos()).ceil() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rounded_position_says_how_far_the_camera_may_be() {
        let at = |latitude, policy| uncertainty(&Location { latitude, longitude: 15.6, policy });
        assert_eq!(at(0.0, LocationPolicy::Rounded), Some(7_863));
        assert_eq!(at(90.0, LocationPolicy::Rounded), Some(5_560));
        assert_eq!(at(78.2, LocationPolicy::Exact), None);
    }
}
