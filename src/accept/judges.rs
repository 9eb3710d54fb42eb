//! The heads that look at a frame's features: the proven one, and beside it one that is watched or tried.
//!
//! During a trial alerts are the union, and the proven head goes first: what it calls an alert goes out as ever, and
//! where it is silent the new one may speak. So a trial can add alerts but never take one away.

use std::sync::{Arc, Mutex, PoisonError};

use crate::classifier::{ClassifyError, guarded};
use crate::config::Alerts;
use crate::detect::{Rules, RulesError, Verdict};
use crate::frame::ContentHash;
use crate::model::{Head, HeadScores};

/// A head with the rules that its scores are held against.
pub struct Judge {
    head: Head,
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
    /// The answer that counts.
    pub opinion: Opinion,
    /// Whose it is.
    pub judge: Arc<Judge>,
    /// What is to be learned of the candidate, or that the proven head failed.
    pub observation: Option<Observation>,
}

/// What is to be learned from one frame; an `Err` says how a head failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
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
        Ok(Self { head, rules })
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
        let scores = guarded("classify", || self.head.look(features))??;
        let verdict = self.rules.judge(&scores.labels, scores.novel);
        Ok(Opinion { scores, verdict })
    }
}

impl Judges {
    /// The proven head alone.
    pub fn alone(judge: Judge) -> Self {
        Self { proven: Arc::new(judge), candidate: None }
    }

    /// Lets them look at one frame's features.
    ///
    /// # Errors
    /// The proven head's, if nobody else may speak for it.
    pub fn judge(&self, features: &[f32]) -> Result<Judgement, (ClassifyError, Option<Observation>)> {
        let proven = self.proven.look(features);
        let tried = self.candidate.as_ref().map(|candidate| candidate.judge.look(features));
        let told = |answer: &Result<Opinion, ClassifyError>| match answer {
            Ok(opinion) => Ok(opinion.clone()),
            Err(error) => Err(error.to_string()),
        };
        let observation = (tried.is_some() || proven.is_err()).then(|| Observation {
            candidate: self.candidate.as_ref().map(|candidate| candidate.id),
            proven: told(&proven),
            tried: tried.as_ref().map(told),
        });
        let heard = self.candidate.as_ref().filter(|candidate| candidate.stage == Stage::Trial);
        match (proven, heard.zip(tried.and_then(Result::ok))) {
            (Ok(proven), Some((candidate, tried))) if tried.verdict.alert && !proven.verdict.alert => {
                Ok(Judgement { opinion: tried, judge: candidate.judge.clone(), observation })
            }
            (Ok(proven), _) => Ok(Judgement { opinion: proven, judge: self.proven.clone(), observation }),
            (Err(_), Some((candidate, tried))) => {
                Ok(Judgement { opinion: tried, judge: candidate.judge.clone(), observation })
            }
            (Err(error), None) => Err((error, observation)),
        }
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
