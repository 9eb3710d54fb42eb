//! The real daemon is killed (SIGKILL) again and again at random moments, while frames land, its broker comes and goes, and
//! heads are pushed. An account kept outside says that each frame that had to alert was heard of, under one id and with one
//! body, and that no frame was left out.
//!
//! One world lives through all of it. `ARCTICD_KILLS` says how often (default 200), `ARCTICD_KILL_SEED` by which dice, and
//! `ARCTICD_KILL_SECONDS` after what time to come to an end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use arcticd::accept::{Content, Report};
use fastrand::Rng;
use parts::account::Account;
use parts::flapping::Flapping;
use parts::heads::{offer, pieces, set, topic};
use parts::witness::Witness;
use parts::{BIN, PATIENCE, skip};
use testkit::broker::Mosquitto;
use testkit::daemon::World;
use testkit::head::signed::{self, Maker};
use testkit::quick::Quick;
use testkit::subscriber::Message;
use testkit::wait_until;

/// Cycles between two closings of the account.
const CLOSE_EVERY: u64 = 50;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

struct Loop {
    world: World,
    quick: Quick,
    maker: Maker,
    broker: Flapping,
    witness: Witness,
    account: Account,
    faults: BTreeMap<&'static str, u64>,
    cycles: u64,
    /// Frames so far; the next one's number.
    frames: u64,
    /// What lies in the capture directory, and whether that is a picture.
    there: BTreeMap<String, bool>,
    /// The latest contents, for copies.
    latest: Vec<Vec<u8>>,
    sequence: u64,
    /// Topics of the pieces that wait at the broker.
    retained: Vec<String>,
    floor: u64,
}

impl Loop {
    fn begin() -> Self {
        let broker = Flapping::start();
        let (witness, maker) = (Witness::to(broker.port()), Maker::new().unwrap());
        let world = World::new().unwrap().staying();
        let quick = Quick::make(&world.path("")).unwrap();
        let (keys, by_hand) = (world.path("keys"), world.path("by-hand"));
        maker.trust_in(&keys).unwrap();
        fs::create_dir(world.path("staging")).unwrap();
        let world = world
            .set("model.backbone", quick.backbone.to_string_lossy())
            .set("model.head", quick.head.to_string_lossy())
            .set("mqtt.url", format!("mqtt://127.0.0.1:{}", witness.port()))
            .set_raw("mqtt.health_s", "1")
            .set_raw("capture.settle_ms", "200")
            .set_raw("capture.reconcile_s", "1")
            .set("alerts.policy", "every_frame")
            .set_raw("alerts.gap_s", "86400")
            .set_raw("heads.trusted_keys", format!("[{:?}]", keys.to_str().unwrap()))
            .set("heads.directory", by_hand.to_str().unwrap())
            .set_raw("heads.shadow_frames", "1")
            .set_raw("heads.trial_frames", "4")
            .set_raw("heads.trial_alerts", "1");
        Self {
            world,
            quick,
            maker,
            broker,
            witness,
            account: Account::default(),
            faults: BTreeMap::new(),
            cycles: 0,
            frames: 0,
            there: BTreeMap::new(),
            latest: Vec::new(),
            sequence: 1,
            retained: Vec::new(),
            floor: 0,
        }
    }

    fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// One life of the daemon.
    fn cycle(&mut self, dice: &mut Rng) {
        self.cycles += 1;
        for _ in 0..dice.u8(..3) {
            self.land(dice);
        }
        if dice.bool() {
            self.broker.revive();
        }
        let mut daemon = self.world.start(BIN).unwrap();
        let begun = Instant::now();
        let life = match dice.u8(..10) {
            0..3 => dice.u64(..100),
            3..9 => dice.u64(100..700),
            _ => dice.u64(700..1500),
        };
        let mut moments: Vec<u64> = (0..dice.u64(..1 + life / 60)).map(|_| dice.u64(..=life)).collect();
        moments.sort_unstable();
        for moment in moments {
            sleep_until(begun + Duration::from_millis(moment));
            match dice.u8(..20) {
                0 | 1 => self.flap(dice),
                2 => self.push(dice.u8(..3)),
                3 => {
                    self.witness.cut();
                    self.fault("connection-cut");
                }
                _ => self.land(dice),
            }
        }
        sleep_until(begun + Duration::from_millis(life));
        match dice.u8(..12) {
            // While it drains its outbox.
            0 => {
                daemon.ask_to_stop().unwrap();
                sleep_until(Instant::now() + Duration::from_millis(dice.u64(..80)));
                self.fault("kill-while-stopping");
            }
            // Between a message and its acknowledgement, if one goes out.
            1..4 => {
                let sent = self.witness.sent();
                self.land(dice);
                let end = Instant::now() + Duration::from_millis(600);
                while self.witness.sent() == sent && Instant::now() < end {
                    std::thread::sleep(Duration::from_micros(200));
                }
                self.fault("kill-while-sending");
            }
            _ => self.fault("kill"),
        }
        daemon.kill().unwrap();
        let log = daemon.log().join("\n");
        fs::write(self.world.path(&format!("log-{}", self.cycles % 10)), log).unwrap();
        self.hear();
    }

    fn hear(&mut self) {
        let messages = self.broker.console.take();
        self.account.hear(&messages);
        let floor = |message: &Message| serde_json::from_slice::<Report>(&message.payload).unwrap().floor;
        let reports = messages.iter().filter(|message| message.topic.ends_with("/head/state"));
        self.floor = reports.map(floor).max().unwrap_or(0).max(self.floor);
    }

