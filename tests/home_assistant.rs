//! What Home Assistant is told, held against its own rules and against what the daemon really publishes, through mosquitto.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::BTreeSet;
use std::time::Duration;

use parts::heads::{good, offer, trusting, wait_report};
use parts::home::{faults, render, state, topics};
use parts::{PATIENCE, bear, every_frame, frames, listen, skip, start_online, wait_detections, wait_health};
use serde_json::{Value, json};
use testkit::broker::{Broker, Mosquitto, Options, free_port};
use testkit::daemon::World;
use testkit::head::signed::Maker;
use testkit::subscriber::{Message, Subscriber, Subscription};
use time::OffsetDateTime;

const TOPIC: &str = "homeassistant/device/arcticd_test/config";

fn world(url: String) -> World {
    every_frame().set("mqtt.url", url).set_raw("homeassistant.enabled", "true").set_raw("alerts.gap_s", "3")
}

/// Home Assistant's ears: discovery and its own birth.
fn home(port: u16) -> Subscriber {
    Subscriber::start(Subscription::new(port, "homeassistant/#")).unwrap()
}

fn told(messages: &[Message]) -> Vec<&Message> {
    messages.iter().filter(|message| message.topic == TOPIC).collect()
}

fn wait_told(home: &Subscriber, times: usize) -> Value {
    let all = home.wait_for(PATIENCE, |messages| told(messages).len() >= times).unwrap();
    told(&all)[times - 1].json()
}

fn latest<'a>(messages: &'a [Message], topic: &str) -> Option<&'a Message> {
    messages.iter().rfind(|message| message.topic == topic)
}

fn no_mosquitto() -> bool {
    if !Mosquitto::available() {
        skip("Home Assistant", "mosquitto is not installed");
    }
    !Mosquitto::available()
}

/// Everything the trap says in a short life with a bear in it, and the discovery message.
fn a_life() -> (Value, Vec<Message>) {
    let broker = Broker::any().unwrap();
    let (subscriber, home) = (listen(broker.port()), home(broker.port()));
    let world = world(broker.url());
    let mut daemon = start_online(&world, &subscriber);
    world.drop_frame("north/a.jpg", &bear(1)).unwrap();
    let closed = |message: &Message| message.json()["kind"] == "event_closed";
    subscriber.wait_for(PATIENCE, |messages| messages.iter().any(closed)).unwrap();
    wait_health(&subscriber, |health| health["acked_through"] == 2);
    let snapshot = |messages: &[Message]| latest(messages, "arcticd/test/snapshot/polar_bear").is_some();
    subscriber.wait_for(PATIENCE, snapshot).unwrap();
    assert_eq!(daemon.terminate().unwrap(), 0);
    (wait_told(&home, 1), subscriber.messages())
}

