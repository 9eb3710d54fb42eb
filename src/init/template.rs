//! The configuration that is written: the example that documents each key, with the answers put in.

use std::path::Path;

use anyhow::{Context, Result};

use super::Answers;
use crate::config::LocationPolicy;

/// Explains every key; tests hold it to the schema.
const EXAMPLE: &str = include_str!("../../examples/arcticd.toml");

/// What packages install until somebody answers: no trap can be called so, and the daemon refuses to run with it.
const UNNAMED: &str = "\"CHANGE ME\"";

/// The file that packages install: the example, unusable on purpose, and what to do about it. `arcticd init` replaces it
/// without being forced to.
///
/// # Errors
/// The example has lost a key; a test would have said so.
pub fn unconfigured() -> Result<String> {
    let mut text = Text::new(
        "# Not configured yet: run `sudo arcticd init`, or edit this file, `trap` first. Until then arcticd does not start.\n",
    );
    text.set("trap", UNNAMED)?;
    Ok(text.0)
}

/// The configuration for `answers`, whose password, if any, lies at `password_file`.
///
/// # Errors
/// A path is not UTF-8, which TOML can't say.
pub fn configured(answers: &Answers, password_file: Option<&Path>) -> Result<String> {
    let mut text = Text::new("# Written by `arcticd init`. Restart the daemon after a change.\n");
    text.set("trap", &quoted(&answers.trap))?;
    text.set("capture.directory", &path(&answers.capture)?)?;
    if let Some(days) = answers.retention {
        text.set("capture.retention", "\"delete\"")?;
        text.set("capture.retention_days", &days.to_string())?;
    }
    if let Some(url) = &answers.broker {
        text.set("mqtt.url", &quoted(url))?;
    }
    if let Some(username) = &answers.username {
        text.set("mqtt.username", &quoted(username))?;
    }
    if let Some(file) = password_file {
        text.set("mqtt.password_file", &path(file)?)?;
    }
    if let Some(file) = &answers.ca_file {
        text.set("mqtt.ca_file", &path(file)?)?;
    }
    let policy = match answers.policy {
        LocationPolicy::Exact => "exact",
        LocationPolicy::Rounded => "rounded",
        LocationPolicy::Omitted => "omitted",
    };
    text.set("alerts.location_policy", &quoted(policy))?;
    if let Some(place) = answers.position {
        // `{:?}` keeps the point that makes it a float in TOML.
        let place = format!("{{ latitude = {:?}, longitude = {:?} }}", place.latitude, place.longitude);
        text.set("alerts.location", &place)?;
    }
    Ok(text.0)
}

/// The example on its way.
struct Text(String);

impl Text {
    fn new(heading: &str) -> Self {
        Self(format!("{heading}{EXAMPLE}"))
    }

    /// Gives the key at the dotted path `key` a `value` written in TOML, where the example mentions it.
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let (wanted, name) = key.split_once('.').unwrap_or(("", key));
        let mut section = "";
        let line = self.0.lines().find(|line| {
            if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = header;
            }
            let assigned = line.strip_prefix('#').unwrap_or(line).strip_prefix(name);
            section == wanted && assigned.is_some_and(|rest| rest.starts_with(" = "))
        });
        let line = line.with_context(|| format!("the example configuration does not mention {key}"))?;
        // Both are parts of the same text, so that the difference is the line's place.
        let start = line.as_ptr() as usize - self.0.as_ptr() as usize;
        let range = start..start + line.len();
        self.0.replace_range(range, &format!("{name} = {value}"));
        Ok(())
    }
}

fn path(path: &Path) -> Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8: rename it", path.display()))?;
    Ok(quoted(text))
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{self, Config, Position};

    fn answers() -> Answers {
        Answers {
            trap: "mast-3".into(),
            capture: "/srv/my \"best\" photos".into(),
            broker: Some("mqtts://broker.example:8883".into()),
            username: Some("o'neill\\\t".into()),
            ca_file: Some("/etc/arcticd/ca.pem".into()),
            policy: LocationPolicy::Rounded,
            position: Some(Position { latitude: -54.0, longitude: 15.6267 }),
            retention: Some(90),
        }
    }

    #[test]
    fn what_was_answered_is_what_the_loader_reads_and_nothing_else_changes() {
        let answers = answers();
        let text = configured(&answers, Some(Path::new("/etc/arcticd/mqtt_password"))).unwrap();
        let loaded = config::from_text(Path::new("a.toml"), &text).unwrap();
        assert_eq!(loaded.warnings, Vec::<String>::new());
        let mut expected = config::from_text(Path::new("a.toml"), EXAMPLE).unwrap().config;
        expected.trap = Some(answers.trap);
        expected.capture.directory = answers.capture;
        expected.mqtt.url = answers.broker;
        expected.mqtt.username = answers.username;
        expected.mqtt.password_file = Some("/etc/arcticd/mqtt_password".into());
        expected.mqtt.ca_file = answers.ca_file;
        expected.alerts.location_policy = answers.policy;
        expected.alerts.location = answers.position;
        (expected.capture.retention, expected.capture.retention_days) = (config::Retention::Delete, 90);
        assert_eq!(loaded.config, expected);
    }

    #[test]
    fn what_is_written_fits_the_schema_that_editors_get_and_keeps_every_comment() {
        let text = configured(&answers(), None).unwrap();
        let value: serde_json::Value = toml::from_str(&text).unwrap();
        assert!(jsonschema::validator_for(&config::schema()).unwrap().is_valid(&value));
        for comment in EXAMPLE.lines().filter(|line| line.starts_with("# ")) {
            assert!(text.contains(comment), "{comment}");
        }
    }

    #[test]
    fn the_fewest_answers_leave_the_rest_at_its_default() {
        let answers = Answers {
            broker: None,
            username: None,
            ca_file: None,
            policy: LocationPolicy::Omitted,
            position: None,
            retention: None,
            ..answers()
        };
        let text = configured(&answers, None).unwrap();
        let Config { mqtt, alerts, capture, .. } = config::from_text(Path::new("a.toml"), &text).unwrap().config;
        assert_eq!((mqtt, alerts), (Config::default().mqtt, Config::default().alerts));
        assert_eq!(capture.retention, config::Retention::Keep);
    }

    #[test]
    fn the_packaged_file_is_refused_by_the_daemon_and_says_what_to_do() {
        let text = unconfigured().unwrap();
        assert!(text.lines().next().unwrap().contains("sudo arcticd init"));
        let error = config::from_text(Path::new("/etc/arcticd/arcticd.toml"), &text).unwrap_err();
        assert_eq!(error.problems().len(), 1, "{error}");
        assert_eq!(error.problems()[0].key, "trap");
        assert!(error.to_string().contains("CHANGE ME"), "{error}");
    }
}
