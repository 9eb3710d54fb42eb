//! A later head is awaited beside one that is tried: an offer alone ends no trial, the whole head does, and both outlive a
//! power cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use arcticd::accept::ask::What;
use arcticd::accept::{Ask, Content, Kind, OfferReport, Report, Step};
use arcticd::heads::Bundle;
use parts::acceptor::Trap;
use parts::heads::{blind, empty_frames, good, offer, pieces, reports, set, topic, trusting, wait_report, wait_step};
use parts::{BIN, PATIENCE, listen, skip, start_online};
use testkit::broker::Broker;
use testkit::head::signed::{self, Maker, Mind};
use testkit::mutate::steady;
use testkit::subscriber::Subscriber;

/// A head of four pieces and more.
fn large(maker: &Maker, sequence: u64) -> Bundle {
    maker.head(&Mind::Large(parts::head().to_owned(), 120_000), sequence, |_| {}).unwrap()
}

fn all(bundle: &Bundle) -> std::ops::Range<u32> {
    0..signed::pieces(bundle).len() as u32
}

fn is(offer: &Option<OfferReport>, sequence: u64, step: Step) -> bool {
    offer.as_ref().is_some_and(|offer| (offer.head.sequence, offer.state) == (sequence, step))
}

/// Whether one head is tried and a later one awaited, with so many pieces.
fn beside(report: &Report, tried: u64, awaited: u64, received: u32) -> bool {
    is(&report.offer, tried, Step::Trial)
        && is(&report.next, awaited, Step::Receiving)
        && report.next.as_ref().unwrap().received == received
}

fn wait_beside(subscriber: &Subscriber, since: usize, tried: u64, awaited: u64, received: u32) -> Report {
    wait_report(subscriber, since, |report| beside(report, tried, awaited, received))
}

/// Head 5 is tried, and this is the offer of head 6, of which no piece has come.
fn offered_beside(subscriber: &Subscriber, maker: &Maker) -> Bundle {
    set(subscriber, &maker.head(&good(), 5, |_| {}).unwrap());
    wait_step(subscriber, 5, Step::Trial);
    let later = large(maker, 6);
    offer(subscriber, &later);
    wait_beside(subscriber, 0, 5, 6, 0);
    later
}

#[test]
fn a_replayed_later_offer_whose_pieces_are_withheld_ends_no_trial() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 3);
    let mut daemon = start_online(&world, &subscriber);
    let later = offered_beside(&subscriber, &maker);
    empty_frames(&world, 0..1);
    // Also over a restart.
    assert_eq!(daemon.terminate().unwrap(), 0);
    let since = subscriber.messages().len();
    let _daemon = start_online(&world, &subscriber);
    let report = wait_beside(&subscriber, since, 5, 6, 0);
    assert_eq!(report.offer.unwrap().trial.unwrap().frames, 1, "it was not begun anew");
    let config = world.write_config().unwrap();
    let said = world.command(BIN).args(["head", "list", "--config"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("offered   demo-scenes 1.5") && said.contains("next      demo-scenes 1.6"), "{said}");
    empty_frames(&world, 1..3);
    // The trial is over, and what was awaited goes on by itself.
    let report = wait_report(&subscriber, since, |report| report.active.sequence == 5 && report.next.is_none());
    assert!(is(&report.offer, 6, Step::Receiving), "{report:?}");
    pieces(&subscriber, &later, all(&later));
    wait_step(&subscriber, 6, Step::Trial);
}

#[test]
fn a_later_head_takes_the_place_of_the_one_on_trial_once_it_is_whole() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1_000);
    let mut daemon = start_online(&world, &subscriber);
    let later = offered_beside(&subscriber, &maker);
    pieces(&subscriber, &later, [0, 1]);
    wait_beside(&subscriber, 0, 5, 6, 2);
    daemon.kill().unwrap();
    let since = subscriber.messages().len();
    let _daemon = start_online(&world, &subscriber);
    wait_beside(&subscriber, since, 5, 6, 2);
    pieces(&subscriber, &later, 2..all(&later).end);
    let report = wait_report(&subscriber, since, |report| is(&report.offer, 6, Step::Trial));
    assert!(report.next.is_none());
    let last = report.decided.last().unwrap();
    assert_eq!((last.sequence, last.state, report.floor), (5, Step::Superseded, 6));
}

