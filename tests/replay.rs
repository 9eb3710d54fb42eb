//! `arcticd replay` on cards of rendered frames: what it says, that the daemon says the same, and what it never does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod card;
mod parts;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use arcticd::detection::{Detection, EventState, Kind};
use card::{Card, replay, scene, shot};
use parts::{BIN, PATIENCE, wait_frames, world};
use serde_json::{Value, json};
use testkit::daemon::World;
use testkit::scenes::Scene;

fn alerting() -> World {
    world().set_raw("alerts.labels", "[\"polar_bear\", \"walrus\"]")
}

fn messages(stdout: &str) -> Vec<Detection> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_card_is_told_in_the_order_of_capture_as_messages_that_the_schema_accepts() {
    let world = alerting();
    let card = Card::new(&world);
    // The names run against the clock.
    card.put("north/z.jpg", &shot(Scene::Bear, 1, "2026:11:20 04:00:00", Some("+01:00")));
    card.put("north/y.jpg", &shot(Scene::Bear, 2, "2026:11:20 04:00:20", Some("+01:00")));
    card.put("north/x.jpg", &shot(Scene::Walrus, 3, "2026:11:20 04:00:30", Some("+01:00")));
    card.put("north/w.jpg", &shot(Scene::Bear, 4, "2026:11:20 05:00:00", Some("+01:00")));
    card.put("south/DCIM/a.jpg", &shot(Scene::Bear, 5, "2026:11:20 04:00:10", None));
    card.put("south/b.jpg", &shot(Scene::Empty, 6, "2026:11:20 04:00:11", None));
    let output = replay(&world, &["card", "--json"]);
    assert_eq!(output.code, 0, "{}", output.stderr);

    let schema = include_str!("../schema/detection.schema.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    for line in output.stdout.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let faults: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!((faults, &value["seq"], &value["epoch"]), (vec![], &Value::Null, &Value::Null), "{line}");
        assert_eq!(value["replayed"], true);
    }
    let said: Vec<(Kind, Option<String>, String, String)> =
        messages(&output.stdout).into_iter().map(|it| (it.kind, it.camera, it.label, it.frame.name)).collect();
    let opened: Vec<&str> = messages_of(&said, Kind::Detection);
    let first_of_each: Vec<&str> = opened.iter().copied().filter(|name| *name != "north/y.jpg").collect();
    // The camera without a zone counts as UTC: 04:00:10 there is 05:00:10 in the other's.
    assert_eq!(first_of_each, ["north/z.jpg", "north/x.jpg", "north/w.jpg", "south/DCIM/a.jpg"]);
    assert_eq!(messages_of(&said, Kind::EventClosed).len(), 4);
    let closed_bears = messages(&output.stdout).into_iter().find(|it| it.kind == Kind::EventClosed).unwrap();
    let event = closed_bears.event.unwrap();
    assert_eq!((event.state, event.frames, closed_bears.label.as_str()), (EventState::Closed, 2, "polar_bear"));
}

fn messages_of(said: &[(Kind, Option<String>, String, String)], kind: Kind) -> Vec<&str> {
    said.iter().filter(|it| it.0 == kind).map(|it| it.3.as_str()).collect()
}

#[test]
fn the_daemon_and_replay_say_the_same_of_the_same_frames() {
    let world = alerting().set_raw("alerts.gap_s", "20");
    let frames = [
        ("north/1.jpg", shot(Scene::Bear, 11, "2026:11:20 04:00:00", Some("+01:00"))),
        ("north/2.jpg", shot(Scene::Bear, 12, "2026:11:20 04:00:15", Some("+01:00"))),
        ("south/3.jpg", shot(Scene::Bear, 13, "2026:11:20 04:00:16", Some("+01:00"))),
        ("north/4.jpg", shot(Scene::Walrus, 14, "2026:11:20 04:00:17", Some("+01:00"))),
        ("north/5.jpg", shot(Scene::Fox, 15, "2026:11:20 04:00:18", Some("+01:00"))),
        ("north/6.jpg", shot(Scene::Bear, 16, "2026:11:20 04:00:30", Some("+01:00"))),
        ("north/7.jpg", shot(Scene::Bear, 17, "2026:11:20 04:01:00", Some("+01:00"))),
        ("8.jpg", shot(Scene::Walrus, 18, "2026:11:20 03:02:00", None)),
    ];
    let mut daemon = world.start(BIN).unwrap();
    for (name, bytes) in &frames {
        world.drop_frame(name, bytes).unwrap();
        wait_frames(&world, &[name]);
    }
    let replayed = replay(&world, &["captures", "--json", "--config", "arcticd.toml"]);
    assert_eq!(replayed.code, 0, "{}", replayed.stderr);
    let closed = replayed.stdout.matches("event_closed").count();
    assert!(closed >= 4, "rendered animals are seen: {}", replayed.stdout);
    let deadline = std::time::Instant::now() + PATIENCE;
    let told = testkit::wait_until(deadline - std::time::Instant::now(), || {
        let lines = daemon.stdout();
        (lines.iter().filter(|line| line.contains("event_closed")).count() >= closed).then_some(lines)
    });
    let told = told.unwrap_or_else(|| panic!("{:?}\n{}", daemon.stdout(), daemon.log().join("\n")));
    assert_eq!(daemon.terminate().unwrap(), 0);

    let by_id = |text: &str| -> BTreeMap<String, Value> {
        let line = |line: &str| {
            let mut value: Value = serde_json::from_str(line).unwrap();
            for own in ["epoch", "seq", "processed_at", "latency_ms", "replayed"] {
                value.as_object_mut().unwrap().remove(own).unwrap();
            }
            (value["id"].as_str().unwrap().to_owned(), value)
        };
        text.lines().map(line).collect()
    };
    assert_eq!(by_id(&replayed.stdout), by_id(&told.join("\n")));
}

