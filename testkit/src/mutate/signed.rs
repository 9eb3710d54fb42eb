//! What a trusted key signed, and a trap must refuse all the same: old numbers, numbers far ahead, heads for others, manifests
//! that promise giants or can't be read, networks that are noise.

use anyhow::{Context, Result};
use arcticd::accept::{Content, Offer};
use arcticd::heads::bundle::ENTRIES;
use serde_json::{Value, json};

use super::archive::{Entry, archive};
use super::bytes::{below, flip_bits, noise};
use super::{Attack, Make, Material};
use crate::scenes::random::Random;

/// How far above the floor a sequence may lie: `heads.max_jump`.
const MAX_JUMP: u64 = 1_000;

/// What a trusted key may have signed.
pub(super) const KINDS: &[(&str, Make)] = &[
    ("signed: an old sequence", |it, random| {
        let sequence = random.next() % (it.older.manifest().sequence + 1);
        resigned(it, random, |manifest, _| manifest["sequence"] = json!(sequence))
    }),
    ("signed: a sequence far ahead", |it, random| {
        let floor = it.older.manifest().sequence;
        let far = random.pick(&[floor + MAX_JUMP + 1, 1 << 40, i64::MAX as u64, u64::MAX - 1, u64::MAX]);
        resigned(it, random, |manifest, _| manifest["sequence"] = json!(far))
    }),
    ("signed: for another backbone", |it, random| {
        resigned(it, random, |manifest, random| match below(random, 3) {
            0 => manifest["backbone"]["id"] = json!("another-net"),
            1 => manifest["backbone"]["sha256"] = json!("00".repeat(32)),
            _ => {
                let features = manifest["backbone"]["features"].as_u64().unwrap_or(0);
                manifest["backbone"]["features"] = json!(random.pick(&[1, 7, features + 1, 1_000_000]));
            }
        })
    }),
    ("signed: for other traps", |it, random| {
        resigned(it, random, |manifest, random| {
            manifest["audience"] = json!(random.pick(&[["south"], ["Test"], ["tes"], ["test/#"], ["+"]]));
        })
    }),
    ("signed: giant sizes", |it, random| {
        let giant = random.pick(&[9 << 20, 1 << 30, 1 << 40, i64::MAX as u64, u64::MAX - 1, u64::MAX]);
        let file = random.pick(&["head.onnx", "canaries.bin"]);
        let fits = below(random, 2) == 0;
        resigned(it, random, |manifest, _| {
            manifest["files"][file]["size"] = json!(giant);
            // As many pieces as belong to it, where a manifest can name them.
            if fits && giant < 1 << 31 {
                let size = 1 << 20;
                let digests = vec![json!("00".repeat(32)); (giant / size + 2) as usize];
                manifest["chunks"] = json!({ "size": size, "sha256": digests });
            }
        })
    }),
    ("signed: pieces that do not fit the files", |it, random| {
        resigned(it, random, |manifest, random| match below(random, 6) {
            0 => manifest["chunks"]["size"] = json!(random.pick(&[0, 1, 512, 32_767, (16 << 20) + 1, u64::MAX])),
            1 => manifest["chunks"]["sha256"] = json!([]),
            2 => manifest["chunks"]["sha256"] = json!(vec!["00".repeat(32); 5_000]),
            3 => manifest["chunks"] = Value::Null,
            4 => manifest["chunks"]["sha256"] = json!("00"),
            _ => manifest["chunks"]["size"] = json!(-1),
        })
    }),
    ("signed: other files than a head's", |it, random| {
        resigned(it, random, |manifest, random| {
            let name = random.pick(&["../record.json", "/etc/passwd", "head.onnx ", "more.bin"]);
            let files = &mut manifest["files"];
            let one = files["head.onnx"].clone();
            match below(random, 3) {
                0 => files[name] = one,
                1 => *files = json!({ name: one }),
                _ => *files = json!({ "head.onnx": one }),
            }
        })
    }),
    ("signed: values that can't be", |it, random| {
        resigned(it, random, |manifest, random| {
            let value = |random: &mut Random| match below(random, 7) {
                0 => Value::Null,
                1 => json!(-1),
                2 => json!(1e308),
                3 => json!([[[[]]]]),
                4 => json!({ "a": {} }),
                5 => json!(true),
                _ => json!("x".repeat(2_000)),
            };
            let odd = value(random);
            match below(random, 7) {
                0 => manifest["format"] = odd,
                1 => manifest["sequence"] = odd,
                2 => manifest["backbone"] = odd,
                3 => manifest["labels"] = odd,
                4 => manifest["files"] = odd,
                5 => manifest["files"]["head.onnx"]["size"] = odd,
                _ => manifest["labels"][0]["threshold"] = odd,
            }
        })
    }),
    ("signed: what is no manifest", |it, random| {
        let bytes = match below(random, 6) {
            0 => noise(random, 700),
            1 => Vec::new(),
            2 => b"[".repeat(100_000),
            3 => b"{\"a\":".repeat(100_000),
            4 => it.good.manifest_bytes().get(1..).unwrap_or_default().to_vec(),
            _ => [it.good.manifest_bytes(), b"}"].concat(),
        };
        delivered(it, random, bytes)
    }),
    ("signed: digests of other files", |it, random| {
        let mut manifest: Value = serde_json::from_slice(it.good.manifest_bytes())?;
        let file = random.pick(&["head.onnx", "canaries.bin"]);
        manifest["files"][file]["sha256"] = json!("0f".repeat(32));
        whole(it, serde_json::to_vec(&manifest)?).map(Some)
    }),
];

