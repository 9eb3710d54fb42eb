//! What each fuzz target does with its bytes. Without libFuzzer, so that the project's tests can run every seed, too.
//!
//! A target that panics has found something. [`contained`] is for what the daemon itself runs under `catch_unwind`: there a
//! panic costs one frame or one head, and only what nothing can catch is a find (a stack overflow, an allocation that
//! aborts, no end).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A panic is how a target says that it found something.

mod canaries;
mod config;
mod frame;
mod head;
mod messages;
mod plain;
pub mod seeds;
mod texts;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use canaries::canaries;
pub use config::config;
pub use frame::{exif, frame};
pub use head::{bundle, graph, head, manifest};
pub use messages::messages;
pub use texts::{ask, offer, topic};

/// A target: its name, which is also its folder of seeds, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 12] = [
    ("ask", ask),
    ("bundle", bundle),
    ("canaries", canaries),
    ("config", config),
    ("exif", exif),
    ("frame", frame),
    ("graph", graph),
    ("head", head),
    ("manifest", manifest),
    ("messages", messages),
    ("offer", offer),
    ("topic", topic),
];

/// As the daemon runs decoders and networks of others.
fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
