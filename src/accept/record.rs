//! What must survive a power cut: which heads serve, how far an offer came, what was decided. One small file, written whole
//! before each step; beside the journal, so that a damaged journal does not lose the floor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ask::Kind;
use super::report::{Asked, Decided, HeadFacts, LOCAL, Step, TrialReport};
use super::topics::Scope;
use crate::frame::ContentHash;

/// Decisions that are remembered. A forgotten one is decided again, to the same end; sequences up to the floor are refused
/// in any case.
const DECIDED: usize = 64;
/// Heads that are forgotten for ever; of more, the first are refused only by their sequence.
const FORGOTTEN: usize = 256;
/// A head on which the process died this often is given up.
pub(super) const DEATHS: u32 = 2;
/// The same for one in service: it was loaded before, so that a supply that breaks down at each start is more likely.
pub(super) const DEATHS_IN_SERVICE: u32 = 10;

/// The state of all heads of a trap.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Version of this file, 1.
    pub format: u32,
    /// Highest sequence that was ever tried or in service.
    pub floor: u64,
    /// In service; none: the configured head.
    pub active: Option<HeadFacts>,
    /// What a rollback returns to; none: the configured head.
    pub previous: Option<HeadFacts>,
    /// The last head that was offered.
    pub offer: Option<Offered>,
    /// A later one whose pieces come in while `offer` is tried: it takes its place when it is here whole, and goes on by
    /// itself when the trial ends before. Only while `offer` is under way and past its own pieces.
    #[serde(default)]
    pub next: Option<Offered>,
    /// The latest last.
    pub decided: Vec<Decided>,
    /// sha256 of the configured head's network when `active` came into service.
    pub configured: Option<String>,
    /// A stored head that is being loaded: if the process dies, it died of it.
    pub loading: Option<ContentHash>,
    /// How often the process died of a head.
    pub deaths: BTreeMap<ContentHash, u32>,
    /// The last request of each kind: written before it is acted on.
    #[serde(default)]
    pub asked: BTreeMap<Kind, Asked>,
    /// Heads that must never serve again, whatever becomes of `decided`. The latest last.
    #[serde(default)]
    pub forgotten: Vec<ContentHash>,
}

/// An offer under way, or the last one that was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Offered {
    /// The head.
    pub head: HeadFacts,
    /// Where its pieces come in; nowhere if it came whole.
    pub scopes: Vec<Scope>,
    /// Its manifest's id.
    pub id: ContentHash,
    /// How far it came.
    pub step: Step,
    /// Why it ended, or what it waits for.
    pub reason: Option<String>,
    /// Pieces in all; 0 if it came whole.
    pub pieces: u32,
    /// How its trial goes.
    pub trial: TrialReport,
}

impl Offered {
    /// Of a head that lies here whole.
    pub fn whole(id: ContentHash, head: HeadFacts) -> Self {
        let trial = TrialReport::default();
        Self { head, scopes: Vec::new(), id, step: Step::Verified, reason: None, pieces: 0, trial }
    }
}

impl Record {
    /// A trap that was never offered anything.
    pub fn new() -> Self {
        Self { format: 1, ..Self::default() }
    }

    /// The offer, if something still happens to it.
    pub fn under_way(&self) -> Option<&Offered> {
        self.offer.as_ref().filter(|offer| !offer.step.is_final())
    }

    /// The offer whose pieces come in.
    pub fn awaited(&self) -> Option<&Offered> {
        self.next.as_ref().or_else(|| self.under_way().filter(|offer| offer.step.awaits_pieces()))
    }

    /// As [`Record::awaited`].
    pub fn awaited_mut(&mut self) -> Option<&mut Offered> {
        match &mut self.next {
            Some(next) => Some(next),
            None => self.offer.as_mut().filter(|offer| offer.step.awaits_pieces()),
        }
    }

    /// The latest that something still happens to.
    pub fn latest(&self) -> Option<&Offered> {
        self.next.as_ref().or_else(|| self.under_way())
    }

