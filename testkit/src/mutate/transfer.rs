//! Pieces on their way: damaged, swapped, of another head, under another number or topic.

use anyhow::Result;
use arcticd::accept::Content;
use arcticd::frame::ContentHash;
use arcticd::heads::bundle::MAX_CHUNK;

use super::bytes::{below, change_bytes, extend, flip_bits, noise, truncate};
use super::{Attack, Make, Material};
use crate::scenes::random::Random;

/// What can be done to a piece and its topic.
pub(super) const KINDS: &[(&str, Make)] = &[
    ("piece: flipped bits", |it, random| altered(it, random, flip_bits)),
    ("piece: changed bytes", |it, random| altered(it, random, change_bytes)),
    ("piece: truncated", |it, random| altered(it, random, truncate)),
    ("piece: extended", |it, random| altered(it, random, extend)),
    ("piece: noise", |it, random| altered(it, random, |piece, random| noise(random, piece.len()))),
    ("piece: under another number", |it, random| {
        let (from, _) = pick(it, random);
        let to = random.pick(&[0, 1, 2, 3, it.pieces.len() as u32, 2047, 2048, u32::MAX]);
        piece(it.offer.id(), to, from)
    }),
    ("piece: swapped", |it, random| {
        let ((bytes, from), (_, at)) = (pick(it, random), pick(it, random));
        // A head of a single piece has none to swap: then the piece itself comes under the next number.
        let at = if it.pieces.len() == 1 { from + 1 } else { at };
        piece(it.offer.id(), at, bytes)
    }),
    ("piece: of another head", |it, random| {
        let pieces = crate::head::signed::pieces(&it.older);
        let at = below(random, pieces.len());
        let bytes = pieces.get(at).cloned().unwrap_or_default();
        piece(it.offer.id(), at as u32, bytes)
    }),
    ("piece: for a head that nobody offered", |it, random| {
        let (bytes, at) = pick(it, random);
        piece(ContentHash::of(&random.next().to_le_bytes()), at, bytes)
    }),
    ("piece: too large", |it, random| {
        let (_, at) = pick(it, random);
        let content = Content::Chunk { id: it.offer.id(), piece: at };
        Ok(Some(Attack::TooLarge(content, MAX_CHUNK as usize + 1 + below(random, 1 << 20))))
    }),
    ("topic: numbers and ids written otherwise", |it, random| {
        let (bytes, at) = pick(it, random);
        let id = it.offer.id().to_string();
        let topic = match below(random, 12) {
            0 => format!("chunk/{id}/0{at}"),
            1 => format!("chunk/{id}/+{at}"),
            2 => format!("chunk/{id}/-{at}"),
            3 => format!("chunk/{id}/{at}/"),
            4 => format!("chunk/{id}/{at} "),
            5 => format!("chunk/{}/{at}", id.to_uppercase()),
            6 => format!("chunk/{id}/../{id}/{at}"),
            7 => format!("chunk/{}/{at}", &id[..id.len() - 1]),
            8 => format!("chunk/{id}/4294967296"),
            9 => format!("chunk//{id}/{at}"),
            10 => format!("chunk/{id}/\u{661}"),
            _ => format!("chunk/../../record.json/{at}"),
        };
        Ok(Some(Attack::Topic(topic, bytes)))
    }),
    ("topic: changed bytes", |it, random| {
        let (bytes, at) = pick(it, random);
        let topic = change_bytes(format!("chunk/{}/{at}", it.offer.id()).into_bytes(), random);
        Ok(Some(Attack::Topic(String::from_utf8_lossy(&topic).into_owned(), bytes)))
    }),
];

fn pick(it: &Material, random: &mut Random) -> (Vec<u8>, u32) {
    let at = below(random, it.pieces.len());
    (it.pieces.get(at).cloned().unwrap_or_default(), at as u32)
}

fn altered(
    it: &Material,
    random: &mut Random,
    change: impl FnOnce(Vec<u8>, &mut Random) -> Vec<u8>,
) -> Result<Option<Attack>> {
    let (bytes, at) = pick(it, random);
    piece(it.offer.id(), at, change(bytes, random))
}

fn piece(id: ContentHash, piece: u32, bytes: Vec<u8>) -> Result<Option<Attack>> {
    Ok(Some(Attack::Message(Content::Chunk { id, piece }, bytes)))
}
