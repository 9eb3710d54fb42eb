//! `arcticd head push`: a head on its way from the scientist's desk to traps, over any MQTT broker.
//!
//! * `settings` is which broker and how; `wire` one connection after another to it; `gather` what it holds, asked for;
//!   `rights` what this user may not do there.
//! * [`Parcel`] is the head as it travels, [`Shelf`] what the broker holds in a scope's topics, and `plan` what has to be
//!   published to get from one to the other; `deliver` does it, as fast as the link takes it.
//! * [`Fleet`] is what the traps say; [`foresee`] what they will say; `table` and `screen` show it.
//! * [`asking`] is `arcticd head ask`: a signed request, and the traps' answers.
//! * `course` walks through all of it, [`command`] and [`clear`] are the commands.
//!
//! Invariant: pieces that the broker holds belong to the head that its `head/offer` names. So an offer is published before
//! its pieces, and a superseded head's pieces are cleared before its offer goes: whenever this is interrupted, the next
//! push knows what lies there.

pub mod asking;
pub mod clear;
pub mod command;
mod course;
mod deliver;
mod fleet;
mod foresight;
pub(crate) mod gather;
mod outcome;
mod parcel;
mod plan;
mod rights;
mod screen;
pub(crate) mod settings;
mod shelf;
pub(crate) mod table;
mod window;
pub(crate) mod wire;

#[cfg(test)]
mod testing;

pub use fleet::{Fleet, Verdict};
pub use foresight::{Foresight, foresee};
pub(crate) use outcome::Outcome;
pub use parcel::{Parcel, ParcelError};
pub use shelf::Shelf;
