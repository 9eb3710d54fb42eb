#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const MANIFEST: &str = include_str!("../../models/default/backbone.toml");
const ONNX: &[u8] = include_bytes!("../../models/default/backbone.onnx");

fn manifest() -> BackboneManifest {
    BackboneManifest::parse(MANIFEST).unwrap()
}

fn refused(manifest: BackboneManifest) -> ModelError {
    match Backbone::load(manifest, ONNX, 1) {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error,
    }
}

fn picture(seed: u32) -> Pixels {
    let (width, height) = (200, 150);
    let rgb = (0..width * height * 3).map(|index: u32| (index.wrapping_mul(seed) >> 7) as u8).collect();
    Pixels { width, height, rgb }
}

#[test]
fn the_model_in_the_binary_loads_and_its_self_test_passes() {
    let model = Model::builtin().unwrap();
    assert!(model.backbone().manifest().self_test.is_some());
    let scores = model.classify(&picture(77)).unwrap().labels;
    assert_eq!(scores.len(), model.head().manifest().labels.len());
    assert!((scores.iter().map(|(_, score)| score).sum::<f32>() - 1.0).abs() < 1e-4);
}

#[test]
fn the_same_pixels_give_the_same_scores_with_one_thread_and_with_two() {
    let one = Model::builtin().unwrap();
    let two = Model::new(
        source::backbone(&source::Origin::Builtin, 2).unwrap(),
        source::head(&source::Origin::Builtin).unwrap(),
    )
    .unwrap();
    let (a, b) = (one.classify(&picture(77)).unwrap(), two.classify(&picture(77)).unwrap());
    for ((_, a), (_, b)) in a.labels.iter().zip(&b.labels) {
        assert!((a - b).abs() < 1e-5);
    }
}

#[test]
fn a_damaged_file_is_refused_by_its_digest() {
    let mut onnx = ONNX.to_vec();
    let middle = onnx.len() / 2;
    onnx[middle] ^= 1;
    assert!(matches!(Backbone::load(manifest(), &onnx, 1), Err(ModelError::Digest { .. })));
}

#[test]
fn a_file_that_is_no_network_is_refused_though_its_digest_is_right() {
    let text = b"this is not a network";
    let digest = crate::frame::ContentHash::of(text).to_string();
    let manifest = BackboneManifest { sha256: digest, ..manifest() };
    assert!(Backbone::load(manifest, text, 1).is_err());
}

#[test]
fn a_cut_that_does_not_exist_names_near_ones() {
    let mut wrong = manifest();
    wrong.output.cut = Some("feature_mop".into());
    let message = refused(wrong).to_string();
    assert!(message.contains("feature_mop") && message.contains("feature_map"), "{message}");
}

#[test]
fn another_feature_length_than_declared_is_refused() {
    let mut wrong = manifest();
    wrong.output.features += 1;
    assert!(matches!(refused(wrong), ModelError::Shape { .. }));
}

#[test]
fn arithmetic_that_differs_from_the_manifest_is_refused() {
    let mut wrong = manifest();
    wrong.self_test.as_mut().unwrap().first[1] += 0.1;
    let message = refused(wrong).to_string();
    assert!(message.contains("feature 1"), "{message}");
}

#[test]
fn flattened_features_are_in_row_column_channel_order() {
    let mut flat = manifest();
    let averaged = Backbone::load(manifest(), ONNX, 1).unwrap().features_of(&picture(5)).unwrap();
    let channels = averaged.len();
    flat.output.pooling = Pooling::Flatten;
    flat.self_test = None;
    let area = flat.input.width as usize / 32 * (flat.input.height as usize / 32);
    flat.output.features = area * channels;
    let values = Backbone::load(flat, ONNX, 1).unwrap().features_of(&picture(5)).unwrap();
    for channel in [0, 1, channels - 1] {
        let mean = (0..area).map(|place| values[place * channels + channel]).sum::<f32>() / area as f32;
        assert!((mean - averaged[channel]).abs() < 1e-4, "channel {channel}: {mean} is not {}", averaged[channel]);
    }
}

#[test]
fn the_float_twin_that_times_are_compared_with_runs_though_its_features_are_others() {
    let twin = Backbone::load_with(manifest(), ONNX, Engine { float: true, ..Engine::threads(1) }).unwrap();
    assert!(twin.placements().is_empty());
    assert_eq!(twin.features_of(&picture(5)).unwrap().len(), manifest().output.features);
}

