//! Files on their way in.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_burst_into_new_nested_directories_comes_once_each() {
    let trap = Trap::new().set(|s| s.settle = Duration::from_secs(2)).watching();
    let name = |i: usize| format!("cam{}/DCIM/{:03}MEDIA/IMG_{i:04}.JPG", i % 3, i / 10);
    for i in 0..2_000 {
        trap.write(name(i), b"frame");
    }
    trap.assert_comes_once((0..2_000).map(name));
}

#[test]
fn a_directory_moved_in_brings_its_files_and_is_watched() {
    let trap = Trap::new().watching();
    let outside = trap.home.path().join("card");
    fs::create_dir_all(outside.join("DCIM")).unwrap();
    fs::write(outside.join("DCIM/a.jpg"), b"frame").unwrap();
    fs::rename(&outside, trap.root.join("card")).unwrap();
    assert_eq!(trap.take().name, "card/DCIM/a.jpg");
    trap.write("card/DCIM/b.jpg", b"frame");
    assert_eq!(trap.take().name, "card/DCIM/b.jpg");
    trap.assert_nothing_comes();
}

#[test]
fn a_directory_renamed_inside_keeps_being_watched_under_its_new_name() {
    let trap = Trap::new();
    fs::create_dir_all(trap.root.join("old/sub")).unwrap();
    let trap = trap.watching();
    fs::rename(trap.root.join("old"), trap.root.join("new")).unwrap();
    // Comes late enough that the rename was noticed, and early enough that it may not have been: both must do.
    trap.write("new/sub/a.jpg", b"frame");
    assert_eq!(trap.take().name, "new/sub/a.jpg");
    trap.write("new/sub/b.jpg", b"frame");
    assert_eq!(trap.take().name, "new/sub/b.jpg");
}

#[test]
fn a_slow_copy_comes_when_its_writer_closes_it_and_not_before() {
    let trap = Trap::new().set(|s| s.settle = NEVER).watching();
    let mut file = File::create(trap.root.join("a.jpg")).unwrap();
    for _ in 0..3 {
        file.write_all(&[7; 1_000]).unwrap();
        assert_eq!(trap.queue.pop(Duration::from_millis(200)), None);
    }
    drop(file);
    let candidate = trap.take();
    assert_eq!((candidate.name.as_str(), candidate.stamp.size, candidate.live), ("a.jpg", 3_000, true));
}

#[test]
fn a_file_that_is_never_closed_comes_once_it_stands_still() {
    let trap = Trap::new().watching();
    let mut file = File::create(trap.root.join("a.jpg")).unwrap();
    file.write_all(b"frame").unwrap();
    assert_eq!(trap.take().stamp.size, 5);
    drop(file);
    trap.assert_nothing_comes();
}

#[test]
fn a_rename_into_place_comes_under_the_final_name_only() {
    let trap = Trap::new().set(|s| s.settle = NEVER).watching();
    for temporary in [".a.jpg.Xy1", "a.jpg.part", "a.jpg~", "a.tmp"] {
        trap.write(temporary, b"frame");
    }
    assert_eq!(trap.queue.pop(Duration::from_millis(200)), None);
    fs::rename(trap.root.join("a.jpg.part"), trap.root.join("a.jpg")).unwrap();
    assert_eq!(trap.take().name, "a.jpg");
}

#[test]
fn a_file_written_again_comes_again() {
    let trap = Trap::new().watching();
    trap.write("a.jpg", b"first");
    assert_eq!(trap.take().stamp.size, 5);
    trap.write("a.jpg", b"second");
    assert_eq!(trap.take().stamp.size, 6);
    trap.assert_nothing_comes();
}

#[test]
fn a_file_written_again_while_in_work_comes_again_afterwards() {
    let trap = Trap::new().watching();
    trap.write("a.jpg", b"first");
    let in_work = trap.queue.pop(LIMIT).unwrap();
    trap.write("a.jpg", b"second");
    trap.write("b.jpg", b"frame");
    assert_eq!(trap.take().name, "b.jpg");
    trap.assert_nothing_comes();
    trap.finish(&in_work);
    assert_eq!(trap.take().stamp.size, 6);
}

