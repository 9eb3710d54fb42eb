//! Which topics the trap listens to. What is wanted outlives connections; the broker is asked one question at a time, so that its
//! answer needs no packet id, and asked again for what it refuses.

use std::collections::BTreeSet;

use rumqttc::{AsyncClient, QoS, SubscribeFilter, SubscribeReasonCode};

/// Filters, wanted and refused.
#[derive(Debug)]
pub(super) struct Subscriptions {
    // Those that any trap listens to.
    always: Vec<String>,
    // Where Home Assistant says that it has started.
    pub(super) births: Option<String>,
    // Those that the acceptor ordered, and those that it ordered no more but the broker may still keep.
    wanted: BTreeSet<String>,
    unwanted: BTreeSet<String>,
    // Those that the broker does not allow.
    refused: BTreeSet<String>,
    // Whether this connection listens at all, what is to be asked on it, and what was asked and is not answered.
    hearing: bool,
    subscribe: BTreeSet<String>,
    unsubscribe: BTreeSet<String>,
    asked: Option<Question>,
}

/// What the broker was asked.
#[derive(Debug)]
enum Question {
    Subscribe(Vec<String>),
    Unsubscribe(String),
}

impl Subscriptions {
    /// To these at all times; nothing is asked before a connection begins.
    pub(super) fn new(always: Vec<String>) -> Self {
        Self {
            always,
            births: None,
            wanted: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            refused: BTreeSet::new(),
            hearing: false,
            subscribe: BTreeSet::new(),
            unsubscribe: BTreeSet::new(),
            asked: None,
        }
    }

    /// A new connection stands: everything is to be asked again. Unless `hearing`, nothing is listened to on it, and the
    /// broker has forgotten this client.
    pub(super) fn begin(&mut self, hearing: bool) {
        self.hearing = hearing;
        self.asked = None;
        self.subscribe.clear();
        if hearing {
            self.subscribe.extend(self.always.iter().chain(&self.births).chain(&self.wanted).cloned());
        } else {
            self.unwanted.clear();
        }
        self.unsubscribe.clone_from(&self.unwanted);
    }

    /// Listens to this too.
    pub(super) fn subscribe(&mut self, filter: String) {
        self.unwanted.remove(&filter);
        self.unsubscribe.remove(&filter);
        if self.hearing {
            self.subscribe.insert(filter.clone());
        }
        self.wanted.insert(filter);
    }

    /// Listens to this no more.
    pub(super) fn unsubscribe(&mut self, filter: String) {
        self.wanted.remove(&filter);
        self.refused.remove(&filter);
        self.subscribe.remove(&filter);
        self.unsubscribe.insert(filter.clone());
        self.unwanted.insert(filter);
    }

    /// Asks the next question, if there is one and none is open.
    pub(super) fn ask(&mut self, client: &AsyncClient) {
        if self.asked.is_some() {
            return;
        }
        // A piece may come in while the one before it is given up.
        if !self.subscribe.is_empty() {
            let filters: Vec<String> = self.subscribe.iter().cloned().collect();
            let request = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
            if client.try_subscribe_many(request).is_ok() {
                self.subscribe.clear();
                self.asked = Some(Question::Subscribe(filters));
            }
        } else if let Some(filter) = self.unsubscribe.first()
            && client.try_unsubscribe(filter).is_ok()
        {
            self.asked = self.unsubscribe.pop_first().map(Question::Unsubscribe);
        }
    }

    /// Whether nothing is open or to be asked.
    pub(super) fn is_settled(&self) -> bool {
        self.asked.is_none() && self.subscribe.is_empty() && self.unsubscribe.is_empty()
    }

    /// Whether something that the acceptor ordered is listened to.
    pub(super) fn hears_ordered(&self) -> bool {
        self.hearing && !self.wanted.is_empty()
    }

