//! What a board on a mast has to spare: memory over large frames, and the processor while nothing lands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod parts;

use std::fs;
use std::time::Duration;

use parts::{every_frame, listen, start_online, wait_detections, wait_health};
use testkit::broker::Broker;
use testkit::daemon::Daemon;
use testkit::scenes::{Scene, jpeg};

/// Issue 2: peak memory over 12 MP frames.
const MOST_MEMORY_KIB: u64 = 120 << 10;
/// Issue 2: share of one processor while nothing lands, in percent.
const MOST_IDLE_PERCENT: u64 = 1;
/// Main, pipeline, watch, file events, and the runtime's two with their stand-ins while they wait for the disk.
const MOST_THREADS: usize = 16;

/// What may be left of a flood.
const MOST_KEPT_KIB: u64 = 24 << 10;

fn status(daemon: &Daemon, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// User and system time so far, in clock ticks (a hundred a second).
fn ticks(daemon: &Daemon) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.id())).unwrap();
    // The name in parentheses may hold anything; time is the 14th and 15th field.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn twelve_megapixel_frames_fit_into_120_mib_and_no_thread_spins_afterwards() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    // As delivered: health once a minute.
    let world =
        every_frame().set_raw("mqtt.health_s", "60").set_raw("capture.reconcile_s", "30").set("mqtt.url", broker.url());
    // Noise, because sensors have it: flat pictures make small files.
    let mut pixels = Scene::Bear.render(1, 4000, 3000);
    let mut state = 1_u32;
    for value in &mut pixels.rgb {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = value.saturating_add((state >> 28) as u8);
    }
    let file = jpeg(&pixels).unwrap();
    println!("12 MP frames of {} KiB", file.len() >> 10);
    drop(pixels);

    let daemon = start_online(&world, &subscriber);
    let before = status(&daemon, "VmHWM");
    for index in 0..6_u8 {
        // A comment segment makes it another file.
        let other = [&file[..2], &[0xFF, 0xFE, 0, 3, index], &file[2..]].concat();
        world.drop_frame(&format!("{index}.jpg"), &other).unwrap();
    }
    let found = wait_detections(&subscriber, 6);
    assert!(found.iter().all(|it| (it.frame.width, it.frame.height) == (4000, 3000) && !it.frame.partial));
    let peak = status(&daemon, "VmHWM");
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap().count();
    println!("peak memory {} MiB ({} before the first frame), {threads} threads", peak >> 10, before >> 10);
    assert!(peak <= MOST_MEMORY_KIB, "{peak} KiB");
    assert!(threads <= MOST_THREADS, "{threads} threads");

    // Acknowledgements noted, files known: from here on there is nothing to do.
    let acked = || world.ledger().messages().unwrap().iter().all(|message| message.state == "acked");
    testkit::wait_until(parts::PATIENCE, || acked().then_some(())).expect("all are acknowledged");
    // Time itself is what is measured over.
    let window = Duration::from_secs(10);
    std::thread::sleep(Duration::from_secs(2));
    let start = ticks(&daemon);
    assert!(start > 0, "six frames took no time at all?");
    std::thread::sleep(window);
    let used = ticks(&daemon) - start;
    println!("{used} of {} clock ticks while nothing landed", window.as_secs() * 100);
    assert!(used * 100 <= window.as_secs() * 100 * MOST_IDLE_PERCENT, "{used} ticks in {window:?}");
}

#[test]
fn a_flood_of_frames_while_the_broker_is_away_does_not_spin_or_grow_threads() {
    let port = testkit::broker::free_port().unwrap();
    let world = every_frame().set("mqtt.url", format!("mqtt://127.0.0.1:{port}"));
    let daemon = world.start(parts::BIN).unwrap();
    daemon.wait_for_log("next try", parts::PATIENCE).unwrap();
    for seed in 0..30 {
        world.drop_frame(&format!("{seed}.jpg"), &parts::bear(seed)).unwrap();
    }
    let queued = || world.ledger().messages().unwrap().len();
    testkit::wait_until(parts::PATIENCE, || (queued() == 30).then_some(())).expect("all are queued");
    let start = ticks(&daemon);
    std::thread::sleep(Duration::from_secs(10));
    let used = ticks(&daemon) - start;
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap().count();
    println!("{used} of 1000 clock ticks without a broker, {threads} threads");
    // A scan each second here, and attempts to connect.
    assert!(used <= 50, "{used} ticks in 10 s");
    assert!(threads <= MOST_THREADS, "{threads} threads");
}

#[test]
fn a_flood_of_large_messages_takes_no_memory_for_good_and_alerts_flow_on() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    // As the unit sets it.
    let unit = include_str!("../systemd/arcticd.service");
    let set = unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    let world = set.fold(world, |world, (name, value)| world.env(name, value));
    let daemon = start_online(&world, &subscriber);
    world.drop_frame("before.jpg", &parts::bear(1)).unwrap();
    wait_detections(&subscriber, 1);
    let before = status(&daemon, "VmRSS");
    const MESSAGES: u64 = 40;
    let large = vec![0; 9_000_000];
    for _ in 0..MESSAGES {
        subscriber.publish("arcticd/test/head/set", false, &large).unwrap();
    }
    world.drop_frame("after.jpg", &parts::bear(2)).unwrap();
    wait_detections(&subscriber, 2);
    // Told at each doubling.
    let refused = |message: &testkit::subscriber::Message| {
        message.topic.ends_with("/head/state") && message.json()["refused"]["count"].as_u64() >= Some(32)
    };
    subscriber.wait_for(parts::PATIENCE, |messages| messages.iter().any(refused)).unwrap();
    let settled = || status(&daemon, "VmRSS") <= before + MOST_KEPT_KIB;
    let (after, peak) = (status(&daemon, "VmRSS"), status(&daemon, "VmHWM"));
    println!("{} MiB before, {} MiB after {MESSAGES} messages, {} MiB at most", before >> 10, after >> 10, peak >> 10);
    testkit::wait_until(parts::PATIENCE, || settled().then_some(())).expect("it is given back");
    let health = wait_health(&subscriber, |_| true);
    assert_eq!(health["counters"]["connections"], 1, "{health}");
}
