//! What keys demand of each other, which a schema of single keys cannot say.

use std::path::Path;

use serde_json::Value;

use super::broker::Broker;
use super::check::Finding;
use super::listen::Listen;
use super::schema::lookup;
use super::{Capture, Power};

/// The keys that only a TLS connection uses.
const TLS_FILES: [&str; 3] = ["mqtt.ca_file", "mqtt.cert_file", "mqtt.key_file"];

/// The keys that say more of `capture.retention`.
const RETENTION_KEYS: [&str; 3] =
    ["capture.retention_days", "capture.retention_alert_days", "capture.retention_directory"];

/// The keys that say more of `power.uplink = "windows"`.
const WINDOW_KEYS: [&str; 3] = ["power.uplink_every_s", "power.uplink_for_s", "power.uplink_alerts"];

/// The keys that say more of `homeassistant.enabled`.
const HOME_KEYS: [&str; 2] = ["homeassistant.prefix", "homeassistant.off_delay_s"];

/// The keys that say more of pictures.
const PICTURE_KEYS: [&str; 3] = ["pictures.max_side", "pictures.max_bytes", "pictures.daily_bytes"];

/// Contradictions. Looks at the raw values, so that they are reported beside wrong values and not after them.
pub(super) fn contradictions(root: &Value) -> Vec<Finding> {
    let given = |key: &str| lookup(root, key).is_some();
    let mut found = Vec::new();
    let mut report = |key: &str, message: String| found.push((key.to_string(), message));

    let url = lookup(root, "mqtt.url").and_then(Value::as_str).filter(|url| !url.is_empty());
    match url.map(Broker::parse) {
        Some(Err(error)) => report("mqtt.url", error.to_string()),
        Some(Ok(broker)) if !broker.tls => {
            for key in TLS_FILES.into_iter().filter(|key| given(key)) {
                report(key, "is for TLS, but `mqtt.url` is not: write mqtts:// there, or take this key out".into());
            }
        }
        _ => {}
    }
    for (one, other) in [("mqtt.cert_file", "mqtt.key_file"), ("mqtt.key_file", "mqtt.cert_file")] {
        if given(one) && !given(other) {
            report(one, format!("needs `{other}`: a client certificate and its key come together"));
        }
    }
    let text = |key: &str| lookup(root, key).and_then(Value::as_str);
    match (text("capture.retention"), text("capture.retention_directory")) {
        (Some("move"), None) => {
            report("capture.retention", "is \"move\", which needs `capture.retention_directory`: where to?".into());
        }
        (_, Some(target)) if text("capture.directory").is_some_and(|from| Path::new(target).starts_with(from)) => {
            report(
                "capture.retention_directory",
                "is inside `capture.directory`, where frames would be found again: choose a place outside".into(),
            )
        }
        _ => {}
    }
    if given("mqtt.password_file") && !given("mqtt.username") {
        report("mqtt.password_file", "needs `mqtt.username`: MQTT has no password without a user".into());
    }
    let listen = lookup(root, "http.listen").and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(Err(error)) = listen.map(Listen::parse) {
        report("http.listen", error.to_string());
    }
    found
}

