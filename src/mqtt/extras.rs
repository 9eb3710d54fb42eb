//! What is published beside the outbox, when nothing of it waits: what Home Assistant is told, the pictures of alerts, and
//! empty messages that take both back when they are turned off. One at a time, so that at most one is in the way of an alert
//! that comes meanwhile.
//!
//! All is retained, and with QoS 1: not for its delivery, a newer picture makes up for a lost one, but because without an
//! acknowledgement nobody knows when a thin link is free again. What was under way when a connection broke is announced
//! again, a picture is not.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use super::retained::Retained;
use super::topics::Topics;
use crate::accept::Seat;
use crate::frame::ContentHash;
use crate::home::Home;
use crate::journal::{JournalError, Outbox};
use crate::pictures::{Allowance, Pending};

/// A broker may have lost what it retains and kept the session.
const TELL_AGAIN: Duration = Duration::from_secs(86_400);
/// A message with which so many connections in a row broke is not sent again.
const BREAKS: u32 = 3;
/// How long no picture is sent after such messages were pictures.
const PAUSE: Duration = Duration::from_secs(3600);
/// How often Home Assistant's starts count: whoever may publish there can't use up a link that costs.
const BIRTHS: Duration = Duration::from_secs(60);
/// All traps hear at once that Home Assistant has started.
const AFTER_BIRTH: Duration = Duration::from_secs(5);

/// What is published beside the outbox.
pub struct Extras {
    topics: Topics,
    home: Option<Home>,
    pictures: Option<(Arc<Pending>, Arc<Allowance>)>,
    // Whose labels' pictures stay; none: all do.
    seat: Option<Seat>,
    retained: Retained,
    // Topics of features that are turned off, and of pictures whose label alerts no more.
    clear: Vec<String>,
    // What the broker has acknowledged, and when.
    told: Option<(ContentHash, Instant)>,
    tell_at: Option<Instant>,
    born: Option<Instant>,
    breaks: u32,
    clearing_breaks: u32,
    picture_breaks: u32,
    pictures_from: Option<Instant>,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
enum UnderWay {
    Clearing(String),
    Announcement(ContentHash),
    Picture,
}

/// One message, to be retained.
#[derive(Debug, PartialEq)]
pub(super) struct Extra {
    /// The whole topic.
    pub(super) topic: String,
    pub(super) body: Vec<u8>,
}

impl Extras {
    /// `state` is where is remembered what was left with the broker. None: that feature is off.
    pub fn new(
        state: &Path,
        topics: Topics,
        home: Option<Home>,
        pictures: Option<(Arc<Pending>, Arc<Allowance>)>,
    ) -> Self {
        let retained = Retained::open(state);
        let announced = home.as_ref().map(Home::topic);
        let snapshots = topics.snapshot("");
        let wanted =
            |topic: &String| announced.as_ref() == Some(topic) || pictures.is_some() && topic.starts_with(&snapshots);
        let clear = retained.topics().filter(|topic| !wanted(topic)).cloned().collect();
        Self {
            topics,
            home,
            pictures,
            seat: None,
            retained,
            clear,
            told: None,
            tell_at: None,
            born: None,
            breaks: 0,
            clearing_breaks: 0,
            picture_breaks: 0,
            pictures_from: None,
            under_way: None,
        }
    }

    /// Takes back pictures of labels for which none of these judges alerts any more.
    #[must_use]
    pub fn of_labels(self, seat: Seat) -> Self {
        Self { seat: Some(seat), ..self }
    }

    /// Where Home Assistant says that it has started, if that is to be heard.
    pub(super) fn birth_topic(&self) -> Option<String> {
        self.home.as_ref().map(Home::birth_topic)
    }

    /// A new connection stands. A broker that did not keep the session has lost more.
    pub(super) fn begin(&mut self, session_kept: bool, now: Instant) {
        match self.under_way.take() {
            Some(UnderWay::Clearing(topic)) => self.clearing_broke(topic),
            Some(UnderWay::Announcement(_)) => {
                self.breaks += 1;
                if self.breaks == BREAKS {
                    tracing::warn!(
                        "{BREAKS} connections broke while Home Assistant was told of this trap; that is given up until it \
                         starts anew. On a slow link raise mqtt.keep_alive_s"
                    );
                }
            }
            Some(UnderWay::Picture) => self.picture_broke(now),
            None => {}
        }
        let old = self.told.is_some_and(|(_, at)| now.duration_since(at) >= TELL_AGAIN);
        if !session_kept || old {
            self.told = None;
        }
        self.look_again(now);
    }

    /// A broker may end a connection on which something is published that this user may not publish, and an earlier topic is
    /// often one of those: the trap must not come and go for that.
    fn clearing_broke(&mut self, topic: String) {
        self.clearing_breaks += 1;
        if self.clearing_breaks < BREAKS {
            self.clear.insert(0, topic);
            return;
        }
        tracing::warn!(
            topic,
            "{BREAKS} connections broke while what was retained earlier was taken back; that is given up until the next \
             start. If the broker does not let this user publish there, clear it by hand"
        );
        self.clear.clear();
    }

