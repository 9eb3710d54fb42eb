//! Heads that come over MQTT: the good ones serve, the bad ones are refused or sent back, and the trap is never blind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use arcticd::accept::Step;
use arcticd::heads::Bundle;
use parts::heads::{
    adopt, blind, empty_frames, good, offer, paranoid, pieces, reports, set, topic, trusting, wait_report, wait_step,
};
use parts::{BIN, PATIENCE, bear, frames, listen, start_online, wait_detections, wait_frames, wait_health};
use serde_json::Value;
use testkit::broker::Broker;
use testkit::daemon::World;
use testkit::head::signed::{self, Maker, Mind};
use testkit::subscriber::Subscriber;

/// Shows the trap a bear that it has not seen: name and sequence of the head that tells of it.
fn who_judges(subscriber: &Subscriber, world: &World, seed: u64) -> (String, u64) {
    let before = frames(&subscriber.messages()).len();
    world.drop_frame(&format!("bear-{seed}.jpg"), &bear(seed)).unwrap();
    let told = wait_detections(subscriber, before + 1).pop().unwrap();
    (told.model.head, told.model.sequence)
}

fn list(world: &World) -> Value {
    let config = world.write_config().unwrap();
    let output = world.command(BIN).args(["head", "list", "--json", "--config"]).arg(config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_small_head_is_tried_beside_the_old_one_and_then_serves() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 3)
        .set_raw("heads.trial_alerts", "1")
        .set_raw("alerts.thresholds", "{ polar_bear = 0.3 }");
    let mut daemon = start_online(&world, &subscriber);
    set(&subscriber, &maker.head(&good(), 7, |_| {}).unwrap());
    let trial = wait_step(&subscriber, 7, Step::Trial);
    assert_eq!((trial.head.key.unwrap(), trial.head.origin.as_str()), (maker.id(), "pushed"));
    empty_frames(&world, 0..4);
    let waiting =
        wait_report(&subscriber, 0, |report| report.offer.as_ref().is_some_and(|offer| offer.reason.is_some()));
    assert!(waiting.offer.unwrap().reason.unwrap().contains("confirmed 0 of the 1"), "no bear was seen yet");
    for seed in 0.. {
        world.drop_frame(&format!("bear-{seed}.jpg"), &bear(seed)).unwrap();
        wait_frames(&world, &[&format!("bear-{seed}.jpg")]);
        if reports(&subscriber.messages()).last().unwrap().active.sequence == 7 {
            break;
        }
        assert!(seed < 20, "{:?}", reports(&subscriber.messages()).last());
    }
    let active = wait_step(&subscriber, 7, Step::Active);
    assert!(active.trial.unwrap().agreed_alerts >= 1);
    let before = frames(&subscriber.messages()).len();
    world.drop_frame("after.jpg", &bear(100)).unwrap();
    let after = wait_detections(&subscriber, before + 1).pop().unwrap();
    assert_eq!((after.model.head.as_str(), after.model.sequence), ("demo-scenes 1.7", 7));

    // Over a restart, and from the journal.
    assert_eq!(daemon.terminate().unwrap(), 0);
    let _daemon = start_online(&world, &subscriber);
    let listed = list(&world);
    assert_eq!(listed["report"]["active"]["sequence"], 7);
    let steps: Vec<&str> =
        listed["history"].as_array().unwrap().iter().rev().map(|it| it["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["verified", "staged", "canaries_passed", "trial", "active"]);
    assert!(
        wait_health(&subscriber, |health| health["head"] == "demo-scenes 1.7")["warnings"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn pieces_come_in_any_order_twice_and_over_a_power_cut() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1);
    let bundle = maker.head(&Mind::Large(parts::head().to_owned(), 300_000), 1, |_| {}).unwrap();
    let count = signed::pieces(&bundle).len() as u32;
    assert!(count >= 10, "{count}");
    let mut daemon = start_online(&world, &subscriber);
    offer(&subscriber, &bundle);
    let receiving = wait_step(&subscriber, 1, Step::Receiving);
    assert_eq!((receiving.received, receiving.pieces), (0, count));
    pieces(&subscriber, &bundle, [count - 1, 3, 3, 0, 0]);
    let some = |received: u32| {
        wait_report(&subscriber, 0, |report| report.offer.as_ref().is_some_and(|offer| offer.received == received))
    };
    // The others wait at the broker until it is their turn.
    assert_eq!(some(1).offer.unwrap().missing, format!("1-{}", count - 1));
    pieces(&subscriber, &bundle, [2, 1]);
    assert_eq!(some(4).offer.unwrap().missing, format!("4-{}", count - 1));
    daemon.kill().unwrap();
    pieces(&subscriber, &bundle, (4..count - 1).rev());
    let _daemon = start_online(&world, &subscriber);
    wait_step(&subscriber, 1, Step::Trial);
    empty_frames(&world, 0..1);
    wait_step(&subscriber, 1, Step::Active);
}

#[test]
fn a_head_whose_pieces_never_come_is_taken_whole_by_another_way() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1);
    let mut daemon = start_online(&world, &subscriber);
    for (sequence, by_hand) in [(1, false), (2, true)] {
        let bundle = maker.head(&Mind::Large(parts::head().to_owned(), 30_000), sequence, |_| {}).unwrap();
        offer(&subscriber, &bundle);
        wait_step(&subscriber, sequence, Step::Receiving);
        if by_hand {
            // The folder is looked at when the daemon starts, and once a minute.
            assert_eq!(daemon.terminate().unwrap(), 0);
            std::fs::create_dir_all(world.path("by-hand")).unwrap();
            bundle.save(&world.path("by-hand/carried.head")).unwrap();
            daemon = start_online(&world, &subscriber);
        } else {
            set(&subscriber, &bundle);
        }
        wait_step(&subscriber, sequence, Step::Trial);
    }
}

#[test]
fn a_piece_that_was_changed_on_the_way_is_refused_and_the_true_one_taken() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1);
    let bundle = maker.head(&Mind::Large(parts::head().to_owned(), 100_000), 1, |_| {}).unwrap();
    let _daemon = start_online(&world, &subscriber);
    offer(&subscriber, &bundle);
    wait_step(&subscriber, 1, Step::Receiving);
    let id = signed::offer(&bundle).unwrap().id();
    let mut changed = signed::pieces(&bundle)[0].clone();
    changed[100] ^= 1;
    let first = topic(arcticd::accept::Content::Chunk { id, piece: 0 });
    // The trap may not have asked for it yet: the broker keeps this one, and once it is refused the others are heard too.
    subscriber.publish(&first, true, &changed).unwrap();
    wait_report(&subscriber, 0, |report| report.refused.count >= 1);
    for wrong in [b"".as_slice(), b"short", &[0; 200_000]] {
        subscriber.publish(&first, false, wrong).unwrap();
    }
    let refused = wait_report(&subscriber, 0, |report| report.refused.count >= 2);
    assert!(refused.refused.last.unwrap().contains("piece 0"), "{:?}", refused.offer);
    pieces(&subscriber, &bundle, 0..signed::pieces(&bundle).len() as u32);
    wait_step(&subscriber, 1, Step::Trial);
}

