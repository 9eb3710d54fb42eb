//! What alerts, what is one event, and what the daemon does with a head that is no good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::BTreeSet;
use std::fs;

use arcticd::detection::{Detection, EventState, Kind};
use parts::{
    BIN, PATIENCE, bear, detections, every_frame, head, listen, start_online, wait_detections, wait_frames,
    wait_health, world,
};
use testkit::broker::Broker;
use testkit::daemon::World;
use testkit::scenes::Scene;
use testkit::subscriber::Subscriber;

/// Waits until `count` events are over, and returns everything said about events so far.
fn wait_closed(subscriber: &Subscriber, count: usize) -> Vec<Detection> {
    let closed = |found: &[Detection]| found.iter().filter(|it| it.kind == Kind::EventClosed).count();
    detections(&subscriber.wait_for(PATIENCE, |messages| closed(&detections(messages)) >= count).unwrap())
}

#[test]
fn a_burst_is_one_event_opened_at_once_and_closed_with_its_best_frame() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("alerts.policy", "event").set_raw("alerts.gap_s", "6").set("mqtt.url", broker.url());
    let _daemon = start_online(&world, &subscriber);
    let names: Vec<String> = (0..8).map(|seed| format!("{seed}.jpg")).collect();
    world.drop_frame(&names[0], &bear(0)).unwrap();
    // Before any other frame exists: an opening waits for nothing.
    let opened = wait_detections(&subscriber, 1).remove(0);
    let event = opened.event.clone().unwrap();
    assert_eq!((event.state, event.frames, event.frame_in_event), (EventState::Opened, 1, 1));
    for (seed, name) in names.iter().enumerate().skip(1) {
        world.drop_frame(name, &bear(seed as u64)).unwrap();
    }

    let found = wait_closed(&subscriber, 1);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let entries = wait_frames(&world, &names);
    let highest = entries.iter().filter_map(|entry| entry.confidence).fold(0.0, f32::max);
    let closed = found.last().unwrap();
    let summary = closed.event.as_ref().unwrap();
    assert_eq!((closed.kind, summary.state, summary.frames), (Kind::EventClosed, EventState::Closed, 8));
    assert_eq!(closed.frame.name, summary.best_frame);
    // Two frames may be equally sure.
    let best = entries.iter().find(|entry| entry.name == summary.best_frame).unwrap();
    assert!((best.confidence.unwrap() - highest).abs() < 1e-5 && (closed.confidence - highest).abs() < 1e-5);
    assert!(found.iter().all(|it| it.event.as_ref().unwrap().id == event.id), "one event");
    let updates: Vec<&Detection> =
        found.iter().filter(|it| it.event.as_ref().unwrap().state == EventState::Updated).collect();
    assert_eq!(updates.len(), found.len() - 2, "one opening, one closing, and updates between");
    let mut doubt = 1.0 - opened.confidence;
    for update in updates {
        assert!(1.0 - update.confidence <= doubt / 2.0 + 1e-5, "an update that says little new: {update:?}");
        doubt = 1.0 - update.confidence;
    }
    assert_eq!(
        found.iter().map(|it| &it.id).collect::<BTreeSet<_>>().len(),
        found.len(),
        "each message has its own id"
    );
}

#[test]
fn two_cameras_that_see_a_bear_at_the_same_time_are_two_events() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set_raw("alerts.gap_s", "3").set("mqtt.url", broker.url());
    let _daemon = start_online(&world, &subscriber);
    world.drop_frame("north/DCIM/a.jpg", &bear(1)).unwrap();
    world.drop_frame("south/a.jpg", &bear(2)).unwrap();
    let found = wait_closed(&subscriber, 2);
    for camera in ["north", "south"] {
        let of_camera: Vec<&Detection> = found.iter().filter(|it| it.camera.as_deref() == Some(camera)).collect();
        let states: Vec<EventState> = of_camera.iter().map(|it| it.event.as_ref().unwrap().state).collect();
        assert_eq!(states, [EventState::Opened, EventState::Closed], "{camera}");
        assert_eq!(of_camera[0].event.as_ref().unwrap().id, of_camera[1].event.as_ref().unwrap().id);
    }
    let ids: BTreeSet<&str> = found.iter().map(|it| it.event.as_ref().unwrap().id.as_str()).collect();
    assert_eq!(ids.len(), 2);
}

