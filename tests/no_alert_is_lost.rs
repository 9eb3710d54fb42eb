//! A broker that is down, killed or restarted costs no alert: each is acknowledged in the end, under one id, with one
//! body.
//!
//! `ARCTICD_ALERTS=1000` makes the kill tests that large.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use arcticd::detection::Detection;
use parts::{BIN, PATIENCE, bear, detections, every_frame, skip, tally, wait_detections, wait_frames};
use testkit::broker::{Embedded, Mosquitto, Options};
use testkit::daemon::World;
use testkit::ledger::MessageEntry;
use testkit::scenes::Scene;
use testkit::subscriber::{Message, Subscriber, Subscription};
use testkit::wait_until;

const KILLS: u64 = 3;

fn alerts() -> u64 {
    std::env::var("ARCTICD_ALERTS").ok().map_or(150, |text| text.parse().expect("ARCTICD_ALERTS is a number"))
}

/// All at once, so that the pipeline is busy for a while.
fn drop_bears(world: &World, seeds: Range<u64>) {
    for seed in seeds {
        world.drop_frame(&format!("{seed:05}.jpg"), &Scene::Bear.jpeg(10_000 + seed, 320, 240).unwrap()).unwrap();
    }
}

fn in_state(world: &World, state: &str) -> BTreeSet<String> {
    let messages = world.ledger().messages().unwrap();
    messages.into_iter().filter(|message| message.state == state).map(|message| message.id).collect()
}

fn wait_state(world: &World, state: &str, count: u64) {
    // Longer for a thousand.
    let limit = PATIENCE + Duration::from_millis(500 * alerts());
    wait_until(limit, || (in_state(world, state).len() as u64 >= count).then_some(()))
        .unwrap_or_else(|| panic!("{} of {count} messages are {state}", in_state(world, state).len()));
}

/// A subscriber whose session the broker keeps, if it keeps anything.
fn console(port: u16) -> Subscriber {
    Subscriber::start(Subscription::new(port, "arcticd/test/detection").persistent("console")).unwrap()
}

/// A broker that dies in the middle of its work and comes back on the same port.
enum Mortal {
    Mosquitto(Mosquitto),
    /// None while it is dead. It forgets everything.
    Embedded(u16, Option<Embedded>),
}

impl Mortal {
    fn mosquitto(persistence: bool) -> Self {
        Self::Mosquitto(Mosquitto::start(Options { persistence, ..Options::default() }).unwrap())
    }

    fn embedded() -> Self {
        let broker = Embedded::start().unwrap();
        Self::Embedded(broker.port(), Some(broker))
    }

    fn port(&self) -> u16 {
        match self {
            Self::Mosquitto(broker) => broker.port(),
            Self::Embedded(port, _) => *port,
        }
    }

    fn kill(&mut self) {
        match self {
            Self::Mosquitto(broker) => broker.kill().unwrap(),
            Self::Embedded(_, broker) => broker.take().unwrap().stop(),
        }
    }

    fn restart(&mut self) {
        match self {
            Self::Mosquitto(broker) => broker.restart().unwrap(),
            Self::Embedded(port, broker) => *broker = Some(Embedded::start_on(*port).unwrap()),
        }
    }
}

fn ids(messages: &[Message]) -> BTreeSet<String> {
    detections(messages).into_iter().map(|detection| detection.id).collect()
}

/// The journal's account: numbers without a hole, ids that differ, each message acknowledged.
fn assert_all_acknowledged(world: &World, count: u64) -> Vec<MessageEntry> {
    let messages = world.ledger().messages().unwrap();
    assert_eq!(messages.iter().map(|message| message.seq).collect::<Vec<_>>(), (1..=count).collect::<Vec<_>>());
    assert_eq!(messages.iter().map(|message| &message.id).collect::<BTreeSet<_>>().len() as u64, count);
    assert!(messages.iter().all(|message| message.state == "acked"), "{:?}", in_state(world, "queued"));
    messages
}

fn assert_repeats_are_identical(messages: &[Message]) {
    let mut bodies: BTreeMap<String, &[u8]> = BTreeMap::new();
    let mut repeats = 0;
    for message in messages {
        let id = message.json()["id"].as_str().unwrap().to_owned();
        if let Some(first) = bodies.insert(id, &message.payload) {
            assert_eq!(first, message.payload, "a repeat with another body");
            repeats += 1;
        }
    }
    println!("{} distinct messages arrived, and {repeats} repeats, byte for byte the same", bodies.len());
}

