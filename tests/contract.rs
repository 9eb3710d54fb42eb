//! What is published is what `schema/detection.schema.json` promises, and the schema promises something.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::fs::File;
use std::time::{Duration, SystemTime};

use jsonschema::Validator;
use parts::{BIN, PATIENCE, bear, every_frame, listen, start_online, wait_frames};
use serde_json::{Value, json};
use testkit::broker::Broker;
use testkit::daemon::World;
use testkit::scenes::Scene;
use testkit::subscriber::{Message, Subscriber};

fn schema() -> Validator {
    jsonschema::validator_for(&serde_json::from_str(include_str!("../schema/detection.schema.json")).unwrap()).unwrap()
}

fn faults(schema: &Validator, payload: &Value) -> Vec<String> {
    schema.iter_errors(payload).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// What was published as detections, as it was published.
fn payloads(messages: &[Message]) -> Vec<Value> {
    messages.iter().filter(|message| message.topic.ends_with("/detection")).map(Message::json).collect()
}

fn wait_for(subscriber: &Subscriber, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    payloads(&subscriber.wait_for(PATIENCE, |messages| payloads(messages).iter().any(&wanted)).unwrap())
}

/// A run with a message of every kind there is.
fn a_run() -> (World, Vec<Value>) {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame()
        .set_raw("alerts.gap_s", "3")
        .set_raw("alerts.location", "{ latitude = 78.2232, longitude = 15.6267 }")
        .set("alerts.location_policy", "rounded")
        .set("mqtt.url", broker.url());
    for seed in 0..3 {
        let file = world.drop_frame(&format!("old/{seed}.jpg"), &bear(seed)).unwrap();
        let yesterday = SystemTime::now() - Duration::from_secs(86_400);
        File::options().append(true).open(file).unwrap().set_modified(yesterday).unwrap();
    }
    let mut daemon = start_online(&world, &subscriber);
    wait_frames(&world, &["old/0.jpg", "old/1.jpg", "old/2.jpg"]);
    world.drop_frame("live.jpg", &bear(10)).unwrap();
    let whole = Scene::Bear.jpeg(11, 320, 240).unwrap();
    world.drop_frame("north/cut.jpg", &whole[..whole.len() * 9 / 10]).unwrap();
    for frame in ["live.jpg", "north/cut.jpg", "old/2.jpg"] {
        let camera = frame.split_once('/').map(|(camera, _)| camera);
        wait_for(&subscriber, |payload| payload["kind"] == "event_closed" && payload["camera"] == json!(camera));
    }
    assert_eq!(daemon.terminate().unwrap(), 0);
    let found = payloads(&subscriber.messages());
    (world, found)
}

#[test]
fn every_published_payload_is_what_the_schema_says() {
    let (world, found) = a_run();
    let schema = schema();
    for payload in &found {
        assert_eq!(faults(&schema, payload), Vec::<String>::new(), "{payload}");
    }
    let some = |pointer: &str, value: Value| {
        assert!(found.iter().any(|payload| payload.pointer(pointer) == Some(&value)), "none with {pointer} {value}");
    };
    for state in ["opened", "updated", "closed"] {
        some("/event/state", state.into());
    }
    for value in [true, false] {
        some("/replayed", value.into());
        some("/frame/partial", value.into());
    }
    some("/camera", Value::Null);
    some("/camera", "north".into());
    some("/location/latitude", json!(78.2));

    // The tool for scripts says of a file what the daemon said, but for what only a daemon knows.
    let mut command = world.command(BIN);
    command.args(["--once", "live.jpg", "--json", "--config"]).arg(world.path("arcticd.toml"));
    let output = command.current_dir(world.captures()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut once: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(faults(&schema, &once), Vec::<String>::new(), "{once}");
    let mut published = found.iter().find(|payload| payload["frame"]["name"] == "live.jpg").unwrap().clone();
    for payload in [&mut once, &mut published] {
        for field in ["epoch", "seq", "event", "processed_at", "latency_ms", "replayed"] {
            payload.as_object_mut().unwrap().remove(field).unwrap();
        }
    }
    assert_eq!(once, published);
}

/// Every place in `value`, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    if let Value::Object(fields) = value {
        fields.iter().for_each(|(name, field)| places(field, &format!("{at}/{name}"), found));
    }
}

