//! What the acceptor says of its heads: in the log and the trail, and on `head/state`.

use time::OffsetDateTime;

use super::acceptor::Acceptor;
use super::inbox::Order;
use super::record::Offered;
use super::report::{Decided, HeadFacts, OfferReport, Report, Step, TrialReport, ranges};
use crate::classifier::rfc3339;
use crate::journal::HeadEntry;

/// Ranges of missing pieces that are told.
const MISSING: usize = 200;
/// Decisions that are told.
const TOLD: usize = 8;

impl Acceptor {
    /// A line in the log and in the journal.
    pub(super) fn told(&mut self, step: Step, head: &HeadFacts, reason: Option<&str>) {
        let key = head.key.as_deref().unwrap_or("none");
        let (name, version, sequence) = (&head.name, &head.version, head.sequence);
        match step {
            Step::Rejected | Step::RolledBack => {
                tracing::warn!(key, sequence, "head {name} {version}: {step}: {}", reason.unwrap_or("no reason"));
            }
            _ => tracing::info!(key, sequence, "head {name} {version}: {step}"),
        }
        let entry = HeadEntry {
            at: rfc3339(OffsetDateTime::now_utc()),
            step: step.name().to_owned(),
            manifest: head.id.map(|id| id.to_string()),
            name: name.clone(),
            version: version.clone(),
            sequence,
            key: head.key.clone(),
            origin: head.origin.clone(),
            reason: reason.map(str::to_owned),
        };
        if let Err(error) = self.log.append(&entry) {
            tracing::error!("{error}; the step counts all the same");
        }
    }

    /// Tells the broker how the heads stand.
    pub(super) fn publish(&mut self) {
        self.untold = false;
        self.refused_told = self.refused.count;
        match serde_json::to_vec(&self.report()) {
            Ok(body) => drop(self.orders.send(Order::State(body))),
            Err(error) => tracing::error!("head/state can't be written: {error}"),
        }
    }

    pub(super) fn report(&self) -> Report {
        let record = &self.record;
        let configured = || self.configured.facts.clone();
        let tell = |offer: &Offered| {
            let receiving = self.receiving.as_ref().filter(|receiving| receiving.id == offer.id);
            let have = receiving.map(|receiving| receiving.have.as_slice()).unwrap_or_default();
            let missing = (0u32..).zip(have).filter(|(_, have)| !**have).map(|(piece, _)| piece);
            let tried = offer.step == Step::Trial || offer.trial.frames > 0;
            OfferReport {
                head: offer.head.clone(),
                state: offer.step,
                reason: offer.reason.clone(),
                received: if offer.step.awaits_pieces() {
                    have.iter().filter(|have| **have).count() as u32
                } else {
                    offer.pieces
                },
                pieces: offer.pieces,
                missing: ranges(missing, MISSING),
                trial: tried.then(|| TrialReport { of: self.settings.trial_frames, ..offer.trial.clone() }),
            }
        };
        let (mut offer, mut next) = (record.offer.as_ref().map(tell), record.next.as_ref().map(tell));
        // One that finds no room, where there is none under way that would be hidden.
        if record.under_way().is_none() {
            offer = self.aside.waiting().or(offer);
        } else if next.is_none() {
            next = self.aside.waiting();
        }
        Report {
            schema: 1,
            trap: self.trap.name.clone(),
            groups: self.trap.groups.clone(),
            at: rfc3339(OffsetDateTime::now_utc()),
            backbone: self.trap.backbone.id.clone(),
            backbone_sha256: self.trap.backbone.sha256.clone(),
            max_bytes: self.trap.max_bytes,
            active: record.active.clone().unwrap_or_else(configured),
            previous: record.active.as_ref().map(|_| record.previous.clone().unwrap_or_else(configured)),
            floor: record.floor,
            ceiling: record.floor.saturating_add(self.trap.max_jump),
            offer,
            next,
            decided: self.decided(),
            refused: self.refused.clone(),
            local: self.local(),
        }
    }

    /// Those that were refused at the door come first, and leave room for the others.
    fn decided(&self) -> Vec<Decided> {
        let others = &self.record.decided;
        let refused = self.aside.refused(TOLD - others.len().min(TOLD / 2)).count();
        let others = others.iter().skip(others.len().saturating_sub(TOLD - refused));
        self.aside.refused(refused).chain(others).cloned().collect()
    }
}
