//! Damaged journals: whatever became of the bytes, a journal opens, and what can be read is kept.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::check::{Verdict, check};
use super::*;
use crate::watch::{Seen, Stamp};
use serde_json::json;

const PAGE: usize = 1024;

struct World {
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.directory.path().join(format!("journal.sqlite{suffix}"))
    }

    fn open(&self) -> Journal {
        Journal::open(self.directory.path(), 10_000).unwrap()
    }

    /// Frames of which each third alerts and is queued; of those each second is acknowledged. What is still queued.
    fn fill(&self, frames: u32) -> BTreeMap<String, Vec<u8>> {
        let mut journal = self.open();
        for number in 0..frames {
            let (name, alert) = (format!("cam/{number:05}.jpg"), number.is_multiple_of(3));
            let row = FrameRow { name: &name, alert, processed_at: "2026-11-28T12:00:00Z", ..FrameRow::default() };
            journal
                .transaction(|transaction| {
                    transaction.put_frame(&hash(number), &row)?;
                    transaction.note_file(&name, &Stamp { size: 1, mtime_ns: 2, inode: 3, device: 4 }, &hash(number))?;
                    if alert {
                        let body = |epoch: &str, seq: u64| {
                            json!({ "id": number, "epoch": epoch, "seq": seq, "pad": "x".repeat(if number % 2 == 0 { 700 } else { 60 }) })
                        };
                        transaction.queue(&number.to_string(), 3, "detection", body)?;
                    }
                    Ok(())
                })
                .unwrap();
        }
        let mut outbox = journal.outbox().unwrap();
        let seqs: Vec<u64> = outbox.next(&|_| false, usize::MAX).unwrap().iter().map(|it| it.seq).step_by(2).collect();
        outbox.acked(&seqs).unwrap();
        queued(&outbox)
    }

    fn damage(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.file("")).unwrap();
        change(&mut bytes);
        fs::write(self.file(""), bytes).unwrap();
    }
}

fn hash(number: u32) -> ContentHash {
    ContentHash::of(&number.to_le_bytes())
}

/// Bodies by the id in them.
fn queued(outbox: &Outbox) -> BTreeMap<String, Vec<u8>> {
    let messages = outbox.next(&|_| false, usize::MAX).unwrap();
    let id = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap()["id"].to_string();
    messages.into_iter().map(|message| (id(&message.body), message.body)).collect()
}

#[test]
fn whatever_page_is_damaged_a_journal_opens_and_each_alert_is_kept_or_looked_at_again() {
    let master = World::new();
    let owed = master.fill(FRAMES);
    master.open().write(true, |_| Ok(())).unwrap();
    damage_each_page(&master, &owed);
}

#[test]
fn whatever_page_is_damaged_of_an_older_format_a_journal_opens_and_each_alert_is_kept_or_looked_at_again() {
    let (new, master) = (World::new(), World::new());
    let owed = new.fill(FRAMES);
    let db = store::empty(&master.file(""), store::BY_HASH).unwrap();
    db.execute("ATTACH ?1 AS new", [new.file("").to_str().unwrap()]).unwrap();
    db.execute_batch(
        "INSERT OR REPLACE INTO meta SELECT * FROM new.meta;
         INSERT INTO messages SELECT * FROM new.messages;
         INSERT INTO frames SELECT hash, name, camera, captured_at, state, reason, label, confidence, alert, head,
             processed_at, event FROM new.frames;
         INSERT INTO files SELECT files.name, size, mtime, inode, device, hash, noted
             FROM new.files AS files JOIN new.frames AS frames ON frames.id = files.frame;",
    )
    .unwrap();
    drop(db);
    damage_each_page(&master, &owed);
}

const FRAMES: u32 = 60;

fn damage_each_page(master: &World, owed: &BTreeMap<String, Vec<u8>>) {
    let pages = fs::metadata(master.file("")).unwrap().len() as usize / PAGE;
    let (mut replaced, mut kept, mut lost) = (0, 0, 0);
    for page in 0..pages {
        for how in 0..4 {
            let world = World::new();
            fs::copy(master.file(""), world.file("")).unwrap();
            world.damage(|bytes| {
                let page = &mut bytes[page * PAGE..(page + 1) * PAGE];
                match how {
                    0 => page.fill(0),
                    1 => page[..64].reverse(),
                    // A leaf of a table that says it holds one row: SQLite reads it without an error.
                    2 if page[0] == 0x0D => page[3..5].copy_from_slice(&1u16.to_be_bytes()),
                    2 => {}
                    // A sector that was not written.
                    _ => page[PAGE / 2..].fill(0xFF),
                }
            });
            let journal = world.open();
            let warned = journal.warning().is_some();
            replaced += usize::from(warned);
            let found = queued(&journal.outbox().unwrap());
            for number in (0..FRAMES).filter(|number| owed.contains_key(&number.to_string())) {
                let id = number.to_string();
                match found.get(&id) {
                    // Bytes within a text change unnoticed, so only what has its length and form is compared.
                    Some(body) if how < 3 => assert_eq!(body, &owed[&id], "page {page}, {how}"),
                    Some(_) => {}
                    // Not in the outbox: then it must come there once more.
                    None => {
                        lost += 1;
                        assert_eq!(journal.known(&hash(number)).unwrap(), None, "page {page}, {how}: {number} is lost");
                        let db = Connection::open(world.file("")).unwrap();
                        let files: u32 = db
                            .query_row(
                                "SELECT count(*) FROM files JOIN frames ON frames.id = frame WHERE hash = ?1",
                                [hash(number).as_bytes()],
                                |row| row.get(0),
                            )
                            .unwrap();
                        assert_eq!(files, 0, "page {page}, {how}: {number} would not be read again");
                    }
                }
            }
            kept += found.len();
            drop(journal);
            let again = world.open();
            assert_eq!(again.warning(), None, "page {page}, {how}");
            assert_eq!(queued(&again.outbox().unwrap()), found);
        }
    }
    println!("{pages} pages, 4 ways: {replaced} journals replaced; {kept} messages kept, {lost} to be made again");
    assert!(replaced > pages, "damage was not noticed");
    assert!(kept > lost, "hardly anything was saved");
}

