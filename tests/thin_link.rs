//! A head over a link of 2 kbit/s that loses every tenth packet, which `cargo xtask thinlink` lays: the broker at this end,
//! the trap in another network namespace at the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use arcticd::accept::{Report, Step};
use parts::heads::{offer, pieces, reports, trusting};
use parts::{BIN, bear, detections, listen, skip};
use testkit::broker::{Broker, Mosquitto, Options};
use testkit::head::signed::{self, Maker, Mind};
use testkit::subscriber::Subscriber;

/// A head may take this long.
const LIMIT: Duration = Duration::from_secs(1_500);

/// Bytes over the link in both directions, as its end here counts them: link headers included, lost packets too.
fn bytes() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/net/dev").unwrap();
    let line = text.lines().find(|line| line.trim_start().starts_with("thin0:")).expect("the link is here");
    let numbers: Vec<u64> =
        line.split(':').nth(1).unwrap().split_whitespace().map(|number| number.parse().unwrap()).collect();
    [numbers[8], numbers[0]]
}

/// A linear head on all features of the built-in backbone, of so many labels: 5 KB each.
fn mind(labels: u64) -> Mind {
    let name = |number: u64| if number == 0 { "polar_bear".to_owned() } else { format!("other_{number}") };
    Mind::Always((0..labels).map(|number| (name(number), 1.0 / labels as f32)).collect())
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn wait(subscriber: &Subscriber, sequence: u64, step: Step) -> Report {
    let is = |report: &Report| {
        report.offer.as_ref().is_some_and(|offer| offer.head.sequence == sequence && offer.state == step)
    };
    let found = subscriber.wait_for(LIMIT, |messages| reports(messages).iter().any(is)).unwrap();
    reports(&found).into_iter().find(is).unwrap()
}

#[test]
fn a_head_arrives_over_a_thin_and_lossy_link_and_alerts_flow_meanwhile() {
    let Ok(namespace) = std::env::var("ARCTICD_THIN_LINK") else {
        return skip("a thin link", "`cargo xtask thinlink` lays one");
    };
    let address = std::env::var("ARCTICD_THIN_LINK_BROKER").unwrap();
    let port = testkit::broker::free_port().unwrap();
    let extra =
        vec![format!("listener {port} {address}"), "allow_anonymous true".into(), "max_inflight_messages 1".into()];
    let broker = Broker::Mosquitto(Mosquitto::start(Options { extra, ..Options::default() }).unwrap());
    let subscriber = listen(broker.port());
    let maker = Maker::new().unwrap();
    let world = trusting(&maker, &broker, 1)
        .set("mqtt.url", format!("mqtt://{address}:{port}"))
        .set_raw("mqtt.keep_alive_s", setting("ARCTICD_THIN_LINK_KEEP_ALIVE", 60).to_string())
        .set_raw("mqtt.health_s", "600")
        .set_raw("alerts.thresholds", "{ polar_bear = 0.0 }");
    let wrapped = world.path("arcticd-over-there");
    std::fs::write(&wrapped, format!("#!/bin/sh\nexec ip netns exec {namespace} {BIN} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&wrapped, std::fs::Permissions::from_mode(0o755)).unwrap();

    let begun = Instant::now();
    let mut daemon = world.start(&wrapped).unwrap();
    let online = |messages: &[testkit::subscriber::Message]| !reports(messages).is_empty();
    subscriber.wait_for(LIMIT, online).unwrap();
    println!("online after {:.0} s, {:?} bytes down and up", begun.elapsed().as_secs_f32(), bytes());

    let head = maker.head(&mind(setting("ARCTICD_THIN_LINK_LABELS", 2)), 1, |_| {}).unwrap();
    let count = signed::pieces(&head).len() as u32;
    let (file, offered) = (signed::file(&head).unwrap().len(), signed::offer(&head).unwrap().encode().len());
    println!("a head of {} bytes, {file} as a file, in {count} pieces; its offer has {offered}", head.row().len());
    let (start, before) = (Instant::now(), bytes());
    offer(&subscriber, &head);
    pieces(&subscriber, &head, 0..count);
    // Something to tell while it comes in.
    world.drop_frame("bear.jpg", &bear(1)).unwrap();
    wait(&subscriber, 1, Step::Receiving);
    let told = subscriber.wait_for(LIMIT, |messages| !detections(messages).is_empty()).unwrap();
    println!("the alert came after {:.0} s", start.elapsed().as_secs_f32());
    drop(told);
    let report = wait(&subscriber, 1, Step::Trial);
    let (took, after) = (start.elapsed(), bytes());
    let [down, up] = [after[0] - before[0], after[1] - before[1]];
    println!("on trial after {:.0} s; {down} bytes down, {up} up", took.as_secs_f32());
    let lines: Vec<String> = daemon.log().into_iter().filter(|line| line.contains("next try")).collect();
    println!("connections lost: {}\n{}", lines.len(), lines.join("\n"));
    assert_eq!(report.refused.count, 0);
    daemon.kill().unwrap();
}