#[test]
fn a_power_cut_while_a_later_head_is_awaited_loses_neither() {
    if !cfg!(debug_assertions) {
        return skip("power cuts while two heads are under way", "a release has no fault points");
    }
    let maker = Maker::new().unwrap();
    let later = large(&maker, 6);
    for point in
        ["after offered", "after receiving", "piece written", "bundle written", "before verified", "after verified"]
    {
        println!("power cut {point}");
        let broker = Broker::any().unwrap();
        let subscriber = listen(broker.port());
        let world = trusting(&maker, &broker, 1_000);
        let mut daemon = start_online(&world, &subscriber);
        set(&subscriber, &maker.head(&good(), 5, |_| {}).unwrap());
        wait_step(&subscriber, 5, Step::Trial);
        assert_eq!(daemon.terminate().unwrap(), 0);
        let world = world.env("ARCTICD_FAULT", point);
        let mut daemon = world.start(BIN).unwrap();
        offer(&subscriber, &later);
        pieces(&subscriber, &later, all(&later));
        assert!(daemon.wait_exit(PATIENCE).is_err(), "{point}: it died by its own hand");
        let since = subscriber.messages().len();
        let world = world.env("ARCTICD_FAULT", "");
        let mut daemon = world.start(BIN).unwrap();
        let report = wait_report(&subscriber, since, |report| is(&report.offer, 6, Step::Trial));
        assert!(report.next.is_none(), "{point}: {report:?}");
        for report in reports(&subscriber.messages()[since..]) {
            let tried = is(&report.offer, 5, Step::Trial) || is(&report.offer, 6, Step::Trial);
            assert!(tried || report.offer.as_ref().is_some_and(|it| it.head.sequence == 6), "{point}: {report:?}");
        }
        assert_eq!(daemon.terminate().unwrap(), 0);
    }
}

#[test]
fn a_still_later_offer_replaces_the_awaited_one_alone_and_a_whole_head_waits_for_none() {
    let maker = Maker::new().unwrap();
    let mut trap = Trap::start(&maker, &steady(&maker, 0.7, 0).unwrap());
    trap.set(&steady(&maker, 0.8, 5).unwrap());
    let (second, third) = (large(&maker, 6), large(&maker, 8));
    let asked = |trap: &Trap, bundle: &Bundle| {
        let id = signed::offer(bundle).unwrap().id().to_string();
        trap.asked.iter().filter(|topic| topic.contains(&id)).count()
    };
    trap.offer(&second);
    trap.pieces(&second, [0]);
    assert_eq!((asked(&trap, &second), trap.asked.len()), (1, 1));
    trap.offer(&third);
    let report = trap.report.clone().unwrap();
    assert!(beside(&report, 5, 8, 0), "{report:?}");
    let last = report.decided.last().unwrap();
    assert_eq!((last.sequence, last.state), (6, Step::Superseded));
    assert_eq!((asked(&trap, &third), trap.asked.len()), (1, 1), "{:?}", trap.asked);
    let incoming =
        |trap: &Trap| trap.files().keys().filter(|path| path.parent().unwrap().ends_with("incoming")).count();
    assert_eq!(incoming(&trap), 1);
    // An earlier one changes nothing, nor do pieces of it.
    let files = trap.files();
    trap.offer(&second);
    trap.pieces(&second, [1]);
    assert_eq!(trap.files(), files);
    // One that is whole is not kept out by one that may never be; it is tried, and the later one awaited still.
    trap.set(&steady(&maker, 0.9, 7).unwrap());
    let report = trap.report.clone().unwrap();
    assert!(beside(&report, 7, 8, 0), "{report:?}");
    trap.pieces(&third, all(&third).map(|piece| piece as usize));
    let report = trap.report.clone().unwrap();
    assert!(is(&report.offer, 8, Step::Trial) && report.next.is_none() && trap.asked.is_empty(), "{report:?}");
    trap.stop();
}

#[test]
fn what_is_awaited_beside_a_trial_comes_whole_by_another_way() {
    let maker = Maker::new().unwrap();
    let mut trap = Trap::start(&maker, &steady(&maker, 0.7, 0).unwrap());
    trap.set(&steady(&maker, 0.8, 5).unwrap());
    let later = large(&maker, 6);
    trap.offer(&later);
    trap.pieces(&later, [0]);
    trap.set(&later);
    let report = trap.report.clone().unwrap();
    assert!(is(&report.offer, 6, Step::Trial) && report.next.is_none() && trap.asked.is_empty(), "{report:?}");
    trap.stop();
}

