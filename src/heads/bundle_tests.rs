#![allow(clippy::unwrap_used)]
use super::*;
use crate::heads::testing::{manifest, network, photos};

fn bundle() -> Bundle {
    Bundle::make(manifest(), network(1.0), &photos()).unwrap()
}

fn bytes(bundle: &Bundle) -> Vec<u8> {
    let mut bytes = Vec::new();
    bundle.write(&mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Bundle, BundleError> {
    read_head_of(bytes)?.open_unverified()?.read(Limits::LOCAL)
}

#[test]
fn what_is_written_is_read_back_and_the_same_content_gives_the_same_bytes() {
    let (made, again) = (bundle(), bundle());
    let written = bytes(&made);
    assert_eq!(written, bytes(&again));
    let found = read(&written).unwrap();
    assert_eq!(found, made);
    assert_eq!(bytes(&found), written);
    assert!(found.signature().is_none());
    assert_eq!(found.head().unwrap().manifest(), made.manifest());
}

#[test]
fn an_unsigned_head_is_not_opened_where_a_signature_is_asked_for() {
    let written = bytes(&bundle());
    let sealed = read_head_of(&written[..]).unwrap();
    assert!(matches!(sealed.verify(&TrustedKeys::default()), Err(BundleError::Unsigned)));
}

/// A head signed by a new key, its bytes, and that key as trusted.
fn signed() -> (Vec<u8>, TrustedKeys) {
    let pair = crate::heads::secret::generate(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    std::fs::write(&path, &pair.secret).unwrap();
    let key = crate::heads::secret::SecretKey::load(&path, || Ok(String::new())).unwrap();
    let mut bundle = bundle();
    bundle.set_signature(key.sign(bundle.manifest_bytes(), "head:three-animals\tversion:1.0\tsequence:1").unwrap());
    (bytes(&bundle), TrustedKeys::of_text(&pair.public))
}

fn accept(bytes: &[u8], keys: &TrustedKeys) -> Result<Bundle, BundleError> {
    read_head_of(bytes)?.verify(keys)?.read(Limits::RECEIVED)
}

#[test]
fn any_flipped_byte_of_a_signed_head_is_refused() {
    let (bytes, keys) = signed();
    assert!(accept(&bytes, &keys).unwrap().head().is_ok());
    let mut flipped = bytes.clone();
    // Every byte, one bit after the other; where the signature stands, which protects itself least, every bit.
    let everywhere = (0..bytes.len()).map(|at| (at, 1 << (at % 8)));
    let signature = (512..1536).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit)));
    for (at, bit) in everywhere.chain(signature) {
        flipped[at] ^= bit;
        assert!(accept(&flipped, &keys).is_err(), "byte {at}, bit {bit:08b}");
        flipped[at] = bytes[at];
    }
    assert_eq!(flipped, bytes);
}

#[test]
fn a_signed_head_cut_off_anywhere_or_with_something_behind_it_is_refused() {
    let (bytes, keys) = signed();
    for length in (0..bytes.len()).step_by(7).chain(bytes.len() - 513..bytes.len()) {
        assert!(accept(&bytes[..length], &keys).is_err(), "cut to {length}");
    }
    let longer = [bytes.clone(), vec![0; 512]].concat();
    assert!(matches!(accept(&longer, &keys), Err(BundleError::Trailing)));
}

#[test]
fn entries_that_are_swapped_doubled_or_missing_are_refused() {
    let (bytes, keys) = signed();
    let padded = |size: usize| 512 + size.div_ceil(512) * 512;
    let bundle = accept(&bytes, &keys).unwrap();
    let sizes = [300, bundle.bytes.len(), bundle.network.len(), bundle.canaries.len()].map(padded);
    let (mut rest, mut parts) = (&bytes[..], Vec::new());
    for size in sizes {
        let (part, left) = rest.split_at(size);
        parts.push(part);
        rest = left;
    }
    for order in [[1, 0, 2, 3], [0, 1, 3, 2], [0, 1, 2, 2], [0, 0, 1, 2], [1, 1, 2, 3]] {
        let other = [order.map(|place| parts[place]).concat(), rest.to_vec()].concat();
        assert!(accept(&other, &keys).is_err(), "{order:?}");
    }
    assert!(accept(&[&parts.concat()[..], rest].concat(), &keys).is_ok(), "the order it has");
}

