#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind};

use super::*;

const CREATED: EventKind = EventKind::Create(CreateKind::File);
const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
const RENAMED_TO: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));
const TOUCHED: EventKind = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));

fn batch(events: &[(EventKind, &str)]) -> Batch {
    let hints = Hints::default();
    for (kind, path) in events {
        hints.on_event(Ok(Event::new(*kind).add_path(path.into())));
    }
    hints.wait(Duration::ZERO)
}

fn hint(kinds: &[EventKind]) -> Hint {
    let events: Vec<_> = kinds.iter().map(|kind| (*kind, "a.jpg")).collect();
    let batch = batch(&events);
    assert_eq!(batch.paths.len(), 1);
    batch.paths[0].1
}

#[test]
fn closing_and_renaming_finish_a_file_and_writing_again_undoes_it() {
    assert_eq!(hint(&[CREATED, WRITTEN, CLOSED]), Hint::Finished);
    assert_eq!(hint(&[RENAMED_TO]), Hint::Finished);
    assert_eq!(hint(&[CLOSED, WRITTEN]), Hint::Written);
    assert_eq!(hint(&[CLOSED, EventKind::Remove(RemoveKind::File), CREATED]), Hint::Look);
}

#[test]
fn a_change_of_times_after_closing_leaves_a_file_finished() {
    assert_eq!(hint(&[CLOSED, TOUCHED]), Hint::Finished);
    assert_eq!(hint(&[TOUCHED]), Hint::Look);
}

#[test]
fn reading_is_no_news() {
    let read = EventKind::Access(AccessKind::Open(AccessMode::Any));
    assert_eq!(batch(&[(read, "a.jpg")]), Batch::default());
}

#[test]
fn files_keep_the_order_in_which_they_were_finished() {
    let events = [(CREATED, "b"), (CREATED, "a"), (CLOSED, "a"), (CLOSED, "b"), (TOUCHED, "a")];
    let paths: Vec<_> = batch(&events).paths.into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["a", "b"].map(PathBuf::from));
}

#[test]
fn the_rescan_flag_counts_although_it_has_no_paths() {
    let hints = Hints::default();
    hints.on_event(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
    assert!(hints.wait(Duration::ZERO).lost);
    assert!(!hints.wait(Duration::ZERO).lost, "once is enough");
    hints.on_event(Err(notify::Error::generic("read failed")));
    assert!(hints.wait(Duration::ZERO).lost);
}

#[test]
fn a_flood_of_paths_becomes_one_scan_and_bounded_memory() {
    let hints = Hints::default();
    for i in 0..=Hints::CAPACITY {
        for _ in 0..2 {
            hints.on_event(Ok(Event::new(CLOSED).add_path(format!("{i}.jpg").into())));
        }
    }
    let batch = hints.wait(Duration::ZERO);
    assert!(batch.lost && batch.paths.len() <= 1);
}

#[test]
fn stopping_ends_the_wait_for_good() {
    let hints = Hints::default();
    hints.stop();
    for _ in 0..2 {
        assert!(hints.wait(Duration::MAX).stopped);
    }
}

#[test]
fn writing_alone_does_not_wake_the_watch() {
    let (hints, patience) = (Hints::default(), Duration::from_millis(30));
    let write = || hints.on_event(Ok(Event::new(WRITTEN).add_path("a.jpg".into())));
    let begun = std::time::Instant::now();
    write();
    assert_eq!(hints.wait(patience).paths, [("a.jpg".into(), Hint::Written)]);
    assert!(begun.elapsed() >= patience);
    write();
    hints.on_event(Ok(Event::new(CLOSED).add_path("b.jpg".into())));
    assert_eq!(hints.wait(Duration::MAX).paths.len(), 2);
}
