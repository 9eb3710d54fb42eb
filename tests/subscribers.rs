//! The subscribers of `docs/subscribers/` do what their page says, beside a real broker and a real daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use parts::{BIN, PATIENCE, bear, every_frame, listen, python, skip, start_online, wait_detections, wait_health};
use serde_json::{Value, json};
use testkit::broker::{Login, Mosquitto, Options};
use testkit::certificates::Certificates;
use testkit::daemon::Daemon;
use testkit::subscriber::{Message, Subscriber, Subscription};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

/// What an example prints.
fn run(mut command: Command, broker: &Mosquitto, state: &Path) -> Daemon {
    command.args(["--broker", "127.0.0.1", "--port", &broker.port().to_string(), "--client-id", "desk"]);
    command.arg("--state").arg(state);
    Daemon::spawn(command).unwrap()
}

/// Waits for a line that begins so.
fn says(example: &Daemon, line: &str) {
    example.wait_for_stdout(line, PATIENCE).unwrap();
}

fn lines(example: &Daemon, beginning: &str) -> Vec<String> {
    example.stdout().into_iter().filter(|line| line.starts_with(beginning)).collect()
}

/// Alerts come once, what comes while it is away comes later, repeats are known as such, and a missing number is told of.
fn takes_each_alert_once_and_tells_of_gaps(example: impl Fn() -> Command) {
    let broker = Mosquitto::start(Options::default()).unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let state = world.path("received.txt");
    let mut daemon = start_online(&world, &subscriber);
    let mut first = run(example(), &broker, &state);
    says(&first, "test is online");
    world.drop_frame("north/1.jpg", &bear(1)).unwrap();
    says(&first, "ALERT test polar_bear");
    first.kill().unwrap();

    // Away: an alert, and a message that comes twice.
    world.drop_frame("north/2.jpg", &bear(2)).unwrap();
    wait_detections(&subscriber, 2);
    let detection = |messages: &[Message]| messages.iter().rfind(|it| it.topic.ends_with("/detection")).cloned();
    let last = detection(&subscriber.messages()).unwrap();
    subscriber.publish(&last.topic, false, &last.payload).unwrap();
    wait_detections(&subscriber, 3);
    let mut second = run(example(), &broker, &state);
    says(&second, "repeat test 2");
    let alerts = lines(&second, "ALERT");
    assert_eq!(alerts.len(), 1, "{:?}", second.stdout());
    assert!(alerts[0].ends_with("north/2.jpg"), "{alerts:?}");
    assert!(!lines(&second, "repeat").is_empty());

    // Queued while a link was gone for a moment, it rings; found in a backlog, it does not.
    let now = |ago| (OffsetDateTime::now_utc() - Duration::from_secs(ago)).format(&Rfc3339).unwrap();
    for (seq, id, taken, word) in [(1, "d", 2, "ALERT back"), (2, "e", 86_400, "old back")] {
        let mut late = last.json();
        late["trap"] = "back".into();
        late["seq"] = json!(seq);
        late["id"] = id.repeat(32).into();
        late["replayed"] = true.into();
        late["processed_at"] = now(1).into();
        late["frame"]["captured_at"] = now(taken).into();
        subscriber.publish("arcticd/back/detection", false, late.to_string().as_bytes()).unwrap();
        says(&second, word);
    }

    // A number that never came, of a trap that counts on.
    let mut lost = last.json();
    for (seq, id) in [(1, "a"), (3, "c")] {
        lost["trap"] = "leaky".into();
        lost["seq"] = json!(seq);
        lost["id"] = id.repeat(32).into();
        subscriber.publish("arcticd/leaky/detection", false, lost.to_string().as_bytes()).unwrap();
    }
    wait_health(&subscriber, |health| health["acked_through"] == 2);
    let mut health = wait_health(&subscriber, |_| true);
    health["trap"] = "leaky".into();
    health["epoch"] = lost["epoch"].clone();
    health["acked_through"] = json!(5);
    health["outbox"]["dropped_seq"] = json!([[4, 4]]);
    subscriber.publish("arcticd/leaky/health", false, health.to_string().as_bytes()).unwrap();
    says(&second, "MISSING leaky 5");
    says(&second, "dropped leaky 4");
    assert_eq!(lines(&second, "MISSING"), ["MISSING leaky 2", "MISSING leaky 5"], "and of `test` nothing is");
    // Nothing is to be understood in a retained message that was taken back.
    subscriber.publish("arcticd/leaky/health", false, b"").unwrap();
    subscriber.publish("arcticd/leaky/health", false, b"{").unwrap();
    says(&second, "not understood: arcticd/leaky/health");
    // Nor does a trap that lies stop it: what can't be read and numbers without end would come again after each start.
    subscriber.publish("arcticd/leaky/health", false, "[".repeat(100_000).as_bytes()).unwrap();
    health["acked_through"] = json!(1_u64 << 60);
    health["outbox"]["dropped_seq"] = json!([[6, 1_u64 << 60]]);
    subscriber.publish("arcticd/leaky/health", false, health.to_string().as_bytes()).unwrap();
    subscriber.publish("arcticd/leaky/availability", false, b"heard").unwrap();
    says(&second, "leaky is heard");

    assert_eq!(daemon.terminate().unwrap(), 0);
    says(&second, "test is stopped");
    second.kill().unwrap();
    assert_eq!(lines(&second, "not understood").len(), 2, "{:?}", second.stdout());
}

