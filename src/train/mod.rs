//! Trains a head on folders of photos: features once, then layers, threshold, novelty, report. At a desk, never in the
//! daemon.

mod cache;
pub mod command;
mod duplicates;
mod features;
mod folders;
mod options;
mod rows;
mod split;
mod views;

pub use cache::Cache;
pub use features::{Extractor, Features, bytes_needed};
pub use folders::{Folders, FoldersError, Labelled};
pub use options::{FalseAlerts, Layers};
pub use rows::{Dataset, Rows};
