//! Packing, grouping and stopping, on records made by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use time::OffsetDateTime;

use super::Failure;
use super::card::Card;
use super::events::{self, Events};
use super::look::{self, Looked};
use super::record::{Common, Record};
use super::setup::Setup;
use super::shard;
use crate::classifier::{Classified, Classifier};
use crate::config::{Alerts, LocationPolicy};
use crate::detect::Verdict;
use crate::detection::{Decision, Detection, EventState, FrameRef, Kind, Location, ModelRef, TimeSource, message_id};
use crate::exit_code::ExitCode;
use crate::frame::{ContentHash, Format, Limits};
use crate::model::{Model, Scores, Timing};
use crate::quantize::Progress;

/// 2026-11-20T00:00:00Z.
const DAY: i64 = 1_795_132_800;

fn classified(name: &str, at: i64, label: &str, confidence: f32, alert: bool) -> Classified {
    let sha256 = ContentHash::of(name.as_bytes()).to_string();
    let time = OffsetDateTime::from_unix_timestamp(at).unwrap();
    let camera_time = crate::frame::CaptureTime::Local(time::PrimitiveDateTime::new(time.date(), time.time()));
    let rule = format!("{label} alerts from 0.5");
    let verdict = Verdict { label: label.into(), confidence, threshold: 0.5, alert, rule: rule.clone() };
    let detection = Detection {
        schema: 1,
        id: message_id("trap", &sha256, Kind::Detection),
        epoch: None,
        seq: None,
        kind: Kind::Detection,
        trap: "trap".into(),
        camera: name.split_once('/').map(|(camera, _)| camera.to_owned()),
        event: None,
        frame: FrameRef {
            name: name.into(),
            captured_at: "2026-11-24T12:00:00.25Z".into(),
            captured_at_source: TimeSource::File,
            camera_time: Some(camera_time.to_string()),
            width: 640,
            height: 480,
            sha256,
            partial: false,
        },
        label: label.into(),
        confidence,
        scores: BTreeMap::from([("other".to_owned(), 1.0 - confidence), ("polar_bear".to_owned(), confidence)]),
        novel: Some(false),
        decision: Decision { alert, threshold: 0.5, rule },
        model: ModelRef { backbone: "b".into(), head: "h 1".into(), sequence: 3 },
        location: Some(Location { latitude: 78.9, longitude: 11.9, policy: LocationPolicy::Rounded }),
        region: None,
        thumbnail: None,
        processed_at: "2026-11-24T12:00:01.5Z".into(),
        latency_ms: 30,
        replayed: false,
    };
    let scores = Scores { labels: Vec::new(), novel: None, timing: Timing::default() };
    let (partial, closer, features, pixels) = (None, None, None, None);
    Classified { detection, verdict, scores, at, partial, decode: Duration::ZERO, closer, features, pixels }
}

/// Frames as name, seconds after [`DAY`], label, confidence and whether they alert.
fn pack(frames: &[(&str, i64, &str, f32, bool)]) -> (Common, Vec<Record>) {
    let mut common = Common::default();
    let records = frames.iter().map(|(name, at, label, confidence, alert)| {
        let hash = ContentHash::of(name.as_bytes());
        let classified = classified(name, DAY + at, label, *confidence, *alert);
        common.pack(classified.detection, classified.at, hash, Format::Jpeg)
    });
    let records = records.collect();
    (common, records)
}

/// What is said of these frames, and their events.
fn told(frames: &[(&str, i64, &str, f32, bool)]) -> (Vec<Detection>, Events) {
    let (common, records) = pack(frames);
    let mut said = Vec::new();
    let mut say = |message| {
        said.push(message);
        Ok(())
    };
    let background = ["other".to_owned()];
    let now = OffsetDateTime::UNIX_EPOCH;
    let events = events::group(&records, &common, &Alerts::default(), "trap", &background, now, &mut say).unwrap();
    (said, events)
}

#[test]
fn a_packed_frame_unpacks_to_the_very_message_but_replayed() {
    let mut common = Common::default();
    let mut zoned = classified("north/b.jpg", DAY, "other", 0.25, false);
    zoned.detection.frame.captured_at = "2026-11-20T01:00:00+01:00".into();
    zoned.detection.frame.captured_at_source = TimeSource::Exif;
    zoned.detection.frame.camera_time = None;
    let mut bare = classified("c.jpg", DAY, "polar_bear", 0.75, true);
    bare.detection.frame.camera_time = None;
    bare.detection.frame.partial = true;
    bare.detection.location = None;
    bare.detection.novel = None;
    let frames = [classified("north/a.jpg", DAY + 9, "polar_bear", 0.9, true), zoned, bare];
    for frame in frames {
        let hash = frame.detection.frame.sha256.parse().unwrap();
        let expected = Detection { replayed: true, ..frame.detection.clone() };
        let record = common.pack(frame.detection, frame.at, hash, Format::Png);
        assert_eq!(common.unpack(&record), Some(expected));
    }
    assert!(size_of::<Record>() <= 240, "{} bytes a frame", size_of::<Record>());
}

