//! Heads: their networks, their manifests, and whole ones.

use arcticd::heads::bundle::{self, Bundle, Limits};
use arcticd::heads::{TrustedKeys, outside};
use arcticd::model::{HeadManifest, Novelty, NoveltyMethod, ScoresOutput};
use arcticd::onnx::Graph;

use super::{contained, plain};

/// A network in a head whose manifest and canaries fit it: loaded, probed, run. The first byte chooses what the manifest
/// says of it.
pub fn head(data: &[u8]) {
    let Some((choice, network)) = data.split_first() else { return };
    let mut manifest = plain::manifest(1);
    manifest.output = [None, Some(ScoresOutput::Logits), Some(ScoresOutput::Probabilities)][usize::from(choice % 3)];
    let method = [None, Some(NoveltyMethod::Energy), Some(NoveltyMethod::Mahalanobis)][usize::from(choice / 3 % 3)];
    manifest.novelty = method.map(|method| Novelty { method, threshold: 1.0 });
    let Ok(bundle) = Bundle::pack(manifest, network.to_vec(), &plain::canaries()) else { return };
    contained(|| bundle.head().is_ok());
}

/// A network as a graph, walked and written again; and as one of another tool that is to become a head.
pub fn graph(data: &[u8]) {
    let Ok(mut graph) = Graph::parse(data) else { return };
    for node in graph.nodes() {
        for tensor in node.input.iter().chain(&node.output) {
            let _ = (graph.producer(tensor), graph.consumers(tensor), graph.shape(tensor), graph.constant(tensor));
        }
    }
    let written = graph.encode().expect("what was read can be written");
    let again = Graph::parse(&written).expect("what was written can be read");
    assert_eq!(again.nodes(), graph.nodes());
    if let Some(tensor) = graph.nodes().first().and_then(|node| node.output.first()).cloned() {
        let _ = graph.cut_at(&tensor);
    }
    contained(|| outside::adopt(data, plain::FEATURES, 2).is_ok());
}

/// A head's manifest, as it is parsed once its signature holds.
pub fn manifest(data: &[u8]) {
    let Ok(manifest) = HeadManifest::parse(data) else { return };
    let _ = bundle::seal(&[], data.to_vec()).and_then(|sealed| sealed.open_unverified());
    assert!(!manifest.labels.is_empty());
}

/// A `.head` file by whoever: read, opened without asking for a signature, joined with its files, loaded, tried on its
/// canaries. What comes out must go in again byte by byte.
pub fn bundle(data: &[u8]) {
    if let Ok(sealed) = bundle::read_head_of(data) {
        assert!(sealed.verify(&TrustedKeys::default()).is_err(), "no key is trusted");
    }
    let opened = bundle::read_head_of(data).and_then(|sealed| sealed.open_unverified());
    let Ok(bundle) = opened.and_then(|opened| opened.read(Limits { network: 1 << 20 })) else { return };
    let mut again = Vec::new();
    bundle.write(&mut again).expect("memory can be written");
    assert_eq!(again, data, "there is one way to write a bundle");
    contained(|| bundle.head().is_ok());
}
