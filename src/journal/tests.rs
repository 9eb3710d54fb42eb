#![allow(clippy::unwrap_used, clippy::panic)]

use super::head_log::KEPT;
use super::*;
use crate::watch::{Seen, Stamp};
use serde_json::json;

struct World {
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn open(&self, max_entries: u64) -> Journal {
        Journal::open(self.directory.path(), max_entries).unwrap()
    }
}

fn hash(number: u8) -> ContentHash {
    ContentHash::of(&[number])
}

fn stamp() -> Stamp {
    Stamp { size: 1, mtime_ns: 2, inode: 3, device: 4 }
}

fn queue(journal: &mut Journal, id: &str, priority: u8) -> u64 {
    let body = |epoch: &str, seq: u64| json!({ "epoch": epoch, "seq": seq });
    journal.transaction(|transaction| transaction.queue(id, priority, "detection", body)).unwrap()
}

fn seqs(outbox: &Outbox) -> Vec<u64> {
    outbox.next(&|_| false, 100).unwrap().iter().map(|message| message.seq).collect()
}

#[test]
fn a_frame_and_its_message_are_on_disk_together_or_not_at_all() {
    let world = World::new();
    let mut journal = world.open(100);
    let row = FrameRow { name: "a.jpg", processed_at: "now", ..FrameRow::default() };
    let failed: Result<(), JournalError> = journal.transaction(|transaction| {
        transaction.put_frame(&hash(1), &row)?;
        transaction.queue("id", 1, "detection", |_, seq| json!(seq))?;
        Err(JournalError::InUse { file: "made up".into() })
    });
    assert!(failed.is_err());
    assert_eq!(journal.known(&hash(1)).unwrap(), None);
    assert!(seqs(&journal.outbox().unwrap()).is_empty());

    journal
        .transaction(|transaction| {
            transaction.put_frame(&hash(1), &row)?;
            transaction.queue("id", 1, "detection", |_, seq| json!(seq))
        })
        .unwrap();
    assert_eq!(journal.known(&hash(1)).unwrap(), Some(Known::Done));
    assert_eq!(seqs(&journal.outbox().unwrap()), [1]);
}

#[test]
fn a_failed_frame_is_never_confused_with_one_where_nothing_was_found() {
    let world = World::new();
    let mut journal = world.open(100);
    let row = FrameRow { name: "a.jpg", failed: Some("damaged"), processed_at: "now", ..FrameRow::default() };
    journal.transaction(|transaction| transaction.put_frame(&hash(1), &row)).unwrap();
    assert_eq!(journal.known(&hash(1)).unwrap(), Some(Known::Failed));
}

#[test]
fn the_body_carries_the_number_and_epoch_it_was_queued_under() {
    let world = World::new();
    let mut journal = world.open(100);
    queue(&mut journal, "a", 1);
    queue(&mut journal, "b", 1);
    let messages = journal.outbox().unwrap().next(&|_| false, 100).unwrap();
    let second: serde_json::Value = serde_json::from_slice(&messages[1].body).unwrap();
    assert_eq!(second, json!({ "epoch": journal.epoch(), "seq": 2 }));
}

#[test]
fn important_messages_leave_first_and_the_old_before_the_new() {
    let world = World::new();
    let mut journal = world.open(100);
    for (id, priority) in [("a", 0), ("b", 2), ("c", 1), ("d", 2)] {
        queue(&mut journal, id, priority);
    }
    let outbox = journal.outbox().unwrap();
    assert_eq!(seqs(&outbox), [2, 4, 3, 1]);
    let rest = outbox.next(&|seq| seq == 2, 2).unwrap();
    assert_eq!(rest.iter().map(|message| message.seq).collect::<Vec<_>>(), [4, 3]);
}

#[test]
fn an_entry_stays_until_it_is_acknowledged_also_over_a_restart() {
    let world = World::new();
    let mut journal = world.open(100);
    let epoch = journal.epoch().to_owned();
    queue(&mut journal, "a", 1);
    queue(&mut journal, "b", 1);
    journal.outbox().unwrap().acked(&[1]).unwrap();
    drop(journal);

    let mut journal = world.open(100);
    assert_eq!(journal.epoch(), epoch);
    assert_eq!(seqs(&journal.outbox().unwrap()), [2]);
    assert_eq!(queue(&mut journal, "c", 1), 3);
    let totals = journal.outbox().unwrap().totals().unwrap();
    assert_eq!((totals.queued, totals.acked, totals.acked_through), (2, 1, 1));
}

#[test]
fn a_full_outbox_drops_the_least_important_and_oldest_and_reports_the_gap() {
    let world = World::new();
    let mut journal = world.open(3);
    for (id, priority) in [("a", 2), ("b", 1), ("c", 1), ("d", 2), ("e", 2)] {
        queue(&mut journal, id, priority);
    }
    let outbox = journal.outbox().unwrap();
    assert_eq!(seqs(&outbox), [1, 4, 5]);
    let totals = outbox.totals().unwrap();
    assert_eq!((totals.dropped, totals.gaps.as_slice()), (2, [(2, 3)].as_slice()));
}