#[test]
fn a_file_in_work_is_not_offered_again_by_the_scans_meanwhile() {
    let trap = Trap::new().set(|s| s.reconcile = Duration::from_millis(20)).watching();
    trap.write("a.jpg", b"frame");
    let in_work = trap.queue.pop(LIMIT).unwrap();
    // Long enough to settle once more, with many scans.
    trap.assert_nothing_comes();
    trap.finish(&in_work);
    trap.assert_nothing_comes();
}

#[test]
fn an_empty_file_comes_when_it_stays_empty() {
    let trap = Trap::new().watching();
    trap.write("a.jpg", b"");
    assert_eq!(trap.take().stamp.size, 0);
    trap.assert_nothing_comes();
}

#[test]
fn an_empty_file_is_not_settled_by_being_closed() {
    let trap = Trap::new().set(|s| s.settle = NEVER).watching();
    trap.write("a.jpg", b"");
    assert_eq!(trap.queue.pop(Duration::from_millis(200)), None);
    trap.write("a.jpg", b"frame");
    assert_eq!(trap.take().stamp.size, 5);
}

#[test]
fn what_is_no_regular_file_is_never_touched() {
    let trap = Trap::new();
    let pipe = |name: &str| {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, trap.root.join(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    pipe("before.jpg");
    let _socket = std::os::unix::net::UnixListener::bind(trap.root.join("socket.jpg")).unwrap();
    fs::create_dir(trap.root.join("directory.jpg")).unwrap();
    let trap = trap.watching();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, trap.root.join("after.jpg"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    trap.write("directory.jpg/frame.jpg", b"frame");
    assert_eq!(trap.take().name, "directory.jpg/frame.jpg");
    trap.assert_nothing_comes();
}

#[test]
fn odd_names_come_and_can_be_opened() {
    let trap = Trap::new();
    let names: [&[u8]; 4] = [b"b\xffar.jpg", b"two\nlines.jpg", b" .JPG", b"d\xfe/x.png"];
    for name in &names[..2] {
        trap.write(OsStr::from_bytes(name), b"frame");
    }
    let trap = trap.watching();
    for name in &names[2..] {
        trap.write(OsStr::from_bytes(name), b"frame");
    }
    let mut found: Vec<_> = (0..4)
        .map(|_| {
            let candidate = trap.take();
            assert_eq!(fs::read(&candidate.path).unwrap(), b"frame");
            candidate.name
        })
        .collect();
    found.sort();
    assert_eq!(found, [" .JPG", "b\u{fffd}ar.jpg", "d\u{fffd}/x.png", "two\nlines.jpg"]);
}

#[test]
fn symbolic_links_are_ignored_and_loops_end() {
    let trap = Trap::new();
    symlink(&trap.root, trap.root.join("loop")).unwrap();
    fs::write(trap.home.path().join("outside.jpg"), b"frame").unwrap();
    symlink(trap.home.path().join("outside.jpg"), trap.root.join("link.jpg")).unwrap();
    symlink("nowhere", trap.root.join("dangling.jpg")).unwrap();
    let trap = trap.watching();
    symlink("..", trap.root.join("up")).unwrap();
    symlink(trap.home.path().join("outside.jpg"), trap.root.join("later.jpg")).unwrap();
    trap.write("a.jpg", b"frame");
    trap.assert_comes_once(["a.jpg".to_owned()]);
}

#[test]
fn hidden_and_system_directories_are_not_entered() {
    let trap = Trap::new();
    trap.write(".Trash-0/a.jpg", b"frame");
    let trap = trap.watching();
    trap.write("$RECYCLE.BIN/b.jpg", b"frame");
    trap.write(".stage/c.jpg", b"frame");
    trap.write("d.jpg", b"frame");
    trap.assert_comes_once(["d.jpg".to_owned()]);
}

#[test]
fn an_unsupported_picture_is_named_once() {
    let trap = Trap::new().set(|s| s.reconcile = Duration::from_millis(20));
    trap.write("old.CR2", b"raw");
    let trap = trap.watching();
    trap.write("IMG.heic", b"heic");
    let unsupported = |report: &Report| matches!(report, Report::UnsupportedFile { .. });
    trap.reports.wait(2, unsupported);
    trap.wait_scans(4);
    assert_eq!(trap.reports.count(unsupported), 2);
    let heic = Report::UnsupportedFile { name: "IMG.heic".into(), format: "HEIC" };
    assert_eq!(trap.reports.count(|report| *report == heic), 1);
}
