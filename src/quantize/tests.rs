#![allow(clippy::unwrap_used)]
use super::*;
use crate::frame::{Filter, Fit};
use crate::model::{Channels, Input, Layout, Output, Pooling, Preprocessing};
use crate::onnx::{Attributes, Constant, Data, attribute};
use testkit::networks::{FEATURES, SIDE, small};
use testkit::scenes::Scene;

fn manifest(features: usize) -> BackboneManifest {
    BackboneManifest {
        format: 1,
        id: "small".into(),
        description: String::new(),
        file: "small.onnx".into(),
        sha256: String::new(),
        licence: "MIT".into(),
        input: Input {
            width: SIDE,
            height: SIDE,
            layout: Layout::Nchw,
            channels: Channels::Rgb,
            filter: Filter::Triangle,
            fit: Fit::Stretch,
            preprocessing: Preprocessing::Named(crate::model::Named::Symmetric),
        },
        output: Output { cut: None, pooling: Pooling::None, layout: Layout::Nchw, features },
        self_test: None,
    }
}

fn photos(count: u64) -> Photos {
    let picture = |seed: u64| {
        let scene = Scene::ALL[seed as usize % 4].render(seed, SIDE, SIDE);
        Pixels { width: scene.width, height: scene.height, rgb: scene.rgb }
    };
    Photos { pictures: (0..count).map(picture).collect(), skipped: Vec::new() }
}

fn features_of(graph: &Graph, manifest: &BackboneManifest, photos: &Photos) -> Features {
    let pictures: Vec<&Pixels> = photos.pictures.iter().collect();
    let backbone = measure::load(manifest, &graph.clone().encode().unwrap()).unwrap();
    measure::features(&backbone, &pictures, "", &Progress::silent()).unwrap()
}

fn prepared(seed: u64) -> (Graph, Prepared) {
    let graph = Graph::parse(&small(seed).unwrap()).unwrap();
    let prepared = Prepared::of(graph.clone(), &manifest(FEATURES)).unwrap();
    (graph, prepared)
}

fn kinds(graph: &Graph, kind: &str) -> usize {
    graph.nodes().iter().filter(|node| node.op_type == kind).count()
}

#[test]
fn folding_batch_norms_does_not_change_the_network() {
    for seed in 0..3 {
        let (original, prepared) = prepared(seed);
        assert_eq!(kinds(&original, "BatchNormalization"), 9);
        // The one before the activation can't be folded: its input is read elsewhere, too.
        assert_eq!(kinds(&prepared.graph, "BatchNormalization"), 1);
        let photos = photos(2);
        let before = features_of(&original, &manifest(FEATURES), &photos);
        let after = features_of(&prepared.graph, &prepared.manifest, &photos);
        let nearness = Nearness::of(&before, &after);
        assert!(nearness.relative_error < 1e-5, "{nearness:?}");
    }
}

#[test]
fn the_network_ends_at_the_map_under_its_pooling() {
    let (_, prepared) = prepared(1);
    assert_eq!(prepared.output(), "map");
    assert_eq!(prepared.manifest.output.pooling, Pooling::Average);
    assert_eq!(kinds(&prepared.graph, "GlobalAveragePool"), 0);
}

/// image -> `before` nodes by `build` -> conv 1x1 with random-looking weights -> `out`.
fn tiny(build: impl FnOnce(&mut Graph) -> String) -> Graph {
    let side = SIDE as usize;
    let mut graph = Graph::empty("tiny", "image", &[1, 3, side, side], 13);
    let last = build(&mut graph);
    let weights: Vec<f32> = (0..12).map(|n| ((n * 7) % 11) as f32 / 3.0 - 1.5).collect();
    graph.set_constant("w", &Constant::f32([4, 3, 1, 1], weights)).unwrap();
    graph.add_node("Conv", &[&last, "w"], "out", Vec::new()).unwrap();
    graph.set_outputs(&["out"]).unwrap();
    graph
}

fn tiny_manifest(features: usize) -> BackboneManifest {
    let mut manifest = manifest(features);
    manifest.output.pooling = Pooling::Average;
    manifest
}

