#![allow(clippy::unwrap_used)]

use super::super::{FrameRow, Known, Transaction};
use super::*;
use crate::watch::Stamp;

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
    check(&journal, FIRST + 1, FIRST);
    put(&mut journal, FIRST + 1..FIRST + 3);
    check(&journal, FIRST + 3, FIRST);
    drop(journal);
    check(&Journal::open(directory.path(), 100).unwrap(), FIRST + 3, FIRST);
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

#[test]
fn a_note_of_what_is_indexed_that_went_wrong_keeps_nothing_from_being_written() {
    for wrong in ["0", "nonsense", "-5"] {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path(), 100).unwrap();
        journal.write(true, |it| it.put_frame(&hash(1), &row(None))).unwrap();
        journal.db.execute("UPDATE meta SET value = ?1 WHERE key = 'indexed'", [wrong]).unwrap();
        drop(journal);
        let mut journal = Journal::open(directory.path(), 100).unwrap();
        journal.write(true, |it| it.put_frame(&hash(2), &row(None))).unwrap();
        let known = [1, 2, 3].map(|number| journal.known(&hash(number)).unwrap());
        assert_eq!(known, [Some(Known::Done), Some(Known::Done), None], "{wrong}");
        assert_eq!(indexed(&journal), 2);
    }
}

#[test]
fn where_the_disk_has_no_room_for_the_index_what_is_to_be_said_is_still_written() {
    const FIRST: u64 = MOST as u64;
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 100).unwrap();
    put(&mut journal, 0..FIRST);
    let pages: i64 = journal.db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let room = |journal: &Journal, pages: i64| {
        journal.db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    room(&journal, pages + 20);
    for number in FIRST..FIRST + 3 {
        journal
            .transaction(|it| {
                it.put_frame(&hash(number), &row(None))?;
                it.queue(&number.to_string(), 3, "detection", |_, seq| seq)
            })
            .unwrap();
    }
    assert_eq!((indexed(&journal), journal.outbox().unwrap().totals().unwrap().queued), (0, 3));
    assert!((0..FIRST + 3).all(|number| journal.known(&hash(number)).unwrap().is_some()));
    room(&journal, 1 << 30);
    put(&mut journal, FIRST + 3..FIRST + 3 + LATER as u64);
    put(&mut journal, 0..1);
    assert_eq!(indexed(&journal), FIRST + 3 + LATER as u64);
    assert!((0..FIRST + 3).all(|number| journal.known(&hash(number)).unwrap().is_some()));
}

#[test]
fn whatever_is_done_in_whatever_order_what_was_put_and_not_forgotten_is_known_and_nothing_else() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let directory = tempfile::tempdir().unwrap();
        let open = || {
            let mut journal = Journal::open(directory.path(), 100).unwrap();
            assert_eq!(journal.warning(), None);
            journal.hold_for(std::time::Duration::from_secs(3600));
            journal
        };
        let mut journal = open();
        // Contents in the order of their numbers, and those that wait; what each file holds.
        let (mut noted, mut waits) = (Vec::<u64>::new(), Vec::<(u64, u64)>::new());
        let mut files = std::collections::BTreeMap::<u64, u64>::new();
        let stamp = |content: u64| Stamp { size: content, mtime_ns: 2, inode: 3, device: 4 };
        for step in 0..400 {
            let (content, file) = (random.u64(..40), random.u64(..60));
            let name = file.to_string();
            let row = FrameRow { name: &name, ..row(None) };
            let settled = match random.u8(..12) {
                0..=3 if journal.known(&hash(content)).unwrap().is_some() => {
                    journal.note_copy(&name, &stamp(content), &hash(content)).unwrap();
                    waits.push((file, content));
                    false
                }
                0..=3 => {
                    journal.put_silent(&hash(content), &row, &stamp(content)).unwrap();
                    waits.push((file, content));
                    false
                }
                4 | 5 => {
                    let work = |it: &mut Transaction| {
                        it.put_frame(&hash(content), &row)?;
                        it.note_file(&name, &stamp(content), &hash(content))
                    };
                    journal.write(random.bool(), work).unwrap();
                    waits.push((file, content));
                    true
                }
                6 => {
                    let failed: Result<(), _> = journal.write(random.bool(), |it| {
                        it.put_frame(&hash(content), &row)?;
                        it.note_file(&name, &stamp(content), &hash(content))?;
                        Err(crate::journal::JournalError::InUse { file: "made up".into() })
                    });
                    assert!(failed.is_err());
                    false
                }
                7 => {
                    journal.settle().unwrap();
                    true
                }
                8 => {
                    // Cut off: what waits is gone.
                    waits.clear();
                    drop(journal);
                    journal = open();
                    false
                }
                9 => {
                    settle(&mut noted, &mut waits, &mut files);
                    let gone = journal.trim(0).unwrap() as usize;
                    assert_eq!(
                        gone,
                        noted.len().div_ceil(10).min(noted.len().saturating_sub(1)),
                        "seed {seed}, {step}"
                    );
                    let gone: Vec<u64> = noted.drain(..gone).collect();
                    files.retain(|_, content| !gone.contains(content));
                    false
                }
                _ => false,
            };
            if settled {
                settle(&mut noted, &mut waits, &mut files);
            }
            for content in 0..40 {
                let known = noted.contains(&content) || waits.iter().any(|(_, it)| *it == content);
                assert_eq!(journal.known(&hash(content)).unwrap().is_some(), known, "seed {seed}, {step}: {content}");
            }
            let seen: std::collections::BTreeMap<u64, u64> = journal
                .db
                .prepare("SELECT files.name, size, hash FROM files JOIN frames ON frames.id = files.frame")
                .unwrap()
                .query_map([], |row| {
                    let (name, size): (String, i64) = (row.get(0)?, row.get(1)?);
                    assert_eq!(row.get::<_, [u8; 32]>(2)?, *hash(size as u64).as_bytes());
                    Ok((name.parse().unwrap(), size as u64))
                })
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert_eq!(seen, files, "seed {seed}, {step}");
            let all: (i64, i64, i64) = journal
                .db
                .query_row(
                    "SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM frames),
                         (SELECT count(*) FROM known WHERE frame NOT IN (SELECT id FROM frames))",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
                .unwrap();
            assert_eq!(all, (files.len() as i64, noted.len() as i64, 0), "seed {seed}, {step}");
        }
    }
}

fn settle(noted: &mut Vec<u64>, waits: &mut Vec<(u64, u64)>, files: &mut std::collections::BTreeMap<u64, u64>) {
    for (file, content) in waits.drain(..) {
        if !noted.contains(&content) {
            noted.push(content);
        }
        files.insert(file, content);
    }
}