    /// The broker says what it allows.
    pub(super) fn answered(&mut self, codes: &[SubscribeReasonCode]) {
        let asked = self.asked.take_if(|asked| matches!(asked, Question::Subscribe(_)));
        let Some(Question::Subscribe(filters)) = asked else { return };
        for (at, filter) in filters.into_iter().enumerate() {
            if matches!(codes.get(at), Some(SubscribeReasonCode::Success(_))) {
                self.refused.remove(&filter);
            } else if self.wanted.contains(&filter) || self.always.contains(&filter) {
                self.refused.insert(filter);
            } else if self.births.as_ref() == Some(&filter) {
                tracing::warn!(
                    "the broker refuses the subscription to {filter}; Home Assistant's restarts are not heard of"
                );
            }
        }
    }

    /// The broker keeps a subscription no more.
    pub(super) fn ended(&mut self) {
        let asked = self.asked.take_if(|asked| matches!(asked, Question::Unsubscribe(_)));
        if let Some(Question::Unsubscribe(filter)) = asked {
            self.unwanted.remove(&filter);
        }
    }

    /// What the operator should know of those that the broker does not allow.
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
        if self.hearing {
            self.subscribe.extend(self.refused.iter().cloned());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::accept::Doors;
    use SubscribeReasonCode::{Failure, Success};

    const YES: SubscribeReasonCode = Success(QoS::AtLeastOnce);

    fn subscriptions() -> Subscriptions {
        Subscriptions::new(Doors::new("arcticd", "north", &[]).filters())
    }

    /// Lets the broker answer what is due.
    fn answer(to: &mut Subscriptions, codes: &[SubscribeReasonCode]) {
        let filters: Vec<String> = std::mem::take(&mut to.subscribe).into_iter().collect();
        assert_eq!(filters.len(), codes.len());
        to.asked = Some(Question::Subscribe(filters));
        to.answered(codes);
    }

    #[test]
    fn what_is_refused_is_asked_for_again_until_it_is_allowed() {
        let mut ours = subscriptions();
        ours.begin(true);
        answer(&mut ours, &[YES, YES, Failure, YES, YES, YES]);
        assert!(ours.refusal().unwrap().contains("arcticd/north/head/offer;"), "{:?}", ours.refusal());
        ours.ask_again();
        answer(&mut ours, &[YES]);
        assert_eq!(ours.refusal(), None);
        ours.ask_again();
        assert!(ours.subscribe.is_empty());
    }

    #[test]
    fn nobody_is_told_of_a_refusal_of_what_is_not_wanted_any_more() {
        let mut ours = subscriptions();
        ours.begin(true);
        answer(&mut ours, &[YES; 6]);
        ours.subscribe("a".into());
        answer(&mut ours, &[Failure]);
        assert!(ours.refusal().is_some());
        ours.unsubscribe("a".into());
        assert_eq!(ours.refusal(), None);
        // Given up before the answer came.
        ours.subscribe("b".into());
        ours.asked = Some(Question::Subscribe(vec!["b".into()]));
        ours.unsubscribe("b".into());
        ours.answered(&[Failure]);
        assert_eq!(ours.refusal(), None);
    }

    #[test]
    fn a_deaf_connection_asks_for_nothing_and_the_next_one_for_all() {
        let mut ours = subscriptions();
        ours.begin(false);
        ours.subscribe("a".into());
        ours.ask_again();
        assert!(ours.subscribe.is_empty());
        ours.begin(true);
        let all = ["features/get", "head/forget", "head/offer", "head/refit", "head/set", "label/set"];
        let all = all.map(|topic| format!("arcticd/north/{topic}"));
        assert_eq!(Vec::from_iter(ours.subscribe), [&["a".to_owned()], &all[..]].concat());
    }

    #[test]
    fn a_list_that_keeps_home_assistants_start_from_us_has_nothing_to_do_with_heads() {
        let mut ours = subscriptions();
        ours.births = Some("homeassistant/status".into());
        ours.begin(true);
        assert!(ours.subscribe.contains("homeassistant/status"));
        let mut codes = [YES; 7];
        codes[6] = Failure;
        answer(&mut ours, &codes);
        assert_eq!(ours.refusal(), None);
    }
}
