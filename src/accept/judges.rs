//! The heads that look at a frame's features: the proven one, and beside it one that is watched or tried.
//!
//! During a trial alerts are the union, and the proven head goes first: what it calls an alert goes out as ever, and
//! where it is silent the new one may speak. So a trial can add alerts but never take one away.

use std::collections::BTreeSet;
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};

use super::fault;
use crate::classifier::{ClassifyError, guarded};
use crate::config::Alerts;
use crate::detect::{Rules, RulesError, Verdict};
use crate::frame::ContentHash;
use crate::model::{Head, HeadScores};

/// What `decision.rule` says behind the rule of a head that is not proven yet.
const ON_TRIAL: &str = " (head on trial)";

/// A head with the rules that its scores are held against.
pub struct Judge {
    head: Arc<Head>,
    rules: Rules,
}

/// How much a head that is not proven yet has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It looks, and nobody hears it.
    Shadow,
    /// What it calls an alert is one.
    Trial,
}

/// A head that is not proven yet.
#[derive(Clone)]
pub struct Candidate {
    /// sha256 of its manifest.
    pub id: ContentHash,
    /// The head.
    pub judge: Arc<Judge>,
    /// How much it has to say.
    pub stage: Stage,
}

/// Those who judge now.
#[derive(Clone)]
pub struct Judges {
    /// Its word always counts.
    pub proven: Arc<Judge>,
    /// Beside it.
    pub candidate: Option<Candidate>,
}

/// One head's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// Scores and novelty.
    pub scores: HeadScores,
    /// What the rules make of them.
    pub verdict: Verdict,
}

/// What the judges say of one frame.
pub struct Judgement {
    /// The answer that counts, and whose it is; the proven head's error if nobody else may speak for it.
    pub answer: Result<(Opinion, Arc<Judge>), ClassifyError>,
    /// What is to be learned of the candidate, or that the proven head failed.
    pub observation: Option<Observation>,
}

/// What is to be learned from one frame; an `Err` says how a head failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// sha256 of the proven head's network, hex. The judges may have changed since the frame was begun.
    pub in_service: String,
    /// The candidate that looked; none: only the proven head did.
    pub candidate: Option<ContentHash>,
    /// The proven head's answer.
    pub proven: Result<Opinion, String>,
    /// The candidate's answer.
    pub tried: Option<Result<Opinion, String>>,
}

impl Judge {
    /// Joins a head with the configured rules.
    ///
    /// # Errors
    /// [`RulesError`] if the head knows no label that could alert.
    pub fn new(head: Head, alerts: &Alerts) -> Result<Self, RulesError> {
        let rules = Rules::new(alerts, head.manifest())?;
        Ok(Self { head: Arc::new(head), rules })
    }

    /// The same head under other rules.
    ///
    /// # Errors
    /// As [`Judge::new`].
    pub fn under(&self, alerts: &Alerts) -> Result<Self, RulesError> {
        let rules = Rules::new(alerts, self.head.manifest())?;
        Ok(Self { head: self.head.clone(), rules })
    }

    /// The trained layers.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Which labels alert.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What it makes of these features; a panic in it is an error.
    ///
    /// # Errors
    /// [`ClassifyError::Model`] and [`ClassifyError::Panic`].
    pub fn look(&self, features: &[f32]) -> Result<Opinion, ClassifyError> {
        let look = || {
            fault::panic_in(|| self.head.title());
            self.head.look(features)
        };
        let scores = guarded("classify", look)??;
        let verdict = self.rules.judge(&scores.labels, scores.novel);
        Ok(Opinion { scores, verdict })
    }
}

impl Judges {
    /// The proven head alone.
    pub fn alone(judge: Judge) -> Self {
        Self { proven: Arc::new(judge), candidate: None }
    }

    /// Labels that may alert, the candidate's among them.
    pub fn alerting(&self) -> BTreeSet<String> {
        let candidate = self.candidate.as_ref().map(|candidate| &candidate.judge);
        let rules = iter::once(&self.proven).chain(candidate).map(|judge| judge.rules());
        rules.flat_map(|rules| rules.alerting().map(|(label, _)| label.to_owned())).collect()
    }

    /// Lets them look at one frame's features.
    pub fn judge(&self, features: &[f32]) -> Judgement {
        let proven = self.proven.look(features);
        let tried = self.candidate.as_ref().map(|candidate| candidate.judge.look(features));
        let told = |answer: &Result<Opinion, ClassifyError>| answer.as_ref().cloned().map_err(ToString::to_string);
        let observation = (tried.is_some() || proven.is_err()).then(|| Observation {
            in_service: self.proven.head.sha256().to_owned(),
            candidate: self.candidate.as_ref().map(|candidate| candidate.id),
            proven: told(&proven),
            tried: tried.as_ref().map(told),
        });
        let speaks = self.candidate.as_ref().filter(|candidate| candidate.stage == Stage::Trial);
        let tried = speaks.zip(tried.and_then(Result::ok)).filter(|(_, tried)| match &proven {
            Ok(proven) => tried.verdict.alert && !proven.verdict.alert,
            Err(_) => true,
        });
        let answer = match tried {
            Some((candidate, mut opinion)) => {
                opinion.verdict.rule.push_str(ON_TRIAL);
                Ok((opinion, candidate.judge.clone()))
            }
            None => proven.map(|opinion| (opinion, self.proven.clone())),
        };
        Judgement { answer, observation }
    }
}

/// Where the judges sit: changed between two frames, while frames keep coming.
#[derive(Clone)]
pub struct Seat {
    judges: Arc<Mutex<Arc<Judges>>>,
}

impl Seat {
    /// Seats the first judges.
    pub fn new(judges: Judges) -> Self {
        Self { judges: Arc::new(Mutex::new(Arc::new(judges))) }
    }

    /// Those who judge now. Whoever took them keeps them for the frame in work.
    pub fn judges(&self) -> Arc<Judges> {
        self.judges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From the next frame on these judge.
    pub fn set(&self, judges: Judges) {
        *self.judges.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(judges);
    }
}

#[cfg(test)]
#[path = "judges_tests.rs"]
mod tests;