#[test]
fn a_head_that_calls_everything_other_never_silences_the_trap_and_is_sent_back() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 10)
        .set_raw("heads.trial_alerts", "1")
        .set_raw("alerts.thresholds", "{ polar_bear = 0.1 }");
    let mut daemon = start_online(&world, &subscriber);
    set(&subscriber, &maker.head(&blind(), 5, |_| {}).unwrap());
    wait_step(&subscriber, 5, Step::Trial);
    empty_frames(&world, 0..12);
    let mut shown = 0;
    while reports(&subscriber.messages()).last().unwrap().offer.as_ref().unwrap().state == Step::Trial {
        let name = format!("bear-{shown}.jpg");
        world.drop_frame(&name, &bear(shown)).unwrap();
        assert!(wait_frames(&world, &[&name])[0].alert, "{name} is silent");
        shown += 1;
        assert!(shown < 30);
    }
    let back = wait_step(&subscriber, 5, Step::RolledBack);
    assert!(back.reason.unwrap().contains("dropped 2 of 2 alerts"), "{:?}", back.trial);
    let told = wait_detections(&subscriber, shown as usize);
    assert!(told.iter().all(|detection| detection.model.head == "demo-scenes rendered"), "the proven head's word");

    // Refused for ever: the same head again, and any other of that sequence.
    let since = subscriber.messages().len();
    set(&subscriber, &maker.head(&blind(), 5, |manifest| manifest.version = "another".into()).unwrap());
    let report = wait_report(&subscriber, since, |report| report.offer.as_ref().unwrap().head.version == "another");
    assert!(report.offer.unwrap().reason.unwrap().contains("sequence 5 is not above 5"));
    assert_eq!(daemon.terminate().unwrap(), 0);
    let _daemon = start_online(&world, &subscriber);
    world.drop_frame("later.jpg", &bear(50)).unwrap();
    assert!(wait_frames(&world, &["later.jpg"])[0].alert);
}