#[test]
fn messages_saved_from_a_damaged_journal_go_first_as_they_were_and_count_in_no_new_number() {
    let world = World::new();
    let owed = world.fill(30);
    distrust(world.directory.path(), "said a test").unwrap();
    let mut journal = world.open();
    let warning = journal.warning().unwrap().to_owned();
    assert!(warning.contains("said a test") && warning.contains("5 messages and 30 known frames"), "{warning}");
    let mut outbox = journal.outbox().unwrap();
    assert_eq!(queued(&outbox), owed);
    let before = outbox.totals().unwrap();
    assert_eq!((before.queued, before.acked, before.acked_through), (5, 0, 0));
    let seq = journal.transaction(|it| it.queue("new", 3, "detection", |_, seq| json!({ "id": "new", "seq": seq })));
    assert_eq!(seq.unwrap(), 1);
    let all = outbox.next(&|_| false, 100).unwrap();
    assert_eq!(all.last().unwrap().seq, 1, "the oldest first");
    outbox.acked(&all.iter().map(|message| message.seq).collect::<Vec<_>>()).unwrap();
    let after = outbox.totals().unwrap();
    assert_eq!((after.queued, after.acked, after.acked_through), (0, 1, 1));
}

#[test]
fn messages_saved_twice_are_still_the_same() {
    let world = World::new();
    let owed = world.fill(30);
    for _ in 0..2 {
        distrust(world.directory.path(), "said a test").unwrap();
        assert_eq!(queued(&world.open().outbox().unwrap()), owed);
    }
}

#[test]
fn a_start_cut_off_while_it_saves_is_taken_up_and_one_that_dies_of_it_gives_up_saving() {
    let world = World::new();
    let owed = world.fill(30);
    // Cut off while the new one was being made.
    fs::write(world.file(".suspect"), "1\nsaid a test\n").unwrap();
    fs::write(world.file(".new"), "half of a journal").unwrap();
    assert_eq!(queued(&world.open().outbox().unwrap()), owed);
    // Cut off between moving the old one aside and the new one in; the old one's log is still in its place.
    fs::rename(world.file(""), world.file(".new")).unwrap();
    fs::write(world.file("-wal"), "a log of the old one").unwrap();
    fs::write(world.file(".suspect"), "1\nsaid a test\n").unwrap();
    assert_eq!(queued(&world.open().outbox().unwrap()), owed);
    assert_eq!(queued(&world.open().outbox().unwrap()), owed);
    // Cut off four times, and once more.
    fs::write(world.file(".suspect"), "4\nsaid a test\n").unwrap();
    assert_eq!(queued(&world.open().outbox().unwrap()), owed);
    fs::write(world.file(".suspect"), "5\nsaid a test\n").unwrap();
    let journal = world.open();
    assert!(journal.warning().unwrap().contains("nothing was taken over"), "{:?}", journal.warning());
    assert!(queued(&journal.outbox().unwrap()).is_empty());
    assert!(!world.file(".suspect").exists());
}

#[test]
fn a_failing_card_is_not_filled_with_damaged_journals() {
    let world = World::new();
    for _ in 0..6 {
        drop(world.open());
        distrust(world.directory.path(), "said a test").unwrap();
    }
    drop(world.open());
    let aside = |number: u32| world.file(&format!(".damaged-{number}")).exists();
    assert_eq!((1..=6).filter(|number| aside(*number)).collect::<Vec<_>>(), [4, 5, 6]);
}

#[test]
fn an_index_that_misses_a_message_is_noticed() {
    let world = World::new();
    let owed = world.fill(30);
    let db = Connection::open(world.file("")).unwrap();

    // An index over fewer rows than it should have: made under another condition.
    db.execute_batch(
        "DROP INDEX messages_queued;
         CREATE INDEX messages_queued ON messages (priority DESC, seq) WHERE state = 'dropped';
         PRAGMA writable_schema = ON;
         UPDATE sqlite_master SET sql = replace(sql, 'dropped', 'queued') WHERE name = 'messages_queued';
         PRAGMA writable_schema = OFF;",
    )
    .unwrap();
    drop(db);
    let journal = world.open();
    assert!(journal.warning().is_some());
    assert_eq!(queued(&journal.outbox().unwrap()), owed);
}