    /// Whether something still happens to the head with this id.
    pub fn is_on_its_way(&self, id: &ContentHash) -> bool {
        [self.under_way(), self.next.as_ref()].into_iter().flatten().any(|offer| offer.id == *id)
    }

    /// This offer is the one under way from now on. Those that it leaves behind.
    pub fn open(&mut self, offered: Offered, reason: &str) -> Vec<HeadFacts> {
        let before = self.under_way().map(|offer| offer.head.clone());
        if before.is_some() {
            self.end_offer(Step::Superseded, Some(reason.to_owned()));
        }
        let mut behind = Vec::from_iter(before);
        if self.next.as_ref().is_some_and(|next| next.id == offered.id) {
            self.next = None;
        } else if self.next.as_ref().is_some_and(|next| next.head.sequence <= offered.head.sequence) {
            behind.extend(self.end_next(Step::Superseded, reason));
        }
        self.offer = Some(offered);
        behind
    }

    /// This offer is awaited beside the one under way. The one that was before, if any.
    pub fn open_beside(&mut self, offered: Offered, reason: &str) -> Option<HeadFacts> {
        let behind = self.end_next(Step::Superseded, reason);
        self.next = Some(offered);
        behind
    }

    /// Ends the offer that is awaited beside the one under way.
    pub fn end_next(&mut self, step: Step, reason: &str) -> Option<HeadFacts> {
        let next = self.next.take()?;
        self.decide(next.id, next.head.sequence, step, Some(reason.to_owned()));
        Some(next.head)
    }

    /// What was awaited beside another head is the offer under way once that one's end has come.
    pub fn go_on(&mut self) -> bool {
        let goes = self.under_way().is_none() && self.next.is_some();
        if goes {
            self.offer = self.next.take();
        }
        goes
    }

    /// What became of the head with this id.
    pub fn decision(&self, id: &ContentHash) -> Option<&Decided> {
        self.decided.iter().rev().find(|decided| decided.id == *id)
    }

    /// Remembers what became of a head.
    pub fn decide(&mut self, id: ContentHash, sequence: u64, state: Step, reason: Option<String>) {
        self.decided.retain(|decided| decided.id != id);
        self.decided.push(Decided { id, sequence, state, reason });
        let over = self.decided.len().saturating_sub(DECIDED);
        self.decided.drain(..over);
    }

    /// The offer is at this step now.
    pub fn walk(&mut self, step: Step, reason: Option<String>) {
        if let Some(offer) = &mut self.offer {
            (offer.step, offer.reason) = (step, reason);
        }
    }

    /// Ends the offer.
    pub fn end_offer(&mut self, step: Step, reason: Option<String>) {
        self.walk(step, reason.clone());
        if let Some(offer) = &self.offer {
            let (id, sequence) = (offer.id, offer.head.sequence);
            self.deaths.remove(&id);
            self.decide(id, sequence, step, reason);
        }
    }

    /// The offer goes into service; what served before is kept, but a local head in the place of another leaves the one
    /// before both. `configured` is the digest of the configured head's network.
    pub fn commit(&mut self, configured: &str) {
        if let Some(offer) = &self.offer {
            let before = self.active.replace(offer.head.clone());
            let is_local = |head: &HeadFacts| head.origin == LOCAL;
            if !(is_local(&offer.head) && before.as_ref().is_some_and(is_local)) {
                self.previous = before;
            }
            self.configured = Some(configured.to_owned());
        }
        self.end_offer(Step::Active, None);
    }

    /// The head in service leaves it for ever; the previous one, or the configured one, takes its place.
    pub fn roll_back(&mut self, reason: String) {
        let Some(active) = self.active.take() else { return };
        self.active = self.previous.take();
        let Some(id) = active.id else { return };
        self.deaths.remove(&id);
        self.decide(id, active.sequence, Step::RolledBack, Some(reason.clone()));
        if let Some(offer) = self.offer.as_mut().filter(|offer| offer.id == id) {
            offer.step = Step::RolledBack;
            offer.reason = Some(reason);
        }
    }

