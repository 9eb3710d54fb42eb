//! Nothing but the true head comes in, whatever is done to it on the way: thousands of mutations against the real acceptor,
//! and some of them through a real broker against the real daemon.
//!
//! `cargo xtask mutate` runs as many as one likes; `ARCTICD_MUTATIONS` and `ARCTICD_MUTATION_SEED` are how it asks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::BTreeMap;
use std::time::Instant;

use arcticd::accept::{Content, Step};
use arcticd::heads::Bundle;
use parts::acceptor::Trap;
use parts::heads::{good, topic, trusting, wait_report, wait_step};
use parts::{bear, listen, start_online, wait_detections, wait_health};
use testkit::broker::Broker;
use testkit::head::signed::{Maker, Mind};
use testkit::mutate::{Attack, Material, steady};

/// Sequence of the head that the trap took before: the floor.
const FLOOR: u64 = 5;
/// Of a hundred mutations, how many are signed nonsense.
const NONSENSE: u64 = 3;

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => otherwise,
    }
}

fn count() -> u64 {
    setting("ARCTICD_MUTATIONS", 500)
}

fn seed() -> u64 {
    setting("ARCTICD_MUTATION_SEED", 1)
}

/// How many of each kind there were, and how many of them were taken.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, (u64, u64)>);

impl Tally {
    fn add(&mut self, kind: &'static str, taken: bool) {
        let (all, accepted) = self.0.entry(kind).or_default();
        *all += 1;
        *accepted += u64::from(taken);
    }

    fn print(&self, title: &str, since: Instant) {
        println!("\n{title}, seed {}\n{:>7} {:>8}  kind", seed(), "tried", "accepted");
        for (kind, (all, accepted)) in &self.0 {
            println!("{all:>7} {accepted:>8}  {kind}");
        }
        let sum = |of: fn(&(u64, u64)) -> u64| self.0.values().map(of).sum::<u64>();
        println!("{:>7} {:>8}  in all, {:.1} s", sum(|it| it.0), sum(|it| it.1), since.elapsed().as_secs_f32());
    }
}

/// Sends mutations and holds after each that nothing has changed: who judges, how far the offer is, what lies on disk. Not
/// even what a trusted key signed and may not come in is written there.
fn attack(trap: &mut Trap, material: &Material, numbers: std::ops::Range<u64>, title: &str) {
    let (start, mut tally) = (Instant::now(), Tally::default());
    let (judges, step) = (trap.seat.judges(), trap.step());
    let received = |trap: &Trap| trap.report.as_ref().and_then(|it| it.offer.as_ref()).map(|offer| offer.received);
    let pieces = received(trap);
    let files = trap.files();
    for number in numbers {
        let mutation = material.mutation(seed(), number).unwrap();
        trap.send(&mutation.attack);
        let (now, mut lie) = (trap.seat.judges(), trap.files());
        let same = std::ptr::eq(&*now.proven, &*judges.proven)
            && now.candidate.as_ref().map(|it| it.id) == judges.candidate.as_ref().map(|it| it.id)
            && (trap.step(), received(trap)) == (step, pieces)
            && lie == files;
        tally.add(mutation.kind, !same);
        if !same {
            lie.retain(|path, stamp| files.get(path) != Some(stamp));
            println!("number {number}, {}: {:?}, {:?}, changed {lie:?}", mutation.kind, trap.step(), received(trap));
        }
        assert!(same, "mutation {number} of seed {}, {}, was taken", seed(), mutation.kind);
    }
    tally.print(title, start);
}