#[test]
fn nothing_is_parsed_of_a_head_whose_signature_is_wrong() {
    let (_, keys) = signed();
    // Signed by another key, and its manifest no JSON: the key is what is complained of.
    let (bytes, _) = signed();
    assert!(matches!(accept(&bytes, &keys), Err(BundleError::UnknownKey { .. })));
    let (bytes, keys) = signed();
    let mut bundle = read(&bytes).unwrap();
    bundle.bytes = b"{ this is no manifest".to_vec();
    let mut broken = Vec::new();
    bundle.write(&mut broken).unwrap();
    assert!(matches!(accept(&broken, &keys), Err(BundleError::WrongSignature { .. })));
}

#[test]
fn pieces_are_those_of_both_files_one_after_the_other() {
    let (network, canaries) = (vec![1; 70], vec![2; 50]);
    let whole = [network.clone(), canaries.clone()].concat();
    for size in [1, 7, 35, 70, 71, 119, 120, 1000] {
        let expected: Vec<_> = whole.chunks(size).map(|piece| ContentHash::of(piece).to_string()).collect();
        assert_eq!(pieces(size as u64, &network, &canaries).sha256, expected, "pieces of {size}");
    }
}

#[test]
fn a_manifest_whose_pieces_are_not_those_of_its_files_is_refused() {
    let mut wrong = bundle();
    let chunks = wrong.manifest.chunks.as_mut().unwrap();
    chunks.sha256[0] = ContentHash::of(b"other").to_string();
    wrong.bytes = serde_json::to_vec(&wrong.manifest).unwrap();
    assert!(read(&bytes(&wrong)).unwrap_err().to_string().contains("chunks"));
}

#[test]
fn a_manifest_that_lists_other_files_is_refused_before_they_are_read() {
    for change in [
        (|manifest: &mut HeadManifest| drop(manifest.files.remove("canaries.bin"))) as fn(&mut HeadManifest),
        |manifest| drop(manifest.files.insert("../../etc/passwd".into(), digest(b""))),
        |manifest| manifest.files.values_mut().for_each(|file| file.size = u64::MAX),
        |manifest| manifest.chunks = None,
        |manifest| manifest.chunks.as_mut().unwrap().sha256.clear(),
        |manifest| manifest.chunks.as_mut().unwrap().size = 1,
        |manifest| manifest.chunks.as_mut().unwrap().size = u64::MAX,
    ] {
        let mut wrong = bundle();
        change(&mut wrong.manifest);
        wrong.bytes = serde_json::to_vec(&wrong.manifest).unwrap();
        let written = bytes(&wrong);
        let opened = read_head_of(&written[..]).unwrap().open_unverified();
        assert!(matches!(opened, Err(BundleError::Manifest(_))), "{:?}", wrong.manifest);
    }
}

#[test]
fn a_network_larger_than_the_limit_is_refused_by_the_manifest_already() {
    let written = bytes(&bundle());
    let opened = read_head_of(&written[..]).unwrap().open_unverified().unwrap();
    let refused = opened.read(Limits { network: 100 });
    assert!(matches!(refused, Err(BundleError::TooLarge { entry: "head.onnx", limit: 100, .. })));
}

#[test]
fn another_network_or_other_canaries_than_the_manifest_describes_are_refused() {
    let mut other = bundle();
    other.network = network(2.0);
    assert!(matches!(read(&bytes(&other)), Err(BundleError::Digest { entry: "head.onnx", .. })));
    let mut other = bundle();
    other.canaries.pop();
    assert!(matches!(read(&bytes(&other)), Err(BundleError::Digest { entry: "canaries.bin", .. })));
}

#[test]
fn canaries_of_another_network_are_refused_when_the_head_is_loaded() {
    let other = Bundle::make(manifest(), network(2.0), &photos()).unwrap();
    let canaries = Canaries::parse(other.canaries()).unwrap();
    let mixed = Bundle::pack(manifest(), network(1.0), &canaries).unwrap();
    assert!(matches!(mixed.head(), Err(BundleError::Canary(_))));
}

#[test]
fn a_file_is_replaced_as_a_whole_and_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a head.head");
    std::fs::write(&path, b"old").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    bundle().save(&path).unwrap();
    assert_eq!(Bundle::load(&path, &TrustedKeys::default()).unwrap(), bundle());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(bundle().save(&folder.path().join("none/a.head")).is_err());
}
