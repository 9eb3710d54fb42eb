//! What comes in: which topics the trap listens to, and which messages the acceptor looks at.
//!
//! What is wanted outlives connections; what is due is handed to the client as far as it has room. So nothing here waits.

use std::collections::BTreeSet;
use std::future::pending;

use rumqttc::{AsyncClient, Event, Outgoing, Packet, Publish, QoS, SubscribeFilter, SubscribeReasonCode};

use super::owed::Owed;
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
    // Where Home Assistant says that it has started, and whether it did.
    births: Option<String>,
    born: bool,
    // Filters that the acceptor ordered, and those that it ordered no more but the broker may still keep.
    wanted: BTreeSet<String>,
    unwanted: BTreeSet<String>,
    state: Option<Vec<u8>>,
    // Filters that the broker does not allow.
    refused: BTreeSet<String>,
    connection: u64,
    now: Now,
}

/// What concerns the living connection alone.
#[derive(Debug, Default)]
struct Now {
    hearing: bool,
    subscribe: BTreeSet<String>,
    unsubscribe: BTreeSet<String>,
    state_due: bool,
    state_under_way: bool,
    asked: Option<Question>,
    owed: Owed,
    acks: usize,
    complained: bool,
}

/// What the broker was asked and has not answered. One at a time, so that the answer needs no packet id.
#[derive(Debug)]
enum Question {
    Subscribe(Vec<String>),
    Unsubscribe(String),
}

impl Intake {
    /// `max_bytes` as in `heads.max_bytes`.
    pub fn new(inbox: Inbox, doors: Doors, max_bytes: u64) -> Self {
        let max_set = usize::try_from(max_bytes).unwrap_or(usize::MAX).saturating_add(SET_EXTRA);
        Self {
            inbox,
            doors,
            max_set,
            births: None,
            born: false,
            wanted: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            state: None,
            refused: BTreeSet::new(),
            connection: 0,
            now: Now::default(),
        }
    }

    /// Listens to this topic too: Home Assistant says there that it has started.
    pub(super) fn hear_of_births(&mut self, topic: Option<String>) {
        self.births = topic;
    }

    /// Whether it did since this was last asked.
    pub(super) fn take_birth(&mut self) -> bool {
        std::mem::take(&mut self.born)
    }

    /// A new connection stands: everything is due again. Unless `hearing`, nothing is listened to on it, and the broker
    /// has forgotten this client.
    pub(super) fn begin(&mut self, hearing: bool) {
        self.obey_all();
        if !hearing {
            self.unwanted.clear();
        }
        let listen =
            || self.doors.filters().into_iter().chain(self.births.clone()).chain(self.wanted.iter().cloned()).collect();
        self.now = Now {
            hearing,
            subscribe: if hearing { listen() } else { BTreeSet::new() },
            unsubscribe: self.unwanted.clone(),
            state_due: self.state.is_some(),
            ..Now::default()
        };
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
            Order::Subscribe(filter) => {
                self.unwanted.remove(&filter);
                now.unsubscribe.remove(&filter);
                if now.hearing {
                    now.subscribe.insert(filter.clone());
                }
                self.wanted.insert(filter);
            }
            Order::Unsubscribe(filter) => {
                self.wanted.remove(&filter);
                self.refused.remove(&filter);
                now.subscribe.remove(&filter);
                now.unsubscribe.insert(filter.clone());
                self.unwanted.insert(filter);
            }
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
        if now.asked.is_some() {
            return;
        }
        // A piece may come in while the one before it is given up.
        if !now.subscribe.is_empty() {
            let filters: Vec<String> = now.subscribe.iter().cloned().collect();
            let request = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
            if client.try_subscribe_many(request).is_ok() {
                now.subscribe.clear();
                now.asked = Some(Question::Subscribe(filters));
            }
        } else if let Some(filter) = now.unsubscribe.first()
            && client.try_unsubscribe(filter).is_ok()
        {
            now.asked = now.unsubscribe.pop_first().map(Question::Unsubscribe);
        }
    }

    /// Whether the broker has answered and been answered: what it keeps for this trap has come, or is on its way.
    pub(super) fn is_settled(&self) -> bool {
        let now = &self.now;
        let asking = now.asked.is_some() || !now.subscribe.is_empty() || !now.unsubscribe.is_empty();
        !asking && now.owed.is_empty() && now.acks == 0 && !now.state_due && !now.state_under_way
    }

