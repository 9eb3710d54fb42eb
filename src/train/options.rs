//! Values of the command line that have a form of their own.

use std::fmt::{Display, Formatter};
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

/// What a threshold is chosen for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// At least this share of the label's photos alerts, 0 to 1.
    MinRecall(f64),
    /// At most this share of all other photos alerts, 0 to 1.
    MaxFalseAlerts(f64),
}

impl Default for Goal {
    fn default() -> Self {
        Self::MinRecall(0.95)
    }
}

impl Display for Goal {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MinRecall(share) => write!(f, "at least {} % found", percent(*share)),
            Self::MaxFalseAlerts(share) => write!(f, "at most {} % false alerts", percent(*share)),
        }
    }
}

fn percent(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

impl Layers {
    /// Bytes that fitting needs at most beside the program: `rows` rows of `features` features, of which `photos` are
    /// photos themselves; weights with Adam's two moments, then the file that is made of them.
    pub fn training_bytes(self, features: u64, classes: u64, rows: u64, photos: u64) -> u64 {
        const FLOAT: u64 = 4;
        let own = rows.saturating_mul(features).saturating_mul(FLOAT);
        // Coordinates: as wide as the features or as there are rows; with their Gram matrix in double width.
        let space = |rows: u64| {
            let side = rows.min(features);
            rows.saturating_mul(side).saturating_mul(3 * FLOAT).saturating_add(side.saturating_mul(side) * 2 * FLOAT)
        };
        let layers = match self {
            // The folds' copies of the coordinates.
            Self::Linear => space(rows).saturating_mul(2),
            Self::Mlp { units } => {
                let units = units as u64;
                let weights = features.saturating_mul(units).saturating_add(units.saturating_mul(classes));
                let photos_alone = photos.saturating_mul(features).saturating_mul(2 * FLOAT);
                weights.saturating_mul(3 * FLOAT).saturating_add(space(photos)).saturating_add(photos_alone)
            }
        };
        own.saturating_add(layers)
    }
}
