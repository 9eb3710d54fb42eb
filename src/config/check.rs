//! Holds the values of a document against the schema and says what is wrong with each.

use serde_json::Value;

use super::schema::{choices, join, last, shared};
use super::suggest;

/// A key's dotted path and what is wrong there.
pub(super) type Finding = (String, String);

/// Everything in `root` that `schema` does not allow.
pub(super) fn check(schema: &Value, root: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    walk(schema, schema, root, "", &mut found);
    found
}

/// Whether the key with this dotted path may hold `text`, in a list as one of its items: the rule of the configuration for
/// what is given elsewhere.
///
/// # Errors
/// Says what it must be.
pub fn allows(key: &str, text: &str) -> Result<(), String> {
    let schema = key.split('.').try_fold(shared(), |schema, name| schema["properties"].get(name));
    let schema = schema.ok_or_else(|| format!("{key} is not a key"))?;
    let schema = if schema["type"] == "array" { &schema["items"] } else { schema };
    let value = Value::from(text);
    if fits(schema, &value) { Ok(()) } else { Err(wrong(schema, &value, key)) }
}

fn walk(whole: &Value, schema: &Value, value: &Value, key: &str, found: &mut Vec<Finding>) {
    if !fits(schema, value) {
        found.push((key.to_string(), wrong(schema, value, key)));
        return;
    }
    match value {
        Value::Object(table) => {
            let names_pattern = schema["propertyNames"]["pattern"].as_str();
            for (name, inner) in table {
                let path = join(key, name);
                match schema["properties"].get(name) {
                    Some(known) => walk(whole, known, inner, &path, found),
                    None if !schema["additionalProperties"].is_object() => {
                        found.push((path.clone(), format!("is not a key; {}", suggest::key(whole, schema, &path))));
                    }
                    None if names_pattern.is_some_and(|pattern| !matches_class(pattern, name)) => {
                        let allowed = describe_class(names_pattern.unwrap_or_default());
                        found.push((path, format!("is not a name: write {allowed}")));
                    }
                    None => walk(whole, &schema["additionalProperties"], inner, &path, found),
                }
            }
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !table.contains_key(name) {
                    found.push((key.to_string(), format!("needs `{}`", join(key, name))));
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(whole, &schema["items"], item, &format!("{key}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// Whether `value`, taken alone and without what is inside, is what `schema` asks for.
fn fits(schema: &Value, value: &Value) -> bool {
    let choices = choices(schema);
    if !choices.is_empty() {
        return value.as_str().is_some_and(|text| choices.contains(&text));
    }
    match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => (value.is_i64() || value.is_u64()) && in_range(schema, value),
        Some("number") => value.is_number() && in_range(schema, value),
        Some("string") => value.as_str().is_some_and(|text| {
            schema["minLength"].as_u64().is_none_or(|least| text.chars().count() as u64 >= least)
                && schema["pattern"].as_str().is_none_or(|pattern| matches_class(pattern, text))
                && !reserved(schema).contains(&text)
        }),
        _ => true,
    }
}

/// Every range of the schema is far inside what a double holds exactly.
fn in_range(schema: &Value, value: &Value) -> bool {
    let Some(number) = value.as_f64() else { return false };
    schema["minimum"].as_f64().is_none_or(|least| number >= least)
        && schema["maximum"].as_f64().is_none_or(|most| number <= most)
}

fn wrong(schema: &Value, value: &Value, key: &str) -> String {
    let text = value.as_str().unwrap_or_default();
    if reserved(schema).contains(&text) {
        return format!("is {text:?}, which is reserved: choose another name");
    }
    let message = format!("is {}, but must be {}", show(value), expected(schema, key));
    match suggest::nearest(text, choices(schema)) {
        Some(choice) if !text.is_empty() => format!("{message}; did you mean {choice:?}?"),
        _ => message,
    }
}

/// What `schema` asks for, in words.
fn expected(schema: &Value, key: &str) -> String {
    let choices = choices(schema);
    if !choices.is_empty() {
        return choices.iter().map(|choice| format!("{choice:?}")).collect::<Vec<_>>().join(" or ");
    }
    match schema["type"].as_str().unwrap_or_default() {
        "integer" => format!("a whole number{}", range(schema, key)),
        "number" => format!("a number{}", range(schema, key)),
        "boolean" => "true or false".into(),
        "array" => format!("a list, each item {}", expected(&schema["items"], "")),
        "object" if schema["additionalProperties"].is_object() => {
            format!("a table, each value {}", expected(&schema["additionalProperties"], ""))
        }
        "object" => match key.contains('.') {
            true => format!("a table with {}", suggest::names(schema)),
            false => format!("a section, `[{key}]`"),
        },
        _ => match schema["pattern"].as_str() {
            Some(pattern) => describe_class(pattern),
            None => "a text that is not empty".into(),
        },
    }
}

fn range(schema: &Value, key: &str) -> String {
    let unit = match last(key) {
        name if name.ends_with("_ms") => " (milliseconds)",
        name if name.ends_with("_s") => " (seconds)",
        _ => "",
    };
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(least), Some(most)) => format!(" from {least} to {most}{unit}"),
        _ => unit.into(),
    }
}

/// The value as a person would recognise it, short and without control characters.
fn show(value: &Value) -> String {
    const LONGEST: usize = 40;
    match value {
        Value::Object(_) => "a table".into(),
        Value::Array(_) => "a list".into(),
        Value::String(text) if text.chars().count() > LONGEST => {
            format!("{:?}...", text.chars().take(LONGEST).collect::<String>())
        }
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

fn reserved(schema: &Value) -> Vec<&str> {
    schema["not"]["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The characters that a pattern allows: every pattern of the schema is one class, `^[...]+$`, which spares a regular
/// expression engine.
fn class_of(pattern: &str) -> &str {
    pattern.strip_prefix("^[").and_then(|rest| rest.strip_suffix("]+$")).unwrap_or_default()
}

fn matches_class(pattern: &str, text: &str) -> bool {
    let class: Vec<char> = class_of(pattern).chars().collect();
    !text.is_empty() && text.chars().all(|c| in_class(&class, c))
}

/// A dash between two characters spans a range; one at the end stands for itself.
fn in_class(class: &[char], c: char) -> bool {
    match class {
        [from, '-', to, rest @ ..] => (*from..=*to).contains(&c) || in_class(rest, c),
        [one, rest @ ..] => *one == c || in_class(rest, c),
        [] => false,
    }
}

fn describe_class(pattern: &str) -> String {
    format!("a name of the characters [{}]", class_of(pattern))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::schema::{leaves, lookup};
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let value: Value = toml::from_str(text).unwrap();
        check(shared(), &value).into_iter().map(|(key, message)| format!("{key} {message}")).collect()
    }

    fn one(text: &str) -> String {
        let mut findings = findings(text);
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.remove(0)
    }

    #[test]
    fn a_number_out_of_range_is_told_the_range_and_the_unit() {
        assert_eq!(
            one("capture.settle_ms = 50"),
            "capture.settle_ms is 50, but must be a whole number from 200 to 600000 (milliseconds)"
        );
    }

    #[test]
    fn a_wrong_type_is_told_the_right_one() {
        assert_eq!(
            one("capture.settle_ms = 'x'"),
            "capture.settle_ms is \"x\", but must be a whole number from 200 to 600000 (milliseconds)"
        );
        assert_eq!(one("mqtt = 'mqtt://h'"), "mqtt is \"mqtt://h\", but must be a section, `[mqtt]`");
        assert_eq!(
            one("alerts.labels = ['polar_bear', 3]"),
            "alerts.labels[1] is 3, but must be a name of the characters [a-z0-9_]"
        );
        assert_eq!(
            one("alerts.location = 3"),
            "alerts.location is 3, but must be a table with `latitude`, `longitude`"
        );
    }

    #[test]
    fn a_wrong_choice_is_told_all_choices_and_the_nearest() {
        assert_eq!(
            one("log.level = 'warning'"),
            "log.level is \"warning\", but must be \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"; did you \
             mean \"warn\"?"
        );
    }

    #[test]
    fn a_reserved_trap_name_is_refused() {
        assert_eq!(one("trap = 'fleet'"), "trap is \"fleet\", which is reserved: choose another name");
    }

    #[test]
    fn a_position_needs_both_halves() {
        assert_eq!(one("alerts.location = { latitude = 78.2 }"), "alerts.location needs `alerts.location.longitude`");
    }

    #[test]
    fn a_long_or_odd_value_is_cut_and_escaped() {
        let message = one(&format!("trap = \"\\u001b[31m{}\"", "x".repeat(10_000)));
        assert!(message.len() < 200 && !message.contains('\u{1b}'), "{message}");
    }

    #[test]
    fn each_end_of_each_range_is_allowed_and_one_beyond_is_not() {
        let mut ranges = 0;
        for (key, schema) in leaves(shared()) {
            let (Some(least), Some(most)) = (schema["minimum"].as_i64(), schema["maximum"].as_i64()) else { continue };
            ranges += 1;
            // A lone coordinate would miss its other half, so look only at the findings of the key itself.
            let refused = |value: i64| {
                findings(&format!("{key} = {value}")).iter().any(|text| text.starts_with(&format!("{key} is ")))
            };
            assert!(!refused(least) && !refused(most), "{key}");
            assert!(refused(least - 1) && refused(most + 1), "{key}");
        }
        assert!(ranges >= 12, "every documented range is in the schema, found {ranges}");
    }

    /// Our checks and an independent implementation of JSON Schema come to the same verdict.
    #[test]
    fn verdicts_agree_with_a_json_schema_validator() {
        let validator = jsonschema::validator_for(shared()).unwrap();
        let documents = [
            "",
            "trap = 'a-7'",
            "trap = ''",
            "trap = 'A'",
            "trap = 'group'",
            "trap = 'a_b'",
            "trap = '-'",
            "nonsense = 1",
            "capture.mode = 'poll'",
            "capture.mode = 'Poll'",
            "capture.mode = 1",
            "capture.settle_ms = 1500.5",
            "capture.directory = ''",
            "capture.nonsense = 1",
            "capture = []",
            "model.threads = 0",
            "model.threads = 8",
            "model.threads = -1",
            "alerts.labels = []",
            "alerts.labels = ['polar-bear']",
            "alerts.labels = 'polar_bear'",
            "alerts.thresholds = { polar_bear = 1 }",
            "alerts.thresholds = { polar_bear = 1.01 }",
            "alerts.thresholds = { 'Polar Bear' = 0.5 }",
            "alerts.thresholds = { x = 'y' }",
            "alerts.thresholds = 0.5",
            "alerts.location = { latitude = 90, longitude = -180.0 }",
            "alerts.location = { latitude = 91, longitude = 0 }",
            "alerts.location = {}",
            "alerts.location = { latitude = 1, longitude = 2, height = 3 }",
            "mqtt.prefix = 'a_b-c'",
            "mqtt.prefix = 'a/b'",
            "mqtt.inflight = 65536",
            "mqtt.url = true",
            "mqtt.client_id = ''",
            "log = { level = 'info', format = 'xml' }",
            "outbox.max_entries = 10000000",
        ];
        for text in documents {
            let value: Value = toml::from_str(text).unwrap();
            assert_eq!(check(shared(), &value).is_empty(), validator.is_valid(&value), "{text}");
        }
    }

    /// A schema attribute that these checks do not know would be a rule for editors only.
    #[test]
    fn the_schema_uses_only_rules_that_are_checked() {
        const CHECKED: [&str; 13] = [
            "type",
            "properties",
            "additionalProperties",
            "propertyNames",
            "required",
            "items",
            "minimum",
            "maximum",
            "minLength",
            "pattern",
            "not",
            "oneOf",
            "const",
        ];
        const SAYS_NOTHING: [&str; 5] = ["title", "description", "default", "format", "$schema"];
        fn visit(schema: &Value) {
            for (keyword, inner) in schema.as_object().into_iter().flatten() {
                assert!(CHECKED.contains(&keyword.as_str()) || SAYS_NOTHING.contains(&keyword.as_str()), "{keyword}");
                match keyword.as_str() {
                    "properties" => inner.as_object().unwrap().values().for_each(visit),
                    "items" | "propertyNames" => visit(inner),
                    "additionalProperties" if inner.is_object() => visit(inner),
                    "pattern" => assert!(!class_of(inner.as_str().unwrap()).is_empty(), "{inner}"),
                    "not" => assert!(inner.as_object().unwrap().keys().eq(["enum"])),
                    "oneOf" => assert!(inner.as_array().unwrap().iter().all(|one| one["const"].is_string())),
                    _ => {}
                }
            }
        }
        visit(shared());
        assert!(lookup(&shared()["properties"], "trap").is_some());
    }
}
