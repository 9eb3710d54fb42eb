//! What systemd hears of the daemon: the real binary, and a socket of the test's in systemd's place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod parts;

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use arcticd::service::fault;
use parts::{BIN, PATIENCE, bear, every_frame, listen, wait_detections, wait_health};
use sd_notify::NotifyState;
use testkit::broker::Broker;
use testkit::daemon::{Daemon, World};
use testkit::wait_until;

/// In systemd's place.
struct Systemd {
    socket: UnixDatagram,
    unread: VecDeque<String>,
    all: Vec<String>,
}

impl Systemd {
    /// Listens, and gives the world what a unit's process gets from systemd.
    fn around(world: World, watchdog: Option<Duration>) -> (Self, World) {
        let path = world.path("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        let world = world.env("NOTIFY_SOCKET", path.to_str().unwrap());
        let world = match watchdog {
            Some(interval) => world.env("WATCHDOG_USEC", interval.as_micros().to_string()),
            None => world,
        };
        (Self { socket, unread: VecDeque::new(), all: Vec::new() }, world)
    }

    /// The next line, or none within `limit`.
    fn next(&mut self, limit: Duration) -> Option<String> {
        if self.unread.is_empty() {
            self.socket.set_read_timeout(Some(limit.max(Duration::from_millis(1)))).unwrap();
            let mut buffer = [0; 4096];
            let bytes = match self.socket.recv(&mut buffer) {
                Ok(bytes) => bytes,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
                Err(error) => panic!("{error}"),
            };
            let text = std::str::from_utf8(&buffer[..bytes]).unwrap();
            self.unread.extend(text.lines().map(str::to_owned));
        }
        let line = self.unread.pop_front()?;
        self.all.push(line.clone());
        Some(line)
    }

    /// Reads until a line is as wanted, and returns it.
    fn until(&mut self, daemon: &Daemon, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        while let Some(line) = self.next(end.saturating_duration_since(Instant::now())) {
            if wanted(&line) {
                return line;
            }
        }
        panic!("not told: {what}; but {:?}\n{}", self.all, daemon.log().join("\n"));
    }

    fn ping(&mut self, daemon: &Daemon) {
        self.until(daemon, "WATCHDOG=1", |line| line == "WATCHDOG=1");
    }

    fn ready(&mut self, daemon: &Daemon) {
        self.until(daemon, "READY=1", |line| line == "READY=1");
    }

    fn status(&mut self, daemon: &Daemon, text: &str) -> String {
        self.until(daemon, text, |line| line.starts_with("STATUS=") && line.contains(text))
    }

    fn drain(&mut self) {
        while self.next(Duration::ZERO).is_some() {}
    }

    fn hears_no_ping_for(&mut self, limit: Duration) {
        while let Some(line) = self.next(limit) {
            assert_ne!(line, "WATCHDOG=1");
        }
    }

    fn count(&self, wanted: &str) -> usize {
        self.all.iter().filter(|line| *line == wanted).count()
    }

    fn has_heard(&self, line: &str) -> bool {
        self.all.iter().any(|heard| heard == line)
    }
}

#[test]
fn ready_comes_only_when_the_capture_directory_was_seen_and_stopping_when_it_ends() {
    let (mut systemd, world) = Systemd::around(every_frame(), None);
    fs::remove_dir(world.captures()).unwrap();
    let mut daemon = world.start(BIN).unwrap();
    let waiting = systemd.status(&daemon, "captures");
    assert!(waiting.contains("link up; backlog 0 live, 0 older; outbox 0; "), "{waiting}");
    assert!(!systemd.has_heard("READY=1"), "{:?}", systemd.all);
    fs::create_dir(world.captures()).unwrap();
    systemd.ready(&daemon);
    let seen = systemd.status(&daemon, "outbox 0");
    assert!(!seen.contains("captures"), "{seen}");
    assert_eq!(daemon.terminate().unwrap(), 0);
    systemd.until(&daemon, "STOPPING=1", |line| line == "STOPPING=1");
    assert!(!systemd.has_heard("WATCHDOG=1"), "nobody asked for pings: {:?}", systemd.all);
}

#[test]
fn a_daemon_that_can_not_begin_is_never_ready() {
    let (mut systemd, world) = Systemd::around(every_frame().set("alerts.policy", "none"), None);
    let mut daemon = world.start(BIN).unwrap();
    assert_eq!(daemon.wait_exit(PATIENCE).unwrap(), 78);
    assert_eq!(systemd.next(Duration::ZERO), None);
}

#[test]
fn the_status_line_says_what_waits_for_a_broker_that_is_away() {
    let port = testkit::broker::free_port().unwrap();
    let (mut systemd, world) = Systemd::around(every_frame().set("mqtt.url", format!("mqtt://127.0.0.1:{port}")), None);
    let daemon = world.start(BIN).unwrap();
    systemd.status(&daemon, "link down");
    if !systemd.has_heard("READY=1") {
        systemd.ready(&daemon);
    }
    world.drop_frame("1.jpg", &bear(1)).unwrap();
    systemd.status(&daemon, "outbox 1");
}

#[test]
fn a_link_that_is_closed_until_the_next_window_is_told_of_and_neither_pings_nor_reloads_wait_for_it() {
    let broker = Broker::any().unwrap();
    let world = every_frame().set("mqtt.url", broker.url()).set("power.uplink", "windows");
    let (mut systemd, world) = Systemd::around(world, Some(Duration::from_secs(2)));
    let mut daemon = world.start(BIN).unwrap();
    systemd.status(&daemon, "link asleep until 2");
    systemd.drain();
    for _ in 0..3 {
        systemd.ping(&daemon);
    }
    daemon.ask_to_reload().unwrap();
    systemd.until(&daemon, "RELOADING=1", |line| line == "RELOADING=1");
    systemd.ready(&daemon);
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert!(daemon.log().iter().all(|line| !line.contains("can't be told")), "{}", daemon.log().join("\n"));
}

#[test]
fn an_idle_daemon_pings_by_looking_at_a_picture_and_a_wedged_pipeline_does_not() {
    if !cfg!(debug_assertions) {
        return parts::skip(
            "an_idle_daemon_pings_by_looking_at_a_picture_and_a_wedged_pipeline_does_not",
            "a release has no fault points",
        );
    }
    let interval = Duration::from_secs(2);
    let world = every_frame().set("log.level", "debug").env("ARCTICD_FAULT", fault::FRAME);
    let (mut systemd, world) = Systemd::around(world, Some(interval));
    let daemon = world.start(BIN).unwrap();
    systemd.ready(&daemon);
    for _ in 0..3 {
        systemd.ping(&daemon);
    }
    // A line of the log may be read later than the ping that follows it.
    let tests = || daemon.log().iter().filter(|line| line.contains("self-test passed")).count();
    let each = wait_until(PATIENCE, || (tests() >= 3).then_some(()));
    assert!(each.is_some(), "no frame came, so each ping is a self-test's:\n{}", daemon.log().join("\n"));

    world.drop_frame("1.jpg", &bear(1)).unwrap();
    daemon.wait_for_log("stands still here", PATIENCE).unwrap();
    // What was said before it stood still.
    systemd.drain();
    // Others live on and may speak, but nobody pings: systemd would have ended it after one interval.
    systemd.hears_no_ping_for(interval * 3);
}

#[test]
fn a_busy_daemon_pings_by_its_frames() {
    const FRAMES: usize = 120;
    // Short, so that pings fall due while the backlog is worked off.
    let (mut systemd, world) =
        Systemd::around(every_frame().set("log.level", "debug"), Some(Duration::from_millis(400)));
    for seed in 0..FRAMES {
        world.drop_frame(&format!("{seed}.jpg"), &bear(seed as u64)).unwrap();
    }
    let daemon = world.start(BIN).unwrap();
    systemd.ready(&daemon);
    while world.ledger().frames().unwrap().len() < FRAMES {
        systemd.ping(&daemon);
    }
    systemd.drain();
    let pings = systemd.count("WATCHDOG=1");
    // Each passed self-test is one ping; what is left came of frames.
    let tests = daemon.log().iter().filter(|line| line.contains("self-test passed")).count();
    assert!(pings > tests, "{pings} pings, {tests} self-tests:\n{}", daemon.log().join("\n"));
}

#[test]
fn a_watch_that_stands_still_stops_the_pings_though_the_pipeline_is_well() {
    if !cfg!(debug_assertions) {
        return parts::skip(
            "a_watch_that_stands_still_stops_the_pings_though_the_pipeline_is_well",
            "a release has no fault points",
        );
    }
    let world = every_frame().env("ARCTICD_FAULT", fault::WATCH);
    let (mut systemd, world) = Systemd::around(world, Some(Duration::from_secs(1)));
    let daemon = world.start(BIN).unwrap();
    systemd.ready(&daemon);
    daemon.wait_for_log("the watch does not move any more", PATIENCE).unwrap();
    systemd.drain();
    systemd.hears_no_ping_for(Duration::from_secs(3));
}

#[test]
fn a_reload_changes_what_alerts_at_once_and_says_what_it_does_not_change() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let deaf = every_frame().set("mqtt.url", broker.url()).set_raw("alerts.thresholds", "{ polar_bear = 1.0 }");
    let (mut systemd, world) = Systemd::around(deaf, None);
    let daemon = world.start(BIN).unwrap();
    systemd.ready(&daemon);
    world.drop_frame("before.jpg", &bear(1)).unwrap();
    parts::wait_frames(&world, &["before.jpg"]);

