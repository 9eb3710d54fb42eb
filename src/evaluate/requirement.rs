//! A condition that an evaluation has to meet, as `balanced_accuracy>=0.95`.

use std::str::FromStr;

/// A condition that an evaluation has to meet.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    text: String,
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { text: text.to_owned() })
    }
}
