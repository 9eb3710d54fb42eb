//! `arcticd eval`: what a scientist learns of a head, by the real binary on files.
//!
//! Rendered scenes and the head fitted on others of them; photos where `ARCTICD_TEST_DATA` names a folder with
//! `wildlife/test/<label>/*.jpg`, or that test is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::scenes::Scene;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{}\n{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}

fn arcticd(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Said {
    let output = Command::new(parts::BIN)
        .args(arguments.iter().map(|argument| argument.as_ref()))
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Folders of labels with spaces in their path, three scenes each.
struct World {
    root: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { root: tempfile::Builder::new().prefix("card 1 ").tempdir().unwrap() };
        for scene in Scene::ALL {
            for seed in 0..3 {
                world.put(scene.label(), &format!("{seed}.jpg"), &parts::frame(scene, seed));
            }
        }
        world
    }

    fn photos(&self) -> PathBuf {
        self.root.path().join("photos")
    }

    fn put(&self, label: &str, name: &str, bytes: &[u8]) {
        let folder = self.photos().join(label);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    fn eval(&self, more: &[&str]) -> Said {
        let (photos, head, cache) = (self.photos(), parts::head(), self.root.path().join("cache"));
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> =
            vec![&"eval", &photos, &"--head", &head, &"--cache", &cache];
        arguments.extend(more.iter().map(|argument| argument as &dyn AsRef<std::ffi::OsStr>));
        arcticd(&arguments)
    }
}

#[test]
fn the_json_line_says_all_that_a_script_asks_for_and_is_the_same_out_of_the_cache() {
    let world = World::new();
    let first = world.eval(&["--json"]);
    assert_eq!((first.code, first.err.as_str()), (Some(0), ""));
    let json = first.json();
    assert_eq!(json["images"], 12);
    assert_eq!(json["labels"], serde_json::json!(["arctic_fox", "other", "polar_bear", "walrus"]));
    assert!(json["balanced_accuracy"].as_f64().unwrap() > 0.8, "{json}");
    let confusion: Vec<Vec<u64>> = serde_json::from_value(json["confusion"].clone()).unwrap();
    assert!(confusion.iter().all(|row| row.iter().sum::<u64>() == 3), "{json}");
    let right: u64 = (0..4).map(|class| confusion[class][class]).sum();
    assert!((json["accuracy"].as_f64().unwrap() - right as f64 / 12.0).abs() < 1e-9);
    assert_eq!(json["per_class"].as_array().unwrap().len(), 4);
    assert_eq!(json["per_class"][1]["recall"]["of"], 3);
    assert_eq!(json["alerts"][0]["label"], "polar_bear");
    assert_eq!(json["recall"], json["alerts"][0]["recall"]["share"]);
    assert_eq!(json["false_alert_rate"], json["alerts"][0]["false_alert_rate"]["share"]);
    assert_eq!((&json["skipped"], &json["unmet"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert!(json["seconds"].as_f64().unwrap() > 0.0);
    for key in ["head", "backbone"] {
        assert!(json[key].is_string(), "{key}");
    }

    assert!(world.root.path().join("cache/features").read_dir().unwrap().count() >= 12);
    let mut again = world.eval(&["--json"]).json();
    again["seconds"] = json["seconds"].clone();
    assert_eq!(again, json);
}

#[test]
fn the_text_shows_the_table_and_never_accuracy_alone() {
    let said = World::new().eval(&[]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for words in ["balanced accuracy", "always answering", "true \\ named", "alert polar_bear from", "false alerts"] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    assert!(said.out.find("balanced accuracy") < said.out.find("\naccuracy"), "{}", said.out);
}

#[test]
fn a_photo_that_can_not_be_read_is_named_and_ends_in_code_3() {
    let world = World::new();
    world.put("walrus", "broken one.jpg", b"not a picture");
    let said = world.eval(&["--json"]);
    assert_eq!(said.code, Some(3));
    assert!(said.err.contains("broken one.jpg: this is not a picture"), "{}", said.err);
    let json = said.json();
    assert_eq!(json["images"], 12);
    assert!(json["skipped"][0]["photo"].as_str().unwrap().ends_with("walrus/broken one.jpg"));
    // A damaged one is looked at as the daemon would, and told of.
    let whole = parts::frame(Scene::Walrus, 7);
    world.put("walrus", "cut.jpg", &whole[..whole.len() * 4 / 5]);
    let json = world.eval(&["--json"]).json();
    assert_eq!(json["images"], 13);
    assert!(json["partial"][0].as_str().unwrap().ends_with("walrus/cut.jpg"), "{json}");
    let text = world.eval(&[]).out;
    assert!(text.contains("1 damaged photo among these looked at as far as decoded: "), "{text}");
    assert!(text.contains("walrus/cut.jpg") && text.contains("1 more could not be used and is in no figure"), "{text}");
    // A condition that fails says more than a photo that does.
    assert_eq!(world.eval(&["--require", "accuracy>1"]).code, Some(1));
}

#[test]
fn file_names_are_listed_on_one_line_and_can_not_steer_the_terminal() {
    let world = World::new();
    // Bears where walruses should be: false alerts, which the text lists.
    for seed in 0..3 {
        world.put("walrus", &format!("bear {seed}\n\u{1b}[2J.jpg"), &parts::bear(seed));
    }
    world.put("walrus", "broken\narcticd: \u{1b}[2J.jpg", b"not a picture");
    std::fs::write(world.photos().join("stray\r.jpg"), b"").unwrap();
    let said = world.eval(&[]);
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert!(said.out.contains("\\n\\u{1b}[2J.jpg (named polar_bear, "), "{}", said.out);
    assert!(said.err.contains("broken\\narcticd: \\u{1b}[2J.jpg: this is not a picture"), "{}", said.err);
    assert!(said.err.contains("stray\\r.jpg: not used"), "{}", said.err);
    let steers = |letter: char| letter.is_control() && letter != '\n';
    assert!(!said.out.contains(steers) && !said.err.contains(steers), "{}{}", said.out, said.err);
    assert!(said.err.lines().all(|line| line.starts_with("arcticd: /")), "{}", said.err);
}

#[test]
fn conditions_decide_the_exit_code_and_each_that_fails_is_named() {
    let world = World::new();
    let good = world.eval(&["--require", "balanced_accuracy>=0.5", "--require", "false_alert_rate<=1"]);
    assert_eq!(good.code, Some(0), "{}", good.err);
    let bad =
        world.eval(&["--json", "--require", "accuracy>1", "--require", "recall.walrus<0", "--require", "recall>=0"]);
    assert_eq!(bad.code, Some(1));
    assert!(bad.err.contains("accuracy>1 does not hold: it is "), "{}", bad.err);
    assert!(bad.err.contains("recall.walrus<0 does not hold"), "{}", bad.err);
    assert_eq!(bad.json()["unmet"].as_array().unwrap().len(), 2);
    let mistyped = world.eval(&["--require", "acuracy>=0.5"]);
    assert_eq!(mistyped.code, Some(2));
    assert!(mistyped.err.contains("balanced_accuracy"), "{}", mistyped.err);
}

#[test]
fn labels_may_be_missing_and_a_condition_on_them_fails() {
    let world = World::new();
    std::fs::remove_dir_all(world.photos().join("polar_bear")).unwrap();
    let json = world.eval(&["--json"]).json();
    assert_eq!((&json["images"], &json["recall"]), (&Value::from(9), &Value::Null));
    let said = world.eval(&["--require", "recall>=0"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("can't be computed, for there is no photo of polar_bear"), "{}", said.err);
}

#[test]
fn folders_that_do_not_fit_the_head_are_refused_with_what_to_do() {
    let world = World::new();
    world.put("reindeer", "a.jpg", &parts::bear(0));
    let said = world.eval(&[]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    for words in ["/reindeer: ", "arctic_fox, other, polar_bear, walrus", "move it into other/"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    let parent = world.root.path().join("both");
    std::fs::create_dir(&parent).unwrap();
    std::fs::remove_dir_all(world.photos().join("reindeer")).unwrap();
    std::fs::rename(world.photos(), parent.join("test")).unwrap();
    let said = arcticd(&[&"eval", &parent, &"--head", &parts::head()]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.trim_end().ends_with("both/test"), "{}", said.err);
}

#[test]
fn nothing_to_look_at_is_a_failure() {
    let empty = tempfile::tempdir().unwrap();
    for (folder, words) in
        [(empty.path(), "no photos"), (Path::new("/no/such/folder"), "there is no folder /no/such/folder")]
    {
        let said = arcticd(&[&"eval", &folder]);
        assert_eq!(said.code, Some(1));
        assert!(said.err.contains(words), "{}", said.err);
    }
    std::fs::create_dir(empty.path().join("walrus")).unwrap();
    std::fs::write(empty.path().join("walrus/a.jpg"), "no").unwrap();
    let said = arcticd(&[&"eval", &empty.path()]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("none of the 1 photos could be used"), "{}", said.err);
}

#[test]
fn the_built_in_head_does_well_on_photos_that_it_was_never_shown() {
    let Some(root) = std::env::var_os("ARCTICD_TEST_DATA").map(|root| PathBuf::from(root).join("wildlife/test")) else {
        return parts::skip("eval of photos", "ARCTICD_TEST_DATA is not set");
    };
    if !root.is_dir() {
        return parts::skip("eval of photos", &format!("there is no {}", root.display()));
    }
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("eval-cache");
    let said = arcticd(&[&"eval", &root, &"--json", &"--cache", &cache, &"--require", &"balanced_accuracy>=0.8"]);
    println!("{}", said.out);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let json = said.json();
    assert!(json["balanced_accuracy"].as_f64().unwrap() > 0.8);
    assert!(json["false_alert_rate"].as_f64().unwrap() < 0.05);
    let text = arcticd(&[&"eval", &root, &"--cache", &cache, &"--require", &"balanced_accuracy>=0.9999"]);
    println!("{}", text.out);
    assert_eq!(text.code, Some(1), "{}", text.err);
}
