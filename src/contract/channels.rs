//! Every topic, with who publishes to it and how: named by the same functions as the daemon's own.

use super::words;
use crate::accept::{Content, Kind, Scope};
use crate::frame::ContentHash;
use crate::home;
use crate::mqtt::Topics;

/// Who publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The trap.
    Trap,
    /// Somebody, for the trap.
    Desk,
    /// `arcticd check`, on the trap's machine.
    Check,
}

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// JSON of this kind.
    Json(&'static str),
    /// JSON that others define.
    ForeignJson,
    /// Text that matches this pattern.
    Text(&'static str),
    /// Bytes of this media type.
    Bytes(&'static str),
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// A word for it, in camel case.
    pub name: &'static str,
    /// With parameters in braces.
    pub topic: String,
    /// Who publishes.
    pub from: From,
    /// Whether the broker keeps the last one.
    pub retain: bool,
    /// What is published.
    pub payload: Payload,
    /// What it is.
    pub about: &'static str,
}

/// Parameters of topics: name and meaning.
pub const PARAMETERS: [(&str, &str); 8] = [
    ("prefix", "`mqtt.prefix`, `arcticd` unless configured."),
    ("trap", "Name of the trap."),
    ("group", "Name of a group of traps."),
    ("label", "A label of the head in service that alerts."),
    ("frame", "sha256 of the frame's file."),
    ("head", "sha256 of the head's manifest."),
    ("piece", "Number of the piece, from 0."),
    ("discovery", "`homeassistant.prefix`, `homeassistant` unless configured."),
];

/// All topics.
pub fn all() -> Vec<Channel> {
    let topics = Topics::new("{prefix}", "{trap}");
    let trap = |name, topic, retain, payload, about| Channel { name, topic, from: From::Trap, retain, payload, about };
    let mut all = vec![
        trap(
            "availability",
            topics.availability(),
            true,
            Payload::Text(words::AVAILABILITY),
            "`online`; `stopped` after a clean stop; `offline`, the last will; `asleep until ...`, where the link is open in windows.",
        ),
        trap(
            "detection",
            topics.of("detection"),
            false,
            Payload::Json("detection"),
            "An alert, or the summary of an event.",
        ),
        trap("health", topics.health(), true, Payload::Json("health"), "A heartbeat that proves work."),
        trap(
            "headState",
            topics.of("head/state"),
            true,
            Payload::Json("head-state"),
            "Heads, and what became of pushed ones.",
        ),
        trap(
            "features",
            topics.of("features/{frame}"),
            false,
            Payload::Json("features"),
            "What the backbone saw in a frame, for whoever asked; numbered in the same row as detections.",
        ),
        trap(
            "snapshot",
            topics.snapshot("{label}"),
            true,
            Payload::Bytes("image/jpeg"),
            "The picture of the last alert with this label, with `pictures.snapshot`.",
        ),
        trap(
            "discovery",
            home::topic("{discovery}", &home::id("{prefix}", "{trap}")),
            true,
            Payload::ForeignJson,
            "MQTT discovery of Home Assistant, with `homeassistant.enabled`.",
        ),
        Channel {
            name: "check",
            topic: topics.check(),
            from: From::Check,
            retain: false,
            payload: Payload::Text("^check$"),
            about: "A test message of `arcticd check`; ignore it.",
        },
        Channel {
            name: "birth",
            topic: home::birth_topic("{discovery}"),
            from: From::Desk,
            retain: false,
            payload: Payload::Text("^(online|offline)$"),
            about: "Home Assistant's birth message, on which discovery is published again.",
        },
    ];
    all.extend(doors(&Scope::Trap("{trap}".into()), |door| door.trap));
    all.extend(doors(&Scope::Group("{group}".into()), |door| door.group));
    all
}

struct Door {
    trap: &'static str,
    group: &'static str,
    retain: bool,
    payload: Payload,
    about: &'static str,
}

/// What comes in at a trap or a group.
fn doors<'s>(scope: &'s Scope, name: impl Fn(&Door) -> &'static str + 's) -> impl Iterator<Item = Channel> + 's {
    let chunk = Content::Chunk { id: ContentHash::of(b""), piece: 0 };
    let asks = Kind::ALL.map(Content::Ask);
    [Content::Set, Content::Offer, chunk].into_iter().chain(asks).map(move |content| {
        let door = door(content);
        let mut topic = scope.topic("{prefix}", content);
        if let Content::Chunk { id, piece } = content {
            topic = topic.replace(&format!("{id}/{piece}"), "{head}/{piece}");
        }
        let Door { retain, payload, about, .. } = door;
        Channel { name: name(&door), topic, from: From::Desk, retain, payload, about }
    })
}

fn door(content: Content) -> Door {
    let request = |trap, group, about| Door { trap, group, retain: false, payload: Payload::Json("request"), about };
    match content {
        Content::Set => Door {
            trap: "headSet",
            group: "groupHeadSet",
            retain: true,
            payload: Payload::Bytes("application/x-tar"),
            about: "A whole `.head` file.",
        },
        Content::Offer => Door {
            trap: "headOffer",
            group: "groupHeadOffer",
            retain: true,
            payload: Payload::Json("head-offer"),
            about: "Manifest and signature of a head whose pieces are on `head/chunk`.",
        },
        Content::Chunk { .. } => Door {
            trap: "headChunk",
            group: "groupHeadChunk",
            retain: true,
            payload: Payload::Bytes("application/octet-stream"),
            about: "A piece of an offered head; a trap subscribes to those of a head that it accepted.",
        },
        Content::Ask(Kind::Labels) => {
            request("labelSet", "groupLabelSet", "What is on frames whose features the trap keeps.")
        }
        Content::Ask(Kind::Refit) => request("headRefit", "groupHeadRefit", "Fit a head on the labelled frames."),
        Content::Ask(Kind::Features) => request("featuresGet", "groupFeaturesGet", "Publish features of frames."),
        Content::Ask(Kind::Forget) => request("headForget", "groupHeadForget", "Take heads out of service for ever."),
    }
}
