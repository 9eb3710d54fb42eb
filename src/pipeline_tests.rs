#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use rusqlite::Connection;

use super::*;
use crate::accept::testing::{fragile, judge, steady};
use crate::accept::{Judge, Judges, Seat, Stage};
use crate::detection::Detection;
use crate::frame::testing::{jpeg, photo};
use crate::frame::{ContentHash, Limits};
use crate::health::Health;
use crate::journal::Totals;
use crate::model::{HeadBackbone, Model};
use crate::watch::Stamp;

/// A pipeline on a real journal and the built-in backbone, whose heads the test makes.
struct World {
    directory: tempfile::TempDir,
    pipeline: Pipeline,
    backbone: HeadBackbone,
    seat: Seat,
    status: Arc<Status>,
    observed: Receiver<(Observation, Vec<Row>)>,
}

/// State, head and alert of a frame that is marked done.
type Row = (String, String, bool);

impl World {
    /// With a network that gets the number of features as the proven head's.
    fn new(network: fn(usize, f32) -> Vec<u8>, bear: f32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (backbone, _) = Model::builtin().unwrap().into_parts();
        let ours = backbone.manifest();
        let on = HeadBackbone { id: ours.id.clone(), sha256: ours.sha256.clone(), features: backbone.features() };
        let proven = Arc::new(judge("old", 1, on.clone(), &network(on.features, bear)));
        let seat = Seat::new(Judges { proven, candidate: None });
        let (alerts, limits) = (Alerts::default(), Limits::default());
        let classifier = Classifier::seated(Arc::new(backbone), seat.clone(), "trap".into(), &alerts, limits);
        let journal = Journal::open(directory.path(), 10_000).unwrap();
        let status = Arc::new(Status::new("trap", "backbone", "head", directory.path()));
        let (sender, observed) = channel();
        let state = directory.path().to_owned();
        let queue = Arc::new(Queue::new());
        let pipeline =
            Pipeline::new(classifier, journal, alerts, "trap".into(), queue, status.clone(), Arc::new(Notify::new()))
                .unwrap()
                .observed_by(move |observation| sender.send((observation, rows(&state))).unwrap());
        Self { directory, pipeline, backbone: on, seat, status, observed }
    }

    fn judge(&self, name: &str, bear: f32) -> Arc<Judge> {
        Arc::new(judge(name, 2, self.backbone.clone(), &steady(self.backbone.features, bear)))
    }

    /// Lets the pipeline look at a frame; the same for each call.
    fn frame(&mut self) {
        let path = self.directory.path().join("a.jpg");
        if !path.exists() {
            std::fs::write(&path, jpeg(&photo(64, 48, 1))).unwrap();
        }
        let stamp = Stamp::from(&path.metadata().unwrap());
        self.pipeline.process(&Candidate { path, name: "a.jpg".into(), stamp, live: true });
    }

    fn rows(&self) -> Vec<Row> {
        rows(self.directory.path())
    }

    fn db(&self) -> Connection {
        Connection::open(self.directory.path().join("journal.sqlite")).unwrap()
    }

    fn warnings(&self) -> usize {
        let health: Health = self.status.health("epoch", &Totals::default());
        serde_json::to_value(health).unwrap()["warnings"].as_array().unwrap().len()
    }
}

