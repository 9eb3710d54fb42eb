#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::accept::Doors;

fn faults(schema: &Value, document: &Value) -> Vec<String> {
    let schema = jsonschema::validator_for(schema).unwrap();
    schema.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn what_is_committed_is_what_is_generated_and_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
    };
    let committed: BTreeMap<String, String> = std::fs::read_dir(folder).unwrap().map(read).collect();
    let made: BTreeMap<String, String> = files().into_iter().collect();
    assert!(committed.keys().eq(made.keys()), "{:?} and {:?}", committed.keys(), made.keys());
    for (name, text) in made {
        assert!(committed[&name] == text, "run `cargo xtask schema` and commit schema/{name}");
    }
}

/// Each schema of a field of an object in `schema`, with its path.
fn fields<'s>(schema: &'s Value, at: &str, found: &mut Vec<(String, &'s Value)>) {
    match schema {
        Value::Object(map) => {
            for (name, field) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
                found.push((format!("{at}/{name}"), field));
            }
            map.iter().for_each(|(name, inner)| fields(inner, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => items.iter().for_each(|inner| fields(inner, at, found)),
        _ => {}
    }
}

#[test]
fn each_schema_is_one_and_says_what_each_field_is() {
    for kind in &KINDS {
        let schema = kind.schema();
        assert!(jsonschema::meta::is_valid(&schema), "{}", kind.name);
        let mut all = Vec::new();
        fields(&schema, "", &mut all);
        assert!(!all.is_empty(), "{}", kind.name);
        for (path, field) in all {
            let told = field["description"].as_str().unwrap_or_default();
            assert!(!told.is_empty(), "{}: {path} has no doc comment", kind.name);
            assert!(!told.contains("](") && !told.contains("[`"), "{}: {path} is said in rustdoc's words", kind.name);
        }
    }
}

#[test]
fn the_topics_document_is_what_asyncapi_demands_of_one() {
    let rules: Value =
        serde_json::from_str(include_str!("../../tests/fixtures/asyncapi/asyncapi-3.0.0.schema.json")).unwrap();
    let document = asyncapi::document();
    assert_eq!(faults(&rules, &document), Vec::<String>::new());
    for (place, value) in [
        ("/asyncapi", json!("2.6.0")),
        ("/channels/detection/messages", json!([])),
        ("/operations/sendDetection/action", json!("publish")),
        ("/operations/sendDetection/bindings/mqtt/qos", json!(3)),
    ] {
        let mut wrong = document.clone();
        *wrong.pointer_mut(place).unwrap() = value;
        assert_ne!(faults(&rules, &wrong), Vec::<String>::new(), "{place}");
    }
    let message = &document["components"]["schemas"];
    for (name, schema) in message.as_object().unwrap() {
        let rules = json!({ "$schema": "http://json-schema.org/draft-07/schema#", "allOf": [schema] });
        assert!(jsonschema::meta::is_valid(&rules), "{name} is no schema of draft 07");
        assert!(!schema.to_string().contains("prefixItems"), "{name} is not of draft 07");
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|inner| references(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_part_is_used() {
    let document = asyncapi::document();
    let mut all = BTreeSet::new();
    references(&document, &mut all);
    for reference in &all {
        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
    for (section, parts) in document["components"].as_object().unwrap() {
        for name in parts.as_object().unwrap().keys() {
            assert!(all.contains(&format!("#/components/{section}/{name}")), "{section} {name} is of no use");
        }
    }
    for (name, channel) in document["channels"].as_object().unwrap() {
        assert!(all.contains(&format!("#/channels/{name}")), "nobody uses {name}");
        let in_braces: BTreeSet<&str> = channel["address"]
            .as_str()
            .unwrap()
            .split('{')
            .skip(1)
            .map(|rest| rest.split('}').next().unwrap())
            .collect();
        assert!(in_braces.into_iter().eq(channel["parameters"].as_object().unwrap().keys()), "{channel}");
    }
}

#[test]
fn a_trap_listens_where_the_document_says_and_nowhere_else() {
    let listens: BTreeSet<String> =
        Doors::new("arcticd", "north", &["coast".to_owned()]).filters().into_iter().collect();
    let told: BTreeSet<String> = channels::all()
        .iter()
        // Pieces are subscribed to head by head, and the birth message belongs to another room.
        .filter(|it| it.from == channels::From::Desk && !it.topic.contains("{head}") && it.name != "birth")
        .map(|it| it.topic.replace("{prefix}", "arcticd").replace("{trap}", "north").replace("{group}", "coast"))
        .collect();
    assert_eq!(listens, told);
}

#[test]
fn the_page_for_subscribers_names_each_topic_and_each_schema_is_linked() {
    let page = include_str!("../../docs/messages.md");
    for channel in channels::all().iter().filter(|it| it.name != "discovery" && it.name != "birth") {
        let leaf = channel.topic.trim_start_matches("{prefix}/").trim_start_matches("{trap}/");
        let leaf = leaf.trim_start_matches("group/{group}/");
        let written = [("{label}", "<label>"), ("{frame}", "<sha256>"), ("{head}", "<id>"), ("{piece}", "<n>")];
        let leaf = written.iter().fold(leaf.to_owned(), |leaf, (ours, theirs)| leaf.replace(ours, theirs));
        assert!(page.contains(&format!("`{leaf}`")), "docs/messages.md does not name {leaf}");
    }
    for (name, _) in files() {
        assert!(page.contains(&format!("(../schema/{name})")), "docs/messages.md does not link schema/{name}");
    }
}
