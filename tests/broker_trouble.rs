//! A broker that is slow, half-open, frozen, or pushes the trap out; a name that does not resolve; a certificate that ran
//! out; a clock that jumps by decades: each is said, and costs no alert.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod parts;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use parts::clock::Clock;
use parts::wire::Wire;
use parts::{
    PATIENCE, bear, every_frame, frames, listen, skip, start_online, tally, wait_detections, wait_frames, wait_health,
};
use testkit::broker::{Mosquitto, Options};
use testkit::certificates::Certificates;
use testkit::daemon::{Daemon, World};
use testkit::subscriber::{Subscriber, Subscription};
use testkit::wait_until;

fn mosquitto(test: &str) -> Option<Mosquitto> {
    if !Mosquitto::available() {
        skip(test, "mosquitto is not installed");
        return None;
    }
    Some(Mosquitto::start(Options::default()).unwrap())
}

fn drop_bears(world: &World, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        world.drop_frame(&format!("{seed}.jpg"), &bear(seed)).unwrap();
    }
}

/// Waits until `count` messages, numbered without a hole, are all acknowledged.
fn wait_acked(world: &World, count: u64) {
    let acked = || {
        let messages = world.ledger().messages().unwrap();
        let numbers = messages.iter().map(|message| message.seq).eq(1..=count);
        (numbers && messages.iter().all(|message| message.state == "acked")).then_some(())
    };
    wait_until(PATIENCE, acked)
        .unwrap_or_else(|| panic!("{count} should be: {:?}", world.ledger().messages().unwrap()));
}

/// Each alert arrived, and repeats are the same byte for byte.
fn assert_all_arrived(subscriber: &Subscriber, count: usize) {
    let mut bodies = BTreeMap::new();
    let messages = subscriber
        .wait_for(PATIENCE, |messages| {
            let mut ids: Vec<String> = frames(messages).into_iter().map(|found| found.id).collect();
            ids.sort();
            ids.dedup();
            ids.len() >= count
        })
        .unwrap();
    tally(count, &messages);
    for message in messages.iter().filter(|message| message.topic.ends_with("/detection")) {
        let id = message.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(bodies.entry(id).or_insert(message.payload.clone()), &message.payload, "a repeat with another body");
    }
    assert_eq!(bodies.len(), count);
}

fn tries(daemon: &Daemon) -> Vec<String> {
    daemon.log().into_iter().filter(|line| line.contains("next try")).collect()
}

