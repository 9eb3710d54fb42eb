//! What the broker holds in one scope's topics: at most one head whole, one offered, and pieces.

use std::collections::BTreeSet;

use super::Parcel;
use crate::accept::{Content, Offer, Scope};
use crate::frame::ContentHash;
use crate::heads::bundle;
use crate::model::HeadManifest;

/// The retained messages of one scope.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    /// sha256 of what stands in `head/set`, and the head in it.
    set: Option<(ContentHash, Option<Found>)>,
    /// Likewise in `head/offer`.
    offer: Option<(ContentHash, Option<Found>)>,
    /// Pieces of our head that are whole.
    pieces: BTreeSet<u32>,
}

/// A head that lies on the broker. Nobody has checked its signature here: it is only cleared, never used.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// sha256 of its manifest.
    pub id: ContentHash,
    /// What it says of itself.
    pub manifest: HeadManifest,
}

impl Found {
    /// How many pieces belong to it.
    pub fn pieces(&self) -> u32 {
        let pieces = self.manifest.chunks.as_ref().map_or(0, |chunks| chunks.sha256.len());
        u32::try_from(pieces).unwrap_or(u32::MAX)
    }
}

impl Shelf {
    /// Takes note of a retained message; an empty one means that there is none.
    pub fn take(&mut self, content: Content, payload: &[u8], ours: &Parcel) {
        let noted = |found: fn(&[u8]) -> Option<Found>| {
            (!payload.is_empty()).then(|| (ContentHash::of(payload), found(payload)))
        };
        match content {
            Content::Set => self.set = noted(in_set),
            Content::Offer => self.offer = noted(in_offer),
            Content::Chunk { id, piece } if id == ours.id() && ours.is_piece(piece, payload) => {
                self.pieces.insert(piece);
            }
            Content::Chunk { .. } | Content::Ask(_) => {}
        }
    }

    /// Whether `head/set` is these bytes.
    pub fn holds_set(&self, bytes: &[u8]) -> bool {
        self.set.as_ref().is_some_and(|(hash, _)| *hash == ContentHash::of(bytes))
    }

    /// Whether `head/offer` is an offer of this head; one with another signature is not.
    pub fn holds_offer(&self, bytes: &[u8]) -> bool {
        self.offer.as_ref().is_some_and(|(hash, _)| *hash == ContentHash::of(bytes))
    }

    /// Whether anything stands in `head/set`.
    pub fn has_set(&self) -> bool {
        self.set.is_some()
    }

    /// Whether anything stands in `head/offer`.
    pub fn has_offer(&self) -> bool {
        self.offer.is_some()
    }

    /// The head in `head/offer`.
    pub fn offered(&self) -> Option<&Found> {
        self.offer.as_ref().and_then(|(_, found)| found.as_ref())
    }

    /// The heads that lie there.
    pub fn heads(&self) -> impl Iterator<Item = &Found> {
        [&self.set, &self.offer].into_iter().flatten().filter_map(|(_, found)| found.as_ref())
    }

    /// Our pieces that the broker holds.
    pub fn pieces(&self) -> &BTreeSet<u32> {
        &self.pieces
    }
}

fn in_set(payload: &[u8]) -> Option<Found> {
    let sealed = bundle::read_head_of(payload).ok()?;
    let id = ContentHash::of(sealed.manifest_bytes());
    Some(Found { id, manifest: sealed.open_unverified().ok()?.manifest().clone() })
}

fn in_offer(payload: &[u8]) -> Option<Found> {
    let offer = Offer::decode(payload).ok()?;
    Some(Found { id: offer.id(), manifest: offer.seal().ok()?.open_unverified().ok()?.manifest().clone() })
}

/// The content of a topic of one of these scopes, and which.
pub fn place(topic: &str, prefix: &str, scopes: &[Scope]) -> Option<(usize, Content)> {
    scopes.iter().enumerate().find_map(|(number, scope)| {
        let below = topic.strip_prefix(&scope.base(prefix))?.strip_prefix("/head/")?;
        let content = match below.split('/').collect::<Vec<_>>().as_slice() {
            ["set"] => Content::Set,
            ["offer"] => Content::Offer,
            ["chunk", id, piece] => Content::Chunk { id: id.parse().ok()?, piece: piece.parse().ok()? },
            _ => return None,
        };
        // One way to write it, so that the topic that is cleared is the topic that was found.
        (scope.topic(prefix, content) == topic).then_some((number, content))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::plan::Body;
    use super::super::testing;
    use super::*;

    #[test]
    fn heads_that_lie_there_are_known_however_they_lie_there() {
        let (small, large) = (testing::small(), testing::large());
        let mut shelf = Shelf::default();
        shelf.take(Content::Set, &small.body(Body::Whole), &large);
        shelf.take(Content::Offer, &large.body(Body::Offer), &large);
        let ids: Vec<ContentHash> = shelf.heads().map(|found| found.id).collect();
        assert_eq!(ids, [small.id(), large.id()]);
        assert_eq!(shelf.offered().unwrap().pieces(), large.pieces());
        assert!(shelf.holds_set(&small.body(Body::Whole)) && shelf.holds_offer(&large.body(Body::Offer)));
        shelf.take(Content::Set, b"", &large);
        assert!(!shelf.has_set() && shelf.has_offer());
    }

    #[test]
    fn only_a_whole_piece_in_its_place_counts() {
        let parcel = testing::large();
        let mut shelf = Shelf::default();
        let mut take = |id, piece, payload: &[u8]| {
            shelf.take(Content::Chunk { id, piece }, payload, &parcel);
            shelf.pieces().len()
        };
        let first = parcel.body(Body::Piece(0));
        assert_eq!(take(parcel.id(), 0, b""), 0);
        assert_eq!(take(parcel.id(), 0, &first[1..]), 0);
        assert_eq!(take(parcel.id(), 1, &first), 0);
        assert_eq!(take(parcel.id(), u32::MAX, &first), 0);
        assert_eq!(take(ContentHash::of(b"another"), 0, &first), 0);
        assert_eq!(take(parcel.id(), 0, &first), 1);
    }

    #[test]
    fn rubbish_on_the_shelf_is_something_but_no_head() {
        let parcel = testing::small();
        let mut shelf = Shelf::default();
        shelf.take(Content::Offer, b"{}", &parcel);
        shelf.take(Content::Set, &[0; 4096], &parcel);
        assert!(shelf.has_set() && shelf.has_offer() && shelf.heads().count() == 0);
    }

    #[test]
    fn a_topic_is_found_in_its_scope_and_nowhere_else() {
        let scopes = [Scope::Trap("north".into()), Scope::Group("coast".into())];
        let id = ContentHash::of(b"m");
        for (number, scope) in scopes.iter().enumerate() {
            for content in [Content::Set, Content::Offer, Content::Chunk { id, piece: 3 }] {
                assert_eq!(place(&scope.topic("arcticd", content), "arcticd", &scopes), Some((number, content)));
            }
        }
        for topic in [
            "arcticd/north/head/state".to_owned(),
            "arcticd/south/head/set".to_owned(),
            format!("arcticd/north/head/chunk/{id}/03"),
            format!("arcticd/north/head/chunk/{}/3", id.to_string().to_uppercase()),
        ] {
            assert_eq!(place(&topic, "arcticd", &scopes), None, "{topic}");
        }
    }
}
