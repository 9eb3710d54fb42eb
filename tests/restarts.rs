//! What a restart, a power cut and a clean stop leave behind: nothing twice, nothing skipped, and the right last word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::BTreeSet;
use std::fs::File;
use std::time::{Duration, SystemTime};

use arcticd::detection::{Detection, EventState, Kind};
use parts::{
    BIN, PATIENCE, availability, bear, detections, every_frame, listen, skip, start_online, tally, wait_detections,
    wait_frames, world,
};
use testkit::broker::{Broker, Mosquitto, Options};
use testkit::daemon::World;
use testkit::scenes::Scene;
use testkit::subscriber::{Message, Subscriber, Subscription};
use testkit::wait_until;

fn wait_messages(world: &World, state: &str, count: usize) {
    let number = || world.ledger().messages().unwrap().iter().filter(|message| message.state == state).count();
    wait_until(PATIENCE, || (number() >= count).then_some(()))
        .unwrap_or_else(|| panic!("{} of {count} messages are {state}", number()));
}

#[test]
fn power_cuts_in_the_middle_of_a_backlog_skip_nothing_and_tell_nothing_twice() {
    const COUNT: usize = 90;
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    let names: BTreeSet<String> = (0..COUNT).map(|seed| format!("cam/{seed:03}.jpg")).collect();
    for (seed, name) in names.iter().enumerate() {
        let file = world.drop_frame(name, &bear(seed as u64)).unwrap();
        File::options().append(true).open(file).unwrap().set_modified(yesterday).unwrap();
    }
    for done in [COUNT / 6, COUNT / 2] {
        let mut daemon = world.start(BIN).unwrap();
        wait_until(PATIENCE, || (world.ledger().files().unwrap().len() > done).then_some(())).unwrap();
        daemon.kill().unwrap();
        let left = COUNT - world.ledger().files().unwrap().len();
        assert!(left > 0, "the power cut came too late to prove anything");
    }
    let mut daemon = world.start(BIN).unwrap();
    wait_messages(&world, "acked", COUNT);
    assert_eq!(daemon.terminate().unwrap(), 0);

    let messages = world.ledger().messages().unwrap();
    assert_eq!(messages.iter().map(|message| message.seq).collect::<Vec<_>>(), (1..=COUNT as u64).collect::<Vec<_>>());
    tally(COUNT, &subscriber.messages());
    let found = detections(&subscriber.messages());
    let ids: BTreeSet<&str> = found.iter().map(|detection| detection.id.as_str()).collect();
    assert_eq!(ids, messages.iter().map(|message| message.id.as_str()).collect());
    assert_eq!(found.iter().map(|detection| &detection.frame.name).collect::<BTreeSet<_>>(), names.iter().collect());
    let epochs: BTreeSet<_> = found.iter().map(|detection| detection.epoch.clone().unwrap()).collect();
    assert_eq!(epochs.len(), 1, "one journal");
    for detection in &found {
        let same = |other: &&Detection| other.id == detection.id;
        assert!(found.iter().filter(same).all(|other| other == detection), "a repeat with another body");
    }
}

#[test]
fn sigterm_sends_what_is_queued_and_says_stopped_which_offline_does_not_follow() {
    if !Mosquitto::available() {
        return skip("a stop while the broker stalls", "mosquitto is not installed");
    }
    let broker = Mosquitto::start(Options::default()).unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let mut daemon = start_online(&world, &subscriber);
    broker.freeze().unwrap();
    for seed in 0..20 {
        world.drop_frame(&format!("{seed}.jpg"), &bear(seed)).unwrap();
    }
    wait_messages(&world, "queued", 20);
    daemon.ask_to_stop().unwrap();
    daemon.wait_for_log("stopping", PATIENCE).unwrap();
    broker.thaw().unwrap();
    assert_eq!(daemon.wait_exit(PATIENCE).unwrap(), 0, "{:?}", daemon.log());
    assert!(world.ledger().messages().unwrap().iter().all(|message| message.state == "acked"));
    wait_detections(&subscriber, 20);
    tally(20, &subscriber.messages());

    // The next start is the last word's successor, so whatever came between has arrived by then.
    let mut daemon = start_online(&world, &subscriber);
    assert_eq!(availability(&subscriber.messages()), ["online", "stopped", "online"]);
    assert_eq!(daemon.terminate().unwrap(), 0);
    let late = Subscriber::start(Subscription::new(broker.port(), "arcticd/test/availability")).unwrap();
    let kept = late.wait_for(PATIENCE, |messages| !messages.is_empty()).unwrap();
    assert_eq!((kept[0].text().as_str(), kept[0].retain), ("stopped", true));
}

