//! The brokers and the subscriber do what tests will take for granted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Outgoing, Packet, QoS};
use testkit::broker::{Broker, Embedded, Login, Mosquitto, Options};
use testkit::certificates::Certificates;
use testkit::subscriber::{Subscriber, Subscription};

const LIMIT: Duration = Duration::from_secs(30);

/// Publishes with QoS 1 and returns once all is acknowledged.
fn publish(port: u16, topic: &str, payloads: &[&str]) {
    let (client, mut connection) = Client::new(MqttOptions::new("publisher", "127.0.0.1", port), 100);
    for payload in payloads {
        client.publish(topic, QoS::AtLeastOnce, false, *payload).unwrap();
    }
    let mut acknowledged = 0;
    for event in connection.iter() {
        match event.expect("the publisher's connection") {
            Event::Incoming(Packet::PubAck(_)) => acknowledged += 1,
            Event::Outgoing(Outgoing::Disconnect) => return,
            _ => {}
        }
        if acknowledged == payloads.len() {
            client.disconnect().unwrap();
        }
    }
}

fn installed() -> bool {
    if !Mosquitto::available() {
        println!("skipped: mosquitto is not installed");
    }
    Mosquitto::available()
}

#[test]
fn whichever_broker_there_is_acknowledges_and_delivers() {
    let broker = Broker::any().unwrap();
    let subscriber = Subscriber::start(Subscription::new(broker.port(), "a/#")).unwrap();
    publish(broker.port(), "a/b", &["1", "2", "3"]);
    let messages = subscriber.wait_for(LIMIT, |messages| messages.len() == 3).unwrap();
    assert_eq!(messages.iter().map(|message| message.text()).collect::<Vec<_>>(), ["1", "2", "3"]);
}

#[test]
fn the_embedded_broker_acknowledges_and_delivers_many() {
    let broker = Embedded::start().unwrap();
    let subscriber = Subscriber::start(Subscription::new(broker.port(), "a/#")).unwrap();
    let payloads: Vec<String> = (0..90).map(|number| number.to_string()).collect();
    let views: Vec<&str> = payloads.iter().map(String::as_str).collect();
    for _ in 0..5 {
        publish(broker.port(), "a/b", &views);
    }
    subscriber.wait_for(LIMIT, |messages| messages.len() == 450).unwrap();
}

#[test]
fn a_persistent_subscriber_gets_what_was_published_while_it_was_away() {
    if !installed() {
        return;
    }
    let mut broker = Mosquitto::start(Options::default()).unwrap();
    let subscription = || Subscription::new(broker.port(), "a/#").persistent("console");
    drop(Subscriber::start(subscription()).unwrap());
    publish(broker.port(), "a/b", &["kept"]);
    let again = subscription();
    broker.restart().unwrap();
    let subscriber = Subscriber::start(again).unwrap();
    subscriber.wait_for(LIMIT, |messages| messages.iter().any(|message| message.text() == "kept")).unwrap();
}

#[test]
fn a_subscriber_connects_again_after_the_broker_was_killed() {
    if !installed() {
        return;
    }
    let mut broker = Mosquitto::start(Options::default()).unwrap();
    let subscriber = Subscriber::start(Subscription::new(broker.port(), "a/#")).unwrap();
    let port = broker.port();
    broker.kill().unwrap();
    broker.restart().unwrap();
    assert_eq!(broker.port(), port);
    subscriber.wait_subscribed(2, LIMIT).unwrap();
    publish(port, "a/b", &["again"]);
    subscriber.wait_for(LIMIT, |messages| messages.len() == 1).unwrap();
}

#[test]
fn a_broker_with_tls_and_password_lets_in_who_has_both() {
    if !installed() {
        return;
    }
    let certificates = Certificates::generate().unwrap();
    let login = Login { user: "trap".into(), password: "secret".into() };
    let options = Options { tls: Some(certificates.server(false)), login: Some(login), ..Options::default() };
    let broker = Mosquitto::start(options).unwrap();
    let subscription = Subscription::new(broker.port(), "#").tls(certificates.ca_file());
    Subscriber::start(subscription.clone().login("trap", "secret")).unwrap();
    assert!(Subscriber::try_once(subscription.login("trap", "wrong")).is_err());
}

#[test]
fn two_brokers_never_share_a_port() {
    if !installed() {
        return;
    }
    let broker = Mosquitto::start(Options::default()).unwrap();
    let same = Options { port: Some(broker.port()), ..Options::default() };
    assert!(Mosquitto::start(same).is_err());
}
