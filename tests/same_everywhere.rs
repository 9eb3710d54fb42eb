//! Another processor sees the same: pixels within a level of this one's, and of identical pixels the same features, bit for
//! bit, and the same decision.
//!
//! `scripts/test-arm` names a build for another processor (`testkit::daemon::program`), and with `ARCTICD_TEST_KERNELS` the
//! kernels that it has to choose there. Without, this machine's plain loops stand in for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use arcticd::detection::Detection;
use parts::BIN;
use serde::Deserialize;
use testkit::daemon::program;
use testkit::scenes::Scene;

/// A line of `arcticd backbone features`.
#[derive(Deserialize)]
struct Seen {
    kernels: String,
    features: Vec<f32>,
}

/// This machine's build, and the one that it is compared with.
fn builds() -> [Command; 2] {
    let (mut own, mut other) = (Command::new(BIN), program(BIN));
    for command in [&mut own, &mut other] {
        command.env_remove("ARCTICD_KERNELS");
    }
    if std::env::var_os("ARCTICD_TEST_BINARY").is_none() {
        other.env("ARCTICD_KERNELS", "portable");
    }
    [own, other]
}

fn lines(mut command: Command) -> Vec<String> {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {} {errors}", output.status);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn features(mut command: Command, images: &[PathBuf], pixels: &Path) -> Vec<Seen> {
    fs::create_dir_all(pixels).unwrap();
    command.args(["backbone", "features", "--pixels"]).arg(pixels).args(images);
    lines(command).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn decisions(mut command: Command, images: &[PathBuf]) -> Vec<Detection> {
    command.args(["--json", "--once"]).args(images);
    lines(command).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Scenes of several sizes, odd ones among them, and photos where there are any.
fn images(folder: &Path) -> Vec<PathBuf> {
    let scenes = [(Scene::Bear, 320, 240), (Scene::Empty, 161, 123), (Scene::Bear, 1600, 1200), (Scene::Fox, 97, 401)];
    let mut images: Vec<PathBuf> = (1..)
        .zip(scenes)
        .map(|(seed, (scene, width, height))| {
            let file = folder.join(format!("scene-{seed}.jpg"));
            fs::write(&file, scene.jpeg(seed, width, height).unwrap()).unwrap();
            file
        })
        .collect();
    match std::env::var_os("ARCTICD_TEST_DATA").map(|root| PathBuf::from(root).join("wildlife/test")) {
        Some(root) if root.is_dir() => {
            for label in ["arctic_fox", "polar_bear", "walrus", "other"] {
                let mut photos: Vec<PathBuf> =
                    fs::read_dir(root.join(label)).unwrap().map(|entry| entry.unwrap().path()).collect();
                photos.sort();
                images.extend(photos.into_iter().take(3));
            }
        }
        _ => parts::skip("real photos", "ARCTICD_TEST_DATA names no folder of them; rendered scenes are compared"),
    }
    images
}

/// Largest difference of two pictures of one size, in levels, and the share of values that differ at all.
fn difference(a: &Path, b: &Path) -> (u8, f64) {
    let [a, b] = [a, b].map(|file| image::open(file).unwrap().into_rgb8());
    assert_eq!(a.dimensions(), b.dimensions());
    let differences: Vec<u8> = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| a.abs_diff(*b)).collect();
    let differing = differences.iter().filter(|difference| **difference > 0).count();
    (differences.iter().copied().max().unwrap(), differing as f64 / differences.len() as f64)
}

#[test]
fn another_processor_is_shown_the_same_pixels_and_sees_the_same_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    let [own, other] = builds();
    let (own_pixels, other_pixels) = (folder.path().join("own"), folder.path().join("other"));
    let reference = features(own, &images, &own_pixels);
    let found = features(other, &images, &other_pixels);
    assert_eq!((reference.len(), found.len()), (images.len(), images.len()));

    let mut largest = (0, 0.0_f64);
    for (image, number) in images.iter().zip(1..) {
        let name = format!("{number}.bmp");
        let (levels, share) = difference(&own_pixels.join(&name), &other_pixels.join(&name));
        assert!(levels <= 1, "{}: a pixel differs by {levels} levels", image.display());
        largest = (largest.0.max(levels), largest.1.max(share));
    }
    let (own_kernels, kernels) = (&reference[0].kernels, &found[0].kernels);
    println!("{} images: pixels differ by {} levels, {:.4} of values at most", images.len(), largest.0, largest.1);
    if let Ok(wanted) = std::env::var("ARCTICD_TEST_KERNELS") {
        assert_eq!(*kernels, wanted, "the kernels that this processor should choose");
    }

    // What the one was shown is shown to both.
    let identical: Vec<PathBuf> = (1..=images.len()).map(|number| own_pixels.join(format!("{number}.bmp"))).collect();
    let [own, other] = builds();
    let reference = features(own, &identical, &folder.path().join("own-again"));
    let found = features(other, &identical, &other_pixels);
    for ((image, own), other) in images.iter().zip(&reference).zip(&found) {
        assert!(own.features.iter().any(|value| *value != 0.0));
        let bits = |seen: &Seen| seen.features.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert!(bits(own) == bits(other), "{}: {kernels} kernels see other features", image.display());
    }
    let [own, other] = builds();
    let (reference, found) = (decisions(own, &identical), decisions(other, &identical));
    assert_eq!((reference.len(), found.len()), (images.len(), images.len()));
    for ((image, own), other) in images.iter().zip(&reference).zip(&found) {
        let place = image.display();
        assert_eq!((&other.label, &other.decision), (&own.label, &own.decision), "{place}");
        assert!((other.confidence - own.confidence).abs() < 1e-3, "{place}: {} {}", other.confidence, own.confidence);
    }
    println!("{kernels} kernels and {own_kernels} kernels: the same features and the same decisions");
}

#[test]
fn a_bad_image_among_good_ones_costs_no_other_its_features() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.jpg"), folder.path().join("bad.jpg"));
    fs::write(&good, Scene::Bear.jpeg(1, 160, 120).unwrap()).unwrap();
    fs::write(&bad, b"no picture").unwrap();
    let output = program(BIN).args(["backbone", "features"]).args([&bad, &good]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad.jpg"));
    let seen: Seen = serde_json::from_slice(&output.stdout).unwrap();
    assert!(seen.features.len() > 100);
}