#[test]
fn a_clean_stop_is_no_absence() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    for _ in 0..2 {
        let mut daemon = start_online(&world, &subscriber);
        assert_eq!(daemon.terminate().unwrap(), 0);
    }
    let daemon = start_online(&world, &subscriber);
    assert_eq!(availability(&subscriber.messages()), ["online", "stopped", "online", "stopped", "online"]);
    drop(daemon);
}

#[test]
fn sigterm_ends_a_daemon_whose_broker_is_away_and_keeps_its_alerts() {
    let port = testkit::broker::free_port().unwrap();
    let world = every_frame().set("mqtt.url", format!("mqtt://127.0.0.1:{port}"));
    let mut daemon = world.start(BIN).unwrap();
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    wait_messages(&world, "queued", 1);
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert_eq!(world.ledger().messages().unwrap()[0].state, "queued");
}

#[test]
fn a_daemon_that_dies_is_reported_offline_by_the_broker() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = world().set("mqtt.url", broker.url());
    let mut daemon = start_online(&world, &subscriber);
    daemon.kill().unwrap();
    subscriber.wait_for(PATIENCE, |messages| availability(messages) == ["online", "offline"]).unwrap();
    let _daemon = start_online(&world, &subscriber);
    assert_eq!(availability(&subscriber.messages()), ["online", "offline", "online"]);
}

#[test]
fn an_open_event_survives_a_power_cut_and_is_closed_once() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("alerts.policy", "event").set_raw("alerts.gap_s", "4").set("mqtt.url", broker.url());
    let mut daemon = start_online(&world, &subscriber);
    world.drop_frame("north/a.jpg", &bear(1)).unwrap();
    let opened = wait_detections(&subscriber, 1).remove(0).event.unwrap();
    assert_eq!(opened.state, EventState::Opened);
    assert_eq!(world.ledger().open_events().unwrap(), 1);
    daemon.kill().unwrap();

    let mut daemon = start_online(&world, &subscriber);
    let closings = |messages: &[Message], id: &str| -> Vec<Detection> {
        let all = detections(messages).into_iter();
        all.filter(|it| it.kind == Kind::EventClosed && it.event.as_ref().unwrap().id == id).collect()
    };
    subscriber.wait_for(PATIENCE, |messages| !closings(messages, &opened.id).is_empty()).unwrap();
    assert_eq!(daemon.terminate().unwrap(), 0);

    // Another event from beginning to end, under another daemon: time enough for a second closing.
    let _daemon = start_online(&world, &subscriber);
    world.drop_frame("south/b.jpg", &bear(2)).unwrap();
    let other = |messages: &[Message]| {
        detections(messages).into_iter().find(|it| it.camera.as_deref() == Some("south")).map(|it| it.event.unwrap().id)
    };
    let messages = subscriber.wait_for(PATIENCE, |messages| other(messages).is_some()).unwrap();
    let other = other(&messages).unwrap();
    let messages = subscriber.wait_for(PATIENCE, |messages| !closings(messages, &other).is_empty()).unwrap();
    let closed = closings(&messages, &opened.id);
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!(closed[0].event.as_ref().unwrap().frames, 1);
    assert_eq!(world.ledger().open_events().unwrap(), 0);
    assert_eq!(closed[0].frame.name, "north/a.jpg");
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused_and_the_first_goes_on() {
    let world = every_frame();
    let first = world.start(BIN).unwrap();
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    wait_frames(&world, &["a.jpg"]);
    let mut second = world.start(BIN).unwrap();
    assert_eq!(second.wait_exit(PATIENCE).unwrap(), 1);
    let said = second.log().join("\n");
    assert!(said.contains("another arcticd is running") && said.contains("journal.sqlite"), "{said}");
    world.drop_frame("b.jpg", &bear(2)).unwrap();
    first.wait_for_stdout("b.jpg", PATIENCE).unwrap();
}

#[test]
fn a_daemon_that_is_killed_twice_over_one_frame_looks_at_it_a_third_time() {
    let world = every_frame();
    // Large, so that there is time to kill it.
    world.drop_frame("large.jpg", &Scene::Bear.jpeg(1, 4000, 3000).unwrap()).unwrap();
    for death in 1..=2 {
        let mut daemon = world.start(BIN).unwrap();
        let begun = || {
            std::fs::read_to_string(world.state().join("in-work")).is_ok_and(|it| it.ends_with(&format!(" {death}\n")))
        };
        wait_until(PATIENCE, || begun().then_some(())).unwrap_or_else(|| panic!("{:?}", daemon.log()));
        daemon.kill().unwrap();
        assert_eq!(world.ledger().files().unwrap(), Vec::<String>::new(), "the kill came too late to prove anything");
    }
    let daemon = world.start(BIN).unwrap();
    daemon.wait_for_stdout("large.jpg", PATIENCE).unwrap();
}
