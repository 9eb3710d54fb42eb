//! Drains the outbox to the broker, and takes pushed heads from it.
//!
//! Delivery is at least once both ways: a message leaves the outbox only on its own PUBACK, and every repeat carries the
//! same id and body; what comes in is acknowledged only when the acceptor says that it is done with it.
//!
//! [`Link`] makes one connection after another, `session` is one of them. `flight` pairs what goes out with its
//! acknowledgements, [`Intake`] takes what comes in to the acceptor, `subscriptions` knows what to listen to, `owed` what
//! the broker is still to be told for it. `reason` says what to do about a connection that failed. `hearing` keeps one
//! message that breaks connections from silencing the trap. [`Windows`] says when the link is open where it is not always,
//! `lull` when there is nothing more to say. [`Extras`] are what goes out beside the outbox when nothing of it waits, and
//! `retained` remembers what of that has to be taken back some day.

mod backoff;
mod extras;
mod flight;
mod hearing;
mod intake;
mod link;
mod lull;
mod options;
mod owed;
mod reason;
mod retained;
mod session;
mod subscriptions;
mod topics;
mod windows;

pub use extras::Extras;
pub use intake::Intake;
pub use link::Link;
pub use options::{OptionsError, connect_options, tls};
pub(crate) use reason::{NO_TLS, explain, names_nobody, speaks_no_tls};
pub use topics::Topics;
pub use windows::Windows;
