#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::super::{FrameRow, Journal, priority};
use super::*;
use crate::watch::Stamp;

const DEVICE: u64 = 4;

fn hash(number: u8) -> ContentHash {
    ContentHash::of(&[number])
}

/// A journal with a file `NUMBER.jpg` for each of `frames`: whether it alerted, and why it failed.
fn journal(directory: &std::path::Path, frames: &[(bool, Option<&str>)]) -> Journal {
    let mut journal = Journal::open(directory, 100).unwrap();
    for (number, (alert, failed)) in (0..).zip(frames) {
        put(&mut journal, number, *alert, *failed, DEVICE);
    }
    journal
}

fn put(journal: &mut Journal, number: u8, alert: bool, failed: Option<&str>, device: u64) {
    let name = format!("{number}.jpg");
    let row = FrameRow { name: &name, alert, failed, processed_at: "now", ..FrameRow::default() };
    let stamp = Stamp { size: 1, mtime_ns: 2, inode: 3, device };
    journal
        .transaction(|transaction| {
            transaction.put_frame(&hash(number), &row)?;
            transaction.note_file(&name, &stamp, &hash(number))
        })
        .unwrap();
}

fn names(files: &DoneFiles, alert: bool, noted: u64) -> Vec<String> {
    files.oldest(DEVICE, alert, noted, None, 10).unwrap().into_iter().map(|file| file.name).collect()
}

#[test]
fn what_could_not_be_looked_at_or_lies_on_another_card_may_not_leave() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path(), &[(false, None), (true, None), (false, Some("damaged"))]);
    put(&mut journal, 9, false, None, DEVICE + 1);
    let files = journal.done_files().unwrap();
    assert_eq!((names(&files, false, 1), names(&files, true, 1)), (vec!["0.jpg".into()], vec!["1.jpg".into()]));
}

#[test]
fn files_come_in_pages_the_oldest_first_and_each_once() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path(), &[(false, None); 5]);
    let db = Connection::open(directory.path().join("journal.sqlite")).unwrap();
    db.execute_batch("UPDATE files SET noted = 7; UPDATE files SET noted = 3 WHERE name = '4.jpg'").unwrap();
    let files = journal.done_files().unwrap();
    let mut found = Vec::new();
    let mut last = None;
    loop {
        let page = files.oldest(DEVICE, false, 7, last.as_ref(), 2).unwrap();
        found.extend(page.iter().map(|file| file.name.clone()));
        match page.into_iter().last() {
            Some(file) => last = Some(file),
            None => break,
        }
    }
    assert_eq!(found, ["4.jpg", "0.jpg", "1.jpg", "2.jpg", "3.jpg"]);
    assert_eq!(names(&files, false, 6), ["4.jpg"]);
}

#[test]
fn a_file_that_is_noted_again_with_another_stamp_is_no_younger_and_with_another_content_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path(), &[(false, None), (false, None)]);
    let db = Connection::open(directory.path().join("journal.sqlite")).unwrap();
    // Noted at a time that is not now, so that it shows.
    db.execute_batch("UPDATE files SET noted = 5000").unwrap();
    let moved = Stamp { size: 1, mtime_ns: 20, inode: 30, device: DEVICE };
    journal.note_copy("0.jpg", &moved, &hash(0)).unwrap();
    journal.note_copy("1.jpg", &moved, &hash(0)).unwrap();
    let files = journal.done_files().unwrap();
    assert_eq!((names(&files, false, 4999), names(&files, false, 5000).len()), (vec!["1.jpg".into()], 2));
}

#[test]
fn an_alert_is_told_once_its_message_its_event_and_the_events_messages_are_through() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path(), &[(true, None)]);
    let files = journal.done_files().unwrap();
    let told = || {
        let file = &files.oldest(DEVICE, true, 10, None, 1).unwrap()[0];
        files.is_told("trap", file, &files.unfinished().unwrap()).unwrap()
    };
    assert!(told());
    let mut outbox = journal.outbox().unwrap();
    // Another event's message says nothing of this frame once it is known whose frame it is.
    let other = |journal: &mut Journal, id: &str, event: &str| {
        let body = |_: &str, _| json!({ "event": { "id": event } });
        journal.transaction(|transaction| transaction.queue(id, priority::LIVE, "detection", body)).unwrap()
    };
    let first = other(&mut journal, "first", "of another");
    assert!(!told(), "an older version did not note the event");
    journal.transaction(|transaction| transaction.put_in_event(&hash(0), "ours")).unwrap();
    assert!(told());
    let second = other(&mut journal, "second", "ours");
    assert!(!told());
    outbox.acked(&[first, second]).unwrap();
    assert!(told());
    let own = message_id("trap", &hash(0).to_string(), Kind::Detection);
    let own = other(&mut journal, &own, "of another");
    assert!(!told());
    let db = Connection::open(directory.path().join("journal.sqlite")).unwrap();
    db.execute("UPDATE messages SET state = 'dropped', body = NULL WHERE seq = ?1", [own as i64]).unwrap();
    assert!(!told(), "nobody was told");
    db.execute("UPDATE messages SET state = 'acked' WHERE seq = ?1", [own as i64]).unwrap();
    assert!(told());
    db.execute_batch("INSERT INTO events VALUES ('ours', '', 'polar_bear', 0, 0, 1, 0.9, '', '', 0, 1)").unwrap();
    assert!(!told(), "more may come");
}

#[test]
fn a_file_that_left_is_forgotten_its_frame_is_not_and_a_new_content_of_its_name_neither() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path(), &[(false, None), (false, None)]);
    let mut files = journal.done_files().unwrap();
    let gone = files.oldest(DEVICE, false, 10, None, 2).unwrap();
    put(&mut journal, 7, false, None, DEVICE);
    let stamp = Stamp { size: 1, mtime_ns: 2, inode: 3, device: DEVICE };
    journal.note_copy("1.jpg", &stamp, &hash(7)).unwrap();
    files.forget(&gone).unwrap();
    assert_eq!(names(&files, false, 10), ["1.jpg", "7.jpg"]);
    assert!(journal.known(&hash(0)).unwrap().is_some());
}

#[test]
fn a_frame_whose_message_was_dropped_stays_also_once_that_message_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 1).unwrap();
    for number in [0, 1] {
        put(&mut journal, number, true, None, DEVICE);
        let (id, sha256) = (number.to_string(), hash(number).to_string());
        let body = |_: &str, _| json!({ "kind": "detection", "frame": { "sha256": sha256 } });
        journal.transaction(|transaction| transaction.queue(&id, priority::LIVE, "detection", body)).unwrap();
    }
    let db = Connection::open(directory.path().join("journal.sqlite")).unwrap();
    assert_eq!(db.execute("DELETE FROM messages WHERE state = 'dropped'", []).unwrap(), 1);
    let files = journal.done_files().unwrap();
    assert_eq!((names(&files, true, 10), names(&files, false, 10)), (vec!["1.jpg".into()], vec![]));
}
