//! Looks at every frame once: one thread reads in the order of the paths, as cards like it, others classify.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Result;
use time::OffsetDateTime;

use super::record::{Common, Record};
use super::{Copy, Failure};
use crate::classifier::{Classifier, FileFacts};
use crate::detection::Detection;
use crate::frame::{ContentHash, Format};
use crate::pipeline::{FileRead, camera, read};
use crate::quantize::Progress;
use crate::watch::relative_name;

/// What came of a card.
#[derive(Debug, Default)]
pub struct Looked {
    /// Classified frames, each content once.
    pub records: Vec<Record>,
    /// What they share.
    pub common: Common,
    /// Files that are no frames, each with its reason.
    pub failures: Vec<Failure>,
    /// Files whose content was met before under another name.
    pub copies: Vec<Copy>,
}

/// What came of one file.
#[derive(Debug)]
pub enum Seen {
    /// A frame.
    Frame {
        /// Its message.
        detection: Box<Detection>,
        /// Capture time for order and grouping, seconds since 1970.
        at: i64,
        /// By its first bytes.
        format: Format,
    },
    /// No frame.
    Failed(Failure),
    /// The content of a file that came before.
    Copy(Copy),
}

impl Looked {
    /// Takes in what came of one file.
    ///
    /// # Errors
    /// It was read from somewhere, and is no frame's.
    pub fn take(&mut self, seen: Seen) -> Result<()> {
        match seen {
            Seen::Frame { detection, at, format } => {
                let hash: ContentHash = detection.frame.sha256.parse()?;
                self.records.push(self.common.pack(*detection, at, hash, format));
            }
            Seen::Failed(failure) => self.failures.push(failure),
            Seen::Copy(copy) => self.copies.push(copy),
        }
        Ok(())
    }

    /// Puts everything into the order in which it is told.
    pub fn sort(&mut self) {
        // The hash too: names that are no UTF-8 may look alike.
        self.records
            .sort_unstable_by(|a, b| (a.at, &a.name, a.hash.as_bytes()).cmp(&(b.at, &b.name, b.hash.as_bytes())));
        self.failures.sort_unstable_by(|a, b| (&a.name, &a.reason, a.modified).cmp(&(&b.name, &b.reason, b.modified)));
        self.copies.sort_unstable_by(|a, b| (&a.name, a.of.as_bytes()).cmp(&(&b.name, b.of.as_bytes())));
    }
}

struct Job {
    place: usize,
    name: String,
    file: FileRead,
}

/// Classifies frames, each with its place among all, on `workers` threads until all are done or `stop` is set; what is in
/// work then is finished. Each is handed to `take`, in the order in which they are done. Which of several copies is the
/// frame does not depend on the number of threads: the first by its path. Whether it was stopped before the end.
///
/// # Errors
/// Those of `take`; the rest is then not looked at.
pub fn at(
    classifier: &Classifier,
    root: &Path,
    files: &[(usize, PathBuf)],
    workers: usize,
    stop: &AtomicBool,
    progress: &Progress,
    take: &mut dyn FnMut(usize, Seen) -> Result<()>,
) -> Result<bool> {
    let mut done = 0;
    thread::scope(|scope| {
        // Files wait in memory whole: a few, not the card.
        let (jobs, todo) = sync_channel::<Job>(workers);
        let (answers, answered) = sync_channel::<(usize, Seen)>(2 * workers);
        let todo = Arc::new(Mutex::new(todo));
        for _ in 0..workers {
            let (todo, answers) = (todo.clone(), answers.clone());
            scope.spawn(move || work(classifier, &todo, &answers));
        }
        drop(todo);
        scope.spawn(move || read_all(classifier, root, files, &jobs, &answers, stop));
        for (place, seen) in answered {
            done += 1;
            progress.show("frames", done, files.len());
            take(place, seen)?;
        }
        anyhow::Ok(())
    })?;
    let interrupted = done < files.len();
    if interrupted {
        progress.show("frames", 1, 1);
    }
    Ok(interrupted)
}

/// Reads the files in order and tells copies.
fn read_all(
    classifier: &Classifier,
    root: &Path,
    files: &[(usize, PathBuf)],
    jobs: &SyncSender<Job>,
    answers: &SyncSender<(usize, Seen)>,
    stop: &AtomicBool,
) {
    let mut known = HashSet::new();
    for (place, path) in files {
        let place = *place;
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = relative_name(root, path);
        let sent = match read(path, classifier.limits().max_bytes) {
            Err(error) => {
                let reason = format!("the file can't be read: {error}");
                let modified = path.metadata().and_then(|metadata| metadata.modified()).ok().map(Into::into);
                answers.send((place, Seen::Failed(Failure::of_file(name, reason, modified, None)))).is_ok()
            }
            Ok(file) if !known.insert(file.hash) => {
                answers.send((place, Seen::Copy(Copy { name, of: file.hash }))).is_ok()
            }
            Ok(file) => jobs.send(Job { place, name, file }).is_ok(),
        };
        if !sent {
            return;
        }
    }
}

/// Classifies until there is nothing more to do.
fn work(classifier: &Classifier, todo: &Mutex<Receiver<Job>>, answers: &SyncSender<(usize, Seen)>) {
    loop {
        let job = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { place, name, file }) = job else { return };
        let started = Instant::now();
        let facts = FileFacts { name: &name, camera: camera(&name), modified: file.modified };
        let failed =
            |reason: String| Seen::Failed(Failure::of_file(name.clone(), reason, Some(file.modified), Some(file.hash)));
        let look = classifier.classify(&file.bytes, &file.hash, &facts, OffsetDateTime::now_utc());
        let seen = match look.classified {
            Ok(mut classified) => {
                classified.detection.latency_ms = started.elapsed().as_millis() as u64;
                // What was decoded has a format.
                match Format::of(&file.bytes) {
                    Ok(format) => Seen::Frame { detection: Box::new(classified.detection), at: classified.at, format },
                    Err(error) => failed(error.to_string()),
                }
            }
            Err(error) => failed(error.to_string()),
        };
        if answers.send((place, seen)).is_err() {
            return;
        }
    }
}
