//! Heads and backbones made with other tools, through the program itself.
//!
//! The heads are real exports of Keras, PyTorch and scikit-learn with random or fitted weights, written by the scripts in
//! tests/fixtures. `ARCTICD_TEST_DATA` names a folder of photos with a folder `models` beside it; what needs it is skipped
//! without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arcticd::model::source::{self, Origin};
use arcticd::onnx::{Constant, Graph, attribute};
use serde_json::Value;

fn arcticd(arguments: &[&str]) -> Output {
    Command::new(parts::BIN).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with a backbone of 48 features, its manifest written by the program.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(world.path("backbone.onnx"), backbone(48)).unwrap();
        let added = arcticd(&["backbone", "add", &world.path("backbone.onnx"), "--like", "keras-mobilenetv2"]);
        assert!(added.status.success(), "{}", text(&added.stderr));
        world
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn pack(&self, onnx: &str, labels: &str, more: &[&str]) -> Output {
        let (backbone, out) = (self.path("backbone.toml"), self.path("out.head"));
        let fixed = ["head", "pack", "--onnx", onnx, "--labels", labels, "--backbone", &backbone, "-o", &out];
        arcticd(&[&fixed[..], more].concat())
    }
}

/// A network of one convolution to `channels` features, with a classification layer behind them.
fn backbone(channels: usize) -> Vec<u8> {
    scaled_backbone(channels, 1.0)
}

/// As [`backbone`], its features `scale` times as large.
fn scaled_backbone(channels: usize, scale: f32) -> Vec<u8> {
    let mut graph = Graph::empty("backbone", "image", &[1, 3, 32, 32], 13);
    let weights = (0..channels * 27).map(|index| (((index * 37) % 101) as f32 / 101.0 - 0.45) * scale).collect();
    graph.set_constant("weights", &Constant::f32([channels, 3, 3, 3], weights)).unwrap();
    let dense = (0..channels * 10).map(|index| ((index * 53) % 89) as f32 / 89.0 - 0.5).collect();
    graph.set_constant("dense", &Constant::f32([channels, 10], dense)).unwrap();
    graph.add_node("Conv", &["image", "weights"], "conv", vec![attribute::ints("strides", &[2, 2])]).unwrap();
    graph.add_node("Relu", &["conv"], "map", Vec::new()).unwrap();
    graph.add_node("GlobalAveragePool", &["map"], "pool", Vec::new()).unwrap();
    graph.add_node("Flatten", &["pool"], "flat", Vec::new()).unwrap();
    graph.add_node("MatMul", &["flat", "dense"], "logits", Vec::new()).unwrap();
    graph.add_node("Softmax", &["logits"], "scores", Vec::new()).unwrap();
    graph.set_outputs(&["scores"]).unwrap();
    graph.encode().unwrap()
}

