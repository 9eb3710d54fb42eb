//! What the trap remembers: frames seen, open events, messages not yet acknowledged. One SQLite file, WAL, synced at
//! each commit that somebody is told of, with seven doors: [`Journal`] (the pipeline writes), [`SeenFiles`] (the watcher asks), [`Outbox`] (the
//! link drains), [`HeadLog`] and [`FeatureStore`] (the acceptor notes and learns), [`Events`] (the status page looks), [`DoneFiles`] (what may leave the card). Each has a connection of its own, so that none waits for another's lock
//! in the program.

mod age;
mod by_content;
mod check;
mod done;
mod error;
mod events;
mod features;
mod frames;
mod growth;
mod head_log;
mod held;
mod in_work;
mod mend;
mod outbox;
mod salvage;
mod spent;
mod store;
#[cfg(test)]
mod tests;
mod transaction;
#[cfg(test)]
mod upkeep_tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::Age;
use by_content::{ByContent, INDEX};
use held::Held;
use rusqlite::{Connection, TransactionBehavior};

pub use done::{DoneFile, DoneFiles, Unfinished};
pub use error::JournalError;
pub use events::Events;
pub use features::{FeatureStore, Kept, KeptFrame, LabelledFrame, Queued, Which};
pub use frames::SeenFiles;
pub use head_log::{HeadEntry, HeadLog};
pub use in_work::InWork;
pub use outbox::{Message, Outbox, Totals};
pub use transaction::{FrameRow, Transaction};

use crate::frame::ContentHash;

/// The outbox sends the highest first and drops the lowest first.
pub mod priority {
    /// An alert of now.
    pub const LIVE: u8 = 3;
    /// An alert of before.
    pub const REPLAYED: u8 = 2;
    /// The end of an event.
    pub const SUMMARY: u8 = 1;
    /// Features that somebody asked for.
    pub const FEATURES: u8 = 0;
}

/// Leaves word in `directory` that its journal was found damaged while it was in use: the next start replaces it, also
/// where its check would find nothing.
///
/// # Errors
/// The word can't be written.
pub fn distrust(directory: &Path, reason: &str) -> std::io::Result<()> {
    mend::distrust(&directory.join(NAME), reason)
}

/// The journal's file in its directory.
const NAME: &str = "journal.sqlite";

/// What is known of a frame's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Classified, its alert (if any) queued.
    Done,
    /// Could not be decoded or classified.
    Failed,
}

/// The pipeline's door.
pub struct Journal {
    db: Connection,
    file: PathBuf,
    epoch: String,
    max_entries: u64,
    warning: Option<String>,
    age: Arc<Age>,
    held: Held,
    by_content: ByContent,
    dropped: u64,
    // Held as long as the daemon runs; the kernel lets go of it even after kill -9.
    _lock: std::fs::File,
}

