//! The traps that a head is meant for, and what they say of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Foresight, Parcel, foresee};
use crate::accept::{Report, Scope, Step};
use crate::cli::Until;
use crate::config;

/// Largest report that is read, in bytes: a trap's has a few kilobytes.
const MAX_REPORT: usize = 256 * 1024;
/// Most groups that are remembered without being asked for.
const MOST_GROUPS: usize = 1_000;

/// Traps by name.
#[derive(Debug, Clone)]
pub struct Fleet {
    scopes: Vec<Scope>,
    /// Whether what a trap says beforehand does not count, only what it makes of the head.
    force: bool,
    until: Until,
    traps: BTreeMap<String, Trap>,
    /// Groups of all traps that were heard.
    groups: BTreeSet<String>,
}

/// A trap, as far as it has said anything.
#[derive(Debug, Clone, Default)]
pub struct Trap {
    /// The last that it said.
    pub report: Option<Report>,
    /// It said something that is no report of this version.
    pub unreadable: bool,
    /// Refusals of unproven heads when it was first heard.
    refused_before: u64,
    /// Whether it has said something of our head.
    knew: bool,
}

/// How our head stands with a trap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has never said anything.
    Unheard,
    /// It has said something, but nothing of this head.
    Silent,
    /// What it said of itself speaks against this head.
    Foreseen(String),
    /// It refused something that the key of this head claims to have signed.
    Unproven(String),
    /// It took up another head since.
    Superseded,
    /// Its own word.
    Says(Step),
}

impl Fleet {
    /// The traps that are named; those of groups come in as they are heard.
    pub fn new(scopes: Vec<Scope>, until: Until, force: bool) -> Self {
        let named = scopes.iter().filter_map(|scope| match scope {
            Scope::Trap(name) => Some((name.clone(), Trap::default())),
            Scope::Group(_) => None,
        });
        Self { traps: named.collect(), scopes, force, until, groups: BTreeSet::new() }
    }

    /// Traps and groups.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Which reports are to be listened to: of all traps if a group is asked for, since only they know who is in it.
    pub fn filters(&self, prefix: &str) -> Vec<String> {
        if self.scopes.iter().any(|scope| matches!(scope, Scope::Group(_))) {
            return vec![format!("{prefix}/+/head/state")];
        }
        self.scopes.iter().map(|scope| format!("{}/head/state", scope.base(prefix))).collect()
    }

    /// Takes what the trap `name` said on `head/state`; whether it concerns this fleet.
    pub fn hear(&mut self, name: &str, payload: &[u8], parcel: &Parcel) -> bool {
        let report = (payload.len() <= MAX_REPORT).then(|| serde_json::from_slice::<Report>(payload).ok()).flatten();
        if self.groups.len() < MOST_GROUPS {
            self.groups.extend(report.iter().flat_map(|report| report.groups.iter().take(MOST_GROUPS).cloned()));
        }
        let named = self.traps.contains_key(name);
        let member = report.as_ref().is_some_and(|report| self.in_group(report));
        if !named && !member {
            return false;
        }
        let trap = self.traps.entry(name.to_owned()).or_default();
        trap.unreadable = report.is_none() && !payload.is_empty();
        let Some(report) = report else { return true };
        if trap.report.is_none() {
            trap.refused_before = report.refused.count;
        }
        trap.knew |= concerns(&report, parcel);
        trap.report = Some(report);
        true
    }

    fn in_group(&self, report: &Report) -> bool {
        self.scopes.iter().any(|scope| matches!(scope, Scope::Group(name) if report.groups.contains(name)))
    }

    /// All traps.
    pub fn traps(&self) -> impl Iterator<Item = (&String, &Trap)> {
        self.traps.iter()
    }

    /// The known traps of a scope.
    pub fn members<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = (&'a String, &'a Trap)> {
        self.traps.iter().filter(move |(name, trap)| match scope {
            Scope::Trap(trap) => trap == *name,
            Scope::Group(group) => trap.report.as_ref().is_some_and(|report| report.groups.contains(group)),
        })
    }

    /// How the head stands with a trap.
    pub fn verdict(&self, name: &str, trap: &Trap, parcel: &Parcel) -> Verdict {
        let Some(report) = &trap.report else { return Verdict::Unheard };
        if report.active.id == Some(parcel.id()) {
            return Verdict::Says(Step::Active);
        }
        if let Some((state, _)) = report.fate(parcel.id()) {
            return Verdict::Says(state);
        }
        if trap.knew {
            return Verdict::Superseded;
        }
        let refused = report.refused.last.as_ref().filter(|_| report.refused.count > trap.refused_before);
        if let Some(reason) = refused.filter(|reason| reason.to_uppercase().contains(parcel.key())) {
            return Verdict::Unproven(reason.clone());
        }
        match foresee(name, report, parcel) {
            Foresight::Refuses(reason) if !self.force => Verdict::Foreseen(reason),
            _ => Verdict::Silent,
        }
    }

