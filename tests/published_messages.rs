//! What a daemon says, and what is said to it, is what `schema/` promises: each topic stands in the AsyncAPI document, each payload
//! is what its schema says, and the broker keeps what is said to be kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::BTreeSet;
use std::path::Path;

use arcticd::accept::ask::{FrameLabel, Wanted, What};
use arcticd::accept::{Ask, AskState, Content, Kind, Step};
use arcticd::frame::ContentHash;
use arcticd::journal::Which;
use jsonschema::Validator;
use parts::heads::{adopt, good, offer, topic, trusting, wait_report, wait_step};
use parts::{BIN, PATIENCE, bear, start_online, wait_frames};
use serde_json::Value;
use testkit::broker::Broker;
use testkit::daemon::World;
use testkit::head::signed::{self, Maker};
use testkit::subscriber::{Message, Subscriber, Subscription};

fn read(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn schema(name: &str) -> Validator {
    jsonschema::validator_for(&read(&format!("{name}.schema.json"))).unwrap()
}

fn faults(schema: &Validator, payload: &Value) -> Vec<String> {
    schema.iter_errors(payload).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Whether a topic is one of those that an address with parameters in braces stands for.
fn is_at(topic: &str, address: &str) -> bool {
    let (levels, wanted): (Vec<&str>, Vec<&str>) = (topic.split('/').collect(), address.split('/').collect());
    let fits = |(level, wanted): (&&str, &&str)| {
        level == wanted || wanted.contains('{') && (level.contains('_') || !wanted.contains("}_{"))
    };
    levels.len() == wanted.len() && levels.iter().zip(&wanted).all(fits)
}

/// Name and description of the channel that a topic belongs to; `features/get` is no frame's.
fn channel<'d>(document: &'d Value, topic: &str) -> (&'d str, &'d Value) {
    let all = document["channels"].as_object().unwrap();
    let found = all.iter().filter(|(_, channel)| is_at(topic, channel["address"].as_str().unwrap()));
    let exact = found.min_by_key(|(_, channel)| channel["address"].as_str().unwrap().matches('{').count());
    let (name, channel) = exact.unwrap_or_else(|| panic!("{topic} is in no channel of the document"));
    (name, channel)
}

/// Holds a message against what the document says of its channel, and its channel's name.
fn check<'d>(document: &'d Value, message: &Message) -> &'d str {
    let (name, channel) = channel(document, &message.topic);
    let place = format!("#/channels/{name}");
    let mut operations = document["operations"].as_object().unwrap().values();
    let operation = operations.find(|it| it["channel"]["$ref"] == place.as_str()).unwrap();
    assert_eq!(operation["bindings"]["mqtt"]["qos"], message.qos, "{name}");
    let (_, told) = channel["messages"].as_object().unwrap().iter().next().unwrap();
    let told = document.pointer(told["$ref"].as_str().unwrap().trim_start_matches('#')).unwrap();
    match told["contentType"].as_str().unwrap() {
        "application/json" => {
            let payload = message.json();
            let mut rules = told["payload"].clone();
            if let Some(component) = told["payload"]["$ref"].as_str() {
                rules = document.pointer(component.trim_start_matches('#')).unwrap().clone();
                let published = schema(component.rsplit('/').next().unwrap());
                assert_eq!(faults(&published, &payload), Vec::<String>::new(), "{name}: {payload:#}");
            }
            rules["$schema"] = "http://json-schema.org/draft-07/schema#".into();
            let rules = jsonschema::validator_for(&rules).unwrap();
            assert_eq!(faults(&rules, &payload), Vec::<String>::new(), "{name}: {payload:#}");
        }
        "text/plain" => {
            let rules = jsonschema::validator_for(&told["payload"]).unwrap();
            assert_eq!(faults(&rules, &message.text().into()), Vec::<String>::new(), "{name}");
        }
        "image/jpeg" => assert_eq!(message.payload[..2], [0xFF, 0xD8], "{name}"),
        _ => assert!(!message.payload.is_empty(), "{name}"),
    }
    name
}

fn ask(subscriber: &Subscriber, maker: &Maker, what: What) {
    let ask = Ask { audience: Vec::new(), sequence: 1, what };
    subscriber.publish(&topic(Content::Ask(ask.kind())), false, &maker.ask(&ask).unwrap()).unwrap();
    let kind: Kind = ask.kind();
    wait_report(subscriber, 0, |report| {
        report.local.asked.get(&kind).is_some_and(|asked| asked.state != AskState::UnderWay)
    });
}

/// The lines that a command printed.
fn printed(world: &World, words: &[&str]) -> Vec<Value> {
    let mut command = world.command(BIN);
    let output = command.args(words).arg("--json").output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    lines
}

