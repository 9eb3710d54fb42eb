//! The entities of a trap, and what each reads.

use serde_json::{Map, Value, json};

use super::{Home, templates};
use crate::mqtt::Topics;

/// One entity; its settings as Home Assistant's documentation names them.
pub(super) struct Entity {
    /// Of this device.
    pub(super) key: String,
    pub(super) platform: &'static str,
    pub(super) settings: Map<String, Value>,
}

impl Entity {
    fn new(key: &str, platform: &'static str, name: &str, settings: Value) -> Self {
        let mut settings = match settings {
            Value::Object(settings) => settings,
            _ => Map::new(),
        };
        settings.insert("name".into(), name.into());
        Self { key: key.to_owned(), platform, settings }
    }

    /// About the trap, not about animals.
    fn diagnostic(mut self) -> Self {
        self.settings.insert("entity_category".into(), "diagnostic".into());
        self
    }
}

impl Home {
    pub(super) fn entities(&self) -> Vec<Entity> {
        let topics = Topics::new(&self.mqtt_prefix, &self.trap);
        let mut all = vec![event(&topics)];
        for label in self.seat.judges().alerting() {
            all.push(now(&topics, &label, self.off_delay_s));
            if self.pictures {
                all.push(image(&topics, &label));
            }
        }
        all.extend(health(&topics).into_iter().map(Entity::diagnostic));
        all.extend(link(&topics, self.windows).into_iter().map(Entity::diagnostic));
        all.push(head(&topics));
        all
    }
}

/// `polar_bear` as `Polar bear`.
fn spoken(label: &str) -> String {
    let mut letters = label.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters.map(|letter| if letter == '_' { ' ' } else { letter })).collect()
}

fn event(topics: &Topics) -> Entity {
    let settings = json!({
        "state_topic": topics.of("detection"),
        "event_types": ["opened", "updated", "closed"],
        "value_template": templates::EVENT,
        "icon": "mdi:paw",
    });
    Entity::new("detection", "event", "Detection", settings)
}

fn now(topics: &Topics, label: &str, off_delay_s: u64) -> Entity {
    let settings = json!({
        "state_topic": topics.of("detection"),
        "value_template": templates::now(label, off_delay_s),
        "off_delay": off_delay_s,
        "device_class": "occupancy",
        "icon": "mdi:paw",
    });
    Entity::new(&format!("{label}_now"), "binary_sensor", &format!("{} now", spoken(label)), settings)
}

fn image(topics: &Topics, label: &str) -> Entity {
    let settings = json!({ "image_topic": topics.snapshot(label), "content_type": "image/jpeg" });
    Entity::new(&format!("{label}_picture"), "image", &format!("{} picture", spoken(label)), settings)
}

fn health(topics: &Topics) -> Vec<Entity> {
    let topic = topics.health();
    let read = |key: &str, name: &str, template: &str, more: Value| {
        let mut entity = Entity::new(key, "sensor", name, more);
        entity.settings.insert("state_topic".into(), topic.clone().into());
        entity.settings.insert("value_template".into(), template.into());
        entity
    };
    let count = |key: &str, name: &str, template: &str, unit: &str| {
        read(key, name, template, json!({ "unit_of_measurement": unit, "state_class": "measurement" }))
    };
    let since_start = |key: &str, name: &str, path: &str, unit: &str| {
        let more = json!({ "unit_of_measurement": unit, "state_class": "total_increasing" });
        read(key, name, &templates::field(path), more)
    };
    let moment = |key: &str, name: &str, path: &str| {
        read(key, name, &templates::field(path), json!({ "device_class": "timestamp" }))
    };
    vec![
        count("backlog", "Backlog", templates::BACKLOG, "frames"),
        count("outbox", "Outbox", &templates::field("outbox.queued"), "messages"),
        since_start("dropped", "Messages dropped", "outbox.dropped", "messages"),
        since_start("frames", "Frames", "counters.frames", "frames"),
        since_start("failed", "Frames failed", "counters.failed", "frames"),
        since_start("alerts", "Frames that alerted", "counters.alerts", "frames"),
        moment("last_frame", "Last frame", "last.seen_at"),
        moment("last_delivered", "Last message delivered", "last.acknowledged_at"),
        moment("heartbeat", "Heartbeat", "at"),
        read(
            "temperature",
            "Temperature",
            &templates::field("temperature_c"),
            json!({ "device_class": "temperature", "unit_of_measurement": "°C", "state_class": "measurement" }),
        ),
        read(
            "disk_free",
            "Disk free",
            &templates::field("disk_free_mib"),
            json!({ "device_class": "data_size", "unit_of_measurement": "MiB", "state_class": "measurement" }),
        ),
        Entity::new(
            "problem",
            "binary_sensor",
            "Problem",
            json!({
                "state_topic": topic,
                "value_template": templates::PROBLEM,
                "device_class": "problem",
                "json_attributes_topic": topic,
                "json_attributes_template": templates::WARNINGS,
            }),
        ),
        Entity::new(
            "under_voltage",
            "binary_sensor",
            "Under-voltage",
            json!({ "state_topic": topic, "value_template": templates::UNDER_VOLTAGE, "device_class": "problem" }),
        ),
    ]
}

/// They say why the others are unavailable, so they are always available themselves.
fn link(topics: &Topics, windows: bool) -> Vec<Entity> {
    let topic = topics.availability();
    let always = || json!([{ "topic": topic, "value_template": "online" }]);
    let mut all = vec![Entity::new(
        "status",
        "sensor",
        "Status",
        json!({
            "state_topic": topic,
            "value_template": templates::STATUS,
            "device_class": "enum",
            "options": ["online", "asleep", "stopped", "offline"],
            "availability": always(),
        }),
    )];
    if windows {
        let settings = json!({
            "state_topic": topic,
            "value_template": templates::WAKES,
            "device_class": "timestamp",
            "availability": always(),
        });
        all.push(Entity::new("asleep_until", "sensor", "Asleep until", settings));
    }
    all
}

fn head(topics: &Topics) -> Entity {
    let topic = topics.of("head/state");
    let settings = json!({
        "state_topic": topic,
        "value_template": templates::HEAD,
        "json_attributes_topic": topic,
        "json_attributes_template": templates::IN_SERVICE,
        "entity_category": "diagnostic",
    });
    Entity::new("head", "update", "Head", settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_spoken_as_people_do() {
        assert_eq!(spoken("polar_bear"), "Polar bear");
        assert_eq!(spoken("walrus"), "Walrus");
        assert_eq!(spoken("7_dwarfs"), "7 dwarfs");
        assert_eq!(spoken(""), "");
    }
}
