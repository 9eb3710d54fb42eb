//! `arcticd train`: from folders of photos to a head that the same binary uses, on rendered scenes.
//!
//! Photos where `ARCTICD_TEST_DATA` names a folder with `wildlife/{train,test}/<label>/*.jpg`, or that test is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(feature = "train")]
use arcticd::explain::Explainer;
#[cfg(feature = "train")]
use arcticd::model::source::Origin;
use serde_json::Value;
use testkit::scenes::Scene;

struct World {
    root: tempfile::TempDir,
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl World {
    /// `train/` and `test/` with a folder a kind of scene.
    fn new() -> Self {
        let world = Self { root: tempfile::Builder::new().prefix("a b ").tempdir().unwrap() };
        for scene in Scene::ALL {
            for seed in 0..12 {
                let part = if seed < 9 { "train" } else { "test" };
                world.put(&format!("{part}/{}/{seed}.jpg", scene.label()), &parts::frame(scene, seed));
            }
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.path("photos").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn arcticd(&self, arguments: &[&str]) -> Said {
        let output =
            Command::new(parts::BIN).args(arguments).env_clear().current_dir(self.root.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn train(&self, head: &str, more: &[&str]) -> Said {
        let call = ["train", "photos", "-o", head, "--cache", "cache", "--views", "1"];
        self.arcticd(&[&call[..], more].concat())
    }
}

fn json(said: &Said) -> Value {
    assert_eq!(said.code, Some(0), "{}", said.err);
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn a_trained_head_is_signed_inspected_evaluated_and_classifies_as_the_report_says() {
    let world = World::new();
    assert_eq!(world.arcticd(&["head", "new-key", "field", "--no-password"]).code, Some(0));
    let said = world.train("scenes.head", &["--key", "field.key", "--head-version", "first", "--sequence", "7"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("true \\ named") && said.out.contains("scenes.report.html"), "{}", said.out);

    let inspected = world.arcticd(&["head", "inspect", "scenes.head", "--trust", "field.pub", "--json"]);
    let inspected = json(&inspected);
    assert_eq!(inspected["manifest"]["version"], "first", "{inspected}");
    let report: Value = serde_json::from_slice(&std::fs::read(world.path("scenes.report.json")).unwrap()).unwrap();
    let evaluated =
        json(&world.arcticd(&["eval", "photos/test", "--head", "scenes.head", "--cache", "cache", "--json"]));
    for figure in ["images", "balanced_accuracy", "confusion", "recall", "false_alert_rate"] {
        assert_eq!(report["test"][figure], evaluated[figure], "{figure}");
    }
    assert!(evaluated["balanced_accuracy"].as_f64().unwrap() >= 0.75, "{evaluated}");

    let page = std::fs::read_to_string(world.path("scenes.report.html")).unwrap();
    assert!(page.contains("scenes first") && !page.contains("http://") && !page.contains("src=\"/"));
    let seen = world.arcticd(&["replay", "photos/test", "--head", "scenes.head", "--json"]);
    assert_eq!(seen.code, Some(0), "{}", seen.err);
}

#[test]
fn the_same_photos_and_seed_give_the_same_head_out_of_the_cache_or_not() {
    let world = World::new();
    world.train("a.head", &["--name", "x", "--head-version", "1"]);
    let first = std::fs::read(world.path("a.head")).unwrap();
    let again = world.train("b.head", &["--name", "x", "--head-version", "1", "--json"]);
    let report = json(&again);
    assert!(report["seconds"]["features"].is_number(), "{report}");
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    world.train("c.head", &["--name", "x", "--head-version", "1"]);
    let network = |bytes: &[u8]| {
        // The manifest holds the hour, so that its digests are compared.
        let text = String::from_utf8_lossy(bytes);
        let at = text.find("\"head.onnx\":").unwrap();
        text[at..at + 110].to_owned()
    };
    for other in ["b.head", "c.head"] {
        assert_eq!(network(&first), network(&std::fs::read(world.path(other)).unwrap()), "{other}");
    }
}

#[test]
fn without_a_background_folder_packaged_features_stand_in_and_it_is_said() {
    let world = World::new();
    for part in ["train", "test"] {
        let folder = world.path("photos").join(part).join(Scene::Empty.label());
        std::fs::remove_dir_all(folder).unwrap();
    }
    let report = json(&world.train("a.head", &["--json"]));
    let notes = report["notes"].to_string();
    assert!(notes.contains("There is no background folder") && notes.contains("200 packaged photos"), "{notes}");
    let labels = report["cross_validation"]["labels"].as_array().unwrap().clone();
    assert!(labels.contains(&Value::from("other")), "{labels:?}");
    let report = json(&world.train("b.head", &["--json", "--no-background"]));
    assert!(!report["cross_validation"]["labels"].to_string().contains("other"));
    assert!(report["notes"].to_string().contains("1.57 % false alerts"), "{}", report["notes"]);
}

#[test]
fn a_test_on_background_needs_none_in_training_where_packaged_features_stand_in() {
    let world = World::new();
    std::fs::remove_dir_all(world.path("photos/train").join(Scene::Empty.label())).unwrap();
    let report = json(&world.train("a.head", &["--json"]));
    let notes = report["notes"].to_string();
    for words in ["no background folder to train on", "200 packaged photos", "1.57 % false alerts", "your own photos"] {
        assert!(notes.contains(words), "{words}: {notes}");
    }
    assert_eq!(report["test"]["images"], 12, "{report}");
    let labels: Vec<String> = serde_json::from_value(report["test"]["labels"].clone()).unwrap();
    let other = labels.iter().position(|label| label == "other").unwrap();
    assert_eq!(report["test"]["per_class"][other]["recall"]["of"], 3, "{report}");
    assert_eq!(report["test"]["alerts"][0]["false_alert_rate"]["of"], 9, "{report}");
    let evaluated = json(&world.arcticd(&["eval", "photos/test", "--head", "a.head", "--cache", "cache", "--json"]));
    assert_eq!(report["test"]["confusion"], evaluated["confusion"]);
    // Where nothing stands in there is no label to test it by.
    let said = world.train("b.head", &["--no-background"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    for words in ["photos/test/other: ", "--no-background", "train/other, or move"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert!(!world.path("b.head").exists());
}

#[test]
fn a_broken_photo_is_named_and_changes_the_exit_code_and_nothing_else_stops() {
    let world = World::new();
    world.put("train/polar_bear/broken\n\u{1b}[2J.jpg", b"\xff\xd8\xff no picture");
    let said = world.train("a.head", &[]);
    assert_eq!(said.code, Some(3), "{}", said.err);
    // By a name that can't steer the terminal.
    assert!(
        said.err.contains("broken\\n\\u{1b}[2J.jpg: ")
            && said.out.contains("1 photo could not be used and was left out"),
        "{}{}",
        said.err,
        said.out
    );
    assert!(world.path("a.head").is_file());
}

#[test]
fn pictures_of_other_formats_are_named_and_never_left_out_in_silence() {
    let world = World::new();
    for (name, bytes) in [
        ("train/polar_bear/IMG_1.HEIC", &b"x"[..]),
        ("test/walrus/IMG_2.cr2", b"x"),
        ("train/stray.jpg", b"x"),
        ("validation/polar_bear/1.jpg", b"x"),
    ] {
        world.put(name, bytes);
    }
    let whole = parts::frame(Scene::Walrus, 40);
    world.put("train/walrus/cut.jpg", &whole[..whole.len() * 4 / 5]);
    let said = world.train("a.head", &[]);
    assert_eq!(said.code, Some(3), "{}", said.err);
    for words in [
        "IMG_1.HEIC: HEIC is not supported",
        "IMG_2.cr2: CR2 raw is not supported",
        "stray.jpg: not used",
        "validation: not used; of the folders here only train and test are",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    for words in
        ["2 photos could not be used and were left out", "1 photo is damaged and used as far", "walrus/cut.jpg"]
    {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let said = world.arcticd(&["eval", "photos/test", "--head", "a.head", "--cache", "cache", "--json"]);
    assert_eq!(said.code, Some(3), "{}", said.err);
    let evaluated: Value = serde_json::from_str(&said.out).unwrap();
    assert!(evaluated["skipped"][0]["photo"].as_str().unwrap().ends_with("IMG_2.cr2"), "{evaluated}");
    // A label of such files alone is one that was meant.
    std::fs::remove_dir_all(world.path("photos/train/walrus")).unwrap();
    world.put("train/walrus/IMG_3.HEIC", b"x");
    let said = world.train("b.head", &[]);
    assert!(said.code == Some(1) && said.err.contains("train/walrus: not one of its photos"), "{}", said.err);
}

#[test]
fn one_label_is_enough_where_packaged_features_stand_in_and_its_own_folder_is_not() {
    let world = World::new();
    for scene in Scene::ALL.iter().filter(|scene| scene.label() != "polar_bear") {
        for part in ["train", "test"] {
            let _ = std::fs::remove_dir_all(world.path("photos").join(part).join(scene.label()));
        }
    }
    let report = json(&world.train("a.head", &["--json"]));
    assert_eq!(report["cross_validation"]["labels"], serde_json::json!(["other", "polar_bear"]));
    // Nobody is told that packaged photos are theirs.
    let counts = report["photos"].as_array().unwrap();
    let other = counts.iter().find(|counts| counts["label"] == "other").unwrap();
    assert_eq!((&other["train"], &other["packaged"]), (&Value::from(0), &Value::from(200)));
    assert_eq!(report["held_out_packaged"], 200);
    let said = world.train("b.head", &["--no-background"]);
    assert!(said.code == Some(1) && said.err.contains("only photos of polar_bear"), "{}", said.err);
    for command in [&["train", "photos/train/polar_bear", "-o", "c.head"][..], &["eval", "photos/train/polar_bear"]] {
        let said = world.arcticd(command);
        assert_eq!(said.code, Some(1), "{}", said.out);
        assert!(
            said.err.contains("is the folder of one label; give the folder around it, photos/train"),
            "{}",
            said.err
        );
    }
}

#[test]
fn a_test_part_that_is_set_aside_is_told_of() {
    let world = World::new();
    let said = world.arcticd(&["train", "photos/train", "-o", "a.head", "--cache", "cache", "--views", "0"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("a fifth of each label's photos, 8 in all, was set aside"), "{}", said.out);
}

#[test]
fn a_head_that_is_replaced_is_told_of_and_its_sequence_goes_on() {
    let world = World::new();
    assert_eq!(world.arcticd(&["head", "new-key", "field", "--no-password"]).code, Some(0));
    let first = world.train("my scenes.head", &["--key", "field.key", "--sequence", "7"]);
    assert!(first.code == Some(0) && !first.err.contains("replaces"), "{}", first.err);
    let sequence = || json(&world.arcticd(&["head", "inspect", "my scenes.head", "--trust", "field.pub", "--json"]));
    assert_eq!(sequence()["manifest"]["sequence"], 7);
    let again = world.train("my scenes.head", &["--key", "field.key"]);
    assert!(again.err.contains("replaces a head of sequence 7, signed by key "), "{}", again.err);
    assert_eq!(sequence()["manifest"]["sequence"], 8);
    let lower = world.train("my scenes.head", &["--sequence", "3"]);
    assert!(lower.err.contains("which traps that have the old one refuse"), "{}", lower.err);
    assert!(lower.out.contains("`arcticd head sign 'my scenes.head' --key KEY`"), "{}", lower.out);
}

#[test]
fn alerts_are_named_as_folders_are_and_a_wrong_one_is_told_before_the_work() {
    let world = World::new();
    let report = json(&world.train("a.head", &["--json", "--alert", "Polar Bear,walrus"]));
    let alerts: Vec<_> = report["operating_points"].as_array().unwrap().iter().map(|point| &point["label"]).collect();
    assert_eq!(alerts, ["polar_bear", "walrus"]);
    let said = world.arcticd(&["train", "photos", "-o", "b.head", "--cache", "untouched", "--alert", "yeti"]);
    assert!(said.code == Some(1) && said.err.contains("no photos of `yeti`"), "{}", said.err);
    assert!(!world.path("untouched").exists(), "photos were looked at");
}

#[test]
fn a_test_on_photos_that_were_trained_on_is_warned_of() {
    let world = World::new();
    world.train("a.head", &[]);
    let eval = |folder: &str| world.arcticd(&["eval", folder, "--head", "a.head", "--cache", "cache", "--json"]);
    assert_eq!(json(&eval("photos/test"))["warning"], Value::Null);
    let trained = eval("photos/train");
    assert!(
        trained.err.contains("all 36 photos were trained on, a.report.json says: the figures flatter"),
        "{}",
        trained.err
    );
    std::fs::copy(world.path("photos/train/walrus/0.jpg"), world.path("photos/test/walrus/renamed.jpg")).unwrap();
    assert!(json(&eval("photos/test"))["warning"].as_str().unwrap().starts_with("1 of the 13 photos"));
    // Without the report the head itself still knows all of them together.
    std::fs::remove_file(world.path("a.report.json")).unwrap();
    assert!(json(&eval("photos/train"))["warning"].as_str().unwrap().starts_with("all 36 photos"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_does_not_hide_that_the_head_is_written() {
    let world = World::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let call = ["train", "photos", "-o", "a.head", "--cache", "cache", "--views", "0"];
    let output =
        Command::new(parts::BIN).args(call).env_clear().current_dir(world.root.path()).stdout(full).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("a.head is written, but not all could be said of it on standard output"), "{err}");
    assert!(world.path("a.head").is_file());
}

#[test]
fn folders_that_are_not_there_are_named_in_words() {
    let world = World::new();
    for (call, words) in [
        (&["train", "nodir", "-o", "a.head"][..], "there is no folder nodir;"),
        (&["eval", "nodir"], "there is no folder nodir;"),
        (&["replay", "nodir"], "there is no folder nodir;"),
        (&["train", "photos", "-o", "no/such/a.head"], "there is no folder no/such; make it first"),
    ] {
        let said = world.arcticd(call);
        assert!(said.code == Some(1) && said.err.contains(words), "{call:?}: {}", said.err);
        assert!(!said.err.contains("os error"), "{call:?}: {}", said.err);
    }
}

#[test]
fn what_cannot_become_a_head_is_refused_with_what_to_do_and_nothing_is_written() {
    let world = World::new();
    for (arguments, expected) in [
        (&["--alert", "yeti"][..], "yeti"),
        (&["--max-false-alerts", "1/day"], "--frames-per-day"),
        (&["--frames-per-day", "100"], "--max-false-alerts"),
        (&["--min-recall", "1.5"], "above 0, up to 1"),
        (&["--min-recall", "0"], "above 0, up to 1"),
        (&["--layers", "linear", "--name", "No Name"], "[a-z0-9.-]+"),
        (&["--key", "no.key"], "no.key"),
        (&["--head-version", "a\tb"], "one line"),
        (&["--layers", "mlp:65536", "--flatten"], "fewer units"),
    ] {
        let said = world.train("a.head", arguments);
        assert!(said.code == Some(1) && said.err.contains(expected), "{arguments:?}: {:?} {}", said.code, said.err);
        assert!(!world.path("a.head").exists(), "{arguments:?}");
    }
    let said = world.train("a.onnx", &[]);
    assert!(said.code == Some(1) && said.err.contains("ends in .head"), "{}", said.err);
    let said = world.train("no/such/a.head", &[]);
    assert!(said.code == Some(1) && said.err.contains("no/such"), "{}", said.err);
    assert_eq!(world.train("a.head", &["--layers", "forest"]).code, Some(2));
    std::fs::create_dir_all(world.path("empty")).unwrap();
    let said = world.arcticd(&["train", "empty", "-o", "a.head"]);
    assert!(said.code == Some(1) && said.err.contains("empty"), "{}", said.err);
}

#[cfg(feature = "train")]
#[test]
fn the_tutorials_layers_train_on_the_mean_and_on_the_flattened_map_and_run_where_they_are() {
    let world = World::new();
    for (name, more) in
        [("pooled.head", &["--layers", "mlp:16"][..]), ("flat.head", &["--layers", "mlp:8", "--flatten"])]
    {
        let report = json(&world.train(name, &[&["--json", "--epochs", "3"][..], more].concat()));
        assert_eq!(report["epochs"].as_array().unwrap().len(), 3, "{name}");
        let said = world.arcticd(&["eval", "photos/test", "--head", name, "--cache", "cache", "--json"]);
        assert_eq!(json(&said)["confusion"], report["test"]["confusion"], "{name}");
        let said = world.arcticd(&["head", "inspect", name]);
        assert!(said.out.contains("ok    backbone: the built-in backbone"), "{name}: {}", said.out);
        assert_eq!(said.out.contains("with its whole feature map"), name == "flat.head", "{}", said.out);
        // What is no sum over the places of a frame is not explained as one.
        let explainer = Explainer::load(&Origin::Builtin, &Origin::Path(world.path(name)), 1);
        let explained = explainer.and_then(|it| it.explain(&Scene::Bear.render(1, 640, 480), "polar_bear").map(drop));
        let refused = explained.unwrap_err().to_string();
        let reason = if name == "flat.head" { "on the mean of a feature map" } else { "is not linear" };
        assert!(refused.contains(reason), "{name}: {refused}");
    }
}

#[test]
fn photos_of_animals_make_a_head_that_finds_bears_among_strangers() {
    let Some(data) = std::env::var_os("ARCTICD_TEST_DATA").map(PathBuf::from) else {
        println!("skipped: ARCTICD_TEST_DATA is not set");
        return;
    };
    // A few of each label: the whole takes minutes in a test build.
    let world = World { root: tempfile::tempdir().unwrap() };
    for part in ["train", "test"] {
        for label in ["arctic_fox", "polar_bear", "walrus", "other"] {
            link_some(&data.join("wildlife").join(part).join(label), &world.path("photos").join(part).join(label), 30);
        }
    }
    let report = json(&world.train("animals.head", &["--json"]));
    let test = &report["test"];
    assert!(test["balanced_accuracy"].as_f64().unwrap() >= 0.75, "{test}");
    assert!(test["recall"].as_f64().unwrap() >= 0.7 && test["false_alert_rate"].as_f64().unwrap() <= 0.1, "{test}");
}

/// At most `count` photos of `from`, evenly chosen, linked into `to`.
fn link_some(from: &Path, to: &Path, count: usize) {
    std::fs::create_dir_all(to).unwrap();
    let mut photos: Vec<PathBuf> = std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
    photos.sort();
    let step = photos.len().div_ceil(count).max(1);
    for photo in photos.iter().step_by(step) {
        std::os::unix::fs::symlink(photo, to.join(photo.file_name().unwrap())).unwrap();
    }
}
