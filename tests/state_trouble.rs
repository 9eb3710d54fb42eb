//! The disk below the state directory is full, read-only, or gives back other bytes: no alert is lost, somebody is told, and
//! the daemon goes on as soon as it can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod parts;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use parts::mounts::{Mount, fill};
use parts::{BIN, PATIENCE, bear, every_frame, frames, listen, skip, start_online, tally, wait_health};
use rusqlite::Connection;
use serde_json::Value;
use testkit::broker::{Broker, Mosquitto, Options};
use testkit::daemon::World;
use testkit::ledger::Ledger;
use testkit::subscriber::Subscriber;
use testkit::wait_until;

fn drop_bears(directory: &Path, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        fs::write(directory.join(format!("{seed}.jpg")), bear(seed)).unwrap();
    }
}

fn warns(health: &Value, of: &str) -> bool {
    health["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains(of))
}

/// Waits until `count` messages are queued and every one is acknowledged.
fn wait_acked(ledger: &Ledger, count: usize) {
    let acked = || {
        let messages = ledger.messages().unwrap();
        (messages.len() == count && messages.iter().all(|message| message.state == "acked")).then_some(())
    };
    wait_until(PATIENCE, acked).unwrap_or_else(|| panic!("{count} should be: {:?}", ledger.messages().unwrap()));
}

/// Each frame alerted, once.
fn assert_each_once(subscriber: &Subscriber, seeds: std::ops::Range<u64>) {
    tally(seeds.clone().count(), &subscriber.messages());
    let names: Vec<String> = frames(&subscriber.messages()).into_iter().map(|found| found.frame.name).collect();
    let expected: BTreeSet<String> = seeds.map(|seed| format!("{seed}.jpg")).collect();
    assert_eq!(names.len(), expected.len(), "{names:?}");
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected);
}

fn last_health(subscriber: &Subscriber) -> Value {
    subscriber.messages().iter().rev().find(|message| message.topic.ends_with("/health")).unwrap().json()
}

