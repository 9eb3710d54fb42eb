//! What came of a push: exit code, and one JSON object for programs.

use schemars::JsonSchema;
use serde::Serialize;

use super::deliver::Account;
use super::{Fleet, Foresight, Parcel, Verdict, foresee, plan};
use crate::accept::{Step, TrialReport};
use crate::exit_code::ExitCode;

/// The object that `--json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Outcome<'a> {
    /// What was pushed.
    head: HeadOutcome<'a>,
    /// Where to.
    broker: String,
    /// Whether nothing was to be published.
    dry_run: bool,
    /// Whether the waiting was cut short from the keyboard.
    interrupted: bool,
    /// What was.
    published: Published,
    /// With `dry_run`: what would be published.
    plan: Vec<Planned<'a>>,
    /// What they made of it.
    traps: Vec<TrapOutcome<'a>>,
    /// Groups of which no trap has ever reported.
    unknown_groups: Vec<&'a str>,
    /// Whether the exit code is 0.
    ok: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct HeadOutcome<'a> {
    /// sha256 of its manifest.
    id: String,
    /// Its name.
    name: &'a str,
    /// Its version.
    version: &'a str,
    /// Its sequence.
    sequence: u64,
    /// Id of the key that signed it.
    key: &'a str,
    /// Of the file.
    bytes: usize,
    /// 0: it goes as one message.
    pieces: u32,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Published {
    /// Repeats included.
    messages: u64,
    /// Of MQTT packets.
    bytes: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Planned<'a> {
    /// Where it would go.
    topic: &'a str,
    /// Of the payload; 0 clears the topic.
    bytes: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct TrapOutcome<'a> {
    /// Its name.
    trap: &'a str,
    /// As on `head/state`; `unheard`, `waiting`, `refuses` (foreseen) or `refused` (unproven) where it says nothing of this
    /// head.
    state: &'a str,
    /// Whether it took the head. Null: not decided in time.
    took: Option<bool>,
    /// Why not, if it says so.
    reason: Option<String>,
    /// Pieces there.
    received: Option<u32>,
    /// Pieces in all.
    pieces: Option<u32>,
    /// How its trial goes.
    trial: Option<TrialReport>,
    /// When it last reported, by its own clock.
    reported: Option<&'a str>,
}

/// How the run ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// Nothing was to be published.
    pub dry_run: bool,
    /// The traps were waited for.
    pub waited: bool,
    /// From the keyboard.
    pub interrupted: bool,
}

/// The exit code.
pub fn exit_code(fleet: &Fleet, parcel: &Parcel, ending: Ending) -> ExitCode {
    if ending.dry_run {
        let refuses = fleet.traps().any(|(name, trap)| {
            let report = trap.report.as_ref();
            report.is_some_and(|report| matches!(foresee(name, report, parcel), Foresight::Refuses(_)))
        });
        return if refuses { ExitCode::SomeFailed } else { ExitCode::Ok };
    }
    // Whoever does not wait has what was asked for with the head on the broker, unless a refusal is known already.
    let open = if ending.waited || ending.interrupted { ExitCode::Failure } else { ExitCode::Ok };
    let traps = fleet.verdicts(parcel).into_iter().map(|(.., took)| match took {
        Some(true) => ExitCode::Ok,
        Some(false) => ExitCode::Failure,
        None => open,
    });
    ExitCode::of_parts(traps.chain(fleet.unknown_groups().map(|_| open)))
}

/// Collects the object.
pub fn outcome<'a>(
    fleet: &'a Fleet,
    parcel: &'a Parcel,
    account: Option<&'a Account>,
    broker: String,
    ending: Ending,
) -> Outcome<'a> {
    let manifest = parcel.manifest();
    let head = HeadOutcome {
        id: parcel.id().to_string(),
        name: &manifest.name,
        version: &manifest.version,
        sequence: manifest.sequence,
        key: parcel.key(),
        bytes: parcel.file_bytes(),
        pieces: parcel.pieces(),
    };
    let planned = account.filter(|_| ending.dry_run).map(Account::messages).unwrap_or_default();
    Outcome {
        head,
        broker,
        dry_run: ending.dry_run,
        interrupted: ending.interrupted,
        published: account
            .map(|account| Published { messages: account.sent, bytes: account.bytes })
            .unwrap_or_default(),
        plan: planned.iter().map(|it| Planned { topic: &it.topic, bytes: parcel.body(it.body).len() }).collect(),
        traps: fleet.verdicts(parcel).into_iter().map(|judged| trap(judged, parcel)).collect(),
        unknown_groups: fleet.unknown_groups().collect(),
        ok: exit_code(fleet, parcel, ending) == ExitCode::Ok,
    }
}