#[test]
fn a_head_of_another_backbone_is_refused_and_both_are_named() {
    let mut other = manifest();
    other.id = "some-other-net".into();
    let backbone = Backbone::load(other, ONNX, 1).unwrap();
    let head = source::head(&source::Origin::Builtin).unwrap();
    let Err(error) = Model::new(backbone, head) else { panic!("it was accepted") };
    let message = error.to_string();
    assert!(message.contains("some-other-net") && message.contains(&manifest().id), "{message}");
}

#[test]
fn a_digest_in_capital_letters_names_the_same_backbone() {
    let mut head = HeadManifest::parse(include_bytes!("../../models/default/head/manifest.json")).unwrap();
    head.backbone.sha256.make_ascii_uppercase();
    let flat = Backbone::load_flattened(manifest(), ONNX, Engine::threads(1)).unwrap().features();
    let mut flattened = head.clone();
    flattened.backbone.features = flat;
    let backbone = source::backbone_for(&source::Origin::Builtin, &flattened, Engine::threads(1)).unwrap();
    assert_eq!(backbone.features(), flat);
    let head = Head::load(head, include_bytes!("../../models/default/head/head.onnx")).unwrap();
    Model::new(Backbone::load(manifest(), ONNX, 1).unwrap(), head).unwrap();
}

#[test]
fn a_head_with_another_number_of_labels_than_its_network_is_refused() {
    let mut manifest = HeadManifest::parse(include_bytes!("../../models/default/head/manifest.json")).unwrap();
    manifest.labels.pop();
    let onnx = include_bytes!("../../models/default/head/head.onnx");
    let Err(error) = Head::load(manifest, onnx) else { panic!("it was accepted") };
    assert!(error.to_string().contains("holds 4 values where the manifest wants 3"), "{error}");
}

#[test]
fn a_head_that_is_said_to_give_logits_but_ends_in_softmax_is_refused() {
    let mut manifest = HeadManifest::parse(include_bytes!("../../models/default/head/manifest.json")).unwrap();
    manifest.output = Some(ScoresOutput::Logits);
    let onnx = include_bytes!("../../models/default/head/head.onnx");
    assert!(matches!(Head::load(manifest, onnx), Err(ModelError::Shape { .. })));
}

#[test]
fn manifests_name_the_key_that_is_wrong() {
    let width = format!("width = {}", manifest().input.width);
    let text = MANIFEST.replace(&width, "width = 4");
    let error = BackboneManifest::parse(&text).unwrap_err().to_string();
    assert!(error.contains("input.width") && error.contains("1024"), "{error}");
    let error = BackboneManifest::parse(&MANIFEST.replace("[output]", "[output]\ncutt = 1")).unwrap_err().to_string();
    assert!(error.contains("cutt"), "{error}");
    assert!(HeadManifest::parse(b"{}").is_err());
}

#[test]
fn a_layout_that_the_file_contradicts_is_named_with_the_right_one() {
    let mut wrong = manifest();
    let (stated, right) = match wrong.input.layout {
        Layout::Nchw => (Layout::Nhwc, "nchw"),
        Layout::Nhwc => (Layout::Nchw, "nhwc"),
    };
    wrong.input.layout = stated;
    let Err(error) = Backbone::load(wrong, ONNX, 1) else { panic!("it was accepted") };
    assert!(error.to_string().contains(&format!("input.layout is \"{right}\"")), "{error}");
}

#[test]
fn a_flattened_map_is_what_its_mean_is_made_of() {
    let pooled = Backbone::load(manifest(), ONNX, 1).unwrap();
    let mean = pooled.features_of(&picture(5)).unwrap();
    let flat = Backbone::load_flattened(manifest(), ONNX, Engine::threads(1)).unwrap();
    let values = flat.features_of(&picture(5)).unwrap();
    assert_eq!(values.len(), flat.features());
    let channels = mean.len();
    assert!(values.len() > channels && values.len().is_multiple_of(channels));
    let area = (values.len() / channels) as f32;
    for (channel, mean) in mean.iter().enumerate() {
        let sum: f32 = values.iter().skip(channel).step_by(channels).sum();
        assert!((sum / area - mean).abs() < 1e-4, "channel {channel}");
    }
    let mut flattened = manifest();
    flattened.output.pooling = Pooling::Flatten;
    assert!(Backbone::load_flattened(flattened, ONNX, Engine::threads(1)).is_err());
}
