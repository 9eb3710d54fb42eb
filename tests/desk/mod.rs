//! A scientist's desk and a trap in the field, for the tests of `arcticd head push`: signed heads, the command as a child
//! process, and an MQTT client that takes heads as a trap does.
#![allow(dead_code)] // Each test program uses its own part of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arcticd::accept::{Content, Doors, HeadFacts, Offer, OfferReport, Refusals, Report, Scope, Step};
use arcticd::frame::ContentHash;
use arcticd::heads::{Bundle, TrustedKeys, bundle};
use arcticd::model::{HeadBackbone, HeadManifest, Label};
use arcticd::onnx::{Constant, Graph, attribute};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use testkit::broker::{Mosquitto, Options};
use testkit::subscriber::{Message, Subscriber, Subscription};
use testkit::wait_until;

/// How long anything may take: test machines are small and busy.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Features of a head of two pieces and more; and of one that is one message.
pub const LARGE: usize = 9_000;
pub const SMALL: usize = 100;

const BACKBONE: (&str, &str) = ("test-net", "abababababababababababababababababababababababababababababababab");

pub fn broker() -> Option<Mosquitto> {
    broker_with(Options::default())
}

pub fn broker_with(options: Options) -> Option<Mosquitto> {
    if !Mosquitto::available() {
        println!("skipped: mosquitto is not installed");
        return None;
    }
    Some(Mosquitto::start(options).unwrap())
}

/// A folder with heads and the key that signs them.
pub struct Desk(tempfile::TempDir);

impl Desk {
    pub fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        let made = desk.arcticd(&["head", "new-key", "field", "--no-password"]);
        assert!(made.status.success(), "{made:?}");
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A signed head `NAME.head`.
    pub fn head(&self, name: &str, features: usize, sequence: u64) -> Bundle {
        self.unsigned(name, features, sequence);
        let signed = self.arcticd(&["head", "sign", &format!("{name}.head"), "--key", "field.key"]);
        assert!(signed.status.success(), "{signed:?}");
        Bundle::load(&self.path(&format!("{name}.head")), &TrustedKeys::default()).unwrap()
    }

