//! The JSON Schema of the configuration: for editors, and for the checks in `check`.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// The JSON Schema of `arcticd.toml`, made from the structs; `schema/config.schema.json` is its committed copy.
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    simplify(&mut schema);
    schema
}

/// [`schema`] as the committed file's text.
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

/// The schema, made once.
pub(super) fn shared() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(schema);
    &SCHEMA
}

/// Takes out what TOML cannot say: it has no null, so an optional key is simply absent. The default of a whole section
/// only repeats those of its keys.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".into(), only);
                }
            }
            if map.get("default").is_some_and(|default| default.is_null() || default.is_object()) {
                map.remove("default");
            }
            map.values_mut().for_each(simplify);
        }
        Value::Array(items) => items.iter_mut().for_each(simplify),
        _ => {}
    }
}

/// Every key that takes a value, as its dotted path and its schema. Tables with fixed keys are entered.
pub(super) fn leaves(schema: &Value) -> Vec<(String, &Value)> {
    fn walk<'s>(schema: &'s Value, path: &str, found: &mut Vec<(String, &'s Value)>) {
        match schema["properties"].as_object() {
            Some(properties) => {
                for (name, inner) in properties {
                    walk(inner, &join(path, name), found);
                }
            }
            None => found.push((path.to_string(), schema)),
        }
    }
    let mut found = Vec::new();
    walk(schema, "", &mut found);
    found
}

/// `section.name`, or `name` at the top.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_string() } else { format!("{section}.{name}") }
}

/// The last part of a dotted path.
pub(super) fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// The value at a dotted path.
pub(super) fn lookup<'v>(root: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(root, |value, name| value.get(name))
}

/// The values an enumeration allows, empty for any other schema.
pub(super) fn choices(schema: &Value) -> Vec<&str> {
    let documented = schema["oneOf"].as_array().into_iter().flatten().filter_map(|one| one["const"].as_str());
    let plain = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    documented.chain(plain).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const COMMITTED: &str = include_str!("../../schema/config.schema.json");
    const EXAMPLE: &str = include_str!("../../examples/arcticd.toml");

    /// The example with each commented-out key (`#key = ...`, no space) switched on.
    fn example_in_full() -> String {
        let switched_on = |line: &str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest.to_string(),
            _ => line.to_string(),
        };
        EXAMPLE.lines().map(switched_on).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn committed_schema_is_the_generated_one() {
        let committed: Value = serde_json::from_str(COMMITTED).unwrap();
        assert!(committed == schema(), "run `cargo xtask schema` and commit schema/config.schema.json");
    }

    #[test]
    fn example_validates_against_the_schema() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        for text in [EXAMPLE.to_string(), example_in_full()] {
            let value: Value = toml::from_str(&text).unwrap();
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new());
        }
    }

    #[test]
    fn example_mentions_every_key() {
        let value: Value = toml::from_str(&example_in_full()).unwrap();
        for (key, _) in leaves(shared()) {
            assert!(lookup(&value, &key).is_some(), "examples/arcticd.toml does not mention {key}");
        }
    }

    #[test]
    fn example_loads_without_a_warning_as_written_and_in_full() {
        for text in [EXAMPLE.to_string(), example_in_full()] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("arcticd.toml");
            std::fs::write(&path, text).unwrap();
            let loaded = super::super::load(Some(&path), std::iter::empty()).unwrap();
            assert_eq!(loaded.warnings, Vec::<String>::new());
        }
    }

    #[test]
    fn every_key_is_described() {
        for (key, schema) in leaves(shared()) {
            assert!(schema["description"].is_string(), "{key} has no doc comment");
        }
    }

    #[test]
    fn no_key_accepts_null_because_toml_has_none() {
        assert!(!schema_text().contains("null"));
    }
}
