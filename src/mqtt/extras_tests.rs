#![allow(clippy::unwrap_used)]

use super::*;
use crate::accept::testing::{judge, steady};
use crate::accept::{Candidate, Judges, Seat, Stage};
use crate::health::Status;
use crate::journal::Journal;
use crate::model::{HeadBackbone, Model};

const SECOND: Duration = Duration::from_secs(1);

struct World {
    state: tempfile::TempDir,
    outbox: Outbox,
    _journal: Journal,
    seat: Seat,
    pending: Arc<Pending>,
    status: Arc<Status>,
    now: Instant,
}

fn head(name: &str) -> Arc<crate::accept::Judge> {
    let (backbone, _) = Model::builtin().unwrap().into_parts();
    let of = backbone.manifest();
    let on = HeadBackbone { id: of.id.clone(), sha256: of.sha256.clone(), features: backbone.features() };
    Arc::new(judge(name, 1, on, &steady(backbone.features(), 0.5)))
}

impl World {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::open(state.path(), 100).unwrap();
        let status = Arc::new(Status::new("test", "b", "h", state.path()));
        Self {
            outbox: journal.outbox().unwrap(),
            _journal: journal,
            seat: Seat::new(Judges { proven: head("old"), candidate: None }),
            pending: Arc::default(),
            status,
            state,
            now: Instant::now(),
        }
    }

    fn home(&self, prefix: &str) -> Home {
        Home {
            prefix: prefix.into(),
            mqtt_prefix: "arcticd".into(),
            trap: "test".into(),
            seat: self.seat.clone(),
            off_delay_s: 300,
            pictures: true,
            windows: false,
        }
    }

    fn extras(&self, home: Option<&str>, daily: Option<u64>) -> Extras {
        let pictures = daily.map(|most| (self.pending.clone(), Arc::new(Allowance::new(most, self.status.clone()))));
        let topics = Topics::new("arcticd", "test");
        Extras::new(self.state.path(), topics, home.map(|prefix| self.home(prefix)), pictures)
    }

    fn next(&mut self, extras: &mut Extras) -> Option<Extra> {
        // As within the link's runtime.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let now = self.now;
        runtime.block_on(async { extras.next(&mut self.outbox, now).unwrap() })
    }

    fn all(&mut self, extras: &mut Extras) -> Vec<(String, usize)> {
        let mut all = Vec::new();
        while let Some(extra) = self.next(extras) {
            all.push((extra.topic, extra.body.len()));
            assert_eq!(self.next(extras), None, "one at a time");
            self.done(extras, true);
        }
        all
    }

    fn done(&self, extras: &mut Extras, sent: bool) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async { extras.done(sent, self.now) });
    }
}

const DISCOVERY: &str = "homeassistant/device/arcticd_test/config";

#[test]
fn home_assistant_is_told_once_and_again_when_the_broker_forgot_or_it_started_anew_or_something_changed() {
    let mut world = World::new();
    let mut extras = world.extras(Some("homeassistant"), None);
    let told = |world: &mut World, extras: &mut Extras| world.all(extras).len();
    extras.begin(false, world.now);
    assert_eq!(told(&mut world, &mut extras), 1);
    for kept in [true, true] {
        extras.begin(kept, world.now);
        extras.look_again(world.now);
        assert_eq!(told(&mut world, &mut extras), 0, "nothing changed, and the broker still has it");
    }
    extras.begin(false, world.now);
    assert_eq!(told(&mut world, &mut extras), 1, "the broker forgot");
    extras.born(world.now);
    assert!(extras.moment().unwrap() <= world.now + AFTER_BIRTH);
    world.now += AFTER_BIRTH;
    assert_eq!(told(&mut world, &mut extras), 1, "Home Assistant started anew");
    assert_eq!(extras.moment(), None);

    let candidate = Candidate { id: ContentHash::of(b"c"), judge: head("other"), stage: Stage::Trial };
    world.seat.set(Judges { proven: head("old"), candidate: Some(candidate) });
    extras.look_again(world.now);
    assert_eq!(told(&mut world, &mut extras), 0, "another head with the same labels");
    world.now += TELL_AGAIN;
    extras.begin(true, world.now);
    assert_eq!(told(&mut world, &mut extras), 1, "once a day, in case the broker lost it alone");
}

