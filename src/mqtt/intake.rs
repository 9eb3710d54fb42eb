//! What comes in: which messages the acceptor looks at, and what it has to say to the broker.
//!
//! What is due is handed to the client as far as it has room. So nothing here waits.

use std::future::pending;

use rumqttc::{AsyncClient, Event, Outgoing, Packet, Publish, QoS};

use super::owed::Owed;
use super::subscriptions::Subscriptions;
use crate::accept::{Arrival, Content, Doors, Inbox, Input, MAX_ASK, MAX_OFFER, Order, Receipt};
use crate::heads::bundle::MAX_CHUNK;

/// What a bundle may hold beside network and canaries, in bytes: manifest, signature, the archive's headers.
const SET_EXTRA: usize = 3 << 19;
/// How many acknowledgements are handed to the client ahead of their being written.
const ACKS: usize = 32;
/// The most that is handed to the client at a time: acknowledgements, and one question.
pub(super) const HANDED: usize = ACKS + 1;

/// Takes messages with pushed heads from the broker to the acceptor, and its orders back.
#[derive(Debug)]
pub struct Intake {
    inbox: Inbox,
    doors: Doors,
    max_set: usize,
    subscriptions: Subscriptions,
    // Whether Home Assistant has said that it has started.
    born: bool,
    state: Option<Vec<u8>>,
    connection: u64,
    now: Now,
}

/// What concerns the living connection alone.
#[derive(Debug, Default)]
struct Now {
    state_due: bool,
    state_under_way: bool,
    owed: Owed,
    acks: usize,
    complained: bool,
}

impl Intake {
    /// `max_bytes` as in `heads.max_bytes`.
    pub fn new(inbox: Inbox, doors: Doors, max_bytes: u64) -> Self {
        let max_set = usize::try_from(max_bytes).unwrap_or(usize::MAX).saturating_add(SET_EXTRA);
        let subscriptions = Subscriptions::new(doors.filters());
        Self { inbox, doors, max_set, subscriptions, born: false, state: None, connection: 0, now: Now::default() }
    }

    /// Listens to this topic too: Home Assistant says there that it has started.
    pub(super) fn hear_of_births(&mut self, topic: Option<String>) {
        self.subscriptions.births = topic;
    }

    /// Whether it did since this was last asked.
    pub(super) fn take_birth(&mut self) -> bool {
        std::mem::take(&mut self.born)
    }

    /// A new connection stands: everything is due again. Unless `hearing`, nothing is listened to on it, and the broker
    /// has forgotten this client.
    pub(super) fn begin(&mut self, hearing: bool) {
        self.obey_all();
        self.subscriptions.begin(hearing);
        self.now = Now { state_due: self.state.is_some(), ..Now::default() };
        self.connection += 1;
    }

    /// The acceptor's next order; never, if there is no acceptor any more.
    pub(super) async fn order(&mut self) -> Order {
        match self.inbox.orders.recv().await {
            Some(order) => order,
            None => pending().await,
        }
    }

    /// Notes all that the acceptor has ordered so far.
    fn obey_all(&mut self) {
        while let Ok(order) = self.inbox.orders.try_recv() {
            self.obey(order);
        }
    }

    /// Notes what the acceptor wants.
    pub(super) fn obey(&mut self, order: Order) {
        let now = &mut self.now;
        match order {
            Order::Acknowledge(receipt) if receipt.connection == self.connection => now.owed.give_back(receipt.packet),
            // Over another connection it can't be acknowledged: the broker sends it again.
            Order::Acknowledge(_) => {}
            Order::Subscribe(filter) | Order::Unsubscribe(filter) if !rumqttc::valid_filter(&filter) => {
                tracing::error!("{filter:?} is no filter");
            }
            Order::Subscribe(filter) => self.subscriptions.subscribe(filter),
            Order::Unsubscribe(filter) => self.subscriptions.unsubscribe(filter),
            Order::State(body) => {
                self.state = Some(body);
                now.state_due = true;
            }
        }
    }

    /// Hands to the client what is due and has room.
    pub(super) fn pump(&mut self, client: &AsyncClient) {
        self.obey_all();
        let now = &mut self.now;
        while now.acks < ACKS
            && let Some(packet) = now.owed.next()
        {
            let mut publish = Publish::new("", QoS::AtLeastOnce, Vec::new());
            publish.pkid = packet;
            if client.try_ack(&publish).is_err() {
                return;
            }
            now.owed.acknowledged();
            now.acks += 1;
        }
        self.subscriptions.ask(client);
    }

    /// Whether the broker has answered and been answered: what it keeps for this trap has come, or is on its way.
    pub(super) fn is_settled(&self) -> bool {
        let now = &self.now;
        let handed_on = now.owed.is_empty() && now.acks == 0 && !now.state_due && !now.state_under_way;
        self.subscriptions.is_settled() && handed_on
    }

    /// Whether pieces of a head are waited for.
    pub(super) fn awaits_pieces(&self) -> bool {
        self.subscriptions.hears_ordered()
    }

