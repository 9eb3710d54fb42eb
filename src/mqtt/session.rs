//! One living connection: drains the outbox under a window, pairs acknowledgements, passes messages and orders between
//! broker and acceptor, and ends in peace when asked to.

mod beside;
mod ending;
mod window;

use std::future::pending;
use std::pin::pin;
use std::time::{Duration, Instant};

pub(super) use ending::{DRAIN, End};
use ending::{Goal, Phase, STEADY};
use rumqttc::{AsyncClient, Event, EventLoop, Outgoing, Packet, QoS};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::flight::{Flight, Sent};
use super::intake::Intake;
use super::link::Link;
use super::lull::Lull;
use crate::accept::Order;
use crate::health;
use crate::journal::Message;

/// Bytes of bodies that are sent ahead of their acknowledgement, and at most one body more: alerts may carry pictures, and the
/// client holds all of that in memory, what it is writing twice.
const AHEAD_BYTES: usize = 4 << 20;
/// How long an acknowledgement may wait to be noted together with others.
const ACK_GATHER: Duration = Duration::from_millis(50);
/// How long acknowledgements wait that could not be noted: the disk is full, or read-only.
const NOTE_AGAIN: Duration = Duration::from_secs(10);
/// A link on which nothing was acknowledged for this long counts as down: what is queued meanwhile arrives late.
const STALLED: Duration = Duration::from_secs(10);
/// A broker that answers pings but acknowledges nothing for this long is given up.
const STUCK: Duration = Duration::from_secs(120);

/// One living connection.
pub(super) struct Session<'a> {
    link: &'a mut Link,
    client: AsyncClient,
    flight: Flight,
    phase: Phase,
    since: Instant,
    // The last acknowledgement, or the last moment when none was owed.
    progress: Instant,
    // The last packet of any kind.
    heard: Instant,
    acknowledged_any: bool,
    // When acknowledgements could last not be noted.
    unnoted: Option<Instant>,
    // None: it listens to the head topics. At this moment it ends, for one that does.
    deaf_until: Option<Instant>,
    goal: Goal,
    lull: Lull,
}

impl<'a> Session<'a> {
    /// Over a connection that stands; `deaf_until` as in [`Hearing`](super::hearing::Hearing).
    pub(super) fn new(link: &'a mut Link, client: AsyncClient, deaf_until: Option<Instant>) -> Self {
        let now = Instant::now();
        Self {
            link,
            client,
            flight: Flight::default(),
            phase: Phase::Running,
            since: now,
            progress: now,
            heard: now,
            acknowledged_any: false,
            unnoted: None,
            deaf_until,
            goal: Goal::Stop,
            lull: Lull::new(now),
        }
    }

    /// Only to send what is queued and to say `stopped`, which was asked for at `since`.
    #[must_use]
    pub(super) fn stopping(self, since: Instant) -> Self {
        Self { phase: Phase::Draining(since), ..self }
    }

    /// Lives until it breaks, or `stop` turns true and what is queued is sent.
    pub(super) async fn run(&mut self, events: &mut EventLoop, stop: &mut watch::Receiver<bool>) -> End {
        let mut health = interval(self.link.health_every);
        health.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let filled = self.link.outbox_filled.clone();
        let keep_alive = self.link.options.keep_alive();
        if self.phase == Phase::Running {
            self.send("availability", true, b"online".to_vec(), Sent::Other);
        }
        loop {
            // The poll future is never dropped half-way: rumqttc may be in the middle of a write.
            let mut poll = pin!(events.poll());
            let event = loop {
                self.pump();
                self.fill();
                self.fill_up();
                self.mind_window();
                self.advance();
                if self.phase == Phase::Over {
                    return self.ended();
                }
                let gathering = self.flight.waiting_acknowledgements() > 0;
                let stopping = self.phase != Phase::Running;
                let note_in = self.unnoted.filter(|_| !stopping).map_or(ACK_GATHER, |at| until(at, NOTE_AGAIN));
                let owed = self.flight.hurries();
                let stalled = owed && self.progress.elapsed() >= STALLED;
                self.link.status.set_link(if stalled { health::Link::Down } else { health::Link::Up });
                self.link.pulse.promise(keep_alive.min(self.link.health_every));
                tokio::select! {
                    event = &mut poll => break event,
                    () = filled.notified() => {}
                    () = sleep(note_in), if gathering || stopping => self.note_acknowledgements(),
                    () = sleep(until(self.progress, STALLED)), if owed && !stalled => {}
                    () = sleep(until(self.progress, STUCK)), if owed && !stopping => {
                        return self.lost(format!("no acknowledgement for {} s", STUCK.as_secs()), self.silence());
                    }
                    () = at(self.deaf_until), if !stopping => self.renew(),
                    () = at(self.window_moment()), if !stopping => {}
                    () = at(self.extra_moment()), if !stopping => {}
                    order = next_order(&mut self.link.intake) => {
                        if let Some(intake) = &mut self.link.intake {
                            intake.obey(order);
                        }
                    }
                    _ = health.tick(), if !stopping => {
                        self.send_health(Sent::Other);
                        self.look_after_intake();
                        self.look_after_extras();
                    }
                    _ = stop.changed(), if !stopping => self.phase = Phase::Draining(Instant::now()),
                }
            };
            match event {
                Ok(event) => self.handle(&event),
                Err(error) => return self.broken(&error),
            }
        }
    }

