//! Whatever a power cut leaves of the folder of heads: the trap starts, a head that was proven serves, and nothing that was
//! promised is taken back.
//!
//! The real acceptor walks heads in once, under strace. Then each seed cuts that walk off after some call, loses what was
//! not synced by then, whole or in part, and lets the acceptor start on what is left.
//! `cargo xtask cuts` runs as many as one likes; `ARCTICD_CUTS` and `ARCTICD_CUT_SEED` are how it asks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use arcticd::accept::ask::What;
use arcticd::accept::{Ask, Content, Kind, Step};
use arcticd::heads::Bundle;
use fastrand::Rng;
use parts::acceptor::Trap;
use parts::disk::{self, Call, Disk};
use serde::{Deserialize, Serialize};
use testkit::head::signed::{self, Maker, Mind};
use testkit::mutate::{Attack, steady};

const NAME: &str = "a_power_cut_at_any_call_leaves_a_proven_head_in_service_and_takes_no_promise_back";
/// Where the walk is made, told to the process that makes it.
const WALK: &str = "ARCTICD_WALK";
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
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// The head that serves first.
fn configured() -> Bundle {
    steady(&Maker::new().unwrap(), 0.7, 0).unwrap()
}

/// Walks heads in, in the folder that the environment names; a note after each thing that was told.
#[test]
#[ignore = "the other test runs it, under strace"]
fn the_walk() {
    let base = PathBuf::from(std::env::var(WALK).unwrap());
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

/// A walk, as the disk saw it.
struct Walk {
    base: tempfile::TempDir,
    calls: Vec<Call>,
    configured: Bundle,
}

impl Walk {
    fn make() -> Self {
        let base = tempfile::tempdir().unwrap();
        let (root, traces) = (base.path().join("walk"), base.path().join("traces"));
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(&traces).unwrap();
        let mut strace = Command::new("strace");
        strace.args([
            "-qq",
            "-ff",
            "-ttt",
            "-y",
            "-xx",
            "-s",
            "10000000",
            "-e",
            "signal=none",
            "-e",
            disk::CALLS,
            "-o",
        ]);
        strace.arg(traces.join("call")).arg(std::env::current_exe().unwrap());
        strace.args(["--exact", "the_walk", "--ignored", "--test-threads", "1"]).env(WALK, &root);
        let output = strace.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let calls = disk::read(&traces, &root.join("state"), &root.join("notes"));
        Self { base, calls, configured: configured() }
    }

    fn root(&self) -> PathBuf {
        self.base.path().join("walk")
    }

    /// The same walk on a disk that is not told to sync what `left_out` says.
    fn without(&self, left_out: impl Fn(&Path) -> bool) -> Vec<Call> {
        let stays = |call: &&Call| !matches!(call, Call::Sync(path) if left_out(path));
        self.calls.iter().filter(stays).cloned().collect()
    }

    /// What goes wrong after the cuts of these seeds.
    fn cuts(&self, calls: &[Call], seeds: std::ops::Range<u64>) -> Vec<String> {
        let next = AtomicU64::new(seeds.start);
        let work = || -> Vec<String> {
            let seeds =
                std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|it| seeds.contains(it));
            seeds.filter_map(|seed| self.cut(calls, seed).err()).collect()
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no cut makes the acceptor panic")).collect()
        })
    }

    /// Cuts the walk of `calls` where `seed` says, and looks what becomes of the trap.
    fn cut(&self, calls: &[Call], seed: u64) -> Result<(), String> {
        let mut dice = Rng::with_seed(seed);
        let upto = dice.usize(..=calls.len());
        let mut disk = Disk::new(&self.root().join("state"));
        calls[..upto].iter().for_each(|call| disk.play(call));
        let promises = |calls: &[Call]| -> Vec<Promise> {
            let notes = calls.iter().filter_map(|call| match call {
                Call::Note(bytes) => Some(serde_json::from_slice(bytes).unwrap()),
                _ => None,
            });
            notes.collect()
        };
        let before = promises(&calls[..upto]).pop().unwrap_or_default();
        let after = promises(&calls[upto..]).first().cloned().unwrap_or_else(|| before.clone());

        let root = in_memory();
        std::fs::create_dir(root.path().join("keys")).unwrap();
        for key in std::fs::read_dir(self.root().join("keys")).unwrap().flatten() {
            std::fs::copy(key.path(), root.path().join("keys").join(key.file_name())).unwrap();
        }
        disk.cut(&mut dice, &root.path().join("state"));
        let found = |what: String| Err(format!("seed {seed}, cut after call {upto} of {}: {what}", calls.len()));

        let mut trap = Trap::resume(root.path(), &self.configured);
        trap.set_file(b"not a head: the answer comes once the trap has started");
        let serves = trap.seat.judges().proven.head().manifest().sequence;
        if serves != before.serves && serves != after.serves {
            return found(format!("head {serves} serves, promised was {before:?}, then {after:?}"));
        }
        let report = trap.report.clone().unwrap();
        if report.floor < before.floor {
            return found(format!("the floor is {}, promised was {before:?}", report.floor));
        }
        let known = [&report.offer, &report.next].into_iter().flatten().map(|offer| offer.head.sequence).max();
        let kept = |taken: u64| known.is_some_and(|known| known >= taken) || report.active.sequence >= taken;
        if before.taken.is_some() && after.taken == before.taken && !before.taken.is_some_and(kept) {
            return found(format!("an acknowledged head is gone: {before:?}, {report:?}"));
        }
        // Not stuck: a later head comes in and serves.
        trap.set_file(&std::fs::read(self.root().join("later.head")).unwrap());
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

/// A folder where syncs cost nothing, if there is one.
fn in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()) } else { tempfile::tempdir() }
        .unwrap()
}

#[test]
fn a_power_cut_at_any_call_leaves_a_proven_head_in_service_and_takes_no_promise_back() {
    let runs = |program: &str| Command::new(program).arg("-V").output().is_ok_and(|it| it.status.success());
    let traces =
        || Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|it| it.success());
    if !runs("strace") || !traces() {
        return parts::skip(NAME, "it needs strace, and to be allowed to trace");
    }
    let walk = Walk::make();
    let notes = walk.calls.iter().filter(|call| matches!(call, Call::Note(_))).count();
    assert_eq!(notes, 12, "the trace tells all that was promised");
    let (first, count) = (setting("ARCTICD_CUT_SEED", 1), setting("ARCTICD_CUTS", 1_000));
    let failed = walk.cuts(&walk.calls, first..first + count);
    assert!(failed.is_empty(), "{} of {count}:\n{}", failed.len(), failed[..failed.len().min(5)].join("\n"));

    // It can fail: on a disk that syncs no files, or no folders, promises are broken. Files are written as `.NAME.part`.
    let is_file = |path: &Path| path.extension().is_some_and(|extension| extension == "part");
    for (what, calls) in [("files", walk.without(is_file)), ("folders", walk.without(|path| !is_file(path)))] {
        assert!(calls.len() < walk.calls.len());
        let broken = walk.cuts(&calls, 1..41).len();
        println!("without syncs of {what}, {broken} of 40 cuts break a promise");
        assert!(broken > 0, "a disk that syncs no {what} is not noticed");
    }
}