#[test]
fn an_event_closes_when_a_later_frame_is_beyond_the_gap_and_the_rest_at_the_end() {
    let (said, events) = told(&[
        ("north/1", 0, "polar_bear", 0.8, true),
        ("south/2", 10, "polar_bear", 0.7, true),
        ("north/3", 60, "polar_bear", 0.81, true),
        ("north/4", 71, "other", 0.1, false),
        ("north/5", 121, "polar_bear", 0.9, true),
    ]);
    let story: Vec<(&str, EventState, u64)> = said
        .iter()
        .map(|it| {
            let event = it.event.as_ref().unwrap();
            (it.frame.name.as_str(), event.state, event.frames)
        })
        .collect();
    use EventState::{Closed, Opened};
    let expected = [
        ("north/1", Opened, 1),
        ("south/2", Opened, 1),
        // The third frame says too little new to be published, and yet it is the best.
        ("south/2", Closed, 1),
        ("north/3", Closed, 2),
        ("north/5", Opened, 1),
        ("north/5", Closed, 1),
    ];
    assert_eq!(story, expected);
    assert_eq!(events.of_record, [Some(0), Some(1), Some(0), None, Some(2)]);
    let bear = &events.spans[0];
    assert_eq!((bear.frames, bear.first, bear.last, bear.best), (2, 0, 2, 2));
    assert!(said.iter().all(|it| it.replayed && it.seq.is_none() && it.epoch.is_none()));
}

#[test]
fn a_quiet_label_is_grouped_without_a_word() {
    let (said, events) = told(&[
        ("north/1", 0, "arctic_fox", 0.8, false),
        ("north/2", 5, "polar_bear", 0.4, false),
        ("north/3", 6, "polar_bear", 0.9, true),
        ("north/4", 7, "arctic_fox", 0.9, false),
    ]);
    assert_eq!(said.len(), 2, "the bear's opening and closing");
    let spans: Vec<(&str, bool, u64)> =
        events.spans.iter().map(|span| (span.label.as_str(), span.alert, span.frames)).collect();
    assert_eq!(spans, [("arctic_fox", false, 2), ("polar_bear", false, 1), ("polar_bear", true, 1)]);
}

#[test]
fn a_reader_that_is_gone_ends_the_telling() {
    let (common, records) = pack(&[("a", 0, "polar_bear", 0.9, true)]);
    let mut gone = |_| anyhow::bail!("gone");
    let now = OffsetDateTime::UNIX_EPOCH;
    assert!(events::group(&records, &common, &Alerts::default(), "trap", &[], now, &mut gone).is_err());
}

#[test]
fn a_stop_leaves_the_rest_of_the_card_unread_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.jpg", "b.jpg"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    let model = Model::builtin().unwrap();
    let classifier = Classifier::new(model, "trap".into(), &Alerts::default(), Limits::default()).unwrap();
    let look = |stop: bool| {
        let files: Vec<_> = Card::find(folder.path()).unwrap().frames.into_iter().enumerate().collect();
        let mut looked = Looked::default();
        let mut take = |_, seen| looked.take(seen);
        let (stop, silent) = (AtomicBool::new(stop), Progress::silent());
        let interrupted = look::at(&classifier, folder.path(), &files, 2, &stop, &silent, &mut take).unwrap();
        (interrupted, looked.failures.len(), looked.copies.len())
    };
    assert_eq!(look(true), (true, 0, 0));
    assert_eq!(look(false), (false, 1, 1));
}

#[test]
fn a_shard_that_was_stopped_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.jpg"), "x").unwrap();
    let classifier =
        Classifier::new(Model::builtin().unwrap(), "trap".into(), &Alerts::default(), Limits::default()).unwrap();
    let output = folder.path().join("1.shard");
    let run = |stop: bool| {
        let setup = Setup::of(&classifier, "trap".into(), &Alerts::default()).unwrap();
        let card = (folder.path(), Card::find(folder.path()).unwrap());
        shard::run(&classifier, setup, card, "1/1".parse().unwrap(), &output, (1, &AtomicBool::new(stop)))
    };
    assert!(run(true).unwrap_err().to_string().starts_with("interrupted: shard 1/1 was not written"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nor a part of it");
    assert_eq!(run(false).unwrap(), ExitCode::SomeFailed);
    assert!(output.exists());
}

#[test]
fn a_file_from_beyond_the_calendar_stops_no_card() {
    // Where there is one, a file system in memory: ext4 knows no such times.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let raw = std::fs::File::create(folder.path().join("a.cr2")).unwrap();
    raw.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(300_000_000_000)).unwrap();
    assert_eq!(Card::find(folder.path()).unwrap().failures.len(), 1);
    // Nor does one from before year 0 come out of a merge otherwise than of a run.
    let before = OffsetDateTime::UNIX_EPOCH - time::Duration::days(800_000);
    assert_eq!(Failure::of_file("a".into(), "b".into(), Some(before), None).modified, None);
}

#[test]
fn folders_that_keep_deleted_or_hidden_pictures_are_not_searched() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["DCIM/a.JPG", ".Trash/b.jpg", "lost+found/c.jpg", "d.txt", "e.cr2", "._f.jpg"] {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "x").unwrap();
    }
    std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
    let card = Card::find(folder.path()).unwrap();
    assert_eq!(card.frames, [folder.path().join("DCIM/a.JPG")]);
    assert_eq!(card.failures.len(), 1, "{:?}", card.failures);
    assert!(card.failures[0].reason.contains("CR2 raw"));
    assert_eq!(card.others, 3, "text, a Mac's shadow file, and the link");
}
