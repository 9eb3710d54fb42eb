//! Frames that say nothing wait in memory and are written together: what is written of a frame is a few hundred bytes, but pages
//! are what goes to the flash.
//!
//! Nobody was told of them, so a power cut costs only that they are looked at again. They are written with the next transaction
//! of the pipeline, whatever that is for; when there are many; when the first of them has waited long enough; and at the end.
//! Long enough is less for the first that a process looks at, and where more frames wait to be looked at: a trap whose power is
//! cut before that time is over, again and again, would look at the same ones for ever, and never get to those behind them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{FrameRow, Journal, JournalError, Known, Transaction};
use crate::frame::ContentHash;
use crate::watch::Stamp;

/// So many wait at most: after a death it is not long until they are looked at again.
const MOST: usize = 64;
/// So long they wait at most while there is more to look at, and those that a process looks at first.
const BUSY: Duration = Duration::from_secs(30);

/// What waits, and since when.
#[derive(Debug, Default)]
pub(super) struct Held {
    entries: Vec<Entry>,
    since: Option<Instant>,
    longest: Duration,
    // Some that waited were written.
    begun: bool,
    names: HeldNames,
}

/// Files among them, for the watch: to it they are seen.
#[derive(Debug, Default, Clone)]
pub(super) struct HeldNames(Arc<Mutex<HashMap<String, Stamp>>>);

#[derive(Debug)]
struct Entry {
    hash: ContentHash,
    name: String,
    stamp: Stamp,
    // None: a file whose frame is known.
    frame: Option<Row>,
}

/// [`FrameRow`], kept.
#[derive(Debug)]
struct Row {
    camera: Option<String>,
    captured_at: Option<i64>,
    failed: Option<String>,
    verdict: Option<(String, f32)>,
    head: Option<String>,
    processed_at: String,
}

impl HeldNames {
    /// Whether the file of this name waits, with this stamp.
    pub fn hold(&self, name: &str, stamp: &Stamp) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name) == Some(stamp)
    }
}

impl Held {
    pub fn names(&self) -> HeldNames {
        self.names.clone()
    }

    /// What is known of a frame that waits.
    pub fn known(&self, hash: &ContentHash) -> Option<Known> {
        let frame = self.entries.iter().filter(|entry| entry.hash == *hash).find_map(|entry| entry.frame.as_ref())?;
        Some(if frame.failed.is_some() { Known::Failed } else { Known::Done })
    }

    /// Adds all to `transaction`; they wait until [`Held::written`].
    pub fn write(&self, transaction: &mut Transaction) -> Result<(), JournalError> {
        for Entry { hash, name, stamp, frame } in &self.entries {
            if let Some(row) = frame {
                transaction.put_frame(hash, &row.of(name))?;
            }
            transaction.note_file(name, stamp, hash)?;
        }
        Ok(())
    }

    /// They are on disk.
    pub fn written(&mut self) {
        self.begun |= !self.entries.is_empty();
        self.entries.clear();
        self.since = None;
        // Last: who does not find a name here finds it on disk.
        self.names.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn push(&mut self, entry: Entry) {
        self.since.get_or_insert_with(Instant::now);
        let mut names = self.names.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(entry.name.clone(), entry.stamp);
        self.entries.push(entry);
    }
}

impl Row {
    fn of<'a>(&'a self, name: &'a str) -> FrameRow<'a> {
        FrameRow {
            name,
            camera: self.camera.as_deref(),
            captured_at: self.captured_at,
            failed: self.failed.as_deref(),
            verdict: self.verdict.as_ref().map(|(label, confidence)| (label.as_str(), *confidence)),
            alert: false,
            head: self.head.as_deref(),
            processed_at: &self.processed_at,
        }
    }

    fn from(row: &FrameRow) -> Self {
        Self {
            camera: row.camera.map(str::to_owned),
            captured_at: row.captured_at,
            failed: row.failed.map(str::to_owned),
            verdict: row.verdict.map(|(label, confidence)| (label.to_owned(), confidence)),
            head: row.head.map(str::to_owned),
            processed_at: row.processed_at.to_owned(),
        }
    }
}

impl Journal {
    /// Lets frames that say nothing wait so long at most; zero: each is written at once.
    pub fn hold_for(&mut self, longest: Duration) {
        self.held.longest = longest;
    }

    /// Marks a frame that says nothing as dealt with, and the file `name` as holding it, to be written in a while.
    ///
    /// # Errors
    /// [`JournalError::Database`]: those that wait can't be written, and this one was not added to them.
    pub fn put_silent(&mut self, hash: &ContentHash, row: &FrameRow, stamp: &Stamp) -> Result<(), JournalError> {
        self.add(Entry { hash: *hash, name: row.name.to_owned(), stamp: *stamp, frame: Some(Row::from(row)) })
    }

    /// Notes that the file `name` holds a frame that is known already: a copy, or a card put in again.
    ///
    /// # Errors
    /// As [`Journal::put_silent`].
    pub fn note_copy(&mut self, name: &str, stamp: &Stamp, hash: &ContentHash) -> Result<(), JournalError> {
        self.add(Entry { hash: *hash, name: name.to_owned(), stamp: *stamp, frame: None })
    }

    /// When what waits is to be written by [`Journal::settle`], given whether more frames wait to be looked at; none: nothing
    /// waits.
    pub fn settle_in(&self, busy: bool) -> Option<Duration> {
        let soon = busy || !self.held.begun;
        let longest = if soon { self.held.longest.min(BUSY) } else { self.held.longest };
        self.held.since.map(|since| longest.saturating_sub(since.elapsed()))
    }

    fn add(&mut self, entry: Entry) -> Result<(), JournalError> {
        if self.held.longest.is_zero() {
            return self.lazily(|transaction| {
                if let Some(row) = &entry.frame {
                    transaction.put_frame(&entry.hash, &row.of(&entry.name))?;
                }
                transaction.note_file(&entry.name, &entry.stamp, &entry.hash)
            });
        }
        // Before it is taken in: what can't be written is not done.
        if self.held.entries.len() >= MOST {
            self.lazily(|_| Ok(()))?;
        }
        self.held.push(entry);
        Ok(())
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
