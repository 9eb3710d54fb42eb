//! What no daemon is needed for.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::json;
use tokio::io::AsyncWrite;
use tokio::net::UnixStream;

use super::board::{Board, FRAMES, Viewer};
use super::feed::{Shown, What};
use super::patient::Patient;
use super::tally::{BUCKETS, Tally};
use crate::detection::Detection;

fn detection(name: &str, label: &str, latency_ms: u64) -> Detection {
    let mut detection: Detection = serde_json::from_value(json!({
        "schema": 1, "id": "", "epoch": null, "seq": null, "kind": "detection", "trap": "test", "camera": null, "event": null,
        "frame": { "name": name, "captured_at": "", "captured_at_source": "file", "camera_time": null, "width": 4, "height": 3,
                   "sha256": "", "partial": false },
        "label": label, "confidence": 0.5, "scores": {}, "novel": null,
        "decision": { "alert": false, "threshold": 0.5, "rule": "" },
        "model": { "backbone": "", "head": "", "sequence": 1 },
        "location": null, "thumbnail": null, "processed_at": "", "latency_ms": 0, "replayed": false,
    }))
    .unwrap();
    detection.latency_ms = latency_ms;
    detection
}

fn shown(number: usize) -> Shown {
    let what = What::Frame(Box::new(detection(&number.to_string(), "walrus", 1)));
    Shown { what, picture: Some(Bytes::from_static(b"picture")) }
}

/// What has been told and not yet read; whether that is all there will be.
fn read(viewer: &mut Viewer) -> (usize, bool) {
    let mut context = Context::from_waker(Waker::noop());
    let mut events = 0;
    loop {
        match viewer.poll_next(&mut context) {
            Poll::Ready(Some(_)) => events += 1,
            Poll::Ready(None) => return (events, true),
            Poll::Pending => return (events, false),
        }
    }
}

#[test]
fn who_does_not_read_is_sent_away_and_the_others_are_told() {
    let mut board = Board::new();
    let mut reads = board.look(Vec::new()).unwrap();
    let mut sleeps = board.look(Vec::new()).unwrap();
    assert_eq!(read(&mut reads), (1, false), "the frames so far");
    for number in 0..100 {
        board.add(shown(number));
        assert_eq!(read(&mut reads), (1, false));
    }
    let (events, over) = read(&mut sleeps);
    assert!(over && events < 50, "{events}");
    drop((reads, sleeps));
    assert!(!board.is_watched());
}

#[test]
fn the_board_holds_no_more_than_its_bounds() {
    let mut board = Board::new();
    (0..FRAMES + 50).for_each(|number| board.add(shown(number)));
    let all = board.detections(usize::MAX);
    assert_eq!((all.len(), &all[0]["frame"]["name"]), (FRAMES, &(FRAMES + 49).to_string().into()));
    let pictures = (0..=FRAMES as u64 + 50).filter(|number| board.picture(*number).is_some()).count();
    assert_eq!(pictures, 30);
    let viewers: Vec<_> = std::iter::from_fn(|| board.look(Vec::new())).collect();
    assert_eq!(viewers.len(), 8);
    drop(viewers);
    assert!(board.look(Vec::new()).is_some(), "there is room again");
}

#[test]
fn each_frame_is_in_one_bucket_and_slower_ones_than_any_are_counted_too() {
    let mut tally = Tally::default();
    for latency in [0, 25, 26, 30_000, 30_001] {
        tally.count(&detection("a", "walrus", latency));
    }
    assert_eq!((tally.buckets[0], tally.buckets[1], tally.buckets[BUCKETS.len() - 1]), (2, 1, 1));
    assert_eq!((tally.frames, tally.sum_ms, tally.labels["walrus"]), (5, 60_052, 5));
    (0..1000).for_each(|label| tally.count(&detection("a", &label.to_string(), 1)));
    assert_eq!((tally.labels.len(), tally.frames), (100, 1005));
}

#[test]
fn a_write_that_nobody_reads_fails_in_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut patient = Box::pin(Patient::new(ours, Duration::from_millis(20)));
        loop {
            let written = std::future::poll_fn(|context| patient.as_mut().poll_write(context, &[0; 65_536])).await;
            if let Err(error) = written {
                return error;
            }
        }
    });
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