fn fixture(name: &str) -> (String, Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/heads");
    let json = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
    (folder.join(format!("{name}.onnx")).to_string_lossy().into_owned(), serde_json::from_slice(&json).unwrap())
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

#[test]
fn a_head_of_each_tool_is_packed_and_gives_that_tools_probabilities() {
    let world = World::new();
    let heads = ["keras_own_export", "keras_sigmoid", "torch_logits", "torch_old_softmax", "sklearn_logistic_text"];
    for name in heads.into_iter().chain(["sklearn_scaled", "sklearn_mlp"]) {
        let (onnx, expected) = fixture(name);
        let labels: Vec<&str> = expected["labels"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
        let packed = world.pack(&onnx, &labels.join(","), &["--alert", "polar_bear", "--threshold", "0.8"]);
        assert!(packed.status.success(), "{name}: {}", text(&packed.stderr));
        println!("{}", text(&packed.stdout));
        // scikit-learn sorts its classes: who names them in another order has to see it.
        assert!(name != "sklearn_logistic_text" || text(&packed.stdout).contains("0_arctic_fox, 1_polar_bear"));
        let head = source::head(&Origin::Path(world.path("out.head").into())).unwrap();
        let manifest = head.manifest();
        assert_eq!((manifest.name.as_str(), manifest.backbone.features), ("out", 48));
        for label in &manifest.labels {
            let roles = (label.alert, label.background, label.threshold);
            assert_eq!(roles, (label.name == "polar_bear", label.name == "other", 0.8));
        }
        for vector in expected["vectors"].as_array().unwrap() {
            let scores = head.score(&numbers(&vector["features"])).unwrap();
            for ((_, ours), theirs) in scores.iter().zip(numbers(&vector["probabilities"])) {
                assert!((ours - theirs).abs() < 1e-4, "{name}: {ours} is not {theirs}");
            }
        }
    }
}

#[test]
fn what_is_called_empty_is_background_unless_it_alerts_or_another_label_is_named() {
    let world = World::new();
    let onnx = fixture("torch_logits").0;
    let cases: [(&[&str], [bool; 4]); 3] = [
        (&[], [false, true, false, true]),
        (&["--alert", "empty"], [false, false, false, true]),
        (&["--background", "walrus"], [false, false, true, false]),
    ];
    for (more, expected) in cases {
        let packed = world.pack(&onnx, "arctic_fox,empty,walrus,other", more);
        assert!(packed.status.success(), "{}", text(&packed.stderr));
        let head = source::head(&Origin::Path(world.path("out.head").into())).unwrap();
        let background: Vec<bool> = head.manifest().labels.iter().map(|label| label.background).collect();
        assert_eq!(background, expected, "{more:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_in_words_and_writes_nothing() {
    let world = World::new();
    let four = "arctic_fox,polar_bear,walrus,other";
    let zipmap = fixture("sklearn_zipmap").0;
    let logits = fixture("torch_logits").0;
    std::fs::write(world.path("text.onnx"), "no network").unwrap();
    let cases: [(&str, &str, &[&str], &str); 8] = [
        (&zipmap, four, &[], "zipmap=False"),
        (&logits, "polar_bear,other", &[], "2 labels"),
        (&logits, "arctic_fox,polar bear,walrus,other", &[], "`polar_bear` would do"),
        (&logits, "arctic_fox,walrus,walrus,other", &[], "twice"),
        (&logits, four, &["--alert", "bear"], "bear: no such label"),
        (&logits, four, &["--threshold", "80"], "0 to 1"),
        (&logits, four, &["--backbone", "builtin"], "cannot be used multiple times"),
        (&world.path("text.onnx"), four, &[], "text.onnx"),
    ];
    for (onnx, labels, more, expected) in cases {
        let refused = world.pack(onnx, labels, more);
        let message = text(&refused.stderr);
        assert!(!refused.status.success() && message.contains(expected), "{expected}: {message}");
        assert!(!Path::new(&world.path("out.head")).exists());
    }
    // 48 features against the built-in backbone's.
    let out = world.path("out.head");
    let refused = arcticd(&["head", "pack", "--onnx", &logits, "--labels", four, "--backbone", "builtin", "-o", &out]);
    let message = text(&refused.stderr);
    assert!(message.contains("48 features") && message.contains("1280"), "{message}");
}

#[test]
fn a_backbone_is_described_with_reasons_and_what_is_written_loads() {
    let world = World::new();
    let network = world.path("backbone.onnx");
    std::fs::remove_file(world.path("backbone.toml")).unwrap();
    let added = arcticd(&["backbone", "add", &network, "--like", "torchvision"]);
    let words = text(&added.stdout);
    for expected in ["32 x 32", "48", "`pool`", "channels first", "torchvision resizes", "self-test"] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    let manifest = std::fs::read_to_string(world.path("backbone.toml")).unwrap();
    assert!(manifest.contains("torch") && manifest.contains("crop") && manifest.contains("[self_test]"), "{manifest}");
    assert_eq!(source::backbone(&Origin::Path(world.path("backbone.toml").into()), 1).unwrap().features(), 48);
    let out = world.path("flat.toml");
    let how = ["--like", "tutorial-resnet50v2", "--pooling", "flatten", "-o", &out];
    let flat = arcticd(&[&["backbone", "add", &network], &how[..]].concat());
    assert!(flat.status.success(), "{}", text(&flat.stderr));
    let backbone = source::backbone(&Origin::Path(out.into()), 1).unwrap();
    assert_eq!(backbone.features(), 48 * 15 * 15);
}

#[test]
fn a_manifest_that_exists_is_not_overwritten() {
    let world = World::new();
    let (network, manifest) = (world.path("backbone.onnx"), world.path("backbone.toml"));
    std::fs::write(&manifest, "# by hand\n").unwrap();
    let refused = arcticd(&["backbone", "add", &network, "--like", "torchvision"]);
    let message = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains(&manifest) && message.contains("exists") && message.contains("-o"), "{message}");
    assert_eq!(std::fs::read_to_string(&manifest).unwrap(), "# by hand\n");
    let elsewhere = world.path("other.toml");
    assert!(arcticd(&["backbone", "add", &network, "--like", "torchvision", "-o", &elsewhere]).status.success());
}

#[test]
fn small_features_are_tested_as_closely_as_large_ones() {
    let world = World::new();
    for (name, scale) in [("small", 0.001), ("large", 1000.0)] {
        let onnx = world.path(&format!("{name}.onnx"));
        std::fs::write(&onnx, scaled_backbone(48, scale)).unwrap();
        let added = arcticd(&["backbone", "add", &onnx, "--like", "keras-mobilenetv2"]);
        assert!(added.status.success(), "{}", text(&added.stderr));
        let path = world.path(&format!("{name}.toml"));
        let backbone = source::backbone(&Origin::Path(path.into()), 1).unwrap();
        let features = backbone.features_of_input(&backbone.probe()).unwrap();
        let largest = features.iter().fold(0_f32, |largest, value| largest.max(value.abs()));
        let tolerance = backbone.manifest().self_test.as_ref().unwrap().tolerance;
        assert!((tolerance / largest - 0.001).abs() < 1e-5, "{name}: {tolerance} of {largest}");
    }
}

#[test]
fn a_reader_that_is_gone_ends_a_command_quietly_and_its_files_are_written() {
    let world = World::new();
    let (network, moved, out) = (world.path("backbone.onnx"), world.path("moved.toml"), world.path("out.head"));
    let (onnx, four, key) = (fixture("torch_logits").0, "arctic_fox,polar_bear,walrus,other", world.path("field"));
    let (backbone, secret) = (world.path("backbone.toml"), world.path("field.key"));
    let calls: [&[&str]; 5] = [
        &["backbone", "add", "--like", "help"],
        &["backbone", "add", &network, "--like", "torchvision", "-o", &moved],
        &["head", "pack", "--onnx", &onnx, "--labels", four, "--backbone", &backbone, "-o", &out],
        &["head", "new-key", &key, "--no-password"],
        &["head", "sign", &out, "--key", &secret],
    ];
    for call in calls {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = Command::new(parts::BIN).args(call).stdout(writer).output().unwrap();
        let message = text(&ended.stderr);
        assert_eq!((ended.status.code(), message.as_str()), (Some(0), ""), "{call:?}");
    }
    for file in [&moved, &out, &secret] {
        assert!(Path::new(file).exists(), "{file}");
    }
}

#[test]
fn families_are_listed_and_slips_are_named() {
    let world = World::new();
    let list = arcticd(&["backbone", "add", "--like", "help"]);
    let text_of = text(&list.stdout);
    assert!(list.status.success() && text_of.lines().count() > 10, "{text_of}");
    for family in ["keras-resnet50v2", "torchvision", "tutorial-resnet50v2", "efficientnet-lite0"] {
        assert!(text_of.contains(family), "{family}: {text_of}");
    }
    let network = world.path("backbone.onnx");
    let slip = arcticd(&["backbone", "add", &network, "--like", "keras-resnet-50v2"]);
    assert!(text(&slip.stderr).contains("keras-resnet50v2"), "{}", text(&slip.stderr));
    assert_eq!(arcticd(&["backbone", "add", "--like", "torchvision"]).status.code(), Some(2));
    let cut =
        arcticd(&["backbone", "add", &network, "--like", "torchvision", "--cut", "pol", "-o", &world.path("cut.toml")]);
    assert!(text(&cut.stderr).contains("pool"), "{}", text(&cut.stderr));
    let elsewhere = tempfile::tempdir().unwrap();
    let out = elsewhere.path().join("b.toml");
    let apart = arcticd(&["backbone", "add", &network, "--like", "torchvision", "-o", &out.to_string_lossy()]);
    assert!(text(&apart.stderr).contains("folder of its network"), "{}", text(&apart.stderr));
}

#[test]
fn a_quantized_mobilenet_from_litert_is_added_and_gives_features() {
    let Some(data) = std::env::var_os("ARCTICD_TEST_DATA").map(PathBuf::from) else {
        return parts::skip("a real network", "ARCTICD_TEST_DATA is not set");
    };
    let network = data.join("../models/mnv2_nchw_qdq_u8s8.onnx");
    let Ok(onnx) = std::fs::read(&network) else {
        return parts::skip("a real network", &format!("there is no {}", network.display()));
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mobilenet.onnx");
    std::fs::write(&file, onnx).unwrap();
    let file = file.to_string_lossy();
    for cut in [&["--cut", "GlobalAveragePool_101"][..], &[]] {
        let added = arcticd(&[&["backbone", "add", &file, "--like", "keras-mobilenetv2"], cut].concat());
        assert!(added.status.success(), "{}", text(&added.stderr));
        println!("{}", text(&added.stdout));
        let backbone = source::backbone(&Origin::Path(folder.path().join("mobilenet.toml")), 1).unwrap();
        assert_eq!(backbone.manifest().output.cut.as_deref(), Some("GlobalAveragePool_101"), "found by itself, too");
        let features = backbone.features_of_input(&backbone.probe()).unwrap();
        assert!(features.len() == 1280 && features.iter().any(|value| *value > 0.0));
        std::fs::remove_file(folder.path().join("mobilenet.toml")).unwrap();
    }
}
