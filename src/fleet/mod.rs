//! `arcticd fleet`: a table of all traps, read from what the broker has retained of them. No trap is asked anything.
//!
//! [`Trap`] is what one trap has said of itself, [`Census`] all of them by name, `table` what a person sees, and [`command`]
//! the command. The connection is that of [`push`](crate::push): a client of its own, without session and last will.
//!
//! Invariant: whatever comes from the broker is bounded, and nothing in it can steer a terminal: names are those that a trap
//! can have, and every text is cleaned where it is taken in. A trap may be a stolen one, and topics are for everybody who
//! may write there.

mod census;
pub mod command;
mod table;
mod trap;

pub use census::Census;
pub(crate) use command::Row;
pub use trap::Trap;
