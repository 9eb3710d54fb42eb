//! What a board says of its power supply and its heat, and what waits for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::Power;

/// How often it is looked whether the supply is well again.
const LOOK: Duration = Duration::from_secs(10);

/// The files in which the kernel says how the board is.
#[derive(Debug, Clone)]
pub struct Board {
    thermal_zone: PathBuf,
    throttled: PathBuf,
}

/// The firmware's word on the supply, as in `vcgencmd get_throttled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Supply {
    /// The voltage is too low now.
    pub under_voltage: bool,
    /// The processor is slowed down now, for voltage or heat.
    pub throttled: bool,
    /// The voltage was too low at some time since the board started.
    pub under_voltage_seen: bool,
    /// The processor was slowed down at some time since the board started.
    pub throttled_seen: bool,
}

impl Supply {
    /// Bits of the Raspberry Pi firmware: 0 under-voltage and 2 throttled, now; the same from 16 on, since the start.
    fn from_bits(bits: u32) -> Self {
        let bit = |number: u32| bits & 1 << number != 0;
        Self { under_voltage: bit(0), throttled: bit(2), under_voltage_seen: bit(16), throttled_seen: bit(18) }
    }

    /// Whether work that can wait should.
    pub fn is_weak(&self) -> bool {
        self.under_voltage || self.throttled
    }
}

impl Board {
    /// Whose files the configuration names.
    pub fn new(power: &Power) -> Self {
        Self { thermal_zone: power.thermal_zone.clone(), throttled: power.throttled.clone() }
    }

    /// Degrees Celsius; none where the board does not say.
    pub fn temperature_c(&self) -> Option<f32> {
        let thousandths = read(&self.thermal_zone)?.parse::<f32>().ok()?;
        Some(thousandths / 1000.0).filter(|degrees| degrees.is_finite())
    }

    /// How the supply is; none where the board does not say.
    pub fn supply(&self) -> Option<Supply> {
        let text = read(&self.throttled)?;
        u32::from_str_radix(text.trim_start_matches("0x"), 16).ok().map(Supply::from_bits)
    }
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Lets frames wait while the supply is weak, for so long and no longer.
#[derive(Debug)]
pub struct Deferral {
    board: Board,
    live: Duration,
    older: Duration,
    // When frames began to wait.
    since: Option<Instant>,
}

impl Deferral {
    /// As configured.
    pub fn new(power: &Power) -> Self {
        let (live, older) = (Duration::from_secs(power.defer_live_s), Duration::from_secs(power.defer_s));
        Self { board: Board::new(power), live, older, since: None }
    }

    /// How long the next frame, `live` or older, waits before it is asked again; none: it is its turn. No frame waits
    /// longer than configured: once frames have waited that long, all go, until the supply was well in between.
    pub fn hold(&mut self, live: bool) -> Option<Duration> {
        let most = if live { self.live } else { self.older };
        if most.is_zero() {
            return None;
        }
        if !self.board.supply().is_some_and(|supply| supply.is_weak()) {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let left = most.saturating_sub(since.elapsed());
        (!left.is_zero()).then(|| left.min(LOOK))
    }

    /// Nothing waits any more.
    pub fn rest(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn board(throttled: &str) -> (tempfile::TempDir, Power) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("get_throttled");
        fs::write(&file, throttled).unwrap();
        let power = Power { throttled: file, thermal_zone: folder.path().join("temp"), ..Power::default() };
        (folder, power)
    }

    #[test]
    fn the_firmwares_bits_are_read_with_and_without_0x() {
        for text in ["50005\n", "0x50005"] {
            let (folder, power) = board(text);
            let supply = Board::new(&power).supply().unwrap();
            assert!(supply.under_voltage && supply.throttled && supply.under_voltage_seen && supply.throttled_seen);
            drop(folder);
            assert_eq!(Board::new(&power).supply(), None, "the file is gone");
        }
        let (_folder, power) = board("50000");
        let supply = Board::new(&power).supply().unwrap();
        assert!(!supply.is_weak() && supply.under_voltage_seen);
        let (_folder, power) = board("no number");
        assert_eq!(Board::new(&power).supply(), None);
    }

    #[test]
    fn the_temperature_is_in_thousandths_of_a_degree() {
        let (_folder, power) = board("0");
        assert_eq!(Board::new(&power).temperature_c(), None);
        fs::write(&power.thermal_zone, "-12500\n").unwrap();
        assert_eq!(Board::new(&power).temperature_c(), Some(-12.5));
    }

    #[test]
    fn a_weak_supply_holds_older_frames_but_never_for_longer_than_configured() {
        let (_folder, power) = board("1");
        let mut deferral = Deferral::new(&power);
        assert_eq!(deferral.hold(true), None, "live frames do not wait unless that is configured");
        assert_eq!(deferral.hold(false), Some(LOOK));
        fs::write(&power.throttled, "10000").unwrap();
        assert_eq!(deferral.hold(false), None, "it was weak once, and is well now");
        fs::write(&power.throttled, "4").unwrap();
        deferral.older = Duration::from_nanos(1);
        deferral.hold(false);
        while deferral.since.is_some_and(|since| since.elapsed() < deferral.older) {}
        assert_eq!(deferral.hold(false), None, "they have waited long enough");
    }
}
