//! Input that is nested without end, or refers to itself, is an error and no stack overflow, which nothing could catch.
//!
//! Each runs on a thread as small as the daemon's; the configuration through the program itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use std::thread;

use arcticd::accept::{Ask, Offer};
use arcticd::frame::{Limits, Scale, decode};
use arcticd::model::{Head, HeadBackbone, HeadManifest, Label};
use arcticd::onnx::{Graph, attribute};

const BIN: &str = env!("CARGO_BIN_EXE_arcticd");
const DEEP: usize = 100_000;
/// What threads have that do not ask for more; the daemon's do not.
const STACK: usize = 2 << 20;

fn on_a_small_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap()
}

#[test]
fn a_deep_configuration_is_refused_by_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("arcticd.toml");
    for (what, text) in [
        ("lists", format!("trap = {}", "[".repeat(DEEP))),
        ("closed lists", format!("trap = {}{}", "[".repeat(DEEP), "]".repeat(DEEP))),
        ("tables", format!("trap = {}", "{a=".repeat(DEEP))),
        ("dotted keys", format!("{}a = 1", "a.".repeat(DEEP))),
        ("headers", format!("[{}a]\nb = 1", "a.".repeat(DEEP))),
        ("headers of lists", format!("[[{}a]]\nb = 1", "a.".repeat(DEEP))),
    ] {
        std::fs::write(&path, text).unwrap();
        let output = Command::new(BIN).args(["check", "--config"]).arg(&path).output().unwrap();
        let code = output.status.code();
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(code.is_some_and(|code| code != 0), "{what}: {:?}", output.status);
        assert!(said.contains("arcticd.toml") && said.len() < 10_000, "{what}: {said:.300}");
    }
}

#[test]
fn deep_manifests_requests_and_offers_are_errors() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
        on_a_small_thread(move || {
            for text in [deep.clone(), format!("{{\"evaluation\": {deep}}}"), format!("{{\"unknown\": {deep}}}")] {
                assert!(HeadManifest::parse(text.as_bytes()).is_err());
                assert!(Ask::parse(text.as_bytes()).is_err());
                assert!(Offer::decode(text.as_bytes()).is_err());
            }
        });
    }
}

/// A field of a protocol buffer that holds bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 127 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}

#[test]
fn networks_within_networks_and_types_within_types_are_errors() {
    // A graph (1: node) of a node (5: attribute) of an attribute (6: graph), and so on; a type (4: sequence) of a type (1).
    let (mut graph, mut kind) = (Vec::new(), Vec::new());
    for _ in 0..3_000 {
        graph = field(1, &field(5, &field(6, &graph)));
        kind = field(4, &field(1, &kind));
    }
    let input = field(11, &field(2, &kind));
    for inner in [graph, input] {
        let model = field(7, &inner);
        assert!(on_a_small_thread(move || Graph::parse(&model).is_err()));
    }
}

fn chain(nodes: usize) -> Vec<u8> {
    let mut graph = Graph::empty("head", "features", &[1, 2], 13);
    let mut last = "features".to_owned();
    for number in 0..nodes {
        let next = format!("n{number}");
        graph.push_node(arcticd::onnx::node("Relu", &[&last], &next, vec![])).unwrap();
        last = next;
    }
    graph.push_node(arcticd::onnx::node("Softmax", &[&last], "scores", vec![attribute::int("axis", 1)])).unwrap();
    graph.set_outputs(&["scores"]).unwrap();
    graph.encode().unwrap()
}

#[test]
fn the_longest_chain_of_layers_loads_and_a_longer_one_is_refused() {
    let load = |nodes: usize| {
        let network = chain(nodes);
        on_a_small_thread(move || {
            let label = |name: &str| Label { name: name.into(), alert: false, threshold: 0.5, background: false };
            let backbone = HeadBackbone { id: "b".into(), sha256: "0".into(), features: 2 };
            let mut manifest = HeadManifest::new("long".into(), "1".into(), backbone, vec![label("a"), label("b")]);
            let digest = arcticd::frame::ContentHash::of(&network).to_string();
            let file = arcticd::model::FileDigest { size: network.len() as u64, sha256: digest };
            manifest.files = [("head.onnx".to_owned(), file)].into();
            Head::load(manifest, &network).map(|_| ()).map_err(|error| error.to_string())
        })
    };
    load(999).unwrap();
    let error = load(1_000).unwrap_err();
    assert!(error.contains("more than the 1000"), "{error}");
}

#[test]
fn notes_that_lead_in_circles_cost_nothing() {
    // The main directory names itself as that of the camera's notes and of the position, and as the next one.
    let mut block = b"II*\0\x08\0\0\0\x02\0".to_vec();
    for tag in [0x8769_u16, 0x8825] {
        block.extend(tag.to_le_bytes());
        block.extend([4, 0, 1, 0, 0, 0, 8, 0, 0, 0]);
    }
    block.extend([8, 0, 0, 0]);
    let mut many = b"II*\0\x08\0\0\0\xFF\xFF".to_vec();
    many.extend([0x69, 0x87, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0].repeat(5_000));
    for block in [block, many] {
        let mut jpeg = Vec::new();
        let picture = image::RgbImage::from_pixel(16, 16, image::Rgb([90; 3]));
        picture.write_to(&mut std::io::Cursor::new(&mut jpeg), image::ImageFormat::Jpeg).unwrap();
        let length = (block.len() as u16 + 8).to_be_bytes();
        let file = [&jpeg[..2], &[0xFF, 0xE1], &length, b"Exif\0\0", &block, &jpeg[2..]].concat();
        let frame = on_a_small_thread(move || decode(&file, Scale::Full, &Limits::default())).unwrap();
        assert_eq!((frame.position, frame.captured_at, frame.partial), (None, None, None));
        // A TIFF file is such a block; without a picture it is none.
        assert!(on_a_small_thread(move || decode(&block, Scale::Full, &Limits::default())).is_err());
    }
}
