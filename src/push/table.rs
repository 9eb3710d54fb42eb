//! A trap in one line. Whatever a trap says is escaped: it may be a stolen one.

use super::{Fleet, Foresight, Parcel, Shelf, Verdict, foresee};
use crate::accept::{HeadFacts, Report, Scope, Step};
use crate::terminal;

/// Longest text of a trap that is shown, in characters.
const LONGEST: usize = 160;
/// Longest reason, whose end says what to do.
const LONGEST_REASON: usize = 1_000;
/// The state of a trap that has said nothing of the head yet.
pub const WAITING: &str = "waiting";

/// One trap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// How the head stands with it.
    pub state: &'static str,
    /// Pieces or frames.
    pub progress: String,
    /// Why, or what it has.
    pub remark: String,
}

/// The fleet as it stands.
pub fn lines(fleet: &Fleet, parcel: &Parcel) -> Vec<Line> {
    let judged = fleet.verdicts(parcel).into_iter();
    let mut lines: Vec<Line> = judged
        .map(|(name, trap, verdict, _)| {
            let report = trap.report.as_ref();
            Line {
                name: one_line(name),
                state: state(&verdict),
                progress: report.map(|report| progress(report, &verdict, parcel)).unwrap_or_default(),
                remark: match (report, trap.unreadable) {
                    (_, true) => "its last report can't be read: another version of arcticd?".into(),
                    (Some(report), false) => remark(report, &verdict, parcel),
                    (None, false) => "has never reported".into(),
                },
            }
        })
        .collect();
    lines.extend(fleet.unknown_groups().map(|group| Line {
        name: one_line(group),
        state: "unknown",
        progress: String::new(),
        remark: match fleet.group_like(group) {
            Some(like) => format!("no trap has reported that it is in this group; did you mean {}?", one_line(like)),
            None => "no trap has reported that it is in this group".into(),
        },
    }));
    lines
}

/// The fleet before anything is published.
pub fn prospects(fleet: &Fleet, parcel: &Parcel) -> Vec<Line> {
    let mut lines = lines(fleet, parcel);
    for (line, (name, trap)) in lines.iter_mut().zip(fleet.traps()) {
        let Some(report) = &trap.report else { continue };
        (line.state, line.remark) = match foresee(name, report, parcel) {
            Foresight::Takes => ("fits", format!("has {}", head(&report.active))),
            Foresight::Has(step) => ("has it", format!("{step} since {}", one_line(&report.at))),
            Foresight::Refuses(reason) => ("refuses", reason_in_full(&reason)),
        };
    }
    lines
}

fn state(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Unheard => "unheard",
        Verdict::Silent => WAITING,
        Verdict::Foreseen(_) => "refuses",
        Verdict::Unproven(_) => "refused",
        Verdict::Superseded => Step::Superseded.name(),
        Verdict::Says(step) => step.name(),
    }
}

fn progress(report: &Report, verdict: &Verdict, parcel: &Parcel) -> String {
    let Verdict::Says(step) = verdict else { return String::new() };
    let Some(offer) = report.offer_of(parcel.id()) else { return String::new() };
    match (step, &offer.trial) {
        (Step::Offered | Step::Receiving, _) if offer.pieces > 0 => {
            format!("{} of {} pieces", offer.received, offer.pieces)
        }
        (Step::Shadow | Step::Trial, Some(trial)) => format!("{} of {} frames", trial.frames, trial.of),
        _ => String::new(),
    }
}

fn remark(report: &Report, verdict: &Verdict, parcel: &Parcel) -> String {
    match verdict {
        Verdict::Foreseen(reason) | Verdict::Unproven(reason) => reason_in_full(reason),
        Verdict::Superseded => match report.next.as_ref().or(report.offer.as_ref()) {
            Some(offer) => format!("by {}", head(&offer.head)),
            None => format!("it has {}", head(&report.active)),
        },
        Verdict::Says(_) => {
            let fate = report.fate(parcel.id());
            fate.and_then(|(_, reason)| reason).map(reason_in_full).unwrap_or_default()
        }
        Verdict::Silent => format!("has {}, reported {}", head(&report.active), one_line(&report.at)),
        Verdict::Unheard => String::new(),
    }
}

fn head(facts: &HeadFacts) -> String {
    one_line(&format!("{} {}, sequence {}", facts.name, facts.version, facts.sequence))
}