fn trap<'a>(
    (name, trap, verdict, took): (&'a String, &'a super::fleet::Trap, Verdict, Option<bool>),
    parcel: &Parcel,
) -> TrapOutcome<'a> {
    let report = trap.report.as_ref();
    let ours = report.and_then(|report| report.offer_of(parcel.id()));
    let (state, reason) = match verdict {
        Verdict::Unheard => ("unheard", None),
        Verdict::Silent => ("waiting", None),
        Verdict::Foreseen(reason) => ("refuses", Some(reason)),
        Verdict::Unproven(reason) => ("refused", Some(reason)),
        Verdict::Superseded => (Step::Superseded.name(), None),
        Verdict::Says(step) => {
            let fate = report.and_then(|report| report.fate(parcel.id()));
            (step.name(), fate.and_then(|(_, reason)| reason.map(str::to_owned)))
        }
    };
    TrapOutcome {
        trap: name,
        state,
        took,
        reason,
        received: ours.map(|offer| offer.received),
        pieces: ours.map(|offer| offer.pieces),
        trial: ours.and_then(|offer| offer.trial.clone()),
        reported: report.map(|report| report.at.as_str()),
    }
}

/// Lines that say what would be published.
pub fn listing(account: &Account, parcel: &Parcel) -> Vec<String> {
    if account.messages().is_empty() {
        return vec!["nothing would be published".into()];
    }
    let (lines, bytes) = plan::listing(account.messages(), parcel);
    let total = super::table::count(account.messages().len(), "message");
    let mut listing = vec!["would be published, retained:".to_owned()];
    listing.extend(lines.iter().map(|line| format!("  {line}")));
    listing.push(format!("{total}, {bytes} bytes over the link to the broker, without TCP's and TLS's own"));
    listing
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::accept::{Report, Scope};
    use crate::cli::Until;

    const WAITED: Ending = Ending { dry_run: false, waited: true, interrupted: false };
    const LEFT: Ending = Ending { dry_run: false, waited: false, interrupted: false };
    const DRY: Ending = Ending { dry_run: true, waited: false, interrupted: false };

    fn fleet(parcel: &Parcel, states: &[(&str, Option<Step>)], floor: u64) -> Fleet {
        let scopes = states.iter().map(|(name, _)| Scope::Trap((*name).to_owned())).collect();
        let mut fleet = Fleet::new(scopes, Until::Trial, false);
        for (name, state) in states {
            let offer = state.map(|state| testing::offered(parcel.id(), state, Some("so")));
            let report = Report { offer, floor, ..testing::report(parcel) };
            fleet.hear(name, &serde_json::to_vec(&report).unwrap(), parcel);
        }
        fleet
    }

    #[test]
    fn the_exit_code_says_whether_all_some_or_none_took_it() {
        let parcel = testing::small();
        let code =
            |states: &[(&str, Option<Step>)], floor, ending| exit_code(&fleet(&parcel, states, floor), &parcel, ending);
        let (took, refused) = (Some(Step::Trial), Some(Step::Rejected));
        assert_eq!(code(&[("a", took), ("b", took)], 4, WAITED), ExitCode::Ok);
        assert_eq!(code(&[("a", took), ("b", refused)], 4, WAITED), ExitCode::SomeFailed);
        assert_eq!(code(&[("a", took), ("b", None)], 4, WAITED), ExitCode::SomeFailed);
        assert_eq!(code(&[("a", refused)], 4, WAITED), ExitCode::Failure);
        assert_eq!(code(&[("a", None)], 4, WAITED), ExitCode::Failure);
        assert_eq!(code(&[("a", None)], 4, LEFT), ExitCode::Ok);
        assert_eq!(code(&[("a", None)], 9, LEFT), ExitCode::Failure);
        assert_eq!(code(&[("a", None), ("b", took)], 4, DRY), ExitCode::Ok);
        assert_eq!(code(&[("a", None)], 9, DRY), ExitCode::SomeFailed);
    }

    #[test]
    fn a_group_that_nobody_reports_from_did_not_take_it() {
        let parcel = testing::small();
        let group = Fleet::new(vec![Scope::Group("coast".into())], Until::Trial, false);
        assert_eq!(exit_code(&group, &parcel, WAITED), ExitCode::Failure);
        assert_eq!(exit_code(&group, &parcel, LEFT), ExitCode::Ok);
        let json = serde_json::to_value(outcome(&group, &parcel, None, "b".into(), WAITED)).unwrap();
        assert_eq!((&json["unknown_groups"][0], &json["ok"]), (&"coast".into(), &false.into()), "{json}");
    }

    #[test]
    fn a_program_reads_each_traps_state_and_reason() {
        let parcel = testing::small();
        let fleet = fleet(&parcel, &[("a", Some(Step::Rejected)), ("b", None)], 4);
        let json = serde_json::to_value(outcome(&fleet, &parcel, None, "b".into(), WAITED)).unwrap();
        let first = &json["traps"][0];
        assert_eq!(
            (&first["state"], &first["took"], &first["reason"]),
            (&"rejected".into(), &false.into(), &"so".into())
        );
        assert_eq!((&json["traps"][1]["state"], &json["traps"][1]["took"]), (&"waiting".into(), &().into()), "{json}");
    }
}
