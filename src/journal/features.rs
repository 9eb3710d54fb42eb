//! Features of frames that were looked at, for labels that come later: a frame's photo may be gone by then, its features
//! are 1.3 KB. Bounded: the oldest frame without a label goes first.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_content::ByContent;
use super::{JournalError, Transaction, priority};
use crate::frame::ContentHash;
use crate::model::Levels;

/// Which frames are worth a person's look. All go by what the trap made of them when they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Unlike everything the head was trained on, the latest first.
    Novel,
    /// Those that alerted, the latest first.
    Alert,
    /// Those whose two most probable labels were nearest to each other.
    Unsure,
}

/// What is kept of a frame beside its row in `frames`.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptFrame<'a> {
    /// sha256 of the backbone that gave them.
    pub backbone: &'a str,
    /// The features.
    pub levels: &'a Levels,
    /// Whether it alerted.
    pub alert: bool,
    /// Whether it was novel, where the head could tell.
    pub novel: Option<bool>,
    /// By how much the most probable label was ahead of the next, 0 to 1.
    pub margin: f32,
}

/// A frame that somebody has labelled.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledFrame {
    /// The frame.
    pub frame: ContentHash,
    /// What is on it.
    pub label: String,
    /// First sub-folder that it lay in.
    pub camera: Option<String>,
    /// Seconds since 1970.
    pub captured_at: Option<i64>,
    /// Its features.
    pub levels: Levels,
}

/// How many frames there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// With features, of whatever backbone.
    pub frames: u64,
    /// With a label too, by label.
    pub labelled: BTreeMap<String, u64>,
}

/// What a message says, given the journal's epoch and its number.
pub type Body<T> = Box<dyn FnOnce(&str, u64) -> T>;

/// A message for the outbox: id, topic below the trap's, and the body given epoch and number.
pub struct Queued<T> {
    /// Two messages with one id are one.
    pub id: String,
    /// Below `<prefix>/<trap>/`.
    pub topic: String,
    /// Its content.
    pub body: Body<T>,
}

impl Transaction<'_> {
    /// Keeps a frame's features; of more than `most` frames the oldest without a label go, and then the oldest.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn keep_features(&mut self, frame: &ContentHash, kept: &KeptFrame, most: u64) -> Result<(), JournalError> {
        let keep = || -> rusqlite::Result<()> {
            self.inner
                .prepare_cached(
                    "INSERT INTO features (hash, backbone, low, step, levels, alert, novel, margin, frame)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (hash) DO UPDATE SET frame = excluded.frame",
                )?
                .execute(params![
                    frame.as_bytes(),
                    kept.backbone,
                    f64::from(kept.levels.low),
                    f64::from(kept.levels.step),
                    kept.levels.levels,
                    kept.alert,
                    kept.novel,
                    f64::from(kept.margin),
                    self.frame(frame)?
                ])?;
            trim(&self.inner, most)
        };
        keep().map_err(|reason| self.wrong(reason))
    }
}

/// The acceptor's door to features and, for what it publishes of them, to the outbox.
pub struct FeatureStore {
    db: Connection,
    file: PathBuf,
    epoch: String,
    max_entries: u64,
}

impl FeatureStore {
    pub(super) fn new(db: Connection, file: PathBuf, epoch: String, max_entries: u64) -> Self {
        Self { db, file, epoch, max_entries }
    }