    /// What is to be published on `head/state` now; one at a time, so that the latest comes last and no other waits.
    pub(super) fn take_state(&mut self) -> Option<Vec<u8>> {
        if !self.now.state_due || self.now.state_under_way {
            return None;
        }
        self.now.state_due = false;
        self.now.state_under_way = true;
        self.state.clone()
    }

    /// The broker has it, or (not `sent`) it could not be handed to the client.
    pub(super) fn state_done(&mut self, sent: bool) {
        self.now.state_under_way = false;
        self.now.state_due |= !sent;
    }

    /// Notes what happened on the connection; whether it may have changed [`Intake::refusal`].
    pub(super) fn handle(&mut self, event: &Event) -> bool {
        match event {
            Event::Outgoing(Outgoing::PubAck(_)) => self.now.acks = self.now.acks.saturating_sub(1),
            Event::Incoming(Packet::Publish(publish)) => self.take(publish),
            Event::Incoming(Packet::SubAck(answer)) => {
                self.subscriptions.answered(&answer.return_codes);
                return true;
            }
            Event::Incoming(Packet::UnsubAck(_)) => self.subscriptions.ended(),
            _ => {}
        }
        false
    }

    /// What the operator should know of subscriptions that the broker does not allow.
    pub(super) fn refusal(&self) -> Option<String> {
        self.subscriptions.refusal()
    }

    /// Asks again for what was refused: the list may have been changed.
    pub(super) fn ask_again(&mut self) {
        self.subscriptions.ask_again();
    }

    fn take(&mut self, publish: &Publish) {
        let (packet, bytes) = (publish.pkid, publish.payload.len());
        let address = self.doors.parse(&publish.topic);
        if packet != 0 {
            self.now.owed.take(packet);
        } else if address.is_some() && !self.now.owed.take_loose(bytes) {
            self.complain("too much comes in without QoS 1; what is too much is dropped");
            return;
        }
        let Some(address) = address else {
            if self.subscriptions.births.as_ref() == Some(&publish.topic) {
                // One that was kept is of some time before.
                self.born |= !publish.retain && publish.payload.as_ref() == b"online";
            } else {
                // A subscription of an earlier configuration, which the broker keeps with the session.
                tracing::debug!(topic = publish.topic, "a message that nobody asked for");
            }
            if packet != 0 {
                self.now.owed.give_back(packet);
            }
            return;
        };
        let payload = if bytes <= self.most(address.content) { Ok(publish.payload.to_vec()) } else { Err(bytes) };
        let receipt = Receipt { connection: self.connection, packet };
        if self.inbox.arrivals.send(Input::Arrival(Arrival { address, payload, receipt })).is_err() {
            self.complain("a head comes in and nobody takes it; it stays with the broker");
        }
    }

    /// How many bytes such a message may have.
    fn most(&self, content: Content) -> usize {
        match content {
            Content::Set => self.max_set,
            Content::Offer => MAX_OFFER,
            Content::Chunk { .. } => MAX_CHUNK as usize,
            Content::Ask(_) => MAX_ASK,
        }
    }

    /// Once a connection: the other side decides how often it happens.
    fn complain(&mut self, what: &str) {
        if !std::mem::replace(&mut self.now.complained, true) {
            tracing::warn!("{what}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn intake() -> Intake {
        let inbox = Inbox { arrivals: std::sync::mpsc::channel().0, orders: unbounded_channel().1 };
        Intake::new(inbox, Doors::new("arcticd", "north", &[]), 1 << 20)
    }

    #[test]
    fn home_assistants_start_is_heard_once_and_its_end_is_none() {
        let mut intake = intake();
        intake.hear_of_births(Some("homeassistant/status".into()));
        intake.begin(true);
        let mut hear = |payload: &str| {
            intake.take(&Publish::new("homeassistant/status", QoS::AtMostOnce, payload));
            intake.take_birth()
        };
        assert_eq!([hear("offline"), hear("online"), hear("offline")], [false, true, false]);
        assert!(intake.now.owed.is_empty());
    }

    #[test]
    fn an_order_for_what_is_no_filter_is_not_obeyed() {
        let mut intake = intake();
        intake.begin(true);
        intake.obey(Order::Subscribe("#/no filter".into()));
        assert!(!intake.awaits_pieces());
        intake.obey(Order::Subscribe("a".into()));
        assert!(intake.awaits_pieces());
    }

    #[test]
    fn only_the_latest_state_is_told_and_none_is_lost() {
        let mut intake = intake();
        intake.begin(true);
        assert_eq!(intake.take_state(), None);
        intake.obey(Order::State(b"1".to_vec()));
        assert_eq!(intake.take_state(), Some(b"1".to_vec()));
        for state in [b"2", b"3"] {
            intake.obey(Order::State(state.to_vec()));
            assert_eq!(intake.take_state(), None, "the first is under way");
        }
        intake.state_done(true);
        assert_eq!(intake.take_state(), Some(b"3".to_vec()));
        // It could not be handed to the client.
        intake.state_done(false);
        assert_eq!(intake.take_state(), Some(b"3".to_vec()));
        intake.state_done(true);
        assert_eq!(intake.take_state(), None);
        intake.begin(true);
        assert_eq!(intake.take_state(), Some(b"3".to_vec()));
    }
}
