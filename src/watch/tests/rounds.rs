#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::watch::Stamp;

struct Nothing;

impl Seen for Nothing {
    fn is_seen(&mut self, _: &str, _: &Stamp) -> bool {
        false
    }
}

fn settings(directory: PathBuf) -> Settings {
    let (settle, reconcile) = (Duration::from_secs(2), Duration::from_secs(30));
    Settings { directory, poll: false, settle, reconcile, fresh: Duration::ZERO }
}

type Reports = Rc<RefCell<Vec<Report>>>;

fn rounds(settings: Settings, timing: Timing) -> (Rounds<Nothing, impl Fn(Report)>, Reports) {
    let reports = Reports::default();
    let told = Rc::clone(&reports);
    let report = move |report| told.borrow_mut().push(report);
    (Rounds::new(settings, timing, Nothing, Arc::new(Queue::new()), Arc::default(), report), reports)
}

#[test]
fn refused_events_mean_polling_until_they_are_granted_again() {
    let home = tempfile::tempdir().unwrap();
    let timing = Timing { retry: Duration::ZERO, ..Timing::default() };
    let (mut rounds, reports) = rounds(settings(home.path().to_owned()), timing);
    let reason = "limit reached".to_owned();
    rounds.degrade(reason.clone());
    rounds.degrade(reason.clone());
    assert_eq!(reports.take(), [Report::WatchUnavailable { reason }], "said once");
    assert_eq!(rounds.rest_after(Duration::ZERO), Duration::from_secs(3));
    rounds.full_scan();
    assert_eq!(reports.borrow()[0], Report::WatchRestored);
    assert!(rounds.events.is_some());
    assert_eq!(rounds.rest_after(Duration::ZERO), Duration::from_secs(30));
}

#[test]
fn long_scans_are_followed_by_long_rests() {
    let seconds = Duration::from_secs;
    let (mut rounds, _) = rounds(settings("/nowhere".into()), Timing::default());
    assert_eq!(rounds.rest_after(seconds(2)), seconds(200));
    assert_eq!(rounds.rest_after(seconds(3_600)), LONGEST_REST);
    rounds.settings.reconcile = seconds(7_200);
    assert_eq!(rounds.rest_after(seconds(3_600)), seconds(7_200));
    rounds.settings.reconcile = Duration::ZERO;
    assert!(rounds.rest_after(Duration::ZERO) > Duration::ZERO, "it would spin");
    rounds.settings.poll = true;
    assert_eq!(rounds.rest_after(seconds(2)), seconds(20));
}

#[test]
fn a_directory_made_anew_is_another_one_even_with_the_old_inode_number() {
    let home = tempfile::tempdir().unwrap();
    let (mut rounds, reports) = rounds(settings(home.path().to_owned()), Timing::default());
    rounds.check_root(false);
    rounds.full_scan();
    assert!(rounds.caught_up);
    reports.take();
    rounds.check_root(false);
    rounds.take(Batch { paths: vec![(home.path().to_owned(), Hint::Look)], ..Batch::default() });
    assert!(reports.take().is_empty() && rounds.caught_up, "it was only touched");
    rounds.take(Batch { paths: vec![(home.path().to_owned(), Hint::Left)], ..Batch::default() });
    assert_eq!(reports.take(), [Report::RootReplaced { path: home.path().to_owned() }]);
    assert!(!rounds.caught_up && rounds.next_scan <= Instant::now());
}

#[test]
fn nothing_to_do_means_a_long_nap() {
    let home = tempfile::tempdir().unwrap();
    let (mut rounds, _) = rounds(settings(home.path().to_owned()), Timing::default());
    rounds.check_root(false);
    rounds.work();
    assert!(rounds.nap() > Duration::from_secs(1), "{:?}", rounds.nap());
    std::fs::write(home.path().join("a.jpg"), b"frame").unwrap();
    rounds.full_scan();
    assert!(rounds.nap() <= Duration::from_millis(500), "an unsettled file is looked at soon");
}
