//! What waits while a board's supply is weak, with files of the test's in the firmware's place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::fs;

use parts::{bear, every_frame, listen, start_online, wait_detections, wait_frames, wait_health};
use testkit::broker::Broker;

#[test]
fn a_backlog_waits_for_the_supply_and_a_live_frame_does_not() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url()).set_raw("capture.fresh_s", "0");
    let (throttled, temperature) = (world.path("get_throttled"), world.path("temp"));
    fs::write(&throttled, "50005\n").unwrap();
    fs::write(&temperature, "48312\n").unwrap();
    let world = world
        .set("power.throttled", throttled.to_str().unwrap())
        .set("power.thermal_zone", temperature.to_str().unwrap())
        .set_raw("power.defer_s", "86400");
    world.drop_frame("old.jpg", &bear(1)).unwrap();
    let _daemon = start_online(&world, &subscriber);
    let health = wait_health(&subscriber, |health| health["warnings"].to_string().contains("1 frames wait"));
    assert_eq!((&health["power"]["under_voltage"], &health["power"]["throttled"]), (&true.into(), &true.into()));
    assert_eq!(health["temperature_c"], 48.312_f32, "{health}");

    world.drop_frame("new.jpg", &bear(2)).unwrap();
    let told = wait_detections(&subscriber, 1);
    assert_eq!(told[0].frame.name, "new.jpg");
    assert!(world.ledger().frame("old.jpg").unwrap().is_none(), "it waits");

    fs::write(&throttled, "50000\n").unwrap();
    wait_frames(&world, &["old.jpg"]);
    let health = wait_health(&subscriber, |health| health["power"]["under_voltage"] == false);
    assert_eq!(health["power"]["under_voltage_seen"], true);
    wait_health(&subscriber, |health| health["warnings"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn a_supply_that_stays_weak_does_not_hold_frames_for_ever() {
    let world = every_frame().set_raw("capture.fresh_s", "0");
    let throttled = world.path("get_throttled");
    fs::write(&throttled, "1").unwrap();
    let world = world.set("power.throttled", throttled.to_str().unwrap()).set_raw("power.defer_s", "1");
    world.drop_frame("old.jpg", &bear(1)).unwrap();
    let _daemon = world.start(parts::BIN).unwrap();
    wait_frames(&world, &["old.jpg"]);
}
