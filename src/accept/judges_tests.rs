#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::accept::testing::{fragile, judge, steady};
use crate::model::HeadBackbone;

const FEATURES: usize = 6;
/// What [`fragile`] heads bear.
const EASY: [f32; FEATURES] = [0.0; FEATURES];
/// What they do not.
const HARD: [f32; FEATURES] = [0.5; FEATURES];

fn made(name: &str, network: &[u8]) -> Arc<Judge> {
    let backbone = HeadBackbone { id: "test-net".into(), sha256: "00".repeat(32), features: FEATURES };
    Arc::new(judge(name, 1, backbone, network))
}

fn alerting(name: &str) -> Arc<Judge> {
    made(name, &steady(FEATURES, 0.75))
}

fn silent(name: &str) -> Arc<Judge> {
    made(name, &steady(FEATURES, 0.25))
}

fn broken(name: &str) -> Arc<Judge> {
    made(name, &fragile(FEATURES, 0.75))
}

fn id() -> ContentHash {
    ContentHash::of(b"manifest")
}

/// A `new` head beside the `old` one.
fn beside(proven: &Arc<Judge>, stage: Stage, judge: &Arc<Judge>) -> Judges {
    Judges { proven: proven.clone(), candidate: Some(Candidate { id: id(), judge: judge.clone(), stage }) }
}

/// Title of the head whose word counts, whether it alerts, and its rule.
fn word(judgement: &Judgement) -> (String, bool, String) {
    let (opinion, judge) = judgement.answer.as_ref().unwrap();
    (judge.head().title(), opinion.verdict.alert, opinion.verdict.rule.clone())
}

#[test]
fn a_head_alone_is_heard_and_there_is_nothing_to_learn() {
    for (judge, alert) in [(alerting("old"), true), (silent("old"), false)] {
        let judgement = Judges { proven: judge, candidate: None }.judge(&HARD);
        assert_eq!((word(&judgement).1, &judgement.observation), (alert, &None));
    }
}

#[test]
fn the_proven_head_s_alert_goes_out_as_ever_whatever_the_new_one_says() {
    for stage in [Stage::Shadow, Stage::Trial] {
        for new in [alerting("new"), silent("new"), broken("new")] {
            let judgement = beside(&alerting("old"), stage, &new).judge(&HARD);
            assert_eq!(word(&judgement), ("old 1".into(), true, "polar_bear alerts from 0.5".into()));
        }
    }
}

#[test]
fn a_head_on_trial_alerts_where_the_proven_one_is_silent_and_its_rule_says_so() {
    let judgement = beside(&silent("old"), Stage::Trial, &alerting("new")).judge(&HARD);
    assert_eq!(word(&judgement), ("new 1".into(), true, "polar_bear alerts from 0.5 (head on trial)".into()));
    let both_silent = beside(&silent("old"), Stage::Trial, &silent("new")).judge(&HARD);
    assert_eq!(word(&both_silent).0, "old 1");
}

#[test]
fn a_head_in_the_shadow_is_never_heard() {
    let judgement = beside(&silent("old"), Stage::Shadow, &alerting("new")).judge(&HARD);
    assert_eq!((word(&judgement).0.as_str(), word(&judgement).1), ("old 1", false));
    let failed = beside(&broken("old"), Stage::Shadow, &alerting("new")).judge(&HARD);
    assert!(failed.answer.is_err());
}

#[test]
fn a_head_on_trial_speaks_for_a_proven_one_that_fails() {
    for (new, alert) in [(alerting("new"), true), (silent("new"), false)] {
        let judgement = beside(&broken("old"), Stage::Trial, &new).judge(&HARD);
        assert_eq!((word(&judgement).0.as_str(), word(&judgement).1), ("new 1", alert));
        assert!(word(&judgement).2.ends_with(ON_TRIAL));
        let proven = judgement.observation.unwrap().proven;
        assert!(proven.as_ref().is_err_and(|why| why.contains("old 1") && why.contains("not a number")), "{proven:?}");
    }
}

#[test]
fn where_all_heads_fail_the_frame_has_no_verdict_but_its_failure_is_told() {
    for judges in [
        Judges { proven: broken("old"), candidate: None },
        beside(&broken("old"), Stage::Shadow, &broken("new")),
        beside(&broken("old"), Stage::Trial, &broken("new")),
    ] {
        let judgement = judges.judge(&HARD);
        let Err(error) = judgement.answer else { panic!("it was judged") };
        assert!(!error.is_final() && error.to_string().contains("old 1"), "{error}");
        let observation = judgement.observation.unwrap();
        assert!(observation.proven.is_err());
        assert_eq!(observation.tried.is_some(), judges.candidate.is_some());
        // The same heads judge a frame that does not break them.
        assert!(judges.judge(&EASY).answer.is_ok());
    }
}

#[test]
fn features_of_another_backbone_are_an_error_and_no_panic() {
    let judgement = Judges { proven: alerting("old"), candidate: None }.judge(&[0.5; FEATURES + 1]);
    assert!(judgement.answer.is_err() && judgement.observation.is_some());
}

#[test]
fn what_both_heads_said_is_observed_as_they_said_it() {
    let (old, new) = (silent("old"), alerting("new"));
    for stage in [Stage::Shadow, Stage::Trial] {
        let observation = beside(&old, stage, &new).judge(&HARD).observation.unwrap();
        assert_eq!(observation.in_service, old.head().sha256());
        assert_eq!(observation.candidate, Some(id()));
        let (proven, tried) = (observation.proven.unwrap(), observation.tried.unwrap().unwrap());
        assert_eq!((proven.verdict.alert, tried.verdict.alert), (false, true));
        assert_eq!(tried.verdict.rule, "polar_bear alerts from 0.5");
        let bear = |opinion: &Opinion| opinion.scores.labels[0].1;
        assert!((bear(&proven) - 0.25).abs() < 1e-6 && (bear(&tried) - 0.75).abs() < 1e-6);
    }
    let failed = beside(&old, Stage::Trial, &broken("new")).judge(&HARD).observation.unwrap();
    assert!(failed.proven.is_ok() && failed.tried.unwrap().is_err());
}

#[test]
fn judges_that_were_taken_stay_while_others_sit_down() {
    let seat = Seat::new(Judges { proven: alerting("old"), candidate: None });
    let taken = seat.judges();
    seat.clone().set(Judges { proven: alerting("new"), candidate: None });
    assert_eq!(taken.proven.head().title(), "old 1");
    assert_eq!(seat.judges().proven.head().title(), "new 1");
}