/// What is allowed and yet probably not meant. `root` has passed the check against the schema.
pub(super) fn warnings(root: &Value) -> Vec<String> {
    let given = |key: &str| lookup(root, key).is_some();
    let mut warnings = Vec::new();

    match lookup(root, "mqtt.url").and_then(Value::as_str).map(Broker::parse) {
        None if given("mqtt.username") || TLS_FILES.into_iter().any(given) => {
            warnings.push("`mqtt.url` is absent: alerts go to standard output and to no broker".into());
        }
        Some(Ok(broker)) if !broker.tls && !broker.is_local() && given("mqtt.username") => {
            warnings.push(format!("the password travels to {broker} in clear text: use mqtts:// if the broker can"));
        }
        _ => {}
    }

    let windows = lookup(root, "power.uplink").and_then(Value::as_str) == Some("windows");
    if windows && !given("mqtt.url") {
        warnings.push("`power.uplink` has no effect: `mqtt.url` is absent, so there is no link".into());
    }
    let seconds = |key: &str, otherwise: u64| lookup(root, key).and_then(Value::as_u64).unwrap_or(otherwise);
    let power = Power::default();
    let (every, long) =
        (seconds("power.uplink_every_s", power.uplink_every_s), seconds("power.uplink_for_s", power.uplink_for_s));
    if windows && long >= every {
        warnings.push(format!(
            "`power.uplink_for_s` is {long} and `power.uplink_every_s` {every}: a window may last until the next one, and the \
             link may never close"
        ));
    }
    for key in WINDOW_KEYS.into_iter().filter(|key| !windows && given(key)) {
        warnings.push(format!("`{key}` has no effect: `power.uplink` is not \"windows\""));
    }

    let is_on = |key: &str| lookup(root, key).and_then(Value::as_bool) == Some(true);
    for key in ["homeassistant.enabled", "pictures.snapshot"] {
        if is_on(key) && !given("mqtt.url") {
            warnings.push(format!("`{key}` has no effect: `mqtt.url` is absent"));
        }
    }
    if !is_on("homeassistant.enabled") {
        for key in HOME_KEYS.into_iter().filter(|key| given(key)) {
            warnings.push(format!("`{key}` has no effect: `homeassistant.enabled` is not true"));
        }
    }
    if !["homeassistant.enabled", "pictures.snapshot", "pictures.inline"].into_iter().any(is_on) {
        for key in PICTURE_KEYS.into_iter().filter(|key| given(key)) {
            warnings.push(format!("`{key}` has no effect: neither `pictures.snapshot` nor `pictures.inline` is true"));
        }
    }
    for key in ["http.token_file", "http.names"].into_iter().filter(|key| !given("http.listen") && given(key)) {
        warnings.push(format!("`{key}` has no effect: `http.listen` is absent, so there is no page"));
    }
    let retention = lookup(root, "capture.retention").and_then(Value::as_str).unwrap_or("keep");
    for key in RETENTION_KEYS.into_iter().filter(|key| given(key)) {
        let why = match retention {
            "keep" => "is \"keep\"",
            "delete" if key == "capture.retention_directory" => "is not \"move\"",
            _ => continue,
        };
        warnings.push(format!("`{key}` has no effect: `capture.retention` {why}"));
    }
    let capture = Capture::default();
    let days = seconds("capture.retention_days", capture.retention_days);
    let alert_days = seconds("capture.retention_alert_days", capture.retention_alert_days);
    if retention != "keep" && alert_days < days {
        warnings.push(format!(
            "`capture.retention_alert_days` is {alert_days} and `capture.retention_days` {days}: frames that alerted go first"
        ));
    }

    let labels: Vec<&Value> = lookup(root, "alerts.labels").and_then(Value::as_array).into_iter().flatten().collect();
    for (label, _) in lookup(root, "alerts.thresholds").and_then(Value::as_object).into_iter().flatten() {
        if !labels.is_empty() && !labels.iter().any(|alerting| *alerting == label) {
            warnings
                .push(format!("`alerts.thresholds.{label}` has no effect: `alerts.labels` does not name {label:?}"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        contradictions(&toml::from_str(text).unwrap()).into_iter().map(|(key, _)| key).collect()
    }

    fn warned(text: &str) -> usize {
        warnings(&toml::from_str(text).unwrap()).len()
    }

    #[test]
    fn certificate_and_key_come_together() {
        let url = "mqtt.url = 'mqtts://h'\n";
        assert_eq!(keys(&format!("{url}mqtt.cert_file = 'c'")), ["mqtt.cert_file"]);
        assert_eq!(keys(&format!("{url}mqtt.key_file = 'k'")), ["mqtt.key_file"]);
        assert!(keys(&format!("{url}mqtt.key_file = 'k'\nmqtt.cert_file = 'c'")).is_empty());
    }

    #[test]
    fn tls_files_without_tls_are_refused_each_at_its_place() {
        let files = "mqtt.ca_file = 'a'\nmqtt.cert_file = 'c'\nmqtt.key_file = 'k'\n";
        assert_eq!(keys(&format!("{files}mqtt.url = 'mqtt://h'")), TLS_FILES);
        assert!(keys(&format!("{files}mqtt.url = 'mqtts://h'")).is_empty());
    }

    #[test]
    fn a_password_needs_a_user() {
        assert_eq!(keys("mqtt.password_file = 'p'"), ["mqtt.password_file"]);
        assert!(keys("mqtt.password_file = 'p'\nmqtt.username = 'u'").is_empty());
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        let findings = contradictions(&serde_json::json!({ "mqtt": { "url": "mqtt://u:hunter2@h" } }));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].1.contains("password_file") && !findings[0].1.contains("hunter2"), "{findings:?}");
    }

    #[test]
    fn values_of_the_wrong_type_do_not_hide_a_contradiction() {
        assert_eq!(keys("mqtt.url = 3\nmqtt.cert_file = 4"), ["mqtt.cert_file"]);
    }

    #[test]
    fn a_clear_text_password_is_warned_of_unless_it_stays_here() {
        assert_eq!(warned("mqtt.url = 'mqtt://broker'\nmqtt.username = 'u'"), 1);
        assert_eq!(warned("mqtt.url = 'mqtt://localhost'\nmqtt.username = 'u'"), 0);
        assert_eq!(warned("mqtt.url = 'mqtts://broker'\nmqtt.username = 'u'"), 0);
    }

    #[test]
    fn broker_settings_without_a_broker_are_warned_of() {
        assert_eq!(warned("mqtt.username = 'u'"), 1);
        assert_eq!(warned(""), 0);
    }

    #[test]
    fn windows_without_a_broker_and_their_keys_without_windows_are_warned_of() {
        assert_eq!(warned("power.uplink = 'windows'"), 1);
        assert_eq!(warned("power.uplink_every_s = 5\npower.uplink_alerts = 'next_window'"), 2);
        assert_eq!(warned("mqtt.url = 'mqtts://h'\npower.uplink = 'windows'\npower.uplink_for_s = 5"), 0);
    }

    #[test]
    fn windows_that_may_never_close_are_warned_of() {
        let windows = "mqtt.url = 'mqtts://h'\npower.uplink = 'windows'\npower.uplink_every_s = 60";
        assert_eq!(warned(windows), 1, "a window may last five minutes by default");
        assert_eq!(warned(&format!("{windows}\npower.uplink_for_s = 30")), 0);
    }

    #[test]
    fn pictures_and_home_assistant_without_a_broker_and_their_keys_without_them_are_warned_of() {
        assert_eq!(warned("homeassistant.enabled = true"), 1);
        assert_eq!(warned("pictures.snapshot = true"), 1);
        assert_eq!(warned("homeassistant.prefix = 'ha'\nhomeassistant.off_delay_s = 60"), 2);
        assert_eq!(warned("pictures.max_side = 160\npictures.daily_bytes = 1000"), 2);
        let url = "mqtt.url = 'mqtts://h'";
        assert_eq!(
            warned(&format!("{url}\nhomeassistant = {{ enabled = true, prefix = 'ha' }}\npictures.max_side = 160")),
            0
        );
        assert_eq!(warned("pictures = { inline = true, max_bytes = 4096 }"), 0, "it is in the JSON lines too");
    }

    #[test]
    fn an_address_that_is_none_is_refused_and_a_token_without_a_page_warned_of() {
        assert_eq!(keys("http.listen = '8080'"), ["http.listen"]);
        assert!(keys("http.listen = '0.0.0.0:8080'").is_empty());
        assert_eq!(warned("http.token_file = 't'"), 1);
        assert_eq!(warned("http.listen = '[::]:80'\nhttp.token_file = 't'"), 0);
    }

    #[test]
    fn moving_needs_a_place_that_is_not_looked_at() {
        assert_eq!(keys("capture.retention = 'move'"), ["capture.retention"]);
        let inside = "capture.directory = '/c'\ncapture.retention = 'move'\ncapture.retention_directory = ";
        assert_eq!(keys(&format!("{inside}'/c/old'")), ["capture.retention_directory"]);
        assert_eq!(keys(&format!("{inside}'/c'")), ["capture.retention_directory"]);
        assert!(keys(&format!("{inside}'/c2'")).is_empty());
    }

    #[test]
    fn keys_of_a_retention_that_is_another_or_takes_alerts_first_are_warned_of() {
        assert_eq!(warned("capture.retention_days = 5\ncapture.retention_directory = '/d'"), 2);
        assert_eq!(warned("capture.retention = 'delete'\ncapture.retention_directory = '/d'"), 1);
        assert_eq!(warned("capture.retention = 'delete'\ncapture.retention_days = 5"), 0);
        assert_eq!(warned("capture.retention = 'delete'\ncapture.retention_days = 400"), 1);
        assert_eq!(warned("capture.min_free_mib = 5"), 0, "it warns of a full card");
    }

    #[test]
    fn a_threshold_for_a_label_that_does_not_alert_is_warned_of() {
        let thresholds = "alerts.thresholds = { polar_bear = 0.5 }\n";
        assert_eq!(warned(&format!("{thresholds}alerts.labels = ['polarbear']")), 1);
        assert_eq!(warned(&format!("{thresholds}alerts.labels = ['polar_bear']")), 0);
        assert_eq!(warned(thresholds), 0, "the head decides what alerts");
    }
}
