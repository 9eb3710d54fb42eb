//! How the trap stands, as the page and scripts hear of it.

use std::time::Duration;

use hyper::body::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Room, board, lock};
use crate::accept::judges::{Judges, Stage};
use crate::classifier::rfc3339;
use crate::detect::burst::StoredEvent;
use crate::detection::Detection;
use crate::evaluate::Evaluation;
use crate::health::Health;
use crate::journal::JournalError;

/// Between two looks while somebody watches.
pub(super) const EVERY: Duration = Duration::from_secs(2);
/// Events on the page.
pub(super) const EVENTS: usize = 50;

/// One animal, or a group of them, that came and went.
#[derive(Debug, Serialize)]
pub(super) struct EventFacts {
    id: String,
    camera: Option<String>,
    label: String,
    first_at: String,
    last_at: String,
    frames: u64,
    confidence: f32,
    best_frame: Option<String>,
    open: bool,
    replayed: bool,
}

/// The heartbeat, as it is published.
pub(super) fn health(room: &Room) -> Result<Health, JournalError> {
    let outbox = lock(&room.outbox);
    Ok(room.status.health(outbox.epoch(), &outbox.totals()?))
}

/// Everything on the page but frames and events.
pub(super) fn status(room: &Room) -> Value {
    let health = health(room).map(|health| json!(health)).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    json!({
        "health": health,
        "link": room.status.link(),
        "asleep_until": room.status.asleep_until(),
        "works": room.progress.is_made(),
        "idle_s": room.progress.age().as_secs(),
        "head": head(&room.seat.judges()),
    })
}

/// The latest events, the latest first.
pub(super) fn events(room: &Room, limit: usize) -> Result<Vec<EventFacts>, JournalError> {
    Ok(lock(&room.events).latest(limit)?.into_iter().map(EventFacts::from).collect())
}

/// Tells the viewers how things stand now.
pub(super) fn tell(room: &Room) {
    let (status, timeline) = first(room);
    let mut board = lock(&room.board);
    board.tell(&status);
    board.tell_timeline(timeline);
}

/// What a viewer hears first: how the trap stands, and what it saw.
pub(super) fn first(room: &Room) -> (Bytes, Bytes) {
    let events = events(room, EVENTS).unwrap_or_else(|error| {
        tracing::debug!("status page: {error}");
        Vec::new()
    });
    (board::event("status", &status(room)), board::event("timeline", &events))
}

/// The head in service and one beside it, with what they were measured to do.
fn head(judges: &Judges) -> Value {
    let proven = &judges.proven;
    let manifest = proven.head().manifest();
    let alerts: Vec<Value> =
        proven.rules().alerting().map(|(label, from)| json!({ "label": label, "from": from })).collect();
    let beside = judges.candidate.as_ref().map(|candidate| {
        let stage = match candidate.stage {
            Stage::Shadow => "watched",
            Stage::Trial => "on trial",
        };
        json!({ "title": candidate.judge.head().title(), "stage": stage })
    });
    json!({
        "title": proven.head().title(),
        "sequence": manifest.sequence,
        "created_at": manifest.created_at,
        "labels": manifest.labels.iter().map(|label| &label.name).collect::<Vec<_>>(),
        "alerts": alerts,
        "measured": manifest.evaluation.as_ref().and_then(measured),
        "beside": beside,
    })
}

/// A line of figures; none where another tool wrote them.
fn measured(evaluation: &Value) -> Option<String> {
    let of: Evaluation = serde_json::from_value(evaluation.clone()).ok()?;
    let mut line = format!("{:.1} % balanced accuracy on {} photos", of.balanced_accuracy * 100.0, of.images);
    for alert in &of.alerts {
        let (found, wrong) = (alert.recall.share * 100.0, alert.false_alert_rate.share * 100.0);
        line.push_str(&format!("; {}: {found:.1} % found, {wrong:.2} % false alerts", alert.label.replace('_', " ")));
    }
    Some(line)
}

impl From<StoredEvent> for EventFacts {
    fn from(stored: StoredEvent) -> Self {
        let at = |seconds| rfc3339(OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH));
        // Written by another version it may not be readable any more.
        let best = serde_json::from_str::<Detection>(&stored.best).ok();
        let event = stored.event;
        Self {
            id: event.id,
            camera: Some(stored.camera).filter(|camera| !camera.is_empty()),
            label: stored.label,
            first_at: at(event.first_at),
            last_at: at(event.last_at),
            frames: event.frames,
            confidence: event.best_confidence,
            best_frame: best.map(|best| best.frame.name),
            open: event.open,
            replayed: event.replayed,
        }
    }
}
