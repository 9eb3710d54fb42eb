//! A walk of the real thing under strace, and power cuts after any of its calls.
//!
//! `cargo xtask cuts` runs as many as one likes; `ARCTICD_CUTS` and `ARCTICD_CUT_SEED` are how it asks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::disk::Disk;
use super::trace::{self, Call};

/// Where the walk is made, told to the process that makes it: in its folder `state`, with notes in the file `notes`.
const WALK: &str = "ARCTICD_WALK";

/// For the test that is the walk.
pub fn walk_here() -> PathBuf {
    PathBuf::from(std::env::var(WALK).expect("the other test runs this one, under strace"))
}

/// A walk, as the disk saw it.
pub struct Walk {
    base: TempDir,
    pub calls: Vec<Call>,
}

impl Walk {
    /// Runs the ignored test `walk` of this program; none, with the reason, where nothing can be traced.
    pub fn make(walk: &str) -> Result<Self, &'static str> {
        let runs = |program: &mut Command| program.output().is_ok_and(|output| output.status.success());
        if !runs(Command::new("strace").args(["-qq", "-o", "/dev/null", "true"])) {
            return Err("it needs strace, and to be allowed to trace");
        }
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
            "100000000",
            "-e",
            "signal=none",
            "-e",
            trace::CALLS,
            "-o",
        ]);
        strace.arg(traces.join("call")).arg(std::env::current_exe().unwrap());
        strace.args(["--exact", walk, "--ignored", "--test-threads", "1"]).env(WALK, &root);
        let output = strace.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let calls = trace::read(&traces, &root.join("state"), &root.join("notes"));
        std::fs::remove_dir_all(traces).unwrap();
        Ok(Self { base, calls })
    }

    /// Where the walk was made.
    pub fn root(&self) -> PathBuf {
        self.base.path().join("walk")
    }

    /// The calls of the same walk on a disk that is not told to sync what `left_out` says.
    pub fn without(&self, left_out: impl Fn(&Path) -> bool) -> Vec<Call> {
        let stays = |call: &&Call| !matches!(call, Call::Sync(path) if left_out(path));
        let calls: Vec<Call> = self.calls.iter().filter(stays).cloned().collect();
        assert!(calls.len() < self.calls.len(), "nothing of that was synced");
        calls
    }

    /// Lays out in the folder `into` what the disk may hold after the first `upto` of `calls`.
    pub fn lay(&self, calls: &[Call], upto: usize, dice: &mut Rng, into: &Path) {
        let mut disk = Disk::new(&self.root().join("state"));
        calls[..upto].iter().for_each(|call| disk.play(call));
        disk.cut(dice, into);
    }
}

/// Calls, and what was noted among them.
pub struct Noted<T> {
    pub calls: Vec<Call>,
    places: Vec<usize>,
    notes: Vec<T>,
}

impl<T: DeserializeOwned> Noted<T> {
    pub fn of(calls: Vec<Call>) -> Self {
        let notes = calls.iter().enumerate().filter_map(|(place, call)| match call {
            Call::Note(bytes) => Some((place, serde_json::from_slice(bytes).unwrap())),
            _ => None,
        });
        let (places, notes) = notes.unzip();
        Self { calls, places, notes }
    }

    /// What was noted within the first `upto` calls.
    pub fn before(&self, upto: usize) -> &[T] {
        &self.notes[..self.places.partition_point(|place| *place < upto)]
    }

    /// What is noted next.
    pub fn next(&self, upto: usize) -> Option<&T> {
        self.notes.get(self.before(upto).len())
    }

    pub fn all(&self) -> &[T] {
        &self.notes
    }

    /// A place to cut: each step between two notes as often as another, however many calls it makes.
    pub fn place(&self, dice: &mut Rng) -> usize {
        let step = dice.usize(..=self.places.len());
        let from = step.checked_sub(1).map_or(0, |last| self.places[last] + 1);
        dice.usize(from..=self.places.get(step).copied().unwrap_or(self.calls.len()))
    }
}

/// Makes the cuts that were asked for on all threads of the machine; panics with some of what went wrong.
pub fn make_all(cut: impl Fn(u64) -> Result<(), String> + Sync) {
    let (first, count) = (setting("ARCTICD_CUT_SEED", 1), setting("ARCTICD_CUTS", 500));
    let failed = make(first..first + count, &cut);
    println!("tally: injected={count} unrecoverable={}", failed.len());
    assert!(failed.is_empty(), "{} of {count}:\n{}", failed.len(), failed[..failed.len().min(5)].join("\n"));
}

/// What goes wrong after the cuts of these seeds.
pub fn make(seeds: std::ops::Range<u64>, cut: &(impl Fn(u64) -> Result<(), String> + Sync)) -> Vec<String> {
    let next = AtomicU64::new(seeds.start);
    let work = || -> Vec<String> {
        let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|it| seeds.contains(it));
        let looked = |seed| match catch_unwind(AssertUnwindSafe(|| cut(seed))) {
            Ok(result) => result.err(),
            Err(panic) => Some(format!("panic: {}", panic.downcast_ref::<String>().map_or("?", String::as_str))),
        };
        seeds.filter_map(|seed| looked(seed).map(|what| format!("seed {seed}: {what}"))).collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// A folder where syncs cost nothing, if there is one.
pub fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()) } else { tempfile::tempdir() }
        .unwrap()
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}