#[test]
fn a_person_reads_events_totals_copies_and_failures() {
    let world = alerting();
    let card = Card::new(&world);
    card.put("north/1.jpg", &shot(Scene::Bear, 1, "2026:11:20 04:00:00", Some("+01:00")));
    card.put("north/2.jpg", &shot(Scene::Bear, 2, "2026:11:20 04:00:09", Some("+01:00")));
    card.put("north/2 copy.jpg", &shot(Scene::Bear, 2, "2026:11:20 04:00:09", Some("+01:00")));
    card.put("south/empty.jpg", &shot(Scene::Empty, 3, "2026:11:20 04:00:00", None));
    card.put("south/broken.jpg", b"no picture");
    card.put("south/phone.heic", b"....");
    card.put("readme.txt", b"hello");
    let output = replay(&world, &["card"]);
    assert_eq!(output.code, 3, "{}", output.stdout);
    for part in [
        "3 frames, 2026-11-20 04:00",
        "camera north: 1 event\n  2026-11-20 04:00:00 +01:00  polar bear  ",
        "2 frames in 9 s",
        "polar bear        2  2 alerting, in 1 event",
        "1 copy of another file, each content counted once\n  north/2.jpg = north/2 copy.jpg",
        "2 failed, nobody knows what is on them\n  south/broken.jpg: this is not a picture",
        "south/phone.heic: HEIC is not supported",
    ] {
        assert!(output.stdout.contains(part), "{part:?} is missing in:\n{}", output.stdout);
    }
    // With --json the messages alone are on standard output.
    let output = replay(&world, &["card", "--json"]);
    assert_eq!(output.code, 3);
    assert!(messages(&output.stdout).iter().all(|it| it.camera.as_deref() == Some("north")));
    assert!(output.stderr.contains("south/broken.jpg: this is not a picture"), "{}", output.stderr);
}

#[test]
fn nothing_is_changed_on_the_card_and_no_state_is_made() {
    let world = alerting();
    let card = Card::new(&world);
    card.put("a.jpg", &scene(Scene::Bear, 1));
    card.put("b.jpg", b"broken");
    let before = listing(&world.path("card"));
    assert_eq!(replay(&world, &["card", "--megadetector", "md.json"]).code, 3);
    assert_eq!(listing(&world.path("card")), before);
    assert!(!world.state().exists(), "a journal was made");
}

fn listing(folder: &Path) -> Vec<(std::ffi::OsString, Vec<u8>, std::time::SystemTime)> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let modified = entry.metadata().unwrap().modified().unwrap();
        (entry.file_name(), fs::read(entry.path()).unwrap(), modified)
    };
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(entry).collect();
    all.sort();
    all
}

