//! One connection after another, for as long as the daemon runs.
//!
//! Each connection is a fresh client. rumqttc 0.25 drops what it has pending when the broker kept no session, without a
//! word; so nothing is left to it: what was not acknowledged is simply read from the outbox again.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet, QoS,
};
use tokio::sync::{Notify, watch};
use tokio::task::block_in_place;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::backoff::Backoff;
use super::flight::{Flight, Sent};
use super::topics::Topics;
use crate::health::{self, Status};
use crate::journal::{JournalError, Message, Outbox};

/// How long a clean stop may take to send what is queued.
const DRAIN: Duration = Duration::from_secs(5);
/// How long `stopped` may then take to be acknowledged.
const PART: Duration = Duration::from_secs(2);
/// How long the disconnect may then take to be written.
const LEAVE: Duration = Duration::from_secs(1);
/// How long an acknowledgement may wait to be noted together with others.
const ACK_GATHER: Duration = Duration::from_millis(50);
/// A link on which nothing was acknowledged for this long counts as down: what is queued meanwhile arrives late.
const STALLED: Duration = Duration::from_secs(10);
/// A broker that answers pings but acknowledges nothing for this long is given up.
const STUCK: Duration = Duration::from_secs(120);
/// A connection that lived this long was not a failure.
const STEADY: Duration = Duration::from_secs(10);

/// Sends the outbox to a broker.
pub struct Link {
    options: MqttOptions,
    network: NetworkOptions,
    topics: Topics,
    outbox: Outbox,
    // Told by the pipeline when a message was queued.
    outbox_filled: Arc<Notify>,
    status: Arc<Status>,
    health_every: Duration,
}

/// How a connection ended.
enum End {
    /// As asked.
    Stopped,
    /// The connection broke; `worked` if something was acknowledged, `lasted` if it lived for a while.
    Lost { error: String, worked: bool, lasted: bool },
}

impl Link {
    /// A link that is not connected yet.
    pub fn new(
        (mut options, network): (MqttOptions, NetworkOptions),
        topics: Topics,
        outbox: Outbox,
        outbox_filled: Arc<Notify>,
        status: Arc<Status>,
        health_every: Duration,
    ) -> Self {
        options.set_last_will(LastWill::new(topics.availability(), "offline", QoS::AtLeastOnce, true));
        Self { options, network, topics, outbox, outbox_filled, status, health_every }
    }

    /// Connects, sends and connects again until `stop` turns true; then sends what is queued, for a few seconds at most,
    /// and says `stopped`.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut backoff = Backoff::default();
        while !*stop.borrow() {
            let end = self.connection(&mut stop).await;
            let End::Lost { error, worked, lasted } = end else { return };
            self.status.set_link(health::Link::Down);
            if lasted {
                backoff.reset();
            } else if worked {
                backoff.ease();
            }
            let wait = backoff.next();
            let (host, port) = self.options.broker_address();
            tracing::warn!("broker {host}:{port}: {error}; next try in {:.1} s", wait.as_secs_f32());
            self.status.warn("link", Some(format!("broker {host}:{port}: {error}")));
            tokio::select! {
                () = sleep(wait) => {}
                _ = stop.changed() => {}
            }
        }
    }

    async fn connection(&mut self, stop: &mut watch::Receiver<bool>) -> End {
        // Room for a full window, the health message and the farewell: nothing here ever waits for the channel.
        let (client, mut events) = AsyncClient::new(self.options.clone(), usize::from(self.options.inflight()) + 16);
        events.set_network_options(self.network.clone());
        let connected = tokio::select! {
            connected = events.poll() => connected,
            _ = stop.changed() => return End::Stopped,
        };
        if let Err(error) = connected {
            return End::Lost { error: explain(&error), worked: false, lasted: false };
        }
        let (host, port) = self.options.broker_address();
        tracing::info!("connected to {host}:{port}");
        self.status.set_link(health::Link::Up);
        self.status.count(|counters| counters.connections += 1);
        self.status.warn("link", None);
        let mut session = Session {
            link: self,
            client,
            flight: Flight::default(),
            phase: Phase::Running,
            since: Instant::now(),
            progress: Instant::now(),
            acknowledged_any: false,
        };
        session.send("availability", true, b"online".to_vec(), Sent::Other);
        session.run(&mut events, stop).await
    }
}

/// One living connection.
struct Session<'a> {
    link: &'a mut Link,
    client: AsyncClient,
    flight: Flight,
    phase: Phase,
    since: Instant,
    // The last acknowledgement, or the last moment when none was owed.
    progress: Instant,
    acknowledged_any: bool,
}

/// How far a clean stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Sending what is queued.
    Draining(Instant),
    /// `stopped` is under way.
    Parting(Instant),
    /// The disconnect is under way.
    Leaving(Instant),
    Over,
}

