//! Which heads serve: trying a new one, keeping it or returning to the one before.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use super::acceptor::Acceptor;
use super::fault;
use super::inbox::Answer;
use super::judges::{Candidate, Judge, Judges, Observation, Stage};
use super::record::DEATHS;
use super::report::{LOCAL, Step, TrialReport};
use super::trial::{self, Outcome};
use crate::classifier::guarded;
use crate::config::Alerts;
use crate::detect::RulesError;
use crate::frame::ContentHash;

/// Frames of a trial between two saves of its counts: flash wears.
const SAVE_EVERY: u64 = 16;

impl Acceptor {
    /// Loads a head that is here whole and lets it look at frames.
    pub(super) fn try_out(&mut self) {
        let Some(offer) = self.record.under_way().cloned() else { return };
        let deaths = self.record.deaths.get(&offer.id).copied().unwrap_or_default();
        let loaded =
            if deaths < DEATHS { self.load(&offer.id) } else { Err(anyhow!("the daemon died {deaths} times of it")) };
        let judge = match loaded {
            Ok(judge) => Arc::new(judge),
            Err(error) if self.may_pass(&error) => {
                tracing::error!("{error:#}; it is tried again");
                return;
            }
            Err(error) => {
                let step = if offer.step == Step::Trial { Step::RolledBack } else { Step::Rejected };
                let _ = self.end(step, &format!("{error:#}"));
                return;
            }
        };
        match self.admit(offer.step) {
            Ok(stage) => {
                self.candidate = Some(Candidate { id: offer.id, judge, stage });
                self.take_seats();
                // Who hears that it is tried may rely on it: the next frame counts.
                self.publish();
            }
            Err(error) => tracing::error!("{error:#}; the head is tried again"),
        }
    }

    /// The steps from a loaded head to one that looks at frames; for one that did so before, none.
    fn admit(&mut self, step: Step) -> Result<Stage> {
        match step {
            Step::Shadow => return Ok(Stage::Shadow),
            Step::Trial => return Ok(Stage::Trial),
            _ => self.step(Step::CanariesPassed, None)?,
        }
        self.give_way()?;
        if self.settings.shadow_frames > 0 {
            self.put(Step::Shadow, |record| record.walk(Step::Shadow, None))?;
            return Ok(Stage::Shadow);
        }
        self.begin_trial()?;
        Ok(Stage::Trial)
    }

    /// A local head in service leaves it before a signed one is tried, or the signed one would be judged by it.
    fn give_way(&mut self) -> Result<()> {
        let signed = self.record.under_way().is_some_and(|offer| offer.head.origin != LOCAL);
        let Some(active) = self.record.active.clone().filter(|active| signed && active.origin == LOCAL) else {
            return Ok(());
        };
        let reason = "a signed head came";
        let mut changed = self.record.clone();
        changed.give_way(reason.to_owned());
        self.store.save(&changed)?;
        self.record = changed;
        self.told(Step::Superseded, &active, Some(reason));
        self.seat_the_one_before();
        Ok(())
    }

    /// From here on no head of this or a lower sequence is taken, whatever becomes of this one.
    fn begin_trial(&mut self) -> Result<()> {
        self.put(Step::Trial, |record| {
            record.walk(Step::Trial, None);
            if let Some(offer) = &mut record.offer {
                offer.trial = TrialReport::default();
                record.floor = record.floor.max(offer.head.sequence);
            }
        })
    }

    /// Loads a stored head, proven once more: signature, digests, network, canaries. If the process dies of it, the next
    /// one knows.
    pub(super) fn load(&mut self, id: &ContentHash) -> Result<Judge> {
        self.record.loading = Some(*id);
        self.keep_record();
        let (keys, store, alerts) = (self.keys(), &self.store, &self.trap.alerts);
        let local = self.record.is_local(id);
        let load = || -> Result<Judge> {
            let head = store.head(id, &keys, local)?.head()?;
            let (wanted, found) = (&head.manifest().backbone, &self.trap.backbone);
            if wanted.sha256.eq_ignore_ascii_case(&found.sha256) && wanted.features == found.features {
                Ok(Judge::new(head, alerts)?)
            } else {
                Err(anyhow!("it was trained on backbone {}, and {} is loaded", wanted.id, found.id))
            }
        };
        let loaded = guarded("load", load).map_err(anyhow::Error::new).and_then(|loaded| loaded);
        fault::point("head loaded");
        self.record.loading = None;
        self.keep_record();
        loaded
    }

