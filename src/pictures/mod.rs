//! Small pictures beside alerts, made of the frame that was decoded anyway. Nothing of the camera's file is in them but
//! pixels: no EXIF, so no place.
//!
//! An alert never waits for its picture, nor is it lost with one: where a picture can't be made, or is over the day's
//! [`Allowance`], the alert goes without. `thumbnail` makes them, [`Pending`] holds the latest of each label until the link
//! has time.

mod allowance;
mod pending;
mod thumbnail;

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

pub use allowance::Allowance;
pub use pending::Pending;
pub use thumbnail::{Bounds, PictureError, thumbnail};

use crate::classifier::guarded;
use crate::frame::Pixels;

/// What the pipeline makes of an alert's pixels.
#[derive(Debug, Clone)]
pub struct Pictures {
    /// How large a picture may be.
    pub bounds: Bounds,
    /// Whether it is in the alert itself.
    pub inline: bool,
    /// Where it waits to be published; none: it is not.
    pub pending: Option<Arc<Pending>>,
    /// What pictures may cost.
    pub allowance: Arc<Allowance>,
}

impl Pictures {
    /// Whether any are made.
    pub fn wanted(&self) -> bool {
        self.inline || self.pending.is_some()
    }

    /// A picture of these pixels; none, with a word in the log, if that fails.
    pub fn of(&self, pixels: &Pixels, name: &str) -> Option<Vec<u8>> {
        let made = guarded("thumbnail", || thumbnail(pixels, self.bounds));
        let reason = match made {
            Ok(Ok(jpeg)) => return Some(jpeg),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        tracing::warn!(frame = name, "the alert goes without a picture: {reason}");
        None
    }
}

/// As it stands in a message.
pub fn in_base64(jpeg: &[u8]) -> String {
    BASE64_STANDARD.encode(jpeg)
}
