//! Values of the command line that have a form of their own.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use super::learner::is_large;
use super::space::BLOCK;

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
    /// photos themselves; coordinates, and weights with Adam's two moments, both also for each of the `folds` that are
    /// fitted at a time on `threads`.
    pub fn training_bytes(
        self,
        features: u64,
        classes: u64,
        rows: u64,
        photos: u64,
        threads: usize,
        folds: u32,
    ) -> u64 {
        const FLOAT: u64 = 4;
        let threads = threads.max(1) as u64;
        let product = |factors: &[u64]| factors.iter().fold(1, |all: u64, factor| all.saturating_mul(*factor));
        let own = product(&[rows, features, FLOAT]);
        // Coordinates: as wide as the features, or as there are rows, then with their Gram matrix: in double width twice
        // (the sum and its factor), and for each thread a product and the columns that go into it.
        let space = |rows: u64| {
            let side = rows.min(features);
            let coordinates = product(&[rows, side, FLOAT]);
            if rows >= features {
                return coordinates;
            }
            let at_once = threads.min(features.div_ceil(BLOCK as u64));
            let products = product(&[at_once, rows.saturating_add(BLOCK as u64), rows, FLOAT]);
            coordinates.saturating_add(product(&[2, side, side, 2 * FLOAT])).saturating_add(products)
        };
        let layers = match self {
            // The folds' copies of the coordinates: all rows, and the photos among them once more for the curve. One fit
            // more, on all rows, runs beside the folds; novelty takes the photos after that.
            Self::Linear => {
                let at_once = threads.min(u64::from(folds).saturating_add(1));
                let copies = product(&[at_once, rows.saturating_add(photos), rows.min(features), FLOAT]);
                space(rows).saturating_add(copies)
            }
            Self::Mlp { units } => {
                // A large network's folds are not fitted side by side.
                let large = is_large(units, usize::try_from(features).unwrap_or(usize::MAX));
                let at_once = if large { 1 } else { threads.min(u64::from(folds.max(1))) };
                let units = units as u64;
                let weights = features.saturating_mul(units).saturating_add(units.saturating_mul(classes));
                // Photos for the curve, and in the end the rows held out: half of them where there are two folds.
                let copies = product(&[photos.saturating_add(rows.div_ceil(2)), features, FLOAT]);
                let fold = product(&[weights, 3 * FLOAT]).saturating_add(copies);
                space(photos).saturating_add(at_once.saturating_mul(fold))
            }
        };
        own.saturating_add(layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_with_threads_up_to_what_runs_at_a_time() {
        let wide = |layers: Layers, threads| layers.training_bytes(100_352, 4, 1500, 300, threads, 5);
        for layers in [Layers::Linear, Layers::Mlp { units: 64 }] {
            assert!(wide(layers, 2) > wide(layers, 1), "{layers:?}");
            assert!(wide(layers, 64) > wide(layers, 5), "{layers:?}");
            assert_eq!(wide(layers, 64), wide(layers, usize::MAX), "{layers:?}");
        }
        // 49 blocks of columns at a time, each with a product of 1500 x 1500.
        assert!(wide(Layers::Linear, 64) - wide(Layers::Linear, 6) >= 43 * 1500 * 1500 * 4);
        // 103 million weights: three numbers each, once, whatever the threads.
        let large = wide(Layers::Mlp { units: 1024 }, 1);
        assert!(large >= 100_352 * 1024 * 12, "{large}");
        assert!(wide(Layers::Mlp { units: 1024 }, 64) < large + large / 4);
        let small = |threads| Layers::Mlp { units: 1024 }.training_bytes(1280, 4, 1500, 300, threads, 5);
        assert!(small(5) - small(1) >= 4 * 1280 * 1024 * 12);
    }

    #[test]
    fn memory_beyond_all_numbers_is_the_largest() {
        let most = Layers::Mlp { units: 65_536 }.training_bytes(u64::MAX, u64::MAX, u64::MAX, u64::MAX, 9, u32::MAX);
        assert_eq!(most, u64::MAX);
        assert_eq!(Layers::Linear.training_bytes(0, 0, 0, 0, 0, 0), 0);
    }
}