    /// Puts all heads under other rules, from the next frame on.
    ///
    /// # Errors
    /// The head in service can't alert under them: nothing is changed.
    pub(super) fn judge_by(&mut self, alerts: Alerts) -> Result<(), RulesError> {
        self.proven = Arc::new(self.proven.under(&alerts)?);
        // It serves only where no other can, and must not be lost for a label that it does not know.
        if let Ok(judge) = self.configured.judge.under(&alerts) {
            self.configured.judge = Arc::new(judge);
        }
        let tried = self.candidate.take().map(|candidate| (candidate.judge.under(&alerts), candidate));
        self.trap.alerts = alerts;
        match tried {
            Some((Ok(judge), candidate)) => self.candidate = Some(Candidate { judge: Arc::new(judge), ..candidate }),
            Some((Err(error), candidate)) => {
                let step = if candidate.stage == Stage::Trial { Step::RolledBack } else { Step::Rejected };
                let _ = self.end(step, &error.to_string());
            }
            None => {}
        }
        let rules = self.proven.rules();
        for warning in rules.warnings() {
            tracing::warn!("{warning}");
        }
        tracing::info!("alerting from now on: {}", rules.in_words());
        self.take_seats();
        Ok(())
    }

    /// Seats those who judge from the next frame on.
    pub(super) fn take_seats(&mut self) {
        self.status.set_head(&self.proven.head().title());
        self.seat.set(Judges { proven: self.proven.clone(), candidate: self.candidate.clone() });
    }

    /// Learns from one frame.
    pub(super) fn observed(&mut self, observation: &Observation) {
        // Another one may serve by now, which is not to blame.
        let serves = observation.in_service == self.proven.head().sha256();
        let failed = observation.proven.as_ref().err().filter(|_| serves && self.record.active.is_some());
        if let Some(failure) = failed.cloned() {
            self.roll_back(&format!("it failed on a frame: {failure}"));
        }
        let current = self.candidate.as_ref().is_some_and(|candidate| observation.candidate == Some(candidate.id));
        let Some(offer) = self.record.offer.as_mut().filter(|offer| current && !offer.step.is_final()) else { return };
        let noted = trial::note(&mut offer.trial, observation);
        let (id, step, frames) = (offer.id, offer.step, offer.trial.frames);
        let ends = if step == Step::Shadow { Step::Rejected } else { Step::RolledBack };
        if let Err(failure) = noted {
            let _ = self.end(ends, &failure);
            return;
        }
        let survived = self.record.deaths.remove(&id).is_some();
        match self.outcome(step) {
            Outcome::Return(reason) => drop(self.end(ends, &reason)),
            Outcome::Keep if step == Step::Shadow => {
                if self.begin_trial().is_ok()
                    && let Some(candidate) = &mut self.candidate
                {
                    candidate.stage = Stage::Trial;
                    self.take_seats();
                    self.publish();
                }
            }
            Outcome::Keep => self.commit(),
            Outcome::GoOn(waits) => {
                let news = self.record.offer.as_ref().is_some_and(|offer| offer.reason.is_some() != waits.is_some());
                if let Some(offer) = &mut self.record.offer {
                    offer.reason = waits;
                }
                if news || survived || frames % SAVE_EVERY == 0 {
                    self.keep_record();
                    self.publish();
                }
            }
        }
    }

    fn outcome(&self, step: Step) -> Outcome {
        let (Some(offer), Some(candidate)) = (&self.record.offer, &self.candidate) else { return Outcome::GoOn(None) };
        let mut bounds = self.bounds();
        if step == Step::Shadow {
            (bounds.frames, bounds.alerts) = (self.settings.shadow_frames, 0);
        }
        let labels = |judge: &Judge| -> BTreeSet<String> {
            judge.rules().alerting().map(|(label, _)| label.to_owned()).collect()
        };
        let comparable = !labels(&self.proven).is_disjoint(&labels(&candidate.judge));
        trial::outcome(&offer.trial, &bounds, comparable)
    }

    fn commit(&mut self) {
        let digest = self.configured.judge.head().sha256().to_owned();
        // On failure the trial simply goes on: the next frame asks again.
        if self.put(Step::Active, |record| record.commit(&digest)).is_err() {
            return;
        }
        if let Some(candidate) = self.candidate.take() {
            self.proven = candidate.judge;
        }
        self.take_seats();
        // Who hears that it serves may rely on it.
        self.publish();
        self.sweep();
        self.go_on();
    }

