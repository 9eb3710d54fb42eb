//! Which frames are one event, and what is said of them: the daemon's own grouping, in the order of capture.

use std::collections::HashMap;

use anyhow::Result;
use time::OffsetDateTime;

use super::record::{Common, Record};
use crate::classifier::rfc3339;
use crate::config::Alerts;
use crate::detect::StoredEvent;
use crate::detect::burst::{self, Joined};
use crate::detection::Detection;

/// Frames of one camera and label, close in time.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Of the event, as in the messages.
    pub id: String,
    /// Whether it alerted; else no message tells of it.
    pub alert: bool,
    /// The label.
    pub label: String,
    /// How many frames.
    pub frames: u64,
    /// Place of its earliest frame among the records.
    pub first: usize,
    /// Place of its latest.
    pub last: usize,
    /// Place of its best.
    pub best: usize,
}

/// The events of a card.
#[derive(Debug, Default, PartialEq)]
pub struct Events {
    /// In the order of their first frames.
    pub spans: Vec<Span>,
    /// For each record the place of its span, if it has one.
    pub of_record: Vec<Option<usize>>,
}

/// Camera, label, and whether it alerts: frames that differ in one of them are never one event.
type Key = (String, String, bool);

struct Open {
    stored: StoredEvent,
    span: usize,
}

/// Groups records into events and says what the daemon would say.
pub struct Grouping<'a> {
    alerts: &'a Alerts,
    trap: &'a str,
    now: String,
    events: Events,
    open: HashMap<Key, Open>,
    say: &'a mut dyn FnMut(Detection) -> Result<()>,
}

/// Groups `records`, which are sorted by capture time, and hands each message to `say` as the daemon would publish it if
/// the frames came one by one: an event is closed once a frame on the card is later than its last by more than the gap.
/// Frames with a label that did not alert are grouped likewise, without a message, unless it is a `background` label. Summaries are said at `now`.
///
/// # Errors
/// Those of `say`.
pub fn group(
    records: &[Record],
    common: &Common,
    alerts: &Alerts,
    trap: &str,
    background: &[String],
    now: OffsetDateTime,
    say: &mut dyn FnMut(Detection) -> Result<()>,
) -> Result<Events> {
    let mut grouping =
        Grouping { alerts, trap, now: rfc3339(now), events: Events::default(), open: HashMap::new(), say };
    for (place, record) in records.iter().enumerate() {
        let (from, _) = burst::reach(record.at, alerts);
        grouping.close(Some(from))?;
        let span = match common.unpack(record) {
            Some(detection) if !background.contains(&detection.label) => Some(grouping.take(place, record, detection)?),
            _ => None,
        };
        grouping.events.of_record.push(span);
    }
    grouping.close(None)?;
    Ok(grouping.events)
}

impl Grouping<'_> {
    /// Puts a frame into its event; the event's place.
    fn take(&mut self, place: usize, record: &Record, detection: Detection) -> Result<usize> {
        let alert = detection.decision.alert;
        let key = (detection.camera.clone().unwrap_or_default(), detection.label.clone(), alert);
        let before = self.open.remove(&key);
        let span = before.as_ref().map(|open| open.span);
        let best_so_far = before.as_ref().map(|open| open.stored.event.best_confidence);
        let near = before.into_iter().map(|open| open.stored).collect();
        let Joined { stored, detection, publish } = burst::join(detection, record.at, near, self.alerts)?;
        let spans = &mut self.events.spans;
        let span = match span.filter(|span| spans.get(*span).is_some_and(|known| known.id == stored.event.id)) {
            Some(span) => span,
            None => {
                let (id, label) = (stored.event.id.clone(), detection.label.clone());
                spans.push(Span { id, alert, label, frames: 0, first: place, last: place, best: place });
                spans.len() - 1
            }
        };
        if let Some(known) = spans.get_mut(span) {
            known.frames = stored.event.frames;
            known.last = place;
            if best_so_far.is_some_and(|best| record.confidence > best) {
                known.best = place;
            }
        }
        self.open.insert(key, Open { stored, span });
        if alert && publish {
            (self.say)(detection)?;
        }
        Ok(span)
    }

    /// Closes the events whose last frame was before `limit` (seconds since 1970), or all.
    fn close(&mut self, limit: Option<i64>) -> Result<()> {
        let over = |_: &Key, open: &mut Open| limit.is_none_or(|limit| open.stored.event.last_at < limit);
        let mut done: Vec<(Key, Open)> = self.open.extract_if(over).collect();
        done.sort_by_key(|(_, open)| (open.stored.event.last_at, open.span));
        for ((_, _, alert), open) in done {
            // Written a moment ago by this very version.
            if let Some(summary) = burst::summary(&open.stored, self.trap, true, self.now.clone()).filter(|_| alert) {
                (self.say)(summary)?;
            }
        }
        Ok(())
    }
}
