//! Whatever a power cut leaves of the folder of heads: the trap starts, a head that was proven serves, and nothing that was
//! promised is taken back.
//!
//! The real acceptor walks heads in once, under strace. Then each seed cuts that walk off after some call, loses what was
//! not synced by then, whole or in part, and lets the acceptor start on what is left, the journal included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::fs::File;
use std::io::Write;
use std::path::Path;

use arcticd::accept::ask::What;
use arcticd::accept::{Ask, Content, Kind, Step};
use arcticd::heads::Bundle;
use fastrand::Rng;
use parts::acceptor::Trap;
use parts::cuts::{self, Noted, Walk, in_memory, walk_here};
use parts::trace::Call;
use serde::{Deserialize, Serialize};
use testkit::head::signed::{self, Maker, Mind};
use testkit::mutate::{Attack, steady};

const NAME: &str = "a_power_cut_at_any_call_leaves_a_proven_head_in_service_and_takes_no_promise_back";
/// Sequence of the head that comes in after each cut.
const LATER: u64 = 50;

/// What the trap has told the world.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Promise {
    /// No head up to this one is taken any more.
    floor: u64,
    /// Sequence of the head in service.
    serves: u64,
    /// A head that was acknowledged whole and is under way.
    taken: Option<u64>,
    /// Lines of the trail in the journal.
    trail: usize,
}

/// The head that serves first.
fn configured() -> Bundle {
    steady(&Maker::new().unwrap(), 0.7, 0).unwrap()
}

/// Walks heads in, in the folder that the environment names; a note after each thing that was told.
#[test]
#[ignore = "the other test runs it, under strace"]
fn the_walk() {
    let base = walk_here();
    let maker = Maker::new().unwrap();
    Trap::prepare(&maker, &base);
    std::fs::write(base.join("later.head"), signed::file(&steady(&maker, 0.6, LATER).unwrap()).unwrap()).unwrap();
    let mut notes = File::create_new(base.join("notes")).unwrap();
    let mut trap = Trap::resume(&base, &configured());
    let mut note = |trap: &Trap| {
        let report = trap.report.as_ref().unwrap();
        let under_way = report.offer.as_ref().filter(|offer| offer.state == Step::Trial);
        let promise = Promise {
            floor: report.floor,
            serves: report.active.sequence,
            taken: under_way.map(|offer| offer.head.sequence),
            trail: trap.trail(),
        };
        notes.write_all(&serde_json::to_vec(&promise).unwrap()).unwrap();
    };
    let large = |sequence| maker.head(&Mind::Large(parts::head().to_owned(), 12_000), sequence, |_| {}).unwrap();

    // Whole.
    trap.set(&steady(&maker, 0.8, 5).unwrap());
    note(&trap);
    trap.look();
    note(&trap);
    // In pieces, the last ones first.
    let sixth = large(6);
    let pieces = signed::pieces(&sixth).len();
    trap.offer(&sixth);
    note(&trap);
    trap.pieces(&sixth, (0..pieces).rev());
    note(&trap);
    trap.look();
    note(&trap);
    // One that is awaited beside one on trial, and takes its place.
    let eighth = large(8);
    trap.set(&steady(&maker, 0.9, 7).unwrap());
    note(&trap);
    trap.offer(&eighth);
    note(&trap);
    trap.pieces(&eighth, 0..pieces);
    note(&trap);
    trap.look();
    note(&trap);
    // Out of service for ever, so that the one before serves again.
    let what = What::Forget(vec![signed::offer(&eighth).unwrap().id()]);
    let ask = maker.ask(&Ask { audience: Vec::new(), sequence: 1, what }).unwrap();
    trap.send(&Attack::Message(Content::Ask(Kind::Forget), ask));
    note(&trap);
    trap.set(&steady(&maker, 0.85, 9).unwrap());
    note(&trap);
    trap.look();
    note(&trap);
    trap.stop();
}

/// The walk, and what a trap needs beside its state.
struct Way {
    walk: Walk,
    configured: Bundle,
}

