//! Frames leave the card: after their days, or when it is full; and never one that somebody still needs.
//!
//! Days pass in the journal, which counts them: no clock can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod parts;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use arcticd::frame::ContentHash;
use parts::clock::Clock;
use parts::mounts::{Mount, fill};
use parts::{BIN, PATIENCE, bear, frame, listen, skip, start_online, wait_frames, wait_health, world};
use rusqlite::Connection;
use serde_json::Value;
use testkit::broker::{Broker, Mosquitto, Options};
use testkit::daemon::{Daemon, World};
use testkit::scenes::Scene;
use testkit::wait_until;

/// Frames that the scenes' head says nothing of.
fn snow(seed: u64) -> Vec<u8> {
    frame(Scene::Empty, seed)
}

/// What the scenes' head alerts on is an event, over after a second.
fn deleting(broker: &Broker) -> World {
    world().set("mqtt.url", broker.url()).set("capture.retention", "delete").set_raw("alerts.gap_s", "1")
}

/// Lets days pass for a daemon that does not run.
fn let_pass(world: &World, days: u64) {
    let db = Connection::open(world.state().join("journal.sqlite")).unwrap();
    let age: String = db.query_row("SELECT value FROM meta WHERE key = 'age'", [], |row| row.get(0)).unwrap();
    let (seconds, at) = age.split_once(' ').unwrap();
    let seconds = seconds.parse::<u64>().unwrap() + days * 86_400;
    db.execute("UPDATE meta SET value = ?1 WHERE key = 'age'", [format!("{seconds} {at}")]).unwrap();
}

fn counter(health: &Value, name: &str) -> u64 {
    health["counters"][name].as_u64().unwrap()
}

fn warns(health: &Value, of: &str) -> bool {
    health["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains(of))
}

/// Waits until nothing of an event is still to come.
fn wait_told(world: &World) {
    let told = || {
        let messages = world.ledger().messages().unwrap();
        let all = !messages.is_empty() && messages.iter().all(|message| message.state == "acked");
        (all && world.ledger().open_events().unwrap() == 0).then_some(())
    };
    wait_until(PATIENCE, told).unwrap_or_else(|| panic!("{:?}", world.ledger().messages().unwrap()));
}

/// Waits until exactly these are left below `directory`.
fn wait_left(directory: &Path, names: &[&str]) {
    let found = || {
        let mut found: Vec<String> = contents(directory).into_keys().collect();
        found.sort();
        found
    };
    let mut wanted = names.to_vec();
    wanted.sort_unstable();
    wait_until(PATIENCE, || (found() == wanted).then_some(()))
        .unwrap_or_else(|| panic!("{:?}, not {names:?}", found()));
}

/// Files below `directory`, links left out.
fn contents(directory: &Path) -> BTreeMap<String, ContentHash> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && let Ok(bytes) = fs::read(&path)
            {
                let name = path.strip_prefix(directory).unwrap().to_string_lossy().into_owned();
                found.insert(name, ContentHash::of(&bytes));
            }
        }
    }
    found
}

