//! Asks the kernel for file events, one directory at a time.
//!
//! Not notify's recursive mode: it adds a watch only after a new directory may hold files already, gives up on the whole
//! tree at the first unreadable directory, and says nothing about either.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::hints::Hints;

/// The kernel's event queue of this process.
pub(super) struct Events {
    watcher: Option<RecommendedWatcher>,
}

/// Why a directory is not watched.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It vanished, or is no directory any more.
    Gone,
    /// This directory cannot be watched.
    Directory(String),
    /// No further directory can be watched.
    Exhausted(String),
}

impl Events {
    /// Opens the queue; what comes out of it goes to `hints`.
    pub(super) fn open(hints: Arc<Hints>) -> Result<Self, String> {
        let watcher = notify::recommended_watcher(move |event| hints.on_event(event));
        Ok(Self { watcher: Some(watcher.map_err(|error| error.to_string())?) })
    }

    /// Watches the files in one directory. Doing so again is harmless, and heals a watch lost to a race.
    pub(super) fn watch(&mut self, directory: &Path) -> Result<(), Refusal> {
        let Some(watcher) = &mut self.watcher else {
            return Err(Refusal::Exhausted("the event thread has ended".into()));
        };
        // notify panics here when its own thread could not be started or has died.
        let answer = catch_unwind(AssertUnwindSafe(|| watcher.watch(directory, RecursiveMode::NonRecursive)));
        let Ok(answer) = answer else {
            // Its destructor would panic too.
            std::mem::forget(self.watcher.take());
            return Err(Refusal::Exhausted("the event thread has ended".into()));
        };
        answer.map_err(|error| match &error.kind {
            ErrorKind::PathNotFound => Refusal::Gone,
            ErrorKind::MaxFilesWatch => Refusal::Exhausted(error.to_string()),
            ErrorKind::Io(cause) => match cause.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Refusal::Gone,
                io::ErrorKind::OutOfMemory => Refusal::Exhausted(error.to_string()),
                _ => Refusal::Directory(cause.to_string()),
            },
            _ => Refusal::Directory(error.to_string()),
        })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let watcher = self.watcher.take();
        // As above: the destructor sends to a thread that may be gone. Nothing is left to save then.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(watcher)));
    }
}
