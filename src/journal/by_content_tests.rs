#![allow(clippy::unwrap_used)]

use super::super::{FrameRow, Journal, Known};
use super::*;

fn hash(number: u64) -> ContentHash {
    ContentHash::of(&number.to_le_bytes())
}

fn row(failed: Option<&'static str>) -> FrameRow<'static> {
    FrameRow { name: "a.jpg", processed_at: "now", failed, ..FrameRow::default() }
}

fn put(journal: &mut Journal, numbers: std::ops::Range<u64>) {
    journal.transaction(|it| numbers.clone().try_for_each(|number| it.put_frame(&hash(number), &row(None)))).unwrap();
}

fn indexed(journal: &Journal) -> u64 {
    journal.db.query_row("SELECT count(*) FROM known", [], |row| row.get::<_, i64>(0)).unwrap() as u64
}

#[test]
fn a_frame_is_found_before_and_after_it_goes_into_the_index_and_by_the_next_start() {
    const FIRST: u64 = MOST as u64;
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 100).unwrap();
    put(&mut journal, 0..FIRST);
    let check = |journal: &Journal, frames: u64, in_index: u64| {
        assert_eq!(indexed(journal), in_index);
        assert_eq!(journal.by_content.latest.len() as u64, frames - in_index);
        assert!((0..frames).all(|number| journal.known(&hash(number)).unwrap() == Some(Known::Done)));
        assert_eq!(journal.known(&hash(frames)).unwrap(), None);
    };
    check(&journal, FIRST, 0);
    put(&mut journal, FIRST..FIRST + 1);
    check(&journal, FIRST + 1, FIRST + 1);
    put(&mut journal, FIRST + 1..FIRST + 3);
    check(&journal, FIRST + 3, FIRST + 1);
    drop(journal);
    check(&Journal::open(directory.path(), 100).unwrap(), FIRST + 3, FIRST + 1);
}

#[test]
fn frames_whose_hashes_begin_alike_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 100).unwrap();
    let like = |last: u8| ContentHash::from([[7; 31].as_slice(), &[last]].concat().try_into().unwrap_or([0; 32]));
    journal.transaction(|it| it.put_frame(&like(1), &row(None))).unwrap();
    journal.write(true, |it| it.put_frame(&like(2), &row(Some("damaged")))).unwrap();
    assert_eq!(indexed(&journal), 2);
    let known = [1, 2, 3].map(|last| journal.known(&like(last)).unwrap());
    assert_eq!(known, [Some(Known::Done), Some(Known::Failed), None]);
}

#[test]
fn a_frame_that_is_looked_at_again_keeps_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 100).unwrap();
    for index in [false, true] {
        journal.write(index, |it| it.put_frame(&hash(1), &row(Some("damaged")))).unwrap();
        assert_eq!(journal.known(&hash(1)).unwrap(), Some(Known::Failed));
        journal.transaction(|it| it.put_frame(&hash(1), &row(None))).unwrap();
        assert_eq!(journal.known(&hash(1)).unwrap(), Some(Known::Done));
    }
    let numbers: (i64, i64) =
        journal.db.query_row("SELECT count(*), max(id) FROM frames", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(numbers, (1, 1));
}

#[test]
fn what_was_taken_back_is_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 100).unwrap();
    for index in [false, true] {
        let failed: Result<(), _> = journal.write(index, |it| {
            it.put_frame(&hash(1), &row(None))?;
            Err(crate::journal::JournalError::InUse { file: "made up".into() })
        });
        assert!(failed.is_err());
        assert_eq!(journal.known(&hash(1)).unwrap(), None);
    }
}
