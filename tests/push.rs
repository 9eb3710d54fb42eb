//! What `arcticd head push` and `clear` leave on a broker, by the real binary against a real mosquitto.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod desk;

use std::collections::BTreeMap;
use std::fs;

use arcticd::accept::{Content, Offer, Scope};
use arcticd::frame::ContentHash;
use arcticd::heads::Bundle;
use desk::{Desk, LARGE, PATIENCE, SMALL, broker, broker_with, chunk, heard, id, live, north, publish, retained, spy};
use testkit::broker::{Mosquitto, Options};

const LEAVE: [&str; 4] = ["--trap", "north", "--wait", "0"];
/// Some 4 MB, 130 pieces: long enough on the way to be interrupted.
const HUGE: usize = 350_000;

/// What should lie on the broker for a head in pieces.
fn in_pieces(scope: &Scope, head: &Bundle) -> BTreeMap<String, Vec<u8>> {
    let chunks = head.manifest().chunks.as_ref().unwrap();
    let row = head.row();
    let pieces = row.chunks(chunks.size as usize).enumerate();
    let mut expected: BTreeMap<String, Vec<u8>> =
        pieces.map(|(piece, bytes)| (chunk(scope, head, piece as u32), bytes.to_vec())).collect();
    assert_eq!(expected.len(), chunks.sha256.len());
    expected.insert(scope.topic("arcticd", Content::Offer), Offer::of(head).unwrap().encode());
    expected
}

fn whole(scope: &Scope, head: &Bundle) -> BTreeMap<String, Vec<u8>> {
    let mut file = Vec::new();
    head.write(&mut file).unwrap();
    [(scope.topic("arcticd", Content::Set), file)].into()
}

/// Compares without printing megabytes.
fn assert_holds(broker: &Mosquitto, expected: &BTreeMap<String, Vec<u8>>) {
    let digests = |messages: &BTreeMap<String, Vec<u8>>| -> BTreeMap<String, ContentHash> {
        messages.iter().map(|(topic, payload)| (topic.clone(), ContentHash::of(payload))).collect()
    };
    assert_eq!(digests(&retained(broker)), digests(expected));
}

#[test]
fn a_small_head_lies_whole_on_the_broker_and_a_large_one_as_an_offer_with_every_piece() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    let (small, large) = (desk.head("small", SMALL, 1), desk.head("large", LARGE, 1));
    assert_eq!(desk.push(&broker, "small", &LEAVE).code, Some(0));
    let pushed = desk.push(&broker, "large", &["--trap", "south", "--group", "coast", "--wait", "0"]);
    assert_eq!(pushed.code, Some(0));
    let mut expected = whole(&north(), &small);
    for scope in [Scope::Trap("south".into()), Scope::Group("coast".into())] {
        expected.extend(in_pieces(&scope, &large));
    }
    assert_holds(&broker, &expected);
}

#[test]
fn a_later_head_leaves_nothing_of_the_one_before_whatever_kind_both_are() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    for (name, features, sequence) in [("a", LARGE, 1), ("b", LARGE + 10, 2), ("c", SMALL, 3), ("d", LARGE, 4)] {
        let head = desk.head(name, features, sequence);
        let pushed = desk.push(&broker, name, &LEAVE);
        assert_eq!(pushed.code, Some(0));
        assert_eq!(pushed.out.contains("replaces"), name != "a", "{}", pushed.out);
        assert_holds(&broker, &if features == SMALL { whole(&north(), &head) } else { in_pieces(&north(), &head) });
    }
}

#[test]
fn a_head_replaced_by_an_older_one_is_mentioned() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    desk.head("new", SMALL, 7);
    desk.head("old", SMALL, 6);
    desk.push(&broker, "new", &LEAVE);
    assert!(desk.push(&broker, "old", &LEAVE).out.contains("on the broker and is newer"));
}

#[test]
fn what_the_broker_holds_is_not_sent_again_and_what_is_missing_or_damaged_is() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    let head = desk.head("large", LARGE, 1);
    assert_eq!(desk.push(&broker, "large", &LEAVE).code, Some(0));
    let spy = spy(&broker);
    let again = desk.push(&broker, "large", &LEAVE);
    assert_eq!(again.code, Some(0));
    assert_eq!(heard(&broker, &spy).len(), 0);

    publish(&broker, &chunk(&north(), &head, 0), b"");
    publish(&broker, &chunk(&north(), &head, 1), b"damaged on the way");
    let before = heard(&broker, &spy).len();
    let resumed = desk.push(&broker, "large", &LEAVE);
    assert_eq!(resumed.code, Some(0));
    assert!(resumed.out.contains("the broker holds 25 of 27 pieces"), "{}", resumed.out);
    let sent: Vec<String> = heard(&broker, &spy)[before..].iter().map(|message| message.topic.clone()).collect();
    assert_eq!(sent, [chunk(&north(), &head, 0), chunk(&north(), &head, 1)]);
    assert_holds(&broker, &in_pieces(&north(), &head));
}

#[test]
fn a_push_that_was_killed_is_finished_by_the_next_one() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    let head = desk.head("huge", HUGE, 1);
    let watching = spy(&broker);
    let push = desk.start(&broker, "huge", &LEAVE);
    watching.wait_for(PATIENCE, |messages| live(messages).len() > 3).unwrap();
    drop(push);
    let held = retained(&broker);
    let again = spy(&broker);
    assert_eq!(desk.push(&broker, "huge", &LEAVE).code, Some(0));
    for message in heard(&broker, &again) {
        assert!(!held.contains_key(&message.topic), "{} was sent again", message.topic);
    }
    assert_holds(&broker, &in_pieces(&north(), &head));
}

