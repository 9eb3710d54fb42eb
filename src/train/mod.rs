//! Trains a head on folders of photos: features once, then layers, threshold, novelty, report. At a desk, never in the
//! daemon.
//!
//! * [`Folders`] are photos on disk, [`Extractor`] makes a [`Dataset`] of them: features of each photo and of changed
//!   `views` of it, kept in a [`Cache`], or what traps have `exported` of them; `duplicates` and `split` keep near-duplicates on one side.
//! * [`fit()`] makes a head of a dataset: `cross_validation` over `linear` or `mlp`, `calibrate`, `operating_point`,
//!   `novelty`; `network` writes it as ONNX, `notes` says what not to rely on.
//! * [`background`] stands in where there are no photos without an animal.
//! * [`command`] joins them, `report` tells how it went.

pub mod background;
mod cache;
mod calibrate;
pub mod command;
mod cross_validation;
mod duplicates;
mod exported;
mod features;
mod fit;
#[cfg(test)]
mod fit_tests;
mod folders;
mod learner;
mod linear;
mod metrics;
#[cfg(feature = "train")]
mod mlp;
mod network;
mod notes;
mod novelty;
mod novelty_choice;
mod operating_point;
mod options;
mod parallel;
mod report;
mod rows;
mod space;
mod split;
#[cfg(test)]
mod testing;
mod views;

pub use cache::Cache;
pub use features::{Extractor, Features, bytes_needed};
pub use fit::{FitError, FitOptions, Outcome, Progress, fit};
pub use folders::{Folders, FoldersError, Labelled};
pub(crate) use operating_point::threshold_at;
pub use options::{FalseAlerts, Goal, Layers};
pub use rows::{Dataset, Rows};
