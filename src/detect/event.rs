//! Which frames are one event: a burst of the same camera and label within a gap of time.

use crate::config::AlertPolicy;
use crate::detection::EventState;

/// Frames of one camera and label, close in time.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The same for all its messages.
    pub id: String,
    /// Capture time of the earliest frame, seconds since 1970.
    pub first_at: i64,
    /// Capture time of the latest frame, seconds since 1970.
    pub last_at: i64,
    /// How many frames.
    pub frames: u64,
    /// Highest confidence so far.
    pub best_confidence: f32,
    /// Whether it still takes frames without being opened again.
    pub open: bool,
    /// Whether all its frames were replayed: nobody was woken for it yet.
    pub replayed: bool,
}

/// An alerting frame, seen from the events.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// Id of the event that this frame would open.
    pub event_id: String,
    /// Capture time, seconds since 1970.
    pub at: i64,
    /// Confidence, 0 to 1.
    pub confidence: f32,
    /// From a backlog, or seen while the link was down.
    pub replayed: bool,
}

/// What becomes of a sighting.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// The event with the frame in it.
    pub event: Event,
    /// Opened or updated.
    pub state: EventState,
    /// Whether this frame is the best so far.
    pub best: bool,
    /// Whether it is published.
    pub publish: bool,
}

/// Puts a sighting into the nearest event within `gap` seconds, or opens one. An event that was closed takes only
/// replayed frames: a bear that shows up now is news, whatever a camera's clock says.
///
/// An opening is always published, and so is the first frame after a closing and the first live one after replayed ones:
/// those before it rang no bell. Under [`AlertPolicy::Event`] a further frame is published only if it at least halves
/// the doubt (1 - confidence) that the best frame so far left: a long burst gives a handful of updates, not hundreds.
pub fn place(events: &[Event], sighting: &Sighting, gap: i64, policy: AlertPolicy) -> Placement {
    let nearest = events
        .iter()
        .filter(|event| event.open || sighting.replayed)
        .map(|event| (distance(event, sighting.at), event))
        .filter(|(distance, _)| *distance <= gap)
        .min_by_key(|(distance, event)| (*distance, !event.open));
    let Some((_, event)) = nearest else {
        let event = Event {
            id: sighting.event_id.clone(),
            first_at: sighting.at,
            last_at: sighting.at,
            frames: 1,
            best_confidence: sighting.confidence,
            open: true,
            replayed: sighting.replayed,
        };
        return Placement { event, state: EventState::Opened, best: true, publish: true };
    };
    let best = sighting.confidence > event.best_confidence;
    let doubt_halved = 1.0 - sighting.confidence <= (1.0 - event.best_confidence) / 2.0 && best;
    let joined = Event {
        id: event.id.clone(),
        first_at: event.first_at.min(sighting.at),
        last_at: event.last_at.max(sighting.at),
        frames: event.frames + 1,
        best_confidence: event.best_confidence.max(sighting.confidence),
        open: true,
        replayed: event.replayed && sighting.replayed,
    };
    let silent_so_far = !event.open || event.replayed && !sighting.replayed;
    let publish = silent_so_far || doubt_halved || policy == AlertPolicy::EveryFrame;
    Placement { event: joined, state: EventState::Updated, best, publish }
}

/// Seconds between an event and a moment; 0 inside it.
fn distance(event: &Event, at: i64) -> i64 {
    if at < event.first_at { event.first_at.saturating_sub(at) } else { at.saturating_sub(event.last_at).max(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(at: i64, confidence: f32) -> Sighting {
        Sighting { event_id: format!("e{at}"), at, confidence, replayed: false }
    }

    fn event(id: &str, first_at: i64, last_at: i64) -> Event {
        Event { id: id.into(), first_at, last_at, frames: 3, best_confidence: 0.8, open: true, replayed: false }
    }

    #[test]
    fn a_bear_without_an_event_opens_one_at_once() {
        let placed = place(&[], &sighting(100, 0.9), 60, AlertPolicy::Event);
        assert_eq!((placed.state, placed.publish, placed.event.frames), (EventState::Opened, true, 1));
    }

    #[test]
    fn a_frame_within_the_gap_joins_and_one_beyond_it_does_not() {
        let open = [event("e", 100, 110)];
        assert_eq!(place(&open, &sighting(170, 0.5), 60, AlertPolicy::Event).event.id, "e");
        assert_eq!(place(&open, &sighting(171, 0.5), 60, AlertPolicy::Event).state, EventState::Opened);
    }

    #[test]
    fn a_late_frame_from_before_the_event_stretches_it_backwards() {
        let placed = place(&[event("e", 100, 110)], &sighting(50, 0.5), 60, AlertPolicy::Event);
        assert_eq!((placed.event.id.as_str(), placed.event.first_at, placed.event.last_at), ("e", 50, 110));
    }

    #[test]
    fn of_two_events_the_nearer_one_takes_the_frame() {
        let events = [event("far", 0, 50), event("near", 100, 110)];
        assert_eq!(place(&events, &sighting(90, 0.5), 60, AlertPolicy::Event).event.id, "near");
    }

    #[test]
    fn only_a_clearly_better_frame_is_published_under_the_event_policy() {
        let open = [event("e", 100, 110)];
        assert!(!place(&open, &sighting(111, 0.85), 60, AlertPolicy::Event).publish);
        assert!(place(&open, &sighting(111, 0.91), 60, AlertPolicy::Event).publish);
        assert!(place(&open, &sighting(111, 0.1), 60, AlertPolicy::EveryFrame).publish);
    }

    #[test]
    fn a_live_bear_never_disappears_into_an_event_that_is_over() {
        let closed = [Event { open: false, ..event("e", 100, 110) }];
        let placed = place(&closed, &sighting(105, 0.5), 60, AlertPolicy::Event);
        assert_eq!((placed.state, placed.publish), (EventState::Opened, true));
    }

    #[test]
    fn a_late_frame_joins_an_event_that_is_over_and_opens_it_again_audibly() {
        let closed = [Event { open: false, ..event("e", 100, 110) }];
        let late = Sighting { replayed: true, ..sighting(105, 0.5) };
        let placed = place(&closed, &late, 60, AlertPolicy::Event);
        assert_eq!((placed.event.id.as_str(), placed.event.open, placed.publish), ("e", true, true));
    }

    #[test]
    fn the_first_live_frame_after_replayed_ones_is_published_whatever_its_confidence() {
        let unheard = [Event { replayed: true, ..event("e", 100, 110) }];
        let first = place(&unheard, &sighting(111, 0.3), 60, AlertPolicy::Event);
        assert!(first.publish && !first.event.replayed);
        assert!(!place(&[first.event], &sighting(112, 0.3), 60, AlertPolicy::Event).publish);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let events = [event("e", i64::MIN, i64::MIN), event("f", i64::MAX, i64::MAX)];
        place(&events, &sighting(0, 0.5), 60, AlertPolicy::Event);
    }
}