/// A broker does not say whom it throws out for whom, so the one who is has to guess.
fn asks_whether_another_has_its_client_id(example: impl Fn() -> Command) {
    let broker = Mosquitto::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.txt", "two.txt"].map(|state| run(example(), &broker, &folder.path().join(state)));
    for example in [&one, &two] {
        example.wait_for_log("has another program the client id desk?", PATIENCE).unwrap();
    }
}

fn no_mosquitto(test: &str) -> bool {
    if !Mosquitto::available() {
        skip(test, "mosquitto is not installed");
    }
    !Mosquitto::available()
}

#[test]
fn the_python_subscriber_takes_each_alert_once_and_tells_of_gaps() {
    let Some(python) = python("paho.mqtt") else {
        return skip("the Python subscriber", "ARCTICD_TEST_PYTHON names no Python with paho-mqtt");
    };
    if no_mosquitto("the Python subscriber") {
        return;
    }
    let subscriber = || {
        let mut command = Command::new(&python);
        command.arg(file("docs/subscribers/python/subscriber.py"));
        command
    };
    takes_each_alert_once_and_tells_of_gaps(subscriber);
    asks_whether_another_has_its_client_id(subscriber);
}

#[test]
fn the_python_subscriber_speaks_tls_and_has_a_password() {
    let Some(python) = python("paho.mqtt") else {
        return skip("the Python subscriber, TLS", "ARCTICD_TEST_PYTHON names no Python with paho-mqtt");
    };
    if no_mosquitto("the Python subscriber, TLS") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::generate().unwrap();
    let login = Login { user: "desk".into(), password: "seal-blubber-42".into() };
    let options = Options { tls: Some(certificates.server(false)), login: Some(login), ..Options::default() };
    let broker = Mosquitto::start(options).unwrap();
    let trap = Subscription::new(broker.port(), "none").tls(certificates.ca_file()).login("desk", "seal-blubber-42");
    let trap = Subscriber::start(trap).unwrap();
    trap.publish("arcticd/north/availability", true, b"online").unwrap();
    let with_password = |password: &str| {
        let file = folder.path().join(password);
        std::fs::write(&file, format!("{password}\n")).unwrap();
        let mut command = Command::new(&python);
        command.arg(self::file("docs/subscribers/python/subscriber.py")).args(["--broker", "localhost"]);
        command.args(["--port", &broker.port().to_string(), "--username", "desk"]).arg("--password-file").arg(file);
        command.arg("--cafile").arg(certificates.ca_file()).arg("--state").arg(folder.path().join("received.txt"));
        Daemon::spawn(command).unwrap()
    };
    says(&with_password("seal-blubber-42"), "north is online");
    says(&with_password("guess"), "the broker refuses");
}

