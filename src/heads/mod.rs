//! Heads as they travel: one signed file, checked before it is parsed.
//!
//! [`bundle`] is the file, [`signature`] and [`keys`] prove who made it, [`canaries`] that this machine computes with it
//! as the maker's did. [`LocalHead`] is a head on this machine, as a file or unpacked; `outside` brings networks of other
//! tools into the form of a head, for `pack`; [`command`] is `arcticd head`.

pub mod bundle;
pub mod canaries;
pub mod command;
mod error;
mod inspect;
pub mod keys;
mod local;
pub mod outside;
mod pack;
mod secret;
pub mod signature;
#[cfg(test)]
mod testing;
mod ustar;

pub use bundle::Bundle;
pub use error::BundleError;
pub use keys::TrustedKeys;
pub use local::LocalHead;
