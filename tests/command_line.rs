//! What a person at a prompt or a script sees: results, errors, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

fn arcticd(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_arcticd"))
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
    let scores: Vec<f32> = printed
        .lines()
        .filter_map(|line| line.split_once(": ").and_then(|(_, score)| score.parse().ok()))
        .collect();
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
