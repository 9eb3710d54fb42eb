//! What docs/fleet.md says of brokers behind brokers and of consumers that share alerts, with real mosquittos.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::BTreeSet;
use std::path::Path;

use parts::flapping::port;
use parts::linked::{Trap, retain};
use parts::{BIN, PATIENCE, skip};
use serde_json::Value;
use testkit::broker::{Mosquitto, Options};
use testkit::subscriber::{Message, Subscriber, Subscription};
use testkit::wait_until;

fn mosquitto() -> bool {
    let available = Mosquitto::available();
    if !available {
        skip("bridges and shared subscriptions", "mosquitto is not installed");
    }
    available
}

/// The documented bridge, to a broker on this port without TLS and passwords, and one that is not patient.
fn bridge(to: u16) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mosquitto/bridge.conf");
    let text = std::fs::read_to_string(file).unwrap();
    let ours = ["address", "bridge_cafile", "remote_username", "remote_password"];
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines = lines.filter(|line| !ours.iter().any(|key| line.starts_with(key))).map(str::to_owned);
    let (mut bridge, mut rest): (Vec<String>, Vec<String>) = lines.partition(|line| line.starts_with("connection"));
    bridge.push(format!("address 127.0.0.1:{to}"));
    bridge.push("restart_timeout 1".into());
    bridge.append(&mut rest);
    bridge
}

/// Two brokers, and whoever waits for alerts at the one in the middle.
struct Sites {
    middle: Mosquitto,
    site: Mosquitto,
    console: Subscriber,
}

impl Sites {
    fn start() -> Self {
        let middle = Mosquitto::start(Options { port: Some(port()), ..Options::default() }).unwrap();
        let site = Options { port: Some(port()), extra: bridge(middle.port()), ..Options::default() };
        let site = Mosquitto::start(site).unwrap();
        let console = Subscription::new(middle.port(), "arcticd/#").persistent("console");
        let sites = Self { console: Subscriber::start(console).unwrap(), middle, site };
        sites.wait_bridge("1");
        sites
    }

    /// Waits until the bridge last said this of itself.
    fn wait_bridge(&self, word: &str) {
        let last = |messages: &[Message]| {
            let mut of_bridge = messages.iter().filter(|message| message.topic == "arcticd/fleet/bridge/site-north");
            of_bridge.next_back().is_some_and(|message| message.text() == word)
        };
        self.console.wait_for(PATIENCE, last).unwrap_or_else(|error| panic!("{error}\n{}", self.site.log()));
    }
}

fn ids(messages: &[Message]) -> BTreeSet<u64> {
    let alerts = messages.iter().filter(|message| message.topic.ends_with("/detection"));
    alerts.map(|message| message.json()["id"].as_u64().unwrap()).collect()
}

fn wait_ids(console: &Subscriber, wanted: std::ops::Range<u64>) {
    let wanted: BTreeSet<u64> = wanted.collect();
    console.wait_for(PATIENCE, |messages| ids(messages).is_superset(&wanted)).unwrap_or_else(|error| {
        let missing: Vec<u64> = wanted.difference(&ids(&console.messages())).copied().collect();
        panic!("{error}: {missing:?} are missing")
    });
}

