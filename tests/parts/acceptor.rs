//! The real acceptor in this process, with the test in the place of link and pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use arcticd::accept::{
    Acceptor, Address, Arrival, Configured, Content, Doors, HeadFacts, Input, Judge, Judges, Order, Receipt, Report,
    Scope, Seat, Setup, Step,
};
use arcticd::config::{Alerts, Heads};
use arcticd::heads::Bundle;
use arcticd::health::Status;
use arcticd::journal::Journal;
use testkit::head::signed::{self, Maker};
use testkit::mutate::Attack;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::PATIENCE;

/// Features of no frame in particular; heads that see the same everywhere do not mind.
const FEATURE: f32 = 0.5;

/// Size, inode and time of a file: it was not even written anew.
pub type Stamp = (u64, u64, i64, i64);

/// The trap `test`.
pub struct Trap {
    pub seat: Seat,
    pub report: Option<Report>,
    /// Topics of pieces that are subscribed to.
    pub asked: BTreeSet<String>,
    root: PathBuf,
    // Goes with the trap.
    _folder: Option<tempfile::TempDir>,
    inputs: Sender<Input>,
    orders: UnboundedReceiver<Order>,
    thread: JoinHandle<()>,
    runtime: tokio::runtime::Runtime,
    doors: Doors,
    features: usize,
    packet: u16,
    journal: Journal,
}

