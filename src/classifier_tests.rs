#![allow(clippy::unwrap_used)]

use std::sync::mpsc::sync_channel;

use super::*;
use crate::accept::testing::{judge, steady};
use crate::accept::{Candidate, Stage};
use crate::frame::testing::{jpeg, photo};
use crate::model::HeadBackbone;

/// So many frames are looked at, each while the heads change.
const CHANGES: usize = 50;

fn look(classifier: &Classifier, bytes: &[u8]) -> Look {
    let file = FileFacts { name: "a.jpg", camera: None, modified: OffsetDateTime::UNIX_EPOCH };
    classifier.classify(bytes, &ContentHash::of(bytes), &file, OffsetDateTime::UNIX_EPOCH)
}

#[test]
fn heads_that_change_while_frames_are_looked_at_are_never_mixed() {
    let (backbone, _) = Model::builtin().unwrap().into_parts();
    let ours = backbone.manifest();
    let on = || HeadBackbone { id: ours.id.clone(), sha256: ours.sha256.clone(), features: backbone.features() };
    let made = |name: &str, sequence, bear| Arc::new(judge(name, sequence, on(), &steady(backbone.features(), bear)));
    let (one, two) = (made("one", 1, 0.75), made("two", 2, 0.25));
    let alone = |judge: &Arc<Judge>| Judges { proven: judge.clone(), candidate: None };
    // Every third time the silent head has the other beside it, on trial.
    let seated = |turn: usize| match turn % 3 {
        0 => alone(&one),
        1 => alone(&two),
        _ => {
            let id = ContentHash::of(b"one");
            Judges { candidate: Some(Candidate { id, judge: one.clone(), stage: Stage::Trial }), ..alone(&two) }
        }
    };
    let seat = Seat::new(seated(0));
    let classifier =
        Classifier::seated(Arc::new(backbone), seat.clone(), "trap".into(), &Alerts::default(), Limits::default());
    let bytes = jpeg(&photo(64, 48, 1));
    let mut heard = [0; 3];
    let mut check = |look: Look| {
        let Classified { detection, verdict, scores, .. } = look.classified.unwrap();
        let (bear, sequence, alert, rule) = match detection.model.head.as_str() {
            "one 1" if look.observation.is_some() => (0.75, 1, true, "polar_bear alerts from 0.5 (head on trial)"),
            "one 1" => (0.75, 1, true, "polar_bear alerts from 0.5"),
            _ => (0.25, 2, false, "other does not alert"),
        };
        assert_eq!(detection.model.sequence, sequence);
        assert_eq!((detection.decision.alert, detection.decision.rule.as_str()), (alert, rule));
        assert_eq!((verdict.alert, verdict.rule.as_str()), (alert, rule));
        assert!((detection.scores["polar_bear"] - bear).abs() < 1e-5, "{detection:?}");
        assert!((scores.labels[0].1 - bear).abs() < 1e-5, "{scores:?}");
        heard[if look.observation.is_some() { 2 } else { sequence as usize - 1 }] += 1;
    };
    check(look(&classifier, &bytes));
    std::thread::scope(|scope| {
        // Handed over, not queued: one change a frame, while it is under way.
        let (begin, begun) = sync_channel(0);
        let (seat, seated) = (&seat, &seated);
        scope.spawn(move || (1..=CHANGES).zip(begun).for_each(|(turn, ())| seat.set(seated(turn))));
        for _ in 0..CHANGES {
            begin.send(()).unwrap();
            check(look(&classifier, &bytes));
        }
    });
    check(look(&classifier, &bytes));
    assert!(heard[0] > 0 && heard[2] > 0, "{heard:?}");
}