/// `arcticd fleet --json` of a broker.
fn fleet(port: u16) -> Vec<Value> {
    let output = std::process::Command::new(BIN)
        .args(["fleet", "--json", "--broker", &format!("mqtt://127.0.0.1:{port}")])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn over_a_bridge_alerts_and_retained_health_come_up_and_heads_go_down_also_after_it_was_broken() {
    if !mosquitto() {
        return;
    }
    let mut sites = Sites::start();
    let mut trap = Trap::new(sites.site.port()).start();
    trap.detect(0..20);
    wait_ids(&sites.console, 0..20);
    let online = |messages: &[Message]| {
        messages.iter().any(|message| message.topic == "arcticd/test/availability" && message.text() == "online")
    };
    sites.console.wait_for(PATIENCE, online).unwrap();
    // Retained there, for whoever comes later: the fleet's table.
    let known = wait_until(PATIENCE, || fleet(sites.middle.port()).into_iter().find(|row| row["health"].is_object()));
    let known = known.expect("health is retained in the middle");
    assert_eq!((&known["trap"], &known["state"]), (&Value::from("test"), &Value::from("online")));

    // The line breaks, and the site goes on: its broker takes what the trap has to say, and is restarted meanwhile.
    sites.middle.kill().unwrap();
    trap.detect(20..60);
    trap.wait_acknowledged(60);
    sites.site.restart().unwrap();
    trap.detect(60..80);
    trap.wait_acknowledged(80);
    // A head is pushed to the middle while the line is down; it finds its way, and stays retained on site.
    sites.middle.restart().unwrap();
    retain(sites.middle.port(), "arcticd/group/coast/head/offer", "not signed by anybody");
    wait_ids(&sites.console, 0..80);
    let offered = wait_until(PATIENCE, || {
        let late = Subscriber::start(Subscription::new(sites.site.port(), "arcticd/group/#")).unwrap();
        // What is retained comes at once, or is not there yet.
        late.wait_for(std::time::Duration::from_secs(1), |messages| messages.iter().any(|message| message.retain)).ok()
    });
    assert_eq!(offered.expect("the head is on site").last().unwrap().text(), "not signed by anybody");
    sites.wait_bridge("1");
}

/// A consumer of the group `consoles`, with a session that the broker keeps if it has a name.
fn consumer(broker: &Mosquitto, name: Option<&str>) -> Subscriber {
    let share = Subscription::new(broker.port(), "$share/consoles/arcticd/+/detection");
    Subscriber::start(match name {
        Some(name) => share.persistent(name),
        None => share,
    })
    .unwrap()
}

#[test]
fn two_consumers_share_the_alerts_and_one_that_is_left_alone_takes_all() {
    if !mosquitto() {
        return;
    }
    let broker = Mosquitto::start(Options::default()).unwrap();
    let (one, two) = (consumer(&broker, None), consumer(&broker, None));
    let everybody = Subscriber::start(Subscription::new(broker.port(), "arcticd/+/detection")).unwrap();
    let mut trap = Trap::new(broker.port()).start();
    trap.detect(0..40);
    wait_ids(&everybody, 0..40);
    let shared = wait_until(PATIENCE, || {
        let (one, two) = (ids(&one.messages()), ids(&two.messages()));
        (one.len() + two.len() >= 40).then_some((one, two))
    });
    let (first, second) = shared.expect("all are taken");
    assert!(first.is_disjoint(&second), "{first:?} {second:?}");
    assert_eq!(first.union(&second).count(), 40);
    assert!(first.len() >= 10 && second.len() >= 10, "{} and {}", first.len(), second.len());

    drop(one);
    // The broker has heard of it.
    wait_until(PATIENCE, || broker.log().contains("disconnected").then_some(())).unwrap();
    trap.detect(40..80);
    wait_ids(&two, 40..80);
}

#[test]
fn alerts_for_a_consumer_that_is_away_with_its_session_kept_are_not_lost() {
    if !mosquitto() {
        return;
    }
    let broker = Mosquitto::start(Options::default()).unwrap();
    drop(consumer(&broker, Some("one")));
    let two = consumer(&broker, Some("two"));
    let mut trap = Trap::new(broker.port()).start();
    trap.detect(0..40);
    trap.wait_acknowledged(40);
    let one = consumer(&broker, Some("one"));
    let all = wait_until(PATIENCE, || {
        let taken: BTreeSet<u64> = ids(&one.messages()).union(&ids(&two.messages())).copied().collect();
        (taken.len() == 40).then_some(())
    });
    println!(
        "while one was away: {} went to it, {} to the other",
        ids(&one.messages()).len(),
        ids(&two.messages()).len()
    );
    assert!(all.is_some());
}