#[test]
fn a_broker_that_stands_still_is_given_up_tried_again_and_gets_everything_when_it_goes_on() {
    let Some(broker) = mosquitto("a frozen broker") else { return };
    let subscriber = listen(broker.port());
    let world = every_frame()
        .set("mqtt.url", broker.url())
        .set_raw("mqtt.keep_alive_s", "5")
        .set_raw("mqtt.connect_timeout_s", "2");
    let mut daemon = start_online(&world, &subscriber);
    drop_bears(&world, 0..2);
    wait_acked(&world, 2);
    broker.freeze().unwrap();
    drop_bears(&world, 2..6);
    // The connection that stood, and then one that the kernel accepts and nobody answers.
    wait_until(PATIENCE, || tries(&daemon).iter().any(|line| line.contains("no answer within")).then_some(()))
        .unwrap_or_else(|| panic!("{:?}", daemon.log()));
    assert!(tries(&daemon).len() >= 2, "{:?}", daemon.log());
    wait_frames(&world, &["2.jpg", "5.jpg"]);
    broker.thaw().unwrap();
    wait_acked(&world, 6);
    assert_all_arrived(&subscriber, 6);
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn a_line_on_which_nothing_comes_back_is_given_up_and_the_next_one_carries_what_was_on_it() {
    let Some(broker) = mosquitto("a half-open line") else { return };
    let subscriber = listen(broker.port());
    let wire = Wire::to(broker.port());
    let world =
        every_frame().set("mqtt.url", format!("mqtt://127.0.0.1:{}", wire.port())).set_raw("mqtt.keep_alive_s", "5");
    let mut daemon = start_online(&world, &subscriber);
    wire.deafen();
    drop_bears(&world, 0..4);
    wait_until(PATIENCE, || (!tries(&daemon).is_empty()).then_some(())).expect("the line is given up");
    wire.cut();
    wait_acked(&world, 4);
    assert_all_arrived(&subscriber, 4);
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn a_slow_line_carries_everything_over_one_connection() {
    let Some(broker) = mosquitto("a slow line") else { return };
    let subscriber = listen(broker.port());
    let wire = Wire::to(broker.port());
    let world = every_frame().set("mqtt.url", format!("mqtt://127.0.0.1:{}", wire.port()));
    let mut daemon = start_online(&world, &subscriber);
    wire.slow(Duration::from_millis(400));
    drop_bears(&world, 0..30);
    wait_acked(&world, 30);
    let health = wait_health(&subscriber, |health| health["counters"]["acknowledged"] == 30);
    assert_eq!(health["counters"]["connections"], 1, "{health}");
    assert_eq!(wait_detections(&subscriber, 30).len(), 30, "nothing was sent twice");
    tally(30, &subscriber.messages());
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn a_trap_that_is_pushed_out_by_another_client_with_its_id_comes_back_and_loses_nothing() {
    let Some(broker) = mosquitto("another client with the same id") else { return };
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url()).set("mqtt.client_id", "twin");
    let mut daemon = start_online(&world, &subscriber);
    for round in 0..5 {
        let before = tries(&daemon).len();
        drop_bears(&world, round * 4..round * 4 + 4);
        let twin = Subscriber::start(Subscription::new(broker.port(), "nothing").persistent("twin")).unwrap();
        wait_until(PATIENCE, || (tries(&daemon).len() > before).then_some(())).expect("it is pushed out");
        drop(twin);
    }
    wait_acked(&world, 20);
    assert_all_arrived(&subscriber, 20);
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn a_certificate_that_ran_out_is_named_as_what_it_is() {
    if !Mosquitto::available() {
        return skip("an expired certificate", "mosquitto is not installed");
    }
    let certificates = Certificates::expired().unwrap();
    let broker = Mosquitto::start(Options { tls: Some(certificates.server(false)), ..Options::default() }).unwrap();
    let world =
        every_frame().set("mqtt.url", broker.url()).set("mqtt.ca_file", certificates.ca_file().to_string_lossy());
    let mut daemon = world.start(parts::BIN).unwrap();
    drop_bears(&world, 0..1);
    wait_until(PATIENCE, || (tries(&daemon).len() >= 2).then_some(())).expect("tried again");
    assert!(tries(&daemon).iter().all(|line| line.to_lowercase().contains("expired")), "{:?}", tries(&daemon));
    wait_frames(&world, &["0.jpg"]);
    assert_eq!(world.ledger().messages().unwrap()[0].state, "queued");
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn a_broker_whose_name_does_not_resolve_is_found_once_it_does_and_again_when_it_moved() {
    let Some(broker) = mosquitto("a name that does not resolve") else { return };
    let subscriber = listen(broker.port());
    let url = format!("mqtt://broker.test:{}", broker.port());
    let world = every_frame().set("mqtt.url", url).set_raw("mqtt.connect_timeout_s", "5");
    let hosts = world.path("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let mount = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let allowed = std::process::Command::new("unshare").args(["-m", "sh", "-c", &mount, "sh", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return skip("a name that does not resolve", "this process may not mount");
    }
    let mut daemon = world.start_under(&["unshare", "-m", "sh", "-c", &mount, "sh"], parts::BIN).unwrap();
    drop_bears(&world, 0..2);
    wait_until(PATIENCE, || (!tries(&daemon).is_empty()).then_some(())).unwrap_or_else(|| panic!("{:?}", daemon.log()));
    wait_frames(&world, &["0.jpg", "1.jpg"]);
    // In place: it is this file that lies over the other.
    fs::write(&hosts, "127.0.0.1 localhost broker.test\n").unwrap();
    wait_acked(&world, 2);
    assert_all_arrived(&subscriber, 2);
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn a_clock_that_jumps_by_decades_costs_no_alert_and_no_number() {
    const YEAR: i64 = 31_556_952;
    let Some(broker) = mosquitto("a clock that jumps") else { return };
    let subscriber = listen(broker.port());
    let Some((clock, world)) = Clock::of(every_frame().set("mqtt.url", broker.url())) else { return };
    let mut daemon = start_online(&world, &subscriber);
    let mut count = 0;
    let mut years = Vec::new();
    // 1966: before the beginning of time. 2086: beyond 32 bits, signed and not.
    for jump in [0, -30, 60, -60, 0] {
        clock.set(jump * YEAR);
        drop_bears(&world, count..count + 2);
        count += 2;
        wait_acked(&world, count);
        let health = wait_health(&subscriber, |health| health["counters"]["acknowledged"].as_u64() == Some(count));
        years.push(health["at"].as_str().unwrap()[..4].parse::<i32>().unwrap());
        if jump == -60 {
            // A board without a clock chip starts in another time than it stopped in.
            assert_eq!(daemon.terminate().unwrap(), 0);
            clock.set(-56 * YEAR);
            daemon = start_online(&world, &subscriber);
            drop_bears(&world, count..count + 2);
            count += 2;
            wait_acked(&world, count);
            assert_eq!(daemon.terminate().unwrap(), 0);
            clock.set(0);
            daemon = start_online(&world, &subscriber);
            drop_bears(&world, count..count + 2);
            count += 2;
            wait_acked(&world, count);
            break;
        }
    }
    assert!(years[1] < years[0] - 20 && years[2] > years[0] + 50 && years[3] < years[0] - 50, "{years:?}");
    tally(count as usize, &subscriber.messages());
    let found = frames(&subscriber.messages());
    assert_eq!(found.len() as u64, count, "each alerted once");
    assert!(found.iter().map(|detection| detection.seq.unwrap()).eq(1..=count), "in order, and none left out");
    assert_eq!(daemon.terminate().unwrap(), 0);
}
