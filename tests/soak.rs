//! A long life in short: frames at full speed, in parts, with a broker that dies in each, and one daemon through all of them. Its
//! memory, descriptors and threads are where they were when the first half was over: until then its caches fill.
//!
//! `ARCTICD_SOAK_FRAMES=100000` is how many come in all, in `ARCTICD_SOAK_PARTS` parts; one in `ARCTICD_SOAK_PICTURES` (10) is a
//! picture, and the others can't be decoded: so the way is soaked where there is no time to look at so many pictures. With `ARCTICD_SOAK_STATE=DIR` the journal stays
//! there, so that the next call goes on where this one ended, with a journal that is as large. With `--nocapture` each part tells its
//! figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod parts;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parts::{bear, listen, skip, start_online, world};
use rusqlite::Connection;
use serde_json::Value;
use testkit::broker::{Mosquitto, Options};
use testkit::daemon::Daemon;
use testkit::scenes::Scene;
use testkit::subscriber::Subscriber;
use testkit::wait_until;

/// What memory may grow by for 100,000 frames, where half as many came in the second half.
const MOST_GROWTH_KIB: i64 = 1 << 10;
/// A short run says nothing of that, but shows what grows fast.
const MOST_SHORT_KIB: i64 = 8 << 10;
/// Threads that block for the link's runtime. Each is used in turn, so as many stay as were wanted at once: on a busy machine four.
const MOST_BLOCKING: usize = 6;
/// One frame in so many is a bear, in an event of its own.
const BEAR_EVERY: u64 = 250;
/// So many frames wait at most.
const AHEAD: u64 = 2_000;

/// How long a part may take without a frame being done.
const STALLED: Duration = Duration::from_secs(120);

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    // Its own: not what it has of files.
    rss_kib: i64,
    descriptors: usize,
    threads: usize,
}

fn held(daemon: &Daemon) -> Held {
    let of = |name: &str| format!("/proc/{}/{name}", daemon.id());
    let status = fs::read_to_string(of("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let count = |name: &str| fs::read_dir(of(name)).unwrap().count();
    Held {
        rss_kib: line.trim().trim_end_matches(" kB").parse().unwrap(),
        descriptors: count("fd"),
        threads: count("task"),
    }
}

fn last_health(subscriber: &Subscriber) -> Option<Value> {
    let messages = subscriber.messages();
    let health = messages.iter().rev().find(|it| it.topic.ends_with("/health") && !it.retain)?;
    Some(health.json())
}

/// Waits until the daemon has looked at so many frames, as long as it gets on.
fn wait_done(subscriber: &Subscriber, frames: u64) {
    let (mut done, mut since) = (0, Instant::now());
    while done < frames {
        let further = || {
            let health = last_health(subscriber)?;
            health["counters"]["frames"].as_u64().filter(|now| *now > done)
        };
        done = wait_until(STALLED, further).unwrap_or_else(|| panic!("{done} of {frames} after {:?}", since.elapsed()));
        since = Instant::now();
    }
}

#[test]
fn a_daemon_that_has_seen_many_frames_and_brokers_holds_no_more_than_in_the_beginning() {
    let (frames, count) = (setting("ARCTICD_SOAK_FRAMES", 3_000), setting("ARCTICD_SOAK_PARTS", 3).max(2));
    let pictured = setting("ARCTICD_SOAK_PICTURES", 10).max(1);
    if !Mosquitto::available() {
        return skip("soak", "it needs mosquitto");
    }
    let mut broker = Mosquitto::start(Options::default()).unwrap();
    let mut world = world()
        .set("mqtt.url", format!("mqtt://127.0.0.1:{}", broker.port()))
        .set_raw("alerts.gap_s", "1")
        .set_raw("state.hold_s", "600")
        .set("log.level", "warn");
    // As the service sets them: what the C library keeps for later is more than what is used.
    for line in include_str!("../systemd/arcticd.service").lines().filter_map(|line| line.strip_prefix("Environment="))
    {
        let (name, value) = line.split_once('=').unwrap();
        world = world.env(name, value);
    }
    let state = std::env::var_os("ARCTICD_SOAK_STATE").map_or_else(|| world.state(), PathBuf::from);
    world = world.set("state.directory", state.to_string_lossy());
    let rows = |table: &str| -> u64 {
        let db = Connection::open(state.join("journal.sqlite")).unwrap();
        db.busy_timeout(STALLED).unwrap();
        db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap() as u64
    };
    let mut subscriber = listen(broker.port());
    let mut daemon = start_online(&world, &subscriber);
    let (known, pictures) =
        (rows("frames"), (0..4).map(|seed| Scene::Empty.jpeg(seed, 48, 36).unwrap()).collect::<Vec<_>>());
    let mut dropped = 0;
    let mut figures: Vec<(u64, Held)> = Vec::new();
    for part in 1..=count {
        let mut broker_dies = true;
        let (until, begun) = (frames * part / count, Instant::now());
        let folder = world.captures().join(format!("part-{part}"));
        fs::create_dir(&folder).unwrap();
        while dropped < until {
            for _ in 0..AHEAD.min(until - dropped) {
                let number = known + dropped;
                // Behind the end of a picture, where it changes the content alone.
                let picture = match number % BEAR_EVERY {
                    0 => bear(number % 8),
                    _ if number % pictured != 0 => b"no picture".to_vec(),
                    _ => pictures[number as usize % 4].clone(),
                };
                fs::write(folder.join(format!("{number:09}.jpg")), [&picture[..], &number.to_le_bytes()].concat())
                    .unwrap();
                dropped += 1;
            }
            // With frames in work.
            if std::mem::take(&mut broker_dies) {
                broker.kill().unwrap();
                broker.restart().unwrap();
                // What came so far is not kept, or this process would be the one that grows.
                subscriber = listen(broker.port());
            }
            wait_done(&subscriber, dropped);
        }
        fs::remove_dir_all(&folder).unwrap();
        // All is said, and what it took to say it is given back.
        let quiet = |health: &Value| {
            let nothing = |pointer: &str| health.pointer(pointer).and_then(Value::as_u64) == Some(0);
            nothing("/outbox/queued") && nothing("/backlog/live") && nothing("/backlog/waiting")
        };
        wait_until(STALLED, || last_health(&subscriber).filter(quiet)).expect("all is said");
        let now = held(&daemon);
        figures.push((dropped, now));
        println!(
            "part {part}: {dropped} frames, {} KiB resident, {} descriptors, {} threads, {:.0} frames a second",
            now.rss_kib,
            now.descriptors,
            now.threads,
            (until - frames * (part - 1) / count) as f64 / begun.elapsed().as_secs_f64()
        );
    }
    let ((first, before), (last, after)) = (figures[figures.len() / 2 - 1], *figures.last().unwrap());
    let (more, grown) = ((last - first) as i64, after.rss_kib - before.rss_kib);
    println!(
        "{grown} KiB for {more} frames, {} KiB for 100,000; {} frames are known",
        grown * 100_000 / more,
        known + last
    );
    assert_eq!(after.descriptors, before.descriptors);
    assert!(after.threads <= before.threads + MOST_BLOCKING, "{before:?}, then {after:?}");
    let most = if more >= 50_000 { MOST_GROWTH_KIB * more / 100_000 } else { MOST_SHORT_KIB };
    assert!(grown <= most, "{grown} KiB for {more} frames");
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert_eq!(rows("frames"), known + frames, "each once");
    assert_eq!(rows("messages WHERE state = 'queued'"), 0);
}
