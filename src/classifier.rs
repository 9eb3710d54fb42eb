//! One frame from its bytes to a detection: decode, classify, judge. Pure: no files, no clock, no broker; the daemon and
//! `--once` share it, so both say the same of the same bytes.
//!
//! The backbone stays, the heads may change between two frames: who judges a frame is asked once, when it is begun.

mod parts;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use parts::CloserLook;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::accept::judges::{Judge, Judgement, Judges, Observation, Opinion, Seat};
use crate::config::{Alerts, LocationPolicy, Position};
use crate::detect::{RulesError, Verdict};
use crate::detection::{
    Decision, Detection, FrameRef, Kind, Location, ModelRef, SCHEMA, TimeSource, message_id, rounded,
};
use crate::frame::{self, CaptureTime, ContentHash, Frame, FrameError, Limits, Pixels};
use crate::model::{Backbone, Levels, Model, ModelError, Scores, Timing};
use crate::regions::Closer;

/// Why a frame got no verdict. It stays where it is and is recorded as failed.
#[derive(Debug, thiserror::Error)]
pub enum ClassifyError {
    /// The file is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The networks could not look at it.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A bug in a library; the frame is given up, the daemon goes on.
    #[error("the {stage} stage panicked on this file ({message}); please report it with the file")]
    Panic {
        /// `decode`, `classify` or `load`.
        stage: &'static str,
        /// The panic's message.
        message: String,
    },
}

impl ClassifyError {
    /// Whether another try would end the same: the file itself is no frame.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Frame(FrameError::OutOfMemory { .. }) | Self::Model(_) => false,
            Self::Frame(_) => true,
            Self::Panic { stage, .. } => *stage == "decode",
        }
    }
}

/// A backbone and the heads that judge what it sees, and what this trap says of itself in each message.
pub struct Classifier {
    backbone: Arc<Backbone>,
    seat: Seat,
    trap: String,
    location: Option<Position>,
    location_policy: LocationPolicy,
    limits: Limits,
    gives_features: bool,
    gives_pixels: bool,
}

/// What the file system knows of a frame.
#[derive(Debug, Clone)]
pub struct FileFacts<'a> {
    /// Path below the capture directory, or as given on the command line.
    pub name: &'a str,
    /// First sub-folder of the capture directory.
    pub camera: Option<&'a str>,
    /// Modification time.
    pub modified: OffsetDateTime,
}

/// What came of one frame, and what is to be learned from it of the heads that looked.
#[derive(Debug)]
pub struct Look {
    /// The frame with its verdict, or why there is none.
    pub classified: Result<Classified, ClassifyError>,
    /// Of a candidate beside the proven head, or of the proven head's failure.
    pub observation: Option<Observation>,
}

/// A classified frame.
#[derive(Debug, Clone)]
pub struct Classified {
    /// The message, not yet numbered and without its event.
    pub detection: Detection,
    /// What the rules of the head that decided make of it.
    pub verdict: Verdict,
    /// What the networks say; the labels are those of the head that decided.
    pub scores: Scores,
    /// Capture time for grouping, seconds since 1970. A camera clock without a zone is taken as UTC: within one camera
    /// only differences count.
    pub at: i64,
    /// Why it could only be decoded in part.
    pub partial: Option<String>,
    /// Time spent decoding.
    pub decode: Duration,
    /// What was looked at beside the whole frame, if something was.
    pub closer: Option<CloserLook>,
    /// What the backbone sees in the whole frame, if that is wanted.
    pub features: Option<Levels>,
    /// The decoded frame, at the scale that the backbone wants, if that is wanted.
    pub pixels: Option<Pixels>,
}

impl Classified {
    /// Time per stage of the networks.
    pub fn timing(&self) -> Timing {
        self.scores.timing
    }

    /// By how much the most probable label is ahead of the next, 0 to 1.
    pub fn margin(&self) -> f32 {
        let (mut first, mut second) = (0.0_f32, 0.0_f32);
        for (_, score) in &self.scores.labels {
            (first, second) = (first.max(*score), second.max(score.min(first)));
        }
        first - second
    }
}