    /// Whether a trap took it; none as long as that is open.
    pub fn took(&self, verdict: &Verdict) -> Option<bool> {
        match verdict {
            Verdict::Says(Step::Active) => Some(true),
            Verdict::Says(Step::Trial) => (self.until == Until::Trial).then_some(true),
            Verdict::Says(Step::Rejected | Step::RolledBack | Step::Superseded) => Some(false),
            Verdict::Foreseen(_) | Verdict::Unproven(_) | Verdict::Superseded => Some(false),
            Verdict::Says(_) | Verdict::Unheard | Verdict::Silent => None,
        }
    }

    /// Each trap with its verdict and whether it took the head.
    pub fn verdicts(&self, parcel: &Parcel) -> Vec<(&String, &Trap, Verdict, Option<bool>)> {
        let judged = self.traps.iter().map(|(name, trap)| {
            let verdict = self.verdict(name, trap, parcel);
            let took = self.took(&verdict);
            (name, trap, verdict, took)
        });
        judged.collect()
    }

    /// Groups of which no trap is known.
    pub fn unknown_groups(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().filter_map(|scope| match scope {
            Scope::Group(name) if self.members(scope).next().is_none() => Some(name.as_str()),
            _ => None,
        })
    }

    /// A group that some trap is in, and that an unknown one may be meant to be.
    pub fn group_like(&self, unknown: &str) -> Option<&str> {
        config::nearest(unknown, self.groups.iter().map(String::as_str))
    }

    /// Whether there is nothing left to wait for.
    pub fn is_settled(&self, parcel: &Parcel) -> bool {
        self.unknown_groups().next().is_none() && self.verdicts(parcel).iter().all(|(.., took)| took.is_some())
    }

    /// The scopes that it is worth publishing to: a trap that has not decided yet; a group unless all that is known of it
    /// refuses, for there may be traps that nobody has heard of yet.
    pub fn wanted(&self, parcel: &Parcel) -> Vec<Scope> {
        let wanted = |scope: &&Scope| {
            let decided: Vec<Option<bool>> =
                self.members(scope).map(|(name, trap)| self.took(&self.verdict(name, trap, parcel))).collect();
            match scope {
                _ if self.force => true,
                Scope::Trap(_) => decided.contains(&None),
                Scope::Group(_) => decided.is_empty() || decided.iter().any(|took| *took != Some(false)),
            }
        };
        self.scopes.iter().filter(wanted).cloned().collect()
    }
}

