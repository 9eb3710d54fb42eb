//! Values of the command line that have a form of their own.

use std::str::FromStr;

/// Which layers are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    /// One dense layer with a softmax: multinomial logistic regression, L2 chosen by cross-validation.
    Linear,
    /// Dense(`units`, relu), Dense(classes, softmax), by Adam.
    Mlp {
        /// Width of the hidden layer, 1 to 65536.
        units: usize,
    },
}

impl FromStr for Layers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = text.strip_prefix("mlp:").and_then(|units| units.parse().ok());
        match (text, units) {
            ("linear", _) => Ok(Self::Linear),
            (_, Some(units @ 1..=65_536)) => Ok(Self::Mlp { units }),
            _ => Err("not `linear`, nor `mlp:N` with N from 1 to 65536".to_owned()),
        }
    }
}

/// How many false alerts are acceptable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FalseAlerts {
    /// Share of frames without the animal, 0 to 1.
    Share(f64),
    /// A day; needs to know how many frames a trap takes.
    PerDay(f64),
}

impl FromStr for FalseAlerts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "not a share from 0 to 1, nor COUNT/day".to_owned();
        let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0).ok_or_else(wrong);
        match text.strip_suffix("/day") {
            Some(count) => Ok(Self::PerDay(number(count)?)),
            None => Some(number(text)?).filter(|share| *share <= 1.0).map(Self::Share).ok_or_else(wrong),
        }
    }
}
