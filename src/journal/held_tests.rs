#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::journal::priority;
use crate::watch::Seen;

fn hash(number: u64) -> ContentHash {
    ContentHash::of(&number.to_le_bytes())
}

fn stamp(number: u64) -> Stamp {
    Stamp { size: number, mtime_ns: 2, inode: 3, device: 4 }
}

fn journal(directory: &std::path::Path) -> Journal {
    let mut journal = Journal::open(directory, 100).unwrap();
    journal.hold_for(Duration::from_secs(3600));
    journal
}

fn put(journal: &mut Journal, number: u64) {
    let row = FrameRow { name: &format!("{number}.jpg"), processed_at: "now", ..FrameRow::default() };
    journal.put_silent(&hash(number), &row, &stamp(number)).unwrap();
}

/// Frames in the file, as another process sees them.
fn on_disk(directory: &std::path::Path) -> i64 {
    let db = rusqlite::Connection::open(directory.join("journal.sqlite")).unwrap();
    db.query_row("SELECT count(*) FROM frames", [], |row| row.get(0)).unwrap()
}

#[test]
fn what_waits_is_known_and_seen_as_what_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path());
    let mut seen = journal.seen_files().unwrap();
    put(&mut journal, 1);
    journal.note_copy("copy.jpg", &stamp(9), &hash(1)).unwrap();
    for written in [false, true] {
        assert_eq!(on_disk(directory.path()), i64::from(written));
        assert_eq!(journal.known(&hash(1)).unwrap(), Some(Known::Done));
        assert!(seen.is_seen("1.jpg", &stamp(1)) && seen.is_seen("copy.jpg", &stamp(9)));
        assert!(!seen.is_seen("1.jpg", &stamp(2)));
        journal.settle().unwrap();
        assert_eq!(journal.settle_in(false), None);
    }
}

#[test]
fn what_waits_is_written_when_there_are_many_and_with_whatever_is_written_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path());
    (0..=MOST as u64).for_each(|number| put(&mut journal, number));
    assert_eq!(on_disk(directory.path()), MOST as i64);
    let alert = |journal: &mut Journal| {
        journal.transaction(|transaction| transaction.queue("id", priority::LIVE, "detection", |_, seq| json!(seq)))
    };
    alert(&mut journal).unwrap();
    assert_eq!(on_disk(directory.path()), MOST as i64 + 1);
}

#[test]
fn a_transaction_that_fails_takes_nothing_of_what_waits_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path());
    put(&mut journal, 1);
    let failed = journal.transaction(|_| -> Result<(), _> { Err(JournalError::InUse { file: "made up".into() }) });
    assert!(failed.is_err());
    assert_eq!(on_disk(directory.path()), 0);
    journal.settle().unwrap();
    assert_eq!(on_disk(directory.path()), 1);
}

#[test]
fn a_failed_frame_that_waits_is_not_confused_with_one_where_nothing_was_found() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path());
    let row = FrameRow { name: "a.jpg", failed: Some("damaged"), processed_at: "now", ..FrameRow::default() };
    journal.put_silent(&hash(1), &row, &stamp(1)).unwrap();
    assert_eq!(journal.known(&hash(1)).unwrap(), Some(Known::Failed));
    journal.settle().unwrap();
    assert_eq!(journal.known(&hash(1)).unwrap(), Some(Known::Failed));
}

#[test]
fn what_waits_is_written_sooner_while_more_frames_wait_to_be_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path());
    assert_eq!(journal.settle_in(true), None);
    put(&mut journal, 1);
    journal.settle().unwrap();
    put(&mut journal, 2);
    assert!(journal.settle_in(true).unwrap() <= BUSY);
    assert!(journal.settle_in(false).unwrap() > BUSY);
    journal.hold_for(Duration::from_secs(1));
    assert!(journal.settle_in(true).unwrap() <= Duration::from_secs(1));
}

#[test]
fn what_a_start_finds_is_written_soon_so_that_a_trap_whose_power_is_cut_often_does_not_look_at_it_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path());
    // Nothing of this waited.
    journal.settle().unwrap();
    put(&mut journal, 1);
    assert!(journal.settle_in(false).unwrap() <= BUSY);
    journal.settle().unwrap();
    put(&mut journal, 2);
    assert!(journal.settle_in(false).unwrap() > BUSY);
}