fn rows(state: &Path) -> Vec<Row> {
    let file: PathBuf = state.join("journal.sqlite");
    let db = Connection::open(file).unwrap();
    let mut query = db.prepare("SELECT state, head, alert FROM frames").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_frame_that_breaks_the_proven_head_is_told_and_waits_for_a_better_one() {
    let mut world = World::new(fragile, 0.75);
    for _ in 0..2 {
        world.frame();
        let (observation, _) = world.observed.try_recv().unwrap();
        assert!(observation.proven.is_err() && observation.candidate.is_none());
        assert_eq!((world.rows(), world.warnings()), (vec![], 1));
    }
    world.seat.set(Judges { proven: world.judge("new", 0.75), candidate: None });
    world.frame();
    assert_eq!(world.rows(), [("done".into(), "new 1".into(), true)]);
    assert_eq!(world.warnings(), 0);
    assert!(world.observed.try_recv().is_err(), "nothing is to be learned of a head that works alone");
}

#[test]
fn a_frame_is_kept_under_the_head_that_decided_and_told_once_it_is_on_disk() {
    let mut world = World::new(steady, 0.25);
    let (proven, new) = (world.seat.judges().proven.clone(), world.judge("new", 0.75));
    let id = ContentHash::of(b"manifest");
    let candidate = crate::accept::Candidate { id, judge: new, stage: Stage::Trial };
    world.seat.set(Judges { proven, candidate: Some(candidate) });
    world.frame();
    let (observation, on_disk) = world.observed.try_recv().unwrap();
    assert_eq!(on_disk, [("done".to_owned(), "new 1".to_owned(), true)]);
    assert_eq!(observation.candidate, Some(id));
    let body: Vec<u8> = world.db().query_row("SELECT body FROM messages", [], |row| row.get(0)).unwrap();
    let message: Detection = serde_json::from_slice(&body).unwrap();
    assert_eq!(message.model.head, "new 1");
    assert!(message.decision.rule.ends_with("(head on trial)"), "{}", message.decision.rule);
}

fn pictures(world: &World, bytes: usize) -> Pictures {
    Pictures {
        bounds: crate::pictures::Bounds { side: 320, bytes },
        inline: true,
        pending: Some(Arc::default()),
        allowance: Arc::new(crate::pictures::Allowance::new(0, world.status.clone())),
    }
}

#[test]
fn an_alert_has_its_picture_and_its_event_does_not() {
    let mut world = World::new(steady, 0.75);
    let pictures = pictures(&world, 16_384);
    world.pipeline = world.pipeline.picturing(pictures.clone());
    world.frame();
    let text = |sql: &str| -> String { world.db().query_row(sql, [], |row| row.get(0)).unwrap() };
    let message: Detection = serde_json::from_str(&text("SELECT CAST(body AS TEXT) FROM messages")).unwrap();
    let (label, jpeg) = pictures.pending.unwrap().take().unwrap();
    assert_eq!((label, message.thumbnail), ("polar_bear".to_owned(), Some(crate::pictures::in_base64(&jpeg))));
    let best: Detection = serde_json::from_str(&text("SELECT best FROM events")).unwrap();
    assert_eq!(best.thumbnail, None, "the summary would bring it a second time");
}

#[test]
fn an_alert_whose_picture_can_not_be_made_goes_without() {
    let mut world = World::new(steady, 0.75);
    let pictures = pictures(&world, 10);
    world.pipeline = world.pipeline.picturing(pictures.clone());
    world.frame();
    assert_eq!(world.rows(), [("done".to_owned(), "old 1".to_owned(), true)]);
    let body: Vec<u8> = world.db().query_row("SELECT body FROM messages", [], |row| row.get(0)).unwrap();
    assert_eq!(serde_json::from_slice::<Detection>(&body).unwrap().thumbnail, None);
    assert_eq!(pictures.pending.unwrap().take(), None);
}

#[test]
fn in_a_long_outage_alerts_go_without_pictures() {
    let mut world = World::new(steady, 0.75);
    let pictures = pictures(&world, 16_384);
    world.pipeline = world.pipeline.picturing(pictures.clone());
    let waiting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                   INSERT INTO messages (seq, id, priority, topic, state, body) SELECT i, i, 1, 't', 'queued', x'' FROM n";
    world.db().execute(waiting, []).unwrap();
    world.frame();
    let last = "SELECT body FROM messages ORDER BY seq DESC LIMIT 1";
    let body: Vec<u8> = world.db().query_row(last, [], |row| row.get(0)).unwrap();
    assert_eq!(serde_json::from_slice::<Detection>(&body).unwrap().thumbnail, None);
    assert!(pictures.pending.unwrap().take().is_some(), "only the latest waits there");
}

#[test]
fn a_frame_that_could_not_be_kept_teaches_nothing_until_it_is() {
    let mut world = World::new(steady, 0.25);
    let proven = world.seat.judges().proven.clone();
    let (id, judge) = (ContentHash::of(b"manifest"), world.judge("new", 0.75));
    let candidate = crate::accept::Candidate { id, judge, stage: Stage::Shadow };
    world.seat.set(Judges { proven, candidate: Some(candidate) });
    world.db().execute_batch("ALTER TABLE files RENAME TO elsewhere").unwrap();
    world.frame();
    assert_eq!((world.rows(), world.warnings()), (vec![], 1));
    assert!(world.observed.try_recv().is_err());
    world.db().execute_batch("ALTER TABLE elsewhere RENAME TO files").unwrap();
    world.frame();
    let (_, on_disk) = world.observed.try_recv().unwrap();
    assert_eq!(on_disk, [("done".to_owned(), "old 1".to_owned(), false)]);
}