#[test]
fn a_payload_with_another_field_name_type_or_range_is_not_what_the_schema_says() {
    let world = every_frame()
        .set_raw("alerts.location", "{ latitude = 78.2232, longitude = 15.6267 }")
        .set("alerts.location_policy", "exact");
    let daemon = world.start(BIN).unwrap();
    world.drop_frame("north/a.jpg", &bear(1)).unwrap();
    let payload: Value = serde_json::from_str(&daemon.wait_for_stdout("north/a.jpg", PATIENCE).unwrap()).unwrap();
    let schema = schema();
    assert_eq!(faults(&schema, &payload), Vec::<String>::new());
    let refused = |what: String, change: &dyn Fn(&mut Value)| {
        let mut changed = payload.clone();
        change(&mut changed);
        assert_ne!(changed, payload, "{what} changes nothing");
        assert!(!schema.is_valid(&changed), "{what} is accepted: {changed}");
    };

    let mut all = Vec::new();
    places(&payload, "", &mut all);
    assert!(all.len() > 35, "{all:?}");
    for place in &all {
        refused(format!("an array at {place}"), &|changed| *changed.pointer_mut(place).unwrap() = json!([]));
        let Some((above, name)) = place.rsplit_once('/') else { continue };
        // The scores are the head's labels, which the schema does not know.
        if above == "/scores" {
            continue;
        }
        let fields = |changed: &mut Value| changed.pointer_mut(above).unwrap().as_object_mut().unwrap().clone();
        refused(format!("no {place}"), &|changed| {
            let mut left = fields(changed);
            left.remove(name);
            *changed.pointer_mut(above).unwrap() = left.into();
        });
        refused(format!("another name for {place}"), &|changed| {
            let mut renamed = fields(changed);
            let value = renamed.remove(name).unwrap();
            renamed.insert(format!("{name}_2"), value);
            *changed.pointer_mut(above).unwrap() = renamed.into();
        });
        refused(format!("a field beside {place}"), &|changed| {
            changed.pointer_mut(above).unwrap()["extra"] = json!(1);
        });
    }
    let out_of_range = [
        ("/schema", json!(2)),
        ("/id", json!("123")),
        ("/seq", json!(0)),
        ("/epoch", json!("today")),
        ("/kind", json!("alarm")),
        ("/trap", json!("Mast 3")),
        ("/event/state", json!("over")),
        ("/event/frames", json!(0)),
        ("/frame/width", json!(0)),
        ("/frame/sha256", json!("cafe")),
        ("/frame/name", json!("")),
        ("/frame/captured_at", json!("yesterday")),
        ("/frame/captured_at_source", json!("guess")),
        ("/label", json!("Polar Bear")),
        ("/confidence", json!(1.01)),
        ("/confidence", json!(-0.01)),
        ("/confidence", Value::Null),
        ("/scores", json!({})),
        ("/scores", json!({ "polar_bear": 2 })),
        ("/decision/threshold", json!(80)),
        ("/model/sequence", json!(-1)),
        ("/location/latitude", json!(90.5)),
        ("/location/longitude", json!(-181)),
        ("/location/policy", json!("omitted")),
        ("/processed_at", json!("2026-11-23 22:00:00")),
        ("/latency_ms", json!(-1)),
        ("/replayed", json!("no")),
    ];
    for (place, value) in out_of_range {
        refused(format!("{value} at {place}"), &|changed| *changed.pointer_mut(place).unwrap() = value.clone());
    }
}
