//! A classified frame in a few hundred bytes: a card holds a hundred thousand.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::classifier::rfc3339;
use crate::detection::{Decision, Detection, FrameRef, Kind, Location, TimeSource, message_id};
use crate::frame::{CaptureTime, ContentHash, Format};
use crate::pipeline::camera;

/// Where a capture time is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The camera, with its distance from UTC.
    Zoned,
    /// The camera, in a time zone that only its owner knows.
    Local,
    /// The file system.
    File,
}

/// A classified frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Path below the card, `/`-separated.
    pub name: Box<str>,
    /// What the frame is known by.
    pub hash: ContentHash,
    /// Capture time for order and grouping, seconds since 1970; a clock without a zone is taken as UTC.
    pub at: i64,
    /// Where the capture time is from.
    pub clock: Clock,
    /// As told by `clock`; the file's time where the camera's has no zone.
    captured_at: OffsetDateTime,
    processed_at: OffsetDateTime,
    latency_ms: u64,
    /// Sides of the upright picture.
    pub sides: (u32, u32),
    /// By its first bytes.
    pub format: Format,
    /// Decoded from a damaged file.
    pub partial: bool,
    /// Unlike anything the head knows.
    pub novel: Option<bool>,
    /// Probability of the verdict's label.
    pub confidence: f32,
    /// In the order of [`Common::labels`].
    pub scores: Box<[f32]>,
    verdict: u16,
    /// As far as the policy lets it out.
    pub location: Option<Location>,
}

/// What the frames of one run share.
#[derive(Debug, Default)]
pub struct Common {
    template: Option<Detection>,
    /// The head's labels, sorted.
    pub labels: Vec<String>,
    // Label and decision; as many as the head has labels, twice.
    verdicts: Vec<(String, Decision)>,
}

impl Record {
    /// Time as the camera's owner sees it; a clock without a zone is taken to be at `offset`.
    pub fn time(&self, offset: UtcOffset) -> OffsetDateTime {
        match self.clock {
            Clock::Zoned | Clock::File => self.captured_at,
            Clock::Local => seconds(self.at).replace_offset(offset),
        }
    }

    /// Puts another moment in the place of when it was looked at, and no time for how long that took.
    pub fn processed(&mut self, at: OffsetDateTime) {
        (self.processed_at, self.latency_ms) = (at, 0);
    }

    /// When it was looked at.
    pub fn processed_at(&self) -> OffsetDateTime {
        self.processed_at
    }

    /// First sub-folder.
    pub fn camera(&self) -> Option<&str> {
        camera(&self.name)
    }
}

impl Common {
    /// Packs a frame, captured at `at` (seconds since 1970); its bytes were of this `format`.
    pub fn pack(&mut self, detection: Detection, at: i64, hash: ContentHash, format: Format) -> Record {
        let moment = |text: &str| OffsetDateTime::parse(text, &Rfc3339).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let frame = &detection.frame;
        let clock = match (frame.captured_at_source, &frame.camera_time) {
            (TimeSource::Exif, _) => Clock::Zoned,
            (TimeSource::File, Some(_)) => Clock::Local,
            (TimeSource::File, None) => Clock::File,
        };
        let known =
            |(label, decision): &(String, Decision)| label == &detection.label && decision == &detection.decision;
        let verdict = self.verdicts.iter().position(known).unwrap_or_else(|| {
            self.verdicts.push((detection.label.clone(), detection.decision.clone()));
            self.verdicts.len() - 1
        });
        let record = Record {
            name: frame.name.as_str().into(),
            hash,
            at,
            clock,
            captured_at: moment(&frame.captured_at),
            processed_at: moment(&detection.processed_at),
            latency_ms: detection.latency_ms,
            sides: (frame.width, frame.height),
            format,
            partial: frame.partial,
            novel: detection.novel,
            confidence: detection.confidence,
            scores: detection.scores.values().copied().collect(),
            // A head has far fewer labels than 32,768.
            verdict: u16::try_from(verdict).unwrap_or(u16::MAX),
            location: detection.location,
        };
        if self.template.is_none() {
            self.labels = detection.scores.keys().cloned().collect();
            self.template = Some(detection);
        }
        record
    }

    /// The message of a packed frame as the daemon would publish it from a backlog, without its event. None for a record
    /// of another run.
    pub fn unpack(&self, record: &Record) -> Option<Detection> {
        let template = self.template.clone()?;
        let (label, decision) = self.verdict(record)?;
        let sha256 = record.hash.to_string();
        let camera_time = || Some(CaptureTime::Local(without_zone(seconds(record.at))).to_string());
        Some(Detection {
            id: message_id(&template.trap, &sha256, Kind::Detection),
            camera: record.camera().map(str::to_owned),
            frame: FrameRef {
                name: record.name.to_string(),
                captured_at: rfc3339(record.captured_at),
                captured_at_source: if record.clock == Clock::Zoned { TimeSource::Exif } else { TimeSource::File },
                camera_time: if record.clock == Clock::Local { camera_time() } else { None },
                width: record.sides.0,
                height: record.sides.1,
                sha256,
                partial: record.partial,
            },
            label: label.to_owned(),
            confidence: record.confidence,
            scores: self.labels.iter().cloned().zip(record.scores.iter().copied()).collect(),
            novel: record.novel,
            decision: decision.clone(),
            location: record.location,
            processed_at: rfc3339(record.processed_at),
            latency_ms: record.latency_ms,
            replayed: true,
            ..template
        })
    }

    /// Label and decision of a record.
    pub fn verdict(&self, record: &Record) -> Option<(&str, &Decision)> {
        self.verdicts.get(usize::from(record.verdict)).map(|(label, decision)| (label.as_str(), decision))
    }
}

fn seconds(at: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn without_zone(time: OffsetDateTime) -> time::PrimitiveDateTime {
    time::PrimitiveDateTime::new(time.date(), time.time())
}
