//! What a broker pushes to a trap comes to its acceptor and is acknowledged only when the acceptor says so; nothing that
//! is pushed, however large, keeps alerts from flowing.
//!
//! The link runs in this process, against real brokers; the tests stand where the acceptor would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::path::PathBuf;
use std::time::Duration;

use arcticd::accept::{Address, Arrival, Content, MAX_OFFER, Order, Scope};
use arcticd::frame::ContentHash;
use parts::linked::{Trap, publish, push, retain};
use parts::wire::Wire;
use parts::{PATIENCE, listen, skip};
use rumqttc::QoS;
use serde_json::json;
use testkit::broker::{Embedded, Mosquitto, Options};
use testkit::subscriber::{Subscriber, Subscription};
use testkit::wait_until;

const SET: &str = "arcticd/test/head/set";
const OFFER: &str = "arcticd/test/head/offer";

fn head() -> ContentHash {
    ContentHash::of(b"manifest")
}

fn chunks() -> String {
    Scope::Trap("test".into()).chunks("arcticd", &head())
}

fn chunk_topic(piece: u32) -> String {
    Scope::Trap("test".into()).topic("arcticd", Content::Chunk { id: head(), piece })
}

fn mosquitto() -> Option<Mosquitto> {
    mosquitto_with(Options::default())
}

fn mosquitto_with(options: Options) -> Option<Mosquitto> {
    if !Mosquitto::available() {
        skip("a pushed message", "mosquitto is not installed");
        return None;
    }
    Some(Mosquitto::start(options).unwrap())
}

fn forgetful() -> Options {
    Options { persistence: false, ..Options::default() }
}

fn payload(arrival: &Arrival) -> &[u8] {
    arrival.payload.as_ref().unwrap()
}

#[test]
fn a_message_comes_again_until_the_acceptor_is_done_with_it() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = listen(broker.port());
    let mut trap = Trap::new(broker.port()).start();
    retain(broker.port(), OFFER, "there is a subscription");
    trap.take_until(Content::Offer, b"there is a subscription");

    push(broker.port(), SET, "head");
    let first = trap.arrival();
    assert_eq!(first.address, Address { scope: Scope::Trap("test".into()), content: Content::Set });
    assert_eq!(payload(&first), b"head");
    // Everything else was acknowledged before the end.
    trap.settle(&subscriber, "all but the head");
    trap.kill();
    trap.begin();
    trap.take_until(Content::Set, b"head");
    trap.settle(&subscriber, "the head too");
    trap.kill();

    trap.begin();
    push(broker.port(), SET, "the last one");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != b"the last one") {
        let arrival = trap.arrival();
        trap.acknowledge(&arrival);
        seen.push(payload(&arrival).to_vec());
    }
    assert!(!seen.contains(&b"head".to_vec()), "acknowledged, and it came again: {seen:?}");
}

#[test]
fn a_receipt_of_an_earlier_connection_acknowledges_nothing() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = listen(broker.port());
    let wire = Wire::to(broker.port());
    let mut trap = Trap::new(wire.port()).start();
    retain(broker.port(), OFFER, "there is a subscription");
    trap.take_until(Content::Offer, b"there is a subscription");
    push(broker.port(), SET, "head");
    let early = trap.arrival();
    wire.cut();
    let late = loop {
        let arrival = trap.arrival();
        if arrival.address.content == Content::Set {
            break arrival;
        }
        trap.acknowledge(&arrival);
    };
    assert_eq!((payload(&late), early.receipt.packet), (&b"head"[..], late.receipt.packet));
    assert_ne!(early.receipt, late.receipt);
    trap.acknowledge(&early);
    trap.settle(&subscriber, "the early receipt is worth nothing");
    trap.kill();
    trap.begin();
    trap.take_until(Content::Set, b"head");
}

#[test]
fn acknowledgements_in_another_order_do_not_disturb_a_broker_that_wants_them_in_order() {
    let broker = Embedded::start().unwrap();
    let subscriber = listen(broker.port());
    let mut trap = Trap::new(broker.port()).start();
    retain(broker.port(), OFFER, "there is a subscription");
    trap.take_until(Content::Offer, b"there is a subscription");
    for name in ["one", "two", "three"] {
        push(broker.port(), SET, name);
    }
    let mut arrivals: Vec<Arrival> = (0..3).map(|_| trap.arrival()).collect();
    arrivals.reverse();
    for (arrival, word) in arrivals.iter().zip(["third", "second", "first"]) {
        trap.acknowledge(arrival);
        // What follows on an acknowledgement out of turn has followed.
        trap.settle(&subscriber, word);
    }
    push(broker.port(), SET, "four");
    trap.take_until(Content::Set, b"four");
    trap.detect(0..1);
    trap.wait_acknowledged(1);
    assert_eq!(trap.connections(), 1);
}