#[test]
fn frames_go_after_their_days_those_that_alerted_after_theirs_and_nothing_else_does() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = deleting(&broker);
    let captures = world.captures();
    world.drop_frame("north/snow.jpg", &snow(1)).unwrap();
    world.drop_frame("north/bear.jpg", &bear(1)).unwrap();
    for (name, bytes) in
        [("no.jpg", &b"no picture"[..]), ("notes.txt", b"notes"), (".hidden.jpg", &snow(3)), (".h/a.jpg", &snow(4))]
    {
        world.drop_frame(name, bytes).unwrap();
    }
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("linked.jpg"), snow(1)).unwrap();
    symlink(outside.join("linked.jpg"), captures.join("linked.jpg")).unwrap();
    let all = ["north/snow.jpg", "north/bear.jpg", "no.jpg", "notes.txt", ".hidden.jpg", ".h/a.jpg"];

    let mut daemon = start_online(&world, &subscriber);
    wait_frames(&world, &["north/snow.jpg", "north/bear.jpg", "no.jpg"]);
    wait_told(&world);
    assert_eq!(daemon.terminate().unwrap(), 0);
    let_pass(&world, 29);
    let mut daemon = start_online(&world, &subscriber);
    // A frame that comes later is younger, and its scan is one in which the others could have gone.
    world.drop_frame("north/later.jpg", &snow(2)).unwrap();
    wait_frames(&world, &["north/later.jpg"]);
    assert_eq!(daemon.terminate().unwrap(), 0);
    wait_left(&captures, &[&all[..], &["north/later.jpg"]].concat());

    let_pass(&world, 2);
    let mut daemon = start_online(&world, &subscriber);
    wait_left(&captures, &[&all[1..], &["north/later.jpg"]].concat());
    let health = wait_health(&subscriber, |health| counter(health, "deleted") == 1);
    assert!(health["capture_free_mib"].as_u64().is_some(), "{health}");
    // Put back, it is the frame that it was.
    let known = world.ledger().frames().unwrap();
    world.drop_frame("north/back.jpg", &snow(1)).unwrap();
    wait_health(&subscriber, |health| counter(health, "copies") == 1);
    assert_eq!(world.ledger().frames().unwrap(), known);
    assert_eq!(daemon.terminate().unwrap(), 0);

    let_pass(&world, 365);
    let mut daemon = start_online(&world, &subscriber);
    wait_left(&captures, &all[2..]);
    assert_eq!(fs::read(outside.join("linked.jpg")).unwrap(), snow(1));
    assert_eq!(world.ledger().messages().unwrap().len(), 2, "an opening and a summary");
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn no_frame_goes_whose_alert_is_not_acknowledged_however_old_it_is() {
    let broker = Mosquitto::start(Options::default()).unwrap();
    let port = broker.port();
    let subscriber = listen(port);
    let world = world()
        .set("mqtt.url", format!("mqtt://127.0.0.1:{port}"))
        .set("capture.retention", "delete")
        .set_raw("capture.retention_alert_days", "1")
        .set_raw("capture.retention_days", "1")
        .set_raw("alerts.gap_s", "1");
    let mut daemon = start_online(&world, &subscriber);
    drop(broker);
    world.drop_frame("bear.jpg", &bear(1)).unwrap();
    world.drop_frame("snow.jpg", &snow(1)).unwrap();
    wait_frames(&world, &["bear.jpg", "snow.jpg"]);
    wait_until(PATIENCE, || (world.ledger().open_events().unwrap() == 0).then_some(())).unwrap();
    daemon.kill().unwrap();
    let_pass(&world, 400);
    let mut daemon = world.start(BIN).unwrap();
    wait_left(&world.captures(), &["bear.jpg"]);
    daemon.wait_for_log("deleted 1 frame", PATIENCE).unwrap();
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert!(world.captures().join("bear.jpg").exists());

    let _broker = Mosquitto::start(Options { port: Some(port), ..Options::default() }).unwrap();
    let mut daemon = world.start(BIN).unwrap();
    wait_told(&world);
    assert_eq!(daemon.terminate().unwrap(), 0);
    let mut daemon = world.start(BIN).unwrap();
    wait_left(&world.captures(), &[]);
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn a_full_card_loses_its_oldest_frames_first_and_its_bears_last_and_says_what_it_can_t_do() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = deleting(&broker);
    let Some(_card) = Mount::memory(&world.captures(), 2 << 10) else { return };
    let mut daemon = start_online(&world, &subscriber);
    // Large enough to be felt: a tenth of the card is to stay free.
    let names: Vec<String> = (0..6).map(|number| format!("{number}.jpg")).collect();
    for (number, name) in (0..).zip(&names) {
        let mut bytes = if number == 0 { bear(1) } else { snow(number) };
        bytes.resize(150 << 10, 0);
        world.drop_frame(name, &bytes).unwrap();
        wait_frames(&world, &[name]);
        noted_at(&world, name, number);
    }
    wait_told(&world);
    let left = |health: &Value| 6 - counter(health, "deleted");
    assert_eq!(left(&wait_health(&subscriber, |health| counter(health, "classified") == 6)), 6);
    // Another program writes, until 100 KiB are left.
    let ballast = fill(&world.captures(), "ballast");
    wait_health(&subscriber, |health| counter(health, "deleted") >= 2);
    wait_left(&world.captures(), &["0.jpg", "3.jpg", "4.jpg", "5.jpg", "ballast"]);
    // And takes that too, again and again, until nothing is left that may go.
    let grow = || {
        use std::io::Write;
        let mut file = fs::File::options().append(true).open(&ballast).unwrap();
        for size in [64 << 10, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    };
    let health = wait_until(PATIENCE, || {
        grow();
        let warned = |health: &Value| warns(health, "something else fills it");
        subscriber.messages().iter().rev().filter(|it| it.topic.ends_with("/health")).map(|it| it.json()).find(warned)
    })
    .expect("a warning");
    assert_eq!(counter(&health, "deleted"), 6, "{health}");
    fs::remove_file(&ballast).unwrap();
    assert_eq!(daemon.terminate().unwrap(), 0);
}

/// Says when a file was noted: within a second they all were at the same time.
fn noted_at(world: &World, name: &str, second: u64) {
    let db = Connection::open(world.state().join("journal.sqlite")).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    db.execute("UPDATE files SET noted = ?1 WHERE name = ?2", (second as i64 - 100, name)).unwrap();
}

#[test]
fn the_empty_place_of_a_pulled_card_loses_nothing_and_the_card_is_known_when_it_is_back() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = deleting(&broker);
    // Below the mount lie files of the same names.
    world.drop_frame("snow.jpg", &snow(7)).unwrap();
    let Some(card) = Mount::ext4(&world.path("card.img"), &world.captures()) else { return };
    let mut daemon = start_online(&world, &subscriber);
    world.drop_frame("snow.jpg", &snow(1)).unwrap();
    world.drop_frame("more.jpg", &snow(2)).unwrap();
    wait_frames(&world, &["snow.jpg", "more.jpg"]);
    assert_eq!(daemon.terminate().unwrap(), 0);
    let_pass(&world, 40);
    assert!(card.unmount());
    let mut daemon = start_online(&world, &subscriber);
    wait_health(&subscriber, |health| counter(health, "classified") == 1);
    let other = listen(broker.port());
    // Scans and health come each second.
    wait_health(&other, |health| health["uptime_s"].as_u64() >= Some(4));
    assert_eq!(contents(&world.captures()).len(), 1);
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert!(card.again());
    let mut daemon = start_online(&world, &subscriber);
    // `snow.jpg` is another content now than the one last noted under that name, and so as old as that look.
    wait_left(&world.captures(), &["snow.jpg"]);
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn a_clock_that_jumps_by_decades_deletes_nothing() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let Some((clock, world)) = Clock::of(deleting(&broker)) else { return };
    clock.set(-50 * 365 * 86_400);
    let mut daemon = start_online(&world, &subscriber);
    world.drop_frame("1.jpg", &snow(1)).unwrap();
    wait_frames(&world, &["1.jpg"]);
    // While it runs, and while it is off.
    clock.set(0);
    world.drop_frame("2.jpg", &snow(2)).unwrap();
    wait_frames(&world, &["2.jpg"]);
    assert_eq!(daemon.terminate().unwrap(), 0);
    for years in [60, -20, 0] {
        clock.set(years * 365 * 86_400);
        let mut daemon = start_online(&world, &subscriber);
        let name = format!("in{years}.jpg");
        world.drop_frame(&name, &snow((100 + years) as u64)).unwrap();
        wait_frames(&world, &[&name]);
        assert_eq!(daemon.terminate().unwrap(), 0);
    }
    assert_eq!(contents(&world.captures()).len(), 5);
    // Each forward jump counted for a day at most.
    let_pass(&world, 30);
    let mut daemon = start_online(&world, &subscriber);
    wait_left(&world.captures(), &[]);
    assert_eq!(daemon.terminate().unwrap(), 0);
}