#[test]
fn each_entity_is_one_that_home_assistant_takes_and_reads_what_the_trap_really_says() {
    let (message, said) = a_life();
    assert_eq!(faults(&message), Vec::<String>::new(), "{message:#}");
    assert_eq!(message["device"]["identifiers"], json!(["arcticd_test"]));
    assert_eq!(message["origin"]["name"], "arcticd");

    let silent: Vec<String> = topics(&message).into_iter().filter(|topic| latest(&said, topic).is_none()).collect();
    assert_eq!(silent, Vec::<String>::new(), "nothing was ever published there");

    let entity = |key: &str| &message["components"][key];
    let read = |key: &str, leaf: &str| {
        let payload = latest(&said, &format!("arcticd/test/{leaf}")).unwrap().text();
        assert_eq!(entity(key)["state_topic"], format!("arcticd/test/{leaf}"), "{key}");
        state(entity(key), &payload)
    };
    assert_eq!(read("backlog", "health"), "0");
    assert_eq!(read("outbox", "health"), "0");
    assert_eq!(read("frames", "health"), "1");
    assert_eq!(read("alerts", "health"), "1");
    assert!(read("disk_free", "health").parse::<u64>().is_ok());
    for moment in ["last_frame", "last_delivered", "heartbeat"] {
        let text = read(moment, "health");
        assert!(OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339).is_ok(), "{text}");
    }
    let temperature = read("temperature", "health");
    assert!(temperature == "None" || temperature.parse::<f32>().is_ok(), "{temperature}");
    assert!(["ON", "OFF", "None"].contains(&read("under_voltage", "health").as_str()));
    assert!(["ON", "OFF"].contains(&read("problem", "health").as_str()));
    assert_eq!(read("status", "availability"), "stopped");

    // Every value of `availability` is one of the options, and counts as it should.
    for (word, status, available) in [
        ("online", "online", "online"),
        ("asleep until 2026-11-28T11:40:00Z", "asleep", "online"),
        ("stopped", "stopped", "offline"),
        ("offline", "offline", "offline"),
    ] {
        assert_eq!(state(entity("status"), word), status);
        assert!(entity("status")["options"].as_array().unwrap().contains(&status.into()));
        assert_eq!(state(&message["availability"][0], word), available, "{word}");
        assert_eq!(state(&entity("status")["availability"][0], word), "online", "it says why the others are not");
    }

    let head: Value = serde_json::from_str(&read("head", "head/state")).unwrap();
    assert_eq!(head["installed_version"], head["latest_version"]);
    assert_eq!(head["in_progress"], false);
    assert!(head["installed_version"].as_str().unwrap().parse::<u64>().is_ok(), "{head}");
    let payload = latest(&said, "arcticd/test/head/state").unwrap().text();
    let attributes = render(entity("head")["json_attributes_template"].as_str().unwrap(), &payload, now());
    assert!(serde_json::from_str::<Value>(&attributes).unwrap()["head"].is_string(), "{attributes}");
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[test]
fn a_detection_is_an_event_and_turns_the_labels_sensor_on_unless_it_is_old_news() {
    let (message, said) = a_life();
    let detections: Vec<&Message> = said.iter().filter(|message| message.topic.ends_with("/detection")).collect();
    let event = &message["components"]["detection"];
    let kinds: Vec<Value> = detections
        .iter()
        .map(|message| serde_json::from_str::<Value>(&state(event, &message.text())).unwrap())
        .inspect(|event| assert_eq!((&event["label"], &event["camera"]), (&"polar_bear".into(), &"north".into())))
        .map(|event| event["event_type"].clone())
        .collect();
    assert_eq!(kinds, ["opened", "closed"]);
    let types: BTreeSet<&str> =
        event["event_types"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(types, BTreeSet::from(["opened", "updated", "closed"]));

    let sensor = &message["components"]["polar_bear_now"];
    assert_eq!(sensor["off_delay"], 300);
    let template = sensor["value_template"].as_str().unwrap();
    assert_eq!(render(template, &detections[0].text(), now()), "ON");
    assert_eq!(render(template, &detections[1].text(), now()), "", "a summary says that it is over");
    let changed = |changes: &[(&str, Value)]| {
        let mut payload = detections[0].json();
        for (pointer, value) in changes {
            *payload.pointer_mut(pointer).unwrap() = value.clone();
        }
        payload.to_string()
    };
    assert_eq!(render(template, &changed(&[("/label", "walrus".into())]), now()), "");
    // docs/messages.md: if it is replayed, ring only if both times are minutes old.
    let replayed = ("/replayed", json!(true));
    assert_eq!(render(template, &changed(std::slice::from_ref(&replayed)), now()), "ON");
    let old = json!("2026-11-23T06:12:00Z");
    for field in ["/processed_at", "/frame/captured_at"] {
        assert_eq!(render(template, &changed(&[replayed.clone(), (field, old.clone())]), now()), "", "{field}");
        assert_eq!(render(template, &changed(&[(field, old.clone())]), now()), "ON", "its clock may be wrong");
    }
    let later = now() + Duration::from_secs(301);
    assert_eq!(render(template, &changed(&[replayed]), later), "");
}

#[test]
fn a_head_that_is_offered_is_an_update_until_it_is_decided() {
    let broker = Broker::any().unwrap();
    let (subscriber, home) = (listen(broker.port()), home(broker.port()));
    let maker = Maker::new().unwrap();
    let world = trusting(&maker, &broker, 3).set_raw("homeassistant.enabled", "true");
    let _daemon = start_online(&world, &subscriber);
    let entity = wait_told(&home, 1)["components"]["head"].clone();
    offer(&subscriber, &maker.head(&good(), 5, |_| {}).unwrap());
    wait_report(&subscriber, 0, |report| report.offer.as_ref().is_some_and(|offer| offer.head.sequence == 5));
    let states = subscriber.messages();
    let payload = latest(&states, "arcticd/test/head/state").unwrap().text();
    let update: Value = serde_json::from_str(&state(&entity, &payload)).unwrap();
    assert_eq!((&update["latest_version"], &update["in_progress"]), (&"5".into(), &true.into()), "{update}");
    assert_ne!(update["installed_version"], "5");
}

#[test]
fn it_is_told_again_when_home_assistant_starts_or_the_broker_forgot_and_not_otherwise() {
    if no_mosquitto() {
        return;
    }
    let mut broker = Mosquitto::start(Options::default()).unwrap();
    let (subscriber, ears) = (listen(broker.port()), home(broker.port()));
    let world = world(broker.url());
    let mut daemon = start_online(&world, &subscriber);
    let first = wait_told(&ears, 1);

    ears.publish("homeassistant/status", false, b"online").unwrap();
    assert_eq!(wait_told(&ears, 2), first);
    // A broker that keeps its sessions keeps what it retains. The first frame shows that the trap knows of that, the second that it is
    // back and has said its things.
    for connection in 1..=2 {
        world.drop_frame(&format!("{connection}.jpg"), &bear(connection)).unwrap();
        wait_detections(&subscriber, connection as usize);
        wait_health(&subscriber, |health| {
            health["counters"]["connections"] == connection && health["acked_through"] == connection
        });
        if connection == 1 {
            broker.restart().unwrap();
        }
    }
    let fresh = |messages: &[Message]| told(messages).iter().filter(|message| !message.retain).count();
    assert_eq!(fresh(&ears.messages()), 2);
    assert_eq!(daemon.terminate().unwrap(), 0);

    let port = free_port().unwrap();
    let forgetful = || Options { persistence: false, port: Some(port), ..Options::default() };
    let mut broker = Mosquitto::start(forgetful()).unwrap();
    let ears = home(port);
    let world = every_frame().set("mqtt.url", broker.url()).set_raw("homeassistant.enabled", "true");
    let _daemon = start_online(&world, &listen(port));
    wait_told(&ears, 1);
    broker.restart().unwrap();
    wait_told(&ears, 2);
    let late = home(port);
    assert_eq!(wait_told(&late, 1), first_of(&ears));
    assert!(told(&late.messages())[0].retain);
}

fn first_of(ears: &Subscriber) -> Value {
    told(&ears.messages())[0].json()
}

#[test]
fn turned_off_it_takes_back_what_it_left_and_costs_nothing() {
    let broker = Broker::any().unwrap();
    let (subscriber, ears) = (listen(broker.port()), home(broker.port()));
    let world = world(broker.url());
    let mut daemon = start_online(&world, &subscriber);
    wait_told(&ears, 1);
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    let pictures = |messages: &[Message]| {
        messages.iter().filter(|message| message.topic.contains("/snapshot/")).cloned().collect::<Vec<_>>()
    };
    subscriber.wait_for(PATIENCE, |messages| !pictures(messages).is_empty()).unwrap();
    assert_eq!(daemon.terminate().unwrap(), 0);

    let world = world.set_raw("homeassistant.enabled", "false");
    let mut daemon = start_online(&world, &subscriber);
    let emptied = |messages: &[Message]| told(messages).last().is_some_and(|message| message.payload.is_empty());
    ears.wait_for(PATIENCE, emptied).unwrap();
    subscriber.wait_for(PATIENCE, |messages| pictures(messages).last().unwrap().payload.is_empty()).unwrap();
    assert_eq!(daemon.terminate().unwrap(), 0);
    let (told_so_far, seen) = (told(&ears.messages()).len(), pictures(&subscriber.messages()).len());

    let _daemon = start_online(&world, &subscriber);
    world.drop_frame("b.jpg", &bear(2)).unwrap();
    subscriber.wait_for(PATIENCE, |messages| frames(messages).len() == 2).unwrap();
    wait_health(&subscriber, |health| health["last"]["acknowledged_at"].is_string());
    assert_eq!((told(&ears.messages()).len(), pictures(&subscriber.messages()).len()), (told_so_far, seen));
}
