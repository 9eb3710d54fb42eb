//! Heads as they travel: one signed file, checked before it is parsed.
//!
//! [`bundle`] is the file, [`signature`] and [`keys`] prove who made it, [`canaries`] that this machine computes with it
//! as the maker's did; [`command`] is `arcticd head`. `outside` brings networks of other tools into the form of a head, for `pack`.

mod atomic;
pub mod bundle;
pub mod canaries;
pub mod command;
mod error;
pub mod keys;
mod outside;
mod pack;
pub mod signature;
#[cfg(test)]
mod testing;
mod ustar;

pub use bundle::Bundle;
pub use error::BundleError;
