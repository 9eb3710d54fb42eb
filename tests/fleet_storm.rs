//! Many traps in one process, each with the daemon's own link, outbox and journal, behind one real mosquitto: what comes when
//! the broker was away, how long an alert takes, and what an idle trap costs.
//!
//! `cargo xtask fleet` runs it with a thousand traps and prints the figures of docs/fleet.md; the suite has a hundred. What is
//! asserted is what holds on any machine: how often a trap may try, and that nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arcticd::accept::{Doors, Inbox, Input, Order};
use arcticd::config::Mqtt;
use arcticd::health::Status;
use arcticd::journal::{Journal, priority};
use arcticd::mqtt::{Intake, Link, Topics, connect_options};
use parts::flapping::port;
use parts::relay::{Attempt, Relay};
use parts::skip;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use testkit::broker::{Mosquitto, Options};
use testkit::subscriber::{Message, Subscriber, Subscription};
use testkit::wait_until;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};

/// How long all of a fleet may take for anything: the longest pause between two tries is a minute.
const PATIENCE: Duration = Duration::from_secs(300);
/// Descriptors of a trap: two doors of a journal, and three ends of its connection.
const DESCRIPTORS: u64 = 12;
/// As large as a message is.
const BODY: usize = 900;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A trap without a camera.
struct Trap {
    name: String,
    status: Arc<Status>,
    journal: Mutex<Journal>,
    filled: Arc<Notify>,
    _life: (watch::Sender<bool>, Receiver<Input>, UnboundedSender<Order>),
}

impl Trap {
    fn start(number: usize, port: u16, directory: &Path, runtime: &Runtime) -> Self {
        let name = format!("mast-{number}");
        let directory = directory.join(&name);
        let journal = Journal::open(&directory, 100_000).unwrap();
        let status = Arc::new(Status::new(&name, "arcticnet-192-v3", "svalbard 2026.11", &directory));
        let mqtt = Mqtt { url: Some(format!("mqtt://127.0.0.1:{port}")), ..Mqtt::default() };
        let options = connect_options(&mqtt, &format!("arcticd-{name}")).unwrap().unwrap();
        let (arrived, arrivals) = mpsc::channel();
        let (orders, ordered) = unbounded_channel();
        let doors = Doors::new("arcticd", &name, &["coast".to_owned()]);
        let filled: Arc<Notify> = Arc::default();
        let link = Link::new(
            options,
            Topics::new("arcticd", &name),
            journal.outbox().unwrap(),
            filled.clone(),
            status.clone(),
            Duration::from_secs(mqtt.health_s),
            Some(Intake::new(Inbox { arrivals: arrived, orders: ordered }, doors, 1 << 20)),
        );
        let (stop, stops) = watch::channel(false);
        runtime.spawn(link.run(stops));
        Self { name, status, journal: Mutex::new(journal), filled, _life: (stop, arrivals, orders) }
    }

    /// Queues an alert as the pipeline does.
    fn alert(&self, id: &str) {
        let body = |_: &str, seq: u64| json!({ "id": id, "seq": seq, "rest": "x".repeat(BODY) });
        let mut journal = self.journal.lock().unwrap();
        journal.transaction(|transaction| transaction.queue(id, priority::LIVE, "detection", body)).unwrap();
        self.filled.notify_one();
    }

    fn connections(&self) -> u64 {
        serde_json::to_value(self.status.health("", &Default::default())).unwrap()["counters"]["connections"]
            .as_u64()
            .unwrap()
    }

    fn is_up(&self) -> bool {
        self.status.link() == arcticd::health::Link::Up
    }
}

/// A fleet, its broker, and whoever waits for alerts.
struct Fleet {
    // Dropped first, so that no link outlives its broker's port.
    _runtime: Runtime,
    traps: Vec<Trap>,
    relay: Relay,
    console: Subscriber,
    broker: Mosquitto,
    _directory: tempfile::TempDir,
}

