#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

fn candidate(name: &str, size: u64, live: bool) -> Candidate {
    let stamp = Stamp { size, mtime_ns: 0, inode: 0, device: 0 };
    Candidate { path: name.into(), name: name.into(), stamp, live }
}

fn next(queue: &Queue) -> Option<(String, u64)> {
    queue.pop(Duration::ZERO).map(|candidate| (candidate.name, candidate.stamp.size))
}

#[test]
fn live_leaves_before_backlog_and_each_in_order() {
    let queue = Queue::new();
    for (name, live) in [("b1", false), ("l1", true), ("b2", false), ("l2", true)] {
        queue.push(candidate(name, 1, live));
    }
    assert_eq!(queue.len(), (2, 2));
    let order: Vec<_> = std::iter::from_fn(|| next(&queue)).map(|(name, _)| name).collect();
    assert_eq!(order, ["l1", "l2", "b1", "b2"]);
    assert!(queue.is_empty());
}

#[test]
fn a_path_is_never_out_twice() {
    let queue = Queue::new();
    queue.push(candidate("a", 1, false));
    queue.push(candidate("a", 2, false));
    assert_eq!(queue.len(), (0, 1));
    let first = queue.pop(LIMIT).unwrap();
    assert_eq!(first.stamp.size, 2, "the newest version leaves");
    queue.push(candidate("a", 3, true));
    queue.push(candidate("a", 4, true));
    assert_eq!((queue.len(), next(&queue)), ((0, 0), None));
    queue.done(&first);
    assert_eq!(next(&queue), Some(("a".into(), 4)));
}

#[test]
fn a_backlog_file_that_moves_becomes_live_and_leaves_once() {
    let queue = Queue::new();
    for name in ["a", "b"] {
        queue.push(candidate(name, 1, false));
    }
    queue.push(candidate("b", 2, true));
    assert_eq!(queue.len(), (1, 1));
    let b = queue.pop(LIMIT).unwrap();
    assert_eq!((b.name.as_str(), b.stamp.size, b.live), ("b", 2, true));
    queue.done(&b);
    // Its old place in the backlog must not count, nor give it out again.
    queue.push(candidate("b", 3, false));
    assert_eq!(queue.len(), (0, 2));
    assert_eq!(next(&queue), Some(("a".into(), 1)));
    assert_eq!(next(&queue), Some(("b".into(), 3)));
    assert_eq!((next(&queue), queue.len()), (None, (0, 0)));
}

#[test]
fn a_version_is_held_until_done() {
    let queue = Queue::new();
    let (old, new) = (candidate("a", 1, true), candidate("a", 2, true));
    let holds = |candidate: &Candidate| queue.holds(&candidate.path, &candidate.stamp);
    assert!(!holds(&old));
    queue.push(old.clone());
    assert!(holds(&old) && !holds(&new));
    let out = queue.pop(LIMIT).unwrap();
    assert!(holds(&old) && !holds(&new));
    queue.push(new.clone());
    assert!(holds(&new));
    queue.done(&out);
    assert!(holds(&new) && !holds(&old));
    queue.done(&out);
    assert!(holds(&new), "done twice gives nothing free that is still queued");
}

#[test]
fn room_counts_what_waits() {
    let queue = Queue::with_capacity(2);
    queue.push(candidate("a", 1, true));
    assert_eq!((queue.room(true), queue.room(false)), (1, 2));
    queue.push(candidate("b", 1, true));
    queue.push(candidate("c", 1, true));
    assert_eq!((queue.room(true), queue.room(false)), (0, 2));
    assert_eq!(Queue::with_capacity(0).room(false), 1, "nothing would ever come");
}

#[test]
fn a_waiting_worker_is_woken_by_a_frame_and_sent_home_by_close() {
    let queue = Arc::new(Queue::new());
    let worker = {
        let queue = Arc::clone(&queue);
        std::thread::spawn(move || {
            let first = queue.pop(LIMIT);
            (first.map(|candidate| candidate.name), queue.pop(Duration::MAX))
        })
    };
    queue.push(candidate("a", 1, true));
    while !queue.is_empty() {
        std::thread::yield_now();
    }
    queue.close();
    assert_eq!(worker.join().unwrap(), (Some("a".into()), None));
    queue.push(candidate("b", 1, true));
    assert!(queue.is_closed() && queue.pop(LIMIT).is_none());
}