/// What is to be said of what lies on a scope's shelf already.
pub fn shelf_remarks(scope: &Scope, shelf: &Shelf, parcel: &Parcel) -> Vec<String> {
    let mut remarks = Vec::new();
    for old in shelf.heads().filter(|old| old.id != parcel.id()) {
        let manifest = &old.manifest;
        let name = one_line(&format!("{} {}, sequence {}", manifest.name, manifest.version, manifest.sequence));
        let newer = if manifest.sequence > parcel.manifest().sequence { " and is newer" } else { "" };
        remarks.push(format!("{scope}: replaces {name}, which lies on the broker{newer}"));
    }
    if !shelf.pieces().is_empty() {
        remarks.push(format!("{scope}: the broker holds {} of {} pieces", shelf.pieces().len(), parcel.pieces()));
    }
    remarks
}

/// `1 message`, `2 messages`.
pub fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// A bar as long as what is done of all.
pub fn bar(done: usize, all: usize) -> String {
    const WIDTH: usize = 30;
    let filled = (WIDTH * done).checked_div(all).unwrap_or(WIDTH).min(WIDTH);
    format!("[{}{}]", "#".repeat(filled), "-".repeat(WIDTH - filled))
}

/// Text of a trap: escaped, on one line, of bounded length.
pub fn one_line(text: &str) -> String {
    fitted(&plain(text), LONGEST)
}

/// The same of why a head is not taken: what to do about it stands at the end.
fn reason_in_full(text: &str) -> String {
    fitted(&plain(text), LONGEST_REASON)
}

