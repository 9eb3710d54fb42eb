//! `arcticd replay --shard` and `--merge`: shards of an archive, put together, are what one run says, byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod card;
mod parts;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use card::{Card, Output, replay, scene, shot};
use parts::{BIN, world};
use serde_json::Value;
use testkit::daemon::World;
use testkit::scenes::Scene;

/// The moment in all results: else they would differ in it alone.
const MADE: [&str; 2] = ["--made-at", "2026-11-28T12:00:00Z"];

/// Degrees with as many digits as a number has.
const PLACE: [&str; 4] = ["--location", "78.92349999999999,11.909900000000001", "--location-policy", "exact"];

/// Bursts, copies, bad files, odd names, and a file that is listed but not decoded.
fn archive(world: &World) -> Card<'_> {
    let card = Card::new(world);
    for second in 0..6 {
        let time = format!("2026:11:20 04:00:0{second}");
        let bear = shot(Scene::Bear, second, &time, Some("+01:00"));
        card.put(&format!("north/{second}.jpg"), &bear);
        // In folders whose order is another one by path than by letters, and before and behind the originals.
        card.put(&format!("{}/copy {second}.jpg", ["north-b", "a", "z"][second as usize % 3]), &bear);
    }
    card.put("south/walrus.jpg", &shot(Scene::Walrus, 20, "2026:11:20 06:00:00", None));
    card.put("south/walrus 2.jpg", &shot(Scene::Walrus, 21, "2026:11:20 06:00:07", None));
    card.put("south/fox.jpg", &shot(Scene::Fox, 22, "2026:11:20 06:00:09", None));
    card.put("south/empty.jpg", &scene(Scene::Empty, 23));
    for name in ["broken.jpg", "south/broken 2.jpg", "z/broken 3.jpg"] {
        card.put(name, b"no picture");
    }
    card.put("south/void.jpg", b"");
    card.put("phone.heic", b"....");
    card.put("two\nlines.jpg", &scene(Scene::Bear, 24));
    let whole = scene(Scene::Bear, 25);
    card.put("cut.jpg", &whole[..whole.len() * 9 / 10]);
    for (seed, name) in [&b"\xff.jpg"[..], b"\xfe.jpg"].into_iter().enumerate() {
        let path = world.path("card").join(std::ffi::OsStr::from_bytes(name));
        fs::write(path, scene(Scene::Bear, 30 + seed as u64)).unwrap();
    }
    card
}

fn rules() -> World {
    world().set_raw("alerts.labels", "[\"polar_bear\", \"walrus\"]")
}

fn shards(world: &World, of: u32) -> Vec<String> {
    let make = |number: u32| {
        let (shard, file) = (format!("{number}/{of}"), format!("{number}-of-{of}.shard"));
        let output = replay(world, &[&["card", "--shard", &shard, "-o", &file], &PLACE[..]].concat());
        assert!([0, 3].contains(&output.code), "{}", output.stderr);
        assert_eq!(output.stdout, "");
        assert!(output.stderr.contains(&format!("shard {number} of {of}: ")), "{}", output.stderr);
        file
    };
    // Last first: nothing depends on the order.
    (1..=of).rev().map(make).collect()
}

/// `replay --merge`, which reads no configuration.
fn merge(world: &World, files: &[String], arguments: &[&str]) -> Output {
    let output = world.command(BIN).arg("replay").arg("--merge").args(files).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(folder).unwrap().map(entry).collect()
}

/// What a run printed and wrote, in every format there is.
#[derive(Debug)]
struct Told {
    printed: String,
    complained: String,
    files: BTreeMap<String, Vec<u8>>,
}

/// Runs `call` for each format, into files of this name.
fn tell(world: &World, name: &str, call: impl Fn(&[&str]) -> Output) -> Told {
    let file = format!("{name}.json");
    let formats = ["--megadetector", &file, "--camtrap-dp", name, "--utc-offset", "-03:30"];
    let (text, json) = (call(&[&formats[..], &MADE].concat()), call(&[&["--json"][..], &MADE].concat()));
    assert_eq!((text.code, json.code), (3, 3), "{}{}", text.stderr, json.stderr);
    let mut files = contents(&world.path(name));
    files.insert("md.json".into(), fs::read(world.path(&file)).unwrap());
    assert_eq!(files.len(), 5);
    Told { printed: text.stdout + &json.stdout, complained: json.stderr, files }
}

#[test]
fn shards_put_together_are_one_run_byte_for_byte_in_every_format() {
    let world = rules();
    archive(&world);
    let one = tell(&world, "one", |formats| replay(&world, &[&["card"], &PLACE[..], formats].concat()));
    for part in ["camera a: 1 event", "8 copies of other files", "failed, nobody knows", "\"event_closed\""] {
        assert!(one.printed.contains(part), "{part:?}: {}", one.printed);
    }
    for of in 1..=3 {
        let files = shards(&world, of);
        let lines = |file: &String| fs::read_to_string(world.path(file)).unwrap().lines().count() - 1;
        assert!(of == 1 || files.iter().all(|file| (4..20).contains(&lines(file))), "the work is divided");
        let merged = tell(&world, &format!("merged-{of}"), |formats| merge(&world, &files, formats));
        for (name, bytes) in &one.files {
            let (single, merged) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(&merged.files[name]));
            assert_eq!(single, merged, "{name} of {of} shards");
        }
        assert_eq!((&one.printed, &one.complained), (&merged.printed, &merged.complained), "{of} shards");
    }
}

