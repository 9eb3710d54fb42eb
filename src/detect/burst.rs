//! What an alerting frame says of its event, and what is said when the event is over. The daemon and `replay` share it, so
//! that both say the same of the same frames in the same order.

use super::event::{self, Event, Sighting};
use crate::config::Alerts;
use crate::detection::{Detection, EventRef, EventState, Kind, event_id, message_id};

/// An event as it is kept, with what its summary needs.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// The grouping's part.
    pub event: Event,
    /// The camera, empty for none.
    pub camera: String,
    /// The label.
    pub label: String,
    /// The best frame's detection, as JSON.
    pub best: String,
    /// sha256 of the frame that joined last, hex.
    pub last_hash: String,
}

/// A frame in its event.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// The event with the frame in it, to be kept.
    pub stored: StoredEvent,
    /// The message, with its event.
    pub detection: Detection,
    /// Whether the message is published.
    pub publish: bool,
}

/// An event that a frame of its camera and label, captured at `at`, could join reaches into this span of time (seconds since
/// 1970, both ends included).
pub fn reach(at: i64, alerts: &Alerts) -> (i64, i64) {
    let gap = alerts.gap_s as i64;
    (at.saturating_sub(gap), at.saturating_add(gap))
}

/// Puts an alerting frame, captured at `at` (seconds since 1970), into one of the events `near` it, or opens one.
///
/// # Errors
/// The detection can't be written as JSON, which only a number that is not finite could cause.
pub fn join(
    mut detection: Detection,
    at: i64,
    near: Vec<StoredEvent>,
    alerts: &Alerts,
) -> Result<Joined, serde_json::Error> {
    let sighting = Sighting {
        event_id: event_id(&detection.trap, detection.camera.as_deref(), &detection.label, &detection.frame.sha256),
        at,
        confidence: detection.confidence,
        replayed: detection.replayed,
    };
    let events: Vec<Event> = near.iter().map(|stored| stored.event.clone()).collect();
    let placement = event::place(&events, &sighting, alerts.gap_s as i64, alerts.policy);
    let before = near.into_iter().find(|stored| stored.event.id == placement.event.id);
    // The best one so far, unless it is this frame, or was written by a version whose messages can't be read any more.
    let kept = before.filter(|_| !placement.best).and_then(|stored| {
        serde_json::from_str::<Detection>(&stored.best).ok().map(|best| (best.frame.name, stored.best))
    });
    let best_frame = kept.as_ref().map_or_else(|| detection.frame.name.clone(), |(name, _)| name.clone());
    detection.event = Some(EventRef {
        id: placement.event.id.clone(),
        frame_in_event: placement.event.frames,
        state: placement.state,
        frames: placement.event.frames,
        best_frame,
    });
    let best = match kept {
        Some((_, best)) => best,
        None => serde_json::to_string(&detection)?,
    };
    let stored = StoredEvent {
        event: placement.event,
        camera: detection.camera.clone().unwrap_or_default(),
        label: detection.label.clone(),
        best,
        last_hash: detection.frame.sha256.clone(),
    };
    Ok(Joined { stored, detection, publish: placement.publish })
}

/// The summary of an event that is over, said at `now` (RFC 3339); `offline`: nobody hears it now. None if its best
/// frame was written by a version whose messages can't be read any more.
pub fn summary(stored: &StoredEvent, trap: &str, offline: bool, now: String) -> Option<Detection> {
    let mut summary: Detection = serde_json::from_str(&stored.best).ok()?;
    summary.kind = Kind::EventClosed;
    // From the last frame: an event that a late frame opens again closes with another message.
    summary.id = message_id(trap, &stored.last_hash, Kind::EventClosed);
    summary.replayed = stored.event.replayed || offline;
    summary.processed_at = now;
    if let Some(event) = &mut summary.event {
        event.state = EventState::Closed;
        event.frames = stored.event.frames;
    }
    Some(summary)
}