fn plain(text: &str) -> String {
    terminal::plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most so many columns of it; what is not ASCII may take two.
pub fn fitted(text: &str, columns: usize) -> String {
    let width = |letter: char| if letter.is_ascii() { 1 } else { 2 };
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let (mut fitted, mut left) = (String::new(), columns.saturating_sub(3));
    for letter in text.chars() {
        let Some(rest) = left.checked_sub(width(letter)) else { break };
        (left, _) = (rest, fitted.push(letter));
    }
    fitted + "..."
}

/// Lines with their columns under each other.
pub fn aligned(lines: &[Line]) -> Vec<String> {
    let widest = |column: fn(&Line) -> &str| lines.iter().map(|line| column(line).len()).max().unwrap_or(0);
    let (name, state) = (widest(|line| &line.name), widest(|line| line.state));
    let progress = widest(|line| &line.progress);
    let row = |line: &Line| {
        let middle = if progress > 0 { format!("  {:progress$}", line.progress) } else { String::new() };
        format!("{:name$}  {:state$}{middle}  {}", line.name, line.state, line.remark).trim_end().to_owned()
    };
    lines.iter().map(row).collect()
}

/// How many traps stand how, in one line: for fleets that do not fit a screen.
pub fn summary(lines: &[Line]) -> String {
    let mut states: Vec<(&str, usize)> = Vec::new();
    for line in lines {
        match states.iter_mut().find(|(state, _)| *state == line.state) {
            Some((_, count)) => *count += 1,
            None => states.push((line.state, 1)),
        }
    }
    let counts: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    format!("{} traps: {}", lines.len(), counts.join(", "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::accept::{OfferReport, Scope, TrialReport};
    use crate::cli::Until;
    use crate::frame::ContentHash;

    type Change<'a> = &'a dyn Fn(&mut Report);

    fn fleet_saying(parcel: &Parcel, changes: &[(&str, Change)]) -> Fleet {
        let scopes = changes.iter().map(|(name, _)| Scope::Trap((*name).to_owned())).collect();
        let mut fleet = Fleet::new(scopes, Until::Trial, false);
        for (name, change) in changes {
            let mut report = testing::report(parcel);
            change(&mut report);
            fleet.hear(name, &serde_json::to_vec(&report).unwrap(), parcel);
        }
        fleet
    }

    #[test]
    fn each_trap_says_how_far_it_is_and_why() {
        let parcel = testing::large();
        let offered = |state, reason| testing::offered(parcel.id(), state, reason);
        let fleet = fleet_saying(
            &parcel,
            &[
                ("a", &|report| {
                    let mut offer = offered(Step::Receiving, None);
                    (offer.received, offer.pieces) = (1, parcel.pieces());
                    report.offer = Some(offer);
                }),
                ("b", &|report| {
                    let mut offer = offered(Step::Trial, None);
                    offer.trial = Some(TrialReport { frames: 12, of: 50, ..TrialReport::default() });
                    report.offer = Some(offer);
                }),
                ("c", &|report| report.offer = Some(offered(Step::Rejected, Some("a canary differs")))),
                ("d", &|_| {}),
                ("e", &|report| {
                    let other = ContentHash::of(b"another");
                    report.offer = Some(testing::offered(other, Step::Trial, Some("it waits for a bear")));
                    let next = offered(Step::Receiving, None);
                    report.next = Some(OfferReport { received: 1, pieces: parcel.pieces(), ..next });
                }),
            ],
        );
        let text = aligned(&lines(&fleet, &parcel));
        let pieces = format!("1 of {} pieces", parcel.pieces());
        assert_eq!(text[0].split_whitespace().collect::<Vec<_>>().join(" "), format!("a receiving {pieces}"));
        assert!(text[1].contains("trial") && text[1].contains("12 of 50 frames"), "{text:?}");
        let beside = text.iter().find(|line| line.starts_with('e')).unwrap();
        assert_eq!(beside.split_whitespace().collect::<Vec<_>>().join(" "), format!("e receiving {pieces}"));
        assert!(text[2].contains("rejected") && text[2].ends_with("a canary differs"), "{text:?}");
        assert!(text[3].contains("waiting") && text[3].contains("has arctic 1, sequence 4, reported 2026"), "{text:?}");
        assert_eq!(text[1].find("12 of"), text[0].find("1 of"));
        assert_eq!(summary(&lines(&fleet, &parcel)), "5 traps: 2 receiving, 1 trial, 1 rejected, 1 waiting");
    }

    #[test]
    fn what_is_to_be_expected_is_told_before() {
        let parcel = testing::large();
        let mut fleet =
            fleet_saying(&parcel, &[("a", &|_| {}), ("b", &|report: &mut Report| report.floor = 7), ("c", &|_| {})]);
        fleet.hear("c", b"rubbish", &parcel);
        let text = aligned(&prospects(&fleet, &parcel));
        assert!(text[0].starts_with("a  fits     has arctic 1, sequence 4"), "{text:?}");
        assert!(text[1].starts_with("b  refuses  sequence 5 is not above 7"), "{text:?}");
        let mut group = Fleet::new(vec![Scope::Group("caost".into())], Until::Trial, false);
        assert!(aligned(&prospects(&group, &parcel))[0].ends_with("no trap has reported that it is in this group"));
        group.hear("a", &serde_json::to_vec(&testing::report(&parcel)).unwrap(), &parcel);
        assert!(aligned(&prospects(&group, &parcel))[0].ends_with("; did you mean coast?"));
    }

    #[test]
    fn a_refusal_is_told_to_its_end_where_what_to_do_stands() {
        let parcel = testing::large();
        let long = format!("it is {}; sign it again", "not signed by a trusted key, ".repeat(10));
        let fleet = fleet_saying(
            &parcel,
            &[("a", &|report| report.offer = Some(testing::offered(parcel.id(), Step::Rejected, Some(&long))))],
        );
        for text in [aligned(&lines(&fleet, &parcel)), aligned(&prospects(&fleet, &parcel))] {
            assert!(text[0].ends_with(&long), "{text:?}");
        }
    }

    #[test]
    fn a_trap_can_not_steer_the_terminal_or_fake_a_line() {
        let parcel = testing::large();
        let evil = "ok\u{1b}[2J\r\nnorth  active\u{202e}".to_owned() + &"x".repeat(10_000);
        let fleet = fleet_saying(
            &parcel,
            &[("a", &|report| {
                report.offer = Some(testing::offered(parcel.id(), Step::Rejected, Some(&evil)));
            })],
        );
        let text = aligned(&lines(&fleet, &parcel));
        assert_eq!(text.len(), 1);
        assert!(text[0].chars().all(|letter| !letter.is_control() && letter != '\u{202e}'), "{text:?}");
        assert!(text[0].len() < LONGEST_REASON + 20 && text[0].ends_with("..."), "{text:?}");
    }

    #[test]
    fn a_line_is_cut_to_the_screen() {
        assert_eq!(fitted("abcdef", 6), "abcdef");
        assert_eq!(fitted("abcdefg", 6), "abc...");
        assert_eq!(fitted("雪雪雪雪", 6), "雪...");
        assert_eq!(fitted("abc", 0), "...");
    }
}
