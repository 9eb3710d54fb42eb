//! What has to be published so that a scope offers one head and nothing else.

use std::collections::BTreeSet;

use super::{Parcel, Shelf};
use crate::accept::{Content, Scope, ranges};
use crate::frame::ContentHash;

/// One message, always retained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// What.
    pub body: Body,
    /// Messages of a later stage wait until all of the earlier ones are acknowledged.
    pub stage: Stage,
}

/// What a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// No byte: it removes what is retained.
    Nothing,
    /// The `.head` file.
    Whole,
    /// Manifest and signature.
    Offer,
    /// This piece.
    Piece(u32),
}

/// The order of things: what is there is always named by the offer that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Pieces of a superseded head go first, while its offer still says which they are.
    OldPieces,
    /// Then the message of the other kind, so that one head is offered, not two.
    OtherKind,
    /// Then the head or its offer.
    Head,
    /// Then its pieces.
    Pieces,
}

/// The messages for one scope, in order; none if all is there.
pub fn messages(scope: &Scope, prefix: &str, parcel: &Parcel, shelf: &Shelf) -> Vec<Message> {
    let mut plan = Vec::new();
    let mut add = |content, body, stage| plan.push(Message { topic: scope.topic(prefix, content), body, stage });
    if let Some(old) = shelf.offered()
        && (old.id != parcel.id() || parcel.is_whole())
    {
        let id = old.id;
        (0..old.pieces()).for_each(|piece| add(Content::Chunk { id, piece }, Body::Nothing, Stage::OldPieces));
    }
    if parcel.is_whole() {
        if shelf.has_offer() {
            add(Content::Offer, Body::Nothing, Stage::OtherKind);
        }
        if !shelf.holds_set(&parcel.body(Body::Whole)) {
            add(Content::Set, Body::Whole, Stage::Head);
        }
    } else {
        if shelf.has_set() {
            add(Content::Set, Body::Nothing, Stage::OtherKind);
        }
        if !shelf.holds_offer(&parcel.body(Body::Offer)) {
            add(Content::Offer, Body::Offer, Stage::Head);
        }
        let missing = (0..parcel.pieces()).filter(|piece| !shelf.pieces().contains(piece));
        missing.for_each(|piece| {
            add(Content::Chunk { id: parcel.id(), piece }, Body::Piece(piece), Stage::Pieces);
        });
    }
    plan
}

/// What must stand in a scope's topics in the end, as a sample: the head or its offer, and of the pieces the first, for the
/// last may be small enough for a broker that keeps no whole one, and the last.
pub fn proof(scope: &Scope, prefix: &str, parcel: &Parcel) -> Vec<(String, ContentHash)> {
    let (content, body) = if parcel.is_whole() { (Content::Set, Body::Whole) } else { (Content::Offer, Body::Offer) };
    let mut proof = vec![(scope.topic(prefix, content), ContentHash::of(&parcel.body(body)))];
    let ends: BTreeSet<u32> = parcel.pieces().checked_sub(1).into_iter().flat_map(|last| [0, last]).collect();
    for piece in ends {
        let topic = scope.topic(prefix, Content::Chunk { id: parcel.id(), piece });
        proof.push((topic, ContentHash::of(&parcel.body(Body::Piece(piece)))));
    }
    proof
}

/// Bytes of a QoS 1 PUBLISH: fixed header, topic with its length, packet id, payload. TCP and TLS add theirs.
pub fn packet_bytes(topic: &str, payload: usize) -> u64 {
    let rest = 2 + topic.len() + 2 + payload;
    let length = match rest {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    };
    (1 + length + rest) as u64
}

/// Lines that list a plan, a run of pieces as one, and the bytes of all.
pub fn listing(plan: &[Message], parcel: &Parcel) -> (Vec<String>, u64) {
    let bytes = |message: &Message| packet_bytes(&message.topic, parcel.body(message.body).len());
    let total = plan.iter().map(bytes).sum();
    let mut lines = Vec::new();
    for run in plan.chunk_by(|one, next| piece_of(one).is_some() && piece_of(one) == piece_of(next)) {
        let Some(first) = run.first() else { continue };
        let payload: usize = run.iter().map(|message| parcel.body(message.body).len()).sum();
        let what = match first.body {
            Body::Nothing => "cleared".to_owned(),
            _ => format!("{payload} bytes"),
        };
        lines.push(match piece_of(first) {
            Some((base, _)) => {
                let numbers = run.iter().filter_map(|message| number(&message.topic));
                let pieces = if run.len() == 1 { "1 piece".to_owned() } else { format!("{} pieces", run.len()) };
                format!("{base}/{}  {pieces}, {what}", ranges(numbers, 8))
            }
            None => format!("{}  {what}", first.topic),
        });
    }
    (lines, total)
}

