//! Whether a head that is tried may stay: judged by the frames that it and the proven one looked at. Pure.

use super::judges::{Observation, Opinion};
use super::report::TrialReport;

/// Frames before disagreement counts: the first two might be anything.
const SOME_FRAMES: u64 = 10;
/// Confident alerts that a head may drop before it is sent back, if they are more than one in [`DROPPED_OF`].
const DROPPED: u64 = 2;
const DROPPED_OF: u64 = 5;

/// What a trial asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    /// Frames.
    pub frames: u64,
    /// Confident alerts of the proven head that were confirmed.
    pub alerts: u64,
    /// Largest part of the frames on which one alerts and the other does not, 0 to 1.
    pub max_disagreement: f32,
}

/// What becomes of the trial.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// More frames; and what it waits for, once there were frames enough.
    GoOn(Option<String>),
    /// It may stay.
    Keep,
    /// It must go, and why.
    Return(String),
}

/// Counts one frame. A frame that the proven head could not judge either says nothing of the new one.
///
/// # Errors
/// How the new head failed where the proven one did not.
pub(super) fn note(report: &mut TrialReport, observation: &Observation) -> Result<(), String> {
    let (proven, tried) = match (&observation.proven, &observation.tried) {
        (Ok(proven), Some(Ok(tried))) => (&proven.verdict, &tried.verdict),
        (Ok(_), Some(Err(failure))) => return Err(format!("it failed on a frame: {failure}")),
        _ => return Ok(()),
    };
    let confident = is_confident(observation.proven.as_ref().ok());
    let confirmed = proven.alert && tried.alert && proven.label == tried.label;
    report.frames += 1;
    report.agreed_alerts += u64::from(confirmed);
    report.new_alerts += u64::from(tried.alert && !proven.alert);
    report.dropped_alerts += u64::from(proven.alert && !confirmed);
    report.confident += u64::from(confident);
    report.dropped_confident += u64::from(confident && !confirmed);
    report.other_label += u64::from(proven.label != tried.label);
    Ok(())
}

/// An alert in the upper half of what is between its threshold and certainty.
fn is_confident(opinion: Option<&Opinion>) -> bool {
    opinion
        .map(|opinion| &opinion.verdict)
        .is_some_and(|verdict| verdict.alert && verdict.confidence >= f32::midpoint(verdict.threshold, 1.0))
}

/// What becomes of a trial that went so far. `comparable`: both heads can alert with a label in common.
pub(super) fn outcome(report: &TrialReport, bounds: &Bounds, comparable: bool) -> Outcome {
    let TrialReport { frames, new_alerts, dropped_alerts, dropped_confident, confident, .. } = *report;
    if comparable && dropped_confident >= DROPPED && dropped_confident * DROPPED_OF > confident {
        return Outcome::Return(format!(
            "it dropped {dropped_confident} of {confident} alerts of which the head before was confident"
        ));
    }
    // Without a common label every alert of either is one that the other does not have.
    let differing = new_alerts + dropped_alerts;
    if comparable && frames >= SOME_FRAMES && differing as f64 > frames as f64 * f64::from(bounds.max_disagreement) {
        return Outcome::Return(format!(
            "on {differing} of {frames} frames one head alerts and the other does not, more than heads.max_disagreement allows"
        ));
    }
    if frames < bounds.frames {
        return Outcome::GoOn(None);
    }
    let confirmed = confident - dropped_confident;
    if comparable && confirmed < bounds.alerts {
        return Outcome::GoOn(Some(format!(
            "it has confirmed {confirmed} of the {} confident alerts that it must see before it serves alone",
            bounds.alerts
        )));
    }
    Outcome::Keep
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::detect::Verdict;
    use crate::model::HeadScores;

    const BOUNDS: Bounds = Bounds { frames: 20, alerts: 1, max_disagreement: 0.5 };

    fn opinion(label: &str, confidence: f32, alert: bool) -> Result<Opinion, String> {
        let scores = HeadScores { labels: vec![(label.into(), confidence)], novelty: None, novel: None };
        let verdict = Verdict { label: label.into(), confidence, threshold: 0.5, alert, rule: String::new() };
        Ok(Opinion { scores, verdict })
    }

    fn bear(confidence: f32) -> Result<Opinion, String> {
        opinion("polar_bear", confidence, confidence >= 0.5)
    }

    fn other() -> Result<Opinion, String> {
        opinion("other", 0.9, false)
    }

    /// Plays frames until something is decided; the answer and after how many frames.
    fn play(frames: impl Iterator<Item = (Result<Opinion, String>, Result<Opinion, String>)>) -> (Outcome, u64) {
        let mut report = TrialReport::default();
        for (proven, tried) in frames {
            let observation = Observation { in_service: String::new(), candidate: None, proven, tried: Some(tried) };
            if let Err(failure) = note(&mut report, &observation) {
                return (Outcome::Return(failure), report.frames);
            }
            match outcome(&report, &BOUNDS, true) {
                Outcome::GoOn(_) => {}
                decided => return (decided, report.frames),
            }
        }
        (outcome(&report, &BOUNDS, true), report.frames)
    }

    #[test]
    fn a_head_that_agrees_is_kept_after_its_frames() {
        let frames = (0..40).map(|frame| if frame == 3 { (bear(0.9), bear(0.8)) } else { (other(), other()) });
        assert_eq!(play(frames), (Outcome::Keep, 20));
    }

    #[test]
    fn a_head_that_calls_everything_other_is_sent_back_at_the_second_bear() {
        let frames = (0..100).map(|frame| if frame % 40 == 3 { (bear(0.9), other()) } else { (other(), other()) });
        let (outcome, frames) = play(frames);
        assert!(matches!(outcome, Outcome::Return(ref why) if why.contains("dropped 2 of 2")), "{outcome:?}");
        assert_eq!(frames, 44);
    }

    #[test]
    fn without_a_bear_nobody_can_tell_and_the_trial_goes_on() {
        let (outcome, _) = play((0..500).map(|_| (other(), other())));
        assert!(matches!(outcome, Outcome::GoOn(Some(_))), "{outcome:?}");
    }

    #[test]
    fn a_head_that_calls_everything_a_bear_is_sent_back() {
        let (outcome, frames) = play((0..100).map(|_| (other(), bear(0.9))));
        assert!(matches!(outcome, Outcome::Return(_)), "{outcome:?}");
        assert_eq!(frames, SOME_FRAMES);
    }

    #[test]
    fn false_alerts_without_confidence_may_be_dropped() {
        let frames = (0..40).map(|frame| match frame % 10 {
            0 => (bear(0.9), bear(0.9)),
            1 | 2 => (bear(0.6), other()),
            _ => (other(), other()),
        });
        assert_eq!(play(frames), (Outcome::Keep, 20));
    }

    #[test]
    fn one_failure_sends_a_head_back_unless_the_proven_one_failed_too() {
        let broken = || Err("a value that is not a number".to_owned());
        assert!(matches!(play([(other(), broken())].into_iter()), (Outcome::Return(_), 0)));
        assert_eq!(play([(broken(), broken())].into_iter()), (Outcome::GoOn(None), 0));
    }

    #[test]
    fn heads_for_other_animals_are_not_held_against_each_other() {
        let report = TrialReport { frames: 20, new_alerts: 15, dropped_alerts: 5, ..TrialReport::default() };
        assert_eq!(outcome(&report, &BOUNDS, false), Outcome::Keep);
        assert!(matches!(outcome(&report, &BOUNDS, true), Outcome::Return(_)));
    }
}