    /// Whether pieces of a head are waited for.
    pub(super) fn awaits_pieces(&self) -> bool {
        self.now.hearing && !self.wanted.is_empty()
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
                self.answered(&answer.return_codes);
                return true;
            }
            Event::Incoming(Packet::UnsubAck(_)) => {
                let asked = self.now.asked.take_if(|asked| matches!(asked, Question::Unsubscribe(_)));
                if let Some(Question::Unsubscribe(filter)) = asked {
                    self.unwanted.remove(&filter);
                }
            }
            _ => {}
        }
        false
    }

    /// What the operator should know of subscriptions that the broker does not allow.
    pub(super) fn refusal(&self) -> Option<String> {
        let filters: Vec<&str> = self.refused.iter().map(String::as_str).collect();
        (!filters.is_empty()).then(|| {
            format!(
                "the broker refuses the subscription to {}; heads can't be pushed to this trap until its access control \
                 list (ACL) lets this user read there",
                filters.join(", ")
            )
        })
    }

    /// Asks again for what was refused: the list may have been changed.
    pub(super) fn ask_again(&mut self) {
        if self.now.hearing {
            self.now.subscribe.extend(self.refused.iter().cloned());
        }
    }

    fn answered(&mut self, codes: &[SubscribeReasonCode]) {
        let asked = self.now.asked.take_if(|asked| matches!(asked, Question::Subscribe(_)));
        let Some(Question::Subscribe(filters)) = asked else { return };
        let always = self.doors.filters();
        for (at, filter) in filters.into_iter().enumerate() {
            if matches!(codes.get(at), Some(SubscribeReasonCode::Success(_))) {
                self.refused.remove(&filter);
            } else if self.wanted.contains(&filter) || always.contains(&filter) {
                self.refused.insert(filter);
            } else if self.births.as_ref() == Some(&filter) {
                tracing::warn!(
                    "the broker refuses the subscription to {filter}; Home Assistant's restarts are not heard of"
                );
            }
        }
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
            if self.births.as_ref() == Some(&publish.topic) {
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
    use SubscribeReasonCode::{Failure, Success};

    const YES: SubscribeReasonCode = Success(QoS::AtLeastOnce);

    fn intake() -> Intake {
        let inbox = Inbox { arrivals: std::sync::mpsc::channel().0, orders: unbounded_channel().1 };
        Intake::new(inbox, Doors::new("arcticd", "north", &[]), 1 << 20)
    }

    /// Lets the broker answer what is due.
    fn answer(intake: &mut Intake, codes: &[SubscribeReasonCode]) {
        let filters: Vec<String> = std::mem::take(&mut intake.now.subscribe).into_iter().collect();
        assert_eq!(filters.len(), codes.len());
        intake.now.asked = Some(Question::Subscribe(filters));
        intake.answered(codes);
    }

    #[test]
    fn what_is_refused_is_asked_for_again_until_it_is_allowed() {
        let mut intake = intake();
        intake.begin(true);
        answer(&mut intake, &[YES, YES, Failure, YES, YES, YES]);
        assert!(intake.refusal().unwrap().contains("arcticd/north/head/offer;"), "{:?}", intake.refusal());
        intake.ask_again();
        answer(&mut intake, &[YES]);
        assert_eq!(intake.refusal(), None);
        intake.ask_again();
        assert!(intake.now.subscribe.is_empty());
    }

    #[test]
    fn nobody_is_told_of_a_refusal_of_what_is_not_wanted_any_more() {
        let mut intake = intake();
        intake.begin(true);
        answer(&mut intake, &[YES; 6]);
        intake.obey(Order::Subscribe("a".into()));
        answer(&mut intake, &[Failure]);
        assert!(intake.refusal().is_some());
        intake.obey(Order::Unsubscribe("a".into()));
        assert_eq!(intake.refusal(), None);
        // Given up before the answer came.
        intake.obey(Order::Subscribe("b".into()));
        intake.now.asked = Some(Question::Subscribe(vec!["b".into()]));
        intake.obey(Order::Unsubscribe("b".into()));
        intake.answered(&[Failure]);
        assert_eq!(intake.refusal(), None);
    }

    #[test]
    fn a_deaf_connection_asks_for_nothing_and_the_next_one_for_all() {
        let mut intake = intake();
        intake.begin(false);
        intake.obey(Order::Subscribe("a".into()));
        intake.obey(Order::Subscribe("#/no filter".into()));
        intake.ask_again();
        assert!(intake.now.subscribe.is_empty());
        intake.begin(true);
        let ours = ["features/get", "head/forget", "head/offer", "head/refit", "head/set", "label/set"];
        let ours = ours.map(|topic| format!("arcticd/north/{topic}"));
        assert_eq!(Vec::from_iter(intake.now.subscribe), [&["a".to_owned()], &ours[..]].concat());
    }

    #[test]
    fn home_assistants_start_is_heard_once_and_its_end_is_none() {
        let mut intake = intake();
        intake.hear_of_births(Some("homeassistant/status".into()));
        intake.begin(true);
        assert!(intake.now.subscribe.contains("homeassistant/status"));
        let mut hear = |payload: &str| {
            intake.take(&Publish::new("homeassistant/status", QoS::AtMostOnce, payload));
            intake.take_birth()
        };
        assert_eq!([hear("offline"), hear("online"), hear("offline")], [false, true, false]);
        assert!(intake.now.owed.is_empty());
        // A list that does not let it be heard has nothing to do with heads.
        let mut codes = [YES; 7];
        codes[6] = Failure;
        answer(&mut intake, &codes);
        assert_eq!(intake.refusal(), None);
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