#[test]
fn a_head_that_cries_bear_at_everything_is_sent_back() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 50);
    let _daemon = start_online(&world, &subscriber);
    set(&subscriber, &maker.head(&paranoid(), 1, |_| {}).unwrap());
    wait_step(&subscriber, 1, Step::Trial);
    empty_frames(&world, 0..11);
    let back = wait_step(&subscriber, 1, Step::RolledBack);
    assert!(back.reason.unwrap().contains("heads.max_disagreement"));
    let told = frames(&subscriber.messages());
    assert!(told.iter().all(|it| it.model.sequence == 1 && it.decision.rule.contains("trial")), "{:?}", told.first());
}

#[test]
fn a_head_that_breaks_down_on_a_frame_is_sent_back_and_the_frame_is_judged_all_the_same() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 50).set_raw("alerts.thresholds", "{ polar_bear = 0.1 }");
    let _daemon = start_online(&world, &subscriber);
    set(&subscriber, &maker.head(&Mind::NotANumberOn(bear(3)), 1, |_| {}).unwrap());
    wait_step(&subscriber, 1, Step::Trial);
    empty_frames(&world, 0..1);
    world.drop_frame("bear.jpg", &bear(3)).unwrap();
    let back = wait_step(&subscriber, 1, Step::RolledBack);
    assert!(back.reason.unwrap().contains("not a number"));
    assert!(wait_frames(&world, &["bear.jpg"])[0].alert);
}

#[test]
fn what_may_not_come_in_is_refused_and_the_connection_stays() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1).set_raw("heads.max_bytes", "400000");
    let _daemon = start_online(&world, &subscriber);
    let stranger = Maker::new().unwrap();
    let file = |bundle: &Bundle| signed::file(bundle).unwrap();
    let good_one = maker.head(&good(), 3, |_| {}).unwrap();
    let mut cut = file(&good_one);
    cut.truncate(cut.len() / 2);
    let mut flipped = file(&good_one);
    let place = flipped.len() / 2;
    flipped[place] ^= 1;
    let unproven = [
        file(&stranger.head(&good(), 2, |_| {}).unwrap()),
        cut,
        flipped,
        b"no head at all".to_vec(),
        vec![0; 15 << 20],
    ];
    for (number, payload) in unproven.iter().enumerate() {
        subscriber.publish(&topic(arcticd::accept::Content::Set), false, payload).unwrap();
        subscriber.publish(&topic(arcticd::accept::Content::Offer), false, payload).unwrap();
        let _ = number;
    }
    wait_report(&subscriber, 0, |report| report.refused.count >= 8);
    let proven = [
        (maker.head(&good(), 1_500, |_| {}).unwrap(), "more than 1000 above"),
        (
            maker.head(&good(), 10, |manifest| manifest.audience = vec!["other-trap".into()]).unwrap(),
            "meant for other-trap",
        ),
        (maker.head(&good(), 11, |manifest| manifest.backbone.sha256 = "00".repeat(32)).unwrap(), "backbone"),
        (maker.head(&Mind::Large(parts::head().to_owned(), 500_000), 12, |_| {}).unwrap(), "heads.max_bytes"),
        (maker.head(&good(), 13, |manifest| manifest.labels[0].name = "deer".into()).unwrap(), ""),
    ];
    for (bundle, reason) in &proven[..4] {
        offer(&subscriber, bundle);
        let refused = wait_step(&subscriber, bundle.manifest().sequence, Step::Rejected);
        assert!(refused.reason.unwrap().contains(reason), "{reason}");
    }
    // None of it has closed the door for the true one.
    set(&subscriber, &good_one);
    wait_step(&subscriber, 3, Step::Trial);
    let health = wait_health(&subscriber, |_| true);
    assert_eq!(health["counters"]["connections"], 1, "{health}");
}

