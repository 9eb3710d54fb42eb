//! The fleet as a person sees it: a line a trap, and a last one that counts.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::trap::{Offer, State, Trap};
use crate::push::table::count;

/// The columns; what is in the last one may be long.
const HEADER: [&str; 9] = ["TRAP", "STATE", "SEEN", "FRAME", "BACKLOG", "OUTBOX", "HEAD", "SEQ", "REMARKS"];

/// Header and rows, with their columns under each other. Ages are those at `now`.
pub fn table<'a>(traps: impl IntoIterator<Item = (&'a String, &'a Trap)>, now: OffsetDateTime) -> Vec<String> {
    let mut rows = vec![HEADER.map(str::to_owned)];
    rows.extend(traps.into_iter().map(|(name, trap)| row(name, trap, now)));
    let mut widths = [0; HEADER.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; HEADER.len()]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// How many there are and how they stand.
pub fn summary(traps: &BTreeMap<String, Trap>) -> String {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for trap in traps.values() {
        *states.entry(trap.state.map_or("unknown", State::name)).or_default() += 1;
    }
    let warned = traps.values().filter(|trap| trap.health.as_ref().is_some_and(|it| !it.warnings.is_empty())).count();
    let mut parts: Vec<String> = states.into_iter().map(|(state, count)| format!("{count} {state}")).collect();
    parts.extend((warned > 0).then(|| format!("{warned} with warnings")));
    format!("{}: {}", count(traps.len(), "trap"), parts.join(", "))
}

fn row(name: &str, trap: &Trap, now: OffsetDateTime) -> [String; HEADER.len()] {
    let dash = || "-".to_owned();
    let health = trap.health.as_ref();
    let age = |moment: Option<&String>| moment.and_then(|text| age(text, now)).unwrap_or_else(dash);
    [
        name.to_owned(),
        trap.state.map_or_else(dash, |state| state.name().to_owned()),
        age(health.map(|it| &it.at)),
        age(health.and_then(|it| it.seen_at.as_ref())),
        health.map_or_else(dash, |it| it.backlog.to_string()),
        health.map_or_else(dash, |it| it.outbox.to_string()),
        trap.head.as_ref().map_or_else(dash, |head| format!("{} {}", head.name, head.version)),
        trap.head.as_ref().map_or_else(dash, |head| head.sequence.to_string()),
        remarks(trap, now),
    ]
}

fn remarks(trap: &Trap, now: OffsetDateTime) -> String {
    let mut remarks: Vec<String> =
        trap.unreadable.iter().map(|topic| format!("{} can't be read", topic.name())).collect();
    if let Some(until) = &trap.asleep_until {
        let over = OffsetDateTime::parse(until, &Rfc3339).is_ok_and(|until| until < now);
        remarks.push(if over { format!("was to be awake at {until}") } else { format!("until {until}") });
    }
    remarks.extend(trap.offer.as_ref().map(offer));
    if let Some(health) = &trap.health {
        remarks.extend((health.dropped > 0).then(|| format!("{} dropped", count(health.dropped as usize, "message"))));
        remarks.extend(health.warnings.first().map(|first| match health.warnings.len() {
            1 => first.clone(),
            more => format!("{first} (and {})", count(more - 1, "warning")),
        }));
    }
    remarks.join("; ")
}

fn offer(offer: &Offer) -> String {
    let reason = offer.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("{} {} {}{reason}", offer.state.replace('_', " "), offer.head.name, offer.head.version)
}

/// How long ago, by this machine's clock; a moment to come is now, for clocks differ.
fn age(moment: &str, now: OffsetDateTime) -> Option<String> {
    let seconds = (now - OffsetDateTime::parse(moment, &Rfc3339).ok()?).whole_seconds().max(0);
    Some(match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::trap::Topic;
    use super::*;

    fn at(text: &str) -> OffsetDateTime {
        OffsetDateTime::parse(text, &Rfc3339).unwrap()
    }

    #[test]
    fn an_age_is_told_in_the_unit_in_which_it_is_felt() {
        let age = |moment: &str| age(moment, at("2026-11-28T12:00:00Z")).unwrap();
        assert_eq!(age("2026-11-28T11:59:18Z"), "42 s");
        assert_eq!(age("2026-11-28T12:18:00+01:00"), "42 min");
        assert_eq!(age("2026-11-26T18:00:00Z"), "42 h");
        assert_eq!(age("2026-10-17T12:00:00Z"), "42 d");
        assert_eq!(age("2027-01-01T00:00:00Z"), "0 s");
        assert_eq!(super::age("yesterday", OffsetDateTime::UNIX_EPOCH), None);
    }

    #[test]
    fn a_trap_that_said_nothing_readable_has_a_row_that_says_so() {
        let mut trap = Trap::default();
        for topic in Topic::ALL {
            trap.hear(topic, b"rubbish");
        }
        let traps = BTreeMap::from([("mast-1".to_owned(), trap)]);
        let table = table(&traps, at("2026-11-28T12:00:00Z"));
        let expected = "availability can't be read; health can't be read; head/state can't be read";
        assert!(table[1].starts_with("mast-1  -") && table[1].ends_with(expected), "{table:?}");
        assert_eq!(summary(&traps), "1 trap: 1 unknown");
    }

    #[test]
    fn a_trap_that_overslept_is_told_from_one_that_sleeps() {
        let mut trap = Trap::default();
        trap.hear(Topic::Availability, b"asleep until 2026-11-28T11:40:00Z");
        assert_eq!(remarks(&trap, at("2026-11-28T11:00:00Z")), "until 2026-11-28T11:40:00Z");
        assert_eq!(remarks(&trap, at("2026-11-28T12:00:00Z")), "was to be awake at 2026-11-28T11:40:00Z");
    }
}
