//! What is done with networks at a desk, not on a mast: look into them, time them, describe those that users bring.

pub mod add;
pub mod bench;
mod ending;
mod family;
pub mod features;
pub mod inspect;
mod serve;

pub use serve::run as serve;

use std::path::Path;

use anyhow::Result;

use crate::classifier::guarded;
use crate::model::source::{self, Origin};
use crate::model::{Backbone, Engine};

/// Loads the backbone whose manifest `path` names, the built-in one without.
///
/// # Errors
/// Names the file and what is wrong with it.
fn backbone(path: Option<&Path>, float: bool) -> Result<Backbone> {
    let origin = path.map_or(Origin::Builtin, |path| Origin::Path(path.into()));
    let engine = Engine { float, ..source::engine(1)? };
    // A network that makes a library panic is an error like any other.
    guarded("load", || source::backbone_with(&origin, engine))?
}