#[test]
fn a_head_refused_for_want_of_its_key_is_looked_at_again_once_the_key_is_there() {
    let (maker, other, broker) = (Maker::new().unwrap(), Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1);
    let daemon = start_online(&world, &subscriber);
    let head = other.head(&good(), 4, |_| {}).unwrap();
    offer(&subscriber, &head);
    pieces(&subscriber, &head, 0..signed::pieces(&head).len() as u32);
    wait_report(&subscriber, 0, |report| report.refused.count > 0);
    other.trust_in(&world.path("keys")).unwrap();
    // Else within a minute.
    daemon.ask_to_reload().unwrap();
    let report = wait_report(&subscriber, 0, |report| report.offer.is_some());
    assert_eq!(report.offer.unwrap().head.sequence, 4);
}

#[test]
fn a_head_whose_key_was_taken_away_leaves_service() {
    let (maker, other, broker) = (Maker::new().unwrap(), Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1);
    let key = other.trust_in(&world.path("keys")).unwrap();
    let mut daemon = start_online(&world, &subscriber);
    adopt(&subscriber, &world, &other.head(&good(), 4, |_| {}).unwrap());
    assert_eq!(daemon.terminate().unwrap(), 0);
    std::fs::remove_file(key).unwrap();
    let since = subscriber.messages().len();
    let _daemon = start_online(&world, &subscriber);
    let report = wait_report(&subscriber, since, |_| true);
    assert_eq!((report.active.origin.as_str(), report.floor), ("configured", 4));
    assert!(report.decided.last().unwrap().reason.as_ref().unwrap().contains("not trusted"), "{:?}", report.decided);
}

#[test]
fn a_head_that_can_t_be_read_now_is_not_given_up_when_the_one_above_it_goes() {
    let (maker, other, broker) = (Maker::new().unwrap(), Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1).set_raw("alerts.thresholds", "{ polar_bear = 0.0 }");
    let key = other.trust_in(&world.path("keys")).unwrap();
    let mut daemon = start_online(&world, &subscriber);
    let (below, above) = (maker.head(&good(), 1, |_| {}).unwrap(), other.head(&good(), 2, |_| {}).unwrap());
    for head in [&below, &above] {
        adopt(&subscriber, &world, head);
    }
    assert_eq!(daemon.terminate().unwrap(), 0);
    // As a card that fails to read, until it is put in once more.
    let name = format!("{}.head", signed::offer(&below).unwrap().id());
    let (file, away) = (world.path("state/heads").join(name), world.path("away.head"));
    std::fs::rename(&file, &away).unwrap();
    std::fs::create_dir(&file).unwrap();
    std::fs::remove_file(key).unwrap();
    let mut daemon = start_online(&world, &subscriber);
    assert_eq!(who_judges(&subscriber, &world, 1).0, "demo-scenes rendered", "the configured head serves meanwhile");
    assert_eq!(daemon.terminate().unwrap(), 0);
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&away, &file).unwrap();
    let _daemon = start_online(&world, &subscriber);
    assert_eq!(who_judges(&subscriber, &world, 2), ("demo-scenes 1.1".into(), 1));
}

