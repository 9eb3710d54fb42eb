//! Decides what alerts ([`rules`]), which frames are one event ([`event`]) and what is said of it ([`burst`]). Pure: no
//! clock, no journal.

pub mod burst;
pub mod event;
pub mod rules;

pub use burst::StoredEvent;
pub use event::{Event, Sighting};
pub use rules::{Rules, RulesError, Verdict};
