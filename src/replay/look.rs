//! Looks at every frame once: one thread reads in the order of the paths, as cards like it, others classify.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use time::OffsetDateTime;

use super::card::Card;
use super::record::{Common, Record};
use super::{Copy, Failure};
use crate::classifier::{Classified, Classifier, FileFacts};
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
    /// Told to stop before the end; the rest was not looked at.
    pub interrupted: bool,
    /// Files looked at, copies and failures included.
    pub files: usize,
}

enum Answer {
    Classified(Box<Classified>, ContentHash, Format),
    Failed(Failure),
    Copy(Copy),
}

struct Job {
    name: String,
    file: FileRead,
}

/// Classifies the frames of a card on `workers` threads until all are done or `stop` is set; what is in work then is
/// finished. Which of several copies is the frame does not depend on the number of threads: the first by its path.
pub fn at(
    classifier: &Classifier,
    root: &Path,
    card: Card,
    workers: usize,
    stop: &AtomicBool,
    progress: &Progress,
) -> Looked {
    let Card { frames, failures, .. } = card;
    let mut looked = Looked { failures, ..Looked::default() };
    thread::scope(|scope| {
        // Files wait in memory whole: a few, not the card.
        let (jobs, todo) = sync_channel::<Job>(workers);
        let (answers, answered) = sync_channel::<Answer>(2 * workers);
        let todo = Arc::new(Mutex::new(todo));
        for _ in 0..workers {
            let (todo, answers) = (todo.clone(), answers.clone());
            scope.spawn(move || work(classifier, &todo, &answers));
        }
        drop(todo);
        let files = &frames;
        scope.spawn(move || read_all(classifier, root, files, &jobs, &answers, stop));
        for answer in answered {
            looked.files += 1;
            progress.show("frames", looked.files, frames.len());
            match answer {
                Answer::Classified(classified, hash, format) => {
                    looked.records.push(looked.common.pack(*classified, hash, format));
                }
                Answer::Failed(failure) => looked.failures.push(failure),
                Answer::Copy(copy) => looked.copies.push(copy),
            }
        }
    });
    looked.interrupted = looked.files < frames.len();
    if looked.interrupted {
        progress.show("frames", 1, 1);
    }
    looked.records.sort_unstable_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
    looked.failures.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    looked.copies.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    looked
}

/// Reads the files in order and tells copies.
fn read_all(
    classifier: &Classifier,
    root: &Path,
    files: &[PathBuf],
    jobs: &SyncSender<Job>,
    answers: &SyncSender<Answer>,
    stop: &AtomicBool,
) {
    let mut known = HashSet::new();
    for path in files {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = relative_name(root, path);
        let sent = match read(path, classifier.limits().max_bytes) {
            Err(error) => {
                let reason = format!("the file can't be read: {error}");
                let modified = path.metadata().and_then(|metadata| metadata.modified()).ok().map(Into::into);
                answers.send(Answer::Failed(Failure::of_file(name, reason, modified, None))).is_ok()
            }
            Ok(file) if !known.insert(file.hash) => answers.send(Answer::Copy(Copy { name, of: file.hash })).is_ok(),
            Ok(file) => jobs.send(Job { name, file }).is_ok(),
        };
        if !sent {
            return;
        }
    }
}

/// Classifies until there is nothing more to do.
fn work(classifier: &Classifier, todo: &Mutex<Receiver<Job>>, answers: &SyncSender<Answer>) {
    loop {
        let job = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { name, file }) = job else { return };
        let started = Instant::now();
        let facts = FileFacts { name: &name, camera: camera(&name), modified: file.modified };
        let failed = |reason: String| {
            Answer::Failed(Failure::of_file(name.clone(), reason, Some(file.modified), Some(file.hash)))
        };
        let look = classifier.classify(&file.bytes, &file.hash, &facts, OffsetDateTime::now_utc());
        let answer = match look.classified {
            Ok(mut classified) => {
                classified.detection.latency_ms = started.elapsed().as_millis() as u64;
                // What was decoded has a format.
                match Format::of(&file.bytes) {
                    Ok(format) => Answer::Classified(Box::new(classified), file.hash, format),
                    Err(error) => failed(error.to_string()),
                }
            }
            Err(error) => failed(error.to_string()),
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}