/// A frame's pixels as the backbone sees them.
struct Seen {
    frame: Frame,
    features: Vec<f32>,
    decode: Duration,
    timing: Timing,
}

impl Classifier {
    /// A model whose head judges alone, by the configured rules.
    ///
    /// # Errors
    /// [`RulesError`] if the head knows no label that could alert.
    pub fn new(model: Model, trap: String, alerts: &Alerts, limits: Limits) -> Result<Self, RulesError> {
        let (backbone, head) = model.into_parts();
        let seat = Seat::new(Judges::alone(Judge::new(head, alerts)?));
        Ok(Self::seated(Arc::new(backbone), seat, trap, alerts, limits))
    }

    /// A backbone, and a seat whose heads may change. Whoever seats a head sees to it that it was trained on this backbone
    /// ([`crate::model::check_fit`]).
    pub fn seated(backbone: Arc<Backbone>, seat: Seat, trap: String, alerts: &Alerts, limits: Limits) -> Self {
        let (location, location_policy) = (alerts.location, alerts.location_policy);
        Self { backbone, seat, trap, location, location_policy, limits, gives_features: false, gives_pixels: false }
    }

    /// Whether [`Classified::features`] are wanted.
    pub fn give_features(&mut self, wanted: bool) {
        self.gives_features = wanted;
    }

    /// Whether [`Classified::pixels`] are wanted.
    pub fn give_pixels(&mut self, wanted: bool) {
        self.gives_pixels = wanted;
    }

    /// Where the trap says it stands, as configured anew.
    pub fn set_place(&mut self, alerts: &Alerts) {
        (self.location, self.location_policy) = (alerts.location, alerts.location_policy);
    }

    /// Takes a picture the whole way, from its bytes to the proven head's opinion, and keeps nothing of it.
    ///
    /// # Errors
    /// [`ClassifyError`]: frames will hardly fare better.
    pub fn try_out(&self, picture: &[u8]) -> Result<(), ClassifyError> {
        let seen = self.see(picture)?;
        self.proven().look(&seen.features).map(drop)
    }

    /// The frozen network.
    pub fn backbone(&self) -> &Arc<Backbone> {
        &self.backbone
    }

    /// Where heads are changed.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The proven head of now with its rules.
    pub fn proven(&self) -> Arc<Judge> {
        self.seat.judges().proven.clone()
    }

    /// What a file may ask for.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Decodes, classifies and judges one file; `now` becomes `processed_at`. A panic in a decoder or network is an error
    /// like another, not the end of the daemon.
    pub fn classify(&self, bytes: &[u8], hash: &ContentHash, file: &FileFacts, now: OffsetDateTime) -> Look {
        self.classify_closely(bytes, hash, file, now, None)
    }

    /// As [`Classifier::classify`]; where the whole frame does not alert, the parts of it that `closer` names may. They can add
    /// an alert and never take one away. It is the proven head that judges them; features and what is
    /// learned of heads are the whole frame's.
    pub fn classify_closely(
        &self,
        bytes: &[u8],
        hash: &ContentHash,
        file: &FileFacts,
        now: OffsetDateTime,
        closer: Option<&mut Closer>,
    ) -> Look {
        let start = Instant::now();
        let judges = self.seat.judges();
        let mut seen = match self.see(bytes) {
            Ok(seen) => seen,
            Err(error) => return Look { classified: Err(error), observation: None },
        };
        let judging = Instant::now();
        let Judgement { answer, observation } = judges.judge(&seen.features);
        seen.timing.head = judging.elapsed();
        let classified = answer.map(|(mut opinion, judge)| {
            let proven = &judges.proven;
            let looked =
                closer.and_then(|closer| self.look_closer(bytes, &seen.frame, file.camera, closer, &opinion, proven));
            let (closer, found) = looked.map_or((None, None), |(closer, found)| (Some(closer), found));
            let (region, found) = found.unzip();
            let judge = if found.is_some() { proven.clone() } else { judge };
            opinion = found.unwrap_or(opinion);
            let mut detection = self.detection(&seen.frame, hash, file, &opinion, &judge, now, start.elapsed());
            detection.region = region;
            let Seen { frame, decode, timing, features } = seen;
            let features = if self.gives_features { Levels::of(&features) } else { None };
            let Opinion { scores, verdict } = opinion;
            let scores = Scores { labels: scores.labels, novel: scores.novel, timing };
            let at = frame.captured_at.map_or(file.modified, |time| time.assume_offset(time::UtcOffset::UTC));
            let (partial, pixels) = (frame.partial, self.gives_pixels.then_some(frame.pixels));
            Classified {
                detection,
                verdict,
                scores,
                at: at.unix_timestamp(),
                partial,
                decode,
                closer,
                features,
                pixels,
            }
        });
        Look { classified, observation }
    }

