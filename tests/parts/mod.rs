//! What the integration tests share: the binary, a head for rendered scenes, and how messages are read.
#![allow(dead_code)] // Each test program uses its own part of it.

pub mod acceptor;
pub mod account;
pub mod clock;
pub mod cuts;
pub mod disk;
pub mod flapping;
pub mod heads;
pub mod home;
pub mod linked;
pub mod mounts;
pub mod relay;
pub mod trace;
pub mod wire;
pub mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use arcticd::detection::{Detection, Kind};
use serde_json::Value;
use testkit::daemon::{Daemon, World};
use testkit::scenes::Scene;
use testkit::subscriber::{Message, Subscriber, Subscription};

/// The daemon under test.
pub const BIN: &str = env!("CARGO_BIN_EXE_arcticd");

/// How long anything may take: test machines are small and busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Small enough to be rendered by the hundred.
const SIDES: (u32, u32) = (160, 120);

/// The head fitted on rendered scenes, fitted once a machine.
pub fn head() -> &'static Path {
    static HEAD: OnceLock<PathBuf> = OnceLock::new();
    HEAD.get_or_init(|| testkit::head::cached(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap())
}

/// A world whose daemon looks with the scenes' head, scans every second and reports its health as often.
pub fn world() -> World {
    World::new()
        .unwrap()
        .set("model.head", head().to_string_lossy())
        .set_raw("capture.settle_ms", "500")
        .set_raw("capture.reconcile_s", "1")
        .set_raw("mqtt.health_s", "1")
}

/// [`world`] where each frame alerts, whatever is on it, and each alert is a message: for tests of the way, not of the
/// verdict. No event ends within a test.
pub fn every_frame() -> World {
    world()
        .set("alerts.policy", "every_frame")
        .set_raw("alerts.thresholds", "{ polar_bear = 0.0 }")
        .set_raw("alerts.gap_s", "86400")
}

/// A rendered bear, another one for each seed.
pub fn bear(seed: u64) -> Vec<u8> {
    frame(Scene::Bear, seed)
}

/// A small rendered frame.
pub fn frame(scene: Scene, seed: u64) -> Vec<u8> {
    scene.jpeg(testkit::head::FIRST_SHOWN_SEED + seed, SIDES.0, SIDES.1).unwrap()
}

/// Everything that the trap `test` says, from now on.
pub fn listen(port: u16) -> Subscriber {
    Subscriber::start(Subscription::new(port, "arcticd/test/#")).unwrap()
}

/// Starts the daemon and waits until it has told the broker so.
pub fn start_online(world: &World, subscriber: &Subscriber) -> Daemon {
    let before = availability(&subscriber.messages()).len();
    let daemon = world.start(BIN).unwrap();
    let online = |messages: &[Message]| availability(messages)[before..].iter().any(|word| word == "online");
    subscriber.wait_for(PATIENCE, online).unwrap_or_else(|error| panic!("{error}\n{}", daemon.log().join("\n")));
    daemon
}

/// Detections and summaries, in the order of arrival, repeats included.
pub fn detections(messages: &[Message]) -> Vec<Detection> {
    let ours = messages.iter().filter(|message| message.topic.ends_with("/detection"));
    ours.map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
}

/// Detections of frames alone.
pub fn frames(messages: &[Message]) -> Vec<Detection> {
    detections(messages).into_iter().filter(|detection| detection.kind == Kind::Detection).collect()
}

/// Waits until `count` detections have arrived, and returns all there are.
pub fn wait_detections(subscriber: &Subscriber, count: usize) -> Vec<Detection> {
    detections(&subscriber.wait_for(PATIENCE, |messages| detections(messages).len() >= count).unwrap())
}

/// What the daemon and its last will said, in order.
pub fn availability(messages: &[Message]) -> Vec<String> {
    messages.iter().filter(|message| message.topic.ends_with("/availability")).map(Message::text).collect()
}

/// Waits for a health message that `wanted` agrees with. Retained ones of an earlier daemon do not count.
pub fn wait_health(subscriber: &Subscriber, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = |messages: &[Message]| {
        let reports = messages.iter().filter(|message| message.topic.ends_with("/health") && !message.retain);
        reports.map(Message::json).find(|health| wanted(health))
    };
    found(&subscriber.wait_for(PATIENCE, |messages| found(messages).is_some()).unwrap()).unwrap()
}

/// Waits until the daemon has dealt with all these files, and returns how.
pub fn wait_frames(world: &World, names: &[&str]) -> Vec<testkit::ledger::FrameEntry> {
    let wait =
        |name: &&str| world.ledger().wait_frame(name, PATIENCE).unwrap_or_else(|| panic!("{name} is not dealt with"));
    names.iter().map(wait).collect()
}

/// Counts for `cargo xtask reliability` what became of `expected` contents that somebody had to hear of.
pub fn tally(expected: usize, messages: &[Message]) {
    let mut bodies: BTreeMap<String, &[u8]> = BTreeMap::new();
    let (mut repeats, mut conflicting) = (0, 0);
    for message in messages.iter().filter(|message| message.topic.ends_with("/detection")) {
        let id = message.json()["id"].as_str().unwrap().to_owned();
        if let Some(first) = bodies.insert(id, &message.payload) {
            repeats += 1;
            conflicting += u64::from(first != message.payload);
        }
    }
    let received = frames(messages).into_iter().map(|found| found.frame.sha256).collect::<BTreeSet<_>>().len();
    let lost = expected.saturating_sub(received);
    println!(
        "tally: injected=1 expected={expected} received={received} lost={lost} conflicting={conflicting} repeats={repeats}"
    );
}

/// The Python that tests may use, if it has these modules.
pub fn python(modules: &str) -> Option<PathBuf> {
    let python = std::env::var_os("ARCTICD_TEST_PYTHON").map(PathBuf::from)?;
    let found = Command::new(&python).arg("-c").arg(format!("import {modules}")).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success()).then_some(python)
}

/// Says why a test does nothing.
pub fn skip(test: &str, reason: &str) {
    println!("skipped: {test}: {reason}");
}
