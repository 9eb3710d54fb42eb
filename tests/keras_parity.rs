//! The tutorial's features, from file to vector, are Keras' own.
//!
//! `ARCTICD_TEST_KERAS` names a Python with what tests/python/tutorial_features.py asks for; without it the test is skipped.
//! With `ARCTICD_TEST_DATA` real photos are taken, else noise with the spectrum of photos. The preprocessing alone is held
//! to Keras' numbers in the tests of src/model, always.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::path::{Path, PathBuf};
use std::process::Command;

use arcticd::frame::{self, Limits, Scale};
use arcticd::model::Backbone;
use arcticd::model::source::{self, Origin};

const MAP: usize = 7 * 7 * 2048;

/// Runs `arcticd backbone add` with `more` and loads what it wrote.
fn add(network: &Path, manifest: &Path, more: &[&str]) -> Backbone {
    let call = Command::new(parts::BIN)
        .args(["backbone", "add"])
        .arg(network)
        .args(["--like", "tutorial-resnet50v2", "-o"])
        .arg(manifest)
        .args(more)
        .output()
        .unwrap();
    assert!(call.status.success(), "{}", String::from_utf8_lossy(&call.stderr));
    println!("{}", String::from_utf8_lossy(&call.stdout));
    source::backbone(&Origin::Path(manifest.to_owned()), 1).unwrap()
}

fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

/// The largest difference by the largest value.
fn relative(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0_f32, |largest, value| largest.max(value.abs()));
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

/// Some animals, if photos are at hand.
fn photos() -> Vec<PathBuf> {
    let Some(data) = std::env::var_os("ARCTICD_TEST_DATA").map(PathBuf::from) else { return Vec::new() };
    ["polar_bear", "walrus", "arctic_fox"]
        .iter()
        .flat_map(|kind| {
            let folder = data.join("wildlife/test").join(kind);
            let mut files: Vec<PathBuf> =
                std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            files.truncate(2);
            files
        })
        .collect()
}

#[test]
fn the_tutorials_load_img_preprocessing_and_resnet50v2_give_the_features_that_keras_gives() {
    let Some(python) = std::env::var_os("ARCTICD_TEST_KERAS").map(PathBuf::from) else {
        return parts::skip("the tutorial in Keras", "ARCTICD_TEST_KERAS is not set");
    };
    let folder = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/tutorial_features.py");
    let made = Command::new(python).arg(script).arg(folder.path()).args(photos()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let network = folder.path().join("resnet50v2.onnx");
    let pooled = add(&network, &folder.path().join("pooled.toml"), &[]);
    let flat = add(&network, &folder.path().join("flat.toml"), &["--pooling", "flatten"]);
    assert_eq!((pooled.features(), flat.features()), (2048, MAP));
    let mut seen = 0;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "png" || ending == "jpg")) {
        let map = floats(&PathBuf::from(format!("{}.f32", file.display())));
        assert_eq!(map.len(), MAP);
        let mean = |channel: usize| map.iter().skip(channel).step_by(2048).sum::<f32>() / 49.0;
        let pixels = frame::decode(&std::fs::read(file).unwrap(), Scale::Full, &Limits::default()).unwrap().pixels;
        let of_mean = relative(&pooled.features_of(&pixels).unwrap(), &(0..2048).map(mean).collect::<Vec<_>>());
        let of_map = relative(&flat.features_of(&pixels).unwrap(), &map);
        let name = file.file_name().unwrap().to_string_lossy();
        println!("{name}: pooled {of_mean:.1e}, flattened {of_map:.1e}, by the largest value");
        // Another JPEG decoder in Pillow may differ by a level here and there; the one measured did not (4e-6).
        let allowed = if name.ends_with("png") { 1e-3 } else { 0.02 };
        assert!(of_mean < allowed && of_map < allowed, "{name}: {of_mean} and {of_map}");
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} pictures");
}
