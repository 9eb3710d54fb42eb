//! What the flash has to bear: bytes written for a frame, for an alert, and while nothing happens.
//!
//! Counted by the kernel (`write_bytes` of `/proc/PID/io`: pages of files that became dirty, so a page written twice before it
//! goes to the disk counts once). Run it with `--nocapture` for the figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod parts;

use std::fs::{self, File};

use parts::{PATIENCE, every_frame, listen, skip, start_online, wait_frames, wait_health};
use rustix::fs::{fstatfs, syncfs};
use testkit::broker::Broker;
use testkit::daemon::{Daemon, World};
use testkit::scenes::Scene;
use testkit::wait_until;

/// Bytes of a frame that says nothing, in a burst.
const MOST_SILENT: u64 = 8 << 10;
/// The same on its own, half a minute after the one before.
const MOST_APART: u64 = 48 << 10;
/// Bytes of an alert until it is acknowledged, on its own: whole pages of 4 KiB of log, tables and indexes.
const MOST_ALERT: u64 = 96 << 10;

fn written(daemon: &Daemon) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", daemon.id())).unwrap();
    let number = |key: &str| -> u64 {
        io.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim_start_matches(':').trim().parse().unwrap()
    };
    number("write_bytes") - number("cancelled_write_bytes").min(number("write_bytes"))
}

fn picture(seed: u64) -> Vec<u8> {
    [&Scene::Bear.jpeg(seed % 8, 96, 72).unwrap()[..], &seed.to_le_bytes()].concat()
}

/// Bytes that `count` frames cost each. `apart`: everything goes to the disk after each, as it does in half a minute.
fn cost(world: &World, daemon: &Daemon, disk: &File, first: u64, count: u64, apart: bool, acked: bool) -> u64 {
    syncfs(disk).unwrap();
    let before = written(daemon);
    let done = |name: &str| {
        wait_frames(world, &[name]);
        let all = || world.ledger().messages().unwrap().iter().all(|message| message.state == "acked").then_some(());
        wait_until(PATIENCE, || if acked { all() } else { Some(()) }).expect("acknowledged");
    };
    for seed in first..first + count {
        let name = format!("{seed}.jpg");
        world.drop_frame(&name, &picture(seed)).unwrap();
        if apart {
            done(&name);
            syncfs(disk).unwrap();
        }
    }
    (first..first + count).for_each(|seed| drop(wait_frames(world, &[&format!("{seed}.jpg")])));
    done(&format!("{}.jpg", first + count - 1));
    (written(daemon) - before) / count
}

#[test]
fn an_idle_daemon_writes_nothing_and_a_frame_a_few_pages() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let silent = every_frame().set("mqtt.url", broker.url()).set_raw("alerts.thresholds", "{ polar_bear = 1.0 }");
    fs::create_dir(silent.state()).unwrap();
    let disk = File::open(silent.state()).unwrap();
    // In memory the kernel counts nothing, and other file systems write in other pieces.
    const EXT4: i64 = 0xEF53;
    if fstatfs(&disk).unwrap().f_type as i64 != EXT4 {
        return skip("flash wear", "the temporary directory is not on ext4");
    }
    let mut daemon = start_online(&silent, &subscriber);
    let burst = cost(&silent, &daemon, &disk, 0, 300, false, false);
    let apart = cost(&silent, &daemon, &disk, 1000, 30, true, false);
    // Scans each second, and as many health messages.
    let last = wait_health(&subscriber, |health| health["counters"]["classified"] == 330);
    let uptime = last["uptime_s"].as_u64().unwrap();
    // The first look after a change is noted in the log's index.
    let health = wait_health(&subscriber, |health| health["uptime_s"].as_u64().unwrap() >= uptime + 3);
    let (at, before) = (health["uptime_s"].as_u64().unwrap(), written(&daemon));
    wait_health(&subscriber, |health| health["uptime_s"].as_u64().unwrap() >= at + 10);
    let idle = written(&daemon) - before;
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert_eq!(silent.ledger().messages().unwrap().len(), 0, "a frame that should be silent spoke");

    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let loud = every_frame().set("mqtt.url", broker.url());
    fs::create_dir(loud.state()).unwrap();
    let disk = File::open(loud.state()).unwrap();
    let mut daemon = start_online(&loud, &subscriber);
    let alerts = cost(&loud, &daemon, &disk, 0, 300, false, true);
    let alert = cost(&loud, &daemon, &disk, 1000, 30, true, true);
    assert_eq!(daemon.terminate().unwrap(), 0);
    println!(
        "bytes written: {burst} a silent frame in a burst, {apart} on its own, {idle} in ten idle seconds with ten scans"
    );
    println!("bytes written: {alerts} an alert in a burst, {alert} on its own");
    assert!(burst <= MOST_SILENT, "{burst} bytes a frame");
    assert!(apart <= MOST_APART, "{apart} bytes a frame on its own");
    assert_eq!(idle, 0);
    assert!(alert <= MOST_ALERT, "{alert} bytes an alert");
}