#[test]
fn products_and_sums_before_an_unpadded_convolution_are_folded_into_it() {
    let graph = tiny(|graph| {
        graph.set_constant("k", &Constant::f32([1, 3, 1, 1], vec![0.5, -2.0, 3.0])).unwrap();
        graph.set_constant("b", &Constant::f32([3, 1, 1], vec![0.1, 0.2, -0.3])).unwrap();
        graph.add_node("Mul", &["k", "image"], "m", Vec::new()).unwrap();
        graph.add_node("Add", &["m", "b"], "a", Vec::new()).unwrap();
        "a".into()
    });
    let prepared = Prepared::of(graph.clone(), &tiny_manifest(4)).unwrap();
    assert_eq!(prepared.graph.nodes().len(), 1);
    let photos = photos(1);
    let before = features_of(&graph, &tiny_manifest(4), &photos);
    let after = features_of(&prepared.graph, &prepared.manifest, &photos);
    assert!(Nearness::of(&before, &after).relative_error < 1e-5);
}

#[test]
fn padding_is_folded_into_a_convolution_but_an_affine_before_padding_is_not() {
    let graph = tiny(|graph| {
        graph.set_constant("b", &Constant::f32([3, 1, 1], vec![0.1, 0.2, -0.3])).unwrap();
        graph.set_constant("pads", &Constant::i64(vec![0, 0, 1, 0, 0, 0, 2, 1])).unwrap();
        graph.add_node("Add", &["image", "b"], "a", Vec::new()).unwrap();
        graph.add_node("Pad", &["a", "pads"], "p", Vec::new()).unwrap();
        "p".into()
    });
    let prepared = Prepared::of(graph.clone(), &tiny_manifest(4)).unwrap();
    assert_eq!(kinds(&prepared.graph, "Pad"), 0);
    assert_eq!(kinds(&prepared.graph, "Add"), 1);
    let photos = photos(1);
    let before = features_of(&graph, &tiny_manifest(4), &photos);
    let after = features_of(&prepared.graph, &prepared.manifest, &photos);
    assert!(Nearness::of(&before, &after).relative_error < 1e-5);
}

#[test]
fn channels_last_pictures_and_maps_are_declared_instead_of_transposed() {
    let side = SIDE as usize;
    let mut graph = Graph::empty("nhwc", "image", &[1, side, side, 3], 12);
    graph.add_node("Transpose", &["image"], "first", vec![attribute::ints("perm", &[0, 3, 1, 2])]).unwrap();
    let weights: Vec<f32> = (0..108).map(|n| ((n * 7) % 11) as f32 / 30.0 - 0.15).collect();
    graph.set_constant("w", &Constant::f32([4, 3, 3, 3], weights)).unwrap();
    graph.add_node("Conv", &["first", "w"], "conv", Vec::new()).unwrap();
    graph.add_node("Relu", &["conv"], "relu", Vec::new()).unwrap();
    graph.add_node("Transpose", &["relu"], "out", vec![attribute::ints("perm", &[0, 2, 3, 1])]).unwrap();
    graph.set_outputs(&["out"]).unwrap();
    let mut manifest = tiny_manifest(4);
    (manifest.input.layout, manifest.output.layout) = (Layout::Nhwc, Layout::Nhwc);
    let prepared = Prepared::of(graph.clone(), &manifest).unwrap();
    assert_eq!(kinds(&prepared.graph, "Transpose"), 0);
    assert_eq!((prepared.manifest.input.layout, prepared.manifest.output.layout), (Layout::Nchw, Layout::Nchw));
    assert_eq!(prepared.graph.opset(), 13);
    let photos = photos(1);
    let before = features_of(&graph, &manifest, &photos);
    let after = features_of(&prepared.graph, &prepared.manifest, &photos);
    assert!(Nearness::of(&before, &after).relative_error < 1e-5);
}

