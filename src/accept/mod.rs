//! How a trap comes by a better head: offered over MQTT, proven, tried beside the head that is in service, kept or
//! rolled back. Whatever happens on the way, a head is in service.
//!
//! * [`topics`] names the topics, [`Offer`] is what stands in `head/offer`, [`Report`] what the trap says on `head/state`.
//! * `proof` decides whether a head may come in, `store` keeps its pieces and files, `record` the steps, on disk before
//!   each is taken. `trial` judges a head by the frames that it looked at beside the other.
//! * `Acceptor` is the one thread that walks a head through all of it; [`Inbox`] is its door.
//! * [`Judges`] are the heads that look at a frame now: the proven one, and beside it the one that is tried.

mod inbox;
pub mod judges;
mod offer;
mod report;
pub mod topics;

pub use inbox::{Arrival, Inbox, Order, Receipt};
pub use judges::{Candidate, Judge, Judges, Observation, Seat, Stage};
pub use offer::{MAX_OFFER, Offer, OfferError};
pub use report::{HeadFacts, OfferReport, Refusals, Report, Step, TrialReport, ranges};
pub use topics::{Address, Content, Doors, Scope};
