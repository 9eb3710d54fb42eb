//! Decides what alerts ([`rules`]) and which frames are one event ([`event`]). Pure: no clock, no journal.

pub mod event;
pub mod rules;

pub use event::{Event, Sighting};
pub use rules::{Rules, RulesError, Verdict};
