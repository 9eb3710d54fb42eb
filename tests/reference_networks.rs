//! Networks made elsewhere, cut where a manifest says, see what they are known to see. They are not part of the project:
//! `ARCTICD_TEST_DATA` names a folder of photos with a folder `models` beside it, or the tests are skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use arcticd::frame::{ContentHash, Frame, Limits, Scale, decode};
use arcticd::model::{Backbone, BackboneManifest};

/// Class of polar bears among ImageNet's, where 0 is the background.
const ICE_BEAR: usize = 297;

struct Reference {
    onnx: Vec<u8>,
    photos: PathBuf,
}

fn reference() -> Option<Reference> {
    let Some(photos) = std::env::var_os("ARCTICD_TEST_DATA").map(PathBuf::from) else {
        println!("skipped: ARCTICD_TEST_DATA is not set");
        return None;
    };
    let network = photos.join("../models/mnv2_f32_nchw.onnx");
    match std::fs::read(&network) {
        Ok(onnx) => Some(Reference { onnx, photos }),
        Err(error) => {
            println!("skipped: {}: {error}", network.display());
            None
        }
    }
}

fn manifest(onnx: &[u8], output: &str) -> BackboneManifest {
    let sha256 = ContentHash::of(onnx);
    let text = format!(
        "format = 1\nid = \"mobilenetv2-224\"\nfile = \"mnv2_f32_nchw.onnx\"\nsha256 = \"{sha256}\"\nlicence = \"Apache-2.0\"\n\
         [input]\nwidth = 224\nheight = 224\nlayout = \"nchw\"\nchannels = \"rgb\"\nfilter = \"triangle\"\nfit = \"stretch\"\n\
         preprocessing = \"symmetric\"\n[output]\n{output}\n"
    );
    BackboneManifest::parse(&text).unwrap()
}

fn frame(path: &std::path::Path) -> Frame {
    let scale = Scale::AtLeast { width: 448, height: 448 };
    decode(&std::fs::read(path).unwrap(), scale, &Limits::default()).unwrap()
}

#[test]
fn an_imagenet_network_still_knows_polar_bears_after_our_decode_resize_and_preprocessing() {
    let Some(reference) = reference() else { return };
    let manifest = manifest(&reference.onnx, "pooling = \"none\"\nfeatures = 1001");
    let network = Backbone::load(manifest, &reference.onnx, 1).unwrap();
    let folder = reference.photos.join("wildlife/test/polar_bear");
    let photos: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let bears = photos
        .iter()
        .filter(|photo| {
            let scores = network.features_of(&frame(photo).pixels).unwrap();
            let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
            best == ICE_BEAR
        })
        .count();
    println!("{bears} of {} polar bears are top-1 'ice bear'", photos.len());
    assert!(bears * 10 >= photos.len() * 8, "only {bears} of {} are seen as ice bears", photos.len());
}

#[test]
fn cutting_at_a_named_node_gives_the_features_under_the_classification_layers() {
    let Some(reference) = reference() else { return };
    let pooled = manifest(
        &reference.onnx,
        "cut = \"GlobalAveragePool_101\"\npooling = \"average\"\nfeatures = 1280",
    );
    let network = Backbone::load(pooled, &reference.onnx, 1).unwrap();
    let photo = std::fs::read_dir(reference.photos.join("wildlife/test/walrus")).unwrap().next().unwrap().unwrap();
    let features = network.features_of(&frame(&photo.path()).pixels).unwrap();
    assert_eq!(features.len(), 1280);
    // What is under a ReLU6 and a mean.
    assert!(features.iter().all(|value| (0.0..=6.0).contains(value)));
    assert!(features.iter().filter(|value| **value > 0.0).count() > 100);
}