#[test]
fn without_a_moment_given_a_merge_differs_in_the_moments_alone() {
    let world = rules();
    archive(&world);
    let strip = |output: Output| -> Vec<Value> {
        assert_eq!(output.code, 3, "{}", output.stderr);
        let line = |line: &str| {
            let mut message: Value = serde_json::from_str(line).unwrap();
            for when in ["processed_at", "latency_ms"] {
                assert!(!message.as_object_mut().unwrap().remove(when).unwrap().is_null());
            }
            message
        };
        output.stdout.lines().map(line).collect()
    };
    let merged = strip(merge(&world, &shards(&world, 2), &["--json"]));
    assert_eq!(merged, strip(replay(&world, &[&["card", "--json"], &PLACE[..]].concat())));
}

#[test]
fn a_shard_without_files_is_a_shard() {
    let world = rules();
    let card = Card::new(&world);
    card.put("a.jpg", &shot(Scene::Bear, 1, "2026:11:20 04:00:00", None));
    let files = shards(&world, 3);
    let empty = files.iter().filter(|file| fs::read_to_string(world.path(file)).unwrap().lines().count() == 1);
    assert_eq!(empty.count(), 2);
    let one = replay(&world, &[&["card", "--json"], &PLACE[..], &MADE].concat());
    let merged = merge(&world, &files, &[&["--json"][..], &MADE].concat());
    assert_eq!((merged.code, &merged.stdout), (0, &one.stdout), "{}", merged.stderr);
}

#[test]
fn a_shard_of_bad_files_alone_is_done_and_an_archive_of_them_failed() {
    let world = rules();
    Card::new(&world).put("a.jpg", b"no picture");
    let files = shards(&world, 1);
    let merged = merge(&world, &files, &[]);
    assert_eq!(merged.code, 1, "{}", merged.stderr);
    assert!(merged.stdout.contains("1 failed"), "{}", merged.stdout);
}

#[test]
fn what_is_no_whole_archive_is_refused_with_what_to_do() {
    let world = rules();
    let card = archive(&world);
    let files = shards(&world, 3);
    let (last, first) = (files[0].clone(), files[2].clone());
    let shard = |name: &str, arguments: &[&str]| {
        let output = replay(&world, &[&["card", "-o", name], arguments, &PLACE[..]].concat());
        assert!([0, 3].contains(&output.code), "{}", output.stderr);
        name.to_owned()
    };
    let of_two = shard("other-count.shard", &["--shard", "1/2"]);
    let built_in = shard("other-head.shard", &["--shard", "2/3", "--head", "builtin"]);
    let text = fs::read_to_string(world.path(&files[1])).unwrap();
    let put = |name: &str, text: &str| {
        fs::write(world.path(name), text).unwrap();
        name.to_owned()
    };
    let half = text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>();
    let cut = put("cut.shard", &half);
    let torn = put("torn.shard", &text[..text.len() - 30]);
    let (header, rest) = text.split_once('\n').unwrap();
    let newer = put("newer.shard", &text.replacen("\"arcticd_shard\":1", "\"arcticd_shard\":2", 1));
    let twice = put("twice.shard", &format!("{header}\n{0}\n{0}\n", rest.lines().next().unwrap()));
    let empty = put("empty.shard", "");
    let other = put("notes.txt", "hello\n");
    // The rest of the same archive, with a frame more.
    card.put("north/late.jpg", &scene(Scene::Fox, 50));
    let later = shard("later.shard", &["--shard", "2/3"]);
    let named =
        |middle: &[&String]| -> Vec<String> { [&[&last], middle, &[&first]].concat().into_iter().cloned().collect() };
    for (files, reason) in [
        (named(&[]), "of 3 shards one is missing: 2; make them (`arcticd replay DIR --shard 2/3 -o FILE`)"),
        (vec![first.clone()], "of 3 shards some are missing: 2, 3"),
        (named(&[&files[1], &files[1]]), "are both shard 2 of 3"),
        (named(&[&of_two]), "1-of-3.shard is one of 3 shards, and other-count.shard one of 2"),
        (named(&[&built_in]), "other-head.shard was made with another `alerting` than 1-of-3.shard"),
        (named(&[&later]), "later.shard is of another archive than 1-of-3.shard, or files were added"),
        (named(&[&cut]), "cut.shard: it has 1 of "),
        (named(&[&torn]), "torn.shard: line "),
        (named(&[&newer]), "newer.shard: its format is 2, and this arcticd reads 1"),
        (named(&[&twice]), "twice.shard: frame "),
        (named(&[&empty]), "empty.shard: it is no shard's file"),
        (named(&[&other]), "notes.txt: it is no shard's file"),
        (named(&[&"no.shard".to_owned()]), "no.shard: it can't be read"),
    ] {
        let output = merge(&world, &files, &["--megadetector", "md.json"]);
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{files:?}: {}", output.stderr);
        assert!(output.stderr.contains(reason), "{reason:?}: {}", output.stderr);
        assert!(!world.path("md.json").exists());
    }
}

#[test]
fn a_call_that_makes_no_sense_is_a_usage_mistake() {
    let world = rules();
    archive(&world);
    for (arguments, reason) in [
        (&["card", "--shard", "3/2", "-o", "x"][..], "there is no shard 3 of 2: they are numbered from 1 to 2"),
        (&["card", "--shard", "1/2"], "--output <FILE>"),
        (&["card", "-o", "x"], "--shard <I/N>"),
        (&["card", "--shard", "1/2", "-o", "x", "--json"], "--json"),
        (&["card", "--merge", "x"], "[DIR]"),
        (&["--merge", "x", "--head", "builtin"], "--head"),
        (&["--merge", "x"], "--merge takes the rules of the shards and no --config"),
        (&["card", "--made-at", "today"], "give a moment as in 2026-11-28T12:00:00Z"),
    ] {
        let output = replay(&world, arguments);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(reason), "{reason:?}: {}", output.stderr);
    }
    assert!(!world.path("x").exists());
}
