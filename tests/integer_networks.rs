//! Quantized networks give the features that onnxruntime gives on the same file.
//!
//! onnxruntime runs in exact arithmetic (tests/python/reference.py says which mode that is and why): its default saturates
//! on processors without VNNI, down to a cosine of 0.5 on the network here. A network of 60 layers turns one rounding the
//! other way in a million into a cosine of 0.998, so these tests hold only for the same arithmetic, bit for bit.
//!
//! Nothing of what they need is part of the project. `ARCTICD_TEST_DATA` names a folder of photos with a folder `models`
//! beside it, `ARCTICD_TEST_PYTHON` a Python with onnxruntime and onnx, `ARCTICD_TEST_NETS` a folder made by
//! tests/python/resnet50v2.py; what lacks one of these is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use arcticd::frame::{ContentHash, Filter, Fit, Limits, Pixels, Scale, decode, resize};
use arcticd::model::{Backbone, BackboneManifest, Layout, Pooling};

const SIDE: u32 = 224;
const LEAST_COSINE: f64 = 0.999;

fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if value.is_none() {
        println!("skipped: {name} is not set");
    }
    value
}

/// A quantized network under test: a file, where it is cut in arcticd and which tensor that is in onnxruntime.
struct Network {
    file: PathBuf,
    layout: &'static str,
    output: &'static str,
    /// The file's own output, if none is named.
    tensor: Option<&'static str>,
}

impl Network {
    fn load(&self) -> Option<Backbone> {
        let onnx = match std::fs::read(&self.file) {
            Ok(onnx) => onnx,
            Err(error) => {
                println!("skipped: {}: {error}", self.file.display());
                return None;
            }
        };
        let (sha256, layout, output) = (ContentHash::of(&onnx), self.layout, self.output);
        let text = format!(
            "format = 1\nid = \"under-test\"\nfile = \"network.onnx\"\nsha256 = \"{sha256}\"\nlicence = \"Apache-2.0\"\n\
             [input]\nwidth = {SIDE}\nheight = {SIDE}\nlayout = \"{layout}\"\nchannels = \"rgb\"\nfilter = \"triangle\"\n\
             fit = \"stretch\"\npreprocessing = \"symmetric\"\n[output]\n{output}\n"
        );
        Some(Backbone::load(BackboneManifest::parse(&text).unwrap(), &onnx, 1).unwrap())
    }

