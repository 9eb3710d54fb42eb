//! From a file and the environment to a [`Config`] that holds.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Config;
use super::check::check;
use super::env::overlay;
use super::error::{ConfigError, Place, Problem};
use super::locate::Document;
use super::rules;
use super::schema::shared;

/// The file that is read when none is named; it need not exist.
pub const DEFAULT_PATH: &str = "/etc/arcticd/arcticd.toml";

/// No configuration is larger; a device or a photograph named by mistake is.
const LARGEST: u64 = 1 << 20;

/// The keys that hold a path, or a list of them.
const PATHS: [&str; 14] = [
    "capture.directory",
    "capture.retention_directory",
    "state.directory",
    "model.backbone",
    "model.head",
    "mqtt.password_file",
    "mqtt.ca_file",
    "mqtt.cert_file",
    "mqtt.key_file",
    "heads.trusted_keys",
    "heads.directory",
    "power.thermal_zone",
    "power.throttled",
    "http.token_file",
];

/// A configuration, and what to tell the engineer about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Checked: every value is in its range, and no two keys contradict each other.
    pub config: Config,
    /// Where it came from.
    pub source: Source,
    /// What is allowed and probably not meant, a sentence each.
    pub warnings: Vec<String>,
}

/// Where a configuration came from, variables aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This file.
    File(PathBuf),
    /// The built-in defaults.
    Defaults,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Defaults => write!(f, "built-in defaults ({DEFAULT_PATH} does not exist)"),
        }
    }
}

/// Reads the configuration: the file at `path` (none: [`DEFAULT_PATH`] if it exists, else the defaults), then `env`
/// over it, which is [`super::environment`] outside tests.
///
/// Relative paths in the file start at the file's directory; those from the environment and the defaults start at the
/// working directory.
///
/// # Errors
/// A file that is named but missing, or cannot be read; else every wrong key and value at once.
pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
    match path {
        Some(path) => match read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ConfigError::Missing { path: path.into() }),
            read => from_bytes(path, read, env),
        },
        None => load_if_present(Path::new(DEFAULT_PATH), env),
    }
}

/// As [`load`], of a text that is to become the file at `path`, and without an environment.
///
/// # Errors
/// Every wrong key and value at once.
pub fn from_text(path: &Path, text: &str) -> Result<Loaded, ConfigError> {
    from_bytes(path, Ok(text.as_bytes().to_vec()), std::iter::empty())
}

fn load_if_present(path: &Path, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => settle(Document::empty(), Source::Defaults, env),
        // A file that is there and unreadable must not silently mean the defaults.
        read => from_bytes(path, read, env),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn from_bytes(
    path: &Path,
    bytes: io::Result<Vec<u8>>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let path = path.to_path_buf();
    let bytes = match bytes {
        Ok(bytes) if bytes.len() as u64 > LARGEST => return Err(ConfigError::TooLarge { path, limit: LARGEST }),
        Ok(bytes) => bytes,
        Err(reason) => return Err(ConfigError::Read { path, reason }),
    };
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            return Err(ConfigError::NotText { path, line });
        }
    };
    let mut document = Document::parse(&path, text).map_err(|problems| ConfigError::Wrong { problems })?;
    start_at(path.parent().unwrap_or(Path::new("")), &mut document.root);
    settle(document, Source::File(path), env)
}

/// Makes the file's relative paths start at its `directory`.
fn start_at(directory: &Path, root: &mut Value) {
    for key in PATHS {
        let value = key.split('.').try_fold(&mut *root, |value, name| value.get_mut(name));
        let texts = match value {
            Some(Value::Array(items)) => items.iter_mut().collect(),
            Some(value) => vec![value],
            None => continue,
        };
        for text in texts {
            let Value::String(text) = text else { continue };
            let word = key.starts_with("model.") && text == "builtin";
            if !word && !text.is_empty() {
                // Both halves are UTF-8 unless the directory is not; then the path stays relative to where we stand.
                if let Some(joined) = directory.join(&*text).to_str() {
                    *text = joined.to_string();
                }
            }
        }
    }
}

/// Lays the environment over the document and checks the whole.
fn settle(
    mut document: Document,
    source: Source,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let mut warnings = overlay(&mut document, shared(), env);
    let mut findings = check(shared(), &document.root);
    findings.extend(rules::contradictions(&document.root));
    let mut problems = std::mem::take(&mut document.problems);
    // A variable over a date or an infinity has mended it.
    problems.retain(|problem| document.place(&problem.key) == problem.place);
    problems.extend(findings.into_iter().map(|(key, message)| Problem { place: document.place(&key), key, message }));
    if !problems.is_empty() {
        problems.sort_by(|one, other| one.place.cmp(&other.place));
        return Err(ConfigError::Wrong { problems });
    }
    warnings.extend(rules::warnings(&document.root));
    let config: Config = serde_json::from_value(document.root).map_err(|error| ConfigError::Wrong {
        problems: vec![Problem { place: Place::Default, key: String::new(), message: error.to_string() }],
    })?;
    warnings.extend(config.shared_name());
    Ok(Loaded { config, source, warnings })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
