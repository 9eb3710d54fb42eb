//! `arcticd train`: from folders of photos to a head that the same binary uses, on rendered scenes.
//!
//! Photos where `ARCTICD_TEST_DATA` names a folder with `wildlife/{train,test}/<label>/*.jpg`, or that test is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::path::{Path, PathBuf};
use std::process::Command;

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
        said.err.contains("broken\\n\\u{1b}[2J.jpg: ") && said.out.contains("1 photo could not be used"),
        "{}{}",
        said.err,
        said.out
    );
    assert!(world.path("a.head").is_file());
}

#[test]
fn what_cannot_become_a_head_is_refused_with_what_to_do_and_nothing_is_written() {
    let world = World::new();
    for (arguments, expected) in [
        (&["--alert", "yeti"][..], "yeti"),
        (&["--max-false-alerts", "1/day"], "--frames-per-day"),
        (&["--frames-per-day", "100"], "--max-false-alerts"),
        (&["--min-recall", "1.5"], "0 to 1"),
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