    /// Lets all but `most` frames go.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn trim(&self, most: u64) -> Result<(), JournalError> {
        trim(&self.db, most).map_err(|reason| self.wrong(reason))
    }

    /// How many frames there are.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn count(&self) -> Result<Kept, JournalError> {
        let count = || -> rusqlite::Result<Kept> {
            let labelled = self
                .db
                .prepare_cached("SELECT truth, count(*) FROM features WHERE truth IS NOT NULL GROUP BY truth")?
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Kept { frames: frames(&self.db)?, labelled })
        };
        count().map_err(|reason| self.wrong(reason))
    }

    /// Notes what is on frames, all or none; how many of them are here. A later label takes an earlier one's place.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn label<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a ContentHash, &'a str)>,
    ) -> Result<u64, JournalError> {
        let write = || -> rusqlite::Result<u64> {
            let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut known = 0;
            {
                let mut update = transaction.prepare_cached("UPDATE features SET truth = ?2 WHERE hash = ?1")?;
                for (frame, label) in labels {
                    known += update.execute(params![frame.as_bytes(), label])? as u64;
                }
            }
            transaction.commit()?;
            Ok(known)
        };
        write().map_err(|reason| JournalError::Database { file: self.file.clone(), reason })
    }

    /// Labelled frames of this backbone, the latest first and at most so many of each label.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn labelled(&self, backbone: &str, most: u64) -> Result<Vec<LabelledFrame>, JournalError> {
        let query = || -> rusqlite::Result<Vec<LabelledFrame>> {
            self.db
                .prepare_cached(
                    "SELECT f.hash, f.truth, f.low, f.step, f.levels, frames.camera, frames.captured_at FROM
                       (SELECT *, row_number() OVER (PARTITION BY truth ORDER BY id DESC) AS place FROM features
                        WHERE truth IS NOT NULL AND backbone = ?1) AS f
                     LEFT JOIN frames ON frames.id = f.frame AND frames.hash = f.hash WHERE f.place <= ?2 ORDER BY f.id DESC",
                )?
                .query_map(params![backbone, i64::try_from(most).unwrap_or(i64::MAX)], |row| {
                    Ok(LabelledFrame {
                        frame: hash(row)?,
                        label: row.get("truth")?,
                        camera: row.get("camera")?,
                        captured_at: row.get("captured_at")?,
                        levels: levels(row)?,
                    })
                })?
                .collect()
        };
        query().map_err(|reason| self.wrong(reason))
    }

    /// Features of a frame by this backbone, and its label.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn frame(&self, frame: &ContentHash, backbone: &str) -> Result<Option<(Levels, Option<String>)>, JournalError> {
        self.db
            .prepare_cached("SELECT low, step, levels, truth FROM features WHERE hash = ?1 AND backbone = ?2")
            .and_then(|mut query| {
                query
                    .query_row(params![frame.as_bytes(), backbone], |row| Ok((levels(row)?, row.get("truth")?)))
                    .optional()
            })
            .map_err(|reason| self.wrong(reason))
    }

    /// Frames of this backbone without a label that are worth a look.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn choose(&self, which: Which, backbone: &str, limit: u32) -> Result<Vec<ContentHash>, JournalError> {
        let (wanted, order) = match which {
            Which::Novel => ("novel = 1", "id DESC"),
            Which::Alert => ("alert = 1", "id DESC"),
            Which::Unsure => ("true", "margin, id DESC"),
        };
        let sql = format!(
            "SELECT hash FROM features WHERE truth IS NULL AND backbone = ?1 AND {wanted} ORDER BY {order} LIMIT ?2"
        );
        let query = || -> rusqlite::Result<Vec<ContentHash>> {
            self.db.prepare_cached(&sql)?.query_map(params![backbone, limit], hash)?.collect()
        };
        query().map_err(|reason| self.wrong(reason))
    }

    /// Queues messages behind all others, all or none.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn queue<T: Serialize>(&mut self, messages: Vec<Queued<T>>) -> Result<(), JournalError> {
        let wrong = |reason| JournalError::Database { file: self.file.clone(), reason };
        let inner = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
        // A full outbox marks the frames of what it drops, wherever they are found.
        let by_content = ByContent::load(&inner).map_err(wrong)?;
        // No file is noted here, so no age.
        let mut transaction = Transaction::new(inner, &self.file, &self.epoch, self.max_entries, 0, &by_content);
        for Queued { id, topic, body } in messages {
            transaction.queue(&id, priority::FEATURES, &topic, body)?;
        }
        transaction.commit().map(drop)
    }

    fn wrong(&self, reason: rusqlite::Error) -> JournalError {
        JournalError::Database { file: self.file.clone(), reason }
    }
}

fn frames(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT count(*) FROM features")?.query_row([], |row| row.get::<_, i64>(0)).map(|n| n as u64)
}

fn trim(db: &Connection, most: u64) -> rusqlite::Result<()> {
    let mut over = frames(db)?.saturating_sub(most);
    for only in ["WHERE truth IS NULL", ""] {
        if over > 0 {
            let sql = format!("DELETE FROM features WHERE id IN (SELECT id FROM features {only} ORDER BY id LIMIT ?1)");
            over -= db.prepare_cached(&sql)?.execute([over as i64])? as u64;
        }
    }
    Ok(())
}

fn hash(row: &Row) -> rusqlite::Result<ContentHash> {
    row.get::<_, [u8; 32]>("hash").map(ContentHash::from)
}