    fn handle(&mut self, event: &Event) {
        if let Event::Incoming(packet) = event {
            self.heard = Instant::now();
            if let Packet::Publish(_) = packet {
                self.lull.stir(self.heard);
            }
        }
        if let Some(intake) = &mut self.link.intake
            && intake.handle(event)
        {
            self.link.status.warn("head_topics", intake.refusal());
        }
        if self.link.intake.as_mut().is_some_and(Intake::take_birth)
            && let Some(extras) = &mut self.link.extras
        {
            extras.born(Instant::now());
        }
        match event {
            Event::Outgoing(Outgoing::Disconnect) => self.phase = Phase::Over,
            Event::Outgoing(Outgoing::Publish(packet)) if *packet != 0 => self.flight.written(*packet),
            Event::Incoming(Packet::PubAck(ack)) => {
                self.progress = Instant::now();
                match (self.flight.acknowledged(ack.pkid), &mut self.link.intake) {
                    (Some(Sent::Farewell), _) => self.leave(),
                    (Some(Sent::HeadState), Some(intake)) => {
                        intake.state_done(true);
                        // Another head may alert for other labels.
                        self.look_after_extras();
                    }
                    (Some(Sent::Extra), _) => {
                        if let Some(extras) = &mut self.link.extras {
                            extras.done(true, self.progress);
                        }
                    }
                    (Some(Sent::Question), _) => self.lull.answered(),
                    _ => {}
                }
                // One commit for many acknowledgements: flash wears.
                let many = self.flight.waiting_acknowledgements() >= self.link.ahead.div_ceil(2);
                if many && self.unnoted.is_none() {
                    self.note_acknowledgements();
                }
            }
            _ => {}
        }
    }

    /// Hands queued entries to the client until the window is full.
    fn fill(&mut self) {
        let free = self.link.ahead.saturating_sub(self.flight.in_window());
        let room = AHEAD_BYTES.saturating_sub(self.flight.bytes());
        let sends = self.phase == Phase::Running || matches!((self.phase, self.goal), (Phase::Draining(_), Goal::Stop));
        if free == 0 || room == 0 || !sends {
            return;
        }
        let entries = block_in_place(|| self.link.outbox.next_within(&|seq| self.flight.holds(seq), free, room));
        for Message { seq, topic, body } in self.link.reported("outbox", entries).unwrap_or_default() {
            self.send(&topic, false, body, Sent::Entry(seq));
        }
    }

    /// Hands over what the acceptor wants.
    fn pump(&mut self) {
        let Some(intake) = &mut self.link.intake else { return };
        intake.pump(&self.client);
        if let Some(state) = intake.take_state()
            && !self.send("head/state", true, state, Sent::HeadState)
            && let Some(intake) = &mut self.link.intake
        {
            intake.state_done(false);
        }
    }

    fn look_after_intake(&mut self) {
        let Some(intake) = &mut self.link.intake else { return };
        intake.ask_again();
        // Something came in after the time in which a message too large would have broken the connection.
        let proof = self.link.options.keep_alive().max(STEADY);
        if self.deaf_until.is_none() && self.heard.duration_since(self.since) >= proof {
            self.link.status.warn("head_messages", None);
        }
    }

    fn send(&mut self, topic: &str, retain: bool, body: Vec<u8>, sent: Sent) -> bool {
        self.send_to(self.link.topics.of(topic), retain, body, sent)
    }

    fn send_to(&mut self, topic: String, retain: bool, body: Vec<u8>, sent: Sent) -> bool {
        let bytes = body.len();
        match self.client.try_publish(&topic, QoS::AtLeastOnce, retain, body) {
            Ok(()) => {
                if !self.flight.hurries() {
                    self.progress = Instant::now();
                }
                self.flight.sent(sent, bytes);
                true
            }
            // The channel has room for a full window; if it is full all the same, the entry stays in the outbox.
            Err(error) => {
                tracing::warn!(topic, "not sent now: {error}");
                false
            }
        }
    }

    fn note_acknowledgements(&mut self) {
        let seqs = self.flight.take_acknowledged();
        if seqs.is_empty() {
            return;
        }
        let noted = block_in_place(|| self.link.outbox.acked(&seqs));
        // If this failed the entries stay held until it does not, or until they are sent again over the next connection:
        // repeats, not losses.
        if self.link.reported("acknowledgements", noted).is_none() {
            self.flight.give_back(seqs);
            self.unnoted = Some(Instant::now());
        } else {
            self.unnoted = None;
            self.flight.noted(&seqs);
            self.link.status.acknowledged(seqs.len());
            self.acknowledged_any = true;
        }
    }

    fn send_health(&mut self, sent: Sent) -> bool {
        let totals = block_in_place(|| self.link.outbox.totals());
        let Some(totals) = self.link.reported("outbox", totals) else { return false };
        let health = self.link.status.health(self.link.outbox.epoch(), &totals);
        match serde_json::to_vec(&health) {
            Ok(body) => self.send("health", true, body, sent),
            Err(error) => {
                tracing::error!("the health message can't be written: {error}");
                false
            }
        }
    }
}

/// What is left of `limit` since a moment.
fn until(since: Instant, limit: Duration) -> Duration {
    limit.saturating_sub(since.elapsed())
}

/// At this moment, or never.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep(moment.saturating_duration_since(Instant::now())).await,
        None => pending().await,
    }
}

async fn next_order(intake: &mut Option<Intake>) -> Order {
    match intake {
        Some(intake) => intake.order().await,
        None => pending().await,
    }
}
