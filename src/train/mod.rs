//! Trains a head on folders of photos: features once, then layers, threshold, novelty, report. At a desk, never in the
//! daemon.

pub mod command;
mod options;
mod rows;

pub use options::{FalseAlerts, Layers};
pub use rows::{Dataset, Rows};