#[test]
fn equalization_does_not_change_the_float_network() {
    let (_, mut equalized) = prepared(5);
    let (photos, plan) = (photos(4), Plan::of(&equalized.graph).unwrap());
    let before = features_of(&equalized.graph, &equalized.manifest, &photos);
    let statistics = Statistics::collect(&equalized, &plan, &photos, &Progress::silent()).unwrap();
    let pairs = equalize::equalize(&mut equalized, &statistics).unwrap();
    // stem - expand - depthwise - project, again, and narrow - wide.
    assert!(pairs >= 5, "{pairs}");
    let after = features_of(&equalized.graph, &equalized.manifest, &photos);
    let nearness = Nearness::of(&before, &after);
    assert!(nearness.relative_error < 1e-5, "{nearness:?}");
}

fn levelled(seed: u64, photos: &Photos) -> (Prepared, Plan, BTreeMap<String, Levels>) {
    let (_, prepared) = prepared(seed);
    let plan = Plan::of(&prepared.graph).unwrap();
    let statistics = Statistics::collect(&prepared, &plan, photos, &Progress::silent()).unwrap();
    let levels = statistics.levels(&prepared, &plan, Method::MinMax);
    (prepared, plan, levels)
}

#[test]
fn bias_correction_takes_the_mean_errors_out() {
    let photos = photos(4);
    let (mut prepared, plan, levels) = levelled(2, &photos);
    let size = |errors: &correct::MeanErrors| errors.values().flatten().map(|e| e.abs()).sum::<f32>();
    let measured =
        |prepared: &Prepared| correct::mean_errors(prepared, &plan, &levels, &photos, &Progress::silent()).unwrap();
    let original = prepared.clone();
    let before = measured(&prepared);
    assert_eq!(before.len(), plan.weighted.len());
    correct::correct(&mut prepared, &before).unwrap();
    // The twin now has the corrected bias; against the float network as it was, its mean error is the rest.
    let shift: f32 = plan
        .weighted
        .iter()
        .map(|w| {
            let (_, was) = w.parameters(&original.graph).unwrap().unwrap();
            let (_, is) = w.parameters(&prepared.graph).unwrap().unwrap();
            let own = measured_at(&measured(&prepared), &w.output);
            was.iter().zip(is).zip(own).map(|((was, is), own)| (own + is - was).abs()).sum::<f32>()
        })
        .sum();
    assert!(size(&before) > 0.0 && shift < size(&before) * 0.2, "{} left of {}", shift, size(&before));
}

fn measured_at(errors: &correct::MeanErrors, output: &str) -> Vec<f32> {
    errors.get(output).cloned().unwrap()
}

#[test]
fn the_file_holds_no_minus_128_and_every_weight_scale_is_a_channels() {
    let photos = photos(2);
    let (prepared, plan, levels) = levelled(3, &photos);
    let graph = emit::quantized(&prepared, &plan, &levels).unwrap();
    let mut weights = 0;
    for tensor in graph.initializers() {
        if let Data::I8(levels) = Constant::of(tensor).unwrap().data {
            weights += 1;
            assert!(levels.iter().all(|level| *level > -128), "{}", tensor.name);
        }
    }
    // Levels and zero points.
    assert_eq!(weights, 2 * plan.weighted.len());
    for node in graph.nodes().iter().filter(|node| node.op_type == "Conv") {
        let maker = graph.node(graph.producer(node.input_at(1).unwrap()).unwrap()).unwrap();
        assert_eq!((maker.op_type.as_str(), maker.int("axis", -1).unwrap()), ("DequantizeLinear", 0));
        let channels = graph.shape(maker.input_at(0).unwrap()).unwrap()[0];
        assert_eq!(graph.shape(maker.input_at(1).unwrap()).unwrap(), [channels]);
    }
}