/// The topic of a piece without its number, and whether it is cleared; none for other messages.
fn piece_of(message: &Message) -> Option<(&str, bool)> {
    matches!(message.stage, Stage::OldPieces | Stage::Pieces)
        .then(|| message.topic.rsplit_once('/').map(|(base, _)| (base, message.body == Body::Nothing)))?
}

fn number(topic: &str) -> Option<u32> {
    topic.rsplit_once('/').and_then(|(_, number)| number.parse().ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing;
    use super::*;

    fn scope() -> Scope {
        Scope::Group("coast".into())
    }

    fn plan(parcel: &Parcel, shelf: &Shelf) -> Vec<(Stage, Body)> {
        let plan = messages(&scope(), "arcticd", parcel, shelf);
        assert!(plan.is_sorted_by_key(|message| message.stage));
        assert!(plan.iter().all(|message| message.topic.starts_with("arcticd/group/coast/head/")));
        plan.into_iter().map(|message| (message.stage, message.body)).collect()
    }

    #[test]
    fn a_small_head_is_one_message_and_a_large_one_an_offer_and_its_pieces() {
        assert_eq!(plan(&testing::small(), &Shelf::default()), [(Stage::Head, Body::Whole)]);
        let large = testing::large();
        let expected: Vec<_> = std::iter::once((Stage::Head, Body::Offer))
            .chain((0..large.pieces()).map(|piece| (Stage::Pieces, Body::Piece(piece))))
            .collect();
        assert_eq!(plan(&large, &Shelf::default()), expected);
    }

    #[test]
    fn what_the_broker_holds_is_not_sent_again() {
        let large = testing::large();
        let mut shelf = Shelf::default();
        shelf.take(Content::Offer, &large.body(Body::Offer), &large);
        for piece in 1..large.pieces() {
            shelf.take(Content::Chunk { id: large.id(), piece }, &large.body(Body::Piece(piece)), &large);
        }
        assert_eq!(plan(&large, &shelf), [(Stage::Pieces, Body::Piece(0))]);
        shelf.take(Content::Chunk { id: large.id(), piece: 0 }, &large.body(Body::Piece(0)), &large);
        assert_eq!(plan(&large, &shelf), []);
    }

    #[test]
    fn a_superseded_heads_pieces_go_before_its_offer_and_the_other_kind_goes_before_the_head() {
        let (small, large) = (testing::small(), testing::large());
        let mut shelf = Shelf::default();
        shelf.take(Content::Offer, &large.body(Body::Offer), &small);
        let mut expected = vec![(Stage::OldPieces, Body::Nothing); large.pieces() as usize];
        expected.extend([(Stage::OtherKind, Body::Nothing), (Stage::Head, Body::Whole)]);
        assert_eq!(plan(&small, &shelf), expected);
        let mut shelf = Shelf::default();
        shelf.take(Content::Set, &small.body(Body::Whole), &large);
        assert_eq!(plan(&large, &shelf)[0], (Stage::OtherKind, Body::Nothing));
        // The very head that is pushed may lie there as the other kind too.
        let mut shelf = Shelf::default();
        shelf.take(Content::Offer, &small.body(Body::Offer), &small);
        assert_eq!(plan(&small, &shelf).last(), Some(&(Stage::Head, Body::Whole)));
        assert!(plan(&small, &shelf).contains(&(Stage::OldPieces, Body::Nothing)));
    }

    #[test]
    fn a_listing_folds_pieces_and_counts_what_goes_over_the_wire() {
        let large = testing::large();
        let plan = messages(&scope(), "arcticd", &large, &Shelf::default());
        let (lines, bytes) = listing(&plan, &large);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let last = format!("/0-{}  {} pieces, {} bytes", large.pieces() - 1, large.pieces(), large.bytes());
        assert!(lines[1].ends_with(&last), "{lines:?}");
        let payload = large.bytes() + large.body(Body::Offer).len() as u64;
        assert!(bytes > payload && bytes < payload + 130 * plan.len() as u64, "{bytes} for {payload}");
    }

    #[test]
    fn a_packet_has_the_size_that_the_standard_gives_it() {
        // Fixed header 2, topic 2 + 3, id 2, payload 5.
        assert_eq!(packet_bytes("a/b", 5), 14);
        assert_eq!(packet_bytes("a/b", 121), 1 + 2 + 128);
        assert_eq!(packet_bytes("a/b", 32_768), 1 + 3 + 7 + 32_768);
    }
}