/// The good head under a changed manifest, signed; as a whole or as an offer.
fn resigned(
    it: &Material,
    random: &mut Random,
    change: impl FnOnce(&mut Value, &mut Random),
) -> Result<Option<Attack>> {
    let mut manifest: Value = serde_json::from_slice(it.good.manifest_bytes())?;
    change(&mut manifest, random);
    delivered(it, random, serde_json::to_vec(&manifest)?)
}

fn delivered(it: &Material, random: &mut Random, manifest: Vec<u8>) -> Result<Option<Attack>> {
    if below(random, 2) == 0 {
        return whole(it, manifest).map(Some);
    }
    let signature = it.ours.sign(&manifest)?.encode().into_bytes();
    Ok(Some(Attack::Message(Content::Offer, Offer { manifest, signature }.encode())))
}

fn whole(it: &Material, manifest: Vec<u8>) -> Result<Attack> {
    let file = bundle(it, manifest, it.good.network().to_vec(), it.good.canaries().to_vec())?;
    Ok(Attack::Message(Content::Set, file))
}

fn bundle(it: &Material, manifest: Vec<u8>, network: Vec<u8>, canaries: Vec<u8>) -> Result<Vec<u8>> {
    let signature = it.ours.sign(&manifest)?.encode().into_bytes();
    let contents = [signature, manifest, network, canaries];
    let entries: Vec<Entry> = ENTRIES.iter().zip(contents).map(|(name, content)| Entry::new(name, content)).collect();
    Ok(archive(&entries))
}

/// A well-formed, well-signed head whose network or canaries are good for nothing.
pub(super) fn nonsense(
    it: &Material,
    random: &mut Random,
    number: u64,
    sequence: u64,
) -> Result<(&'static str, Vec<u8>)> {
    let (mut network, mut canaries) = (it.good.network().to_vec(), it.good.canaries().to_vec());
    let kind = match number % 5 {
        0 => {
            network = noise(random, network.len());
            "nonsense: a network that is noise"
        }
        1 => {
            network = flip_bits(network, random);
            // Some flips change nothing that counts; the name of the tensors does.
            network.truncate(network.len().saturating_sub(1 + below(random, 200)));
            "nonsense: a network that was cut"
        }
        2 => {
            canaries = it.older.canaries().to_vec();
            "nonsense: canaries of another head"
        }
        3 => {
            canaries = noise(random, canaries.len());
            "nonsense: canaries that are noise"
        }
        _ => {
            network = it.older.network().to_vec();
            "nonsense: the network of another head"
        }
    };
    let mut manifest: Value = serde_json::from_slice(it.good.manifest_bytes())?;
    manifest["sequence"] = json!(sequence);
    let digest = |bytes: &[u8]| arcticd::frame::ContentHash::of(bytes).to_string();
    manifest["files"]["head.onnx"] = json!({ "size": network.len(), "sha256": digest(&network) });
    manifest["files"]["canaries.bin"] = json!({ "size": canaries.len(), "sha256": digest(&canaries) });
    let size = manifest["chunks"]["size"].as_u64().context("a head has pieces")? as usize;
    let row = [network.as_slice(), &canaries].concat();
    manifest["chunks"]["sha256"] = row.chunks(size).map(|piece| json!(digest(piece))).collect();
    Ok((kind, bundle(it, serde_json::to_vec(&manifest)?, network, canaries)?))
}
