//! What Home Assistant is told of a trap, by MQTT discovery: one message that names the device and its entities, and how each
//! reads what the trap publishes anyway. Nothing is published for Home Assistant alone but this message.
//!
//! Checked against Home Assistant's own schemas (`docs/subscribers/home-assistant.md` says how). It knows nothing of MQTT's
//! client; `crate::mqtt` publishes it.

mod entities;
mod templates;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::accept::Seat;
use crate::mqtt::Topics;

/// What makes the message of one trap.
pub struct Home {
    /// Discovery prefix in Home Assistant.
    pub prefix: String,
    /// First level of the trap's topics.
    pub mqtt_prefix: String,
    /// Name of the trap.
    pub trap: String,
    /// Who judges: their alerting labels get a sensor each.
    pub seat: Seat,
    /// Seconds until such a sensor turns off.
    pub off_delay_s: u64,
    /// Whether pictures are on `snapshot/<label>`.
    pub pictures: bool,
    /// Whether the link is open in windows only.
    pub windows: bool,
}

/// The message, and the entities that it announces: key and platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// JSON.
    pub body: Vec<u8>,
    /// Platform by key.
    pub components: BTreeMap<String, String>,
}

/// Of a trap's device, in Home Assistant and in the topic.
pub(crate) fn id(mqtt_prefix: &str, trap: &str) -> String {
    format!("{mqtt_prefix}_{trap}")
}

/// Where the message about this device goes.
pub(crate) fn topic(discovery: &str, id: &str) -> String {
    format!("{discovery}/device/{id}/config")
}

/// Where Home Assistant says that it has started.
pub(crate) fn birth_topic(discovery: &str) -> String {
    format!("{discovery}/status")
}

impl Home {
    /// Of the device, in Home Assistant and in the topic.
    pub fn id(&self) -> String {
        id(&self.mqtt_prefix, &self.trap)
    }

    /// Where the message goes.
    pub fn topic(&self) -> String {
        topic(&self.prefix, &self.id())
    }

    /// Where Home Assistant says that it has started.
    pub fn birth_topic(&self) -> String {
        birth_topic(&self.prefix)
    }

    /// The message as of now. `before` was announced earlier: what is no more is taken back, which Home Assistant does only
    /// for an entity that is named without a configuration.
    pub fn announcement(&self, before: &BTreeMap<String, String>) -> Announcement {
        let entities = self.entities();
        let components =
            entities.iter().map(|entity| (entity.key.clone(), entity.platform.to_owned())).collect::<BTreeMap<_, _>>();
        let mut told: Map<String, Value> = before
            .iter()
            .filter(|(key, _)| !components.contains_key(*key))
            .map(|(key, platform)| (key.clone(), json!({ "platform": platform })))
            .collect();
        told.extend(entities.into_iter().map(|entity| {
            let unique_id = format!("{}_{}", self.id(), entity.key);
            let mut settings = entity.settings;
            settings.insert("platform".into(), entity.platform.into());
            settings.insert("unique_id".into(), unique_id.into());
            // One of the device is documented as inherited, and in Home Assistant 2025.4 it is not.
            settings.insert("qos".into(), 1.into());
            (entity.key, settings.into())
        }));
        let topics = Topics::new(&self.mqtt_prefix, &self.trap);
        let message = json!({
            "device": {
                "identifiers": [self.id()],
                "name": self.trap,
                "manufacturer": "arcticd",
                "model": "camera trap",
                "sw_version": env!("CARGO_PKG_VERSION"),
            },
            "origin": { "name": "arcticd", "sw_version": env!("CARGO_PKG_VERSION") },
            // A trap that sleeps between two windows is well.
            "availability": [{ "topic": topics.availability(), "value_template": templates::AVAILABLE }],
            "components": told,
        });
        Announcement { body: message.to_string().into_bytes(), components }
    }
}