#[test]
fn the_check_ends_in_its_time_and_says_that_it_did_not_finish() {
    let world = World::new();
    let journal = world.open();
    journal
        .db
        .execute_batch(
            "INSERT INTO messages
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
             SELECT i, 'message ' || i, 1, 'detection', 'acked', NULL FROM n",
        )
        .unwrap();
    assert_eq!(check(&journal.db, Duration::ZERO).unwrap(), Verdict::Unfinished);
    assert_eq!(check(&journal.db, Duration::from_secs(600)).unwrap(), Verdict::Whole);
}

#[test]
fn messages_that_arrived_are_forgotten_in_time_and_those_that_wait_are_not() {
    use super::transaction::KEPT;
    let world = World::new();
    let mut journal = world.open();
    let sql = "INSERT INTO messages
               WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
               SELECT i, 'old ' || i, 1, 'detection', iif(i = 7, 'queued', 'acked'), iif(i = 7, x'7b7d', NULL) FROM n";
    journal.db.execute(sql, [KEPT + 239]).unwrap();
    journal.transaction(|it| it.queue("new", 3, "detection", |_, seq| json!({ "seq": seq }))).unwrap();
    let count = |sql: &str| journal.db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM messages"), KEPT + 1);
    assert_eq!(count("SELECT min(seq) FROM messages"), 7);
    let totals = journal.outbox().unwrap().totals().unwrap();
    assert_eq!((totals.queued, totals.acked), (2, KEPT as u64 + 238));
}

#[test]
fn a_journal_that_is_too_large_forgets_what_it_noted_first_and_no_message() {
    let world = World::new();
    let owed = world.fill(300);
    let mut journal = world.open();
    assert_eq!(journal.trim(1 << 30).unwrap(), 0);
    let pages = |journal: &Journal| -> i64 {
        let number = |pragma: &str| journal.db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
        number("page_count") - number("freelist_count")
    };
    journal.write(true, |_| Ok(())).unwrap();
    let before = pages(&journal);
    let gone = journal.trim(before as u64 * PAGE as u64 - 1).unwrap() as u32;
    assert_eq!(gone, 30);
    assert!(pages(&journal) < before, "it makes room");
    for number in 0..300 {
        assert_eq!(journal.known(&hash(number)).unwrap().is_some(), number >= gone, "{number} of {gone}");
    }
    let files: i64 = journal.db.query_row("SELECT count(*) FROM files", [], |row| row.get(0)).unwrap();
    assert_eq!(files, i64::from(300 - gone));
    assert_eq!(queued(&journal.outbox().unwrap()), owed);
    // A name that was forgotten comes again, with what was forgotten, and with what was not.
    journal
        .transaction(|it| it.put_frame(&hash(0), &FrameRow { name: "0", processed_at: "now", ..Default::default() }))
        .unwrap();
    assert_eq!((journal.known(&hash(0)).unwrap(), journal.known(&hash(1)).unwrap()), (Some(Known::Done), None));
    drop(journal);
    let mut journal = world.open();
    assert_eq!((journal.known(&hash(0)).unwrap(), journal.known(&hash(1)).unwrap()), (Some(Known::Done), None));
    // Where messages fill the journal, frames are not all forgotten for it.
    assert_eq!(journal.trim(0).unwrap(), 28);
    assert!(journal.known(&hash(299)).unwrap().is_some());
    assert_eq!(queued(&journal.outbox().unwrap()), owed);
}

#[test]
fn the_last_frame_of_a_journal_that_is_too_large_stays_known() {
    let world = World::new();
    world.fill(1);
    let mut journal = world.open();
    for _ in 0..2 {
        assert_eq!(journal.trim(0).unwrap(), 0);
        assert_eq!(journal.known(&hash(0)).unwrap(), Some(Known::Done));
        assert!(
            journal
                .seen_files()
                .unwrap()
                .is_seen("cam/00000.jpg", &Stamp { size: 1, mtime_ns: 2, inode: 3, device: 4 })
        );
    }
}

#[test]
fn a_number_that_no_frame_can_have_is_not_saved_from_a_damaged_journal() {
    let world = World::new();
    world.fill(3);
    world.open().db.execute("UPDATE frames SET id = ?1 WHERE id = 3", [i64::MAX]).unwrap();
    distrust(world.directory.path(), "said a test").unwrap();
    let row = FrameRow { name: "a.jpg", processed_at: "now", ..Default::default() };
    world.open().transaction(|it| it.put_frame(&hash(9), &row)).unwrap();
    let known = [0, 1, 2, 9].map(|number| world.open().known(&hash(number)).unwrap().is_some());
    assert_eq!(known, [true, true, false, true]);
}