/// A world that moves frames to a file system of its own, with `count` frames that are old.
fn moving(broker: &Broker, count: u64) -> Option<(World, Mount, PathBuf)> {
    let world = deleting(broker).set("capture.retention", "move").set_raw("capture.min_free_mib", "0");
    let archive = world.path("archive");
    let world = world.set("capture.retention_directory", archive.to_string_lossy());
    let disk = Mount::memory(&archive, 64 << 10)?;
    let names: Vec<String> = (0..count).map(|number| format!("cam/{number}.jpg")).collect();
    for (number, name) in (0..).zip(&names) {
        let mut bytes = snow(number % 4);
        bytes.resize(100 << 10, number as u8);
        world.drop_frame(name, &bytes).unwrap();
    }
    let mut daemon = world.start(BIN).unwrap();
    wait_frames(&world, &names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(daemon.terminate().unwrap(), 0);
    let_pass(&world, 40);
    Some((world, disk, archive))
}

#[test]
fn a_move_that_is_killed_again_and_again_loses_no_frame_and_leaves_each_once() {
    const COUNT: u64 = 60;
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let Some((world, _disk, archive)) = moving(&broker, COUNT) else { return };
    let before = contents(&world.captures());
    // What deaths leave: half a copy, and a copy beside its original.
    let (first, second) = (&before["cam/0.jpg"], before["cam/1.jpg"]);
    fs::create_dir(archive.join("cam")).unwrap();
    fs::write(archive.join(format!("cam/.arcticd-{first}.part")), b"half").unwrap();
    fs::copy(world.captures().join("cam/1.jpg"), archive.join("cam/1.jpg")).unwrap();
    for kill in 1.. {
        let moved = || contents(&archive).len() as u64;
        let enough = (2 + 8 * kill).min(COUNT);
        let mut daemon = world.start(BIN).unwrap();
        wait_until(PATIENCE, || (moved() >= enough).then_some(()))
            .unwrap_or_else(|| panic!("{}", daemon.log().join("\n")));
        daemon.kill().unwrap();
        let (here, there) = (contents(&world.captures()), contents(&archive));
        for (name, hash) in &before {
            let whole = |place: &BTreeMap<String, ContentHash>| place.get(name) == Some(hash);
            assert!(whole(&here) || whole(&there), "{name} after {kill} deaths");
        }
        if enough == COUNT {
            break;
        }
    }
    let mut daemon = start_online(&world, &subscriber);
    wait_left(&world.captures(), &[]);
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert_eq!(contents(&archive), before);
    assert_eq!(contents(&archive)["cam/1.jpg"], second);
}

#[test]
fn a_frame_that_moves_takes_no_other_ones_place_and_a_missing_or_full_archive_keeps_it_where_it_is() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let Some((world, disk, archive)) = moving(&broker, 2) else { return };
    assert!(disk.unmount());
    fs::remove_dir(&archive).unwrap();
    let mut daemon = start_online(&world, &subscriber);
    daemon.wait_for_log("mount its disk, or make it", PATIENCE).unwrap();
    wait_health(&subscriber, |health| warns(health, "capture.retention_directory"));
    assert_eq!(daemon.terminate().unwrap(), 0);

    let Some(_disk) = Mount::memory(&archive, 1 << 10) else { return };
    let ballast = fill(&archive, "ballast");
    let mut daemon = world.start(BIN).unwrap();
    daemon.wait_for_log("are free", PATIENCE).unwrap();
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert_eq!(contents(&world.captures()).len(), 2);
    fs::remove_file(ballast).unwrap();

    let hash = contents(&world.captures())["cam/0.jpg"].to_string();
    fs::create_dir_all(archive.join("cam")).unwrap();
    fs::write(archive.join("cam/0.jpg"), b"another one").unwrap();
    let mut daemon = world.start(BIN).unwrap();
    wait_left(&world.captures(), &[]);
    assert_eq!(daemon.terminate().unwrap(), 0);
    let there = contents(&archive);
    assert_eq!(there["cam/0.jpg"], ContentHash::of(b"another one"));
    assert_eq!(there[&format!("cam/0-{}.jpg", &hash[..16])].to_string(), hash);
    assert_eq!(there.len(), 3, "{there:?}");
}