#[test]
fn a_trap_alerts_although_something_else_lies_where_its_heads_belong() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1).set_raw("alerts.thresholds", "{ polar_bear = 0.0 }");
    let heads = world.path("state/heads");
    for (seed, dangling) in [(1, false), (2, true)] {
        std::fs::create_dir_all(world.path("state")).unwrap();
        let _ = std::fs::remove_dir_all(&heads);
        match dangling {
            true => std::os::unix::fs::symlink("/no/such/folder", &heads).unwrap(),
            false => std::fs::write(&heads, "not a folder").unwrap(),
        }
        let mut daemon = start_online(&world, &subscriber);
        assert_eq!(who_judges(&subscriber, &world, seed).0, "demo-scenes rendered");
        assert_eq!(daemon.terminate().unwrap(), 0);
        assert!(heads.is_dir() && world.path("state/heads.damaged").symlink_metadata().is_ok());
    }
}

#[test]
fn the_floor_outlives_a_record_that_is_damaged_or_gone() {
    for gone in [false, true] {
        let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
        let subscriber = listen(broker.port());
        let world = trusting(&maker, &broker, 1);
        let mut daemon = start_online(&world, &subscriber);
        adopt(&subscriber, &world, &maker.head(&good(), 4, |_| {}).unwrap());
        for start in 0..3 {
            assert_eq!(daemon.terminate().unwrap(), 0);
            if start == 0 {
                let record = world.path("state/heads/record.json");
                if gone { std::fs::remove_file(record) } else { std::fs::write(record, "{") }.unwrap();
            }
            let since = subscriber.messages().len();
            daemon = start_online(&world, &subscriber);
            let report = wait_report(&subscriber, since, |_| true);
            assert_eq!((report.floor, report.active.origin.as_str()), (4, "configured"), "start {start}");
        }
    }
}

#[test]
fn a_start_without_any_key_gives_no_head_up_for_ever() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1).set_raw("alerts.thresholds", "{ polar_bear = 0.0 }");
    let mut daemon = start_online(&world, &subscriber);
    adopt(&subscriber, &world, &maker.head(&good(), 4, |_| {}).unwrap());
    assert_eq!(daemon.terminate().unwrap(), 0);
    // As if the disk with the keys came up late.
    let (keys, away) = (world.path("keys"), world.path("keys-away"));
    std::fs::rename(&keys, &away).unwrap();
    let mut daemon = start_online(&world, &subscriber);
    assert_eq!(who_judges(&subscriber, &world, 1).0, "demo-scenes rendered", "the configured head serves meanwhile");
    assert_eq!(daemon.terminate().unwrap(), 0);
    std::fs::rename(&away, &keys).unwrap();
    let _daemon = start_online(&world, &subscriber);
    assert_eq!(who_judges(&subscriber, &world, 2), ("demo-scenes 1.4".into(), 4));
}

#[test]
fn a_rollback_at_the_machine_returns_to_the_head_before_and_refuses_the_bad_one_for_ever() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1);
    let _daemon = start_online(&world, &subscriber);
    for sequence in [1, 2] {
        adopt(&subscriber, &world, &maker.head(&good(), sequence, |_| {}).unwrap());
    }
    let config = world.write_config().unwrap();
    let rollback = || world.command(BIN).args(["head", "rollback", "--config"]).arg(&config).output().unwrap();
    let said = rollback();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(
        String::from_utf8_lossy(&said.stdout)
            .contains("demo-scenes 1.2 is out of service for ever; head demo-scenes 1.1 serves")
    );
    let gone =
        |report: &arcticd::accept::Report| report.decided.last().is_some_and(|last| last.state == Step::RolledBack);
    let report = wait_report(&subscriber, 0, gone);
    assert_eq!((report.floor, report.active.sequence), (2, 1));
    let since = subscriber.messages().len();
    set(&subscriber, &maker.head(&good(), 2, |_| {}).unwrap());
    set(&subscriber, &maker.head(&good(), 3, |_| {}).unwrap());
    wait_step(&subscriber, 3, Step::Trial);
    assert!(reports(&subscriber.messages()[since..]).iter().all(|report| report.active.sequence == 1));
    // The trial ends by hand too, then the last pushed head, and then there is none before.
    for (code, text) in [(0, "1.3 is rolled_back"), (0, "1.1 is out of service"), (1, "")] {
        let said = rollback();
        assert_eq!(said.status.code(), Some(code), "{said:?}");
        assert!(String::from_utf8_lossy(&said.stdout).contains(text), "{said:?}");
    }
}