/// Whether a report speaks of our head.
fn concerns(report: &Report, parcel: &Parcel) -> bool {
    report.active.id == Some(parcel.id()) || report.fate(parcel.id()).is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::frame::ContentHash;

    fn fleet(scope: Scope, until: Until) -> Fleet {
        Fleet::new(vec![scope], until, false)
    }

    fn north() -> Scope {
        Scope::Trap("north".into())
    }

    fn coast() -> Scope {
        Scope::Group("coast".into())
    }

    fn say(
        fleet: &mut Fleet,
        parcel: &Parcel,
        name: &str,
        change: impl FnOnce(&mut Report),
    ) -> (Verdict, Option<bool>) {
        let mut report = testing::report(parcel);
        change(&mut report);
        assert!(fleet.hear(name, &serde_json::to_vec(&report).unwrap(), parcel));
        let verdict = fleet.verdict(name, &fleet.traps[name], parcel);
        let took = fleet.took(&verdict);
        (verdict, took)
    }

    fn offer(parcel: &Parcel, state: Step) -> impl Fn(&mut Report) {
        let offer = testing::offered(parcel.id(), state, None);
        move |report| report.offer = Some(offer.clone())
    }

    #[test]
    fn a_trap_is_followed_from_its_first_word_to_its_verdict() {
        let parcel = testing::small();
        let mut fleet = fleet(north(), Until::Trial);
        assert_eq!(fleet.verdicts(&parcel)[0].2, Verdict::Unheard);
        assert_eq!(say(&mut fleet, &parcel, "north", |_| {}), (Verdict::Silent, None));
        for state in [Step::Offered, Step::Receiving, Step::Staged, Step::Shadow] {
            assert_eq!(say(&mut fleet, &parcel, "north", offer(&parcel, state)), (Verdict::Says(state), None));
        }
        assert!(!fleet.is_settled(&parcel));
        assert_eq!(say(&mut fleet, &parcel, "north", offer(&parcel, Step::Trial)).1, Some(true));
        assert!(fleet.is_settled(&parcel));
        for state in [Step::Rejected, Step::RolledBack, Step::Superseded] {
            assert_eq!(say(&mut fleet, &parcel, "north", offer(&parcel, state)).1, Some(false));
        }
    }

    #[test]
    fn a_trial_is_not_enough_where_the_head_is_to_be_in_service() {
        let parcel = testing::small();
        let mut fleet = fleet(north(), Until::Active);
        assert_eq!(say(&mut fleet, &parcel, "north", offer(&parcel, Step::Trial)).1, None);
        assert_eq!(say(&mut fleet, &parcel, "north", |report| report.active.id = Some(parcel.id())).1, Some(true));
    }

    #[test]
    fn another_head_after_ours_is_a_verdict_and_one_before_it_is_none() {
        let parcel = testing::small();
        let mut fleet = fleet(north(), Until::Trial);
        let other = |report: &mut Report| {
            let mut offer = testing::offered(ContentHash::of(b"other"), Step::Trial, None);
            offer.head.sequence = 4;
            report.offer = Some(offer);
        };
        assert_eq!(say(&mut fleet, &parcel, "north", other), (Verdict::Silent, None));
        say(&mut fleet, &parcel, "north", offer(&parcel, Step::Receiving));
        assert_eq!(say(&mut fleet, &parcel, "north", other), (Verdict::Superseded, Some(false)));
    }

    #[test]
    fn an_unproven_refusal_counts_if_it_is_new_and_names_our_key() {
        let parcel = testing::small();
        let mut fleet = fleet(north(), Until::Trial);
        let refusal = |count, reason: String| {
            move |report: &mut Report| {
                report.refused = crate::accept::Refusals { count, last: Some(reason) };
            }
        };
        let ours = format!("signed by key {}, which is not trusted", parcel.key());
        assert_eq!(say(&mut fleet, &parcel, "north", refusal(3, ours.clone())), (Verdict::Silent, None));
        assert_eq!(say(&mut fleet, &parcel, "north", refusal(4, "rubbish".into())), (Verdict::Silent, None));
        assert_eq!(say(&mut fleet, &parcel, "north", refusal(5, ours.clone())), (Verdict::Unproven(ours), Some(false)));
    }

    #[test]
    fn a_groups_traps_are_those_that_say_so() {
        let parcel = testing::small();
        let mut fleet = fleet(coast(), Until::Trial);
        assert_eq!(fleet.filters("arcticd"), ["arcticd/+/head/state"]);
        assert_eq!(fleet.unknown_groups().collect::<Vec<_>>(), ["coast"]);
        assert_eq!(fleet.wanted(&parcel), [coast()], "traps may come that nobody has heard of");
        let mut inland = testing::report(&parcel);
        inland.groups = vec!["inland".into()];
        assert!(!fleet.hear("south", &serde_json::to_vec(&inland).unwrap(), &parcel));
        assert_eq!((fleet.group_like("inalnd"), fleet.group_like("coast")), (Some("inland"), None));
        assert!(!fleet.hear("south", b"rubbish", &parcel));
        say(&mut fleet, &parcel, "north", |_| {});
        assert_eq!(fleet.traps().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["north"]);
        assert_eq!(fleet.unknown_groups().count(), 0);
    }

    #[test]
    fn nothing_is_published_where_all_that_is_known_speaks_against_it() {
        let parcel = testing::small();
        for scope in [north(), coast()] {
            let mut refusing = fleet(scope.clone(), Until::Trial);
            let (verdict, took) = say(&mut refusing, &parcel, "north", |report| report.floor = 9);
            assert!(matches!(verdict, Verdict::Foreseen(_)) && took == Some(false));
            assert_eq!(refusing.wanted(&parcel), []);
            say(&mut refusing, &parcel, "north", |_| {});
            assert_eq!(refusing.wanted(&parcel), std::slice::from_ref(&scope));
            let mut forced = Fleet::new(vec![scope.clone()], Until::Trial, true);
            assert_eq!(say(&mut forced, &parcel, "north", |report| report.floor = 9).1, None);
            assert_eq!(forced.wanted(&parcel), [scope]);
        }
    }

    #[test]
    fn a_named_trap_that_says_rubbish_is_heard_but_not_understood() {
        let parcel = testing::small();
        let mut fleet = fleet(north(), Until::Trial);
        assert!(fleet.hear("north", &vec![b' '; MAX_REPORT + 1], &parcel));
        assert!(fleet.traps["north"].unreadable && fleet.verdicts(&parcel)[0].2 == Verdict::Unheard);
    }
}
