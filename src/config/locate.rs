//! A parsed file that still knows where each key was written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value};
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::error::{Place, Problem};
use super::schema::join;

/// The values as written, checked for nothing but TOML's own grammar.
#[derive(Debug)]
pub(super) struct Document {
    /// The values. Always an object; never holds a null, which TOML does not have.
    pub root: Value,
    /// Where each dotted path (`alerts.labels[1]` for an item) was written.
    places: BTreeMap<String, Place>,
    /// Values that cannot stand in `root`.
    pub problems: Vec<Problem>,
}

impl Document {
    /// A document that says nothing.
    pub fn empty() -> Self {
        Self { root: Value::Object(Map::new()), places: BTreeMap::new(), problems: Vec::new() }
    }

    /// Reads `text`, which came from `path`.
    ///
    /// # Errors
    /// The places where `text` is not TOML, one a line. They never quote the text: it may hold a secret.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let lines = Lines::of(path, text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<Problem> = errors
            .iter()
            .map(|error| Problem {
                place: lines.place(error.span().map_or(text.len(), |span| span.start)),
                key: String::new(),
                message: format!("this is not TOML: {}", error.message()),
            })
            .collect();
        // One slip makes the parser stumble several times on the same line.
        problems.dedup_by_key(|problem| lines.line_of(&problem.place));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut document = Self::empty();
        document.root = document.table(table.get_ref(), "", &lines);
        Ok(document)
    }

    /// Where `key` was written, or the nearest table around it.
    pub fn place(&self, key: &str) -> Place {
        let mut key = key;
        loop {
            if let Some(place) = self.places.get(key) {
                return place.clone();
            }
            match key.rfind(['.', '[']) {
                Some(end) => key = &key[..end],
                None => return Place::Default,
            }
        }
    }

    /// Puts `value` at the dotted path `key`, over whatever the file says there.
    pub fn set(&mut self, key: &str, value: Value, place: Place) {
        let mut target = &mut self.root;
        for name in key.split('.') {
            // A file with `mqtt = 3` is reported as such; there is no table to put the value into.
            let Some(table) = target.as_object_mut() else { return };
            target = table.entry(name).or_insert_with(|| Value::Object(Map::new()));
        }
        *target = value;
        let (dotted, indexed) = (format!("{key}."), format!("{key}["));
        self.places.retain(|known, _| !known.starts_with(&dotted) && !known.starts_with(&indexed));
        self.places.insert(key.to_string(), place);
    }

    fn table(&mut self, table: &DeTable<'_>, path: &str, lines: &Lines) -> Value {
        let mut map = Map::new();
        for (name, value) in table {
            let key = join(path, name.get_ref());
            self.places.insert(key.clone(), lines.place(name.span().start));
            if let Some(value) = self.value(value.get_ref(), &key, lines) {
                map.insert(name.get_ref().to_string(), value);
            }
        }
        Value::Object(map)
    }

    fn value(&mut self, value: &DeValue<'_>, key: &str, lines: &Lines) -> Option<Value> {
        let found = match value {
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Integer(integer) => Some(Value::Number(number(integer))),
            DeValue::Float(float) => finite(float).map(Value::Number),
            DeValue::Boolean(boolean) => Some(Value::Bool(*boolean)),
            DeValue::Table(table) => Some(self.table(table, key, lines)),
            DeValue::Array(array) => {
                let mut items = Vec::new();
                for (index, item) in array.iter().enumerate() {
                    let key = format!("{key}[{index}]");
                    self.places.insert(key.clone(), lines.place(item.span().start));
                    items.extend(self.value(item.get_ref(), &key, lines));
                }
                Some(Value::Array(items))
            }
            DeValue::Datetime(_) => None,
        };
        if found.is_none() {
            self.problems.push(Problem {
                place: self.place(key),
                key: key.to_string(),
                message: format!(
                    "is {}, which no key takes",
                    if value.is_float() { "no finite number" } else { "a date" }
                ),
            });
        }
        found
    }
}

/// An integer; one beyond 64 bits becomes the nearest that fits, and the range check refuses that.
fn number(integer: &DeInteger<'_>) -> Number {
    let (text, radix) = (integer.as_str(), integer.radix());
    match (i64::from_str_radix(text, radix), u64::from_str_radix(text, radix)) {
        (Ok(signed), _) => signed.into(),
        (_, Ok(unsigned)) => unsigned.into(),
        _ if text.starts_with('-') => i64::MIN.into(),
        _ => u64::MAX.into(),
    }
}

fn finite(float: &DeFloat<'_>) -> Option<Number> {
    float.as_str().parse().ok().and_then(Number::from_f64)
}

/// Turns byte offsets into lines and columns: of each key, so that the text must not be walked anew for each.
struct Lines {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where each line begins.
    starts: Vec<usize>,
    /// Characters before each block.
    blocks: Vec<usize>,
}

/// Bytes that are counted for a column at most, twice.
const BLOCK: usize = 256;