/// Drops `alerts()` frames while the broker is killed and started again three times.
fn survive_kills(mut broker: Mortal, persistence: bool) {
    let count = alerts();
    let subscriber = console(broker.port());
    let world = every_frame().set("mqtt.url", format!("mqtt://127.0.0.1:{}", broker.port()));
    let mut daemon = world.start(BIN).unwrap();
    let part = count / (KILLS + 1);
    // What the broker may have lost by itself: it said that it had these, and then it was killed.
    let mut entrusted = BTreeSet::new();
    for round in 0..KILLS {
        let (first, end) = (round * part, (round + 1) * part);
        drop_bears(&world, first..first + part / 2);
        // In the middle: of this part, and of what waited for the broker to come back.
        wait_state(&world, "acked", entrusted.len() as u64 + part / 8);
        broker.kill();
        drop_bears(&world, first + part / 2..end);
        wait_state(&world, "queued", 3);
        // By now the link has noticed, and the journal says what was acknowledged.
        entrusted = in_state(&world, "acked");
        broker.restart();
        subscriber.wait_subscribed(round + 2, PATIENCE).unwrap();
        if !persistence {
            // It has forgotten its subscriber: nothing that came before the new subscription can be asked of it.
            entrusted.extend(in_state(&world, "queued"));
            entrusted.extend(in_state(&world, "acked"));
        }
    }
    drop_bears(&world, KILLS * part..count);
    wait_state(&world, "acked", count);
    let ledger = assert_all_acknowledged(&world, count);

    let all: BTreeSet<String> = ledger.into_iter().map(|message| message.id).collect();
    let owed: BTreeSet<String> = all.difference(&entrusted).cloned().collect();
    subscriber.wait_for(PATIENCE, |messages| owed.is_subset(&ids(messages))).unwrap();
    if persistence {
        // What it kept may take a moment; what it lost never comes.
        let _ = subscriber.wait_for(Duration::from_secs(10), |messages| ids(messages).len() as u64 == count);
    }
    let messages = subscriber.messages();
    let arrived = ids(&messages);
    assert!(arrived.is_subset(&all), "messages that the journal does not know");
    assert_repeats_are_identical(&messages);
    let lost: Vec<&String> = all.difference(&arrived).collect();
    // Of what the broker lost by itself, after it had taken it over, no more is expected.
    tally(count as usize - lost.len(), &messages);
    println!(
        "{count} alerts acknowledged; lost by the killed broker itself (persistence {persistence}): {}",
        lost.len()
    );
    if persistence {
        // It saves after it has acknowledged, so a kill in between may cost what one turn of its loop took in.
        assert!(lost.len() as u64 <= KILLS * 2, "{lost:?}");
    }
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert_all_acknowledged(&world, count);
}

#[test]
fn every_alert_arrives_though_a_persistent_broker_is_killed_three_times() {
    if !Mosquitto::available() {
        return skip("kills of a persistent broker", "mosquitto is not installed");
    }
    survive_kills(Mortal::mosquitto(true), true);
}

#[test]
fn every_alert_is_acknowledged_though_a_forgetful_broker_is_killed_three_times() {
    if !Mosquitto::available() {
        return skip("kills of a broker without persistence", "mosquitto is not installed");
    }
    survive_kills(Mortal::mosquitto(false), false);
}

#[test]
fn every_alert_is_acknowledged_though_the_embedded_broker_forgets_everything_three_times() {
    survive_kills(Mortal::embedded(), false);
}

/// A broker that knows its subscriber and is down again.
fn away() -> Option<(Mosquitto, Subscriber)> {
    if !Mosquitto::available() {
        skip("a broker that is down when the daemon starts", "mosquitto is not installed");
        return None;
    }
    let mut broker = Mosquitto::start(Options::default()).unwrap();
    let subscriber = console(broker.port());
    broker.stop().unwrap();
    Some((broker, subscriber))
}

fn names(of: &[Detection]) -> BTreeSet<&str> {
    of.iter().map(|detection| detection.frame.name.as_str()).collect()
}

