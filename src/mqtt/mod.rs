//! Drains the outbox to the broker. Delivery is at least once: a message leaves the outbox only on its own PUBACK, and
//! every repeat carries the same id and body.

mod backoff;
mod flight;
mod link;
mod options;
mod topics;

pub use link::Link;
pub(crate) use link::explain;
pub use options::{OptionsError, connect_options, tls};
pub use topics::Topics;