/// Shows four frames of each kind, and returns the labels that alerted, by name of the frame.
fn alerts_of(world: &World) -> Vec<(String, String)> {
    let mut daemon = world.start(BIN).unwrap();
    let mut names = Vec::new();
    for scene in [Scene::Walrus, Scene::Bear, Scene::Empty] {
        for seed in 0..4 {
            let name = format!("{}-{seed}.jpg", scene.label());
            // As large as those that the head was fitted on.
            let file = scene.jpeg(testkit::head::FIRST_SHOWN_SEED + seed, 640, 480).unwrap();
            world.drop_frame(&name, &file).unwrap();
            names.push(name);
        }
    }
    wait_frames(world, &names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(daemon.terminate().unwrap(), 0);
    let said: Vec<Detection> = daemon.stdout().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    said.into_iter().map(|it| (it.frame.name, it.label)).collect()
}

#[test]
fn bears_alert_by_default_and_nothing_else_does() {
    let alerts = alerts_of(&world().set("alerts.policy", "every_frame"));
    assert!(alerts.len() >= 3, "rendered bears are seen: {alerts:?}");
    for (name, label) in &alerts {
        assert!(label == "polar_bear" && name.starts_with("polar_bear"), "{name} alerted as {label}");
    }
}

#[test]
fn configured_labels_alert_instead_of_bears() {
    let alerts = alerts_of(&world().set("alerts.policy", "every_frame").set_raw("alerts.labels", "[\"walrus\"]"));
    assert!(alerts.len() >= 3, "rendered walruses are seen: {alerts:?}");
    for (name, label) in &alerts {
        assert!(label == "walrus" && name.starts_with("walrus"), "{name} alerted as {label}");
    }
}

#[test]
fn a_label_that_no_head_knows_is_bad_configuration_and_the_known_ones_are_named() {
    for head_setting in [head().to_string_lossy().into_owned(), "builtin".into()] {
        let world = world().set("model.head", head_setting).set_raw("alerts.labels", "[\"narwhal\"]");
        let mut daemon = world.start(BIN).unwrap();
        assert_eq!(daemon.wait_exit(PATIENCE).unwrap(), 78);
        let said = daemon.log().join("\n");
        for word in ["narwhal", "polar_bear", "walrus", "arctic_fox", "alerts.labels"] {
            assert!(said.contains(word), "{word} is missing in: {said}");
        }
    }
}

/// Runs a daemon on the scenes' head after `spoil` was done to a copy of it.
fn falls_back(spoil: impl FnOnce(&World), reason: &str) {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let copy = world.path("head");
    fs::create_dir(&copy).unwrap();
    for file in ["manifest.json", "head.onnx"] {
        fs::copy(head().join(file), copy.join(file)).unwrap();
    }
    spoil(&world);
    let world = world.set("model.head", copy.to_string_lossy());
    let daemon = start_online(&world, &subscriber);
    let line = daemon.wait_for_log("using the built-in model", PATIENCE).unwrap();
    assert!(line.contains("ERROR") && line.contains(reason), "{line}");
    let health = wait_health(&subscriber, |health| health["warnings"].as_array().is_some_and(|all| !all.is_empty()));
    let warning = health["warnings"][0].as_str().unwrap();
    assert!(warning.contains("using the built-in model") && warning.contains(reason), "{health}");
    assert!(!health["head"].as_str().unwrap().contains("demo-scenes"), "{health}");
    // Blind it is not.
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    assert_eq!(wait_detections(&subscriber, 1)[0].model.head, health["head"].as_str().unwrap());
}

#[test]
fn a_broken_head_whose_labels_only_it_knows_leaves_a_trap_that_still_alerts_for_bears() {
    let missing = every_frame().path("no-such-head");
    let world = every_frame().set("model.head", missing.to_string_lossy()).set_raw("alerts.labels", "[\"reindeer\"]");
    let daemon = world.start(BIN).unwrap();
    let line = daemon.wait_for_log("alerting", PATIENCE).unwrap();
    assert!(line.contains("alerting polar_bear"), "{line}");
}

#[test]
fn a_damaged_head_is_replaced_by_the_built_in_one_with_a_warning() {
    let flip = |world: &World| {
        let file = world.path("head/head.onnx");
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
    };
    falls_back(flip, "sha256");
}

#[test]
fn a_head_of_another_backbone_is_replaced_by_the_built_in_one_with_a_warning() {
    let rename = |world: &World| {
        let file = world.path("head/manifest.json");
        let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        manifest["backbone"]["id"] = "somebody-elses".into();
        manifest["backbone"]["sha256"] = "0".repeat(64).into();
        fs::write(&file, manifest.to_string()).unwrap();
    };
    falls_back(rename, "somebody-elses");
}

#[test]
fn a_head_that_is_not_there_is_replaced_by_the_built_in_one_with_a_warning() {
    falls_back(|world| fs::remove_file(world.path("head/manifest.json")).unwrap(), "manifest.json");
}
