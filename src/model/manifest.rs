//! What a backbone and a head say of themselves.

mod backbone;
mod head;

pub use backbone::{BackboneManifest, Channels, Input, Layout, Output, Pooling, SelfTest};
pub use head::{Chunks, FileDigest, HeadBackbone, HeadManifest, Label, Novelty, NoveltyMethod, TrainedOn};

/// Why a manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the expected TOML or JSON.
    #[error("the {what} manifest can't be read: {reason}")]
    Syntax {
        /// `backbone` or `head`.
        what: &'static str,
        /// The parser's message.
        reason: String,
    },
    /// A value out of its range.
    #[error("the {what} manifest: `{key}` {problem}")]
    Value {
        /// `backbone` or `head`.
        what: &'static str,
        /// The key's path.
        key: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

/// Whether `text` can name a head or a backbone: `[a-z0-9.-]+`.
pub fn is_name(text: &str) -> bool {
    is_of(text, b".-")
}

/// Whether `text` can name a trap or a group: `[a-z0-9-]+`.
fn is_trap(text: &str) -> bool {
    is_of(text, b"-")
}

/// Whether `text` can stand in topics and payloads as a label: `[a-z0-9_]+`.
pub fn is_label(text: &str) -> bool {
    is_of(text, b"_")
}

/// Whether `text` is made of small letters, digits and these.
fn is_of(text: &str, others: &[u8]) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || others.contains(&b))
}

/// Whether a label or a folder with this name holds what is no animal, unless something else is said: `other` and its
/// like, as camera-trap data sets call it.
pub fn is_background(label: &str) -> bool {
    const NAMES: [&str; 11] = [
        "other",
        "others",
        "background",
        "empty",
        "none",
        "blank",
        "nothing",
        "negative",
        "no_animal",
        "false_trigger",
        "vegetation",
    ];
    NAMES.contains(&label)
}
