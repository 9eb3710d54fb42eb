//! Heads that a trap gives up because it dies of them, and how often it has to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use arcticd::accept::Step;
use parts::heads::{adopt, empty_frames, good, set, trusting, wait_report, wait_step};
use parts::{BIN, PATIENCE, bear, listen, skip, start_online, wait_frames};
use testkit::broker::Broker;
use testkit::daemon::World;
use testkit::head::signed::Maker;

/// As many starts in a row as a head in service is given, as `DEATHS_IN_SERVICE` says.
const DEATHS: usize = 10;

/// Starts the daemon so many times, and each time it dies while it loads the head in service.
fn die(deadly: &World, times: usize) {
    for time in 0..times {
        let mut daemon = deadly.start(BIN).unwrap();
        assert!(daemon.wait_exit(PATIENCE).is_err(), "start {time}: it should have died");
    }
}

#[test]
fn a_head_in_service_is_given_up_after_ten_deaths_in_a_row_and_not_after_nine() {
    if !cfg!(debug_assertions) {
        return skip("deaths in service", "a release has no fault points");
    }
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1);
    let mut daemon = start_online(&world, &subscriber);
    adopt(&subscriber, &world, &maker.head(&good(), 4, |_| {}).unwrap());
    assert_eq!(daemon.terminate().unwrap(), 0);
    let deadly = world.env("ARCTICD_FAULT", "head loaded");
    die(&deadly, DEATHS - 1);
    let world = deadly.env("ARCTICD_FAULT", "");
    let since = subscriber.messages().len();
    let mut daemon = start_online(&world, &subscriber);
    let report = wait_report(&subscriber, since, |_| true);
    assert_eq!((report.active.sequence, report.active.origin.as_str()), (4, "pushed"));
    assert_eq!(daemon.terminate().unwrap(), 0);
    // It counts anew, since it served.
    let deadly = world.env("ARCTICD_FAULT", "head loaded");
    die(&deadly, DEATHS);
    let since = subscriber.messages().len();
    let _daemon = start_online(&deadly, &subscriber);
    let report = wait_report(&subscriber, since, |_| true);
    assert_eq!((report.floor, report.active.origin.as_str()), (4, "configured"));
    let last = report.decided.last().unwrap();
    assert_eq!((last.sequence, last.state), (4, Step::RolledBack));
    assert!(last.reason.as_ref().unwrap().contains("died 10 times"), "{last:?}");
    deadly.drop_frame("a.jpg", &bear(1)).unwrap();
    wait_frames(&deadly, &["a.jpg"]);
}

#[test]
fn a_head_that_panics_on_a_frame_is_sent_back_and_the_daemon_lives() {
    if !cfg!(debug_assertions) {
        return skip("a head that panics", "a release has no fault points");
    }
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1)
        .set_raw("alerts.thresholds", "{ polar_bear = 0.1 }")
        .env("ARCTICD_FAULT", "panic in demo-scenes 1.5");
    let mut daemon = start_online(&world, &subscriber);
    set(&subscriber, &maker.head(&good(), 5, |_| {}).unwrap());
    wait_step(&subscriber, 5, Step::Trial);
    world.drop_frame("bear.jpg", &bear(3)).unwrap();
    let back = wait_step(&subscriber, 5, Step::RolledBack);
    assert!(back.reason.unwrap().contains("panic"), "{:?}", back.trial);
    assert!(wait_frames(&world, &["bear.jpg"])[0].alert, "the proven head's word");
    empty_frames(&world, 0..1);
    // In service it is no better: the one before it takes its place.
    assert_eq!(daemon.terminate().unwrap(), 0);
    let world = world.env("ARCTICD_FAULT", "");
    let mut daemon = start_online(&world, &subscriber);
    adopt(&subscriber, &world, &maker.head(&good(), 6, |_| {}).unwrap());
    assert_eq!(daemon.terminate().unwrap(), 0);
    let world = world.env("ARCTICD_FAULT", "panic in demo-scenes 1.6");
    let _daemon = start_online(&world, &subscriber);
    let since = subscriber.messages().len();
    world.drop_frame("later.jpg", &bear(4)).unwrap();
    let report = wait_report(&subscriber, since, |report| report.active.origin == "configured");
    assert!(report.decided.last().unwrap().reason.as_ref().unwrap().contains("panic"), "{report:?}");
    world.drop_frame("last.jpg", &bear(5)).unwrap();
    assert!(wait_frames(&world, &["last.jpg"])[0].alert);
}