impl Session<'_> {
    async fn run(&mut self, events: &mut EventLoop, stop: &mut watch::Receiver<bool>) -> End {
        let mut health = interval(self.link.health_every);
        health.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let filled = self.link.outbox_filled.clone();
        loop {
            // The poll future is never dropped half-way: rumqttc may be in the middle of a write.
            let mut poll = pin!(events.poll());
            let event = loop {
                self.fill();
                self.advance();
                if self.phase == Phase::Over {
                    return End::Stopped;
                }
                let gathering = self.flight.waiting_acknowledgements() > 0;
                let stopping = self.phase != Phase::Running;
                let owed = self.flight.under_way() > 0;
                let stalled = owed && self.progress.elapsed() >= STALLED;
                self.link.status.set_link(if stalled { health::Link::Down } else { health::Link::Up });
                tokio::select! {
                    event = &mut poll => break event,
                    () = filled.notified() => {}
                    () = sleep(ACK_GATHER), if gathering || stopping => self.note_acknowledgements(),
                    () = sleep(until(self.progress, STALLED)), if owed && !stalled => {}
                    () = sleep(until(self.progress, STUCK)), if owed && !stopping => {
                        return self.lost(format!("no acknowledgement for {} s", STUCK.as_secs()));
                    }
                    _ = health.tick(), if !stopping => self.send_health(),
                    _ = stop.changed(), if !stopping => self.phase = Phase::Draining(Instant::now()),
                }
            };
            match event {
                Ok(event) => self.handle(&event),
                Err(error) => {
                    self.note_acknowledgements();
                    if let Phase::Draining(_) = self.phase {
                        tracing::warn!(
                            "the broker left before everything was sent: {error}; it is sent at the next start"
                        );
                    }
                    return if self.phase == Phase::Running { self.lost(explain(&error)) } else { End::Stopped };
                }
            }
        }
    }

    /// Moves a clean stop on.
    fn advance(&mut self) {
        match self.phase {
            Phase::Draining(since) if self.flight.under_way() == 0 || since.elapsed() > DRAIN => {
                self.note_acknowledgements();
                self.send("availability", true, b"stopped".to_vec(), Sent::Farewell);
                self.phase = Phase::Parting(Instant::now());
            }
            Phase::Parting(since) if since.elapsed() > PART => self.leave(),
            Phase::Leaving(since) if since.elapsed() > LEAVE => self.phase = Phase::Over,
            _ => {}
        }
    }

    /// Disconnects, so that the broker does not publish the last will.
    fn leave(&mut self) {
        self.phase = match self.client.try_disconnect() {
            Ok(()) => Phase::Leaving(Instant::now()),
            Err(_) => Phase::Over,
        };
    }

    fn lost(&self, error: String) -> End {
        End::Lost { error, worked: self.acknowledged_any, lasted: self.since.elapsed() > STEADY }
    }

    fn handle(&mut self, event: &Event) {
        match event {
            Event::Outgoing(Outgoing::Disconnect) => self.phase = Phase::Over,
            Event::Outgoing(Outgoing::Publish(packet)) if *packet != 0 => self.flight.written(*packet),
            Event::Incoming(Packet::PubAck(ack)) => {
                self.progress = Instant::now();
                if self.flight.acknowledged(ack.pkid) == Some(Sent::Farewell) {
                    self.leave();
                }
                // One commit for many acknowledgements: flash wears.
                if self.flight.waiting_acknowledgements() >= usize::from(self.link.options.inflight()).div_ceil(2) {
                    self.note_acknowledgements();
                }
            }
            _ => {}
        }
    }

    /// Hands queued entries to the client until the window is full.
    fn fill(&mut self) {
        let window = usize::from(self.link.options.inflight());
        let free = window.saturating_sub(self.flight.under_way());
        if free == 0 || !matches!(self.phase, Phase::Running | Phase::Draining(_)) {
            return;
        }
        let entries = block_in_place(|| self.link.outbox.next(&|seq| self.flight.holds(seq), free));
        for Message { seq, topic, body } in self.reported(entries).unwrap_or_default() {
            self.send(&topic, false, body, Sent::Entry(seq));
        }
    }

    fn send(&mut self, topic: &str, retain: bool, body: Vec<u8>, sent: Sent) {
        match self.client.try_publish(self.link.topics.of(topic), QoS::AtLeastOnce, retain, body) {
            Ok(()) => {
                if self.flight.under_way() == 0 {
                    self.progress = Instant::now();
                }
                self.flight.sent(sent);
            }
            // The channel has room for a full window; if it is full all the same, the entry stays in the outbox.
            Err(error) => tracing::warn!(topic, "not sent now: {error}"),
        }
    }

    fn note_acknowledgements(&mut self) {
        let seqs = self.flight.take_acknowledged();
        if seqs.is_empty() {
            return;
        }
        let noted = block_in_place(|| self.link.outbox.acked(&seqs));
        // If this failed the entries stay held, and are sent again over the next connection: repeats, not losses.
        if self.reported(noted).is_some() {
            self.flight.noted(&seqs);
            self.link.status.acknowledged(seqs.len());
            self.acknowledged_any = true;
        }
    }

    fn send_health(&mut self) {
        let totals = block_in_place(|| self.link.outbox.totals());
        let Some(totals) = self.reported(totals) else { return };
        let health = self.link.status.health(self.link.outbox.epoch(), &totals);
        match serde_json::to_vec(&health) {
            Ok(body) => self.send("health", true, body, Sent::Other),
            Err(error) => tracing::error!("the health message can't be written: {error}"),
        }
    }

    fn reported<T>(&self, result: Result<T, JournalError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.link.status.warn("outbox", None);
                Some(value)
            }
            Err(error) => {
                tracing::error!("{error}");
                self.link.status.warn("outbox", Some(error.to_string()));
                None
            }
        }
    }
}

/// What is left of `limit` since a moment.
fn until(since: Instant, limit: Duration) -> Duration {
    limit.saturating_sub(since.elapsed())
}

/// What a person can do about a failed connection.
pub(crate) fn explain(error: &ConnectionError) -> String {
    use rumqttc::ConnectReturnCode as Code;
    match error {
        ConnectionError::ConnectionRefused(Code::BadUserNamePassword | Code::NotAuthorized) => {
            "the broker refuses this user; check mqtt.username and mqtt.password_file".into()
        }
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses the connection ({code:?})"),
        ConnectionError::NetworkTimeout => "no answer within mqtt.connect_timeout_s".into(),
        other => other.to_string(),
    }
}