#[test]
fn no_mutation_ends_a_trial_or_comes_in_and_the_true_head_still_does() {
    let maker = Maker::new().unwrap();
    let (older, good) = (steady(&maker, 0.8, FLOOR).unwrap(), steady(&maker, 0.9, FLOOR + 1).unwrap());
    let mut trap = Trap::start(&maker, &steady(&maker, 0.7, 0).unwrap());
    trap.set(&older);
    assert_eq!(trap.step(), Some(Step::Trial));
    let material = Material::new(maker, good.clone(), older).unwrap();
    attack(&mut trap, &material, 0..count() * (100 - NONSENSE) / 200, "while another head is tried");
    trap.set(&good);
    assert_eq!(trap.step(), Some(Step::Trial), "the true head: {:?}", trap.report);
    trap.look();
    assert_eq!(trap.report.as_ref().unwrap().active.sequence, FLOOR + 1);
    trap.stop();
}

#[test]
fn no_mutation_spoils_a_transfer_and_the_true_pieces_still_make_the_head() {
    let maker = Maker::new().unwrap();
    let older = steady(&maker, 0.8, FLOOR).unwrap();
    let good = large(&maker, FLOOR + 1);
    let mut trap = Trap::start(&maker, &steady(&maker, 0.7, 0).unwrap());
    trap.set(&older);
    trap.look();
    trap.offer(&good);
    trap.pieces(&good, [1, 3]);
    trap.told(2);
    assert_eq!(trap.step(), Some(Step::Receiving));
    let pieces = testkit::head::signed::pieces(&good).len();
    let material = Material::new(maker, good.clone(), older).unwrap();
    let from = count() * (100 - NONSENSE) / 200;
    attack(&mut trap, &material, from..2 * from, "while pieces come in");
    trap.pieces(&good, (0..pieces).rev());
    assert_eq!(trap.step(), Some(Step::Trial), "the true head: {:?}", trap.report);
    trap.stop();
}

#[test]
fn signed_heads_that_are_refused_again_and_again_wear_out_no_flash() {
    let maker = Maker::new().unwrap();
    let (older, good) = (steady(&maker, 0.8, FLOOR).unwrap(), steady(&maker, 0.9, FLOOR + 1).unwrap());
    let flood: Vec<Bundle> = (1..=20).map(|number| steady(&maker, 0.03 * number as f32, FLOOR).unwrap()).collect();
    let mut trap = Trap::start(&maker, &steady(&maker, 0.7, 0).unwrap());
    trap.set(&older);
    trap.look();
    let material = Material::new(maker, good.clone(), older).unwrap();
    // One that came in, and turned out to be nothing.
    let tried = Attack::Message(Content::Set, material.nonsense(seed(), 0, FLOOR + 1).unwrap().1);
    trap.send(&tried);
    assert_eq!(trap.step(), Some(Step::Rejected));
    let (files, trail) = (trap.files(), trap.trail());
    for _ in 0..3 {
        for head in &flood {
            trap.offer(head);
            trap.set(head);
        }
        trap.send(&tried);
    }
    assert_eq!(trap.files(), files, "not even the record");
    let told = trap.trail() - trail;
    assert!((1..=flood.len()).contains(&told), "{told} lines in the trail: each is told once, at most");
    // It is known which was tried, for all that came since.
    let known = trap.report.as_ref().unwrap().decided.last().unwrap().sequence;
    assert_eq!(known, FLOOR + 1, "{:?}", trap.report);
    trap.set(&good);
    assert_eq!(trap.step(), Some(Step::Trial), "the true head: {:?}", trap.report);
    trap.stop();
}

#[test]
fn a_trap_asks_for_one_piece_at_a_time_and_for_none_that_it_has() {
    let maker = Maker::new().unwrap();
    let good = large(&maker, FLOOR + 1);
    let mut trap = Trap::start(&maker, &steady(&maker, 0.7, 0).unwrap());
    let count = testkit::head::signed::pieces(&good).len();
    trap.offer(&good);
    // A piece that was published by hand and comes unasked is kept all the same.
    for (piece, then) in [(0, 1), (3, 1), (1, 2), (1, 2), (2, 4)] {
        trap.pieces(&good, [piece]);
        let asked: Vec<&str> = trap.asked.iter().filter_map(|topic| topic.rsplit('/').next()).collect();
        assert_eq!(asked, [then.to_string()], "after {piece}");
    }
    trap.pieces(&good, 4..count);
    assert_eq!((trap.step(), trap.asked.len()), (Some(Step::Trial), 0));
    trap.stop();
}