    pub fn unsigned(&self, name: &str, features: usize, sequence: u64) {
        let mut graph = Graph::empty("head", "features", &[1, features], 13);
        let weight = |index: usize| ((index * 7 % 11) as f32 - 5.0) * 0.01 + index as f32 * 1e-7;
        let weights = Constant::f32([features, 3], (0..features * 3).map(weight).collect());
        graph.set_constant("weights", &weights).unwrap();
        graph.add_node("MatMul", &["features", "weights"], "logits", vec![]).unwrap();
        graph.add_node("Softmax", &["logits"], "probabilities", vec![attribute::int("axis", 1)]).unwrap();
        graph.set_outputs(&["probabilities"]).unwrap();
        let label =
            |name: &str| Label { name: name.into(), alert: name == "polar_bear", threshold: 0.5, background: false };
        let backbone = HeadBackbone { id: BACKBONE.0.into(), sha256: BACKBONE.1.into(), features };
        let labels = ["arctic_fox", "polar_bear", "walrus"].map(label).to_vec();
        let mut manifest = HeadManifest::new(name.into(), "2026.11".into(), backbone, labels);
        manifest.sequence = sequence;
        let bundle = Bundle::make(manifest, graph.encode().unwrap(), &[]).unwrap();
        bundle.save(&self.path(&format!("{name}.head"))).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arcticd"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ARCTICD_")) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    pub fn arcticd(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// `arcticd head push NAME.head --broker ...`, to its end.
    pub fn push(&self, broker: &Mosquitto, name: &str, arguments: &[&str]) -> Ended {
        self.start(broker, name, arguments).end()
    }

    /// As [`Desk::push`], running.
    pub fn start(&self, broker: &Mosquitto, name: &str, arguments: &[&str]) -> Running {
        let (head, url) = (format!("{name}.head"), broker.url());
        let all = [&["head", "push", &head, "--broker", &url], arguments].concat();
        Running(Some(self.command(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    pub fn clear(&self, broker: &Mosquitto, arguments: &[&str]) -> Ended {
        Ended::of(self.arcticd(&[&["head", "clear", "--broker", &broker.url()], arguments].concat()))
    }
}

/// A push that runs; it does not outlive the test.
pub struct Running(Option<Child>);

impl Running {
    pub fn end(mut self) -> Ended {
        let mut child = self.0.take().unwrap();
        let ended = wait_until(PATIENCE, || child.try_wait().unwrap());
        if ended.is_none() {
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        assert!(ended.is_some(), "it does not end: {output:?}");
        Ended::of(output)
    }

    pub fn interrupt(&self) {
        let id = i32::try_from(self.0.as_ref().unwrap().id()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), rustix::process::Signal::INT)
            .unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ended = Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        println!("exit {:?}\n{}{}", ended.code, ended.out, ended.err);
        ended
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// What the broker has retained of heads below `arcticd/`, by topic.
pub fn retained(broker: &Mosquitto) -> BTreeMap<String, Vec<u8>> {
    let late = spy(broker);
    // Live, and so behind everything that was retained when the subscription began.
    publish(broker, "arcticd/end", b"");
    let end = |messages: &[Message]| messages.iter().any(|it| it.topic.ends_with("/end"));
    let all = late.wait_for(PATIENCE, end).unwrap().into_iter();
    let heads = all.filter(|it| it.retain && it.topic.contains("/head/") && !it.topic.ends_with("/state"));
    heads.map(|message| (message.topic, message.payload)).collect()
}

/// Publishes a retained message and waits until the broker has it.
pub fn publish(broker: &Mosquitto, topic: &str, payload: &[u8]) {
    let options = MqttOptions::new(format!("publisher-{}", fastrand::u64(..)), "127.0.0.1", broker.port());
    let (client, mut connection) = Client::new(options, 10);
    client.publish(topic, QoS::AtLeastOnce, true, payload).unwrap();
    for event in connection.iter() {
        if let Event::Incoming(Packet::PubAck(_)) = event.unwrap() {
            return;
        }
    }
}

/// What a trap makes of heads.
#[derive(Debug, Clone)]
pub enum Mind {
    /// It tries them.
    Takes,
    /// It tries them, and takes them into service.
    Serves,
    /// It refuses them, for this reason.
    Rejects(String),
    /// It says nothing of them.
    Sleeps,
}

/// An MQTT client that reports as a trap does. It has no network to run: whether heads compute is not asked here.
pub struct Trap {
    stopping: Arc<AtomicBool>,
    client: Client,
    thread: Option<JoinHandle<()>>,
}

/// Of a trap that nothing speaks against.
pub fn report(name: &str, groups: &[&str]) -> Report {
    let facts = HeadFacts {
        id: None,
        name: "arctic".into(),
        version: "2026.10".into(),
        sequence: 0,
        key: None,
        origin: "builtin".into(),
    };
    Report {
        schema: 1,
        trap: name.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        at: "2026-11-24T06:00:00Z".into(),
        backbone: BACKBONE.0.into(),
        backbone_sha256: BACKBONE.1.into(),
        max_bytes: 8 << 20,
        active: facts,
        previous: None,
        floor: 0,
        ceiling: 1_000,
        offer: None,
        next: None,
        decided: Vec::new(),
        refused: Refusals::default(),
        local: Default::default(),
    }
}

/// Leaves a report on the broker, as a trap that has gone to sleep since.
pub fn reported(broker: &Mosquitto, report: &Report) {
    publish(broker, &format!("arcticd/{}/head/state", report.trap), &serde_json::to_vec(report).unwrap());
}

impl Trap {
    /// Connects, and has reported when this returns.
    pub fn start(broker: &Mosquitto, report: Report, mind: Mind) -> Self {
        reported(broker, &report);
        let mut options = MqttOptions::new(format!("trap-{}", report.trap), "127.0.0.1", broker.port());
        options.set_max_packet_size(16 << 20, 16 << 20);
        let (client, mut connection) = Client::new(options, 10_000);
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (client, stopping) = (client.clone(), stopping.clone());
            let doors = Doors::new("arcticd", &report.trap, &report.groups);
            let mut reception =
                Reception { client: client.clone(), report, mind, offer: None, pieces: BTreeMap::new() };
            move || {
                for event in connection.iter() {
                    match event {
                        Ok(Event::Incoming(Packet::ConnAck(_))) => {
                            for filter in doors.filters() {
                                client.try_subscribe(filter, QoS::AtLeastOnce).unwrap();
                            }
                        }
                        Ok(Event::Incoming(Packet::Publish(it))) if !it.payload.is_empty() => {
                            if let Some(address) = doors.parse(&it.topic) {
                                reception.take(&address.scope, address.content, &it.payload);
                            }
                        }
                        Ok(_) => {}
                        Err(_) if stopping.load(Ordering::Relaxed) => return,
                        Err(_) => std::thread::sleep(Duration::from_millis(50)),
                    }
                }
            }
        });
        Self { stopping, client, thread: Some(thread) }
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        let _ = self.client.try_disconnect();
        let _ = self.thread.take().unwrap().join();
    }
}

struct Reception {
    client: Client,
    report: Report,
    mind: Mind,
    offer: Option<Offer>,
    pieces: BTreeMap<u32, Vec<u8>>,
}

impl Reception {
    fn take(&mut self, scope: &Scope, content: Content, payload: &[u8]) {
        match content {
            Content::Set => {
                let head = bundle::read_head_of(payload).unwrap();
                let id = ContentHash::of(head.manifest_bytes());
                let manifest =
                    head.open_unverified().unwrap().read(bundle::Limits::RECEIVED).unwrap().manifest().clone();
                self.decide(id, &manifest, (0, 0));
            }
            Content::Ask(_) => {}
            Content::Offer => {
                let offer = Offer::decode(payload).unwrap();
                if self.offer.as_ref() == Some(&offer) {
                    return;
                }
                let manifest = offer.seal().unwrap().open_unverified().unwrap().manifest().clone();
                let pieces = manifest.chunks.as_ref().unwrap().sha256.len() as u32;
                if matches!(self.mind, Mind::Rejects(_)) {
                    return self.decide(offer.id(), &manifest, (0, pieces));
                }
                self.say(offer.id(), &manifest, Step::Receiving, None, (0, pieces));
                self.client.try_subscribe(scope.chunks("arcticd", &offer.id()), QoS::AtLeastOnce).unwrap();
                self.pieces.clear();
                self.offer = Some(offer);
            }
            Content::Chunk { id, piece } => {
                let Some(offer) = self.offer.clone().filter(|offer| offer.id() == id) else { return };
                let opened = offer.seal().unwrap().open_unverified().unwrap();
                let manifest = opened.manifest().clone();
                let digests = &manifest.chunks.as_ref().unwrap().sha256;
                assert_eq!(ContentHash::of(payload).to_string(), digests[piece as usize], "piece {piece} is damaged");
                self.pieces.insert(piece, payload.to_vec());
                if self.pieces.len() == digests.len() {
                    opened.join(self.pieces.values().flatten().copied().collect()).unwrap();
                    let all = digests.len() as u32;
                    self.decide(id, &manifest, (all, all));
                }
            }
        }
    }

    fn decide(&mut self, id: ContentHash, manifest: &HeadManifest, pieces: (u32, u32)) {
        match self.mind.clone() {
            Mind::Takes => self.say(id, manifest, Step::Trial, None, pieces),
            Mind::Serves => {
                self.say(id, manifest, Step::Trial, None, pieces);
                self.say(id, manifest, Step::Active, None, pieces);
            }
            Mind::Rejects(reason) => self.say(id, manifest, Step::Rejected, Some(reason), pieces),
            Mind::Sleeps => {}
        }
    }

    fn say(&mut self, id: ContentHash, head: &HeadManifest, state: Step, why: Option<String>, pieces: (u32, u32)) {
        if matches!(self.mind, Mind::Sleeps) {
            return;
        }
        let facts = HeadFacts {
            id: Some(id),
            name: head.name.clone(),
            version: head.version.clone(),
            sequence: head.sequence,
            key: None,
            origin: "pushed".into(),
        };
        if state == Step::Active {
            self.report.active = facts.clone();
        }
        let (received, pieces) = pieces;
        let offer =
            OfferReport { head: facts, state, reason: why, received, pieces, missing: String::new(), trial: None };
        self.report.offer = Some(offer);
        let topic = format!("arcticd/{}/head/state", self.report.trap);
        let body = serde_json::to_vec(&self.report).unwrap();
        self.client.try_publish(topic, QoS::AtLeastOnce, true, body).unwrap();
    }
}

/// Of these, the messages of heads that were published just now, not retained from before.
pub fn live(messages: &[Message]) -> Vec<Message> {
    let ours = |it: &&Message| !it.retain && it.topic.contains("/head/") && !it.topic.ends_with("/state");
    messages.iter().filter(ours).cloned().collect()
}

/// [`live`] messages that a subscriber heard, all up to now.
pub fn heard(broker: &Mosquitto, spy: &Subscriber) -> Vec<Message> {
    let ends = |messages: &[Message]| messages.iter().filter(|it| it.topic == "arcticd/end").count();
    let before = ends(&spy.messages());
    publish(broker, "arcticd/end", b"");
    live(&spy.wait_for(PATIENCE, |messages| ends(messages) > before).unwrap())
}

/// Hears everything.
pub fn spy(broker: &Mosquitto) -> Subscriber {
    Subscriber::start(Subscription::new(broker.port(), "arcticd/#")).unwrap()
}

/// Where a trap's pieces of this head are.
pub fn chunk(scope: &Scope, head: &Bundle, piece: u32) -> String {
    scope.topic("arcticd", Content::Chunk { id: id(head), piece })
}

pub fn id(head: &Bundle) -> ContentHash {
    ContentHash::of(head.manifest_bytes())
}

pub fn north() -> Scope {
    Scope::Trap("north".into())
}