#[test]
fn the_rust_subscriber_takes_each_alert_once_and_tells_of_gaps() {
    // Beside the daemon's binary; `cargo test --test subscribers` alone does not build it.
    let example = Path::new(BIN).with_file_name("examples").join("subscriber");
    if !example.is_file() {
        return skip("the Rust subscriber", "it is not built: cargo build --example subscriber");
    }
    if no_mosquitto("the Rust subscriber") {
        return;
    }
    takes_each_alert_once_and_tells_of_gaps(|| Command::new(&example));
    asks_whether_another_has_its_client_id(|| Command::new(&example));
}

fn flow() -> Vec<Value> {
    serde_json::from_str(&read("docs/subscribers/node-red/flow.json")).unwrap()
}

#[test]
fn the_node_red_flow_is_whole_and_listens_to_topics_that_there_are() {
    let flow = flow();
    let ids: BTreeSet<&str> = flow.iter().map(|node| node["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), flow.len(), "an id stands twice");
    let document: Value = serde_json::from_str(&read("schema/asyncapi.json")).unwrap();
    let channels = document["channels"].as_object().unwrap();
    let mut heard = 0;
    for node in &flow {
        for place in ["z", "broker"] {
            let wanted = node[place].as_str().filter(|_| node["type"] != "mqtt-broker");
            assert!(wanted.is_none_or(|id| ids.contains(id)), "{node}");
        }
        let wires = node["wires"].as_array().into_iter().flatten().flat_map(|wire| wire.as_array().unwrap());
        assert!(wires.clone().all(|id| ids.contains(id.as_str().unwrap())), "{node}");
        if node["type"] == "mqtt in" {
            heard += 1;
            let topic = node["topic"].as_str().unwrap().replacen("arcticd/+", "{prefix}/{trap}", 1);
            assert!(channels.values().any(|channel| channel["address"] == topic.as_str()), "{topic}");
            assert_eq!(node["qos"], "1");
        }
    }
    assert_eq!(heard, 2);
    let broker = flow.iter().find(|node| node["type"] == "mqtt-broker").unwrap();
    assert_eq!((&broker["cleansession"], broker["clientid"].as_str().unwrap().is_empty()), (&json!(false), false));
}

#[test]
fn the_flow_says_each_fresh_alert_once_in_node_red() {
    let Some(red) = std::env::var_os("ARCTICD_TEST_NODE_RED").map(PathBuf::from) else {
        return skip("Node-RED", "ARCTICD_TEST_NODE_RED names no folder with node_modules/node-red");
    };
    if no_mosquitto("Node-RED") {
        return;
    }
    let broker = Mosquitto::start(Options::default()).unwrap();
    let (subscriber, world) = (listen(broker.port()), every_frame().set("mqtt.url", broker.url()));
    let console = Subscriber::start(Subscription::new(broker.port(), "console/#")).unwrap();
    let mut flow = flow();
    for node in flow.iter_mut().filter(|node| node["type"] == "mqtt-broker") {
        node["broker"] = "127.0.0.1".into();
        node["port"] = broker.port().to_string().into();
    }
    let home = world.path("node-red");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("flow.json"), json!(flow).to_string()).unwrap();
    let port = testkit::broker::free_port().unwrap();
    let settings = json!({ "uiHost": "127.0.0.1", "uiPort": port, "httpAdminRoot": false, "flowFile": "flow.json",
        "telemetry": { "enabled": false, "updateNotification": false }, "credentialSecret": false });
    std::fs::write(home.join("settings.js"), format!("module.exports = {settings};")).unwrap();
    let mut command = Command::new("node");
    command.arg(red.join("node_modules/node-red/red.js")).arg("--userDir").arg(&home).env("HOME", &home);
    let node = Daemon::spawn(command).unwrap();

    let mut daemon = start_online(&world, &subscriber);
    let said = |topic: &str, text: &str| {
        let is = |message: &Message| message.topic == topic && message.text() == text;
        console.wait_for(PATIENCE, |messages| messages.iter().any(is)).unwrap_or_else(|error| {
            panic!("{error}\n{}\n{}", node.stdout().join("\n"), node.log().join("\n"));
        })
    };
    // Retained, so this comes when the flow has subscribed.
    said("console/trap", "test is online");
    world.drop_frame("north/1.jpg", &bear(1)).unwrap();
    let detection = &wait_detections(&subscriber, 1)[0];
    let text = format!("polar bear at test, {:.0} %, north/1.jpg", f64::from(detection.confidence) * 100.0);
    said("console/alert", &text);
    let last = subscriber.messages().into_iter().rfind(|it| it.topic.ends_with("/detection")).unwrap();
    let mut old = last.json();
    old["id"] = "0".repeat(32).into();
    old["replayed"] = true.into();
    old["frame"]["captured_at"] = "2020-01-01T00:00:00Z".into();
    for payload in [last.payload, old.to_string().into_bytes()] {
        subscriber.publish(&last.topic, false, &payload).unwrap();
    }
    // What came before is through when this is: messages keep their order.
    assert_eq!(daemon.terminate().unwrap(), 0);
    let messages = said("console/trap", "test is stopped");
    let alerts: Vec<String> = messages.iter().filter(|it| it.topic == "console/alert").map(Message::text).collect();
    assert_eq!(alerts, [text], "a repeat or old news rang");
}

/// The types that a field of a message may have, and whether it may be null on the way to it.
fn types(schema: &Value, path: &str) -> (BTreeSet<String>, bool) {
    let kinds = |schema: &Value| -> BTreeSet<String> {
        match &schema["type"] {
            Value::Array(all) => all.iter().map(|kind| kind.as_str().unwrap().to_owned()).collect(),
            Value::String(kind) => [kind.clone()].into(),
            _ => schema["oneOf"].as_array().map(|_| ["string".to_owned()].into()).unwrap_or_default(),
        }
    };
    let (mut at, mut nullable) = (schema, false);
    for step in path.split('.') {
        if step == "#" {
            assert!(kinds(at).contains("array"), "{path} counts what is no list");
            return (["integer".to_owned()].into(), nullable);
        }
        at = &at["properties"][step];
        assert!(at.is_object(), "{path} is no field of the message");
        nullable |= kinds(at).contains("null");
    }
    (kinds(at).into_iter().filter(|kind| kind != "null").collect(), nullable)
}

#[test]
fn telegraf_reads_fields_that_messages_have_and_grafana_shows_what_telegraf_writes() {
    let config: toml::Table = read("docs/subscribers/telegraf/telegraf.conf").parse().unwrap();
    let mut written = BTreeSet::new();
    let inputs = config["inputs"]["mqtt_consumer"].as_array().unwrap();
    assert_eq!(inputs.len(), 2);
    for input in inputs {
        let (topic, measurement) = (input["topics"][0].as_str().unwrap(), input["name_override"].as_str().unwrap());
        let kind = topic.strip_prefix("arcticd/+/").unwrap();
        let schema: Value = serde_json::from_str(&read(&format!("schema/{kind}.schema.json"))).unwrap();
        let rules = &input["json_v2"][0];
        let whole = |path: &str, optional: bool| {
            let (types, nullable) = types(&schema, path);
            assert!(optional || !nullable, "{kind}: {path} may be null and is not optional");
            types
        };
        whole(rules["timestamp_path"].as_str().unwrap(), false);
        let optional = |it: &toml::Value| it.get("optional").and_then(toml::Value::as_bool).unwrap_or_default();
        for tag in rules["tag"].as_array().unwrap() {
            whole(tag["path"].as_str().unwrap(), optional(tag));
        }
        for field in rules["field"].as_array().unwrap() {
            let path = field["path"].as_str().unwrap();
            let wanted = match field["type"].as_str().unwrap() {
                "int" => "integer",
                "float" => "number",
                "bool" => "boolean",
                other => other,
            };
            // An event is null outside the daemon alone.
            let types = whole(path, optional(field) || path.starts_with("event."));
            assert_eq!(types, [wanted.to_owned()].into(), "{kind}: {path}");
            written.insert((measurement.to_owned(), field["rename"].as_str().unwrap().to_owned()));
        }
    }

    let dashboard: Value = serde_json::from_str(&read("docs/subscribers/grafana/dashboard.json")).unwrap();
    let named = |query: &str, key: &str| {
        let rest = query.split_once(&format!("r.{key} == \"")).unwrap().1;
        rest.split('"').next().unwrap().to_owned()
    };
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 4);
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let query = target["query"].as_str().unwrap();
        let shown = (named(query, "_measurement"), named(query, "_field"));
        assert!(written.contains(&shown), "{shown:?} is not written");
    }
}
