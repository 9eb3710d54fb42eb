//! What the tests of pushed heads share.

use arcticd::accept::{Content, OfferReport, Report, Scope, Step};
use arcticd::heads::Bundle;
use testkit::broker::Broker;
use testkit::daemon::World;
use testkit::head::signed::{self, Maker, Mind};
use testkit::scenes::Scene;
use testkit::subscriber::{Message, Subscriber};

use super::{PATIENCE, frame, head, wait_frames, world};

/// Scores of a head that sees nothing anywhere.
pub fn blind() -> Mind {
    Mind::Always(vec![("polar_bear".into(), 0.01), ("other".into(), 0.99)])
}

/// Scores of a head that sees bears everywhere.
pub fn paranoid() -> Mind {
    Mind::Always(vec![("polar_bear".into(), 0.99), ("other".into(), 0.01)])
}

/// The scenes' head.
pub fn good() -> Mind {
    Mind::Of(head().to_owned())
}

/// A world that trusts `maker`, connected to `broker`; a trial takes `frames` frames and no alert.
pub fn trusting(maker: &Maker, broker: &Broker, frames: u64) -> World {
    let world = world().set("mqtt.url", broker.url());
    let (keys, by_hand) = (world.path("keys"), world.path("by-hand"));
    maker.trust_in(&keys).unwrap();
    world
        .set_raw("heads.trusted_keys", format!("[{:?}]", keys.to_str().unwrap()))
        .set("heads.directory", by_hand.to_str().unwrap())
        .set_raw("heads.trial_frames", frames.to_string())
        .set_raw("heads.trial_alerts", "0")
        .set("alerts.policy", "every_frame")
        .set_raw("alerts.gap_s", "86400")
}

/// Topics of the trap `test`.
pub fn topic(content: Content) -> String {
    Scope::Trap("test".into()).topic("arcticd", content)
}

/// Publishes a whole head for the trap `test`.
pub fn set(subscriber: &Subscriber, bundle: &Bundle) {
    subscriber.publish(&topic(Content::Set), true, &signed::file(bundle).unwrap()).unwrap();
}

/// Publishes an offer of a head for the trap `test`, without its pieces.
pub fn offer(subscriber: &Subscriber, bundle: &Bundle) {
    subscriber.publish(&topic(Content::Offer), true, &signed::offer(bundle).unwrap().encode()).unwrap();
}

/// Publishes pieces of a head for the trap `test`.
pub fn pieces(subscriber: &Subscriber, bundle: &Bundle, which: impl IntoIterator<Item = u32>) {
    let (id, pieces) = (signed::offer(bundle).unwrap().id(), signed::pieces(bundle));
    for piece in which {
        subscriber.publish(&topic(Content::Chunk { id, piece }), true, &pieces[piece as usize]).unwrap();
    }
}

/// What the traps said of their heads, in order.
pub fn reports(messages: &[Message]) -> Vec<Report> {
    let ours = messages.iter().filter(|message| message.topic.ends_with("/head/state"));
    ours.map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
}

/// Waits until the trap `test` reports what `wanted` agrees with, from message number `since` on.
pub fn wait_report(subscriber: &Subscriber, since: usize, wanted: impl Fn(&Report) -> bool) -> Report {
    let found = |messages: &[Message]| reports(messages.get(since..).unwrap_or_default()).into_iter().find(&wanted);
    found(&subscriber.wait_for(PATIENCE, |messages| found(messages).is_some()).unwrap()).unwrap()
}

/// Waits until the head with this sequence is at this step, alone or awaited beside another.
pub fn wait_step(subscriber: &Subscriber, sequence: u64, step: Step) -> OfferReport {
    let is = |report: &Report| {
        let mut offers = [&report.offer, &report.next].into_iter().flatten();
        offers.find(|offer| offer.head.sequence == sequence && offer.state == step).cloned()
    };
    is(&wait_report(subscriber, 0, |report| is(report).is_some())).unwrap()
}

/// Publishes a whole head and shows the trap empty frames until it serves; the trial takes one.
pub fn adopt(subscriber: &Subscriber, world: &World, bundle: &Bundle) {
    let sequence = bundle.manifest().sequence;
    set(subscriber, bundle);
    wait_step(subscriber, sequence, Step::Trial);
    empty_frames(world, sequence..sequence + 1);
    wait_step(subscriber, sequence, Step::Active);
}

/// Frames with nothing on them, dealt with one after the other.
pub fn empty_frames(world: &World, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let name = format!("empty-{seed}.jpg");
        world.drop_frame(&name, &frame(Scene::Empty, seed)).unwrap();
        wait_frames(world, &[&name]);
    }
}
