//! Quantized networks give nearly the features of the float ones: here, on real weights, and in another runtime.
//!
//! `ARCTICD_TEST_DATA` names a folder of photos with a folder `models` beside it, `ARCTICD_TEST_PYTHON` a Python with
//! numpy and onnxruntime; tests that need them are skipped without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::path::{Path, PathBuf};
use std::process::Command;

use arcticd::frame::{self, Limits, Pixels, Scale};
use arcticd::model::{Backbone, BackboneManifest};
use serde_json::Value;
use testkit::networks::{self, SIDE};
use testkit::scenes::Scene;

fn quantize(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(parts::BIN).args(["backbone", "quantize"]).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A folder with a small float network and rendered scenes in sub-folders.
fn world() -> tempfile::TempDir {
    let world = tempfile::tempdir().unwrap();
    std::fs::write(world.path().join("float.onnx"), networks::small(7).unwrap()).unwrap();
    for (number, scene) in (0..12).map(|number| (number, Scene::ALL[number as usize % 4])) {
        let folder = world.path().join("photos").join(scene.label());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{number}.jpg")), scene.jpeg(number, 96, 96).unwrap()).unwrap();
    }
    world
}

fn path(world: &tempfile::TempDir, name: &str) -> String {
    world.path().join(name).to_string_lossy().into_owned()
}

fn quantize_small(world: &tempfile::TempDir, more: &[&str]) -> (Option<i32>, String, String) {
    let (network, photos, out) = (path(world, "float.onnx"), path(world, "photos"), path(world, "out.onnx"));
    let size = SIDE.to_string();
    let mut arguments = vec![network.as_str(), "--calibrate", &photos, "-o", &out, "--json"];
    arguments.extend(["--size", &size, "--preprocessing", "symmetric"]);
    arguments.extend(more);
    quantize(&arguments)
}

fn load(onnx: &Path) -> Backbone {
    let manifest = std::fs::read_to_string(onnx.with_extension("toml")).unwrap();
    Backbone::load(BackboneManifest::parse(&manifest).unwrap(), &std::fs::read(onnx).unwrap(), 1).unwrap()
}

fn float_backbone(onnx: &[u8], side: u32, output: &str) -> Backbone {
    let sha256 = frame::ContentHash::of(onnx);
    let text = format!(
        "format = 1\nid = \"float\"\nfile = \"float.onnx\"\nsha256 = \"{sha256}\"\nlicence = \"MIT\"\n\
         [input]\nwidth = {side}\nheight = {side}\nlayout = \"nchw\"\nchannels = \"rgb\"\nfilter = \"triangle\"\n\
         fit = \"stretch\"\npreprocessing = \"symmetric\"\n[output]\n{output}\n"
    );
    Backbone::load(BackboneManifest::parse(&text).unwrap(), onnx, 1).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Every node but those computed at load runs on the integer kernels.
fn assert_all_integer(backbone: &Backbone) {
    let placements = serde_json::to_value(backbone.placements()).unwrap();
    let placements = placements.as_array().unwrap();
    assert!(!placements.is_empty());
    for placement in placements {
        assert!(placement["by"]["integer"].is_object() || placement["by"] == "load", "{placement}");
    }
}

#[test]
fn a_small_network_keeps_its_features_on_scenes_it_was_not_calibrated_on() {
    let world = world();
    let (code, out, err) = quantize_small(&world, &[]);
    assert_eq!(code, Some(0), "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["photos"], 12);
    assert_eq!(report["layers"].as_array().unwrap().len(), 10);
    for layer in report["layers"].as_array().unwrap() {
        assert!(layer["sqnr_db"].as_f64().unwrap() > 20.0, "{layer}");
    }
    let quantized = load(&world.path().join("out.onnx"));
    assert_all_integer(&quantized);
    let float = float_backbone(&networks::small(7).unwrap(), SIDE, "pooling = \"none\"\nfeatures = 24");
    for seed in 1000..1008 {
        let picture = Scene::ALL[seed as usize % 4].render(seed, 96, 96);
        let near = cosine(&float.features_of(&picture).unwrap(), &quantized.features_of(&picture).unwrap());
        assert!(near > 0.99, "cosine {near} on scene {seed}");
    }
}

#[test]
fn a_photo_that_cannot_be_read_is_named_and_changes_the_exit_code_but_not_the_result() {
    let world = world();
    std::fs::write(world.path().join("photos/broken.jpg"), b"not a picture").unwrap();
    let (code, out, err) = quantize_small(&world, &["--method", "minmax", "--no-equalize", "--no-bias-correction"]);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("broken.jpg"), "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((report["photos"].clone(), report["skipped"].clone()), (12.into(), 1.into()));
    assert_eq!(report["candidates"].as_array().unwrap().len(), 1);
    assert!(world.path().join("out.onnx").is_file());
}

#[test]
fn without_photos_manifest_or_network_the_message_says_what_to_give() {
    let world = world();
    let (network, photos, out) = (path(&world, "float.onnx"), path(&world, "photos"), path(&world, "o.onnx"));
    let (code, _, err) = quantize(&[&network, "--calibrate", &photos, "-o", &out]);
    assert_eq!(code, Some(1));
    assert!(err.contains("--preprocessing"), "{err}");
    let empty = path(&world, "empty");
    std::fs::create_dir(&empty).unwrap();
    let flags = ["--size", "48", "--preprocessing", "symmetric"];
    let (code, _, err) = quantize(&[&[network.as_str(), "--calibrate", &empty, "-o", &out], &flags[..]].concat());
    assert_eq!(code, Some(1));
    assert!(err.contains("no photo"), "{err}");
    std::fs::write(&network, b"no network").unwrap();
    let (code, _, err) = quantize(&[&[network.as_str(), "--calibrate", &photos, "-o", &out], &flags[..]].concat());
    assert_eq!(code, Some(1));
    assert!(err.contains("float.onnx"), "{err}");
    let (code, _, _) = quantize(&[&network, "-o", &out]);
    assert_eq!(code, Some(2));
    assert!(!world.path().join("o.onnx").exists());
}

/// Features of `picture` by onnxruntime.
#[test]
fn what_is_read_is_never_written_over_and_a_missing_folder_is_named_before_the_work() {
    let world = world();
    let before = std::fs::read(path(&world, "float.onnx")).unwrap();
    let (network, photos, side) = (path(&world, "float.onnx"), path(&world, "photos"), SIDE.to_string());
    let call = |out: &str| {
        let flags = ["--size", &side, "--preprocessing", "symmetric"];
        quantize(&[&[network.as_str(), "--calibrate", &photos, "-o", out][..], &flags].concat())
    };
    let (code, _, error) = call(&network);
    assert!(code == Some(1) && error.contains("choose another name"), "{error}");
    assert_eq!(std::fs::read(&network).unwrap(), before);
    std::fs::write(path(&world, "float.toml"), "mine").unwrap();
    let (code, _, error) = call(&path(&world, "float.int8"));
    assert!(code == Some(1) && error.contains("float.toml would be written over"), "{error}");
    let (code, _, error) = call(&path(&world, "nowhere/out.onnx"));
    assert!(code == Some(1) && error.contains("nowhere/out.onnx can't be written"), "{error}");
}

fn elsewhere(python: &Path, world: &tempfile::TempDir, onnx: &str, side: u32, picture: &Pixels) -> Vec<f32> {
    let pixels = &picture.rgb;
    let area = (side * side) as usize;
    let input: Vec<u8> = (0..3)
        .flat_map(|channel| (0..area).map(move |place| 3 * place + channel))
        .flat_map(|at| ((f32::from(pixels[at]) - 127.5) * (1.0 / 127.5)).to_le_bytes())
        .collect();
    let (source, target) = (path(world, "input.f32"), path(world, "output.f32"));
    std::fs::write(&source, input).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/run_onnx.py");
    let shape = format!("1,3,{side},{side}");
    let done = Command::new(python).args([script, onnx, &source, &shape, &target]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let map: Vec<f32> =
        std::fs::read(&target).unwrap().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let manifest = std::fs::read_to_string(Path::new(onnx).with_extension("toml")).unwrap();
    let features = BackboneManifest::parse(&manifest).unwrap().output.features;
    map.chunks_exact(map.len() / features).map(|part| part.iter().sum::<f32>() / part.len() as f32).collect()
}

#[test]
fn onnxruntime_runs_the_file_and_finds_the_same_features() {
    let Some(python) = std::env::var_os("ARCTICD_TEST_PYTHON").map(PathBuf::from) else {
        return parts::skip("onnxruntime", "ARCTICD_TEST_PYTHON is not set");
    };
    let world = world();
    for more in [&[][..], &["--weights-only"]] {
        let (code, _, err) = quantize_small(&world, more);
        assert_eq!(code, Some(0), "{err}");
        let ours = load(&world.path().join("out.onnx"));
        for seed in 0..4 {
            let picture = Scene::ALL[seed as usize].render(50 + seed, SIDE, SIDE);
            let theirs = elsewhere(&python, &world, &path(&world, "out.onnx"), SIDE, &picture);
            let near = cosine(&ours.features_of(&picture).unwrap(), &theirs);
            assert!(near > 0.9995, "cosine {near} with {more:?}");
        }
    }
}

/// Every `step`th photo in or below `folder`.
fn photos(folder: &Path, step: usize) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files.into_iter().step_by(step).collect()
}

fn picture(file: &Path, side: u32) -> Pixels {
    let scale = Scale::AtLeast { width: 2 * side, height: 2 * side };
    let frame = frame::decode(&std::fs::read(file).unwrap(), scale, &Limits::default()).unwrap();
    frame::resize(&frame.pixels, side, side, frame::Filter::Triangle, frame::Fit::Stretch).unwrap()
}

#[test]
fn a_real_mobilenet_keeps_its_features_on_photos_it_was_not_calibrated_on() {
    let Some(data) = std::env::var_os("ARCTICD_TEST_DATA").map(PathBuf::from) else {
        return parts::skip("real networks", "ARCTICD_TEST_DATA is not set");
    };
    let network = data.join("../models/mnv2_f32_nchw.onnx");
    let Ok(onnx) = std::fs::read(&network) else {
        return parts::skip("real networks", &format!("there is no {}", network.display()));
    };
    let world = tempfile::tempdir().unwrap();
    let out = path(&world, "mobilenet.onnx");
    let (network, calibration) = (network.to_string_lossy(), data.join("wildlife/train"));
    let fixed = ["--size", "224", "--preprocessing", "symmetric", "--cut", "GlobalAveragePool_101"];
    let few = ["--photos", "32", "--no-equalize", "--json", "-o", &out, "--calibrate", &calibration.to_string_lossy()];
    let (code, report, err) = quantize(&[&[network.as_ref()], &fixed[..], &few[..], &["--method", "mse"]].concat());
    assert_eq!(code, Some(0), "{err}");
    println!("{report}");
    let quantized = load(Path::new(&out));
    assert_all_integer(&quantized);
    let cut = "cut = \"GlobalAveragePool_101\"\npooling = \"average\"\nfeatures = 1280";
    let float = float_backbone(&onnx, 224, cut);
    let python = std::env::var_os("ARCTICD_TEST_PYTHON").map(PathBuf::from);
    let mut cosines = Vec::new();
    for (number, file) in photos(&data.join("wildlife/test"), 12).iter().enumerate() {
        let picture = picture(file, 224);
        let ours = quantized.features_of(&picture).unwrap();
        cosines.push(cosine(&float.features_of(&picture).unwrap(), &ours));
        if let Some(python) = python.as_ref().filter(|_| number < 3) {
            let near = cosine(&ours, &elsewhere(python, &world, &out, 224, &picture));
            println!("cosine {near:.5} with onnxruntime on {}", file.display());
            assert!(near > 0.999, "cosine {near} with onnxruntime on {}", file.display());
        }
    }
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    let least = cosines.iter().copied().fold(1.0, f64::min);
    println!("{} photos: cosine {mean:.5} mean, {least:.5} least", cosines.len());
    assert!(least >= 0.99, "cosine {mean} mean, {least} least");
}

#[test]
fn a_manifest_beside_the_network_is_taken_and_a_wrong_one_refused() {
    let world = world();
    let (network, photos, out) = (path(&world, "float.onnx"), path(&world, "photos"), path(&world, "out.onnx"));
    // What the flags make describes the result; told of the float file, it describes that.
    assert_eq!(quantize_small(&world, &["--weights-only"]).0, Some(0));
    let made = std::fs::read_to_string(path(&world, "out.toml")).unwrap();
    std::fs::write(path(&world, "float.toml"), &made).unwrap();
    let (code, _, err) = quantize(&[&network, "--calibrate", &photos, "-o", &out]);
    assert_eq!(code, Some(1));
    assert!(err.contains("describes another file"), "{err}");
    let digest = |file: &str| frame::ContentHash::of(&std::fs::read(path(&world, file)).unwrap()).to_string();
    let described = made.replace(&digest("out.onnx"), &digest("float.onnx"));
    // The self-test is still the int8 weights'.
    std::fs::write(path(&world, "float.toml"), &described).unwrap();
    let (code, _, err) = quantize(&[&network, "--calibrate", &photos, "-o", &out]);
    assert!(code == Some(1) && err.contains("self-test"), "{err}");
    let (described, _) = described.split_once("[self_test]").unwrap();
    std::fs::write(path(&world, "float.toml"), described).unwrap();
    let (code, text, err) = quantize(&[&network, "--calibrate", &photos, "-o", &out, "--method", "minmax"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(text.contains("SQNR") && text.contains("<- taken"), "{text}");
}
