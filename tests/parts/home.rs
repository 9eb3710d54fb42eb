//! Home Assistant's side of MQTT discovery, as far as a contract test needs it: which keys its schemas allow, and its
//! templates.
//!
//! The keys are those of `homeassistant/components/mqtt/` of Home Assistant 2025.4.4 (`schemas.py`, `event.py`,
//! `binary_sensor.py`, `image.py`, `sensor.py`, `update.py`), those only that this project uses or may want. Home Assistant
//! removes a key that it does not know without a word, so that a misspelt one is found nowhere else.

use minijinja::value::Value as Jinja;
use minijinja::{Environment, Error, ErrorKind, Output, State, context};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const DEVICE: &[&str] = &[
    "identifiers",
    "connections",
    "configuration_url",
    "hw_version",
    "manufacturer",
    "model",
    "model_id",
    "name",
    "serial_number",
    "suggested_area",
    "sw_version",
    "via_device",
];
const ORIGIN: &[&str] = &["name", "sw_version", "support_url"];
const ROOT: &[&str] = &["device", "origin", "components", "availability", "availability_mode", "qos", "encoding"];
const AVAILABILITY: &[&str] = &["topic", "payload_available", "payload_not_available", "value_template"];
/// Every entity.
const COMMON: &[&str] = &[
    "platform",
    "unique_id",
    "name",
    "icon",
    "entity_category",
    "enabled_by_default",
    "availability",
    "availability_mode",
    "json_attributes_topic",
    "json_attributes_template",
    "qos",
    "encoding",
];
const BY_PLATFORM: &[(&str, &[&str], &[&str])] = &[
    // Platform, what it needs, what it may have.
    ("event", &["state_topic", "event_types"], &["value_template", "device_class"]),
    (
        "binary_sensor",
        &["state_topic"],
        &["value_template", "device_class", "off_delay", "expire_after", "force_update", "payload_on", "payload_off"],
    ),
    ("image", &["image_topic"], &["content_type", "image_encoding"]),
    (
        "sensor",
        &["state_topic"],
        &[
            "value_template",
            "device_class",
            "unit_of_measurement",
            "state_class",
            "options",
            "expire_after",
            "force_update",
            "suggested_display_precision",
        ],
    ),
    ("update", &["state_topic"], &["value_template", "device_class", "title", "release_url", "entity_picture"]),
];

/// What Home Assistant would object to in this discovery message, or drop in silence.
pub fn faults(message: &Value) -> Vec<String> {
    let mut found = Vec::new();
    only("the message", message, ROOT, &["device", "origin", "components"], &mut found);
    only("device", &message["device"], DEVICE, &["identifiers"], &mut found);
    only("origin", &message["origin"], ORIGIN, &["name"], &mut found);
    availability("the message", &message["availability"], &mut found);
    let Some(components) = message["components"].as_object() else { return found };
    let mut ids = Vec::new();
    for (key, entity) in components {
        let platform = entity["platform"].as_str().unwrap_or_default();
        let Some((_, needs, may)) = BY_PLATFORM.iter().find(|(name, _, _)| *name == platform) else {
            found.push(format!("{key}: platform {platform:?}"));
            continue;
        };
        if entity.as_object().is_some_and(|entity| entity.len() == 1) {
            continue; // Taken back.
        }
        let allowed = [COMMON, needs, may].concat();
        only(key, entity, &allowed, &[&["platform", "unique_id"], *needs].concat(), &mut found);
        availability(key, &entity["availability"], &mut found);
        ids.push(entity["unique_id"].clone());
        if entity["device_class"] == "enum" && !entity["options"].is_array() {
            found.push(format!("{key}: an enum without options"));
        }
        let measured = entity["unit_of_measurement"].is_string();
        if ["timestamp", "enum"].iter().any(|class| entity["device_class"] == *class) && measured {
            found.push(format!("{key}: a unit for what has none"));
        }
    }
    let count = ids.len();
    ids.sort_by_key(ToString::to_string);
    ids.dedup();
    if ids.len() < count {
        found.push("two entities share a unique_id".into());
    }
    found
}

fn availability(whose: &str, list: &Value, found: &mut Vec<String>) {
    for one in list.as_array().into_iter().flatten() {
        only(&format!("availability of {whose}"), one, AVAILABILITY, &["topic"], found);
    }
}

fn only(what: &str, object: &Value, allowed: &[&str], needed: &[&str], found: &mut Vec<String>) {
    let Some(object) = object.as_object() else {
        found.push(format!("{what} is no object"));
        return;
    };
    found.extend(object.keys().filter(|key| !allowed.contains(&key.as_str())).map(|key| format!("{what}: {key}")));
    found.extend(needed.iter().filter(|key| !object.contains_key(**key)).map(|key| format!("{what}: no {key}")));
}

/// All topics that the message has Home Assistant subscribe to.
pub fn topics(message: &Value) -> Vec<String> {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (key, field) in fields {
                    if let (true, Some(topic)) = (key.ends_with("topic"), field.as_str()) {
                        found.push(topic.to_owned());
                    }
                    walk(field, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(message, &mut found);
    found.sort();
    found.dedup();
    found
}

/// What Home Assistant makes of a payload by a template, at `now`.
pub fn render(template: &str, payload: &str, now: OffsetDateTime) -> String {
    let mut env = Environment::new();
    // As Python prints it.
    env.set_formatter(|out: &mut Output, _: &State, value: &Jinja| {
        let text = if value.is_none() { "None".to_owned() } else { value.to_string() };
        out.write_str(&text).map_err(|error| Error::new(ErrorKind::WriteFailure, error.to_string()))
    });
    env.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    env.add_filter("to_json", |value: Jinja| {
        serde_json::to_string(&value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
    });
    env.add_function("now", move || now.format(&Rfc3339).unwrap());
    env.add_function("as_timestamp", |text: &str| OffsetDateTime::parse(text, &Rfc3339).unwrap().unix_timestamp());
    let json: Value = serde_json::from_str(payload).unwrap_or_default();
    env.render_str(template, context! { value => payload, value_json => Jinja::from_serialize(&json) })
        .unwrap_or_else(|error| panic!("{template}\n{error:#}\n{payload}"))
}

/// As [`render`], of an entity's `value_template`.
pub fn state(entity: &Value, payload: &str) -> String {
    render(entity["value_template"].as_str().unwrap(), payload, OffsetDateTime::now_utc())
}