#[test]
fn a_flood_of_starts_costs_one_message_a_minute() {
    let mut world = World::new();
    let mut extras = world.extras(Some("homeassistant"), None);
    extras.begin(false, world.now);
    let mut sent = world.all(&mut extras).len();
    assert_eq!(sent, 1);
    for _ in 0..600 {
        world.now += SECOND;
        extras.born(world.now);
        extras.look_again(world.now);
        sent += world.all(&mut extras).len();
    }
    assert!((8..=12).contains(&sent), "{sent} in ten minutes");
}

#[test]
fn what_broke_a_connection_is_announced_again_but_not_for_ever() {
    let mut world = World::new();
    let mut extras = world.extras(Some("homeassistant"), None);
    let mut tries = 0;
    for _ in 0..10 {
        extras.begin(true, world.now);
        tries += usize::from(world.next(&mut extras).is_some());
    }
    assert_eq!(tries, 3);
    extras.born(world.now);
    world.now += AFTER_BIRTH;
    extras.begin(true, world.now);
    assert!(world.next(&mut extras).is_some());
    // It could not be handed over: a moment later it is tried again.
    world.done(&mut extras, false);
    assert_eq!(world.next(&mut extras), None);
    world.now += AFTER_BIRTH + SECOND;
    assert!(world.next(&mut extras).is_some());
}

#[test]
fn a_picture_is_sent_once_and_only_the_latest_of_a_label() {
    let mut world = World::new();
    let mut extras = world.extras(None, Some(0));
    extras.begin(false, world.now);
    world.pending.put("polar_bear", vec![1; 10]);
    world.pending.put("polar_bear", vec![1; 20]);
    world.pending.put("walrus", vec![1; 30]);
    let sent = world.all(&mut extras);
    let topic = |label: &str| format!("arcticd/test/snapshot/{label}");
    assert_eq!(sent, [(topic("polar_bear"), 20), (topic("walrus"), 30)]);
    world.pending.put("walrus", vec![1; 40]);
    assert!(world.next(&mut extras).is_some());
    extras.begin(true, world.now);
    assert_eq!(world.next(&mut extras), None, "the connection broke under it: the next alert brings another");
}

#[test]
fn pictures_that_break_connections_are_left_alone_for_an_hour() {
    let mut world = World::new();
    let mut extras = world.extras(None, Some(0));
    let broken = |world: &mut World, extras: &mut Extras| {
        let tries = 0..10;
        let sent = |_: &usize| {
            extras.begin(true, world.now);
            world.pending.put("walrus", vec![1]);
            world.next(extras).is_some()
        };
        tries.filter(sent).count()
    };
    assert_eq!(broken(&mut world, &mut extras), 3);
    world.now += PAUSE;
    assert_eq!(broken(&mut world, &mut extras), 1, "it is still so");
    world.now += PAUSE;
    extras.begin(true, world.now);
    assert_eq!(world.all(&mut extras).len(), 1, "the latest one");
    assert_eq!(broken(&mut world, &mut extras), 3, "one that arrived speaks for the next ones");
}

#[test]
fn pictures_stop_at_the_days_bytes_also_after_a_restart_and_health_says_so() {
    let mut world = World::new();
    let mut extras = world.extras(None, Some(50));
    extras.begin(false, world.now);
    world.pending.put("polar_bear", vec![1; 30]);
    assert_eq!(world.all(&mut extras).len(), 1);
    world.pending.put("polar_bear", vec![1; 30]);
    assert_eq!(world.all(&mut extras).len(), 0);
    assert!(world.status.first_warning().unwrap().contains("pictures.daily_bytes"));
    let mut extras = world.extras(None, Some(50));
    extras.begin(false, world.now);
    world.pending.put("polar_bear", vec![1; 21]);
    assert_eq!(world.all(&mut extras).len(), 0);
    let mut extras = world.extras(None, Some(50));
    world.pending.put("polar_bear", vec![1; 20]);
    assert_eq!(world.all(&mut extras).len(), 1, "what was refused was not counted");
}

