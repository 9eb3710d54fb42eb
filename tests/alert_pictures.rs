//! Pictures beside alerts: within their bounds, upright, without the camera's notes, and never in an alert's way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use arcticd::frame::{Frame, Limits, Scale, decode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parts::{
    BIN, PATIENCE, availability, bear, every_frame, frames, listen, skip, start_online, wait_detections, wait_frames,
    wait_health,
};
use testkit::broker::{Broker, Mosquitto, Options};
use testkit::scenes::Scene;
use testkit::subscriber::{Message, Subscriber, Subscription};

const TOPIC: &str = "arcticd/test/snapshot/polar_bear";

fn pictures(messages: &[Message]) -> Vec<&Message> {
    messages.iter().filter(|message| message.topic.contains("/snapshot/")).collect()
}

fn wait_picture(subscriber: &Subscriber) -> Message {
    let all = subscriber.wait_for(PATIENCE, |messages| !pictures(messages).is_empty()).unwrap();
    pictures(&all)[0].clone()
}

fn looked_at(jpeg: &[u8]) -> Frame {
    decode(jpeg, Scale::Full, &Limits::default()).unwrap()
}

/// A bear of 640 x 480 from a camera that stood on its side, at 78.25 N 15.5 E.
fn from_a_camera() -> Vec<u8> {
    let ifd = |entries: &[(u16, u16, u32, u32)]| {
        let mut bytes = (entries.len() as u16).to_le_bytes().to_vec();
        for (tag, kind, count, value) in entries {
            bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            bytes.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
        }
        [bytes, vec![0; 4]].concat()
    };
    let (ascii, short, long, rational) = (2, 3, 4, 5);
    let letter = |letter: u8| u32::from(letter);
    let gps_at = 8 + 2 + 2 * 12 + 4;
    let numbers_at = gps_at + 2 + 4 * 12 + 4;
    let main = ifd(&[(0x0112, short, 1, 6), (0x8825, long, 1, gps_at)]);
    let gps = ifd(&[
        (1, ascii, 2, letter(b'N')),
        (2, rational, 3, numbers_at),
        (3, ascii, 2, letter(b'E')),
        (4, rational, 3, numbers_at + 24),
    ]);
    let degrees = |degrees: u32, minutes: u32| [degrees, 1, minutes, 1, 0, 1].map(u32::to_le_bytes).concat();
    let tiff = [&b"II*\0"[..], &8_u32.to_le_bytes(), &main, &gps, &degrees(78, 15), &degrees(15, 30)].concat();
    let length = (tiff.len() + 8) as u16;
    let bear = Scene::Bear.jpeg(testkit::head::FIRST_SHOWN_SEED, 640, 480).unwrap();
    [&bear[..2], &[0xFF, 0xE1], &length.to_be_bytes(), b"Exif\0\0", &tiff, &bear[2..]].concat()
}

#[test]
fn a_picture_is_upright_within_its_bounds_and_has_no_place_in_it() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame()
        .set("mqtt.url", broker.url())
        .set("alerts.location_policy", "exact")
        .set_raw("pictures.snapshot", "true")
        .set_raw("pictures.max_side", "200")
        .set_raw("pictures.max_bytes", "4096");
    let _daemon = start_online(&world, &subscriber);
    world.drop_frame("a.jpg", &from_a_camera()).unwrap();
    let detection = wait_detections(&subscriber, 1).remove(0);
    let place = detection.location.expect("the camera's own position");
    assert_eq!((place.latitude, place.longitude), (78.25, 15.5));
    assert_eq!((detection.frame.width, detection.frame.height), (480, 640));
    assert_eq!(detection.thumbnail, None, "only on request");

    let picture = wait_picture(&subscriber);
    assert_eq!(picture.topic, TOPIC);
    assert!(picture.payload.len() <= 4_096, "{}", picture.payload.len());
    let seen = looked_at(&picture.payload);
    assert_eq!((seen.width, seen.height), (150, 200));
    assert_eq!((seen.position, seen.captured_at), (None, None));
    assert!(!picture.payload.windows(4).any(|bytes| bytes == b"Exif"));
    let late = wait_picture(&Subscriber::start(Subscription::new(broker.port(), TOPIC)).unwrap());
    assert!(late.retain && late.payload == picture.payload);
}