#[test]
fn a_file_that_is_another_one_behind_the_same_name_size_and_time_stays() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = deleting(&broker);
    let mut daemon = start_online(&world, &subscriber);
    let names = ["a/rewritten.jpg", "b/linked.jpg", "c/linked.jpg"];
    for (seed, name) in (1..).zip(names) {
        world.drop_frame(name, &snow(seed)).unwrap();
    }
    wait_frames(&world, &names);
    assert_eq!(daemon.terminate().unwrap(), 0);
    let path = |name: &str| world.captures().join(name);
    // In place, and with its time put back: only the content tells.
    let time = fs::metadata(path(names[0])).unwrap().modified().unwrap();
    let mut other = snow(1);
    *other.last_mut().unwrap() ^= 1;
    fs::write(path(names[0]), &other).unwrap();
    fs::File::options().append(true).open(path(names[0])).unwrap().set_modified(time).unwrap();
    // A link in the place of a frame, and of a folder, to the same content.
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::rename(path("b/linked.jpg"), outside.join("linked.jpg")).unwrap();
    symlink(outside.join("linked.jpg"), path("b/linked.jpg")).unwrap();
    fs::rename(path("c"), outside.join("c")).unwrap();
    symlink(outside.join("c"), path("c")).unwrap();
    // And one that may go, so that it shows that others could have gone.
    world.drop_frame("z.jpg", &snow(9)).unwrap();
    let mut daemon = start_online(&world, &subscriber);
    wait_frames(&world, &["z.jpg"]);
    assert_eq!(daemon.terminate().unwrap(), 0);
    let_pass(&world, 40);
    let mut daemon = start_online(&world, &subscriber);
    wait_left(&world.captures(), &["a/rewritten.jpg"]);
    daemon.wait_for_log("deleted 1 frame", PATIENCE).unwrap();
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert_eq!(contents(&outside).len(), 2);
    assert_eq!(fs::read(path(names[0])).unwrap(), other);
}

