//! One transaction of the pipeline: a frame marked done and its message queued, or neither.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use super::JournalError;
use super::by_content::ByContent;
use crate::detect::{Event, StoredEvent};
use crate::frame::ContentHash;
use crate::watch::Stamp;

/// So many of the latest messages are remembered after they have arrived.
pub(super) const KEPT: i64 = 10_000;
/// Older ones go when so many more have come.
const FORGET_EVERY: i64 = 256;

/// What `frames.alert` is of a frame that alerted and whose message was dropped: 1 for others that alerted, 0 for the rest.
const UNTOLD: i64 = 2;

/// What is remembered of a frame.
#[derive(Debug, Clone, Default)]
pub struct FrameRow<'a> {
    /// Path below the capture directory.
    pub name: &'a str,
    /// First sub-folder.
    pub camera: Option<&'a str>,
    /// Capture time, seconds since 1970.
    pub captured_at: Option<i64>,
    /// Why it failed; absent when it was classified.
    pub failed: Option<&'a str>,
    /// Label and its probability.
    pub verdict: Option<(&'a str, f32)>,
    /// Whether it alerted.
    pub alert: bool,
    /// Name and version of the head.
    pub head: Option<&'a str>,
    /// RFC 3339.
    pub processed_at: &'a str,
}

/// An open transaction; dropped without a commit it leaves no trace.
pub struct Transaction<'a> {
    pub(super) inner: rusqlite::Transaction<'a>,
    file: &'a Path,
    epoch: &'a str,
    max_entries: u64,
    // How old the journal is, in seconds.
    age: u64,
    by_content: &'a ByContent,
    // Numbers of the frames that are new.
    added: HashMap<ContentHash, i64>,
    dropped: u64,
}

