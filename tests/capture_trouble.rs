//! The capture directory goes wrong: cards are pulled and changed, names are odd, frames come by the ten thousand. Each frame
//! is looked at once, and the one that has just arrived goes first.
//!
//! `ARCTICD_FLOOD=100000` makes the backlog that large too, and more makes both larger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod parts;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use parts::mounts::Mount;
use parts::{
    BIN, PATIENCE, bear, every_frame, frames, listen, start_online, tally, wait_detections, wait_frames, wait_health,
};
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use testkit::broker::Broker;
use testkit::daemon::{Daemon, World};
use testkit::scenes::Scene;
use testkit::wait_until;

fn flood(usual: u64) -> u64 {
    std::env::var("ARCTICD_FLOOD").ok().map_or(usual, |text| text.parse().expect("ARCTICD_FLOOD is a number"))
}

fn counter(health: &serde_json::Value, name: &str) -> u64 {
    health["counters"][name].as_u64().unwrap()
}

#[test]
fn a_card_that_is_pulled_and_put_in_again_is_not_new_and_another_card_with_the_same_names_is() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let names = ["DCIM/IMG_0001.JPG", "DCIM/IMG_0002.JPG"];
    let put = |seeds: [u64; 2]| {
        for (name, seed) in names.into_iter().zip(seeds) {
            world.drop_frame(name, &bear(seed)).unwrap();
        }
    };
    // The other card is written first: then nothing but its content tells that it is new.
    let Some(other) = Mount::ext4(&world.path("b.img"), &world.captures()) else { return };
    put([3, 4]);
    assert!(other.unmount());
    let Some(card) = Mount::ext4(&world.path("a.img"), &world.captures()) else { return };
    let mut daemon = start_online(&world, &subscriber);
    put([1, 2]);
    wait_frames(&world, &names);
    let inodes = |world: &World| names.map(|name| rustix::fs::stat(world.captures().join(name)).unwrap().st_ino);
    let before = inodes(&world);

    assert!(card.unmount());
    daemon.wait_for_log("is another one now", PATIENCE).unwrap();
    assert!(card.again());
    // Told by a frame that is new on it.
    world.drop_frame("DCIM/IMG_0003.JPG", &bear(5)).unwrap();
    wait_frames(&world, &["DCIM/IMG_0003.JPG"]);
    assert_eq!(world.ledger().messages().unwrap().len(), 3);

    assert!(card.unmount());
    assert!(other.again());
    assert_eq!(inodes(&world), before, "the other card's files have the same numbers");
    let found = wait_detections(&subscriber, 5);
    assert_eq!(found.iter().filter(|detection| detection.frame.name == names[0]).count(), 2);
    assert_eq!(world.ledger().messages().unwrap().len(), 5);
    tally(5, &subscriber.messages());
    assert_eq!(daemon.terminate().unwrap(), 0);
}

#[test]
fn odd_names_links_and_loops_are_looked_at_once_and_steer_no_log() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let mut daemon = start_online(&world, &subscriber);
    let captures = world.captures();
    let odd: [&[u8]; 6] =
        [b"a\xff.jpg", b"a\xfe.jpg", b"new\nline.jpg", b"\x1b[31mred.jpg", b"quote\".jpg", b"-rf.jpg"];
    for (seed, name) in (0..).zip(odd) {
        fs::write(captures.join(OsStr::from_bytes(name)), bear(seed)).unwrap();
    }
    std::os::unix::fs::symlink(&captures, captures.join("loop")).unwrap();
    std::os::unix::fs::symlink("itself.jpg", captures.join("itself.jpg")).unwrap();
    fs::hard_link(captures.join("-rf.jpg"), captures.join("hard.jpg")).unwrap();
    wait_frames(&world, &["hard.jpg"]);
    let found = wait_detections(&subscriber, 6);
    // What has not changed is not read again, though two names look the same in a message: by the scans of three seconds.
    let read = |at: u64| {
        let health = wait_health(&subscriber, |health| health["uptime_s"].as_u64() >= Some(at));
        (counter(&health, "frames"), health["uptime_s"].as_u64().unwrap())
    };
    let (before, at) = read(2);
    let (settled, at) = read(at + 2);
    let (after, _) = read(at + 3);
    assert_eq!(
        (settled, after),
        (settled, settled),
        "{before}, {settled}, {after}: the same files are read again and again"
    );
    assert_eq!(counter(&wait_health(&subscriber, |_| true), "failed"), 0);
    assert_eq!(found.len(), 6, "one alert a content");
    assert!(daemon.log().iter().all(|line| line.starts_with("20") && !line.contains('\x1b')), "{:?}", daemon.log());

    // The same name, rewritten in place with other content: another frame.
    fs::write(captures.join("hard.jpg"), bear(9)).unwrap();
    assert_eq!(wait_detections(&subscriber, 7).len(), 7);
    tally(7, &subscriber.messages());
    assert_eq!(daemon.terminate().unwrap(), 0);
}

