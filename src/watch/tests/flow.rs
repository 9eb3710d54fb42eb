//! Order, bounds, floods, polling, and the end.

use std::sync::mpsc;
use std::time::SystemTime;

use notify::event::{Event, EventKind, Flag};

use super::*;

#[test]
fn what_lay_there_is_backlog_and_what_arrives_overtakes_it() {
    let mut trap = Trap::new();
    for i in 0..20 {
        trap.write(format!("old{i:02}.jpg"), b"frame");
    }
    trap.start();
    trap.wait_scans(1);
    // All of the backlog is queued before the live one arrives.
    while trap.queue.len() != (0, 20) {
        thread::yield_now();
    }
    trap.write("new.jpg", b"frame");
    while trap.queue.len() != (1, 20) {
        thread::yield_now();
    }
    let first = trap.take();
    assert_eq!((first.name.as_str(), first.live), ("new.jpg", true));
    for i in 0..20 {
        let next = trap.take();
        assert_eq!((next.name, next.live), (format!("old{i:02}.jpg"), false));
    }
}

#[test]
fn a_fresh_file_at_start_is_live_and_one_from_the_future_is_not() {
    let mut trap = Trap::new().set(|s| s.fresh = Duration::from_secs(120));
    for (name, shift) in [("now.jpg", 0), ("later.jpg", 3_600)] {
        let path = trap.write(name, b"frame");
        let time = SystemTime::now() + Duration::from_secs(shift);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    trap.start();
    for _ in 0..2 {
        let found = trap.take();
        assert_eq!(found.live, found.name == "now.jpg", "{}", found.name);
    }
}

#[test]
fn what_the_journal_knows_does_not_come_again() {
    let mut trap = Trap::new();
    let path = trap.write("known.jpg", b"frame");
    let stamp = Stamp::from(&fs::metadata(path).unwrap());
    trap.journal.0.lock().unwrap().insert(("known.jpg".into(), stamp));
    trap.write("new.jpg", b"frame");
    trap.start();
    trap.assert_comes_once(["new.jpg".to_owned()]);
}

#[test]
fn a_file_given_up_without_a_record_is_offered_again() {
    let trap = Trap::new().set(|s| s.reconcile = Duration::from_millis(50)).watching();
    trap.write("a.jpg", b"frame");
    let candidate = trap.queue.pop(LIMIT).unwrap();
    trap.queue.done(&candidate);
    assert_eq!(trap.take().name, "a.jpg");
}

#[test]
fn polling_finds_everything_without_events() {
    let trap = Trap::new().set(|s| s.poll = true);
    trap.write("DCIM/old.jpg", b"frame");
    let trap = trap.watching();
    assert!(!trap.take().live);
    let name = |i: usize| format!("cam/{}/IMG{i}.jpg", i % 7);
    for i in 0..300 {
        trap.write(name(i), b"frame");
    }
    trap.assert_comes_once((0..300).map(name));
    trap.write("DCIM/old.jpg", b"written again");
    let again = trap.take();
    assert_eq!((again.name.as_str(), again.live), ("DCIM/old.jpg", true));
}

#[test]
fn the_rescan_flag_without_paths_leads_to_a_full_scan() {
    // No other way to notice the file: no events when polling, and no poll for an hour.
    let mut trap = Trap::new().set(|s| s.poll = true);
    trap.timing.poll = NEVER;
    let trap = trap.watching();
    trap.write("DCIM/a.jpg", b"frame");
    trap.assert_nothing_comes();
    let event = Event::new(EventKind::Other).set_flag(Flag::Rescan);
    assert!(event.paths.is_empty());
    trap.watch.as_ref().unwrap().hints.on_event(Ok(event));
    assert_eq!(trap.take().name, "DCIM/a.jpg");
    assert_eq!(trap.reports.count(|report| *report == Report::EventsLost), 1);
}

#[test]
fn a_flood_that_overflows_the_kernel_queue_loses_nothing() {
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // A file is four events: created, opened, written, closed.
    let files = (limit / 4 + 1_000).min(20_000);
    let trap = Trap::new();
    fs::create_dir(trap.root.join("cam")).unwrap();
    let trap = trap.watching();
    let name = |i: usize| format!("cam/IMG{i}.jpg");
    let stalled = trap.watch.as_ref().unwrap().hints.stall();
    for i in 0..files {
        fs::write(trap.root.join(name(i)), b"frame").unwrap();
    }
    drop(stalled);
    trap.assert_comes_once((0..files).map(name));
    if files * 4 > limit {
        assert!(trap.reports.count(|report| *report == Report::EventsLost) > 0);
    }
    // The watch still works.
    trap.write("sub/after.jpg", b"frame");
    assert_eq!(trap.take().name, "sub/after.jpg");
}

#[test]
fn a_backlog_beyond_the_queue_waits_on_disk_and_all_of_it_comes_once() {
    let mut trap = Trap::new();
    trap.queue = Arc::new(Queue::with_capacity(10));
    let name = |i: usize| format!("old{i:03}.jpg");
    for i in 0..95 {
        trap.write(name(i), b"frame");
    }
    trap.start();
    trap.reports.wait(1, |report| matches!(report, Report::ScanDone { complete: false, files: 95, new: 10, .. }));
    // A live frame finds its way past a full backlog.
    trap.write("live.jpg", b"frame");
    while trap.queue.len().0 == 0 {
        thread::yield_now();
    }
    assert_eq!(trap.take().name, "live.jpg");
    let mut left: HashSet<String> = (0..95).map(name).collect();
    while !left.is_empty() {
        assert!(trap.queue.len().1 <= 10);
        let found = trap.take();
        assert!(!found.live, "{} was there from the start", found.name);
        assert!(left.remove(&found.name), "{} came twice", found.name);
    }
    trap.wait_scans(1);
    trap.assert_nothing_comes();
}

#[test]
fn live_frames_beyond_the_queue_wait_on_disk_and_all_of_them_come_once() {
    let mut trap = Trap::new();
    trap.queue = Arc::new(Queue::with_capacity(10));
    let trap = trap.watching();
    let name = |i: usize| format!("IMG{i:03}.jpg");
    for i in 0..95 {
        trap.write(name(i), b"frame");
    }
    trap.assert_comes_once((0..95).map(name));
}

#[test]
fn a_directory_that_cannot_be_read_is_reported_once_and_the_rest_comes() {
    let trap = Trap::new().set(|s| s.reconcile = Duration::from_millis(20));
    // Deeper than any path may be long; made step by step, since no single path can name it.
    let step = "d".repeat(250);
    let mut at = rustix::fs::open(&trap.root, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..18 {
        rustix::fs::mkdirat(&at, &step, rustix::fs::Mode::from_raw_mode(0o700)).unwrap();
        at = rustix::fs::openat(&at, &step, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    }
    trap.write("a.jpg", b"frame");
    let trap = trap.watching();
    assert_eq!(trap.take().name, "a.jpg");
    trap.wait_scans(4);
    assert_eq!(trap.reports.count(|report| matches!(report, Report::FileError { .. })), 1);
}

#[test]
fn a_locked_directory_is_entered_once_it_is_unlocked() {
    use std::os::unix::fs::PermissionsExt;
    let trap = Trap::new().set(|s| s.reconcile = Duration::from_millis(20));
    trap.write("locked/a.jpg", b"frame");
    let locked = trap.root.join("locked");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may enter anyway.
    let barred = usize::from(fs::read_dir(&locked).is_err());
    let trap = trap.watching();
    trap.wait_scans(4);
    assert_eq!(trap.reports.count(|report| matches!(report, Report::FileError { .. })), barred);
    if barred == 1 {
        trap.assert_nothing_comes();
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    trap.assert_comes_once(["locked/a.jpg".to_owned()]);
}

#[test]
fn directories_below_each_other_without_end_are_given_up() {
    let trap = Trap::new();
    trap.write(format!("{}a.jpg", "d/".repeat(32)), b"frame");
    trap.write(format!("{}b.jpg", "d/".repeat(33)), b"frame");
    let trap = trap.watching();
    assert!(trap.take().name.ends_with("a.jpg"));
    trap.reports.wait(1, |report| matches!(report, Report::FileError { .. }));
    trap.assert_nothing_comes();
}

#[test]
fn stopping_does_not_wait_for_the_next_scan() {
    let mut trap = Trap::new();
    for i in 0..500 {
        trap.write(format!("{i}.jpg"), b"frame");
    }
    trap.timing.root_check = NEVER;
    // While it scans, and while it sleeps.
    for sleeping in [false, true] {
        trap.start();
        if sleeping {
            trap.wait_scans(1);
        }
        let watch = trap.watch.take().unwrap();
        assert!(watch.is_running());
        let (stopped, told) = mpsc::channel();
        thread::spawn(move || {
            watch.stop();
            stopped.send(()).unwrap();
        });
        told.recv_timeout(LIMIT).expect("stop() hangs");
    }
}

#[test]
fn an_empty_path_is_an_error_at_once() {
    let trap = Trap::new().set(|s| s.directory = PathBuf::new());
    let answer = super::super::start(trap.settings, trap.journal, trap.queue, trap.timing.pulse, |_| {});
    assert!(answer.unwrap_err().to_string().contains("give an absolute path"));
}