#[test]
fn what_was_subscribed_for_a_head_survives_a_broker_that_forgets_everything() {
    let Some(mut broker) = mosquitto_with(forgetful()) else { return };
    let trap = Trap::new(broker.port()).start();
    trap.order(Order::Subscribe(chunks()));
    retain(broker.port(), &chunk_topic(0), "piece");
    let arrival = trap.take_until(Content::Chunk { id: head(), piece: 0 }, b"piece");
    assert_eq!(arrival.address.scope, Scope::Trap("test".into()));
    broker.kill().unwrap();
    broker.restart().unwrap();
    retain(broker.port(), &chunk_topic(7), "later piece");
    trap.take_until(Content::Chunk { id: head(), piece: 7 }, b"later piece");
}

#[test]
fn what_a_broker_retains_comes_again_when_it_is_ordered_again() {
    let Some(broker) = mosquitto() else { return };
    let trap = Trap::new(broker.port()).start();
    retain(broker.port(), &chunk_topic(0), "piece");
    for _ in 0..3 {
        trap.order(Order::Subscribe(chunks()));
        trap.take_until(Content::Chunk { id: head(), piece: 0 }, b"piece");
    }
    assert_eq!(trap.connections(), 1);
}

#[test]
fn a_filter_given_up_while_the_broker_was_away_is_not_listened_to() {
    let Some(mut broker) = mosquitto() else { return };
    let trap = Trap::new(broker.port()).start();
    trap.order(Order::Subscribe(chunks()));
    retain(broker.port(), &chunk_topic(0), "piece");
    trap.take_until(Content::Chunk { id: head(), piece: 0 }, b"piece");
    broker.stop().unwrap();
    wait_until(PATIENCE, || (!trap.warnings().is_empty()).then_some(())).expect("the link is told to be down");
    trap.order(Order::Unsubscribe(chunks()));
    broker.restart().unwrap();
    // One question after another, and a subscription first: when something comes by the second one, what was given up before
    // it was answered.
    for name in [&b"another manifest"[..], b"a third"] {
        let of = ContentHash::of(name);
        let piece = Content::Chunk { id: of, piece: 0 };
        retain(broker.port(), &Scope::Trap("test".into()).topic("arcticd", piece), "other");
        trap.order(Order::Subscribe(Scope::Trap("test".into()).chunks("arcticd", &of)));
        trap.take_until(piece, b"other");
    }
    retain(broker.port(), &chunk_topic(1), "piece");
    retain(broker.port(), SET, "last");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(_, last)| last != b"last") {
        let arrival = trap.arrival();
        trap.acknowledge(&arrival);
        seen.push((arrival.address.content, payload(&arrival).to_vec()));
    }
    let given_up = Content::Chunk { id: head(), piece: 1 };
    assert!(!seen.iter().any(|(content, _)| *content == given_up), "{seen:?}");
}

#[test]
fn a_cleared_retained_message_comes_as_an_empty_one() {
    let Some(broker) = mosquitto() else { return };
    let trap = Trap::new(broker.port()).start();
    retain(broker.port(), OFFER, "offer");
    trap.take_until(Content::Offer, b"offer");
    retain(broker.port(), OFFER, "");
    trap.take_until(Content::Offer, b"");
}

#[test]
fn messages_too_large_for_their_purpose_are_told_by_their_size_and_break_nothing() {
    let Some(broker) = mosquitto() else { return };
    let mut trap = Trap::new(broker.port()).start();
    trap.order(Order::Subscribe(chunks()));
    let cases = [(SET.to_owned(), 17 << 20), (OFFER.to_owned(), MAX_OFFER + 1), (chunk_topic(0), (16 << 20) + 1)];
    for (topic, size) in cases {
        retain(broker.port(), &topic, vec![0; size]);
        let arrival = trap.arrival();
        assert_eq!(arrival.payload, Err(size), "{topic}");
        trap.acknowledge(&arrival);
    }
    // And the largest that may be.
    for (topic, size) in [(OFFER.to_owned(), MAX_OFFER), (chunk_topic(1), 16 << 20)] {
        retain(broker.port(), &topic, vec![1; size]);
        let arrival = trap.arrival();
        assert_eq!(arrival.payload.as_ref().map(Vec::len), Ok(size), "{topic}");
        trap.acknowledge(&arrival);
    }
    trap.detect(0..5);
    trap.wait_acknowledged(5);
    assert_eq!(trap.connections(), 1);
}