    /// A local head leaves service because a signed one is to be tried.
    pub fn give_way(&mut self, reason: String) {
        let Some(active) = self.active.take() else { return };
        self.active = self.previous.take();
        if let Some(id) = active.id {
            self.decide(id, active.sequence, Step::Superseded, Some(reason));
        }
    }

    /// Whether the head with this id was fitted here, by all that is known.
    pub fn is_local(&self, id: &ContentHash) -> bool {
        let stored = [&self.active, &self.previous].into_iter().flatten();
        let mut known = stored.chain(self.under_way().map(|offer| &offer.head));
        known.any(|head| head.id.as_ref() == Some(id) && head.origin == LOCAL && head.key.is_none())
    }

    /// Whether this head must never serve again.
    pub fn is_forgotten(&self, id: &ContentHash) -> bool {
        self.forgotten.contains(id)
    }

    /// Notes heads that must never serve again.
    pub fn forget(&mut self, heads: &[ContentHash]) {
        self.forgotten.retain(|known| !heads.contains(known));
        self.forgotten.extend(heads);
        let over = self.forgotten.len().saturating_sub(FORGOTTEN);
        self.forgotten.drain(..over);
    }

    /// Notes that the process died of this head once more.
    pub fn died_of(&mut self, id: ContentHash) -> u32 {
        let deaths = self.deaths.entry(id).or_default();
        *deaths += 1;
        *deaths
    }

