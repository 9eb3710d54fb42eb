//! How Home Assistant reads the trap's messages: Jinja2 templates. `tests/home_assistant.rs` holds them against real ones.

/// Of `availability`. The other words, `stopped` and `offline`, mean that nobody watches.
pub(super) const AVAILABLE: &str = "{{ 'online' if value == 'online' or value[:6] == 'asleep' else 'offline' }}";

/// Of `availability`: its first word.
pub(super) const STATUS: &str = "{{ 'asleep' if value[:6] == 'asleep' else value }}";

/// Of `availability`: until when it sleeps.
pub(super) const WAKES: &str = "{{ value[13:] if value[:6] == 'asleep' else None }}";

/// Of `detection`: what an event entity wants, an `event_type` and attributes. The picture stays out: an attribute is kept in
/// Home Assistant's database.
pub(super) const EVENT: &str = "{{ {'event_type': value_json.event.state, 'label': value_json.label, \
    'confidence': value_json.confidence, 'camera': value_json.camera, 'event_id': value_json.event.id, \
    'frames': value_json.event.frames, 'frame': value_json.frame.name, 'captured_at': value_json.frame.captured_at, \
    'processed_at': value_json.processed_at, 'replayed': value_json.replayed, 'novel': value_json.novel, \
    'rule': value_json.decision.rule, 'head': value_json.model.head, 'location': value_json.location, \
    'message_id': value_json.id} | to_json }}";

/// Of `detection`: whether an animal is there now. As docs/messages.md says: old news (`replayed`) count only if frame and
/// message are young. Nothing for another label, or a summary.
pub(super) fn now(label: &str, young_s: u64) -> String {
    format!(
        "{{% if value_json.kind == 'detection' and value_json.label == '{label}' and (not value_json.replayed or \
         (as_timestamp(now()) - as_timestamp(value_json.processed_at) < {young_s} and \
         as_timestamp(now()) - as_timestamp(value_json.frame.captured_at) < {young_s})) %}}ON{{% endif %}}"
    )
}

/// Of `health`.
pub(super) const BACKLOG: &str = "{{ value_json.backlog.live + value_json.backlog.waiting }}";

/// Of `health`.
pub(super) const PROBLEM: &str = "{{ 'ON' if value_json.warnings else 'OFF' }}";

/// Of `health`.
pub(super) const WARNINGS: &str = "{{ {'warnings': value_json.warnings} | to_json }}";

/// Of `health`; unknown where the board does not say.
pub(super) const UNDER_VOLTAGE: &str =
    "{% if value_json.power %}{{ 'ON' if value_json.power.under_voltage else 'OFF' }}{% else %}None{% endif %}";

/// Of `head/state`: the head in service, and a later one while it is on its way. The sequence is what counts, so it is the
/// version; a head that was refused is no update.
pub(super) const HEAD: &str = "{% set offer = value_json.next or value_json.offer %}\
    {% set coming = offer and offer.state not in ['active', 'rejected', 'rolled_back', 'superseded'] %}\
    {% set latest = offer if coming else value_json.active %}\
    {{ {'installed_version': value_json.active.sequence | string, 'latest_version': latest.sequence | string, \
    'title': latest.name ~ ' ' ~ latest.version, \
    'release_summary': (offer.name ~ ' ' ~ offer.version ~ ': ' ~ offer.state ~ (': ' ~ offer.reason if offer.reason else ''))[:255] \
    if offer else '', 'in_progress': true if coming else false} | to_json }}";

/// Of `head/state`: which head is in service, and what became of the last that was offered.
pub(super) const IN_SERVICE: &str = "{{ {'head': value_json.active.name ~ ' ' ~ value_json.active.version, \
    'origin': value_json.active.origin, 'offer_state': value_json.offer.state if value_json.offer else None, \
    'offer_reason': value_json.offer.reason if value_json.offer else None} | to_json }}";

/// A field of a JSON object, `None` (Home Assistant's word for unknown) where it is null.
pub(super) fn field(path: &str) -> String {
    format!("{{{{ value_json.{path} }}}}")
}