#[test]
fn the_same_message_is_queued_only_once() {
    let world = World::new();
    let mut journal = world.open(100);
    queue(&mut journal, "a", 1);
    queue(&mut journal, "a", 1);
    assert_eq!(seqs(&journal.outbox().unwrap()), [1]);
}

#[test]
fn a_second_daemon_on_the_same_journal_is_refused() {
    let world = World::new();
    let _first = world.open(100);
    assert!(matches!(Journal::open(world.directory.path(), 100), Err(JournalError::InUse { .. })));
}

#[test]
fn a_journal_of_a_later_version_is_left_alone() {
    let world = World::new();
    drop(world.open(100));
    let file = world.directory.path().join("journal.sqlite");
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Journal::open(world.directory.path(), 100), Err(JournalError::Newer { found: 99, .. })));
}

/// As format 1 was released, written out: a change to the tables of today must not change what it is tested against.
const FORMAT_1: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE frames (
    hash BLOB PRIMARY KEY, name TEXT NOT NULL, camera TEXT, captured_at INTEGER,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')), reason TEXT,
    label TEXT, confidence REAL, alert INTEGER NOT NULL DEFAULT 0, head TEXT, processed_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE files (
    name TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime INTEGER NOT NULL, inode INTEGER NOT NULL,
    device INTEGER NOT NULL, hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    id TEXT PRIMARY KEY, camera TEXT NOT NULL, label TEXT NOT NULL, first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL, frames INTEGER NOT NULL, best_confidence REAL NOT NULL, best TEXT NOT NULL,
    last_hash TEXT NOT NULL, replayed INTEGER NOT NULL, open INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_place ON events (camera, label, last_at);
CREATE INDEX events_open ON events (open) WHERE open = 1;
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, priority INTEGER NOT NULL, topic TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'acked', 'dropped')), body BLOB
) STRICT;
CREATE INDEX messages_queued ON messages (priority DESC, seq) WHERE state = 'queued';
CREATE TABLE gaps (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, reason TEXT NOT NULL) STRICT;
INSERT INTO meta VALUES ('epoch', '0123456789abcdef');
INSERT INTO messages VALUES (1, 'old', 1, 'detection', 'queued', x'7b7d');
INSERT INTO frames VALUES (x'6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'b.jpg', NULL, NULL, 'done', NULL, 'walrus', 0.5, 0, 'old 1', '2026-11-24T12:00:01Z');
INSERT INTO frames VALUES (x'4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a',
    'a.jpg', NULL, NULL, 'failed', 'damaged', NULL, NULL, 0, NULL, '2026-11-24T12:00:00Z');
INSERT INTO files VALUES ('a.jpg', 1, 2, 3, 4, x'4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a');
INSERT INTO files VALUES ('copy.jpg', 1, 2, 3, 4, x'6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
PRAGMA user_version = 1;
";

fn step(number: u64) -> HeadEntry {
    HeadEntry {
        at: format!("2026-11-24T12:00:{number}Z"),
        step: "trial".into(),
        manifest: number.is_multiple_of(2).then(|| ContentHash::of(b"manifest").to_string()),
        name: "arctic".into(),
        version: format!("1.{number}"),
        sequence: u64::MAX - number,
        key: number.is_multiple_of(3).then(|| "0123456789ABCDEF".into()),
        origin: "pushed".into(),
        reason: number.is_multiple_of(5).then(|| "it's \"unlike\" the old one".into()),
    }
}

#[test]
fn a_journal_of_the_first_format_keeps_what_it_holds_and_learns_of_heads() {
    let world = World::new();
    let file = world.directory.path().join("journal.sqlite");
    Connection::open(&file).unwrap().execute_batch(FORMAT_1).unwrap();
    // The second time nothing is left to do.
    for number in 1..=2 {
        let journal = world.open(100);
        assert_eq!((journal.warning(), journal.epoch()), (None, "0123456789abcdef"));
        assert_eq!(seqs(&journal.outbox().unwrap()), [1]);
        // Bytes 0 and 1: their hashes stand above.
        assert_eq!(
            [0, 1, 2].map(|it| journal.known(&hash(it)).unwrap()),
            [Some(Known::Done), Some(Known::Failed), None]
        );
        let mut seen = journal.seen_files().unwrap();
        assert_eq!(["a.jpg", "copy.jpg", "b.jpg"].map(|name| seen.is_seen(name, &stamp())), [true, true, false]);
        let mut log = journal.head_log().unwrap();
        log.append(&step(number)).unwrap();
        assert_eq!(log.latest(10).unwrap().len() as u64, number);
    }
}

#[test]
fn a_damaged_journal_of_an_older_format_is_saved_as_one_of_today() {
    // The second kind of damage is found where its frames get numbers.
    for damage in ["", "PRAGMA ignore_check_constraints = ON; UPDATE frames SET state = 'eone' WHERE name = 'a.jpg'"] {
        let world = World::new();
        let db = Connection::open(world.directory.path().join("journal.sqlite")).unwrap();
        db.execute_batch(&format!("{FORMAT_1} {damage}")).unwrap();
        drop(db);
        if damage.is_empty() {
            distrust(world.directory.path(), "said a test").unwrap();
        }
        let frames = if damage.is_empty() { 2 } else { 1 };
        let journal = world.open(100);
        let warning = journal.warning().unwrap();
        assert!(warning.contains(&format!("1 messages and {frames} known frames")), "{warning}");
        assert_eq!(journal.outbox().unwrap().next(&|_| false, 100).unwrap()[0].body, b"{}");
        drop(journal);
        let journal = world.open(100);
        assert_eq!(journal.warning(), None);
        let known = [0, 1].map(|it| journal.known(&hash(it)).unwrap().is_some());
        assert_eq!(known, [true, damage.is_empty()]);
        let mut seen = journal.seen_files().unwrap();
        assert_eq!(["a.jpg", "copy.jpg"].map(|name| seen.is_seen(name, &stamp())), [damage.is_empty(), true]);
    }
}

#[test]
fn a_journal_of_an_older_format_is_left_as_it_is_where_there_is_no_room_to_rewrite_it() {
    let world = World::new();
    let file = world.directory.path().join("journal.sqlite");
    Connection::open(&file).unwrap().execute_batch(FORMAT_1).unwrap();
    let resize = |bytes| std::fs::File::options().write(true).open(&file).unwrap().set_len(bytes).unwrap();
    let size = std::fs::metadata(&file).unwrap().len();
    // More than any disk has free, in a hole.
    resize(4 << 40);
    for _ in 0..2 {
        assert!(matches!(Journal::open(world.directory.path(), 100), Err(JournalError::NoRoom { .. })));
    }
    resize(size);
    let journal = world.open(100);
    assert_eq!((journal.warning(), journal.known(&hash(0)).unwrap()), (None, Some(Known::Done)));
}

#[test]
fn an_upgraded_journal_has_the_very_tables_of_a_new_one() {
    let schema = |world: &World| -> Vec<(String, String)> {
        let db = Connection::open(world.directory.path().join("journal.sqlite")).unwrap();
        let mut query = db.prepare("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name").unwrap();
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    let (old, damaged, new) = (World::new(), World::new(), World::new());
    for world in [&old, &damaged] {
        Connection::open(world.directory.path().join("journal.sqlite")).unwrap().execute_batch(FORMAT_1).unwrap();
    }
    distrust(damaged.directory.path(), "said a test").unwrap();
    drop((old.open(100), damaged.open(100), new.open(100)));
    assert_eq!(schema(&old), schema(&new));
    assert_eq!(schema(&damaged), schema(&new));
}

#[test]
fn the_trail_of_heads_comes_out_as_it_went_in_the_latest_first_and_is_bounded() {
    let world = World::new();
    let journal = world.open(100);
    let mut log = journal.head_log().unwrap();
    assert_eq!(log.latest(10).unwrap(), []);
    // Many at once are as good as one by one, and the disk is not asked a thousand times.
    let db = Connection::open(world.directory.path().join("journal.sqlite")).unwrap();
    db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO heads SELECT i, 'then', 'active', NULL, 'old', '1', 1, NULL, 'file', NULL FROM n",
        [KEPT],
    )
    .unwrap();
    for number in 1..=6 {
        log.append(&step(number)).unwrap();
    }
    let expected: Vec<HeadEntry> = (1..=6).rev().map(step).collect();
    assert_eq!(log.latest(6).unwrap(), expected);
    drop(journal);
    let log = world.open(100).head_log().unwrap();
    let all = log.latest(u32::MAX).unwrap();
    assert_eq!((all.len(), all[6].name.as_str()), (KEPT as usize, "old"));
}

#[test]
fn a_file_is_seen_only_with_the_very_same_stamp() {
    let world = World::new();
    let mut journal = world.open(100);
    let row = FrameRow { name: "first.jpg", processed_at: "now", ..FrameRow::default() };
    journal.transaction(|transaction| transaction.put_frame(&hash(1), &row)).unwrap();
    journal.note_copy("a.jpg", &stamp(), &hash(1)).unwrap();
    journal.note_copy("b.jpg", &stamp(), &hash(2)).unwrap();
    let mut seen = journal.seen_files().unwrap();
    assert!(seen.is_seen("a.jpg", &stamp()));
    assert!(!seen.is_seen("a.jpg", &Stamp { mtime_ns: 3, ..stamp() }));
    assert!(!seen.is_seen("b.jpg", &stamp()), "its content was forgotten");
}

#[test]
fn a_damaged_journal_is_moved_aside_and_a_new_one_begun() {
    let world = World::new();
    let file = world.directory.path().join("journal.sqlite");
    std::fs::write(&file, b"this is no database, only some text.").unwrap();
    let journal = world.open(100);
    assert!(journal.warning().unwrap().contains("journal.sqlite.damaged-1"), "{:?}", journal.warning());
    assert!(file.with_file_name("journal.sqlite.damaged-1").exists());
    drop(journal);
    assert_eq!(world.open(100).warning(), None);
}