    /// Ids of the heads whose files are needed.
    pub fn kept(&self) -> Vec<ContentHash> {
        let stored = [&self.active, &self.previous].into_iter().flatten().filter_map(|head| head.id);
        stored.chain([self.under_way(), self.next.as_ref()].into_iter().flatten().map(|offer| offer.id)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn facts(number: u64) -> HeadFacts {
        HeadFacts {
            id: Some(ContentHash::of(&number.to_le_bytes())),
            name: "bears".into(),
            version: number.to_string(),
            sequence: number,
            key: None,
            origin: "pushed".into(),
        }
    }

    fn offered(number: u64, step: Step) -> Offered {
        let head = facts(number);
        Offered { step, ..Offered::whole(head.id.unwrap(), head) }
    }

    fn offer(record: &mut Record, number: u64) {
        record.offer = Some(offered(number, Step::Trial));
    }

    #[test]
    fn a_rollback_returns_to_the_head_before_and_then_to_the_configured_one() {
        let mut record = Record::new();
        for number in [1, 2] {
            offer(&mut record, number);
            record.commit("configured");
        }
        assert_eq!((record.active.clone(), record.previous.clone()), (Some(facts(2)), Some(facts(1))));
        record.roll_back("bad".into());
        assert_eq!((record.active.clone(), record.previous.clone()), (Some(facts(1)), None));
        assert_eq!(record.offer.as_ref().unwrap().step, Step::RolledBack);
        assert_eq!(record.decision(&facts(2).id.unwrap()).unwrap().state, Step::RolledBack);
        record.roll_back("bad too".into());
        assert_eq!(record.active, None);
        record.roll_back("nothing to roll back".into());
        assert_eq!(record.decided.len(), 2);
    }

    #[test]
    fn decisions_are_remembered_once_each_and_not_without_end() {
        let mut record = Record::new();
        for number in 0..200 {
            record.decide(facts(number).id.unwrap(), number, Step::Rejected, None);
            record.decide(facts(199).id.unwrap(), 199, Step::Rejected, None);
        }
        assert_eq!(record.decided.len(), DECIDED);
        assert_eq!(record.decided.iter().filter(|decided| decided.sequence == 199).count(), 1);
    }

    #[test]
    fn a_local_head_in_the_place_of_another_can_still_be_rolled_back_to_the_signed_one() {
        let mut record = Record::new();
        offer(&mut record, 1);
        record.commit("configured");
        for number in [2, 3] {
            offer(&mut record, number);
            let offered = record.offer.as_mut().unwrap();
            offered.head.origin = LOCAL.into();
            let id = offered.id;
            assert!(record.is_local(&id));
            record.commit("configured");
        }
        assert_eq!(record.previous, Some(facts(1)));
        record.give_way("a signed head came".into());
        assert_eq!((record.active.clone(), record.previous.clone()), (Some(facts(1)), None));
        assert!(!record.is_local(&facts(1).id.unwrap()));
    }

    #[test]
    fn what_is_forgotten_outlives_any_number_of_decisions() {
        let mut record = Record::new();
        record.forget(&[facts(500).id.unwrap()]);
        for number in 0..200 {
            record.decide(facts(number).id.unwrap(), number, Step::Rejected, None);
            record.forget(&[facts(number).id.unwrap()]);
        }
        assert!(record.is_forgotten(&facts(500).id.unwrap()));
        (200..400).for_each(|number| record.forget(&[facts(number).id.unwrap()]));
        assert_eq!(record.forgotten.len(), FORGOTTEN);
    }

    #[test]
    fn a_head_awaited_beside_a_trial_gives_way_to_later_ones_alone_and_goes_on_when_the_trial_ends() {
        let mut record = Record::new();
        offer(&mut record, 1);
        assert_eq!((record.awaited(), record.latest().unwrap().head.sequence), (None, 1));
        assert_eq!(record.open_beside(offered(2, Step::Receiving), "later"), None);
        assert_eq!(record.open_beside(offered(4, Step::Receiving), "later"), Some(facts(2)));
        assert_eq!((record.awaited().unwrap().id, record.kept().len()), (facts(4).id.unwrap(), 2));
        // One that came whole, from between both: it is tried, and the later one is awaited all the same.
        assert_eq!(record.open(offered(3, Step::Verified), "later"), [facts(1)]);
        assert_eq!(record.awaited().unwrap().head.sequence, 4);
        assert!(!record.go_on(), "the trial is not over");
        record.end_offer(Step::RolledBack, None);
        assert!(record.go_on() && !record.go_on());
        assert_eq!((record.under_way(), record.next.clone()), (Some(&offered(4, Step::Receiving)), None));
        assert_eq!(record.awaited(), record.under_way());
        let states: Vec<_> = record.decided.iter().map(|decided| (decided.sequence, decided.state)).collect();
        assert_eq!(states, [(2, Step::Superseded), (1, Step::Superseded), (3, Step::RolledBack)]);
    }

    #[test]
    fn a_head_that_was_awaited_takes_the_place_of_the_one_tried_once() {
        let mut record = Record::new();
        offer(&mut record, 1);
        record.open_beside(offered(2, Step::Receiving), "later");
        assert_eq!(record.open(offered(2, Step::Verified), "later"), [facts(1)]);
        assert_eq!((record.next.clone(), record.under_way()), (None, Some(&offered(2, Step::Verified))));
        record.open_beside(offered(3, Step::Receiving), "later");
        // A later one whole takes the place of both.
        assert_eq!(record.open(offered(4, Step::Verified), "later"), [facts(2), facts(3)]);
        assert_eq!(record.next, None);
    }

    #[test]
    fn a_record_from_before_heads_were_awaited_beside_others_is_read() {
        let mut record = Record::new();
        offer(&mut record, 1);
        let mut old = serde_json::to_value(&record).unwrap();
        old.as_object_mut().unwrap().remove("next").unwrap();
        assert_eq!(serde_json::from_value::<Record>(old).unwrap(), record);
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut record = Record::new();
        offer(&mut record, 1);
        record.commit("abc");
        offer(&mut record, 2);
        record.offer.as_mut().unwrap().scopes.push(Scope::Group("coast".into()));
        record.died_of(facts(2).id.unwrap());
        record.open_beside(offered(3, Step::Receiving), "later");
        let text = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<Record>(&text).unwrap(), record);
    }
}