/// What a transaction changed that is not looked up again.
pub(super) struct Committed {
    /// Numbers of frames that were not known before.
    pub added: HashMap<ContentHash, i64>,
    /// Messages that had to go.
    pub dropped: u64,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        inner: rusqlite::Transaction<'a>,
        file: &'a Path,
        epoch: &'a str,
        max_entries: u64,
        age: u64,
        by_content: &'a ByContent,
    ) -> Self {
        Self { inner, file, epoch, max_entries, age, by_content, added: HashMap::new(), dropped: 0 }
    }

    pub(super) fn commit(self) -> Result<Committed, JournalError> {
        let file = self.file;
        self.inner.commit().map_err(|reason| JournalError::Database { file: file.to_owned(), reason })?;
        Ok(Committed { added: self.added, dropped: self.dropped })
    }

    /// The number of the frame with this content.
    pub(super) fn frame(&self, hash: &ContentHash) -> rusqlite::Result<Option<i64>> {
        match self.added.get(hash) {
            Some(id) => Ok(Some(*id)),
            None => self.by_content.find(&self.inner, hash),
        }
    }

    /// Marks a frame as dealt with, for ever.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn put_frame(&mut self, hash: &ContentHash, frame: &FrameRow) -> Result<(), JournalError> {
        let state = if frame.failed.is_some() { "failed" } else { "done" };
        let (label, confidence) = frame.verdict.unzip();
        let known = self.frame(hash).map_err(|reason| self.wrong(reason))?;
        self.inner
            .prepare_cached(
                "INSERT OR REPLACE INTO frames
                 (id, hash, name, camera, captured_at, state, reason, label, confidence, alert, head, processed_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    known,
                    hash.as_bytes(),
                    frame.name,
                    frame.camera,
                    frame.captured_at,
                    state,
                    frame.failed,
                    label,
                    confidence.map(f64::from),
                    frame.alert,
                    frame.head,
                    frame.processed_at
                ])
            })
            .map_err(|reason| self.wrong(reason))?;
        if known.is_none() {
            self.added.insert(*hash, self.inner.last_insert_rowid());
        }
        Ok(())
    }

    /// Notes which event a frame that was put is of.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn put_in_event(&mut self, hash: &ContentHash, event: &str) -> Result<(), JournalError> {
        let frame = self.frame(hash).map_err(|reason| self.wrong(reason))?;
        self.inner
            .prepare_cached("UPDATE frames SET event = ?2 WHERE id = ?1")
            .and_then(|mut update| update.execute(params![frame, event]))
            .map_err(|reason| self.wrong(reason))?;
        Ok(())
    }

    /// Remembers which content the file `name` holds, and since when it does: another stamp on the same content, as a card has
    /// that is put in again, makes it no younger. Nothing, where the content is not known (any more): the file is read again.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn note_file(&mut self, name: &str, stamp: &Stamp, hash: &ContentHash) -> Result<(), JournalError> {
        let Some(frame) = self.frame(hash).map_err(|reason| self.wrong(reason))? else { return Ok(()) };
        self.inner
            .prepare_cached(
                "INSERT INTO files (name, size, mtime, inode, device, frame, noted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (name) DO UPDATE SET
                     noted = iif(frame = excluded.frame, coalesce(noted, excluded.noted), excluded.noted),
                     size = excluded.size, mtime = excluded.mtime, inode = excluded.inode, device = excluded.device,
                     frame = excluded.frame",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    name,
                    stamp.size as i64,
                    stamp.mtime_ns,
                    stamp.inode as i64,
                    stamp.device as i64,
                    frame,
                    self.age as i64
                ])
            })
            .map_err(|reason| self.wrong(reason))?;
        Ok(())
    }

    /// Events of a camera and label that reach into `from..=to` (seconds since 1970).
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn events_near(&self, camera: &str, label: &str, from: i64, to: i64) -> Result<Vec<StoredEvent>, JournalError> {
        let query = || -> rusqlite::Result<Vec<StoredEvent>> {
            self.inner
                .prepare_cached(
                    "SELECT * FROM events WHERE camera = ?1 AND label = ?2 AND last_at >= ?3 AND first_at <= ?4",
                )?
                .query_map(params![camera, label, from, to], stored_event)?
                .collect()
        };
        query().map_err(|reason| self.wrong(reason))
    }

    /// The event with this id.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn event(&self, id: &str) -> Result<Option<StoredEvent>, JournalError> {
        self.inner
            .prepare_cached("SELECT * FROM events WHERE id = ?1")
            .and_then(|mut query| query.query_row([id], stored_event).optional())
            .map_err(|reason| self.wrong(reason))
    }

    /// Inserts or replaces an event.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn put_event(&mut self, stored: &StoredEvent) -> Result<(), JournalError> {
        let event = &stored.event;
        self.inner
            .prepare_cached(
                "INSERT OR REPLACE INTO events
                 (id, camera, label, first_at, last_at, frames, best_confidence, best, last_hash, replayed, open)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    event.id,
                    stored.camera,
                    stored.label,
                    event.first_at,
                    event.last_at,
                    event.frames as i64,
                    f64::from(event.best_confidence),
                    stored.best,
                    stored.last_hash,
                    event.replayed,
                    event.open
                ])
            })
            .map_err(|reason| self.wrong(reason))?;
        Ok(())
    }

    /// Queues a message; `body` gets the epoch and the sequence number that it is to carry. Frozen from here on.
    /// A message whose id was queued before is not queued again.
    /// When the outbox is full the least important and oldest message goes, and its number is noted as a gap.
    ///
    /// # Errors
    /// [`JournalError::Database`], [`JournalError::Message`].
    pub fn queue<T: Serialize>(
        &mut self,
        id: &str,
        priority: u8,
        topic: &str,
        body: impl FnOnce(&str, u64) -> T,
    ) -> Result<u64, JournalError> {
        let last: i64 = self
            .inner
            .prepare_cached("SELECT max(0, coalesce(max(seq), 0)) FROM messages")
            .and_then(|mut query| query.query_row([], |row| row.get(0)))
            .map_err(|reason| self.wrong(reason))?;
        let seq = last + 1;
        let body = serde_json::to_vec(&body(self.epoch, seq as u64))?;
        self.inner
            .prepare_cached(
                "INSERT INTO messages (seq, id, priority, topic, state, body) VALUES (?1, ?2, ?3, ?4, 'queued', ?5)
                 ON CONFLICT (id) DO NOTHING",
            )
            .and_then(|mut insert| insert.execute(params![seq, id, priority, topic, body]))
            .map_err(|reason| self.wrong(reason))?;
        self.bound().map_err(|reason| self.wrong(reason))?;
        if seq % FORGET_EVERY == 0 {
            self.forget(seq - KEPT).map_err(|reason| self.wrong(reason))?;
        }
        Ok(seq as u64)
    }

    /// How many messages wait in the outbox.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn waiting(&self) -> Result<u64, JournalError> {
        self.queued().map(|count| count as u64).map_err(|reason| self.wrong(reason))
    }

    fn queued(&self) -> rusqlite::Result<i64> {
        let sql = "SELECT count(*) FROM messages WHERE state = 'queued'";
        self.inner.prepare_cached(sql)?.query_row([], |row| row.get(0))
    }

    /// Lets go of messages up to this number that have arrived or were dropped. The latest stay, and with them the count.
    fn forget(&self, through: i64) -> rusqlite::Result<()> {
        let sql = "DELETE FROM messages WHERE seq <= ?1 AND state <> 'queued'";
        self.inner.prepare_cached(sql)?.execute([through]).map(drop)
    }

    /// Drops what is over the bound.
    fn bound(&mut self) -> rusqlite::Result<()> {
        let over = self.queued()? - self.max_entries as i64;
        if over <= 0 {
            return Ok(());
        }
        for _ in 0..over {
            let seq: i64 = self
                .inner
                .prepare_cached(
                    "SELECT min(seq) FROM messages WHERE state = 'queued'
                     AND priority = (SELECT min(priority) FROM messages WHERE state = 'queued')",
                )?
                .query_row([], |row| row.get(0))?;
            self.keep_untold(seq)?;
            self.inner
                .prepare_cached("UPDATE messages SET state = 'dropped', body = NULL WHERE seq = ?1")?
                .execute([seq])?;
            self.dropped += 1;
            if seq < 1 {
                // It came from a damaged journal, in whose epoch nobody counts any more.
                tracing::warn!("the outbox is full: a message saved from a damaged journal is dropped");
                continue;
            }
            let stretched =
                self.inner.prepare_cached("UPDATE gaps SET last = ?1 WHERE last = ?1 - 1")?.execute([seq])?;
            if stretched == 0 {
                self.inner
                    .prepare_cached("INSERT OR IGNORE INTO gaps (first, last, reason) VALUES (?1, ?1, 'outbox full')")?
                    .execute([seq])?;
            }
        }
        Ok(())
    }

    /// The frame that a message tells of is all that is left where that is dropped: it never leaves the card. Noted at the frame,
    /// since the message is forgotten in time, and no salvage brings it over.
    fn keep_untold(&self, seq: i64) -> rusqlite::Result<()> {
        let body: Option<Vec<u8>> = self
            .inner
            .prepare_cached("SELECT body FROM messages WHERE seq = ?1 AND topic = 'detection'")?
            .query_row([seq], |row| row.get(0))
            .optional()?
            .flatten();
        let body = body.and_then(|body| serde_json::from_slice::<serde_json::Value>(&body).ok()).unwrap_or_default();
        let hash = body["frame"]["sha256"].as_str().and_then(|hash| hash.parse::<ContentHash>().ok());
        if let Some(hash) = hash
            && body["kind"] == "detection"
        {
            self.inner
                .prepare_cached("UPDATE frames SET alert = ?2 WHERE id = ?1 AND alert = 1")?
                .execute(params![self.frame(&hash)?, UNTOLD])?;
        }
        Ok(())
    }

    pub(super) fn wrong(&self, reason: rusqlite::Error) -> JournalError {
        JournalError::Database { file: self.file.to_owned(), reason }
    }
}

pub(super) fn stored_event(row: &Row) -> rusqlite::Result<StoredEvent> {
    let event = Event {
        id: row.get("id")?,
        first_at: row.get("first_at")?,
        last_at: row.get("last_at")?,
        frames: row.get::<_, i64>("frames")? as u64,
        best_confidence: row.get::<_, f64>("best_confidence")? as f32,
        open: row.get("open")?,
        replayed: row.get("replayed")?,
    };
    Ok(StoredEvent {
        event,
        camera: row.get("camera")?,
        label: row.get("label")?,
        best: row.get("best")?,
        last_hash: row.get("last_hash")?,
    })
}