#[test]
fn the_scientists_command_follows_a_head_that_is_awaited_beside_another() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1_000);
    let _daemon = start_online(&world, &subscriber);
    set(&subscriber, &maker.head(&blind(), 5, |_| {}).unwrap());
    wait_step(&subscriber, 5, Step::Trial);
    let later = large(&maker, 6);
    let file = world.path("later.head");
    later.save(&file).unwrap();
    // Its offer was replayed before, without its pieces.
    offer(&subscriber, &later);
    wait_beside(&subscriber, 0, 5, 6, 0);
    let mut command = world.command(BIN);
    command.args(["head", "push"]).arg(&file).args(["--trap", "test", "--broker", &broker.url(), "--wait", "60"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("trial"), "{said}");
    // And one that is older than what is awaited is told so.
    offer(&subscriber, &large(&maker, 9));
    wait_beside(&subscriber, 0, 6, 9, 0);
    let file = world.path("between.head");
    large(&maker, 8).save(&file).unwrap();
    let mut command = world.command(BIN);
    command.args(["head", "push"]).arg(&file).args(["--trap", "test", "--broker", &broker.url(), "--wait", "60"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("a later head is on its way"), "{said}");
}

#[test]
fn a_head_that_finds_no_room_on_the_disk_says_so_and_comes_in_when_there_is_some() {
    if !cfg!(debug_assertions) {
        return skip("a disk without room", "a release has no fault points");
    }
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1_000).env("ARCTICD_FAULT", "no room");
    let mut daemon = start_online(&world, &subscriber);
    let (first, later) = (large(&maker, 5), large(&maker, 6));
    let no_room = |offer: &Option<OfferReport>, sequence| {
        let reason = offer.as_ref().and_then(|offer| offer.reason.as_deref());
        is(offer, sequence, Step::Offered) && reason.is_some_and(|reason| reason.contains("MiB free"))
    };
    offer(&subscriber, &first);
    wait_report(&subscriber, 0, |report| no_room(&report.offer, 5));
    assert_eq!(daemon.terminate().unwrap(), 0);
    let world = world.env("ARCTICD_FAULT", "");
    let mut daemon = start_online(&world, &subscriber);
    pieces(&subscriber, &first, all(&first));
    wait_step(&subscriber, 5, Step::Trial);
    assert_eq!(daemon.terminate().unwrap(), 0);
    // Beside one that is tried.
    let world = world.env("ARCTICD_FAULT", "no room");
    let _daemon = start_online(&world, &subscriber);
    offer(&subscriber, &later);
    wait_report(&subscriber, 0, |report| is(&report.offer, 5, Step::Trial) && no_room(&report.next, 6));
}

#[test]
fn an_awaited_head_that_is_forgotten_or_whose_key_was_taken_away_leaves_the_trial_alone() {
    let (maker, other, broker) = (Maker::new().unwrap(), Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1_000);
    let key = other.trust_in(&world.path("keys")).unwrap();
    let mut daemon = start_online(&world, &subscriber);
    let bad = offered_beside(&subscriber, &maker);
    let what = What::Forget(vec![signed::offer(&bad).unwrap().id()]);
    let ask = maker.ask(&Ask { audience: Vec::new(), sequence: 1, what }).unwrap();
    subscriber.publish(&topic(Content::Ask(Kind::Forget)), false, &ask).unwrap();
    let alone = |report: &Report| is(&report.offer, 5, Step::Trial) && report.next.is_none();
    let gone = |report: &Report| report.decided.iter().any(|it| (it.sequence, it.state) == (6, Step::Rejected));
    wait_report(&subscriber, 0, |report| alone(report) && gone(report));

    offer(&subscriber, &large(&other, 7));
    wait_beside(&subscriber, 0, 5, 7, 0);
    assert_eq!(daemon.terminate().unwrap(), 0);
    std::fs::remove_file(key).unwrap();
    let since = subscriber.messages().len();
    let _daemon = start_online(&world, &subscriber);
    wait_report(&subscriber, since, alone);
    // What is retained comes again, and is a stranger's now.
    let report = wait_report(&subscriber, since, |report| report.refused.count >= 1);
    assert!(alone(&report) && report.refused.last.as_ref().unwrap().contains("not trusted"), "{report:?}");
}
