//! Power cuts at every step of an update, and updates while frames keep coming: a head is in service at all times, and no
//! frame is missed or judged twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arcticd::accept::{Report, Step, fault};
use parts::heads::{blind, offer, paranoid, pieces, reports, set, trusting, wait_step};
use parts::{BIN, PATIENCE, bear, frames, listen, skip, start_online, wait_frames};
use testkit::broker::Broker;
use testkit::daemon::{Daemon, World};
use testkit::head::signed::{self, Maker, Mind};
use testkit::subscriber::Subscriber;

/// Shows the trap bears, one after the other, until `enough`; names of the frames.
fn show_bears(world: &World, from: usize, mut enough: impl FnMut() -> bool) -> Vec<String> {
    let (end, mut names) = (Instant::now() + PATIENCE, Vec::new());
    while !enough() {
        assert!(Instant::now() < end, "{} bears were not enough", names.len());
        let name = format!("{:04}.jpg", from + names.len());
        world.drop_frame(&name, &bear((from + names.len()) as u64)).unwrap();
        names.push(name);
        std::thread::sleep(Duration::from_millis(150));
    }
    names
}

fn last(subscriber: &Subscriber) -> Option<Report> {
    reports(&subscriber.messages()).pop()
}

#[test]
fn a_power_cut_at_any_step_leaves_a_head_in_service_and_the_update_finished_or_undone() {
    if !cfg!(debug_assertions) {
        return skip("power cuts at every step", "a release has no fault points");
    }
    let maker = Maker::new().unwrap();
    let good = maker.head(&Mind::Large(parts::head().to_owned(), 60_000), 3, |_| {}).unwrap();
    let bad = maker.head(&blind(), 3, |_| {}).unwrap();
    for point in fault::points() {
        println!("power cut {point}");
        let broker = Broker::any().unwrap();
        let subscriber = listen(broker.port());
        let ends_badly = point.ends_with("rolled_back");
        // Long enough for two bears that the old head is sure of.
        let (shadow, trial) = if ends_badly { (0, 1_000) } else { (1, 2) };
        let world = trusting(&maker, &broker, trial)
            .set_raw("heads.shadow_frames", shadow.to_string())
            .set_raw("alerts.thresholds", "{ polar_bear = 0.1 }")
            .env("ARCTICD_FAULT", &point);
        let mut daemon: Daemon = world.start(BIN).unwrap();
        if ends_badly {
            set(&subscriber, &bad);
        } else {
            offer(&subscriber, &good);
            pieces(&subscriber, &good, 0..signed::pieces(&good).len() as u32);
        }
        let mut names = show_bears(&world, 0, || daemon.has_ended());
        assert!(daemon.wait_exit(PATIENCE).is_err(), "it died by its own hand");

        let world = world.env("ARCTICD_FAULT", "");
        let mut daemon = world.start(BIN).unwrap();
        let wanted = if ends_badly { Step::RolledBack } else { Step::Active };
        let ended = || last(&subscriber).and_then(|report| report.offer).is_some_and(|offer| offer.state == wanted);
        names.extend(show_bears(&world, names.len(), ended));
        let report = last(&subscriber).unwrap();
        assert_eq!((report.active.sequence, report.floor), (if ends_badly { 1 } else { 3 }, 3), "{point}");
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let entries = wait_frames(&world, &names);
        assert!(entries.iter().all(|entry| entry.failed.is_none() && entry.label.is_some()), "{point}: {entries:?}");
        assert_eq!(daemon.terminate().unwrap(), 0);
    }
}

#[test]
fn fifty_heads_take_service_while_frames_keep_coming_and_none_is_missed_or_judged_twice() {
    const SWITCHES: u64 = 50;
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    // Every frame alerts, whichever head looks.
    let world = trusting(&maker, &broker, 1).set_raw("alerts.thresholds", "{ polar_bear = 0.0 }");
    let mut daemon = start_online(&world, &subscriber);
    let done = AtomicBool::new(false);
    let count = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let next = Instant::now() + Duration::from_millis(50);
                world.drop_frame(&format!("{count:05}.jpg"), &bear(count)).unwrap();
                count += 1;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            count
        });
        for sequence in 1..=SWITCHES {
            set(&subscriber, &maker.head(&paranoid(), sequence, |_| {}).unwrap());
            wait_step(&subscriber, sequence, Step::Active);
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let names: Vec<String> = (0..count).map(|number| format!("{number:05}.jpg")).collect();
    wait_frames(&world, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let told = subscriber.wait_for(PATIENCE, |messages| frames(messages).len() >= names.len()).unwrap();
    let told = frames(&told);
    let mut by_frame: BTreeMap<&str, usize> = BTreeMap::new();
    for detection in &told {
        *by_frame.entry(&detection.frame.name).or_default() += 1;
        let (head, sequence) = (detection.model.head.as_str(), detection.model.sequence);
        let score = detection.scores["polar_bear"];
        match head {
            // The head of the configuration, before the first switch: of four labels.
            "demo-scenes rendered" => assert_eq!((sequence, detection.scores.len()), (1, 4)),
            _ => assert_eq!((head, score, detection.scores.len()), (format!("made 1.{sequence}").as_str(), 0.99, 2)),
        }
    }
    assert!(by_frame.len() == names.len() && by_frame.values().all(|times| *times == 1), "{by_frame:?}");
    let heads: std::collections::BTreeSet<&str> = told.iter().map(|detection| detection.model.head.as_str()).collect();
    println!("{count} frames, {} heads spoke", heads.len());
    assert_eq!(last(&subscriber).unwrap().active.sequence, SWITCHES);
    assert_eq!(daemon.terminate().unwrap(), 0);
}