/// A head of four pieces and more.
fn large(maker: &Maker, sequence: u64) -> Bundle {
    maker.head(&Mind::Large(parts::head().to_owned(), 120_000), sequence, |_| {}).unwrap()
}

#[test]
fn a_signed_head_that_is_nonsense_is_refused_and_leaves_nothing_behind() {
    let maker = Maker::new().unwrap();
    let (older, good) = (steady(&maker, 0.8, FLOOR).unwrap(), steady(&maker, 0.9, FLOOR + 1).unwrap());
    let mut trap = Trap::start(&maker, &steady(&maker, 0.7, 0).unwrap());
    trap.set(&older);
    trap.look();
    let material = Material::new(maker, good.clone(), older).unwrap();
    let (start, mut tally, judges) = (Instant::now(), Tally::default(), trap.seat.judges());
    let names = |trap: &Trap| trap.files().into_keys().collect::<Vec<_>>();
    let before = names(&trap);
    for number in 0..(count() * NONSENSE / 100).max(10) {
        let (kind, file) = material.nonsense(seed(), number, FLOOR + 1).unwrap();
        trap.send(&Attack::Message(Content::Set, file));
        let now = trap.seat.judges();
        let same = std::ptr::eq(&*now.proven, &*judges.proven) && now.candidate.is_none();
        tally.add(kind, !same);
        assert!(same && trap.step() == Some(Step::Rejected), "{kind} {number}: {:?}", trap.report);
        assert_eq!(names(&trap), before, "{kind} {number}");
    }
    tally.print("signed nonsense", start);
    trap.set(&good);
    assert_eq!(trap.step(), Some(Step::Trial), "the true head: {:?}", trap.report);
    trap.stop();
}

#[test]
fn a_hundred_mutations_over_a_broker_leave_the_connection_the_alerts_and_the_true_head() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1).set_raw("alerts.thresholds", "{ polar_bear = 0.0 }");
    let _daemon = start_online(&world, &subscriber);
    let older = maker.head(&good(), FLOOR, |_| {}).unwrap();
    parts::heads::set(&subscriber, &older);
    wait_step(&subscriber, FLOOR, Step::Trial);
    let true_one = large(&maker, FLOOR + 1);
    let material = Material::new(maker, true_one.clone(), older).unwrap();
    let mut sent = 0;
    for number in 0..100 {
        let at = match material.mutation(seed(), number).unwrap().attack {
            Attack::Message(content, bytes) => Some((topic(content), bytes)),
            // What no broker would take is not sent.
            Attack::Topic(below, _) if below.contains(['+', '#', '\0']) => None,
            Attack::Topic(below, bytes) => Some((format!("arcticd/test/head/{below}"), bytes)),
            Attack::TooLarge(content, bytes) => Some((topic(content), vec![b'x'; bytes.min(12 << 20)])),
        };
        if let Some((topic, bytes)) = at {
            subscriber.publish(&topic, number % 2 == 0, &bytes).unwrap();
            sent += 1;
        }
    }
    // Behind all of them, on the same connections: the true head, and an alert.
    let since = subscriber.messages().len();
    parts::heads::offer(&subscriber, &true_one);
    parts::heads::pieces(&subscriber, &true_one, 0..testkit::head::signed::pieces(&true_one).len() as u32);
    let trial = wait_step(&subscriber, FLOOR + 1, Step::Trial);
    assert_eq!(trial.head.origin, "pushed");
    let report = wait_report(&subscriber, since, |report| report.refused.count >= 16);
    world.drop_frame("bear.jpg", &bear(1)).unwrap();
    wait_detections(&subscriber, 1);
    let health = wait_health(&subscriber, |health| health["counters"]["acknowledged"] == 1);
    assert_eq!(health["counters"]["connections"], 1, "{health}");
    println!("{sent} mutations sent, {} counted as refused", report.refused.count);
}