#[test]
fn all_threads_tell_the_same_story_and_copies_never_change_it() {
    let world = alerting();
    let card = Card::new(&world);
    for seed in 0..4 {
        let file = shot(Scene::Bear, seed, &format!("2026:11:20 04:00:0{seed}"), None);
        card.put(&format!("b/{seed}.jpg"), &file);
        card.put(&format!("a/{seed}.jpg"), &file);
        card.put(&format!("c/{seed}.jpg"), &file);
    }
    let told = |threads: &str| {
        let output = replay(&world, &["card", "--json", "--threads", threads]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(output.stderr.contains("8 copies of other files"), "{}", output.stderr);
        messages(&output.stdout).into_iter().map(|it| (it.id, it.frame.name, it.confidence)).collect::<Vec<_>>()
    };
    let one = told("1");
    assert!(one.iter().all(|(_, name, _)| name.starts_with("a/")), "{one:?}");
    assert_eq!(one, told("4"));
}

#[test]
fn odd_names_reach_every_output_whole_and_on_one_line() {
    let world = alerting().set_raw("alerts.thresholds", "{ polar_bear = 0.0 }").set("alerts.policy", "every_frame");
    let card = Card::new(&world);
    let odd = ["two words.jpg", "\"quoted\", 'too'.jpg", "two\nlines.jpg", "~home..jpg", "Björnøya/100%.jpg"];
    for (seed, name) in odd.iter().enumerate() {
        card.put(name, &scene(Scene::Bear, seed as u64));
    }
    let bytes = std::ffi::OsStr::from_bytes(b"\xff\xfe.jpg");
    fs::write(world.path("card").join(bytes), scene(Scene::Bear, 20)).unwrap();
    fs::write(world.path("card").join("bad\nname.jpg"), b"no picture").unwrap();
    let arguments = ["card", "--megadetector", "md.json", "--camtrap-dp", "package", "--location", "78.92,11.93"];
    let output = replay(&world, &[&arguments[..], &["--location-policy", "rounded"]].concat());
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(output.stdout.contains("bad\\nname.jpg: "), "{}", output.stdout);
    let found: Value = serde_json::from_slice(&fs::read(world.path("md.json")).unwrap()).unwrap();
    let files: Vec<&str> = found["images"].as_array().unwrap().iter().map(|it| it["file"].as_str().unwrap()).collect();
    for name in odd.iter().copied().chain(["bad\nname.jpg", "\u{fffd}\u{fffd}.jpg"]) {
        assert!(files.contains(&name), "{name:?} is missing in {files:?}");
    }
    let media = card::table(&world.path("package/media.csv"));
    let names: Vec<&str> = media.iter().map(|row| row["fileName"].as_str()).collect();
    assert!(odd.iter().all(|name| names.contains(&name.rsplit('/').next().unwrap())), "{names:?}");
    let paths: Vec<&str> = media.iter().map(|row| row["filePath"].as_str()).collect();
    assert!(paths.contains(&"%7Ehome.%2Ejpg") && paths.contains(&"two%0Alines.jpg"), "{paths:?}");
    let json = replay(&world, &["card", "--json"]);
    let told: Vec<String> = messages(&json.stdout).into_iter().map(|it| it.frame.name).collect();
    assert!(told.contains(&"two\nlines.jpg".to_owned()), "{told:?}");
}

#[test]
fn what_cannot_be_done_is_refused_before_any_work_with_what_to_do() {
    let world = alerting();
    let card = Card::new(&world);
    card.put("a.jpg", &scene(Scene::Bear, 1));
    fs::create_dir_all(world.path("full")).unwrap();
    fs::write(world.path("full/thesis.tex"), "years of work").unwrap();
    fs::create_dir_all(world.path("nothing/here")).unwrap();
    fs::write(world.path("nothing/notes.txt"), "").unwrap();
    let here = ["--location", "78.9,11.9", "--location-policy", "exact"];
    let with = |arguments: &[&'static str]| [arguments, &here[..]].concat();
    for (arguments, reason) in [
        (vec!["missing"], "there is no folder missing"),
        (vec!["nothing"], "no frame lies in or below nothing (1 other files)"),
        (vec!["card", "--camtrap-dp", "package"], "--location-policy rounded"),
        (with(&["card", "--camtrap-dp", "full"]), "full is not empty and no package of arcticd's"),
        (with(&["card", "--camtrap-dp", "card"]), "card is not empty and no package of arcticd's"),
        (vec!["card", "--megadetector", "no/such/folder/md.json"], "md.json can't be written"),
        (vec!["card", "--megadetector", "full"], "may this user write there?: it is a folder"),
        (vec!["card", "--head", "no-such-head"], "head no-such-head: it can't be read"),
    ] {
        let output = replay(&world, &arguments);
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(reason), "{arguments:?}: {}", output.stderr);
    }
    assert_eq!(fs::read_dir(world.path("full")).unwrap().count(), 1);
    let output = replay(&world, &["card", "--location", "north"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("78.92,11.93"), "{}", output.stderr);
    // Known only after all frames were looked at: none says where it was taken.
    let output = replay(&world, &["card", "--camtrap-dp", "package", "--location-policy", "exact"]);
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("no position is known for the card"), "{}", output.stderr);
    assert!(!world.path("package").exists());
}

#[test]
fn only_bad_files_is_a_failure_of_the_whole() {
    let world = alerting();
    let card = Card::new(&world);
    card.put("a.jpg", b"");
    card.put("b.jpg", b"text");
    let output = replay(&world, &["card", "--megadetector", "md.json"]);
    assert_eq!(output.code, 1, "{}", output.stdout);
    assert!(output.stdout.contains("2 failed"), "{}", output.stdout);
    let found: Value = serde_json::from_slice(&fs::read(world.path("md.json")).unwrap()).unwrap();
    assert!(found["images"].as_array().unwrap().iter().all(|it| it["detections"] == json!(null)));
}