impl Lines {
    fn of(path: &Path, text: &str) -> Self {
        let bytes = text.as_bytes().to_vec();
        let newlines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(newlines).collect();
        let mut blocks = vec![0];
        for block in bytes.chunks(BLOCK) {
            blocks.push(blocks.last().copied().unwrap_or_default() + characters(block));
        }
        Self { path: path.to_path_buf(), bytes, starts, blocks }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        Place::File { path: self.path.clone(), line, column: self.before(offset) - self.before(start) + 1 }
    }

    /// Characters before an offset.
    fn before(&self, offset: usize) -> usize {
        let offset = offset.min(self.bytes.len());
        let rest = self.bytes.get(offset / BLOCK * BLOCK..offset).unwrap_or_default();
        self.blocks.get(offset / BLOCK).copied().unwrap_or_default() + characters(rest)
    }

    fn line_of(&self, place: &Place) -> usize {
        match place {
            Place::File { line, .. } => *line,
            Place::Variable(_) | Place::Default => 0,
        }
    }
}

/// Those that begin in these bytes of a text.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(line: usize, column: usize) -> Place {
        Place::File { path: "a.toml".into(), line, column }
    }

    #[test]
    fn places_count_lines_and_columns_from_one_in_characters() {
        let text = "trap = 'x'\n[mqtt]\n  url = 'm'\n'α' = 1\nl = { a = [1, 'é', 3] }\n";
        let document = Document::parse(Path::new("a.toml"), text).unwrap();
        assert_eq!(document.place("trap"), at(1, 1));
        assert_eq!(document.place("mqtt"), at(2, 2));
        assert_eq!(document.place("mqtt.url"), at(3, 3));
        assert_eq!(document.place("mqtt.l.a[2]"), at(5, 20));
        assert_eq!(document.place("mqtt.absent"), at(2, 2), "the table around it");
        assert_eq!(document.place("absent"), Place::Default);
    }

    /// As many keys as fit, on a line each and all on one line: with a walk over the text for each this would take hours.
    #[test]
    fn the_largest_file_is_read_in_one_go() {
        let keys = |behind: &str| (0..90_000).map(|key| format!("k{key}=1{behind}")).collect::<String>();
        let document = Document::parse(Path::new("a.toml"), &keys("\n")).unwrap();
        assert_eq!(document.place("k89999"), at(90_000, 1));
        let one_line = format!("'é' = {{ {} }}", keys(",").trim_end_matches(','));
        let document = Document::parse(Path::new("a.toml"), &one_line).unwrap();
        let column = one_line.chars().count() - "k89999=1 }".len() + 1;
        assert_eq!(document.place("é.k89999"), at(1, column));
    }

    #[test]
    fn text_that_is_not_toml_is_reported_once_a_line_and_never_quoted() {
        let text = "a = 'x\nmqtt.password = hunter2 hunter2\n";
        let problems = Document::parse(Path::new("a.toml"), text).unwrap_err();
        let lines: Vec<Place> = problems.iter().map(|problem| problem.place.clone()).collect();
        assert!(matches!(lines[0], Place::File { line: 1, .. }), "{lines:?}");
        assert!(problems.len() <= 2, "{problems:?}");
        assert!(!format!("{problems:?}").contains("hunter2"));
    }

    #[test]
    fn hostile_text_is_refused_without_a_panic() {
        let deep = format!("a = {}", "[".repeat(100_000));
        let dotted = format!("{}a = 1", "a.".repeat(50_000));
        for text in [deep.as_str(), dotted.as_str(), "a = \u{0}", "\"\\u{d800}\" = 1", "[[", "= 1", "a = 'b' c"] {
            assert!(Document::parse(Path::new("a.toml"), text).is_err(), "{:.40}", text);
        }
    }

    #[test]
    fn numbers_beyond_64_bits_stay_out_of_every_range() {
        let text = "a = 99999999999999999999999\nb = -99999999999999999999999\nc = 0xff\nd = 1_000";
        let document = Document::parse(Path::new("a.toml"), text).unwrap();
        let expected = serde_json::json!({ "a": u64::MAX, "b": i64::MIN, "c": 255, "d": 1000 });
        assert_eq!(document.root, expected);
    }

    #[test]
    fn dates_and_infinities_are_problems_with_their_place() {
        let document = Document::parse(Path::new("a.toml"), "a = 2026-11-23\nb = nan\nc = [inf]").unwrap();
        let keys: Vec<(&str, Place)> =
            document.problems.iter().map(|problem| (problem.key.as_str(), problem.place.clone())).collect();
        assert_eq!(keys, [("a", at(1, 1)), ("b", at(2, 1)), ("c[0]", at(3, 6))]);
    }

    #[test]
    fn a_value_set_later_hides_the_places_of_what_it_replaced() {
        let mut document = Document::parse(Path::new("a.toml"), "m = { a = 1 }\nn = 3").unwrap();
        document.set("m", serde_json::json!({ "a": 2 }), Place::Variable("M".into()));
        document.set("n.x", serde_json::json!(1), Place::Variable("N".into()));
        assert_eq!(document.place("m.a"), Place::Variable("M".into()));
        assert_eq!(document.root, serde_json::json!({ "m": { "a": 2 }, "n": 3 }));
    }
}
