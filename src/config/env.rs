//! `ARCTICD_<SECTION>_<KEY>` variables, laid over the file.

use serde_json::{Map, Value};

use super::error::Place;
use super::locate::Document;
use super::schema::leaves;
use super::suggest::nearest;

const PREFIX: &str = "ARCTICD_";

/// No keys of the configuration: kernels to compute with, where a test lets the daemon die, and where tests find
/// photographs, networks, a Python and Node-RED.
const OTHERS: [&str; 6] = [
    "ARCTICD_KERNELS",
    "ARCTICD_FAULT",
    "ARCTICD_TEST_DATA",
    "ARCTICD_TEST_NETS",
    "ARCTICD_TEST_PYTHON",
    "ARCTICD_TEST_NODE_RED",
];

/// This process's `ARCTICD_*` variables, for [`super::load`]. Unlike `std::env::vars` it survives a variable that is
/// not UTF-8, ours or not: the odd bytes are replaced, and the value is then judged like any other.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |part: std::ffi::OsString| part.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value))).filter(|(name, _)| name.starts_with(PREFIX))
}

/// Sets each key that a variable names; returns the warnings. A value of the wrong type is set as a text, which the
/// check against the schema then refuses in the variable's name.
///
/// An empty variable counts as absent: compose files pass one for everything that was left open.
pub(super) fn overlay(
    document: &mut Document,
    schema: &Value,
    env: impl Iterator<Item = (String, String)>,
) -> Vec<String> {
    let keys: Vec<(String, String, &Value)> =
        leaves(schema).into_iter().map(|(key, schema)| (variable(&key), key, schema)).collect();
    let mut variables: Vec<(String, String)> = env.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    let mut warnings = Vec::new();
    for (name, text) in variables {
        match keys.iter().find(|(variable, ..)| *variable == name) {
            Some((_, key, schema)) if !text.is_empty() => {
                document.set(key, typed(schema, &text), Place::Variable(name));
            }
            Some(_) => {}
            None if OTHERS.contains(&name.as_str()) => {}
            None => warnings.push(unknown(&name, keys.iter().map(|(variable, ..)| variable.as_str()))),
        }
    }
    warnings
}

/// `mqtt.url` as `ARCTICD_MQTT_URL`.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

fn unknown<'v>(name: &str, variables: impl Iterator<Item = &'v str>) -> String {
    let advice = match name {
        "ARCTICD_MQTT_PASSWORD" => {
            "passwords are not taken from the environment, which other processes can read: use mqtt.password_file or a \
             systemd credential"
                .into()
        }
        "ARCTICD_CONFIG" => "name the file with --config".into(),
        _ => match nearest(name.trim_start_matches(PREFIX), variables.map(|name| name.trim_start_matches(PREFIX))) {
            Some(nearest) => format!("did you mean {PREFIX}{nearest}?"),
            None => "variables are named ARCTICD_<SECTION>_<KEY>".into(),
        },
    };
    format!("environment variable {name} is not known and was ignored; {advice}")
}

/// The value that `text` stands for where `schema` is asked for, or the text itself.
fn typed(schema: &Value, text: &str) -> Value {
    let parsed = match schema["type"].as_str() {
        Some("integer") => text.parse().ok().map(|number: i64| Value::from(number)),
        Some("number") => text.parse().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
        Some("boolean") => text.parse().ok().map(Value::Bool),
        Some("array") => Some(items(text).map(|item| typed(&schema["items"], item)).collect()),
        Some("object") => pairs(&schema["additionalProperties"], text),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::String(text.into()))
}

/// `a, b` as `a` and `b`.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// `polar_bear=0.8,fox=0.9` as a table.
fn pairs(schema: &Value, text: &str) -> Option<Value> {
    let pair = |item: &str| {
        let (name, value) = item.split_once('=')?;
        Some((name.trim().to_string(), typed(schema, value.trim())))
    };
    items(text).map(pair).collect::<Option<Map<String, Value>>>().map(Value::Object)
}

#[cfg(test)]
mod tests {
    use super::super::schema::shared;
    use super::*;
    use serde_json::json;

    fn with(variables: &[(&str, &str)]) -> (Value, Vec<String>) {
        let mut document = Document::empty();
        let env = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let warnings = overlay(&mut document, shared(), env);
        (document.root, warnings)
    }

    #[test]
    fn each_type_is_read_from_its_text() {
        let (root, warnings) = with(&[
            ("ARCTICD_TRAP", "7"),
            ("ARCTICD_CAPTURE_SETTLE_MS", "500"),
            ("ARCTICD_ALERTS_LABELS", "polar_bear, arctic_fox,"),
            ("ARCTICD_ALERTS_THRESHOLDS", "polar_bear=0.8, arctic_fox = 1"),
            ("ARCTICD_ALERTS_LOCATION_LATITUDE", "78.2"),
            ("ARCTICD_LOG_LEVEL", "debug"),
        ]);
        let expected = json!({
            "trap": "7",
            "capture": { "settle_ms": 500 },
            "alerts": {
                "labels": ["polar_bear", "arctic_fox"],
                "thresholds": { "polar_bear": 0.8, "arctic_fox": 1.0 },
                "location": { "latitude": 78.2 },
            },
            "log": { "level": "debug" },
        });
        assert_eq!((root, warnings), (expected, vec![]));
    }

    #[test]
    fn a_value_of_the_wrong_type_stays_a_text_for_the_check_to_refuse() {
        let (root, _) = with(&[
            ("ARCTICD_CAPTURE_SETTLE_MS", "1.5"),
            ("ARCTICD_ALERTS_THRESHOLDS", "0.8"),
            ("ARCTICD_ALERTS_LOCATION_LATITUDE", "inf"),
        ]);
        assert_eq!(root["capture"]["settle_ms"], json!("1.5"));
        assert_eq!(root["alerts"]["thresholds"], json!("0.8"));
        assert_eq!(root["alerts"]["location"]["latitude"], json!("inf"));
    }

    #[test]
    fn an_empty_variable_counts_as_absent() {
        assert_eq!(with(&[("ARCTICD_MQTT_URL", "")]), (json!({}), vec![]));
    }

    #[test]
    fn an_unknown_variable_is_a_warning_with_the_nearest_name() {
        let warning = |name| with(&[(name, "hunter2")]).1.concat();
        assert!(warning("ARCTICD_MQTT_URI").ends_with("did you mean ARCTICD_MQTT_URL?"));
        assert!(warning("ARCTICD_MQTT_PASSWORD").contains("mqtt.password_file"));
        assert!(!warning("ARCTICD_MQTT_PASSWORD").contains("hunter2"), "a value may be a secret");
        assert!(warning("ARCTICD_ZZZ").contains("ARCTICD_<SECTION>_<KEY>"));
        assert_eq!(with(&[("ARCTICD_TEST_DATA", "x"), ("PATH", "/bin")]), (json!({}), vec![]));
    }

    #[test]
    fn no_two_keys_share_a_variable() {
        let mut names: Vec<String> = leaves(shared()).iter().map(|(key, _)| variable(key)).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
