//! What the tests of reliability counted: lines `tally: key=value ...` in their output, added up.

use std::collections::BTreeMap;
use std::fmt;

/// Counts of one kind of fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often it was made.
    pub faults: u64,
    /// Frames that somebody had to hear of.
    pub expected: u64,
    pub received: u64,
    pub lost: u64,
    /// Ids with two bodies, and numbers or contents with two ids.
    pub conflicting: u64,
    /// Messages that came again, as they were.
    pub repeats: u64,
    /// States from which nothing could go on.
    pub unrecoverable: u64,
}

/// All that was counted.
#[derive(Debug, Default)]
pub struct Tally {
    rows: BTreeMap<String, Counts>,
    /// Lives of the daemon that ended in a kill.
    pub cycles: u64,
    /// From landing to arrival, the daemon's absences included.
    pub longest_ms: u64,
    /// The same of a frame that met a backlog.
    pub live_ms: u64,
}

impl Tally {
    /// Takes up a line of a test's output, if it is one of ours; of this kind of fault, if it names none.
    pub fn take(&mut self, line: &str, kind: &str) {
        let Some((_, text)) = line.split_once("tally: ") else { return };
        let pairs: BTreeMap<&str, &str> = text.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
        let number = |key: &str| pairs.get(key).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        let row = self.rows.entry(pairs.get("fault").unwrap_or(&kind).replace('-', " ")).or_default();
        row.faults += number("injected");
        row.expected += number("expected");
        row.received += number("received");
        row.lost += number("lost");
        row.conflicting += number("conflicting");
        row.repeats += number("repeats");
        row.unrecoverable += number("unrecoverable");
        self.cycles += number("cycles");
        self.longest_ms = self.longest_ms.max(number("longest-ms"));
        self.live_ms = self.live_ms.max(number("live-ms"));
    }

    /// Counts a fault that its test made without counting.
    pub fn made(&mut self, kind: &str) {
        let row = self.rows.entry(kind.to_owned()).or_default();
        row.faults = row.faults.max(1);
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: Self) {
        for (kind, counts) in other.rows {
            let row = self.rows.entry(kind).or_default();
            row.faults += counts.faults;
            row.expected += counts.expected;
            row.received += counts.received;
            row.lost += counts.lost;
            row.conflicting += counts.conflicting;
            row.repeats += counts.repeats;
            row.unrecoverable += counts.unrecoverable;
        }
        self.cycles += other.cycles;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
        self.live_ms = self.live_ms.max(other.live_ms);
    }

    /// How often this kind was made.
    pub fn faults(&self, kind: &str) -> u64 {
        self.rows.get(kind).map_or(0, |row| row.faults)
    }

    fn sum(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        self.rows.values().map(of).sum()
    }

    /// Whether anything was lost, told in two ways, or stuck.
    pub fn is_clean(&self) -> bool {
        self.sum(|row| row.lost + row.conflicting + row.unrecoverable) == 0
    }

    /// The last line.
    pub fn line(&self) -> String {
        format!(
            "{} cycles, {} faults, {} expected, {} received, {} lost, {} conflicting ids",
            self.cycles,
            self.sum(|row| row.faults),
            self.sum(|row| row.expected),
            self.sum(|row| row.received),
            self.sum(|row| row.lost),
            self.sum(|row| row.conflicting)
        )
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (faults, stuck) = (self.sum(|row| row.faults), self.sum(|row| row.unrecoverable));
        writeln!(
            f,
            "{:<32}{:>8}{:>10}{:>10}{:>6}{:>13}{:>9}",
            "fault", "made", "expected", "received", "lost", "conflicting", "repeats"
        )?;
        for (kind, row) in &self.rows {
            let Counts { faults, expected, received, lost, conflicting, repeats, .. } = row;
            if *expected == 0 {
                writeln!(f, "{kind:<32}{faults:>8}")?;
            } else {
                writeln!(f, "{kind:<32}{faults:>8}{expected:>10}{received:>10}{lost:>6}{conflicting:>13}{repeats:>9}")?;
            }
        }
        writeln!(
            f,
            "{} lives ended in a kill; {faults} faults in all; {stuck} states from which nothing went on",
            self.cycles
        )?;
        write!(
            f,
            "longest from landing to arrival: {:.1} s with the daemon's and the broker's absences, {} ms past a backlog",
            self.longest_ms as f64 / 1000.0,
            self.live_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_count_is_added_up_by_kind_and_a_loss_is_seen() {
        let mut tally = Tally::default();
        tally.take("test some_test ... tally: injected=1 expected=5 received=5 repeats=2", "slow line");
        tally.take("tally: cycles=200 frames=9 expected=7 received=6 lost=1 longest-ms=12", "kill");
        tally.take("tally: fault=broker-killed injected=3", "kill");
        tally.take("no word of it", "kill");
        tally.made("slow line");
        tally.made("flood");
        assert_eq!(tally.line(), "200 cycles, 5 faults, 12 expected, 11 received, 1 lost, 0 conflicting ids");
        assert_eq!((tally.faults("broker killed"), tally.faults("never")), (3, 0));
        assert!(!tally.is_clean());
    }
}
