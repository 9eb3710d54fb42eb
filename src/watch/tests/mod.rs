//! The watch with real directories and real events. Waiting is always for something, with a limit that only a broken
//! watch reaches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arrival;
mod flow;
mod root;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use std::{fs, thread};

use tempfile::TempDir;

use super::rounds::Timing;
use super::{Candidate, Queue, Report, Seen, Settings, Stamp, Watch, start_timed};

/// Only a broken watch takes this long.
const LIMIT: Duration = Duration::from_secs(60);
/// For settings that must play no part in a test.
const NEVER: Duration = Duration::from_secs(3_600);

/// Stands for the journal.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<HashSet<(String, Stamp)>>>);

impl Seen for Journal {
    fn is_seen(&mut self, name: &str, stamp: &Stamp) -> bool {
        self.0.lock().unwrap().contains(&(name.to_owned(), *stamp))
    }
}

#[derive(Default)]
struct Reports {
    all: Mutex<Vec<Report>>,
    changed: Condvar,
}

impl Reports {
    fn add(&self, report: Report) {
        self.all.lock().unwrap().push(report);
        self.changed.notify_all();
    }

    /// Waits until `count` reports are as wanted.
    fn wait(&self, count: usize, wanted: impl Fn(&Report) -> bool) {
        let seen = |all: &Vec<Report>| all.iter().filter(|report| wanted(report)).count();
        let all = self.all.lock().unwrap();
        let (all, _) = self.changed.wait_timeout_while(all, LIMIT, |all| seen(all) < count).unwrap();
        assert!(seen(&all) >= count, "waited in vain, but saw {all:?}");
    }

    fn count(&self, wanted: impl Fn(&Report) -> bool) -> usize {
        self.all.lock().unwrap().iter().filter(|report| wanted(report)).count()
    }
}

/// A capture directory `captures` inside a temporary one.
struct Trap {
    home: TempDir,
    root: PathBuf,
    queue: Arc<Queue>,
    journal: Journal,
    reports: Arc<Reports>,
    watch: Option<Watch>,
    settings: Settings,
    timing: Timing,
}

impl Trap {
    /// Not watching yet. Settles fast; scans and polls never, until a test says so.
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("captures");
        fs::create_dir(&root).unwrap();
        let settings = Settings {
            directory: root.clone(),
            poll: false,
            settle: Duration::from_millis(200),
            reconcile: NEVER,
            fresh: Duration::ZERO,
        };
        let soon = Duration::from_millis(50);
        let timing =
            Timing { poll: soon, root_check: soon, tick: soon, second_look: soon, retry: soon, ..Timing::default() };
        let (queue, journal, reports) = (Arc::new(Queue::new()), Journal::default(), Arc::default());
        Self { home, root, queue, journal, reports, watch: None, settings, timing }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Starts to watch, without waiting for anything.
    fn start(&mut self) {
        let reports = Arc::clone(&self.reports);
        let report = move |report| reports.add(report);
        let (settings, timing) = (self.settings.clone(), self.timing.clone());
        self.watch =
            Some(start_timed(settings, timing, self.journal.clone(), Arc::clone(&self.queue), report).unwrap());
    }

    /// Starts to watch and waits for the first scan: what is written now comes by events.
    fn watching(mut self) -> Self {
        self.start();
        self.wait_scans(1);
        self
    }

    fn wait_scans(&self, count: usize) {
        self.reports.wait(count, |report| matches!(report, Report::ScanDone { complete: true, .. }));
    }

    fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A capture directory with one file appears where none is, in one step.
    fn appear(&self, name: &str) {
        let made = self.home.path().join("made");
        fs::create_dir(&made).unwrap();
        fs::write(made.join(name), b"frame").unwrap();
        fs::rename(&made, &self.root).unwrap();
    }

    /// The next settled file, recorded and done.
    fn take(&self) -> Candidate {
        let Some(candidate) = self.queue.pop(LIMIT) else {
            panic!("no frame came, but reports: {:?}", self.reports.all.lock().unwrap());
        };
        self.finish(&candidate);
        candidate
    }

    /// Records a candidate and gives its path free, as a worker does.
    fn finish(&self, candidate: &Candidate) {
        self.journal.0.lock().unwrap().insert((candidate.name.clone(), candidate.stamp));
        self.queue.done(candidate);
    }

    /// That no file settles, for a few times the settling time.
    fn assert_nothing_comes(&self) {
        let patience = (self.settings.settle * 2).min(Duration::from_secs(4)) + Duration::from_millis(400);
        let candidate = self.queue.pop(patience);
        assert_eq!(candidate, None);
    }

    /// Takes exactly these, in any order, and nothing more.
    fn assert_comes_once(&self, names: impl IntoIterator<Item = String>) {
        let mut expected: HashSet<String> = names.into_iter().collect();
        while !expected.is_empty() {
            let name = self.take().name;
            assert!(expected.remove(&name), "{name:?} came twice or was not expected");
        }
        self.assert_nothing_comes();
    }
}
