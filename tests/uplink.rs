//! A link that is open in windows only: nothing is connected between them, nothing is lost, and nobody takes the trap for
//! dead. Real mosquitto; it is asked in its log who is connected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::time::Duration;

use arcticd::accept::{Content, Order, Step};
use arcticd::config::{Power, Uplink, UplinkAlerts};
use arcticd::frame::ContentHash;
use arcticd::health;
use arcticd::journal::priority;
use parts::heads::{good, offer, pieces, topic, trusting, wait_step};
use parts::linked::{Trap, retain};
use parts::wire::Wire;
use parts::{PATIENCE, availability, bear, every_frame, listen, skip, start_online, wait_detections};
use testkit::broker::{Broker, Mosquitto, Options, free_port};
use testkit::head::signed::{self, Maker, Mind};
use testkit::subscriber::{Message, Subscriber, Subscription};
use testkit::wait_until;

/// No window begins by itself within a test.
const NEVER: u64 = 86_400;

fn mosquitto() -> Option<Mosquitto> {
    if !Mosquitto::available() {
        skip("uplink windows", "mosquitto is not installed");
        return None;
    }
    Some(Mosquitto::start(Options::default()).unwrap())
}

fn windows(every: u64, alerts: UplinkAlerts) -> Power {
    Power { uplink: Uplink::Windows, uplink_every_s: every, uplink_alerts: alerts, ..Power::default() }
}

fn trap(port: u16, every: u64, alerts: UplinkAlerts) -> Trap {
    let mut trap = Trap::new(port);
    trap.power = windows(every, alerts);
    trap
}

fn sleeps(messages: &[Message]) -> usize {
    availability(messages).iter().filter(|word| word.starts_with("asleep until 2")).count()
}

/// Waits until the trap has said so often that it sleeps.
fn wait_asleep(subscriber: &Subscriber, times: usize) {
    subscriber.wait_for(PATIENCE, |messages| sleeps(messages) >= times).unwrap();
}

/// What the broker saw of the trap's connections, in order.
fn comings_and_goings(log: &str) -> Vec<&str> {
    let of = |line: &str| {
        let came = line.contains("New client connected") && line.contains(" as arcticd-test ");
        let left = line.contains("Client arcticd-test disconnected.");
        let broke = line.contains("Client arcticd-test ") && !left;
        [(came, "came"), (left, "left"), (broke, "broke")].into_iter().find(|(is, _)| *is).map(|(_, what)| what)
    };
    log.lines().filter_map(of).collect()
}

/// Waits until the broker has seen exactly these.
fn wait_seen(broker: &Mosquitto, wanted: &[&str]) {
    wait_until(PATIENCE, || (comings_and_goings(&broker.log()) == wanted).then_some(()))
        .unwrap_or_else(|| panic!("not {wanted:?}:\n{}", broker.log()));
}

/// Nothing came of the trap between a farewell and the next greeting, and its last will never did.
fn assert_clean(subscriber: &Subscriber) {
    let messages: Vec<Message> = subscriber.messages().into_iter().filter(|message| !message.retain).collect();
    let of_trap = |message: &&Message| {
        ["/availability", "/health", "/detection", "/head/state"].iter().any(|end| message.topic.ends_with(end))
    };
    let told: Vec<String> = messages.iter().filter(of_trap).map(Message::text).collect();
    assert!(!told.contains(&"offline".to_owned()), "{told:?}");
    for pair in told.windows(2).filter(|pair| pair[0].starts_with("asleep")) {
        assert!(["online", "stopped"].contains(&pair[1].as_str()) || pair[1].contains("detection"), "{pair:?}");
    }
}