    /// Too large for the link, or not allowed: each would break a connection on which an alert may wait.
    fn picture_broke(&mut self, now: Instant) {
        self.picture_breaks += 1;
        if self.picture_breaks < BREAKS {
            return;
        }
        // After the pause one more is enough.
        self.picture_breaks = BREAKS - 1;
        self.pictures_from = Some(now + PAUSE);
        tracing::warn!(
            "{BREAKS} connections in a row broke under a picture; none is sent for an hour. May this user publish below \
             {}? On a slow link lower pictures.max_bytes",
            self.topics.snapshot("")
        );
    }

    /// Home Assistant has started: it hears from this trap again, a moment later.
    pub(super) fn born(&mut self, now: Instant) {
        let earliest = self.born.map_or(now, |born| now.max(born + BIRTHS));
        if self.home.is_none() || earliest > now && self.told.is_none() {
            return;
        }
        self.told = None;
        self.breaks = 0;
        self.born = Some(earliest);
        self.tell_at = Some(earliest + AFTER_BIRTH.mul_f64(fastrand::f64()));
    }

    /// What Home Assistant is to be told may have changed; nothing is sent if it has not.
    pub(super) fn look_again(&mut self, now: Instant) {
        if self.home.is_some() {
            self.tell_at.get_or_insert(now);
        }
        self.look_for_old_pictures();
        if let Some((_, allowance)) = &self.pictures {
            allowance.look_at_the_day();
        }
    }

    /// Another configuration or head may alert for other labels: nobody is to take such a picture for the latest word.
    fn look_for_old_pictures(&mut self) {
        let Some(seat) = self.seat.as_ref().filter(|_| self.under_way.is_none() && self.clearing_breaks < BREAKS)
        else {
            return;
        };
        let (labels, snapshots) = (seat.judges().alerting(), self.topics.snapshot(""));
        let old = |topic: &&String| topic.strip_prefix(&snapshots).is_some_and(|label| !labels.contains(label));
        let old = self.retained.topics().filter(old).filter(|topic| !self.clear.contains(topic)).cloned();
        let old: Vec<String> = old.collect();
        self.clear.extend(old);
    }

    /// When there is something to look at, if nothing happens before.
    pub(super) fn moment(&self) -> Option<Instant> {
        self.tell_at.filter(|_| self.under_way.is_none())
    }

    /// The next message, if there is one and none is under way.
    pub(super) fn next(&mut self, outbox: &mut Outbox, now: Instant) -> Result<Option<Extra>, JournalError> {
        if self.under_way.is_some() {
            return Ok(None);
        }
        if let Some(topic) = self.clear.pop() {
            self.under_way = Some(UnderWay::Clearing(topic.clone()));
            return Ok(Some(Extra { topic, body: Vec::new() }));
        }
        match self.announcement(now) {
            Some(extra) => Ok(Some(extra)),
            None => self.picture(outbox, now),
        }
    }

    fn announcement(&mut self, now: Instant) -> Option<Extra> {
        let home = self.home.as_ref()?;
        self.tell_at.take_if(|at| *at <= now)?;
        let announcement = home.announcement(self.retained.components());
        let hash = ContentHash::of(&announcement.body);
        if self.told.is_some_and(|(told, _)| told == hash) || self.breaks >= BREAKS {
            return None;
        }
        let topic = home.topic();
        block_in_place(|| {
            self.retained.note(&topic);
            self.retained.note_components(&announcement.components);
        });
        self.under_way = Some(UnderWay::Announcement(hash));
        Some(Extra { topic, body: announcement.body })
    }

    fn picture(&mut self, outbox: &mut Outbox, now: Instant) -> Result<Option<Extra>, JournalError> {
        if self.pictures_from.is_some_and(|from| now < from) {
            return Ok(None);
        }
        let Some((pending, allowance)) = &self.pictures else { return Ok(None) };
        let Some((label, body)) = pending.take() else { return Ok(None) };
        if !block_in_place(|| allowance.grants(|day, most| outbox.spend(day, body.len() as u64, most)))? {
            return Ok(None);
        }
        let topic = self.topics.snapshot(&label);
        block_in_place(|| self.retained.note(&topic));
        self.under_way = Some(UnderWay::Picture);
        Ok(Some(Extra { topic, body }))
    }

    /// The broker has it; or (not `sent`) it could not be handed to the client, and is taken up with the next connection.
    pub(super) fn done(&mut self, sent: bool, now: Instant) {
        match self.under_way.take() {
            Some(UnderWay::Clearing(topic)) if sent => {
                self.clearing_breaks = 0;
                let announced = topic.ends_with("/config");
                block_in_place(|| self.retained.forget(&topic, announced && self.home.is_none()));
            }
            Some(UnderWay::Clearing(topic)) => self.clear.push(topic),
            Some(UnderWay::Announcement(hash)) if sent => {
                self.told = Some((hash, now));
                self.breaks = 0;
            }
            Some(UnderWay::Announcement(_)) => self.tell_at = Some(now + AFTER_BIRTH),
            Some(UnderWay::Picture) if sent => self.picture_breaks = 0,
            Some(UnderWay::Picture) | None => {}
        }
    }
}

#[cfg(test)]
#[path = "extras_tests.rs"]
mod tests;