#[test]
fn a_broker_that_dies_on_the_way_and_comes_back_gets_the_rest() {
    let Some(mut broker) = broker() else { return };
    let desk = Desk::new();
    let head = desk.head("huge", HUGE, 1);
    let watching = spy(&broker);
    let push = desk.start(&broker, "huge", &LEAVE);
    watching.wait_for(PATIENCE, |messages| live(messages).len() > 3).unwrap();
    broker.kill().unwrap();
    assert!(live(&watching.messages()).len() < in_pieces(&north(), &head).len(), "all was through; it proves nothing");
    broker.restart().unwrap();
    let pushed = push.end();
    assert_eq!(pushed.code, Some(0));
    assert!(pushed.out.contains("connecting again") && pushed.out.contains("connected again"), "{}", pushed.out);
    assert_holds(&broker, &in_pieces(&north(), &head));
}

#[test]
fn a_broker_that_forgot_what_it_acknowledged_gets_it_once_more() {
    let Some(mut broker) = broker_with(Options { persistence: false, ..Options::default() }) else { return };
    let desk = Desk::new();
    let head = desk.head("huge", HUGE, 1);
    let watching = spy(&broker);
    let push = desk.start(&broker, "huge", &LEAVE);
    watching.wait_for(PATIENCE, |messages| live(messages).len() > 3).unwrap();
    broker.kill().unwrap();
    broker.restart().unwrap();
    assert_eq!(push.end().code, Some(0));
    assert_holds(&broker, &in_pieces(&north(), &head));
}

#[test]
fn a_dry_run_publishes_nothing_and_lists_what_it_would() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    let head = desk.head("large", LARGE, 1);
    let spy = spy(&broker);
    let dry = desk.push(&broker, "large", &["--trap", "north", "--dry-run"]);
    assert_eq!(dry.code, Some(0));
    assert!(heard(&broker, &spy).is_empty() && retained(&broker).is_empty());
    assert!(dry.out.contains("arcticd/north/head/offer"), "{}", dry.out);
    let pieces = format!("arcticd/north/head/chunk/{}/0-26  27 pieces, {} bytes", id(&head), head.row().len());
    assert!(dry.out.contains(&pieces), "{}", dry.out);

    let json = desk.push(&broker, "large", &["--trap", "north", "--dry-run", "--json"]).json();
    assert_eq!((json["plan"].as_array().unwrap().len(), &json["published"]["messages"]), (28, &0.into()), "{json}");
    // Of what was announced, packet for packet, nothing is missing and nothing comes on top.
    let said = |out: &str, after: &str| -> u64 {
        let rest = &out[out.find(after).unwrap() + after.len()..];
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    let pushed = desk.push(&broker, "large", &LEAVE);
    assert_eq!(said(&dry.out, "28 messages, "), said(&pushed.out, "published 28 messages, "));
}

#[test]
fn clearing_a_scope_leaves_nothing_in_it_and_touches_no_other() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    let (large, small) = (desk.head("large", LARGE, 1), desk.head("small", SMALL, 2));
    desk.push(&broker, "large", &["--group", "coast", "--trap", "north", "--wait", "0"]);
    desk.push(&broker, "small", &["--trap", "south", "--wait", "0"]);
    // Pieces of some head that no offer names any more.
    publish(&broker, &chunk(&north(), &small, 9), b"left over");
    let cleared = desk.clear(&broker, &["--trap", "north,west"]);
    assert_eq!(cleared.code, Some(0));
    assert!(cleared.out.contains("trap north: cleared an offer (head/offer), 28 pieces"), "{}", cleared.out);
    assert!(cleared.out.contains("trap west: nothing was there"), "{}", cleared.out);
    let mut expected = in_pieces(&Scope::Group("coast".into()), &large);
    expected.extend(whole(&Scope::Trap("south".into()), &small));
    assert_holds(&broker, &expected);
}

#[test]
fn whoever_may_not_see_or_change_what_lies_there_is_not_told_that_nothing_does() {
    let desk = Desk::new();
    let head = desk.head("large", LARGE, 1);
    for (name, rules) in [
        ("blind", "topic write arcticd/#\n"),
        ("mute", "topic read arcticd/#\n"),
        ("no pieces", "topic readwrite arcticd/+/head/set\ntopic readwrite arcticd/+/head/offer\n"),
    ] {
        fs::write(desk.path(name), "topic readwrite #\n").unwrap();
        // As mosquitto is by default: with the test broker's own setting it ends the connection over what is not allowed.
        let extra = vec![format!("acl_file {}", desk.path(name).display()), "max_queued_messages 1000".to_owned()];
        let Some(mut broker) = broker_with(Options { extra, ..Options::default() }) else { return };
        publish(&broker, &chunk(&north(), &head, 0), b"left over");
        assert_eq!(retained(&broker).len(), 1);
        fs::write(desk.path(name), rules).unwrap();
        broker.restart().unwrap();
        // Where nothing lies, and where something does that nobody may see.
        for trap in ["west", "north"] {
            let cleared = desk.clear(&broker, &["--trap", trap]);
            assert_eq!(cleared.code, Some(1), "{name}");
            assert!(!cleared.out.contains("nothing was there"), "{}", cleared.out);
            let named = format!("topic readwrite arcticd/{trap}/head/");
            let held = name == "mute" && trap == "north";
            assert!(cleared.err.contains(&named) || held && cleared.err.contains("write"), "{}", cleared.err);
        }
    }
}