#[test]
fn summaries_wait_behind_a_closed_link_and_an_alert_opens_it_for_all() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = listen(broker.port());
    let mut trap = trap(broker.port(), NEVER, UplinkAlerts::AtOnce).start();
    wait_asleep(&subscriber, 1);
    wait_seen(&broker, &["came", "left"]);
    assert_eq!(trap.link(), health::Link::Asleep);
    let late = Subscriber::start(Subscription::new(broker.port(), "arcticd/test/availability")).unwrap();
    let kept = late.wait_for(PATIENCE, |messages| !messages.is_empty()).unwrap();
    assert!(kept[0].retain && kept[0].text().starts_with("asleep until 2"), "{kept:?}");

    trap.queue(0..3, priority::SUMMARY);
    trap.queue(3..4, priority::FEATURES);
    trap.queue(4..5, priority::REPLAYED);
    trap.wait_acknowledged(5);
    wait_asleep(&subscriber, 2);
    // Had the first four opened it, it would have been opened twice.
    wait_seen(&broker, &["came", "left", "came", "left"]);
    let health = subscriber.messages().into_iter().rfind(|message| message.topic.ends_with("/health")).unwrap().json();
    assert_eq!((&health["outbox"]["queued"], &health["acked_through"]), (&0.into(), &5.into()), "{health}");
    assert_clean(&subscriber);
}

#[test]
fn where_alerts_wait_they_go_out_in_the_next_window() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = listen(broker.port());
    let mut trap = trap(broker.port(), 5, UplinkAlerts::NextWindow).start();
    wait_asleep(&subscriber, 1);
    trap.queue(0..5, priority::LIVE);
    trap.wait_acknowledged(5);
    wait_asleep(&subscriber, 2);
    trap.queue(5..10, priority::LIVE);
    trap.wait_acknowledged(10);
    assert!(trap.connections() >= 2);
    assert_clean(&subscriber);
}

#[test]
fn a_stop_while_the_link_is_closed_sends_what_waits_and_says_stopped() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = listen(broker.port());
    let mut trap = trap(broker.port(), NEVER, UplinkAlerts::AtOnce).start();
    wait_asleep(&subscriber, 1);
    trap.queue(0..3, priority::SUMMARY);
    trap.life().stop.send(true).unwrap();
    subscriber
        .wait_for(PATIENCE, |messages| availability(messages).last().is_some_and(|word| word == "stopped"))
        .unwrap();
    trap.wait_acknowledged(3);
    wait_seen(&broker, &["came", "left", "came", "left"]);
    let words = availability(&subscriber.messages());
    assert_eq!((words.len(), words[0].as_str(), words[2].as_str()), (3, "online", "stopped"), "{words:?}");
}

#[test]
fn a_window_stays_open_while_a_slow_piece_is_on_its_way() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = listen(broker.port());
    let wire = Wire::to(broker.port());
    // Twelve pauses of the wire; a piece is seen only when all of it is here.
    let (id, body) = (ContentHash::of(b"manifest"), vec![7; 48 << 10]);
    let piece = Content::Chunk { id, piece: 0 };
    retain(broker.port(), &topic(piece), body.clone());
    wire.slow(Duration::from_millis(500));
    let mut trap = trap(wire.port(), NEVER, UplinkAlerts::AtOnce);
    trap.keep_alive = Duration::from_secs(60);
    let trap = trap.start();
    trap.order(Order::Subscribe(topic(piece)));
    let arrival = trap.arrival();
    assert_eq!(arrival.payload.as_deref(), Ok(&body[..]));
    assert_eq!((trap.connections(), sleeps(&subscriber.messages())), (1, 0), "it was waited for");
    // What was taken and not acknowledged keeps it open as well: the acceptor may want more.
    let next = Content::Chunk { id, piece: 1 };
    retain(broker.port(), &topic(next), "small");
    trap.order(Order::Subscribe(topic(next)));
    trap.acknowledge(&arrival);
    let arrival = trap.arrival();
    assert_eq!(arrival.payload.as_deref(), Ok(&b"small"[..]));
    trap.acknowledge(&arrival);
    wait_asleep(&subscriber, 1);
    assert_eq!(trap.connections(), 1);
}

