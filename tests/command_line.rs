//! What a person at a prompt or a script sees: results, errors, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::pipe;
use std::path::Path;
use std::process::{Output, Stdio};

use testkit::daemon::program;

fn arcticd(directory: &Path, arguments: &[&str]) -> Output {
    program(env!("CARGO_BIN_EXE_arcticd"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .output()
        .expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn gradient(file: &Path) {
    image::RgbImage::from_fn(320, 240, |x, y| image::Rgb([(x / 2) as u8, y as u8, 90])).save(file).unwrap();
}

#[test]
fn once_prints_a_line_a_label_then_the_decision_and_the_time() {
    let world = tempfile::tempdir().unwrap();
    gradient(&world.path().join("a.png"));
    let output = arcticd(world.path(), &["--once", "a.png"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let scores: Vec<f32> =
        printed.lines().filter_map(|line| line.split_once(": ").and_then(|(_, score)| score.parse().ok())).collect();
    assert!(scores.len() >= 2, "{printed}");
    assert!((scores.iter().sum::<f32>() - 1.0).abs() < 0.01, "{printed}");
    assert!(printed.contains("polar bear: "), "{printed}");
    assert!(printed.contains("decode ") && printed.contains("backbone "), "{printed}");
}

#[test]
fn once_json_prints_a_detection_that_fits_the_published_schema() {
    let world = tempfile::tempdir().unwrap();
    gradient(&world.path().join("a.png"));
    let output = arcticd(world.path(), &["--once", "a.png", "--json"]);
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema: serde_json::Value = serde_json::from_str(include_str!("../schema/detection.schema.json")).unwrap();
    let errors: Vec<String> =
        jsonschema::validator_for(&schema).unwrap().iter_errors(&printed).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(printed["seq"].is_null() && printed["event"].is_null() && printed["epoch"].is_null());
}

#[test]
fn one_bad_image_among_good_ones_is_reported_and_changes_the_exit_code() {
    let world = tempfile::tempdir().unwrap();
    gradient(&world.path().join("good.png"));
    std::fs::write(world.path().join("bad.jpg"), b"no picture").unwrap();
    let output = arcticd(world.path(), &["--once", "bad.jpg", "good.png", "missing.jpg"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("good.png"));
    let errors = text(&output.stderr);
    assert!(errors.contains("bad.jpg") && errors.contains("missing.jpg"), "{errors}");
    assert_eq!(arcticd(world.path(), &["--once", "bad.jpg"]).status.code(), Some(1));
}

/// Exit code, and what standard error said, where the reader of standard output is gone before the first line, as
/// `head` may be; with `deaf` that of standard error too.
fn unread(directory: &Path, arguments: &[&str], deaf: bool) -> (Option<i32>, String) {
    let gone = || Stdio::from(pipe().unwrap().1);
    let child = program(env!("CARGO_BIN_EXE_arcticd"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(gone())
        .stderr(if deaf { gone() } else { Stdio::piped() })
        .spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_reader_that_left_ends_a_command_without_a_word_and_with_its_own_exit_code() {
    let world = tempfile::tempdir().unwrap();
    gradient(&world.path().join("a.png"));
    std::fs::write(world.path().join("bad.jpg"), b"no picture").unwrap();
    for arguments in [
        &["--once", "a.png"][..],
        &["--once", "a.png", "a.png", "--json"],
        // Nobody would read of the second one.
        &["--once", "a.png", "bad.jpg"],
        &["--help"],
        &["check", "--json"],
        &["completions", "bash"],
        &["backbone", "inspect"],
        &["backbone", "add", "--like", "help"],
        &["head", "inspect", "--json"],
        &["head", "new-key", "a", "--no-password"],
        &["replay", ".", "--megadetector", "md.json"],
    ] {
        std::fs::create_dir_all(world.path().join("captures")).unwrap();
        let read = arcticd(world.path(), arguments);
        for key in ["a.key", "a.pub", "md.json"] {
            let _ = std::fs::remove_file(world.path().join(key));
        }
        let (code, errors) = unread(world.path(), arguments, false);
        let quiet = arguments[0] == "replay" || errors.is_empty();
        assert!(quiet && !errors.contains("panicked") && !errors.contains("pipe"), "{arguments:?}: {errors}");
        let expected = if arguments.contains(&"bad.jpg") { Some(0) } else { read.status.code() };
        assert_eq!(code, expected, "{arguments:?}");
    }
    assert!(world.path().join("md.json").is_file(), "what was to be written is written");
}

#[test]
fn where_nobody_reads_errors_the_exit_code_still_tells() {
    let world = tempfile::tempdir().unwrap();
    gradient(&world.path().join("a.png"));
    std::fs::write(world.path().join("bad.jpg"), b"no picture").unwrap();
    for (arguments, code) in [
        (&["--once", "bad.jpg", "a.png"][..], 3),
        (&["--once", "bad.jpg"], 1),
        (&["replay", "."], 3),
        (&["eval", "."], 1),
        (&["check", "--config", "missing.toml"], 78),
        (&["backbone", "quantize", "missing.onnx", "-o", "b.onnx", "--calibrate", "."], 1),
    ] {
        assert_eq!(unread(world.path(), arguments, true).0, Some(code), "{arguments:?}");
    }
}

#[test]
fn a_file_name_can_not_steer_the_terminal_or_make_a_line_of_its_own() {
    let world = tempfile::tempdir().unwrap();
    let names = ["a\n=> ALERT: polar bear\u{1b}[2J.png", "b\narcticd: all is well\r.jpg"];
    gradient(&world.path().join(names[0]));
    std::fs::write(world.path().join(names[1]), b"no picture").unwrap();
    let output = arcticd(world.path(), &["--once", names[0], names[1]]);
    assert_eq!(output.status.code(), Some(3));
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(printed.starts_with("a\\n=> ALERT: polar bear\\u{1b}[2J.png\n"), "{printed}");
    assert!(errors.starts_with("arcticd: b\\narcticd: all is well\\r.jpg: this is not a picture"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let json = arcticd(world.path(), &["--once", names[0], "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["frame"]["name"], names[0]);
}

#[test]
fn a_wrong_configuration_exits_78_and_names_key_line_and_the_nearest_right_key() {
    let world = tempfile::tempdir().unwrap();
    std::fs::write(world.path().join("a.toml"), "[capture]\nsetle_ms = 5\n").unwrap();
    for command in [&["--config", "a.toml"][..], &["check", "--config", "a.toml"], &["--config", "missing.toml"]] {
        assert_eq!(arcticd(world.path(), command).status.code(), Some(78), "{command:?}");
    }
    let errors = text(&arcticd(world.path(), &["--config", "a.toml"]).stderr);
    assert!(errors.contains("a.toml") && errors.contains(":2") && errors.contains("settle_ms"), "{errors}");
}

#[test]
fn a_check_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let output = arcticd(directory.path(), &["check"]);
    let out = text(&output.stdout);
    assert!(out.contains("./arcticd-state is writable; the daemon makes it when it starts"), "{out}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{out}");
}

#[test]
fn a_check_points_out_a_misspelt_label() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.toml"), "[alerts]\nlabels = [\"polar_bear\", \"walrrus\"]\n").unwrap();
    let out = text(&arcticd(directory.path(), &["check", "--config", "a.toml"]).stdout);
    assert!(out.contains("warning: alerts.labels: `walrrus` can't alert"), "{out}");
}

#[test]
fn a_misspelt_command_exits_2() {
    let world = tempfile::tempdir().unwrap();
    assert_eq!(arcticd(world.path(), &["chekc"]).status.code(), Some(2));
}

#[test]
fn help_names_examples_exit_codes_and_the_configuration() {
    let world = tempfile::tempdir().unwrap();
    let help = text(&arcticd(world.path(), &["--help"]).stdout);
    for word in ["Examples", "Exit codes", "/etc/arcticd/arcticd.toml", "--once"] {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
}