    /// A frame lands, whole: one that alerts, one that does not, no picture, a copy, or another under an old name.
    fn land(&mut self, dice: &mut Rng) {
        self.frames += 1;
        let number = self.frames;
        let mut name = format!("{}/{number:06}.jpg", dice.choice(["north", "south", "DCIM/100"]).unwrap());
        let kind = dice.u8(..20);
        let (bytes, is_picture, alerts) = match kind {
            0..11 => ([&self.quick.bear[..], &number.to_le_bytes()].concat(), true, true),
            11..15 => ([&self.quick.other[..], &number.to_le_bytes()].concat(), true, false),
            15..17 => (format!("no picture {number}").into_bytes(), false, false),
            17 if !self.latest.is_empty() => (dice.choice(&self.latest).unwrap().clone(), true, true),
            _ => {
                // Only names whose frame was dealt with: it would be gone unseen.
                let old = self.there.keys().nth(dice.usize(..self.there.len().max(1)));
                name = old.filter(|old| self.is_heard(old)).unwrap_or(&name).clone();
                ([&self.quick.bear[..], &number.to_le_bytes()].concat(), true, true)
            }
        };
        let staged = self.world.path("staging/frame");
        fs::write(&staged, &bytes).unwrap();
        if dice.u8(..4) == 0 {
            let yesterday = SystemTime::now() - Duration::from_secs(86_400);
            File::options().append(true).open(&staged).unwrap().set_modified(yesterday).unwrap();
        }
        let place = self.world.captures().join(&name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        self.account.land(&name, &bytes, alerts);
        fs::rename(staged, place).unwrap();
        self.there.insert(name, is_picture);
        if alerts {
            self.latest.push(bytes);
            self.latest.drain(..self.latest.len().saturating_sub(20));
        }
    }

    fn is_heard(&self, name: &str) -> bool {
        fs::read(self.world.captures().join(name)).is_ok_and(|bytes| self.account.is_heard(&bytes))
    }

    /// The broker stands still for a while, or dies; or comes back.
    fn flap(&mut self, dice: &mut Rng) {
        if !self.broker.is_up() {
            return self.broker.revive();
        }
        self.broker.freeze();
        self.fault("broker-frozen");
        if dice.bool() {
            return;
        }
        // It saves after it has acknowledged: what the subscriber has not got, it would lose by itself. What was on its way
        // when it froze is through in a moment.
        std::thread::sleep(Duration::from_millis(20));
        let all_there = |it: &mut Self| {
            it.hear();
            it.witness.acknowledged().keys().all(|id| it.account.has_heard(id)).then_some(())
        };
        if wait_until(Duration::from_millis(60), || all_there(self)).is_some() {
            self.broker.kill();
            self.fault("broker-killed");
        }
    }

    /// A head is pushed: a good one whole or in pieces, or one that sees nothing and has to go.
    fn push(&mut self, kind: u8) {
        if !self.broker.is_up() {
            return;
        }
        self.sequence += 1;
        for topic in self.retained.drain(..) {
            self.broker.console.publish(&topic, true, b"").unwrap();
        }
        let mind = if kind == 0 { self.quick.blind().unwrap() } else { self.quick.same(kind == 2) };
        let bundle = self.maker.head(&mind, self.sequence, |_| {}).unwrap();
        if kind == 2 {
            let count = signed::pieces(&bundle).len() as u32;
            offer(&self.broker.console, &bundle);
            pieces(&self.broker.console, &bundle, 0..count);
            let id = signed::offer(&bundle).unwrap().id();
            self.retained = (0..count).map(|piece| topic(Content::Chunk { id, piece })).collect();
        } else {
            set(&self.broker.console, &bundle);
        }
        self.fault("head-pushed");
    }

    /// Lets the daemon come to the end of its work, and closes the account.
    fn close(&mut self) -> Result<(), String> {
        self.broker.revive();
        let mut daemon = self.world.start(BIN).unwrap();
        // With nothing left to do it would be asked to stop before it listens for that.
        daemon.wait_for_log(" as trap ", PATIENCE).unwrap();
        let done = wait_until(PATIENCE, || {
            self.hear();
            if !self.lost().is_empty() {
                return None;
            }
            let queued = self.world.ledger().messages().unwrap().iter().any(|message| message.state == "queued");
            (!queued && self.skipped().is_empty()).then_some(())
        });
        // What the broker has taken over may still be under way from it.
        wait_until(Duration::from_secs(5), || {
            self.hear();
            self.account.owed().is_empty().then_some(())
        });
        self.tally();
        if done.is_none() {
            let (lost, skipped) = (self.lost(), self.skipped());
            return Err(format!("lost: {lost:?}\nskipped: {skipped:?}\n{}", daemon.log().join("\n")));
        }
        let code = daemon.terminate().unwrap();
        self.hear();
        if code != 0 {
            return Err(format!("it ended with {code}: {}", daemon.log().join("\n")));
        }
        self.assess()?;
        // The card is emptied.
        for name in std::mem::take(&mut self.there).into_keys() {
            fs::remove_file(self.world.captures().join(name)).unwrap();
        }
        Ok(())
    }

    /// Contents that nobody heard of, and that the broker has not taken over.
    fn lost(&self) -> Vec<(String, String)> {
        let taken: BTreeSet<String> = self.witness.acknowledged().into_values().map(|carried| carried.sha256).collect();
        let owed = self.account.owed().into_iter().filter(|(sha256, _)| !taken.contains(*sha256));
        owed.map(|(sha256, landed)| (landed.name.clone(), sha256.clone())).collect()
    }

    /// Files that the daemon has not dealt with.
    fn skipped(&self) -> Vec<&String> {
        let noted: BTreeSet<String> = self.world.ledger().files().unwrap().into_iter().collect();
        self.there.keys().filter(|name| !noted.contains(*name)).collect()
    }

    /// Not stuck: after all that one more head comes into service.
    fn one_more_head(&mut self) {
        self.broker.revive();
        self.push(1);
        let daemon = self.world.start(BIN).unwrap();
        let mut dice = Rng::with_seed(self.cycles);
        let serves = wait_until(PATIENCE, || {
            self.land(&mut dice);
            std::thread::sleep(Duration::from_millis(200));
            (self.record()["active"]["sequence"].as_u64() == Some(self.sequence)).then_some(())
        });
        serves.unwrap_or_else(|| panic!("{}\n{}", self.record(), daemon.log().join("\n")));
    }

    /// What lies on disk of heads.
    fn record(&self) -> serde_json::Value {
        let record = fs::read(self.world.state().join("heads/record.json"));
        record.map_or_else(|_| "none".into(), |bytes| serde_json::from_slice(&bytes).unwrap())
    }

    fn assess(&mut self) -> Result<(), String> {
        let mut wrong = Vec::new();
        wrong.extend(self.account.conflicts.iter().cloned());
        wrong.extend(self.account.unexpected.iter().cloned());
        let by_broker = self.account.owed().len() as u64;
        let kills = self.faults.get("broker-killed").copied().unwrap_or(0);
        if by_broker > kills / 20 {
            wrong.push(format!(
                "{by_broker} messages that the broker acknowledged were not delivered, of {kills} kills of it"
            ));
        }
        let taken: BTreeSet<_> = self.witness.acknowledged().into_values().map(|carried| carried.number).collect();
        let holes: Vec<_> = self.account.holes().into_iter().filter(|number| !taken.contains(number)).collect();
        if !holes.is_empty() || self.account.epochs() > 1 {
            wrong.push(format!("{} epochs, and these numbers never came: {holes:?}", self.account.epochs()));
        }
        let damaged = fs::read_dir(self.world.state()).unwrap().flatten().map(|entry| entry.file_name());
        wrong.extend(damaged.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.contains("damaged")));
        for frame in self.world.ledger().frames().unwrap() {
            if let Some(reason) = frame.failed.filter(|_| self.there.get(&frame.name) == Some(&true)) {
                wrong.push(format!("{} was given up: {reason}", frame.name));
            }
        }
        let record = self.record();
        if self.floor > 0 && record["floor"].as_u64() < Some(self.floor) {
            wrong.push(format!("the floor was {}, and is {}", self.floor, record["floor"]));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    fn tally(&self) {
        let (expected, received) = (self.account.expected(), self.account.received());
        let by_broker = self.account.owed().len() - self.lost().len();
        println!(
            "tally: cycles={} frames={} expected={expected} received={received} lost={} lost-by-broker={by_broker} conflicting={} \
             repeats={} longest-ms={}",
            self.cycles,
            self.frames,
            self.lost().len(),
            self.account.conflicts.len(),
            self.account.repeats,
            self.account.longest.as_millis()
        );
        for (kind, count) in &self.faults {
            println!("tally: fault={kind} injected={count}");
        }
    }
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

#[test]
fn a_daemon_that_is_killed_again_and_again_loses_no_alert_and_gives_no_id_twice() {
    if !Mosquitto::available() {
        return skip("kills of the daemon", "mosquitto is not installed");
    }
    let (count, seed) = (setting("ARCTICD_KILLS").unwrap_or(200), setting("ARCTICD_KILL_SEED").unwrap_or(1));
    let end = setting("ARCTICD_KILL_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    println!("{count} kills, seed {seed}");
    let mut all = Loop::begin();
    while all.cycles < count && end.is_none_or(|end| Instant::now() < end) {
        // By the cycle: the dice do not depend on how far an earlier one came.
        let mut dice = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(all.cycles));
        all.cycle(&mut dice);
        if all.cycles.is_multiple_of(CLOSE_EVERY) {
            all.close().unwrap_or_else(|wrong| panic!("by cycle {} of seed {seed}:\n{wrong}", all.cycles));
        }
    }
    all.one_more_head();
    all.close().unwrap_or_else(|wrong| panic!("by cycle {} of seed {seed}:\n{wrong}", all.cycles));
    let trail = all.world.ledger().heads().unwrap();
    let steps = |step: &str| trail.iter().filter(|entry| entry.step == step).count();
    println!("{} heads taken into service, {} sent back", steps("active"), steps("rolled_back"));
}
