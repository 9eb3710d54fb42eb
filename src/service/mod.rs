//! What a service manager hears of the daemon, and what it may ask: ready, status, watchdog, reload, stop.
//!
//! * [`Manager`] speaks systemd's notify protocol, or to nobody.
//! * [`Watchdog`] pings for the pipeline's own progress: frames that were dealt with, or a picture of its own while none
//!   come. It keeps still when a thread beside it breaks its [`Pulse`]'s promise. No timer pings.
//! * [`Progress`] is when it last did so, for the status page.
//! * [`Teller`] writes the status line.
//! * [`Reload`] reads the configuration again on SIGHUP; the alert rules change at once, the rest at the next start.

pub mod fault;
mod manager;
mod progress;
mod pulse;
mod reload;
mod telling;
mod watchdog;

pub use manager::Manager;
pub use progress::{OWN_INTERVAL, Progress};
pub use pulse::Pulse;
pub use reload::{Reload, renew};
pub use telling::Teller;
pub use watchdog::{SELF_TEST, Watchdog};
