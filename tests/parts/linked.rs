//! A trap's link in the test's own process, where the test stands in the acceptor's place, and a pusher from outside.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use arcticd::accept::{Arrival, Content, Doors, Inbox, Input, Order};
use arcticd::config::{Mqtt, Power};
use arcticd::health::Status;
use arcticd::journal::{Journal, Totals, priority};
use arcticd::mqtt::{Extras, Intake, Link, Topics, Windows, connect_options};
use arcticd::pictures::{Allowance, Pending};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::json;
use testkit::subscriber::{Message, Subscriber};
use testkit::wait_until;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};

use super::PATIENCE;

const MAX_BYTES: u64 = 8 << 20;

/// A trap without cameras: journal, link, and where the acceptor would be.
pub struct Trap {
    pub mqtt: Mqtt,
    pub power: Power,
    pub keep_alive: Duration,
    pub pause: Duration,
    status: Arc<Status>,
    journal: Journal,
    filled: Arc<Notify>,
    pending: Arc<Pending>,
    directory: tempfile::TempDir,
    life: Option<Life>,
}

/// From its start to its end.
pub struct Life {
    runtime: Runtime,
    arrivals: Receiver<Input>,
    orders: UnboundedSender<Order>,
    pub stop: watch::Sender<bool>,
}

impl Trap {
    pub fn new(port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            mqtt: Mqtt { url: Some(format!("mqtt://127.0.0.1:{port}")), ..Mqtt::default() },
            power: Power::default(),
            keep_alive: Duration::from_secs(10),
            pause: Duration::from_secs(3600),
            status: Arc::new(Status::new("test", "none", "none", directory.path())),
            journal: Journal::open(directory.path(), 100_000).unwrap(),
            filled: Arc::default(),
            pending: Arc::default(),
            directory,
            life: None,
        }
    }

    pub fn start(mut self) -> Self {
        self.begin();
        self
    }

    pub fn begin(&mut self) {
        let (mut options, network) = connect_options(&self.mqtt, "arcticd-test").unwrap().unwrap();
        options.set_keep_alive(self.keep_alive);
        let (arrived, arrivals) = mpsc::channel();
        let (orders, ordered) = unbounded_channel();
        let doors = Doors::new("arcticd", "test", &["coast".to_owned()]);
        let intake = Intake::new(Inbox { arrivals: arrived, orders: ordered }, doors, MAX_BYTES);
        let link = Link::new(
            (options, network),
            Topics::new("arcticd", "test"),
            self.journal.outbox().unwrap(),
            self.filled.clone(),
            self.status.clone(),
            Duration::from_secs(1),
            Some(intake),
        );
        let pictures = Some((self.pending.clone(), Arc::new(Allowance::new(0, self.status.clone()))));
        let extras = Extras::new(self.directory.path(), Topics::new("arcticd", "test"), None, pictures);
        let (stop, stops) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.spawn(link.listening_again_after(self.pause).open_in(Windows::of(&self.power)).with(extras).run(stops));
        self.life = Some(Life { runtime, arrivals, orders, stop });
    }

    /// Ends as in a power cut: the connection closes, and nothing more is said.
    pub fn kill(&mut self) {
        self.life.take().unwrap().runtime.shutdown_timeout(PATIENCE);
    }

    pub fn life(&self) -> &Life {
        self.life.as_ref().unwrap()
    }

    pub fn arrival(&self) -> Arrival {
        match self.life().arrivals.recv_timeout(PATIENCE) {
            Ok(Input::Arrival(arrival)) => arrival,
            other => panic!("nothing comes ({other:?}): {:?}", self.warnings()),
        }
    }

    pub fn order(&self, order: Order) {
        self.life().orders.send(order).unwrap();
    }

    pub fn acknowledge(&self, arrival: &Arrival) {
        self.order(Order::Acknowledge(arrival.receipt));
    }

    /// Takes and acknowledges messages until this one comes.
    pub fn take_until(&self, content: Content, payload: &[u8]) -> Arrival {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let arrival = self.arrival();
            self.acknowledge(&arrival);
            if arrival.address.content == content && arrival.payload.as_deref() == Ok(payload) {
                return arrival;
            }
        }
        panic!("other messages come without end");
    }

    /// Waits until all orders so far have reached the broker: the subscriber sees what was ordered last.
    pub fn settle(&self, subscriber: &Subscriber, word: &str) {
        self.order(Order::State(word.into()));
        let told = |messages: &[Message]| {
            messages.iter().any(|message| message.topic == "arcticd/test/head/state" && message.text() == word)
        };
        subscriber.wait_for(PATIENCE, told).unwrap();
    }

    /// Lets the link have a picture.
    pub fn picture(&self) {
        self.pending.put("polar_bear", vec![0; 1_000]);
        self.filled.notify_one();
    }

    pub fn detect(&mut self, ids: std::ops::Range<u64>) {
        self.queue(ids, priority::SUMMARY);
    }

    pub fn queue(&mut self, ids: std::ops::Range<u64>, priority: u8) {
        self.queue_padded(ids, priority, 0);
    }

    /// As alerts with pictures in them: each has so many bytes more.
    pub fn queue_padded(&mut self, ids: std::ops::Range<u64>, priority: u8, bytes: usize) {
        for id in ids {
            let body = |_: &str, seq: u64| json!({ "id": id, "seq": seq, "thumbnail": "x".repeat(bytes) });
            self.journal
                .transaction(|transaction| transaction.queue(&id.to_string(), priority, "detection", body))
                .unwrap();
            self.filled.notify_one();
        }
    }

    pub fn wait_acknowledged(&self, count: u64) {
        let outbox = self.journal.outbox().unwrap();
        wait_until(PATIENCE, || (outbox.totals().unwrap().acked >= count).then_some(()))
            .unwrap_or_else(|| panic!("{:?}; {:?}", outbox.totals(), self.warnings()));
    }

    pub fn link(&self) -> arcticd::health::Link {
        self.status.link()
    }

    pub fn health(&self) -> serde_json::Value {
        serde_json::to_value(self.status.health("", &Totals::default())).unwrap()
    }

    pub fn warnings(&self) -> Vec<String> {
        serde_json::from_value(self.health()["warnings"].clone()).unwrap()
    }

    pub fn wait_warning(&self, word: &str) -> String {
        wait_until(PATIENCE, || self.warnings().into_iter().find(|warning| warning.contains(word)))
            .unwrap_or_else(|| panic!("no warning of {word}: {:?}", self.warnings()))
    }

    pub fn wait_no_warning(&self) {
        wait_until(PATIENCE, || self.warnings().is_empty().then_some(()))
            .unwrap_or_else(|| panic!("{:?}", self.warnings()));
    }

    pub fn connections(&self) -> u64 {
        self.health()["counters"]["connections"].as_u64().unwrap()
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        if let Some(life) = self.life.take() {
            life.runtime.shutdown_background();
        }
    }
}