impl Journal {
    /// Opens or creates the journal in `directory`; the outbox keeps at most `max_entries` messages. A damaged one is moved
    /// aside, since a trap that can't alert because of its own notes would be worse than one that alerts twice.
    ///
    /// # Errors
    /// [`JournalError`], among them [`JournalError::InUse`] while another daemon has it.
    pub fn open(directory: &Path, max_entries: u64) -> Result<Self, JournalError> {
        let wrong = |reason| JournalError::Directory { directory: directory.to_owned(), reason };
        if !directory.is_dir() {
            std::fs::create_dir_all(directory).map_err(wrong)?;
            // Or the folder, with all that is promised in it, would not survive a power cut.
            let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            std::fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(wrong)?;
        }
        let file = directory.join(NAME);
        let lock =
            std::fs::File::options().create(true).append(true).open(directory.join("journal.lock")).map_err(wrong)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(JournalError::InUse { file }),
            Err(std::fs::TryLockError::Error(reason)) => return Err(wrong(reason)),
        }
        let (db, epoch, warning) = mend::open(&file)?;
        let read = || Ok((Arc::new(age::begin(&db)?), ByContent::load(&db)?));
        let (age, by_content) = read().map_err(|reason| JournalError::Database { file: file.clone(), reason })?;
        Ok(Self {
            db,
            file,
            epoch,
            max_entries,
            warning,
            age,
            held: Held::default(),
            by_content,
            dropped: 0,
            _lock: lock,
        })
    }

    /// What happened to the journal before this one.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Where the journal lives.
    pub fn directory(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("."))
    }

    /// Id of this journal: a journal that was lost and begun anew has another one.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The watcher's door.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn seen_files(&self) -> Result<SeenFiles, JournalError> {
        Ok(SeenFiles::new(store::open(&self.file)?, self.held.names()))
    }

    /// The link's door.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn outbox(&self) -> Result<Outbox, JournalError> {
        Ok(Outbox::new(store::open(&self.file)?, self.file.clone(), self.epoch.clone()))
    }

    /// The acceptor's door.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn head_log(&self) -> Result<HeadLog, JournalError> {
        Ok(HeadLog::new(store::open(&self.file)?, self.file.clone()))
    }

    /// The acceptor's other door.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn feature_store(&self) -> Result<FeatureStore, JournalError> {
        let db = store::open(&self.file)?;
        Ok(FeatureStore::new(db, self.file.clone(), self.epoch.clone(), self.max_entries))
    }

    /// The status page's door.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn events(&self) -> Result<Events, JournalError> {
        Ok(Events::new(store::open(&self.file)?, self.file.clone()))
    }

    /// The door of those who make room.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn done_files(&self) -> Result<DoneFiles, JournalError> {
        Ok(DoneFiles::new(store::open(&self.file)?, self.file.clone(), self.age.clone()))
    }

    /// What is known of a frame with this content.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn known(&self, hash: &ContentHash) -> Result<Option<Known>, JournalError> {
        if let Some(known) = self.held.known(hash) {
            return Ok(Some(known));
        }
        let state = || -> rusqlite::Result<Option<String>> {
            let Some(id) = self.by_content.find(&self.db, hash)? else { return Ok(None) };
            self.db
                .prepare_cached("SELECT state FROM frames WHERE id = ?1")?
                .query_row([id], |row| row.get(0))
                .map(Some)
        };
        let state = state().map_err(|reason| self.wrong(reason))?;
        Ok(state.map(|state| if state == "done" { Known::Done } else { Known::Failed }))
    }

    /// Runs `work` in one transaction that reaches the disk in a while, with the next one that has to be there: for what is
    /// done again, and nobody is told twice, if the power fails before. Whole or not at all, as every transaction.
    ///
    /// # Errors
    /// As [`Journal::transaction`].
    pub fn lazily<T>(
        &mut self,
        work: impl FnOnce(&mut Transaction) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let sync = |db: &Connection, how: &str| db.pragma_update(None, "synchronous", how);
        sync(&self.db, "NORMAL").map_err(|reason| self.wrong(reason))?;
        let result = self.transaction(work);
        sync(&self.db, "FULL").map_err(|reason| self.wrong(reason))?;
        result
    }

    /// Runs `work` in one transaction: all of it is on disk when this returns, or nothing is. What waits goes with it.
    ///
    /// # Errors
    /// Those of `work`, and [`JournalError::Database`].
    pub fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Transaction) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        if self.by_content.is_full() {
            self.index()?;
        }
        self.write(false, work)
    }

    /// A transaction; with `index` what is new in it, and before it, goes into the index of frames.
    fn write<T>(
        &mut self,
        index: bool,
        work: impl FnOnce(&mut Transaction) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let wrong = |reason| JournalError::Database { file: self.file.clone(), reason };
        let inner = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
        let mut transaction =
            Transaction::new(inner, &self.file, &self.epoch, self.max_entries, self.age.now(), &self.by_content);
        self.held.write(&mut transaction)?;
        let result = work(&mut transaction)?;
        if index {
            transaction.inner.execute_batch(INDEX).map_err(wrong)?;
        }
        let saved = self.age.save(&transaction.inner, age::EVERY).map_err(wrong)?;
        let committed = transaction.commit()?;
        self.age.saved(saved);
        self.held.written();
        match index {
            true => self.by_content.indexed(),
            false => self.by_content.add(committed.added),
        }
        self.dropped += committed.dropped;
        Ok(result)
    }

    /// Messages that had to go since the journal was opened, as the pipeline queued others into a full outbox.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Writes down what waits to be written with later frames: some time, and before the end.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn settle(&mut self) -> Result<(), JournalError> {
        let age = self.age.clone();
        let saved = self.lazily(|transaction| {
            age.save(&transaction.inner, age::LEAST).map_err(|reason| transaction.wrong(reason))
        })?;
        self.age.saved(saved);
        Ok(())
    }

    /// Ids of the events that are open: after a restart their time begins anew.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn open_events(&self) -> Result<Vec<String>, JournalError> {
        let query = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.db.prepare_cached("SELECT id FROM events WHERE open = 1")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        query().map_err(|reason| self.wrong(reason))
    }

    /// Whether the journal can be written now: writes a page of it, with what it holds already.
    ///
    /// # Errors
    /// [`JournalError::Database`]: it can't.
    pub fn try_writing(&mut self) -> Result<(), JournalError> {
        let same = "UPDATE meta SET value = value WHERE key = 'epoch'";
        self.transaction(|transaction| {
            transaction.inner.execute(same, []).map_err(|reason| transaction.wrong(reason))?;
            Ok(())
        })
    }

    fn wrong(&self, reason: rusqlite::Error) -> JournalError {
        JournalError::Database { file: self.file.clone(), reason }
    }
}
