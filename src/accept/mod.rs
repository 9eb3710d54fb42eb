//! How a trap comes by a better head: offered over MQTT, proven, tried beside the head that is in service, kept or
//! rolled back. Whatever happens on the way, a head is in service.
//!
//! * [`topics`] names the topics, [`Offer`] is what stands in `head/offer`, [`Report`] what the trap says on `head/state`.
//! * `proof` decides whether a head may come in, `store` keeps its pieces and files, `record` the steps, on disk before
//!   each is taken. `trial` judges a head by the frames that it looked at beside the other.
//! * `Acceptor` is the one thread that walks a head through all of it; [`Inbox`] is its door.
//! * [`Ask`] is what else a trusted key may ask for; `asked` does it, `refit` fits a head here, `export` is a frame's
//!   features as they are published.
//! * [`Judges`] are the heads that look at a frame now: the proven one, and beside it the one that is tried.

mod acceptor;
mod arrive;
mod aside;
pub mod ask;
mod asked;
pub mod command;
pub mod control;
pub mod envelope;
mod export;
pub mod fault;
mod inbox;
pub mod judges;
mod offer;
mod pieces;
mod proof;
mod record;
mod refit;
mod report;
mod resume;
mod service;
mod store;
mod tell;
#[cfg(test)]
pub(crate) mod testing;
pub mod topics;
mod trial;

pub use acceptor::{Acceptor, Configured, Setup};
pub use ask::{Ask, Kind, MAX_ASK};
pub use envelope::Envelope;
pub use export::Exported;
pub use inbox::{Answer, Arrival, Control, Inbox, Input, NewAlerts, Order, Receipt, Request};
pub use judges::{Candidate, Judge, Judges, Observation, Opinion, Seat, Stage};
pub use offer::{MAX_OFFER, Offer, OfferError};
pub use report::{
    AskState, Asked, Decided, HeadFacts, Local, OfferReport, Refusals, Report, Step, TrialReport, ranges,
};
pub use topics::{Address, Content, Doors, Scope};