#[test]
fn all_that_is_said_is_in_the_document_and_as_its_schemas_say() {
    let document = read("asyncapi.json");
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let ears = || Subscriber::start(Subscription::new(broker.port(), "#")).unwrap();
    let subscriber = ears();
    let world = trusting(&maker, &broker, 1)
        .set_raw("heads.keep_features", "100")
        .set_raw("homeassistant.enabled", "true")
        .set_raw("alerts.gap_s", "1")
        .set_raw("pictures.inline", "true");
    let mut daemon = start_online(&world, &subscriber);
    let config = world.path("arcticd.toml");
    let config = config.to_str().unwrap();
    subscriber.publish("homeassistant/status", false, b"online").unwrap();

    let shown = bear(1);
    world.drop_frame("north/bear.jpg", &shown).unwrap();
    wait_frames(&world, &["north/bear.jpg"]);
    let heard = |end: &str| {
        let closed =
            |message: &Message| message.topic.ends_with("/detection") && message.json()["kind"] == "event_closed";
        let is = |message: &Message| message.topic.ends_with(end) && (end != "/detection" || closed(message));
        subscriber.wait_for(PATIENCE, |messages| messages.iter().any(is)).unwrap();
    };
    heard("/snapshot/polar_bear");
    heard("/detection");

    let frame = ContentHash::of(&shown);
    ask(&subscriber, &maker, What::Labels(vec![FrameLabel { frame, label: "polar_bear".into() }]));
    ask(&subscriber, &maker, What::Features(Wanted::Frames(vec![frame])));
    ask(&subscriber, &maker, What::Refit);
    ask(&subscriber, &maker, What::Forget(vec![ContentHash::of(b"no head")]));
    heard(&format!("/features/{frame}"));
    adopt(&subscriber, &world, &maker.head(&good(), 7, |_| {}).unwrap());
    let next = maker.head(&good(), 8, |_| {}).unwrap();
    offer(&subscriber, &next);
    wait_step(&subscriber, 8, Step::Offered);

    // What commands print, while the daemon runs beside them.
    let verdicts = printed(&world, &["check", "--config", config]);
    assert!(verdicts.len() > 5, "{verdicts:?}");
    for (kind, line) in verdicts
        .into_iter()
        .map(|line| ("check", line))
        .chain(printed(&world, &["head", "list", "--config", config]).into_iter().map(|line| ("head-list", line)))
        .chain({
            let file = world.path("next.head");
            std::fs::write(&file, signed::file(&next).unwrap()).unwrap();
            let url = broker.url();
            let words = ["head", "push", file.to_str().unwrap(), "--trap", "test", "--broker", &url, "--dry-run"];
            printed(&world, &words).into_iter().map(|line| ("head-push", line))
        })
        .chain(printed(&world, &["fleet", "--broker", &broker.url()]).into_iter().map(|line| ("fleet", line)))
    {
        assert_eq!(faults(&schema(kind), &line), Vec::<String>::new(), "{kind}: {line:#}");
    }

    assert_eq!(daemon.terminate().unwrap(), 0);
    let messages = subscriber.wait_for(PATIENCE, |all| all.iter().any(|it| it.text() == "stopped")).unwrap();
    let seen: BTreeSet<&str> = messages.iter().map(|message| check(&document, message)).collect();
    for wanted in [
        "availability",
        "birth",
        "check",
        "detection",
        "discovery",
        "features",
        "featuresGet",
        "headForget",
        "headOffer",
        "headRefit",
        "headSet",
        "headState",
        "health",
        "labelSet",
        "snapshot",
    ] {
        assert!(seen.contains(wanted), "no message of channel {wanted}: {seen:?}");
    }

    // Whoever subscribes now gets what was kept, and nothing else.
    let told: BTreeSet<&str> = document["operations"]
        .as_object()
        .unwrap()
        .values()
        .filter(|it| it["bindings"]["mqtt"]["retain"] == true)
        .map(|it| it["channel"]["$ref"].as_str().unwrap().trim_start_matches("#/channels/"))
        .filter(|name| seen.contains(name))
        .collect();
    let late = ears();
    let kept = |messages: &[Message]| -> BTreeSet<String> {
        messages.iter().map(|it| channel(&document, &it.topic).0.to_owned()).collect()
    };
    late.publish("test/end", false, b"all that was kept has come before").unwrap();
    let messages = late.wait_for(PATIENCE, |messages| messages.iter().any(|it| it.topic == "test/end")).unwrap();
    let messages: Vec<Message> = messages.into_iter().filter(|it| it.topic != "test/end").collect();
    assert!(kept(&messages).iter().map(String::as_str).eq(told.iter().copied()), "{:?} and {told:?}", kept(&messages));
}

#[test]
fn what_is_signed_in_a_request_is_what_its_schema_says_and_other_fields_are_not() {
    let schema = schema("request-message");
    let frame = ContentHash::of(b"frame");
    for what in [
        What::Labels(vec![FrameLabel { frame, label: "other".into() }]),
        What::Refit,
        What::Features(Wanted::Frames(vec![frame])),
        What::Features(Wanted::Some(Which::Unsure, 5)),
        What::Forget(vec![frame]),
    ] {
        let ask = Ask { audience: vec!["coast".into()], sequence: 4, what };
        let mut message: Value = serde_json::from_slice(&ask.encode()).unwrap();
        assert_eq!(faults(&schema, &message), Vec::<String>::new(), "{message}");
        message["more"] = 1.into();
        assert!(!schema.is_valid(&message));
        message.as_object_mut().unwrap().remove("more").unwrap();
        message["sequence"] = (-1).into();
        assert!(!schema.is_valid(&message));
    }
}