#[test]
fn relu6_is_left_out_only_where_the_levels_end_at_its_bounds() {
    let graph = tiny(|graph| {
        graph
            .set_constant("big", &Constant::f32([3, 3, 1, 1], (0..9).map(|n| (n - 2) as f32 * 2.0).collect()))
            .unwrap();
        graph.set_constant("zero", &Constant::f32([], vec![0.0])).unwrap();
        graph.set_constant("six", &Constant::f32([], vec![6.0])).unwrap();
        graph.add_node("Conv", &["image", "big"], "c", Vec::new()).unwrap();
        graph.add_node("Clip", &["c", "zero", "six"], "act", Vec::new()).unwrap();
        "act".into()
    });
    let prepared = Prepared::of(graph, &tiny_manifest(4)).unwrap();
    let (plan, photos) = (Plan::of(&prepared.graph).unwrap(), photos(2));
    let statistics = Statistics::collect(&prepared, &plan, &photos, &Progress::silent()).unwrap();
    let mut levels = statistics.levels(&prepared, &plan, Method::MinMax);
    assert!((levels["act"].high() - 6.0).abs() < 1e-5, "{levels:?}");
    let float = features_of(&prepared.graph, &prepared.manifest, &photos);
    for (bounds_kept, wider) in
        [(0, None), (1, Some(Levels::of_range(0.0, 30.0))), (1, Some(Levels::of_range(-1.0, 6.0)))]
    {
        levels.insert("act".into(), wider.unwrap_or(levels["act"]));
        let quantized = emit::quantized(&prepared, &plan, &levels).unwrap();
        assert_eq!(kinds(&quantized, "Clip"), bounds_kept);
        let found = features_of(&quantized, &prepared.manifest, &photos);
        let nearness = Nearness::of(&float, &found);
        assert!(nearness.relative_error < 0.02, "{nearness:?} with {wider:?}");
    }
}

#[test]
fn weights_that_are_levels_already_are_stored_as_they_were() {
    let (_, prepared) = prepared(4);
    let once = emit::weights_only(&prepared).unwrap();
    let again = Prepared::of(once.clone(), &prepared.manifest).unwrap();
    let twice = emit::weights_only(&again).unwrap();
    let levels = |graph: &Graph| {
        let all = graph.initializers().iter().map(|tensor| Constant::of(tensor).unwrap());
        let levels = all.filter_map(|c| if let Data::I8(levels) = c.data { Some(levels) } else { None });
        let mut levels: Vec<Vec<i8>> = levels.filter(|levels| levels.iter().any(|level| *level != 0)).collect();
        levels.sort();
        levels
    };
    assert_eq!(levels(&once).len(), 10);
    assert_eq!(levels(&once), levels(&twice));
}

#[test]
fn a_quantized_network_is_not_quantized_again() {
    let photos = photos(2);
    let (prepared, plan, levels) = levelled(3, &photos);
    let graph = emit::quantized(&prepared, &plan, &levels).unwrap();
    let error = Prepared::of(graph, &prepared.manifest).unwrap_err().to_string();
    assert!(error.contains("already"), "{error}");
}

#[test]
fn the_same_photos_give_the_same_file_and_its_manifest_fits_it() {
    let (onnx, photos) = (small(9).unwrap(), photos(4));
    let quantized = |options: &Options| {
        super::quantize(&onnx, &manifest_of(&onnx), &photos, None, options, &Progress::silent()).unwrap()
    };
    let options = Options::default();
    let (one, two) = (quantized(&options), quantized(&options));
    assert_eq!(one.onnx, two.onnx);
    // Loading compares digest and self-test.
    Backbone::load(one.manifest.clone(), &one.onnx, 1).unwrap();
    assert!(one.report.features.cosine_mean > 0.99, "{}", one.report);
    let best = one.report.candidates.iter().map(|c| c.nearness.relative_error).fold(f64::INFINITY, f64::min);
    assert_eq!(one.report.taken.unwrap().nearness.relative_error, best);
    let stored = quantized(&Options { weights_only: true, ..options });
    assert!(stored.report.features.cosine_min > 0.999, "{}", stored.report);
    assert_eq!(stored.manifest.id, "small-w8");
}

fn manifest_of(onnx: &[u8]) -> BackboneManifest {
    BackboneManifest { sha256: measure::digest(onnx), ..manifest(FEATURES) }
}