#[test]
fn nobody_keeps_a_window_open_beyond_its_time_and_what_was_not_taken_comes_again() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = listen(broker.port());
    retain(broker.port(), &topic(Content::Offer), "an offer");
    let mut trap = Trap::new(broker.port());
    trap.power = Power { uplink_for_s: 1, ..windows(5, UplinkAlerts::NextWindow) };
    let trap = trap.start();
    // Taken and never acknowledged, as by an acceptor that has no room for it.
    trap.arrival();
    wait_asleep(&subscriber, 1);
    assert_eq!(trap.arrival().payload.as_deref(), Ok(&b"an offer"[..]));
    assert!(trap.connections() >= 2);
    assert_clean(&subscriber);
}

#[test]
fn a_window_without_a_broker_ends_and_a_later_one_finds_it() {
    if !Mosquitto::available() {
        return skip("uplink windows", "mosquitto is not installed");
    }
    let port = free_port().unwrap();
    let mut trap = Trap::new(port);
    trap.power = Power { uplink_for_s: 1, ..windows(3, UplinkAlerts::NextWindow) };
    let mut trap = trap.start();
    trap.queue(0..3, priority::LIVE);
    trap.wait_warning("broker");
    let _broker = Mosquitto::start(Options { port: Some(port), ..Options::default() }).unwrap();
    trap.wait_acknowledged(3);
    trap.wait_no_warning();
}

#[test]
fn a_bear_between_two_windows_is_told_at_once_and_counts_as_fresh() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = listen(broker.port());
    let world = every_frame()
        .set("mqtt.url", broker.url())
        .set("power.uplink", "windows")
        .set_raw("power.uplink_every_s", NEVER.to_string());
    let mut daemon = start_online(&world, &subscriber);
    for seed in 1..=2 {
        wait_asleep(&subscriber, seed as usize);
        world.drop_frame(&format!("{seed}.jpg"), &bear(seed)).unwrap();
        let told = wait_detections(&subscriber, seed as usize);
        assert!(!told.last().unwrap().replayed, "{told:?}");
    }
    wait_asleep(&subscriber, 3);
    wait_seen(&broker, &["came", "left", "came", "left", "came", "left"]);
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert_eq!(availability(&subscriber.messages()).last().unwrap(), "stopped");
    assert!(!availability(&subscriber.messages()).contains(&"offline".to_owned()));
}

#[test]
fn an_alert_that_has_to_wait_says_that_it_is_old_news() {
    let Some(broker) = mosquitto() else { return };
    let subscriber = listen(broker.port());
    let world = every_frame()
        .set("mqtt.url", broker.url())
        .set("power.uplink", "windows")
        .set("power.uplink_alerts", "next_window")
        .set_raw("power.uplink_every_s", "10");
    let _daemon = start_online(&world, &subscriber);
    // On a busy machine a frame may only be looked at when a window is open again; it is fresh then.
    let waited = (1..=10).any(|seed: u64| {
        let before = sleeps(&subscriber.messages());
        wait_asleep(&subscriber, before + 1);
        world.drop_frame(&format!("{seed}.jpg"), &bear(seed)).unwrap();
        wait_detections(&subscriber, seed as usize).last().unwrap().replayed
    });
    assert!(waited);
    assert_clean(&subscriber);
}

#[test]
fn a_head_that_was_offered_while_the_link_was_closed_comes_in_whole_in_the_next_window() {
    let Some(broker) = mosquitto() else { return };
    let broker = Broker::Mosquitto(broker);
    let maker = Maker::new().unwrap();
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1).set("power.uplink", "windows").set_raw("power.uplink_every_s", "10");
    let mut daemon = start_online(&world, &subscriber);
    wait_asleep(&subscriber, 1);
    let head = maker.head(&Mind::Large(parts::head().to_owned(), 60_000), 7, |_| {}).unwrap();
    offer(&subscriber, &head);
    pieces(&subscriber, &head, 0..signed::pieces(&head).len() as u32);
    wait_step(&subscriber, 7, Step::Trial);
    let whole = maker.head(&good(), 8, |_| {}).unwrap();
    parts::heads::set(&subscriber, &whole);
    wait_step(&subscriber, 8, Step::Trial);
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert!(!availability(&subscriber.messages()).contains(&"offline".to_owned()));
}