impl Trap {
    /// Trusts `maker`; a trial takes a frame and no alert. `configured` serves first.
    pub fn start(maker: &Maker, configured: &Bundle) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::prepare(maker, folder.path());
        let trap = Self::resume(folder.path(), configured);
        Self { _folder: Some(folder), ..trap }
    }

    /// Makes what [`Trap::resume`] wants.
    pub fn prepare(maker: &Maker, root: &Path) {
        maker.trust_in(&root.join("keys")).unwrap();
        std::fs::create_dir(root.join("state")).unwrap();
    }

    /// Goes on in `root`: trusts the keys in its folder `keys`, and takes up what lies in `state`.
    pub fn resume(root: &Path, configured: &Bundle) -> Self {
        let keys = root.join("keys");
        let head = configured.head().unwrap();
        let manifest = head.manifest().clone();
        let (alerts, backbone) = (Alerts::default(), manifest.backbone.clone());
        let judge = Arc::new(Judge::new(head, &alerts).unwrap());
        let facts = HeadFacts {
            id: None,
            name: manifest.name,
            version: manifest.version,
            sequence: manifest.sequence,
            key: None,
            origin: "configured".into(),
        };
        let seat = Seat::new(Judges { proven: judge.clone(), candidate: None });
        let heads = Heads {
            trusted_keys: vec![keys],
            directory: root.join("by-hand"),
            trial_frames: 1,
            trial_alerts: 0,
            max_disagreement: 1.0,
            ..Heads::default()
        };
        let features = backbone.features;
        let folder = root.join("state");
        let journal = Journal::open(&folder, 1_000).unwrap();
        let setup = Setup {
            state: folder,
            trap: "test".into(),
            groups: vec!["coast".into()],
            prefix: "arcticd".into(),
            backbone,
            alerts,
            heads,
            configured: Configured { judge, facts, chosen: false },
            seat: seat.clone(),
            died_on_frame: false,
            features: journal.feature_store().unwrap(),
            outbox_filled: Arc::default(),
        };
        let status = Arc::new(Status::new("test", "net", "head", root));
        let (order, orders) = unbounded_channel();
        let (acceptor, _) = Acceptor::begin(setup, journal.head_log().unwrap(), status, order).unwrap();
        let (inputs, heard) = channel();
        let thread = std::thread::spawn(move || acceptor.run(&heard));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let doors = Doors::new("arcticd", "test", &["coast".to_owned()]);
        Self {
            seat,
            report: None,
            asked: BTreeSet::new(),
            root: root.to_owned(),
            _folder: None,
            inputs,
            orders,
            thread,
            runtime,
            doors,
            features,
            packet: 0,
            journal,
        }
    }

    /// Sends a message as the link would, and waits until the acceptor gives it back; false: the topic is none of a
    /// head's, and nothing was sent.
    ///
    /// # Panics
    /// The acceptor is dead.
    pub fn send(&mut self, attack: &Attack) -> bool {
        let (address, payload) = match attack {
            Attack::Message(content, bytes) => (ours(*content), Ok(bytes.clone())),
            Attack::TooLarge(content, bytes) => (ours(*content), Err(*bytes)),
            Attack::Topic(below, bytes) => match self.doors.parse(&format!("arcticd/test/head/{below}")) {
                Some(address) => (address, Ok(bytes.clone())),
                None => return false,
            },
        };
        self.packet = self.packet % 60_000 + 1;
        let receipt = Receipt { connection: 1, packet: self.packet };
        self.inputs.send(Input::Arrival(Arrival { address, payload, receipt })).expect("the acceptor lives");
        self.until(|order, _| *order == Order::Acknowledge(receipt));
        true
    }

    /// Sends a whole head.
    pub fn set(&mut self, bundle: &Bundle) {
        self.send(&Attack::Message(Content::Set, signed::file(bundle).unwrap()));
    }

    /// Sends the bytes of a whole head.
    pub fn set_file(&mut self, bytes: &[u8]) {
        self.send(&Attack::Message(Content::Set, bytes.to_vec()));
    }

    /// Sends an offer.
    pub fn offer(&mut self, bundle: &Bundle) {
        self.send(&Attack::Message(Content::Offer, signed::offer(bundle).unwrap().encode()));
    }

    /// Sends pieces.
    pub fn pieces(&mut self, bundle: &Bundle, which: impl IntoIterator<Item = usize>) {
        let (id, pieces) = (signed::offer(bundle).unwrap().id(), signed::pieces(bundle));
        for piece in which {
            self.send(&Attack::Message(Content::Chunk { id, piece: piece as u32 }, pieces[piece].clone()));
        }
    }

    /// Lets the judges look at a frame and the acceptor learn from it: a trial of one frame is over.
    pub fn look(&mut self) {
        let judgement = self.seat.judges().judge(&vec![FEATURE; self.features]);
        self.inputs.send(Input::Observation(judgement.observation.unwrap())).unwrap();
        self.until(|_, report| report.as_ref().is_some_and(|report| step(report) == Some(Step::Active)));
    }

    /// Waits until the acceptor tells of so many pieces.
    pub fn told(&mut self, pieces: u32) {
        let received = |report: &Report| report.offer.as_ref().map(|offer| offer.received);
        if self.report.as_ref().and_then(received) != Some(pieces) {
            self.until(|_, report| report.as_ref().and_then(received) == Some(pieces));
        }
    }

    /// How far the last offer came.
    pub fn step(&self) -> Option<Step> {
        self.report.as_ref().and_then(step)
    }

    /// Every file of heads, and how it lies there; the record too.
    pub fn files(&self) -> BTreeMap<PathBuf, Stamp> {
        let mut found = BTreeMap::new();
        walk(&self.root.join("state/heads"), &mut found);
        found
    }

    /// How many lines the trail of heads has.
    pub fn trail(&self) -> usize {
        self.journal.head_log().unwrap().latest(10_000).unwrap().len()
    }

    /// Ends the acceptor; a panic in it is one here.
    pub fn stop(self) {
        self.inputs.send(Input::Stop).unwrap();
        self.thread.join().expect("the acceptor did not panic");
    }

    fn until(&mut self, mut enough: impl FnMut(&Order, &Option<Report>) -> bool) {
        loop {
            let next = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.orders.recv()).await });
            let order = next.expect("the acceptor answers").expect("the acceptor lives");
            match &order {
                Order::State(body) => self.report = Some(serde_json::from_slice(body).unwrap()),
                Order::Subscribe(filter) if filter.contains("/chunk/") => drop(self.asked.insert(filter.clone())),
                Order::Unsubscribe(filter) => drop(self.asked.remove(filter)),
                _ => {}
            }
            if enough(&order, &self.report) {
                return;
            }
        }
    }
}

fn ours(content: Content) -> Address {
    Address { scope: Scope::Trap("test".into()), content }
}

fn step(report: &Report) -> Option<Step> {
    report.offer.as_ref().map(|offer| offer.state)
}

fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, Stamp>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::symlink_metadata(&path).unwrap();
        if data.is_dir() {
            found.insert(path.clone(), (0, data.ino(), 0, 0));
            walk(&path, found);
        } else {
            found.insert(path, (data.len(), data.ino(), data.mtime(), data.mtime_nsec()));
        }
    }
}
