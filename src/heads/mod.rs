//! Heads as they travel: one signed file, checked before it is parsed.
//!
//! [`bundle`] is the file, [`signature`] and [`keys`] prove who made it, [`canaries`] that this machine computes with it
//! as the maker's did; [`command`] is `arcticd head`.

mod atomic;
pub mod bundle;
pub mod canaries;
pub mod command;
mod error;
pub mod keys;
pub mod signature;
#[cfg(test)]
mod testing;
mod ustar;

pub use bundle::Bundle;
pub use error::BundleError;