#[test]
fn frames_wait_while_the_state_disk_is_full_and_alert_once_there_is_room_without_a_restart() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let Some(_disk) = Mount::memory(&world.state(), 6 << 10) else { return };
    let mut daemon = start_online(&world, &subscriber);
    drop_bears(&world.captures(), 0..3);
    wait_acked(&world.ledger(), 3);

    let ballast = fill(&world.state(), "ballast");
    drop_bears(&world.captures(), 3..8);
    wait_health(&subscriber, |health| warns(health, "full"));
    let looked = last_health(&subscriber)["counters"]["frames"].as_u64().unwrap();
    assert!(looked <= 6, "{looked} frames were looked at, though none could be noted");
    assert_eq!(world.ledger().messages().unwrap().len(), 3);

    fs::remove_file(ballast).unwrap();
    wait_acked(&world.ledger(), 8);
    assert_each_once(&subscriber, 0..8);
    wait_health(&subscriber, |health| {
        health["counters"]["acknowledged"] == 8 && health["warnings"].as_array().unwrap().is_empty()
    });
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn acknowledgements_that_could_not_be_noted_are_noted_once_there_is_room_and_nothing_is_sent_again() {
    if !Mosquitto::available() {
        return skip("acknowledgements on a full disk", "mosquitto is not installed");
    }
    let broker = Mosquitto::start(Options::default()).unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let Some(_disk) = Mount::memory(&world.state(), 6 << 10) else { return };
    let mut daemon = start_online(&world, &subscriber);
    broker.freeze().unwrap();
    drop_bears(&world.captures(), 0..5);
    wait_until(PATIENCE, || (world.ledger().messages().unwrap().len() == 5).then_some(())).expect("all are queued");
    let ballast = fill(&world.state(), "ballast");
    broker.thaw().unwrap();
    wait_health(&subscriber, |health| warns(health, "full"));
    fs::remove_file(ballast).unwrap();
    wait_acked(&world.ledger(), 5);
    assert_each_once(&subscriber, 0..5);
    let health = wait_health(&subscriber, |health| health["counters"]["acknowledged"] == 5);
    assert_eq!(health["counters"]["connections"], 1, "{health}");
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn captures_and_state_on_one_full_card_lose_nothing_that_was_written() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let card = world.path("card");
    let Some(_disk) = Mount::memory(&card, 6 << 10) else { return };
    let (captures, state) = (card.join("captures"), card.join("state"));
    fs::create_dir(&captures).unwrap();
    let world =
        world.set("capture.directory", captures.to_string_lossy()).set("state.directory", state.to_string_lossy());
    let ledger = Ledger::new(&state);
    let mut daemon = start_online(&world, &subscriber);
    drop_bears(&captures, 0..2);
    wait_acked(&ledger, 2);

    // The camera gets parts of frames onto the card; it is full then.
    let halves = 2..10;
    for seed in halves.clone() {
        let whole = bear(seed);
        fs::write(captures.join(format!("{seed}.jpg.part")), &whole[..whole.len() / 3]).unwrap();
    }
    let ballast = fill(&card, "ballast");
    for seed in halves.clone() {
        fs::rename(captures.join(format!("{seed}.jpg.part")), captures.join(format!("{seed}.jpg"))).unwrap();
    }
    wait_health(&subscriber, |health| warns(health, "full"));

    fs::remove_file(ballast).unwrap();
    // What is left of them is looked at, and the whole of one once the camera has written that.
    for seed in halves {
        let name = format!("{seed}.jpg");
        ledger.wait_frame(&name, PATIENCE).unwrap_or_else(|| panic!("the part of {name} is not dealt with"));
    }
    fs::write(captures.join("2.jpg"), bear(2)).unwrap();
    let is_whole = |messages: &[testkit::subscriber::Message]| {
        frames(messages).iter().any(|found| found.frame.name == "2.jpg" && !found.frame.partial)
    };
    subscriber.wait_for(PATIENCE, is_whole).unwrap();
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn without_a_broker_a_full_disk_does_not_end_the_daemon_either() {
    let world = every_frame();
    let Some(_disk) = Mount::memory(&world.state(), 6 << 10) else { return };
    let mut daemon = world.start(BIN).unwrap();
    drop_bears(&world.captures(), 0..2);
    wait_acked(&world.ledger(), 2);
    let ballast = fill(&world.state(), "ballast");
    drop_bears(&world.captures(), 2..4);
    daemon.wait_for_log("stays and is tried again", PATIENCE).unwrap();
    fs::remove_file(ballast).unwrap();
    wait_acked(&world.ledger(), 4);
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn a_state_disk_that_becomes_read_only_is_reported_and_the_frames_of_that_time_alert_after_it_is_mended() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let Some(card) = Mount::ext4(&world.path("card.img"), &world.state()) else { return };
    let mut daemon = start_online(&world, &subscriber);
    drop_bears(&world.captures(), 0..3);
    wait_acked(&world.ledger(), 3);
    if !card.fail() {
        return;
    }
    drop_bears(&world.captures(), 3..6);
    wait_health(&subscriber, |health| health["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty()));
    assert_eq!(frames(&subscriber.messages()).len(), 3, "an alert that nothing remembers");
    assert!(!daemon.has_ended(), "{:?}", daemon.log());
    assert_eq!(daemon.terminate().unwrap(), 0);
    // Started again on it, it says so and leaves the rest to the service manager, which starts it again and again.
    let mut early = world.start(BIN).unwrap();
    assert_eq!(early.wait_exit(PATIENCE).unwrap(), 1, "{:?}", early.log());
    assert!(early.log().join("\n").contains("ead-only"), "{:?}", early.log());

    card.unmount_and_mend();
    assert!(card.again());
    let mut daemon = start_online(&world, &subscriber);
    wait_acked(&world.ledger(), 6);
    assert_each_once(&subscriber, 0..6);
    assert_eq!(daemon.terminate().unwrap(), 0);
}

/// The journal's pages that hold rows of a table's tree, or, for none, the first free page.
fn spoil(world: &World, table: Option<&str>) {
    let file = world.state().join("journal.sqlite");
    let root: u32 = {
        let db = Connection::open(&file).unwrap();
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        match table {
            Some(name) => {
                db.query_row("SELECT rootpage FROM sqlite_master WHERE name = ?1", [name], |row| row.get(0)).unwrap()
            }
            None => 0,
        }
    };
    let mut bytes = fs::read(&file).unwrap();
    let page = match root {
        0 => u32::from_be_bytes(bytes[32..36].try_into().unwrap()),
        root => root,
    } as usize;
    assert!(page > 1, "there is no such page");
    let size = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    bytes[(page - 1) * size..page * size].fill(0xA5);
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_journal_costs_no_alert_that_waited_in_it_and_no_second_alert_of_known_frames() {
    let port = testkit::broker::free_port().unwrap();
    let world = every_frame().set("mqtt.url", format!("mqtt://127.0.0.1:{port}"));
    drop_bears(&world.captures(), 0..6);
    let mut daemon = world.start(BIN).unwrap();
    wait_until(PATIENCE, || (world.ledger().messages().unwrap().len() == 6).then_some(())).expect("all are queued");
    daemon.kill().unwrap();
    let before = world.ledger().messages().unwrap();
    spoil(&world, Some("files"));

    let broker = Mosquitto::start(Options { port: Some(port), ..Options::default() });
    let Ok(broker) = broker else { return skip("a damaged journal", "mosquitto is not installed") };
    let subscriber = listen(broker.port());
    let mut daemon = start_online(&world, &subscriber);
    let health = wait_health(&subscriber, |health| health["counters"]["acknowledged"] == 6);
    assert!(warns(&health, "6 messages and 6 known frames were saved"), "{health}");
    drop_bears(&world.captures(), 6..7);
    wait_health(&subscriber, |health| health["counters"]["acknowledged"] == 7);
    assert_each_once(&subscriber, 0..7);
    let ids: BTreeSet<String> = before.into_iter().map(|message| message.id).collect();
    let arrived: BTreeSet<String> = frames(&subscriber.messages()).into_iter().map(|found| found.id).collect();
    assert!(ids.is_subset(&arrived));
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn damage_that_the_check_cannot_see_ends_one_daemon_and_not_the_next() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let mut daemon = start_online(&world, &subscriber);
    drop_bears(&world.captures(), 0..2);
    wait_acked(&world.ledger(), 2);
    daemon.kill().unwrap();
    {
        let db = Connection::open(world.state().join("journal.sqlite")).unwrap();
        db.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(40000)); DROP TABLE t;").unwrap();
    }
    // A list of free pages: nobody looks at it until a page is wanted.
    spoil(&world, None);
    drop_bears(&world.captures(), 2..12);
    let mut daemon = world.start(BIN).unwrap();
    assert_eq!(daemon.wait_exit(PATIENCE).unwrap(), 1, "{:?}", daemon.log());
    daemon.wait_for_log("the next start replaces it", Duration::ZERO).unwrap();
    let mut daemon = start_online(&world, &subscriber);
    wait_health(&subscriber, |health| health["last"]["classified_at"].is_string() && health["backlog"]["waiting"] == 0);
    let all = |messages: &[testkit::subscriber::Message]| {
        frames(messages).into_iter().map(|found| found.frame.name).collect::<BTreeSet<_>>().len() == 12
    };
    tally(12, &subscriber.wait_for(PATIENCE, all).unwrap());
    // At least once, and always the same.
    let mut bodies = std::collections::BTreeMap::new();
    for message in subscriber.messages().iter().filter(|message| message.topic.ends_with("/detection")) {
        let id = message.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(bodies.entry(id).or_insert(message.payload.clone()), &message.payload);
    }
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn few_descriptors_and_little_memory_are_said_and_cost_no_frame() {
    let world = every_frame();
    drop_bears(&world.captures(), 0..3);
    // Too few to open all doors of the journal.
    let mut starved = world.start_under(&["prlimit", "--nofile=12:12"], BIN).unwrap();
    assert_eq!(starved.wait_exit(PATIENCE).unwrap(), 1, "{:?}", starved.log());
    assert!(starved.log().iter().any(|line| line.contains("LimitNOFILE")), "{:?}", starved.log());
    // As many as it holds when nothing happens, and a few more.
    let mut modest = world.start_under(&["prlimit", "--nofile=48:48"], BIN).unwrap();
    wait_acked(&world.ledger(), 3);
    drop_bears(&world.captures(), 3..6);
    wait_acked(&world.ledger(), 6);
    assert_eq!(modest.terminate().unwrap(), 0);
    // Less memory than a huge picture would ask for.
    let mut small = world.start_under(&["prlimit", "--as=1200000000"], BIN).unwrap();
    drop_bears(&world.captures(), 6..8);
    wait_acked(&world.ledger(), 8);
    assert_eq!(small.terminate().unwrap(), 0);
}