    let world = world
        .set_raw("alerts.thresholds", "{ polar_bear = 0.0, walrrus = 0.5 }")
        .set_raw("alerts.location", "{ latitude = 78.2, longitude = 15.6 }")
        .set("alerts.location_policy", "exact")
        .set_raw("groups", "[\"coast\"]");
    world.write_config().unwrap();
    let Ok(NotifyState::MonotonicUsec(before)) = NotifyState::monotonic_usec_now() else { panic!("no clock") };
    daemon.ask_to_reload().unwrap();
    systemd.until(&daemon, "RELOADING=1", |line| line == "RELOADING=1");
    let stamp = systemd.until(&daemon, "MONOTONIC_USEC", |line| line.starts_with("MONOTONIC_USEC="));
    let stamp: i128 = stamp.trim_start_matches("MONOTONIC_USEC=").parse().unwrap();
    assert!(stamp >= before, "an older reload's answer");
    systemd.ready(&daemon);
    daemon.wait_for_log("alerting from now on: polar_bear from 0", PATIENCE).unwrap();
    daemon.wait_for_log("the head has no label `walrrus`", PATIENCE).unwrap();

    world.drop_frame("after.jpg", &bear(2)).unwrap();
    let told = &wait_detections(&subscriber, 1)[0];
    assert_eq!((told.frame.name.as_str(), told.decision.threshold), ("after.jpg", 0.0));
    assert!(told.location.is_some(), "the rest of the section is taken up too");
    let health = wait_health(&subscriber, |health| health["warnings"].to_string().contains("groups"));
    assert!(health["warnings"].to_string().contains("from the next start on"), "{health}");
}