#[test]
fn messages_without_acknowledgement_are_taken_no_faster_than_they_are_looked_at() {
    let Some(broker) = mosquitto() else { return };
    let trap = Trap::new(broker.port()).start();
    retain(broker.port(), OFFER, "there is a subscription");
    trap.take_until(Content::Offer, b"there is a subscription");
    for _ in 0..8 {
        publish(broker.port(), SET, QoS::AtMostOnce, false, vec![0; 8 << 20]);
    }
    push(broker.port(), OFFER, "with acknowledgement");
    let mut loose = Vec::new();
    while let arrival = trap.arrival()
        && arrival.address.content == Content::Set
    {
        assert_eq!(arrival.receipt.packet, 0);
        loose.push(arrival);
    }
    assert_eq!(loose.len(), 4, "32 MiB wait");
    loose.iter().for_each(|arrival| trap.acknowledge(arrival));
    let subscriber = listen(broker.port());
    trap.settle(&subscriber, "looked at");
    publish(broker.port(), SET, QoS::AtMostOnce, false, "there is room again");
    trap.take_until(Content::Set, b"there is room again");
}

#[test]
fn a_retained_message_over_the_clients_limit_breaks_one_connection_and_alerts_flow_on() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = Subscriber::start(Subscription::new(broker.port(), "arcticd/test/detection")).unwrap();
    retain(broker.port(), SET, vec![0; 65 << 20]);
    let mut trap = Trap::new(broker.port());
    (trap.pause, trap.keep_alive) = (Duration::from_secs(20), Duration::from_secs(5));
    trap.begin();
    let warning = trap.wait_warning("breaks the connection");
    assert!(warning.contains("retained"), "{warning}");
    trap.detect(0..20);
    trap.wait_acknowledged(20);
    subscriber.wait_for(PATIENCE, |messages| messages.len() >= 20).unwrap();
    assert_eq!(trap.connections(), 2, "once with it, and then without");
    trap.wait_warning("breaks the connection");

    // Once it is cleared, the trap listens again by itself.
    retain(broker.port(), SET, "");
    retain(broker.port(), OFFER, "offer");
    trap.take_until(Content::Offer, b"offer");
    trap.wait_no_warning();
    assert_eq!(trap.connections(), 3);
}

#[test]
fn a_message_over_the_limit_that_waits_in_the_session_is_left_behind() {
    let Some(broker) = mosquitto() else { return };
    let mut trap = Trap::new(broker.port()).start();
    retain(broker.port(), OFFER, "there is a subscription");
    trap.take_until(Content::Offer, b"there is a subscription");
    trap.kill();
    publish(broker.port(), SET, QoS::AtLeastOnce, false, vec![0; 65 << 20]);
    trap.begin();
    trap.wait_warning("breaks the connection");
    trap.detect(0..5);
    trap.wait_acknowledged(5);
    trap.kill();
    // It is gone with the session.
    trap.begin();
    trap.take_until(Content::Offer, b"there is a subscription");
}

#[test]
fn a_message_too_large_for_a_slow_link_does_not_starve_alerts() {
    let Some(broker) = mosquitto() else { return };
    retain(broker.port(), SET, vec![0; 8 << 20]);
    let wire = Wire::to(broker.port());
    // 8 MiB take 40 s.
    wire.slow(Duration::from_millis(20));
    let mut trap = Trap::new(wire.port());
    trap.keep_alive = Duration::from_secs(1);
    trap.begin();
    trap.detect(0..200);
    trap.wait_acknowledged(200);
    trap.wait_warning("slow link");
}

#[test]
fn what_became_of_a_head_is_told_again_to_a_broker_that_forgot_it() {
    let Some(mut broker) = mosquitto_with(forgetful()) else { return };
    let trap = Trap::new(broker.port()).start();
    let first = Subscriber::start(Subscription::new(broker.port(), "arcticd/test/head/state")).unwrap();
    for word in ["offered", "receiving", "active"] {
        trap.settle(&first, word);
    }
    broker.kill().unwrap();
    broker.restart().unwrap();
    let second = Subscriber::start(Subscription::new(broker.port(), "arcticd/test/head/state")).unwrap();
    let told = second.wait_for(PATIENCE, |messages| !messages.is_empty()).unwrap();
    assert_eq!(told[0].text(), "active");
    // And it is kept.
    let third = Subscriber::start(Subscription::new(broker.port(), "arcticd/test/head/state")).unwrap();
    let kept = third.wait_for(PATIENCE, |messages| !messages.is_empty()).unwrap();
    assert!(kept[0].retain && kept[0].text() == "active");
}

