//! Which topics heads and requests come in on, and how they are told apart.
//!
//! Below `<prefix>/<trap>/` and `<prefix>/group/<name>/`: `head/set`, `head/offer`, `head/chunk/<id>/<n>`, where `id` is
//! the sha256 of the manifest's exact bytes and `n` counts pieces from 0; and a topic for each [`Kind`] of request.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ask::Kind;
use crate::frame::ContentHash;

/// Who a message is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One trap.
    Trap(String),
    /// All traps of a group.
    Group(String),
}

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A whole head: the bytes of its `.head` file.
    Set,
    /// An [`Offer`](super::Offer).
    Offer,
    /// A piece of the head with this id.
    Chunk {
        /// sha256 of the manifest.
        id: ContentHash,
        /// From 0.
        piece: u32,
    },
    /// A signed request: see [`Ask`](super::Ask).
    Ask(Kind),
}

/// A topic taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Who it is for.
    pub scope: Scope,
    /// What the message holds.
    pub content: Content,
}

/// The topics that one trap listens to.
#[derive(Debug, Clone)]
pub struct Doors {
    prefix: String,
    scopes: Vec<Scope>,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(name) => write!(f, "trap {name}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

impl Scope {
    /// The levels below which its topics lie.
    pub fn base(&self, prefix: &str) -> String {
        match self {
            Self::Trap(name) => format!("{prefix}/{name}"),
            Self::Group(name) => format!("{prefix}/group/{name}"),
        }
    }

    /// Topic of a message for it.
    pub fn topic(&self, prefix: &str, content: Content) -> String {
        let base = self.base(prefix);
        match content {
            Content::Set => format!("{base}/head/set"),
            Content::Offer => format!("{base}/head/offer"),
            Content::Chunk { id, piece } => format!("{base}/head/chunk/{id}/{piece}"),
            Content::Ask(kind) => format!("{base}/{}", kind.topic()),
        }
    }

    /// Filter for all pieces of a head.
    pub fn chunks(&self, prefix: &str, id: &ContentHash) -> String {
        format!("{}/head/chunk/{id}/+", self.base(prefix))
    }
}

impl Doors {
    /// `trap` and `groups` as checked by the configuration.
    pub fn new(prefix: &str, trap: &str, groups: &[String]) -> Self {
        let groups = groups.iter().map(|name| Scope::Group(name.clone()));
        Self {
            prefix: prefix.to_owned(),
            scopes: std::iter::once(Scope::Trap(trap.to_owned())).chain(groups).collect(),
        }
    }

    /// The first level of all topics.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What is always subscribed to; pieces only once their head was accepted.
    pub fn filters(&self) -> Vec<String> {
        let contents = || [Content::Set, Content::Offer].into_iter().chain(Kind::ALL.map(Content::Ask));
        self.scopes.iter().flat_map(|scope| contents().map(|content| scope.topic(&self.prefix, content))).collect()
    }

    /// Takes a topic apart; none if it carries nothing for this trap.
    pub fn parse(&self, topic: &str) -> Option<Address> {
        let rest = |scope: &Scope| {
            let below = topic.strip_prefix(&scope.base(&self.prefix))?.strip_prefix('/')?;
            Some(below.to_owned())
        };
        let (scope, below) = self.scopes.iter().find_map(|scope| Some((scope, rest(scope)?)))?;
        let content = match below.split('/').collect::<Vec<_>>().as_slice() {
            ["head", "set"] => Content::Set,
            ["head", "offer"] => Content::Offer,
            // One way to write an id and a number, so that one piece has one topic.
            ["head", "chunk", id, piece] => {
                let (hash, number): (ContentHash, u32) = (id.parse().ok()?, piece.parse().ok()?);
                if hash.to_string() != *id || number.to_string() != *piece {
                    return None;
                }
                Content::Chunk { id: hash, piece: number }
            }
            _ => Content::Ask(Kind::ALL.into_iter().find(|kind| kind.topic() == below)?),
        };
        Some(Address { scope: scope.clone(), content })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_was_written_is_read_and_no_other() {
        let doors = Doors::new("arcticd", "north", &["coast".to_owned()]);
        let id = ContentHash::of(b"manifest");
        for scope in [Scope::Trap("north".into()), Scope::Group("coast".into())] {
            let contents = [Content::Set, Content::Offer, Content::Chunk { id, piece: 17 }];
            for content in contents.into_iter().chain(Kind::ALL.map(Content::Ask)) {
                let topic = scope.topic("arcticd", content);
                assert_eq!(doors.parse(&topic), Some(Address { scope: scope.clone(), content }), "{topic}");
            }
        }
        let chunk = |piece: &str| format!("arcticd/north/head/chunk/{id}/{piece}");
        for topic in [
            "arcticd/south/head/offer".to_owned(),
            "arcticd/group/north/head/offer".to_owned(),
            "arcticd/northern/head/offer".to_owned(),
            "arcticd/north/head/state".to_owned(),
            "arcticd/north/label/set/more".to_owned(),
            format!("arcticd/north/features/{id}"),
            "arcticd/north".to_owned(),
            "arcticd/north/head/chunk/abc/0".to_owned(),
            chunk("0").to_uppercase().replace("ARCTICD/NORTH/HEAD/CHUNK", "arcticd/north/head/chunk"),
            chunk("-1"),
            chunk("+1"),
            chunk("01"),
            chunk("4294967296"),
            chunk("1/2"),
        ] {
            assert_eq!(doors.parse(&topic), None, "{topic}");
        }
    }
}