    fn see(&self, bytes: &[u8]) -> Result<Seen, ClassifyError> {
        let start = Instant::now();
        let frame = guarded("decode", || frame::decode(bytes, self.backbone.wanted_scale(), &self.limits))??;
        let decode = start.elapsed();
        let (features, timing) = guarded("classify", || self.backbone.timed_features_of(&frame.pixels))??;
        Ok(Seen { frame, features, decode, timing })
    }

    #[allow(clippy::too_many_arguments)] // The facts of one message; a struct would name them a second time.
    fn detection(
        &self,
        frame: &Frame,
        hash: &ContentHash,
        file: &FileFacts,
        opinion: &Opinion,
        judge: &Judge,
        now: OffsetDateTime,
        took: Duration,
    ) -> Detection {
        let sha256 = hash.to_string();
        let (captured_at, source, camera_time) = match frame.captured_at {
            Some(CaptureTime::WithOffset(time)) => (time, TimeSource::Exif, None),
            Some(local @ CaptureTime::Local(_)) => (file.modified, TimeSource::File, Some(local.to_string())),
            None => (file.modified, TimeSource::File, None),
        };
        let position = frame.position.or(self.location.map(|position| (position.latitude, position.longitude)));
        let Opinion { scores, verdict } = opinion;
        Detection {
            schema: SCHEMA,
            id: message_id(&self.trap, &sha256, Kind::Detection),
            epoch: None,
            seq: None,
            kind: Kind::Detection,
            trap: self.trap.clone(),
            camera: file.camera.map(str::to_owned),
            event: None,
            frame: FrameRef {
                name: file.name.to_owned(),
                captured_at: rfc3339(captured_at),
                captured_at_source: source,
                camera_time,
                width: frame.width,
                height: frame.height,
                sha256,
                partial: frame.partial.is_some(),
            },
            label: verdict.label.clone(),
            confidence: rounded(verdict.confidence),
            scores: scores.labels.iter().map(|(label, score)| (label.clone(), rounded(*score))).collect(),
            novel: scores.novel,
            decision: Decision {
                alert: verdict.alert,
                threshold: rounded(verdict.threshold),
                rule: verdict.rule.clone(),
            },
            model: ModelRef {
                backbone: self.backbone.manifest().id.clone(),
                head: judge.head().title(),
                sequence: judge.head().manifest().sequence,
            },
            location: position
                .and_then(|(latitude, longitude)| Location::published(latitude, longitude, self.location_policy)),
            region: None,
            thumbnail: None,
            processed_at: rfc3339(now),
            latency_ms: took.as_millis() as u64,
            replayed: false,
        }
    }
}

/// RFC 3339 to the second, or to the millisecond where there are any.
pub fn rfc3339(time: OffsetDateTime) -> String {
    let milliseconds = time.replace_nanosecond(time.millisecond() as u32 * 1_000_000).unwrap_or(time);
    // Only years beyond 9999 can't be written; a card with such a date is wrong anyway.
    milliseconds.format(&Rfc3339).unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned())
}

pub(crate) fn guarded<T>(stage: &'static str, work: impl FnOnce() -> T) -> Result<T, ClassifyError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let message = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "no message".to_owned());
        ClassifyError::Panic { stage, message }
    })
}

#[cfg(test)]
#[path = "classifier_tests.rs"]
mod tests;