#[test]
fn live_frames_from_before_the_broker_came_up_arrive_as_replayed_and_later_ones_do_not() {
    let Some((mut broker, subscriber)) = away() else { return };
    let world = every_frame().set("mqtt.url", broker.url());
    let daemon = world.start(BIN).unwrap();
    daemon.wait_for_log("next try", PATIENCE).unwrap();
    world.drop_frame("before-1.jpg", &bear(1)).unwrap();
    world.drop_frame("before-2.jpg", &bear(2)).unwrap();
    wait_frames(&world, &["before-1.jpg", "before-2.jpg"]);
    assert_eq!(in_state(&world, "queued").len(), 2);
    broker.restart().unwrap();
    let before = wait_detections(&subscriber, 2);
    assert_eq!(names(&before), ["before-1.jpg", "before-2.jpg"].into());
    assert!(before.iter().all(|detection| detection.replayed), "{before:?}");
    world.drop_frame("after.jpg", &bear(3)).unwrap();
    let after = &wait_detections(&subscriber, 3)[2];
    assert_eq!((after.frame.name.as_str(), after.replayed), ("after.jpg", false));
}

#[test]
fn a_whole_backlog_taken_in_while_the_broker_is_down_arrives_once_it_is_up() {
    const COUNT: u64 = 40;
    let Some((mut broker, subscriber)) = away() else { return };
    let world = every_frame().set("mqtt.url", broker.url());
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    for seed in 0..COUNT {
        let file = world.drop_frame(&format!("cam/{seed}.jpg"), &bear(100 + seed)).unwrap();
        File::options().append(true).open(file).unwrap().set_modified(yesterday).unwrap();
    }
    let mut daemon = world.start(BIN).unwrap();
    wait_state(&world, "queued", COUNT);
    // A power cut while all of it waits.
    daemon.kill().unwrap();
    let daemon = world.start(BIN).unwrap();
    daemon.wait_for_log("next try", PATIENCE).unwrap();
    broker.restart().unwrap();
    let found = wait_detections(&subscriber, COUNT as usize);
    assert_eq!(names(&found).len() as u64, COUNT);
    assert!(found.iter().all(|detection| detection.replayed));
    wait_state(&world, "acked", COUNT);
    assert_all_acknowledged(&world, COUNT);
    tally(COUNT as usize, &subscriber.messages());
    assert_repeats_are_identical(&subscriber.messages());
}

#[test]
fn an_outbox_that_overflows_reports_what_it_dropped() {
    const KEPT: u64 = 100;
    let Some((mut broker, subscriber)) = away() else { return };
    let world = every_frame().set("mqtt.url", broker.url()).set_raw("outbox.max_entries", KEPT.to_string());
    let health = Subscription::new(broker.port(), "arcticd/test/health");
    for seed in 0..KEPT + 10 {
        world.drop_frame(&format!("{seed:03}.jpg"), &Scene::Bear.jpeg(seed, 64, 48).unwrap()).unwrap();
    }
    let daemon = world.start(BIN).unwrap();
    daemon.wait_for_log("next try", PATIENCE).unwrap();
    wait_until(PATIENCE, || (world.ledger().messages().unwrap().len() as u64 == KEPT + 10).then_some(())).unwrap();
    broker.restart().unwrap();
    let health = Subscriber::start(health).unwrap();
    let report =
        health.wait_for(PATIENCE, |messages| messages.iter().any(|it| it.json()["outbox"]["queued"] == 0)).unwrap();
    let report = report.iter().map(Message::json).find(|report| report["outbox"]["queued"] == 0).unwrap();
    assert_eq!(report["outbox"]["dropped"], 10, "{report}");
    assert_eq!(report["outbox"]["dropped_seq"], serde_json::json!([[1, 10]]), "{report}");
    assert_eq!(report["acked_through"], KEPT + 10, "{report}");
    let warned = |text: &serde_json::Value| text.as_str().unwrap().contains("given up since the start: 10. ");
    assert!(report["warnings"].as_array().unwrap().iter().any(warned), "{report}");
    let seqs: BTreeSet<u64> = wait_detections(&subscriber, KEPT as usize).iter().filter_map(|it| it.seq).collect();
    assert_eq!(seqs, (11..=KEPT + 10).collect());
}
