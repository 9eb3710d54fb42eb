//! What whoever holds a trusted key may ask of a trap besides taking a head: labels for frames that it kept, a refit, the
//! features of frames, to forget a head.
//!
//! The payload is an [`Envelope`]; its message is JSON, parsed only once the signature holds:
//! `{"format": 1, "kind": KIND, "audience": [NAME...], "sequence": N, ...}` with
//! * `labels`: `"labels": [{"frame": SHA256, "label": NAME}...]`,
//! * `features`: `"frames": [SHA256...]`, or `"where": "novel" | "alert" | "unsure"` and `"limit": N`,
//! * `forget`: `"heads": [ID...]`,
//! * `refit`: nothing more.
//!
//! Each kind counts for itself: a trap takes only sequences above the last one that it took of that kind.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::envelope::{Envelope, EnvelopeError};
use crate::contract::words;
use crate::frame::ContentHash;
use crate::heads::signature::KeyId;
use crate::heads::{BundleError, TrustedKeys};
use crate::journal::Which;
use crate::model::is_label;

/// Largest message, in bytes: a thousand labels fit.
const MAX_MESSAGE: usize = 128 << 10;
/// Largest payload, in bytes.
pub const MAX_ASK: usize = Envelope::most(MAX_MESSAGE);
/// Most labels in one message.
pub const MAX_LABELS: usize = 1_000;
/// Most frames whose features one message asks for.
pub const MAX_FRAMES: usize = 100;
/// Most heads that one message lets be forgotten.
pub const MAX_HEADS: usize = 64;
/// Longest label, in bytes.
const MAX_LABEL: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What is on frames that the trap kept.
    Labels,
    /// A head fitted on them.
    Refit,
    /// Frames' features.
    Features,
    /// Heads that must never serve again.
    Forget,
}

/// A frame and what is on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrameLabel {
    /// sha256 of the file, as in a detection.
    pub frame: ContentHash,
    /// `[a-z0-9_]+`.
    #[schemars(regex(pattern = words::LABEL), length(max = MAX_LABEL))]
    pub label: String,
}

/// Whose features are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These frames.
    Frames(Vec<ContentHash>),
    /// So many that the trap chooses.
    Some(Which, u32),
}

/// What is asked, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// See [`Kind::Labels`].
    Labels(Vec<FrameLabel>),
    /// See [`Kind::Refit`].
    Refit,
    /// See [`Kind::Features`].
    Features(Wanted),
    /// See [`Kind::Forget`].
    Forget(Vec<ContentHash>),
}

/// A signed message's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Traps and groups that it is meant for; empty: all.
    pub audience: Vec<String>,
    /// Grows with each message of its kind.
    pub sequence: u64,
    /// What is asked.
    pub what: What,
}

/// A message whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its content.
    pub ask: Ask,
    /// Who signed it.
    pub key: KeyId,
    /// sha256 of the message's bytes.
    pub id: ContentHash,
}

/// Why a message is not looked at any further.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not even an envelope.
    #[error("{0}; ask with `arcticd head ask`")]
    Envelope(#[from] EnvelopeError),
    /// Nobody who may ask has signed it.
    #[error(transparent)]
    Proof(#[from] BundleError),
    /// Well signed, but not understood.
    #[error("its message is wrong: {0}")]
    Message(String),
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    /// Version of the message, 1.
    #[schemars(extend("const" = 1))]
    format: u32,
    /// What is asked: decides which of the other fields are there.
    #[schemars(required)]
    kind: Option<Kind>,
    /// Traps and groups that it is meant for; empty: all.
    #[serde(default)]
    audience: Vec<String>,
    /// Above the last one that the trap took of this kind.
    sequence: u64,
    /// With `labels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_LABELS))]
    labels: Option<Vec<FrameLabel>>,
    /// With `features`: of these frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_FRAMES))]
    frames: Option<Vec<ContentHash>>,
    /// With `features`: of frames that the trap chooses so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#where: Option<Which>,
    /// With `where`: of at most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_FRAMES))]
    limit: Option<u32>,
    /// With `forget`: their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_HEADS))]
    heads: Option<Vec<ContentHash>>,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Labels, Self::Refit, Self::Features, Self::Forget];

    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Refit => "refit",
            Self::Features => "features",
            Self::Forget => "forget",
        }
    }

    /// The levels of its topic below trap or group.
    pub fn topic(self) -> &'static str {
        match self {
            Self::Labels => "label/set",
            Self::Refit => "head/refit",
            Self::Features => "features/get",
            Self::Forget => "head/forget",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl What {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Labels(_) => Kind::Labels,
            Self::Refit => Kind::Refit,
            Self::Features(_) => Kind::Features,
            Self::Forget(_) => Kind::Forget,
        }
    }
}

