//! An alert is done when its own acknowledgement has come, and not before: a link that loses acknowledgements costs
//! repeats, each with the id and the bytes of the first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::BTreeMap;
use std::time::Duration;

use arcticd::journal::priority;
use parts::linked::Trap;
use parts::wire::Wire;
use parts::{BIN, PATIENCE, bear, detections, every_frame, listen, start_online, tally, wait_detections};
use testkit::broker::Broker;
use testkit::daemon::World;
use testkit::subscriber::{Message, Subscriber};
use testkit::wait_until;

const COUNT: usize = 12;

fn in_state(world: &World, state: &str) -> usize {
    world.ledger().messages().unwrap().iter().filter(|message| message.state == state).count()
}

/// How often each message arrived; all its copies are the same bytes.
fn copies(messages: &[Message]) -> BTreeMap<String, usize> {
    let mut bodies: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for message in messages.iter().filter(|message| message.topic.ends_with("/detection")) {
        bodies.entry(detections(std::slice::from_ref(message)).remove(0).id).or_default().push(message.payload.clone());
    }
    assert!(bodies.values().all(|copies| copies.iter().all(|copy| *copy == copies[0])), "a repeat with another body");
    bodies.into_iter().map(|(id, copies)| (id, copies.len())).collect()
}

/// Shows the daemon `COUNT` bears, and has the broker's answers to all of them lost.
fn lose_acknowledgements(world: &World, wire: &Wire, subscriber: &Subscriber) {
    wire.deafen();
    for seed in 0..COUNT {
        world.drop_frame(&format!("{seed}.jpg"), &bear(seed as u64)).unwrap();
    }
    wait_detections(subscriber, COUNT);
    assert_eq!((in_state(world, "queued"), in_state(world, "acked")), (COUNT, 0), "taken for done unacknowledged");
}

fn assert_each_was_repeated(world: &World, subscriber: &Subscriber) {
    wait_until(PATIENCE, || (in_state(world, "acked") == COUNT).then_some(())).expect("acknowledged in the end");
    wait_detections(subscriber, 2 * COUNT);
    tally(COUNT, &subscriber.messages());
    let copies = copies(&subscriber.messages());
    assert_eq!(copies.len(), COUNT);
    assert!(copies.values().all(|times| *times == 2), "{copies:?}");
}

#[test]
fn a_connection_that_breaks_before_the_acknowledgements_repeats_the_same_messages() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let wire = Wire::to(broker.port());
    let world = every_frame().set("mqtt.url", format!("mqtt://127.0.0.1:{}", wire.port()));
    let _daemon = start_online(&world, &subscriber);
    lose_acknowledgements(&world, &wire, &subscriber);
    wire.cut();
    assert_each_was_repeated(&world, &subscriber);
}

#[test]
fn a_daemon_killed_before_the_acknowledgements_repeats_the_same_messages_after_its_restart() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let wire = Wire::to(broker.port());
    let world = every_frame().set("mqtt.url", format!("mqtt://127.0.0.1:{}", wire.port()));
    let mut daemon = start_online(&world, &subscriber);
    lose_acknowledgements(&world, &wire, &subscriber);
    daemon.kill().unwrap();
    wire.cut();
    let _daemon = world.start(BIN).unwrap();
    assert_each_was_repeated(&world, &subscriber);
}

#[test]
fn a_broker_that_acknowledges_nothing_is_sent_a_few_mebibytes_ahead_and_no_more() {
    const LARGE: usize = 256 << 10;
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let wire = Wire::to(broker.port());
    let mut trap = Trap::new(wire.port());
    trap.mqtt.inflight = 1000;
    trap.keep_alive = Duration::from_secs(60);
    trap.begin();
    let count = |messages: &[Message], leaf: &str| messages.iter().filter(|it| it.topic.ends_with(leaf)).count();
    subscriber.wait_for(PATIENCE, |messages| count(messages, "/health") > 0).unwrap();
    wire.deafen();
    trap.queue_padded(0..60, priority::SUMMARY, LARGE);
    // What is said behind them has overtaken none.
    let sixteen = |messages: &[Message]| count(messages, "/detection") >= 16;
    let before = count(&subscriber.wait_for(PATIENCE, sixteen).unwrap(), "/health");
    let after = subscriber.wait_for(PATIENCE, |messages| count(messages, "/health") >= before + 3).unwrap();
    assert_eq!(count(&after, "/detection"), 16, "of 256 KiB, and each has a little more: 4 MiB");
    wire.cut();
    trap.wait_acknowledged(60);
}