fn levels(row: &Row) -> rusqlite::Result<Levels> {
    Ok(Levels {
        low: row.get::<_, f64>("low")? as f32,
        step: row.get::<_, f64>("step")? as f32,
        levels: row.get("levels")?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{FrameRow, Journal};
    use super::*;

    fn frame(number: u32) -> ContentHash {
        ContentHash::of(&number.to_le_bytes())
    }

    struct World {
        _directory: tempfile::TempDir,
        journal: Journal,
        store: FeatureStore,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let journal = Journal::open(directory.path(), 100).unwrap();
            let store = journal.feature_store().unwrap();
            Self { _directory: directory, journal, store }
        }

        fn see(&mut self, number: u32, most: u64) {
            let levels = Levels { low: 0.0, step: 0.5, levels: vec![number as u8; 8] };
            let (alert, margin) = (number.is_multiple_of(2), 1.0 / (number + 1) as f32);
            let kept =
                KeptFrame { backbone: "net", levels: &levels, alert, novel: Some(number.is_multiple_of(3)), margin };
            let row = FrameRow { name: "a/b.jpg", camera: Some("a"), processed_at: "now", ..FrameRow::default() };
            self.journal
                .transaction(|transaction| {
                    transaction.put_frame(&frame(number), &row)?;
                    transaction.keep_features(&frame(number), &kept, most)
                })
                .unwrap();
        }

        fn has(&self, number: u32) -> bool {
            self.store.frame(&frame(number), "net").unwrap().is_some()
        }
    }

    #[test]
    fn the_oldest_frame_without_a_label_goes_first_and_labelled_ones_only_when_there_is_nothing_else() {
        let mut world = World::new();
        (0..4).for_each(|number| world.see(number, 4));
        let label = |world: &mut World, numbers: &[u32]| {
            let frames: Vec<_> = numbers.iter().map(|number| frame(*number)).collect();
            world.store.label(frames.iter().map(|frame| (frame, "fox"))).unwrap()
        };
        assert_eq!(label(&mut world, &[0, 2, 77]), 2, "the last is not known");
        world.see(4, 4);
        world.see(5, 4);
        assert_eq!((0..6).map(|number| world.has(number)).collect::<Vec<_>>(), [true, false, true, false, true, true]);
        assert_eq!(label(&mut world, &[4, 5]), 2);
        world.see(6, 4);
        assert!(world.has(0) && !world.has(6), "the new one is the only one without a label");
        assert_eq!(world.store.count().unwrap().labelled, [("fox".to_owned(), 4)].into());
        world.store.trim(2).unwrap();
        assert_eq!((0..7).filter(|number| world.has(*number)).collect::<Vec<_>>(), [4, 5]);
        world.store.trim(0).unwrap();
        assert_eq!(world.store.count().unwrap(), Kept::default());
    }

    #[test]
    fn a_frame_that_was_forgotten_and_looked_at_again_has_its_camera_again() {
        let mut world = World::new();
        (1..3).for_each(|number| world.see(number, 9));
        world.store.label([(&frame(1), "fox")]).unwrap();
        assert_eq!(world.journal.trim(0).unwrap(), 1);
        let camera = |world: &World| world.store.labelled("net", 9).unwrap()[0].camera.clone();
        assert_eq!(camera(&world), None);
        world.see(1, 9);
        assert_eq!(camera(&world).as_deref(), Some("a"));
    }

    #[test]
    fn labelled_frames_come_back_with_their_features_and_others_are_chosen_to_be_looked_at() {
        let mut world = World::new();
        (0..9).for_each(|number| world.see(number, 100));
        let (two, three) = (frame(2), frame(3));
        world.store.label([(&two, "fox"), (&three, "fox")]).unwrap();
        world.store.label([(&three, "bear")]).unwrap();
        let labelled = world.store.labelled("net", 10).unwrap();
        let facts: Vec<_> = labelled.iter().map(|it| (it.frame, it.label.as_str(), it.levels.levels[0])).collect();
        assert_eq!(facts, [(three, "bear", 3), (two, "fox", 2)]);
        assert_eq!(labelled[0].camera.as_deref(), Some("a"));
        assert_eq!(world.store.labelled("other net", 10).unwrap(), []);
        let choose = |which, limit| world.store.choose(which, "net", limit).unwrap();
        assert_eq!(choose(Which::Alert, 2), [frame(8), frame(6)]);
        assert_eq!(choose(Which::Novel, 9), [frame(6), frame(0)]);
        assert_eq!(choose(Which::Unsure, 3), [frame(8), frame(7), frame(6)]);
    }
}