impl Ask {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.what.kind()
    }

    /// The message's bytes, to be signed.
    pub fn encode(&self) -> Vec<u8> {
        let mut written = Written {
            format: 1,
            kind: Some(self.kind()),
            audience: self.audience.clone(),
            sequence: self.sequence,
            ..Written::default()
        };
        match self.what.clone() {
            What::Labels(labels) => written.labels = Some(labels),
            What::Refit => {}
            What::Features(Wanted::Frames(frames)) => written.frames = Some(frames),
            What::Features(Wanted::Some(which, limit)) => {
                (written.r#where, written.limit) = (Some(which), Some(limit));
            }
            What::Forget(heads) => written.heads = Some(heads),
        }
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Opens a payload whose signature holds for one of `keys`.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn open(payload: &[u8], keys: &TrustedKeys) -> Result<Opened, AskError> {
        let envelope = Envelope::decode(payload, MAX_ASK)?;
        let key = envelope.verify(keys)?;
        let id = ContentHash::of(&envelope.message);
        Ok(Opened { ask: Self::parse(&envelope.message)?, key, id })
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`AskError::Message`] for what is missing, too much, or belongs to another kind.
    pub fn parse(message: &[u8]) -> Result<Self, AskError> {
        let wrong = |problem: String| Err(AskError::Message(problem));
        if message.len() > MAX_MESSAGE {
            return wrong(format!("{} bytes are more than {MAX_MESSAGE}", message.len()));
        }
        let written: Written = serde_json::from_slice(message).map_err(|error| AskError::Message(error.to_string()))?;
        let Written { format, kind, audience, sequence, labels, frames, r#where, limit, heads } = written;
        if format != 1 {
            return wrong(format!("it has format {format}, this version reads 1; or update arcticd"));
        }
        let what = match (kind, labels, frames, r#where, limit, heads) {
            (Some(Kind::Labels), Some(labels), None, None, None, None) => What::Labels(labels),
            (Some(Kind::Refit), None, None, None, None, None) => What::Refit,
            (Some(Kind::Features), None, Some(frames), None, None, None) => What::Features(Wanted::Frames(frames)),
            (Some(Kind::Features), None, None, Some(which), Some(limit), None) => {
                What::Features(Wanted::Some(which, limit))
            }
            (Some(Kind::Forget), None, None, None, None, Some(heads)) => What::Forget(heads),
            _ => return wrong("its fields are not those of its kind".into()),
        };
        let (count, most) = match &what {
            What::Labels(labels) => (labels.len(), MAX_LABELS),
            What::Refit => (1, 1),
            What::Features(Wanted::Frames(frames)) => (frames.len(), MAX_FRAMES),
            What::Features(Wanted::Some(_, limit)) => (*limit as usize, MAX_FRAMES),
            What::Forget(heads) => (heads.len(), MAX_HEADS),
        };
        if !(1..=most).contains(&count) {
            return wrong(format!("it is about {count}; 1 to {most} are allowed"));
        }
        if let What::Labels(labels) = &what
            && let Some(FrameLabel { label, .. }) =
                labels.iter().find(|it| !is_label(&it.label) || it.label.len() > MAX_LABEL)
        {
            return wrong(format!("label {label:?} must match [a-z0-9_]+ and have at most {MAX_LABEL} bytes"));
        }
        Ok(Self { audience, sequence, what })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ask(what: What) -> Ask {
        Ask { audience: vec!["north".into()], sequence: 7, what }
    }

    fn frames(count: usize) -> Vec<ContentHash> {
        (0..count).map(|number| ContentHash::of(&number.to_le_bytes())).collect()
    }

    fn labels(count: usize, label: &str) -> What {
        let labelled = |frame| FrameLabel { frame, label: label.to_owned() };
        What::Labels(frames(count).into_iter().map(labelled).collect())
    }

    #[test]
    fn what_is_asked_is_read_as_it_was_written() {
        for what in [
            labels(MAX_LABELS, "polar_bear"),
            What::Refit,
            What::Features(Wanted::Frames(frames(MAX_FRAMES))),
            What::Features(Wanted::Some(Which::Unsure, 5)),
            What::Forget(frames(MAX_HEADS)),
        ] {
            assert_eq!(Ask::parse(&ask(what.clone()).encode()).unwrap(), ask(what));
        }
    }

    #[test]
    fn nothing_without_bounds_or_with_fields_of_another_kind_is_read() {
        for what in [
            labels(0, "fox"),
            labels(MAX_LABELS + 1, "fox"),
            labels(1, "no label"),
            labels(1, &"a".repeat(65)),
            What::Features(Wanted::Frames(frames(MAX_FRAMES + 1))),
            What::Features(Wanted::Some(Which::Alert, 0)),
            What::Features(Wanted::Some(Which::Alert, u32::MAX)),
            What::Forget(frames(MAX_HEADS + 1)),
        ] {
            assert!(Ask::parse(&ask(what).encode()).is_err());
        }
        let good = String::from_utf8(ask(What::Refit).encode()).unwrap();
        assert!(Ask::parse(good.as_bytes()).is_ok());
        for wrong in [
            good.replace("\"format\":1", "\"format\":2"),
            good.replace("refit", "features"),
            good.replace("refit", "reboot"),
            good.replace('}', ",\"heads\":[]}"),
            good.replace('}', ",\"also\":1}"),
            good.replace("\"kind\":\"refit\",", ""),
            good.replace("\"sequence\":7", "\"sequence\":-1"),
        ] {
            assert!(Ask::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
