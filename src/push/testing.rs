//! Heads and reports for this room's tests.
#![allow(clippy::unwrap_used)]

use super::Parcel;
use crate::accept::{HeadFacts, OfferReport, Refusals, Report, Step};
use crate::frame::ContentHash;
use crate::heads::{Bundle, command};
use crate::model::{HeadBackbone, HeadManifest, Label};
use crate::onnx::{Constant, Graph, attribute};

/// A head of three labels on `features` features.
pub fn bundle(features: usize, sequence: u64) -> Bundle {
    let mut graph = Graph::empty("head", "features", &[1, features], 13);
    let weights = (0..features * 3).map(|index| ((index * 7 % 11) as f32 - 5.0) * 0.01 + index as f32 * 1e-6).collect();
    graph.set_constant("weights", &Constant::f32([features, 3], weights)).unwrap();
    graph.add_node("MatMul", &["features", "weights"], "logits", vec![]).unwrap();
    graph.add_node("Softmax", &["logits"], "probabilities", vec![attribute::int("axis", 1)]).unwrap();
    graph.set_outputs(&["probabilities"]).unwrap();
    let label =
        |name: &str| Label { name: name.into(), alert: name == "polar_bear", threshold: 0.5, background: false };
    let backbone = HeadBackbone { id: "test-net".into(), sha256: "ab".repeat(32), features };
    let labels = ["arctic_fox", "polar_bear", "walrus"].map(label).to_vec();
    let mut manifest = HeadManifest::new("three-animals".into(), "2026.11".into(), backbone, labels);
    manifest.sequence = sequence;
    Bundle::make(manifest, graph.encode().unwrap(), &[]).unwrap()
}

fn parcel(features: usize) -> Parcel {
    let folder = tempfile::tempdir().unwrap();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let file = folder.path().join("k");
    std::fs::write(&file, pair.sk.to_box(None).unwrap().into_string()).unwrap();
    let key = command::load_key(&file, None).unwrap();
    let mut bundle = bundle(features, 5);
    bundle.set_signature(command::sign_with(&bundle, &key).unwrap());
    let path = folder.path().join("a.head");
    bundle.save(&path).unwrap();
    Parcel::load(&path).unwrap()
}

/// Sequence 5, one message.
pub fn small() -> Parcel {
    parcel(6)
}

/// Sequence 5, some pieces.
pub fn large() -> Parcel {
    parcel(9_000)
}

/// Of a trap that would take either.
pub fn report(parcel: &Parcel) -> Report {
    let active = HeadFacts {
        id: None,
        name: "arctic".into(),
        version: "1".into(),
        sequence: 4,
        key: None,
        origin: "builtin".into(),
    };
    Report {
        schema: 1,
        trap: "north".into(),
        groups: vec!["coast".into()],
        at: "2026-11-24T06:00:00Z".into(),
        backbone: parcel.manifest().backbone.id.clone(),
        backbone_sha256: parcel.manifest().backbone.sha256.clone(),
        max_bytes: 8 << 20,
        active,
        previous: None,
        floor: 4,
        ceiling: 1_004,
        offer: None,
        next: None,
        decided: Vec::new(),
        refused: Refusals::default(),
        local: Default::default(),
    }
}

/// How the head of this id stands.
pub fn offered(id: ContentHash, state: Step, reason: Option<&str>) -> OfferReport {
    let head = HeadFacts {
        id: Some(id),
        name: "three-animals".into(),
        version: "2026.11".into(),
        sequence: 5,
        key: None,
        origin: "pushed".into(),
    };
    let reason = reason.map(str::to_owned);
    OfferReport { head, state, reason, received: 0, pieces: 0, missing: String::new(), trial: None }
}