    /// What onnxruntime makes of `photos`, a vector each, and the scale of the tensor where it is quantized.
    fn reference(&self, python: &Path, photos: &[Pixels]) -> (Vec<Vec<f32>>, Option<f32>) {
        let folder = tempfile::tempdir().unwrap();
        let inputs = folder.path().join("inputs.f32");
        let values = photos.iter().flat_map(|pixels| symmetric(pixels, self.layout));
        std::fs::write(&inputs, values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/reference.py");
        let run = Command::new(python)
            .args([&script, &self.file, &inputs, folder.path()])
            .args(["--modes", "exact"])
            .args(self.tensor.into_iter().flat_map(|tensor| ["--output", tensor]))
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        println!("{report}");
        let bytes = std::fs::read(folder.path().join("exact.0.f32")).unwrap();
        let values: Vec<f32> = bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        let scale = report["outputs"][0]["scale"].as_f64().map(|scale| scale as f32);
        (values.chunks_exact(values.len() / photos.len()).map(<[f32]>::to_vec).collect(), scale)
    }
}

/// The manifest's preprocessing `symmetric`, in the same f32 operations: with the scale that calibration gives pixels, each
/// lies half-way between two integers, and the last bit decides.
fn symmetric(pixels: &Pixels, layout: &str) -> Vec<f32> {
    let value = |byte: &u8| (f32::from(*byte) - 127.5) * (1.0 / 127.5);
    match layout {
        "nhwc" => pixels.rgb.iter().map(value).collect(),
        _ => (0..3).flat_map(|channel| pixels.rgb[channel..].iter().step_by(3).map(value)).collect(),
    }
}

/// `count` test photos, decoded and resized as the daemon does: the animals, and others from all over their folder.
fn photos(data: &Path, count: usize) -> Vec<Pixels> {
    let mut chosen = Vec::new();
    for kind in ["polar_bear", "walrus", "arctic_fox", "other"] {
        let folder = data.join("wildlife/test").join(kind);
        let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let wanted = if kind == "other" { count - chosen.len() } else { count / 4 };
        let step = (paths.len() / wanted).max(1);
        chosen.extend(paths.into_iter().step_by(step).take(wanted));
    }
    assert_eq!(chosen.len(), count);
    let scale = Scale::AtLeast { width: 2 * SIDE, height: 2 * SIDE };
    let pixels = |path: &PathBuf| decode(&std::fs::read(path).unwrap(), scale, &Limits::default()).unwrap().pixels;
    let small = |pixels| resize(&pixels, SIDE, SIDE, Filter::Triangle, Fit::Stretch).unwrap();
    chosen.iter().map(|path| small(pixels(path))).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Every photo's features are onnxruntime's. `pool` brings a reference of the tensor's shape to features.
fn assert_same_features(network: &Network, count: usize, pool: impl Fn(Vec<f32>) -> Vec<f32>) {
    let (Some(data), Some(python)) = (variable("ARCTICD_TEST_DATA"), variable("ARCTICD_TEST_PYTHON")) else { return };
    let Some(backbone) = network.load() else { return };
    let photos = photos(&data, count);
    let (reference, _) = network.reference(&python, &photos);
    let cosines: Vec<f64> = reference
        .into_iter()
        .zip(&photos)
        .map(|(reference, pixels)| cosine(&backbone.features_of(pixels).unwrap(), &pool(reference)))
        .collect();
    let least = cosines.iter().copied().fold(1.0, f64::min);
    println!("{}: cosine {least:.6} at least, {count} photos", network.file.display());
    let far = cosines.iter().filter(|cosine| **cosine < LEAST_COSINE).count();
    assert_eq!(far, 0, "{far} of {count} photos are under a cosine of {LEAST_COSINE}: {cosines:.6?}");
}

fn mobilenet(data: &Path, output: &'static str, tensor: &'static str) -> Network {
    Network { file: data.join("../models/mnv2_nchw_qdq_u8s8.onnx"), layout: "nchw", output, tensor: Some(tensor) }
}

#[test]
fn a_quantized_mobilenet_gives_onnxruntimes_features_on_every_photo() {
    let Some(data) = variable("ARCTICD_TEST_DATA") else { return };
    let output = "cut = \"GlobalAveragePool_101\"\npooling = \"average\"\nfeatures = 1280";
    assert_same_features(&mobilenet(&data, output, "t217"), 50, |features| features);
}

#[test]
fn a_quantized_mobilenet_names_what_onnxruntime_names_wherever_that_one_is_sure() {
    let (Some(data), Some(python)) = (variable("ARCTICD_TEST_DATA"), variable("ARCTICD_TEST_PYTHON")) else { return };
    let output = "cut = \"t219_DequantizeLinear\"\npooling = \"none\"\nfeatures = 1001";
    let network = mobilenet(&data, output, "t219_DequantizeLinear_Output");
    let Some(backbone) = network.load() else { return };
    let photos = photos(&data, 50);
    let (reference, scale) = network.reference(&python, &photos);
    let step = scale.expect("the logits are quantized");
    let mut sure = 0;
    for (number, (expected, pixels)) in reference.iter().zip(&photos).enumerate() {
        let (best, margin) = winner(expected);
        // Two steps or less: a single rounding may decide.
        if margin > 2.0 * step {
            sure += 1;
            let (found, _) = winner(&backbone.features_of(pixels).unwrap());
            assert_eq!(found, best, "photo {number}: onnxruntime is sure by {} steps", margin / step);
        }
    }
    println!("onnxruntime is sure of {sure} of {} photos", photos.len());
    assert!(sure * 2 > photos.len(), "sure of only {sure}: this network or these photos are not what they were");
}

/// Index of the greatest score, and by how much it leads.
fn winner(scores: &[f32]) -> (usize, f32) {
    let mut ranked: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    (ranked[0].0, ranked[0].1 - ranked[1].1)
}

#[test]
fn a_quantized_resnet50v2_from_keras_gives_onnxruntimes_features() {
    let Some(nets) = variable("ARCTICD_TEST_NETS") else { return };
    let network = Network {
        file: nets.join("resnet50v2_ort_qdq.onnx"),
        layout: "nhwc",
        output: "pooling = \"average\"\nlayout = \"nhwc\"\nfeatures = 2048",
        tensor: None,
    };
    assert_same_features(&network, 16, |map| averaged(&map, true));
}

#[test]
fn a_quantized_resnet50v2_that_ends_in_its_own_average_pool_gives_onnxruntimes_features() {
    let Some(nets) = variable("ARCTICD_TEST_NETS") else { return };
    let network = Network {
        file: nets.join("resnet50v2_avg_ort_qdq.onnx"),
        layout: "nhwc",
        output: "pooling = \"none\"\nfeatures = 2048",
        tensor: None,
    };
    assert_same_features(&network, 16, |features| features);
}

#[test]
fn a_resnet50v2_from_keras_that_we_quantized_gives_the_same_features_here_and_in_onnxruntime() {
    let (Some(data), Some(nets)) = (variable("ARCTICD_TEST_DATA"), variable("ARCTICD_TEST_NETS")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quantized.onnx");
    let quantized = Command::new(env!("CARGO_BIN_EXE_arcticd"))
        .args(["backbone", "quantize"])
        .arg(nets.join("resnet50v2_avg.onnx"))
        .args([
            "--size",
            "224",
            "--preprocessing",
            "symmetric",
            "--photos",
            "12",
            "--method",
            "mse",
            "--no-equalize",
            "--calibrate",
        ])
        .arg(data.join("wildlife/train"))
        .arg("-o")
        .arg(&file)
        .output()
        .unwrap();
    assert!(quantized.status.success(), "{}", String::from_utf8_lossy(&quantized.stderr));
    let made = BackboneManifest::parse(&std::fs::read_to_string(file.with_extension("toml")).unwrap()).unwrap();
    assert_eq!((made.output.pooling, made.output.features), (Pooling::Average, 2048));
    let (output, channels_last) = match made.output.layout {
        Layout::Nhwc => ("pooling = \"average\"\nlayout = \"nhwc\"\nfeatures = 2048", true),
        Layout::Nchw => ("pooling = \"average\"\nlayout = \"nchw\"\nfeatures = 2048", false),
    };
    let layout = if made.input.layout == Layout::Nhwc { "nhwc" } else { "nchw" };
    let network = Network { file, layout, output, tensor: None };
    assert_same_features(&network, 16, |map| averaged(&map, channels_last));
}

/// Mean of each of 2048 channels.
fn averaged(map: &[f32], channels_last: bool) -> Vec<f32> {
    let area = map.len() / 2048;
    let at = |channel: usize, place: usize| {
        if channels_last { map[place * 2048 + channel] } else { map[channel * area + place] }
    };
    (0..2048).map(|channel| (0..area).map(|place| at(channel, place)).sum::<f32>() / area as f32).collect()
}