#[test]
fn a_subscription_that_the_broker_refuses_is_told_until_it_is_allowed() {
    let Some(plugin) = dynamic_security() else {
        return skip("a refused subscription", "mosquitto's dynamic security plugin is not installed");
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("security.json");
    let policy = |allow: bool| {
        let acls = [json!({ "acltype": "subscribeLiteral", "topic": OFFER, "priority": 1, "allow": allow })];
        let policy = json!({
            "defaultACLAccess": {
                "publishClientSend": true, "publishClientReceive": true, "subscribe": true, "unsubscribe": true
            },
            "clients": [],
            "groups": [{ "groupname": "all", "roles": [{ "rolename": "role", "priority": 1 }] }],
            "roles": [{ "rolename": "role", "acls": acls }],
            "anonymousGroup": "all",
        });
        std::fs::write(&file, policy.to_string()).unwrap();
    };
    policy(false);
    let extra = vec![format!("plugin {}", plugin.display()), format!("plugin_opt_config_file {}", file.display())];
    let mut broker = Mosquitto::start(Options { extra, ..Options::default() }).unwrap();
    let trap = Trap::new(broker.port()).start();
    let warning = trap.wait_warning("refuses the subscription");
    assert!(warning.contains(OFFER) && !warning.contains(SET) && warning.contains("ACL"), "{warning}");
    // The others hold.
    retain(broker.port(), SET, "head");
    trap.take_until(Content::Set, b"head");

    broker.stop().unwrap();
    policy(true);
    broker.restart().unwrap();
    trap.wait_no_warning();
    retain(broker.port(), OFFER, "offer");
    trap.take_until(Content::Offer, b"offer");
}

fn dynamic_security() -> Option<PathBuf> {
    let places =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64", "/usr/local/lib"];
    let files = places.iter().map(|place| PathBuf::from(place).join("mosquitto_dynamic_security.so"));
    files.into_iter().find(|file| file.is_file()).filter(|_| Mosquitto::available())
}

#[test]
fn alerts_find_their_acknowledgements_while_heads_come_in() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = Subscriber::start(Subscription::new(broker.port(), "arcticd/test/detection")).unwrap();
    let mut trap = Trap::new(broker.port());
    // So few packet ids that subscriptions and messages meet on the same ones.
    trap.mqtt.inflight = 3;
    trap.begin();
    retain(broker.port(), &chunk_topic(0), "piece");
    for round in 0..50 {
        trap.detect(10 * round..10 * (round + 1));
        trap.order(Order::Subscribe(chunks()));
        trap.order(Order::State(round.to_string().into()));
        trap.take_until(Content::Chunk { id: head(), piece: 0 }, b"piece");
        trap.order(Order::Unsubscribe(chunks()));
    }
    trap.wait_acknowledged(500);
    let messages = subscriber.wait_for(PATIENCE, |messages| messages.len() >= 500).unwrap();
    let mut ids: Vec<u64> = messages.iter().filter_map(|message| message.json()["id"].as_u64()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..500).collect::<Vec<_>>(), "each once");
    assert_eq!(trap.connections(), 1);
}

#[test]
fn a_clean_stop_lets_the_last_acknowledgements_and_the_last_word_go_out() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = listen(broker.port());
    let mut trap = Trap::new(broker.port()).start();
    retain(broker.port(), OFFER, "offer");
    trap.take_until(Content::Offer, b"offer");
    push(broker.port(), SET, "head");
    trap.take_until(Content::Set, b"head");
    trap.order(Order::State("the last word".into()));
    trap.life().stop.send(true).unwrap();
    let messages =
        subscriber.wait_for(PATIENCE, |messages| messages.iter().any(|message| message.text() == "stopped")).unwrap();
    assert!(messages.iter().any(|message| message.text() == "the last word"));
    trap.kill();
    trap.begin();
    push(broker.port(), SET, "the next head");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != b"the next head") {
        let arrival = trap.arrival();
        trap.acknowledge(&arrival);
        seen.push(payload(&arrival).to_vec());
    }
    assert!(!seen.contains(&b"head".to_vec()), "{seen:?}");
}