/// Publishes from outside, and returns when the broker has it.
pub fn publish(port: u16, topic: &str, qos: QoS, retain: bool, payload: impl Into<Vec<u8>>) {
    let mut options = MqttOptions::new(format!("pusher-{}", fastrand::u64(..)), "127.0.0.1", port);
    options.set_max_packet_size(1 << 20, 200 << 20);
    let (client, mut connection) = Client::new(options, 10);
    client.publish(topic, qos, retain, payload).unwrap();
    if qos == QoS::AtMostOnce {
        // Written behind it; its acknowledgement says that both are there.
        client.publish("elsewhere", QoS::AtLeastOnce, false, []).unwrap();
    }
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let event = connection.recv_timeout(PATIENCE).expect("an answer").expect("a broker that takes it");
        if let Event::Incoming(Packet::PubAck(_)) = event {
            let _ = client.disconnect();
            while let Ok(Ok(_)) = connection.recv_timeout(Duration::from_secs(1)) {}
            return;
        }
    }
    panic!("the broker does not acknowledge {topic}");
}

pub fn push(port: u16, topic: &str, payload: &str) {
    publish(port, topic, QoS::AtLeastOnce, false, payload);
}

pub fn retain(port: u16, topic: &str, payload: impl Into<Vec<u8>>) {
    publish(port, topic, QoS::AtLeastOnce, true, payload);
}
