//! Small heads that are well made.

use std::collections::BTreeMap;

use arcticd::frame::ContentHash;
use arcticd::heads::Bundle;
use arcticd::heads::canaries::Canaries;
use arcticd::model::{FileDigest, Head, HeadBackbone, HeadManifest, Label};
use arcticd::onnx::{Constant, Graph, attribute};

/// Few, so that an input takes no time.
pub const FEATURES: usize = 8;

/// Weights that are all zero: the same for each frame.
pub fn network() -> Vec<u8> {
    let mut graph = Graph::empty("head", "features", &[1, FEATURES], 13);
    let build = |graph: &mut Graph| {
        graph.set_constant("weights", &Constant::f32([FEATURES, 2], vec![0.0; FEATURES * 2]))?;
        graph.set_constant("bias", &Constant::f32([2], vec![0.5, -0.5]))?;
        graph.add_node("Gemm", &["features", "weights", "bias"], "logits", vec![])?;
        graph.add_node("Softmax", &["logits"], "probabilities", vec![attribute::int("axis", 1)])?;
        graph.set_outputs(&["probabilities"])?;
        graph.encode()
    };
    build(&mut graph).expect("a plain network")
}

/// Two labels, one of which alerts, for a backbone that nobody has.
pub fn manifest(sequence: u64) -> HeadManifest {
    let backbone = HeadBackbone { id: "fuzz".into(), sha256: "0".repeat(64), features: FEATURES };
    let label =
        |name: &str, background: bool| Label { name: name.into(), alert: !background, threshold: 0.5, background };
    let labels = vec![label("polar_bear", false), label("other", true)];
    HeadManifest { sequence, ..HeadManifest::new("fuzz".into(), "1".into(), backbone, labels) }
}

/// The head of [`network`].
pub fn head() -> Head {
    let network = network();
    let digest = FileDigest { size: network.len() as u64, sha256: ContentHash::of(&network).to_string() };
    let files = BTreeMap::from([("head.onnx".to_owned(), digest)]);
    Head::load(HeadManifest { files, ..manifest(0) }, &network).expect("a plain head")
}

/// What [`head`] gives.
pub fn canaries() -> Canaries {
    Canaries::of(&head(), &[]).expect("a plain head can be run")
}

/// A head on its way: the manifest that is signed, and all of its files as one row, which fit one piece.
pub struct Offered {
    pub manifest: Vec<u8>,
    pub row: Vec<u8>,
}

/// [`head`], offered.
pub fn offered() -> Offered {
    let bundle = Bundle::pack(manifest(1), network(), &canaries()).expect("a plain head");
    Offered { manifest: bundle.manifest_bytes().to_vec(), row: bundle.row() }
}