#[test]
fn on_request_the_picture_is_in_the_alert_and_not_a_second_time_in_its_summary() {
    let schema: serde_json::Value = serde_json::from_str(include_str!("../schema/detection.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame()
        .set("mqtt.url", broker.url())
        .set_raw("alerts.gap_s", "3")
        .set_raw("pictures.inline", "true")
        .set_raw("pictures.max_bytes", "4096");
    let _daemon = start_online(&world, &subscriber);
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    let found = wait_detections(&subscriber, 2);
    let jpeg = BASE64_STANDARD.decode(found[0].thumbnail.as_ref().unwrap()).unwrap();
    assert!(jpeg.len() <= 4_096);
    assert_eq!((looked_at(&jpeg).width, looked_at(&jpeg).height), (160, 120), "never enlarged");
    assert_eq!(found[1].thumbnail, None);
    let messages = subscriber.messages();
    for message in messages.iter().filter(|message| message.topic.ends_with("/detection")) {
        assert!(schema.is_valid(&message.json()), "{}", message.text());
    }
    assert!(pictures(&messages).is_empty());
}

#[test]
fn when_the_days_bytes_are_used_up_alerts_go_without_also_after_a_restart() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame()
        .set("mqtt.url", broker.url())
        .set_raw("pictures.inline", "true")
        .set_raw("pictures.max_bytes", "2048")
        .set_raw("pictures.daily_bytes", "5000");
    let mut daemon = start_online(&world, &subscriber);
    for seed in 0..5 {
        world.drop_frame(&format!("{seed}.jpg"), &bear(seed)).unwrap();
    }
    let with = |messages: &[Message]| frames(messages).iter().filter(|frame| frame.thumbnail.is_some()).count();
    subscriber.wait_for(PATIENCE, |messages| frames(messages).len() == 5).unwrap();
    let first = with(&subscriber.messages());
    assert!((1..5).contains(&first), "{first}");
    let used_up = |health: &serde_json::Value| health["warnings"].to_string().contains("pictures.daily_bytes");
    wait_health(&subscriber, used_up);
    assert_eq!(daemon.terminate().unwrap(), 0);

    let _daemon = start_online(&world, &subscriber);
    for seed in 5..8 {
        world.drop_frame(&format!("{seed}.jpg"), &bear(seed)).unwrap();
    }
    let all = subscriber.wait_for(PATIENCE, |messages| frames(messages).len() == 8).unwrap();
    let bytes: usize = frames(&all).iter().filter_map(|frame| frame.thumbnail.as_ref()).map(String::len).sum();
    // After a restart a small one may still have had room; midnight may have come between.
    assert!(bytes <= 5_000 || frames(&all)[0].processed_at[..10] != frames(&all)[7].processed_at[..10], "{bytes}");
}

#[test]
fn after_an_outage_all_alerts_come_first_and_then_one_picture() {
    if !Mosquitto::available() {
        skip("an outage", "mosquitto is not installed");
        return;
    }
    let mut broker = Mosquitto::start(Options::default()).unwrap();
    let persistent = Subscription::new(broker.port(), "arcticd/test/#").persistent("console");
    let subscriber = Subscriber::start(persistent).unwrap();
    let world = every_frame().set("mqtt.url", broker.url()).set_raw("pictures.snapshot", "true");
    let daemon = start_online(&world, &subscriber);
    broker.stop().unwrap();
    daemon.wait_for_log("next try", PATIENCE).unwrap();
    let names = ["a.jpg", "b.jpg", "c.jpg"];
    for (seed, name) in names.iter().enumerate() {
        world.drop_frame(name, &bear(seed as u64)).unwrap();
    }
    wait_frames(&world, &names);
    broker.restart().unwrap();
    wait_picture(&subscriber);
    wait_health(&subscriber, |health| health["acked_through"] == 3 && health["counters"]["connections"] == 2);
    let ours: Vec<String> = subscriber
        .messages()
        .iter()
        .filter_map(|message| message.topic.strip_prefix("arcticd/test/").map(str::to_owned))
        .filter(|leaf| leaf == "detection" || leaf.starts_with("snapshot"))
        .collect();
    assert_eq!(ours, ["detection", "detection", "detection", "snapshot/polar_bear"]);
}

#[test]
fn through_a_link_that_is_open_in_windows_the_picture_goes_along_with_its_alert() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame()
        .set("mqtt.url", broker.url())
        .set("power.uplink", "windows")
        .set_raw("power.uplink_every_s", "86400")
        .set_raw("pictures.snapshot", "true");
    let _daemon = start_online(&world, &subscriber);
    let asleep = |messages: &[Message]| availability(messages).iter().filter(|word| word.starts_with("asleep")).count();
    subscriber.wait_for(PATIENCE, |messages| asleep(messages) == 1).unwrap();
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    let all = subscriber.wait_for(PATIENCE, |messages| asleep(messages) == 2).unwrap();
    assert_eq!(pictures(&all).len(), 1, "it was sent before the link closed");
}

#[test]
fn without_a_broker_the_picture_is_in_the_json_lines() {
    let world = every_frame().set_raw("pictures.inline", "true");
    let daemon = world.start(BIN).unwrap();
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    let line: serde_json::Value = serde_json::from_str(&daemon.wait_for_stdout("a.jpg", PATIENCE).unwrap()).unwrap();
    let jpeg = BASE64_STANDARD.decode(line["thumbnail"].as_str().unwrap()).unwrap();
    assert_eq!(looked_at(&jpeg).width, 160);
}
