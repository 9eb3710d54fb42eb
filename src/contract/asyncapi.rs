//! The topics as an AsyncAPI 3.0 document, seen from the trap: what it sends and what it receives.

use serde_json::{Map, Value, json};

use super::channels::{self, Channel, From, PARAMETERS, Payload};
use super::{KINDS, words};

/// The document.
pub fn document() -> Value {
    let all = channels::all();
    let mut messages = Map::new();
    for channel in &all {
        messages.entry(message_name(channel)).or_insert_with(|| message(channel));
    }
    let sent = KINDS.iter().filter(|kind| all.iter().any(|channel| channel.payload == Payload::Json(kind.name)));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "arcticd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What a camera trap says over MQTT, and what can be said to it. docs/messages.md tells what to do with it.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "broker.example:8883",
                "protocol": "secure-mqtt",
                "description": "`mqtt.url`. A trap has a fixed client id and a session that the broker keeps.",
                "bindings": { "mqtt": {
                    "cleanSession": false,
                    "lastWill": { "topic": "{prefix}/{trap}/availability", "qos": 1, "message": "offline", "retain": true },
                    "bindingVersion": "0.2.0",
                } },
            },
        },
        "channels": all.iter().map(|it| (it.name.to_owned(), channel(it))).collect::<Map<_, _>>(),
        "operations": all.iter().map(|it| (operation_name(it), operation(it))).collect::<Map<_, _>>(),
        "components": {
            "messages": messages,
            "schemas": sent.map(|kind| (kind.name.to_owned(), kind.draft_07())).collect::<Map<_, _>>(),
            "parameters": PARAMETERS.iter().map(|(name, about)| ((*name).to_owned(), parameter(name, about))).collect::<Map<_, _>>(),
        },
    })
}

/// Channels that carry the same have one message.
fn message_name(channel: &Channel) -> String {
    match channel.payload {
        Payload::Json(kind) => kind.to_owned(),
        _ => channel.name.strip_prefix("group").map_or_else(
            || channel.name.to_owned(),
            |rest| rest.chars().take(1).flat_map(char::to_lowercase).chain(rest.chars().skip(1)).collect(),
        ),
    }
}

fn message(channel: &Channel) -> Value {
    match channel.payload {
        Payload::Json(kind) => json!({
            "contentType": "application/json",
            "payload": { "$ref": format!("#/components/schemas/{kind}") },
        }),
        Payload::ForeignJson => json!({ "contentType": "application/json", "payload": { "type": "object" } }),
        Payload::Text(pattern) => {
            json!({ "contentType": "text/plain", "payload": { "type": "string", "pattern": pattern } })
        }
        Payload::Bytes(media) => json!({ "contentType": media, "payload": { "type": "string", "format": "binary" } }),
    }
}

fn channel(channel: &Channel) -> Value {
    let used = PARAMETERS.iter().filter(|(name, _)| channel.topic.contains(&format!("{{{name}}}")));
    let message = message_name(channel);
    json!({
        "address": channel.topic,
        "description": channel.about,
        "parameters": used
            .map(|(name, _)| ((*name).to_owned(), json!({ "$ref": format!("#/components/parameters/{name}") })))
            .collect::<Map<_, _>>(),
        "messages": { &message: { "$ref": format!("#/components/messages/{message}") } },
    })
}

fn parameter(name: &str, about: &str) -> Value {
    match name {
        "prefix" => json!({ "description": about, "default": "arcticd" }),
        "discovery" => json!({ "description": about, "default": "homeassistant" }),
        "trap" | "group" => json!({ "description": format!("{about} It matches `{}`.", words::NAME) }),
        "label" => json!({ "description": format!("{about} It matches `{}`.", words::LABEL) }),
        _ => json!({ "description": about }),
    }
}

fn operation_name(channel: &Channel) -> String {
    let verb = if channel.from == From::Desk { "receive" } else { "send" };
    let mut letters = channel.name.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{verb}{first}{}", letters.as_str())
}

fn operation(channel: &Channel) -> Value {
    json!({
        "action": if channel.from == From::Desk { "receive" } else { "send" },
        "channel": { "$ref": format!("#/channels/{}", channel.name) },
        "messages": [{ "$ref": format!("#/channels/{}/messages/{}", channel.name, message_name(channel)) }],
        "bindings": { "mqtt": { "qos": 1, "retain": channel.retain, "bindingVersion": "0.2.0" } },
    })
}