fn signal(daemon: &Daemon, signal: Signal) {
    kill_process(Pid::from_raw(daemon.id() as i32).unwrap(), signal).unwrap();
}

#[test]
fn a_flood_beyond_the_kernels_queue_loses_no_frame() {
    // No pictures, so that it is the way that is tested; the bears among them are.
    let count = flood(100_000);
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let mut daemon = start_online(&world, &subscriber);
    let bears: Vec<Vec<u8>> = (0..10).map(bear).collect();
    // Stopped, it takes no event out of the queue, which holds 16,384.
    signal(&daemon, Signal::STOP);
    for number in 0..count {
        let bytes = match number % (count / 10) {
            0 => bears[(number / (count / 10)) as usize % 10].clone(),
            _ => format!("no picture {number}").into_bytes(),
        };
        fs::write(world.captures().join(format!("{number:06}.jpg")), bytes).unwrap();
    }
    signal(&daemon, Signal::CONT);
    daemon.wait_for_log("file events were lost", PATIENCE).unwrap();
    let files = || Connection::open(world.state().join("journal.sqlite")).unwrap();
    let noted = || files().query_row("SELECT count(*) FROM files", [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    let limit = PATIENCE + Duration::from_millis(10 * count);
    wait_until(limit, || (noted() == count).then_some(())).unwrap_or_else(|| panic!("{} of {count}", noted()));
    let health = wait_health(&subscriber, |health| counter(health, "frames") >= count);
    assert_eq!((counter(&health, "frames"), counter(&health, "failed")), (count, count - 10), "each once: {health}");
    assert_eq!(wait_detections(&subscriber, 10).len(), 10);
    tally(10, &subscriber.messages());
    println!("{count} files, {} KiB at most", peak(&daemon));
    assert_eq!(daemon.terminate().unwrap(), 0);
}

/// KiB.
fn peak(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Different frames from of old: a few pictures, and a number behind each.
fn backlog(directory: &Path, count: u64) {
    let pictures: Vec<Vec<u8>> = (0..4).map(|seed| Scene::Bear.jpeg(seed, 48, 36).unwrap()).collect();
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    for number in 0..count {
        let folder = directory.join(format!("{:03}", number / 1000));
        if number.is_multiple_of(1000) {
            fs::create_dir_all(&folder).unwrap();
        }
        let bytes = [&pictures[number as usize % 4][..], &number.to_le_bytes()].concat();
        let name = folder.join(format!("{number:06}.jpg"));
        fs::write(&name, bytes).unwrap();
        File::options().append(true).open(name).unwrap().set_modified(yesterday).unwrap();
    }
}

#[test]
fn a_frame_that_has_just_arrived_overtakes_a_backlog_beyond_the_queue() {
    // The queue holds 20,000; the rest waits on disk, and is scanned again and again.
    let count = flood(24_000);
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    backlog(&world.captures(), count);
    let daemon = world.start(BIN).unwrap();
    subscriber.wait_for(PATIENCE, |messages| frames(messages).len() >= 20).unwrap();
    let mut waits = Vec::new();
    for round in 0..3 {
        let name = format!("live-{round}.jpg");
        let told = frames(&subscriber.messages()).iter().filter_map(|found| found.seq).max().unwrap();
        let dropped = std::time::Instant::now();
        world.drop_frame(&name, &bear(round)).unwrap();
        let is_it = |message: &testkit::subscriber::Message| {
            message.topic.ends_with("/detection") && message.json()["frame"]["name"] == name.as_str()
        };
        let messages = subscriber.wait_for(PATIENCE, |messages| messages.iter().any(is_it)).unwrap();
        let live = messages.iter().find(|message| is_it(message)).unwrap();
        waits.push(live.at - dropped);
        let seq = live.json()["seq"].as_u64().unwrap();
        assert!(seq < told + 2_000, "number {seq}, dropped at {told} of {count}");
        assert_eq!(live.json()["replayed"], false);
    }
    println!("{count} frames wait, {} KiB at most; alerts of frames that arrived came after {waits:?}", peak(&daemon));
    println!("tally: injected=1 live-ms={}", waits.iter().max().unwrap().as_millis());
}
