//! Heads as they travel: one signed file, checked before it is parsed.

pub mod command;
