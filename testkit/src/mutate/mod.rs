//! What an attacker, a broken disk or a bad line may make of a head on its way: thousands of mutations by number, the
//! same ones for the same seed.
//!
//! A mutation is never the true thing in other words: each differs in what counts, and a trap must take none of them.

mod archive;
mod bundle;
mod bytes;
mod offer;
mod signed;
mod transfer;

use anyhow::{Context, Result};
use arcticd::accept::{Content, Offer};
use arcticd::heads::Bundle;

use crate::head::signed::{self as head, Maker, Mind};
use crate::scenes::random::{Random, hash};

/// Tries to find a mutation that differs from the true thing.
const TRIES: u64 = 1_000;

/// What is sent to a trap.
#[derive(Debug, Clone, PartialEq)]
pub enum Attack {
    /// A message.
    Message(Content, Vec<u8>),
    /// A message on a topic that somebody wrote by hand, below `<prefix>/<trap>/head/`.
    Topic(String, Vec<u8>),
    /// A message of so many bytes, over the limit; the link hands on nothing but their number.
    TooLarge(Content, usize),
}

/// A mutation.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutation {
    /// What was done.
    pub kind: &'static str,
    /// Whether a trusted key signed it.
    pub signed: bool,
    /// What is sent.
    pub attack: Attack,
}

/// What mutations are made of.
pub struct Material {
    /// A valid head.
    pub good: Bundle,
    /// Its file.
    file: Vec<u8>,
    /// Its offer.
    offer: Offer,
    /// Its pieces.
    pieces: Vec<Vec<u8>>,
    /// Another valid head of the same maker, which the trap took before: its sequence is the floor.
    older: Bundle,
    /// Signs what traps believe.
    ours: Maker,
    /// Signs what they do not.
    stranger: Maker,
}

type Make = fn(&Material, &mut Random) -> Result<Option<Attack>>;

impl Material {
    /// `good` and `older` must both be signed by `ours`.
    ///
    /// # Errors
    /// They are unsigned, or the system has no random numbers.
    pub fn new(ours: Maker, good: Bundle, older: Bundle) -> Result<Self> {
        let (file, offer, pieces) = (head::file(&good)?, head::offer(&good)?, head::pieces(&good));
        Ok(Self { file, offer, pieces, good, older, ours, stranger: Maker::new()? })
    }

    /// The mutation with this number; kinds take turns.
    ///
    /// # Errors
    /// Something can't be signed.
    pub fn mutation(&self, seed: u64, number: u64) -> Result<Mutation> {
        let kinds = bundle::KINDS.iter().chain(offer::KINDS).chain(transfer::KINDS).map(|kind| (false, kind));
        let kinds: Vec<_> = kinds.chain(signed::KINDS.iter().map(|kind| (true, kind))).collect();
        let (signed, (kind, make)) =
            kinds.get(number as usize % kinds.len()).map(|(signed, kind)| (*signed, *kind)).context("no kinds")?;
        for attempt in 0..TRIES {
            let mut random = Random::new(hash(seed) ^ hash(number) ^ attempt);
            if let Some(attack) = make(self, &mut random)?
                && self.differs(&attack)
            {
                return Ok(Mutation { kind, signed, attack });
            }
        }
        anyhow::bail!("no mutation of kind `{kind}` differs from the true head")
    }

    /// Heads that a trusted key signed and that are good for nothing: their networks are noise, their canaries another
    /// head's. Only loading them tells.
    ///
    /// # Errors
    /// Something can't be signed.
    pub fn nonsense(&self, seed: u64, number: u64, sequence: u64) -> Result<(&'static str, Vec<u8>)> {
        let mut random = Random::new(hash(seed) ^ hash(number));
        signed::nonsense(self, &mut random, number, sequence)
    }

    /// Whether it is not the true head in other words.
    fn differs(&self, attack: &Attack) -> bool {
        match attack {
            Attack::Message(Content::Set, bytes) => *bytes != self.file,
            Attack::Message(Content::Offer, bytes) => !Offer::decode(bytes).is_ok_and(|offer| offer == self.offer),
            Attack::Message(Content::Chunk { id, piece }, bytes) => {
                *id != self.offer.id() || self.pieces.get(*piece as usize) != Some(bytes)
            }
            Attack::Topic(below, bytes) => {
                let piece = |piece: usize| format!("chunk/{}/{piece}", self.offer.id());
                let true_piece = self.pieces.iter().enumerate().any(|(at, it)| it == bytes && piece(at) == *below);
                !true_piece && below != "set" && below != "offer"
            }
            Attack::Message(Content::Ask(_), _) | Attack::TooLarge(..) => true,
        }
    }
}

/// A head of the built-in backbone with so many bytes of weights, that sees bears with this probability everywhere.
///
/// # Errors
/// As [`Maker::head`].
pub fn steady(maker: &Maker, bear: f32, sequence: u64) -> Result<Bundle> {
    let mind = Mind::Always(vec![("polar_bear".into(), bear), ("other".into(), 1.0 - bear)]);
    maker.head(&mind, sequence, |_| {})
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_mutation_is_the_same_for_the_same_seed_and_kinds_take_turns() {
        let ours = Maker::new().unwrap();
        let (good, older) = (steady(&ours, 0.9, 6).unwrap(), steady(&ours, 0.8, 5).unwrap());
        let material = Material::new(ours, good, older).unwrap();
        let mut kinds = std::collections::BTreeSet::new();
        for number in 0..100 {
            let mutation = material.mutation(1, number).unwrap();
            kinds.insert(mutation.kind);
            // Signatures hold random numbers.
            if !mutation.signed && !mutation.kind.contains("key") {
                assert_eq!(material.mutation(1, number).unwrap(), mutation, "{}", mutation.kind);
            }
        }
        assert!(kinds.len() > 40, "{kinds:?}");
    }
}