#[test]
fn a_broken_configuration_is_reported_on_reload_and_the_old_one_stays() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let (mut systemd, world) = Systemd::around(every_frame().set("mqtt.url", broker.url()), None);
    let mut daemon = world.start(BIN).unwrap();
    systemd.ready(&daemon);
    let good = world.config_text();
    let file = world.path("arcticd.toml");
    // One that is no configuration, one whose alerts the head can't give.
    let no_label = format!("{good}alerts.labels = [\"unicorn\"]\n");
    for (bad, reason) in [("alerts.policy = 5\n", "alerts.policy"), (no_label.as_str(), "unicorn")] {
        fs::write(&file, bad).unwrap();
        daemon.ask_to_reload().unwrap();
        systemd.until(&daemon, "RELOADING=1", |line| line == "RELOADING=1");
        systemd.ready(&daemon);
        let health = wait_health(&subscriber, |health| health["warnings"].to_string().contains(reason));
        assert!(health["warnings"].to_string().contains("the one before stays"), "{health}");
    }
    world.drop_frame("1.jpg", &bear(1)).unwrap();
    wait_detections(&subscriber, 1);

    fs::write(&file, good).unwrap();
    daemon.ask_to_reload().unwrap();
    wait_health(&subscriber, |health| health["warnings"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(daemon.terminate().unwrap(), 0);
}
