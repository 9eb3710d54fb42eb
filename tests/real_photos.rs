//! What the built-in model makes of photos that it was never shown. They are not part of the project:
//! `ARCTICD_TEST_DATA` names a folder with `wildlife/test/<label>/*.jpg`, or the test is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use arcticd::detection::Detection;

const ANIMALS: [&str; 3] = ["arctic_fox", "polar_bear", "walrus"];
const LABELS: [&str; 4] = ["arctic_fox", "polar_bear", "walrus", "other"];
/// Issue 2: share of the animals' photos that the most probable of the three animals is right for, in percent.
const LEAST_RIGHT: usize = 80;

fn photos() -> Option<Vec<(&'static str, PathBuf)>> {
    let Some(root) = std::env::var_os("ARCTICD_TEST_DATA").map(PathBuf::from) else {
        parts::skip("real photos", "ARCTICD_TEST_DATA is not set");
        return None;
    };
    let root = root.join("wildlife/test");
    if !root.is_dir() {
        parts::skip("real photos", &format!("there is no {}", root.display()));
        return None;
    }
    let mut photos = Vec::new();
    for label in LABELS {
        let folder = root.join(label);
        let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        photos.extend(files.map(|file| (label, file.unwrap().path())));
    }
    photos.sort();
    Some(photos)
}

#[test]
fn real_photos_give_valid_objects_and_the_animals_are_told_apart() {
    let Some(photos) = photos() else { return };
    // All in one call, as a scientist would.
    let output = Command::new(parts::BIN)
        .args(["--json", "--once"])
        .args(photos.iter().map(|(_, file)| file))
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), photos.len(), "an object a photo: {errors}");

    let schema = serde_json::from_str(include_str!("../schema/detection.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    // Seen as (of the three animals, of all labels), and alerts, by what is to be seen.
    let mut confusion: BTreeMap<(&str, String), usize> = BTreeMap::new();
    let mut alerts: BTreeMap<&str, usize> = BTreeMap::new();
    for ((label, file), line) in photos.iter().zip(said.lines()) {
        let faults: Vec<String> =
            schema.iter_errors(&serde_json::from_str(line).unwrap()).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{}: {faults:?}\n{line}", file.display());
        let seen: Detection = serde_json::from_str(line).unwrap();
        assert_eq!(seen.frame.name, file.to_string_lossy());
        let best = ANIMALS.iter().max_by(|a, b| seen.scores[**a].total_cmp(&seen.scores[**b])).unwrap();
        *confusion.entry((label, (*best).to_owned())).or_default() += 1;
        *alerts.entry(label).or_default() += usize::from(seen.decision.alert);
    }

    println!("{:>12} | seen as (of the three animals) {:>14} | alerts of photos", "to be seen", "");
    for label in LABELS {
        let number = |animal: &str| confusion.get(&(label, animal.to_owned())).copied().unwrap_or(0);
        let row: Vec<String> = ANIMALS.iter().map(|animal| format!("{animal} {:>4}", number(animal))).collect();
        let all: usize = ANIMALS.iter().map(|animal| number(animal)).sum();
        println!("{label:>12} | {} | {} of {all}", row.join("  "), alerts[label]);
    }
    let of_animals = |wanted: &dyn Fn(&str, &str) -> bool| -> usize {
        let counted = confusion.iter().filter(|((label, best), _)| ANIMALS.contains(label) && wanted(label, best));
        counted.map(|(_, number)| number).sum()
    };
    let (right, all) = (of_animals(&|label, best| label == best), of_animals(&|_, _| true));
    println!("{right} of {all} animals right: {:.1} %", 100.0 * right as f64 / all as f64);
    assert!(right * 100 >= all * LEAST_RIGHT, "{right} of {all} animals right, {LEAST_RIGHT} % are promised");
}
