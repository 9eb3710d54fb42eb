//! Guesses what a wrong name was meant to be.

use serde_json::Value;

use super::schema::{join, last, leaves};

/// Below this likeness a guess misleads more than it helps; `settle` for `settle_ms` has 0.93, `dir` for `directory`
/// 0.83, `host` for `health_s` 0.69.
const ALIKE: f64 = 0.8;

/// The candidate most like `name`, if one is alike at all.
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// Advice for the unknown key at `path`, which stands in the table that `table` describes.
pub(super) fn key(schema: &Value, table: &Value, path: &str) -> String {
    let name = last(path);
    if path == "mqtt.password" {
        return "a password does not belong in this file: write it to a file of its own and name that in \
                `mqtt.password_file`"
            .into();
    }
    let leaves = leaves(schema);
    if let Some((right, _)) = leaves.iter().find(|(leaf, _)| last(leaf) == name) {
        return match right.contains('.') {
            true => format!("did you mean `{right}`, in another section?"),
            false => format!("`{right}` stands at the top of the file, above the first `[section]`"),
        };
    }
    let section = path.strip_suffix(name).unwrap_or_default().trim_end_matches('.');
    let siblings = table["properties"].as_object().into_iter().flatten().map(|(sibling, _)| sibling.as_str());
    if let Some(sibling) = nearest(name, siblings) {
        return format!("did you mean `{}`?", join(section, sibling));
    }
    let elsewhere = nearest(name, leaves.iter().map(|(leaf, _)| last(leaf)));
    match leaves.iter().find(|(leaf, _)| Some(last(leaf)) == elsewhere) {
        Some((right, _)) => format!("did you mean `{right}`?"),
        None => format!("allowed here: {}", names(table)),
    }
}

/// The keys of a table, as a sentence lists them.
pub(super) fn names(table: &Value) -> String {
    let names = table["properties"].as_object().into_iter().flatten().map(|(name, _)| format!("`{name}`"));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::schema::{lookup, shared};
    use super::*;

    fn advice(path: &str) -> String {
        let section = path.rsplit_once('.').map(|(section, _)| section);
        let table = section.and_then(|section| lookup(&shared()["properties"], section)).unwrap_or(shared());
        key(shared(), table, path)
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised_in_its_section() {
        assert_eq!(advice("capture.settle_mss"), "did you mean `capture.settle_ms`?");
        assert_eq!(advice("capture.dir"), "did you mean `capture.directory`?");
        assert_eq!(advice("mqtt.keepalive"), "did you mean `mqtt.keep_alive_s`?");
        assert_eq!(advice("captures"), "did you mean `capture`?");
    }

    #[test]
    fn a_key_in_the_wrong_section_is_told_its_place() {
        assert_eq!(advice("capture.url"), "did you mean `mqtt.url`, in another section?");
        assert_eq!(advice("url"), "did you mean `mqtt.url`, in another section?");
        assert_eq!(advice("log.trap"), "`trap` stands at the top of the file, above the first `[section]`");
        assert_eq!(advice("log.threshold"), "did you mean `alerts.thresholds`?");
    }

    #[test]
    fn a_name_like_no_other_is_told_what_is_allowed() {
        assert_eq!(advice("log.zzz"), "allowed here: `format`, `level`");
    }

    #[test]
    fn a_password_in_the_file_is_sent_to_a_file_of_its_own() {
        assert!(advice("mqtt.password").contains("`mqtt.password_file`"));
    }
}