    /// The head in service leaves it; the one before takes its place at once.
    pub(super) fn roll_back(&mut self, reason: &str) {
        let Some(active) = self.record.active.clone() else { return };
        self.told(Step::RolledBack, &active, Some(reason));
        fault::point("before rolled_back");
        self.record.roll_back(reason.to_owned());
        self.keep_record();
        fault::point("after rolled_back");
        self.seat_the_one_before();
    }

    /// Seats what the record now says is in service.
    fn seat_the_one_before(&mut self) {
        self.proven = self.configured.judge.clone();
        if let Some(id) = self.record.active.as_ref().and_then(|active| active.id) {
            match self.load(&id) {
                Ok(judge) => self.proven = Arc::new(judge),
                Err(error) if self.may_pass(&error) => self.serve_the_configured(&error),
                Err(error) => return self.roll_back(&format!("{error:#}")),
            }
        }
        self.take_seats();
        self.publish();
    }

    /// The disk is to blame, not the head: the configured one serves for now, and the next start tries again.
    pub(super) fn serve_the_configured(&self, error: &anyhow::Error) {
        let text = format!("{error:#}; the configured head serves until the next start");
        tracing::error!("{text}");
        self.status.warn("heads", Some(text));
    }

    /// Somebody at this machine wants the head before.
    pub(super) fn roll_back_by_hand(&mut self) -> Answer {
        if let Some(offer) = self.record.under_way().cloned() {
            let step = if offer.step == Step::Trial { Step::RolledBack } else { Step::Rejected };
            let name = format!("{} {}", offer.head.name, offer.head.version);
            return match self.end(step, "by hand, with `arcticd head rollback`") {
                Ok(()) => Answer::Done(format!("head {name} is {step}; {} serves as before", self.title())),
                Err(error) => Answer::Refused(format!("{error:#}")),
            };
        }
        let Some(active) = self.record.active.clone() else {
            return Answer::Refused(format!("{} is the configured head; there is none before it", self.title()));
        };
        self.roll_back("by hand, with `arcticd head rollback`");
        let name = format!("{} {}", active.name, active.version);
        if self.unsaved {
            return Answer::Refused(format!(
                "head {name} is out of service and {} serves, but the disk could not note it: a restart before it can, which \
                 is tried every minute, brings it back; see the log",
                self.title()
            ));
        }
        Answer::Done(format!("head {name} is out of service for ever; {} serves", self.title()))
    }

    fn title(&self) -> String {
        format!("head {}", self.proven.head().title())
    }

    /// Whether a head that can't be loaded now may be another time: the disk is to blame, or there is no key at all, as
    /// where the disk with the keys is not there yet.
    pub(super) fn may_pass(&self, error: &anyhow::Error) -> bool {
        is_passing(error) || self.keys().iter().next().is_none()
    }

    /// Takes heads out of service whose key is trusted no more.
    pub(super) fn revoke(&mut self) {
        // Without any key it is more likely that a disk is not there than that all were revoked.
        if self.known_keys.is_empty() {
            return;
        }
        let known = self.known_keys.clone();
        let revoked = |key: &Option<String>| key.as_ref().is_some_and(|key| !known.contains(key));
        let reason = "its key is trusted no more";
        // Before the one under way, which would be followed by it.
        if self.record.next.as_ref().is_some_and(|next| revoked(&next.head.key)) {
            let _ = self.end_next(Step::Rejected, reason);
        }
        if self.record.under_way().is_some_and(|offer| revoked(&offer.head.key)) {
            let step = self.record.under_way().map_or(Step::Rejected, |offer| offer.step);
            let _ = self.end(if step == Step::Trial { Step::RolledBack } else { Step::Rejected }, reason);
        }
        if self.record.previous.as_ref().is_some_and(|head| revoked(&head.key)) {
            self.record.previous = None;
            self.keep_record();
        }
        if self.record.active.as_ref().is_some_and(|head| revoked(&head.key)) {
            self.roll_back(reason);
        }
    }
}

/// Whether the disk is to blame rather than the head: it may go well another time.
fn is_passing(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|io| io.kind() != io::ErrorKind::NotFound && io.kind() != io::ErrorKind::UnexpectedEof)
}