impl Way {
    /// Cuts the walk where `seed` says, and looks what becomes of the trap.
    fn cut(&self, noted: &Noted<Promise>, seed: u64) -> Result<(), String> {
        let mut dice = Rng::with_seed(seed);
        let upto = dice.usize(..=noted.calls.len());
        let before = noted.before(upto).last().cloned().unwrap_or_default();
        let after = noted.next(upto).cloned().unwrap_or_else(|| before.clone());

        let root = in_memory();
        std::fs::create_dir(root.path().join("keys")).unwrap();
        for key in std::fs::read_dir(self.walk.root().join("keys")).unwrap().flatten() {
            std::fs::copy(key.path(), root.path().join("keys").join(key.file_name())).unwrap();
        }
        self.walk.lay(&noted.calls, upto, &mut dice, &root.path().join("state"));
        let found = |what: String| Err(format!("cut after call {upto} of {}: {what}", noted.calls.len()));

        let mut trap = Trap::resume(root.path(), &self.configured);
        trap.set_file(b"not a head: the answer comes once the trap has started");
        let serves = trap.seat.judges().proven.head().manifest().sequence;
        if serves != before.serves && serves != after.serves {
            return found(format!("head {serves} serves, promised was {before:?}, then {after:?}"));
        }
        let report = trap.report.clone().unwrap();
        if trap.trail() < before.trail {
            return found(format!("the trail has {} lines, promised was {before:?}", trap.trail()));
        }
        if report.floor < before.floor {
            return found(format!("the floor is {}, promised was {before:?}", report.floor));
        }
        let known = [&report.offer, &report.next].into_iter().flatten().map(|offer| offer.head.sequence).max();
        let kept = |taken: u64| known.is_some_and(|known| known >= taken) || report.active.sequence >= taken;
        if before.taken.is_some() && after.taken == before.taken && !before.taken.is_some_and(kept) {
            return found(format!("an acknowledged head is gone: {before:?}, {report:?}"));
        }
        // Not stuck: a later head comes in and serves.
        trap.set_file(&std::fs::read(self.walk.root().join("later.head")).unwrap());
        if trap.step() != Some(Step::Trial) {
            return found(format!("a later head is not tried: {:?}", trap.report));
        }
        trap.look();
        let serves = trap.seat.judges().proven.head().manifest().sequence;
        trap.stop();
        let heads = std::fs::read_dir(root.path().join("state/heads")).unwrap().flatten();
        let left = heads.filter(|file| file.path().extension().is_some_and(|it| it == "part")).count();
        if left > 0 {
            return found(format!("{left} half written files stay for good"));
        }
        if serves == LATER { Ok(()) } else { found(format!("head {serves} serves, not the later one")) }
    }
}

#[test]
fn a_power_cut_at_any_call_leaves_a_proven_head_in_service_and_takes_no_promise_back() {
    let way = match Walk::make("the_walk") {
        Ok(walk) => Way { walk, configured: configured() },
        Err(reason) => return parts::skip(NAME, reason),
    };
    let noted = Noted::<Promise>::of(way.walk.calls.clone());
    assert_eq!(noted.all().len(), 12, "the trace tells all that was promised");
    for call in &way.walk.calls {
        // A power cut would leave neither the old bytes nor the new ones.
        assert!(!matches!(call, Call::Truncate(path) if is_in_heads(path)), "written in its place: {call:?}");
    }
    cuts::make_all(|seed| way.cut(&noted, seed));

    // It can fail: on a disk that syncs no files, or no folders, promises are broken. Files are written as `.NAME.part`.
    let is_file = |path: &Path| path.extension().is_some_and(|extension| extension == "part");
    let is_folder = |path: &Path| path.extension().is_none();
    for (what, calls) in [("files", way.walk.without(is_file)), ("folders", way.walk.without(is_folder))] {
        let noted = Noted::of(calls);
        let broken = cuts::make(1..41, &|seed| way.cut(&noted, seed)).len();
        println!("without syncs of {what}, {broken} of 40 cuts break a promise");
        assert!(broken > 0, "a disk that syncs no {what} is not noticed");
    }
}

fn is_in_heads(path: &Path) -> bool {
    path.iter().any(|name| name == "heads")
}
