//! The capture directory itself comes and goes.

use super::*;

fn is_missing(report: &Report) -> bool {
    matches!(report, Report::RootMissing { .. })
}

fn is_back(report: &Report) -> bool {
    matches!(report, Report::RootBack { .. })
}

/// Replaced at once, or missing for a moment first: which of them is a race that a user does not care about.
fn is_another(report: &Report) -> bool {
    matches!(report, Report::RootReplaced { .. } | Report::RootBack { .. })
}

#[test]
fn a_missing_capture_directory_is_waited_for() {
    for poll in [false, true] {
        let mut trap = Trap::new().set(|s| s.poll = poll);
        fs::remove_dir(&trap.root).unwrap();
        trap.start();
        trap.reports.wait(1, is_missing);
        trap.appear("a.jpg");
        trap.reports.wait(1, is_back);
        let found = trap.take();
        assert_eq!((found.name.as_str(), found.live), ("a.jpg", false));
        trap.wait_scans(1);
        trap.write("b.jpg", b"frame");
        let found = trap.take();
        assert_eq!((found.name.as_str(), found.live), ("b.jpg", true));
        assert_eq!(trap.reports.count(is_missing), 1);
    }
}

#[test]
fn a_file_in_place_of_the_capture_directory_is_reported_and_waited_for() {
    let mut trap = Trap::new();
    fs::remove_dir(&trap.root).unwrap();
    fs::write(&trap.root, b"no directory").unwrap();
    trap.start();
    trap.reports.wait(1, |report| matches!(report, Report::RootMissing { error, .. } if error == "not a directory"));
    fs::remove_file(&trap.root).unwrap();
    trap.write("a.jpg", b"frame");
    assert_eq!(trap.take().name, "a.jpg");
}

#[test]
fn a_capture_directory_deleted_and_made_anew_is_watched_again() {
    let trap = Trap::new();
    trap.write("DCIM/a.jpg", b"frame");
    let trap = trap.watching();
    assert_eq!(trap.take().name, "DCIM/a.jpg");
    for round in 1..=3 {
        fs::remove_dir_all(&trap.root).unwrap();
        // At once: the new one may well get the old inode number.
        trap.write("DCIM/b.jpg", b"again");
        assert_eq!(trap.take().name, "DCIM/b.jpg");
        trap.reports.wait(round, is_another);
        trap.wait_scans(round + 1);
        trap.write("c.jpg", b"by event");
        let found = trap.take();
        assert_eq!(found.name, "c.jpg");
        trap.journal.0.lock().unwrap().clear();
    }
}

#[test]
fn a_capture_directory_moved_aside_and_replaced_is_left_for_the_new_one() {
    let trap = Trap::new();
    fs::create_dir(trap.root.join("sub")).unwrap();
    let trap = trap.watching();
    let aside = trap.home.path().join("aside");
    fs::rename(&trap.root, &aside).unwrap();
    trap.appear("a.jpg");
    let found = trap.take();
    assert_eq!((found.name.as_str(), found.live), ("a.jpg", false));
    trap.reports.wait(1, is_another);
    trap.wait_scans(2);
    fs::write(aside.join("sub/stray.jpg"), b"not ours any more").unwrap();
    fs::write(aside.join("stray.jpg"), b"not ours any more").unwrap();
    trap.write("b.jpg", b"frame");
    trap.assert_comes_once(["b.jpg".to_owned()]);
}

#[test]
fn a_moved_parent_is_noticed_without_an_event() {
    let mut trap = Trap::new();
    let parent = trap.home.path().join("card");
    trap.root = parent.join("DCIM");
    trap.settings.directory = trap.root.clone();
    fs::create_dir_all(&trap.root).unwrap();
    let trap = trap.watching();
    fs::rename(&parent, trap.home.path().join("ejected")).unwrap();
    trap.reports.wait(1, is_missing);
    trap.write("a.jpg", b"frame");
    assert_eq!(trap.take().name, "a.jpg");
    trap.wait_scans(2);
    trap.write("b.jpg", b"frame");
    assert_eq!(trap.take().name, "b.jpg");
}

#[test]
fn a_linked_capture_directory_is_followed_to_its_new_target() {
    let mut trap = Trap::new();
    let targets = ["card1", "card2"].map(|name| trap.home.path().join(name));
    for target in &targets {
        fs::create_dir(target).unwrap();
    }
    let link = trap.home.path().join("link");
    std::os::unix::fs::symlink(&targets[0], &link).unwrap();
    (trap.root, trap.settings.directory) = (link.clone(), link.clone());
    let trap = trap.watching();
    trap.write("a.jpg", b"frame");
    assert_eq!(trap.take().name, "a.jpg");
    let fresh = trap.home.path().join("link.new");
    std::os::unix::fs::symlink(&targets[1], &fresh).unwrap();
    fs::rename(&fresh, &link).unwrap();
    trap.reports.wait(1, is_another);
    trap.write("b.jpg", b"frame");
    assert_eq!(trap.take().name, "b.jpg");
}