impl Fleet {
    fn start(count: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // As docs/mosquitto recommends: a broker that saved with each change would do nothing else.
        let kept = format!("persistence_location {}/", directory.path().display());
        let extra = ["persistence true", "autosave_interval 300", &kept].map(str::to_owned).to_vec();
        let broker =
            Mosquitto::start(Options { port: Some(port()), persistence: false, extra, ..Options::default() }).unwrap();
        let console = Subscription::new(broker.port(), "arcticd/+/detection").persistent("console");
        let (console, relay) = (Subscriber::start(console).unwrap(), Relay::start(broker.port()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        // All at once, as after a power cut of the whole site.
        let traps = (0..count).map(|number| Trap::start(number, relay.port(), directory.path(), &runtime)).collect();
        let fleet = Self { _runtime: runtime, traps, relay, console, broker, _directory: directory };
        fleet.wait_up();
        fleet
    }

    fn wait_up(&self) {
        wait_until(PATIENCE, || self.traps.iter().all(Trap::is_up).then_some(())).unwrap_or_else(|| {
            let down: Vec<&str> = self.traps.iter().filter(|it| !it.is_up()).map(|it| it.name.as_str()).collect();
            panic!("{} are down: {:?}", down.len(), &down[..down.len().min(10)])
        });
    }

    /// The ids that the console has, each with when it came first.
    fn wait_heard(&self, wanted: &BTreeSet<String>) -> BTreeMap<String, Instant> {
        let ids = |messages: &[Message]| {
            let mut came: BTreeMap<String, Instant> = BTreeMap::new();
            for message in messages {
                came.entry(message.json()["id"].as_str().unwrap_or_default().to_owned()).or_insert(message.at);
            }
            came
        };
        let all = |messages: &[Message]| {
            messages.len() >= wanted.len() && {
                let came = ids(messages);
                wanted.iter().all(|id| came.contains_key(id))
            }
        };
        ids(&self.console.wait_for(PATIENCE, all).unwrap())
    }
}

/// The most tries that the back-off allows a trap in so long a time after its connection broke: each pause is at least half of
/// a time that doubles from half a second to a minute.
fn most_tries(time: Duration) -> usize {
    let (mut pause, mut at, mut tries) = (Duration::from_millis(250), Duration::ZERO, 0);
    loop {
        at += pause;
        if at > time {
            return tries;
        }
        tries += 1;
        pause = (pause * 2).min(Duration::from_secs(30));
    }
}

/// The largest number of moments within a second.
fn busiest_second(moments: &[Instant]) -> usize {
    let mut moments = moments.to_vec();
    moments.sort_unstable();
    let within = |(place, first): (usize, &Instant)| {
        moments[place..].iter().take_while(|at| at.duration_since(*first) < Duration::from_secs(1)).count()
    };
    moments.iter().enumerate().map(within).max().unwrap_or_default()
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted[place].as_secs_f64()
}

fn moments(attempts: &[Attempt]) -> Vec<Instant> {
    attempts.iter().map(|attempt| attempt.at).collect()
}

/// A broker that dies and stays away; each trap has something to say meanwhile.
fn storm(fleet: &mut Fleet, outage: Duration) {
    let count = fleet.traps.len();
    let before: Vec<u64> = fleet.traps.iter().map(Trap::connections).collect();
    fleet.relay.shut();
    let begin = Instant::now();
    fleet.broker.kill().unwrap();
    let ids: BTreeSet<String> = fleet.traps.iter().map(|trap| format!("{}-in-the-dark", trap.name)).collect();
    fleet.traps.iter().zip(&ids).for_each(|(trap, _)| trap.alert(&format!("{}-in-the-dark", trap.name)));
    std::thread::sleep(outage.saturating_sub(begin.elapsed()));
    fleet.broker.restart().unwrap();
    fleet.console.wait_subscribed(2, PATIENCE).unwrap();
    fleet.relay.open();
    let opened = Instant::now();
    let away = opened - begin;
    wait_until(PATIENCE, || {
        let again = |(trap, before): (&Trap, &u64)| trap.connections() > *before && trap.is_up();
        fleet.traps.iter().zip(&before).all(again).then_some(())
    })
    .expect("all come again");
    fleet.wait_heard(&ids);

    let attempts = fleet.relay.attempts(begin);
    let (in_vain, came): (Vec<Attempt>, Vec<Attempt>) = attempts.into_iter().partition(|attempt| !attempt.admitted);
    let mut tries: BTreeMap<&str, usize> = BTreeMap::new();
    in_vain.iter().for_each(|attempt| *tries.entry(&attempt.client).or_default() += 1);
    let most = tries.values().max().copied().unwrap_or_default();
    let mut waits: Vec<Duration> = came.iter().map(|attempt| attempt.at.saturating_duration_since(opened)).collect();
    waits.sort_unstable();
    println!(
        "figure: broker away for {:.0} s: {} tries in vain, {most} a trap at most ({} allowed), {} in the busiest second",
        away.as_secs_f64(),
        in_vain.len(),
        most_tries(away),
        busiest_second(&moments(&in_vain)),
    );
    println!(
        "figure: back: half connected after {:.1} s, 99 % after {:.1} s, all after {:.1} s; {} in the busiest second",
        percentile(&waits, 0.5),
        percentile(&waits, 0.99),
        percentile(&waits, 1.0),
        busiest_second(&moments(&came)),
    );
    println!("figure: {count} alerts queued meanwhile, {count} arrived");
    assert!(most <= most_tries(away), "{most} tries in {away:?}");
    assert!(came.len() >= count);
}

/// Alerts of random traps, so many a second.
fn alerts(fleet: &Fleet, count: u64, a_second: u64) {
    let begin = Instant::now();
    let mut queued: BTreeMap<String, Instant> = BTreeMap::new();
    for number in 0..count {
        let due = begin + Duration::from_secs_f64(number as f64 / a_second as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let (trap, id) = (&fleet.traps[fastrand::usize(..fleet.traps.len())], format!("alert-{number}"));
        queued.insert(id.clone(), Instant::now());
        trap.alert(&id);
    }
    let came = fleet.wait_heard(&queued.keys().cloned().collect());
    let mut took: Vec<Duration> = queued.iter().map(|(id, at)| came[id].saturating_duration_since(*at)).collect();
    took.sort_unstable();
    println!(
        "figure: {count} alerts, {a_second} a second: from before the journal's commit to the subscriber half take {:.1} ms, \
         99 % at most {:.1} ms, the slowest {:.1} ms",
        percentile(&took, 0.5) * 1e3,
        percentile(&took, 0.99) * 1e3,
        percentile(&took, 1.0) * 1e3,
    );
}

/// What an idle trap costs.
fn idle(fleet: &Fleet, time: Duration) {
    let every = Mqtt::default().health_s;
    assert!(time.as_secs() >= 2 * every, "an idle trap is measured for two heartbeats, {} s, at least", 2 * every);
    let (begin, (up, down)) = (Instant::now(), fleet.relay.traffic());
    std::thread::sleep(time);
    let (later, took) = (fleet.relay.traffic(), begin.elapsed());
    let a_day = |bytes: u64| bytes as f64 / fleet.traps.len() as f64 / took.as_secs_f64() * 86_400.0 / 1e3;
    println!(
        "figure: an idle trap, heartbeat and keep-alive of {} s: {:.0} kB up and {:.0} kB down a day (MQTT, measured for {:.0} s)",
        every,
        a_day(later.0 - up),
        a_day(later.1 - down),
        took.as_secs_f64(),
    );
    assert!(later.0 > up, "heartbeats go out");
}

#[test]
fn a_fleet_comes_back_in_no_more_tries_than_the_back_off_allows_and_loses_nothing() {
    if !Mosquitto::available() {
        return skip("the fleet's storm", "mosquitto is not installed");
    }
    let count = setting("ARCTICD_FLEET_TRAPS", 100);
    let limit = getrlimit(Resource::Nofile);
    let wanted = count * DESCRIPTORS + 1_000;
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        wanted <= most,
        "{count} traps need {wanted} descriptors, and this user may have {most}: raise `ulimit -Hn`"
    );
    if limit.current.is_some_and(|now| now < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).unwrap();
    }
    let begin = Instant::now();
    let mut fleet = Fleet::start(usize::try_from(count).unwrap());
    println!("figure: {count} traps, all connected {:.1} s after the first began", begin.elapsed().as_secs_f64());
    storm(&mut fleet, Duration::from_secs(setting("ARCTICD_FLEET_OUTAGE_S", 3)));
    alerts(&fleet, setting("ARCTICD_FLEET_ALERTS", 200), setting("ARCTICD_FLEET_ALERTS_A_SECOND", 50));
    if let seconds @ 1.. = setting("ARCTICD_FLEET_IDLE_S", 0) {
        idle(&fleet, Duration::from_secs(seconds));
    }
}
