//! Trains a head on folders of photos: features once, then layers, threshold, novelty, report. At a desk, never in the
//! daemon.

pub mod background;
mod calibrate;
pub mod command;
mod cross_validation;
mod fit;
#[cfg(test)]
mod fit_tests;
mod learner;
mod linear;
mod metrics;
#[cfg(feature = "train")]
mod mlp;
mod network;
mod novelty;
mod novelty_choice;
mod operating_point;
mod options;
mod parallel;
mod rows;
mod space;
#[cfg(test)]
mod testing;

pub use fit::{FitError, FitOptions, Outcome, Progress, fit, is_background};
pub use options::{FalseAlerts, Goal, Layers};
pub use rows::{Dataset, Rows};