#[test]
fn a_second_name_makes_no_room_and_so_stays_on_a_full_card_but_not_after_its_days() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = deleting(&broker);
    let Some(_card) = Mount::memory(&world.captures(), 1 << 10) else { return };
    let mut daemon = start_online(&world, &subscriber);
    world.drop_frame("a.jpg", &snow(1)).unwrap();
    fs::create_dir(world.captures().join(".kept")).unwrap();
    fs::hard_link(world.captures().join("a.jpg"), world.captures().join(".kept/a.jpg")).unwrap();
    wait_frames(&world, &["a.jpg"]);
    let ballast = fill(&world.captures(), "ballast");
    wait_health(&subscriber, |health| warns(health, "something else fills it"));
    assert!(world.captures().join("a.jpg").exists());
    fs::remove_file(ballast).unwrap();
    assert_eq!(daemon.terminate().unwrap(), 0);
    let_pass(&world, 40);
    let mut daemon = start_online(&world, &subscriber);
    wait_left(&world.captures(), &[".kept/a.jpg"]);
    assert_eq!(daemon.terminate().unwrap(), 0);
}

fn remount(place: &Path, how: &str) -> bool {
    Command::new("mount").args(["-o", how]).arg(place).status().is_ok_and(|status| status.success())
}

#[test]
fn a_card_that_is_read_only_is_told_of_once_and_its_frames_alert_all_the_same() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = deleting(&broker);
    let Some(_card) = Mount::memory(&world.captures(), 4 << 10) else { return };
    let mut daemon = start_online(&world, &subscriber);
    world.drop_frame("a.jpg", &snow(1)).unwrap();
    wait_frames(&world, &["a.jpg"]);
    assert_eq!(daemon.terminate().unwrap(), 0);
    let_pass(&world, 40);
    world.drop_frame("b.jpg", &bear(1)).unwrap();
    if !remount(&world.captures(), "remount,ro") {
        return skip("a read-only card", "it can't be mounted so");
    }
    let mut daemon = start_online(&world, &subscriber);
    daemon.wait_for_log("ReadWritePaths=", PATIENCE).unwrap();
    wait_told(&world);
    let health = wait_health(&subscriber, |health| health["uptime_s"].as_u64() >= Some(4));
    assert!(warns(&health, "frames stay: "), "{health}");
    assert_eq!(daemon.log().iter().filter(|line| line.contains("ReadWritePaths=")).count(), 1);
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert!(remount(&world.captures(), "remount,rw"));
    let mut daemon = start_online(&world, &subscriber);
    wait_left(&world.captures(), &["b.jpg"]);
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn without_retention_a_full_card_is_told_of_and_keeps_its_frames() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = world().set("mqtt.url", broker.url());
    let Some(_card) = Mount::memory(&world.captures(), 1 << 10) else { return };
    let mut daemon: Daemon = start_online(&world, &subscriber);
    world.drop_frame("a.jpg", &snow(1)).unwrap();
    wait_frames(&world, &["a.jpg"]);
    let ballast = fill(&world.captures(), "ballast");
    wait_health(&subscriber, |health| warns(health, "let capture.retention do it"));
    fs::remove_file(ballast).unwrap();
    daemon.wait_for_log("no more: ", PATIENCE).unwrap();
    assert!(world.captures().join("a.jpg").exists());
    assert_eq!(daemon.terminate().unwrap(), 0);
}