#[test]
fn a_head_put_there_by_hand_goes_through_the_same_proof() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1);
    let folder = world.path("by-hand");
    std::fs::create_dir(&folder).unwrap();
    maker.head(&good(), 9, |_| {}).unwrap().save(&folder.join("good.head")).unwrap();
    Maker::new().unwrap().head(&good(), 10, |_| {}).unwrap().save(&folder.join("strange.head")).unwrap();
    let _daemon = start_online(&world, &subscriber);
    let trial = wait_step(&subscriber, 9, Step::Trial);
    assert_eq!(trial.head.origin, "file");
    let refused = wait_report(&subscriber, 0, |report| report.refused.count == 1);
    assert!(refused.refused.last.unwrap().contains("strange.head"));
}

#[test]
fn another_head_in_the_configuration_counts_for_more_than_one_pushed_before() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1);
    let mut daemon = start_online(&world, &subscriber);
    adopt(&subscriber, &world, &maker.head(&good(), 1, |_| {}).unwrap());
    assert_eq!(daemon.terminate().unwrap(), 0);
    let chosen = world.path("chosen.head");
    maker.head(&paranoid(), 40, |_| {}).unwrap().save(&chosen).unwrap();
    let world = world.set("model.head", chosen.to_str().unwrap());
    let since = subscriber.messages().len();
    let _daemon = start_online(&world, &subscriber);
    let report = wait_report(&subscriber, since, |_| true);
    assert_eq!((report.active.name.as_str(), report.active.origin.as_str(), report.floor), ("made", "configured", 1));
}

#[test]
fn a_head_that_kills_the_daemon_twice_is_given_up_and_the_trap_lives() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let deadly = trusting(&maker, &broker, 5).env("ARCTICD_FAULT", "head loaded");
    let mut daemon = start_online(&deadly, &subscriber);
    set(&subscriber, &maker.head(&good(), 1, |_| {}).unwrap());
    for _ in 0..2 {
        assert!(daemon.wait_exit(PATIENCE).is_err(), "it should have died");
        daemon = deadly.start(BIN).unwrap();
    }
    let given_up = wait_step(&subscriber, 1, Step::Rejected);
    assert!(given_up.reason.unwrap().contains("died 2 times"));
    deadly.drop_frame("a.jpg", &bear(1)).unwrap();
    wait_frames(&deadly, &["a.jpg"]);
}

#[test]
fn the_scientists_command_brings_a_head_to_a_running_trap_and_says_what_became_of_it() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 5).set_raw("groups", "[\"coast\"]");
    let _daemon = start_online(&world, &subscriber);
    let push = |name: &str, bundle: &Bundle, target: [&str; 2]| {
        let file = world.path(name);
        bundle.save(&file).unwrap();
        let mut command = world.command(BIN);
        command.args(["head", "push"]).arg(&file).args(target).args(["--broker", &broker.url(), "--wait", "60"]);
        let said = command.output().unwrap();
        (said.status.code(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
    };
    let large = maker.head(&Mind::Large(parts::head().to_owned(), 100_000), 1, |_| {}).unwrap();
    let (code, said) = push("large.head", &large, ["--group", "coast"]);
    assert!(code == Some(0) && said.contains("trial"), "{said}");
    wait_step(&subscriber, 1, Step::Trial);
    let (code, said) = push("old.head", &maker.head(&blind(), 1, |_| {}).unwrap(), ["--trap", "test"]);
    assert!(code == Some(1) && said.contains("sequence 1 is not above 1"), "{said}");
    let stranger = Maker::new().unwrap().head(&good(), 2, |_| {}).unwrap();
    let (code, said) = push("strange.head", &stranger, ["--trap", "test"]);
    assert!(code == Some(1) && said.contains("not trusted"), "{said}");
}