#[test]
fn what_is_turned_off_is_taken_back_once_the_broker_has_heard() {
    let mut world = World::new();
    let mut extras = world.extras(Some("homeassistant"), Some(0));
    extras.begin(false, world.now);
    world.pending.put("walrus", vec![1]);
    assert_eq!(world.all(&mut extras).len(), 2);
    drop(extras);

    let mut extras = world.extras(None, None);
    extras.begin(false, world.now);
    let first = world.next(&mut extras).unwrap();
    // The connection breaks: it is said over the next one.
    extras.begin(false, world.now);
    let mut cleared = world.all(&mut extras);
    cleared.sort();
    assert_eq!(cleared, [("arcticd/test/snapshot/walrus".to_owned(), 0), (DISCOVERY.to_owned(), 0)]);
    assert!(first.body.is_empty());
    let mut extras = world.extras(None, None);
    extras.begin(false, world.now);
    assert_eq!(world.all(&mut extras), [], "that was it");
}

#[test]
fn a_broker_that_ends_the_connection_over_an_earlier_topic_is_left_alone_after_a_few() {
    let mut world = World::new();
    let mut extras = world.extras(Some("homeassistant"), Some(0));
    extras.begin(false, world.now);
    world.pending.put("walrus", vec![1]);
    world.all(&mut extras);
    let mut extras = world.extras(Some("ha"), None);
    let mut cleared = Vec::new();
    for _ in 0..10 {
        extras.begin(true, world.now);
        cleared.extend(world.next(&mut extras).filter(|extra| extra.body.is_empty()).map(|extra| extra.topic));
    }
    assert_eq!(cleared.len(), 3, "{cleared:?}");
    assert!(cleared.contains(&DISCOVERY.to_owned()), "one does not hide the other: {cleared:?}");
    // The next start tries again.
    let mut extras = world.extras(Some("ha"), None);
    extras.begin(true, world.now);
    assert!(world.next(&mut extras).is_some_and(|extra| extra.body.is_empty()));
}

#[test]
fn the_picture_of_a_label_that_alerts_no_more_is_taken_back_and_others_stay() {
    let mut world = World::new();
    let mut extras = world.extras(None, Some(0)).of_labels(world.seat.clone());
    extras.begin(false, world.now);
    let alerting = world.seat.judges().alerting().into_iter().next().unwrap();
    for label in [&alerting, "walrus"] {
        world.pending.put(label, vec![1]);
    }
    assert_eq!(world.all(&mut extras).len(), 2);
    let taken_back = [("arcticd/test/snapshot/walrus".to_owned(), 0)];
    extras.look_again(world.now);
    assert_eq!(world.next(&mut extras).map(|extra| (extra.topic, extra.body.len())), Some(taken_back[0].clone()));
    // The daemon ends before the broker has it.
    let mut extras = world.extras(None, Some(0)).of_labels(world.seat.clone());
    extras.begin(true, world.now);
    assert_eq!(world.all(&mut extras), taken_back);
    extras.look_again(world.now);
    assert_eq!(world.all(&mut extras), [], "once");
}

#[test]
fn under_another_prefix_the_old_message_goes_and_a_new_one_comes() {
    let mut world = World::new();
    let mut extras = world.extras(Some("homeassistant"), None);
    extras.begin(false, world.now);
    world.all(&mut extras);
    let mut extras = world.extras(Some("ha"), None);
    extras.begin(false, world.now);
    let sent = world.all(&mut extras);
    assert_eq!(sent[0], (DISCOVERY.to_owned(), 0));
    assert!(sent.len() == 2 && sent[1].0 == "ha/device/arcticd_test/config" && sent[1].1 > 1_000, "{sent:?}");
}

#[test]
fn an_entity_that_is_no_more_is_taken_back() {
    let mut world = World::new();
    let mut extras = world.extras(Some("homeassistant"), Some(0));
    extras.begin(false, world.now);
    world.all(&mut extras);
    // Without pictures there are no image entities.
    let mut home = world.home("homeassistant");
    home.pictures = false;
    let retained = Retained::open(world.state.path());
    let told: serde_json::Value = serde_json::from_slice(&home.announcement(retained.components()).body).unwrap();
    let images: Vec<_> = retained.components().iter().filter(|(_, platform)| *platform == "image").collect();
    assert!(!images.is_empty());
    for (key, _) in images {
        assert_eq!(told["components"][key], serde_json::json!({ "platform": "image" }));
    }
    assert_eq!(told["components"]["backlog"]["platform"], "sensor");
}
