//! What this trap has left with brokers, retained, for features that can be turned off: so that it can be taken back. One
//! small file beside the journal; there is none where nothing was ever left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::whole_file;

const NAME: &str = "retained.json";

/// The file and what is in it.
#[derive(Debug)]
pub(super) struct Retained {
    file: PathBuf,
    left: Left,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Left {
    // Whole topics: their prefix or the trap's name may have changed since.
    topics: BTreeSet<String>,
    // What was announced to Home Assistant: platform by key.
    components: BTreeMap<String, String>,
}

impl Retained {
    /// As it lies in the state directory. A file that can't be read costs no more than what is left with the broker.
    pub(super) fn open(state: &Path) -> Self {
        let file = state.join(NAME);
        let left = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Left::default()),
            Err(error) => Err(error.to_string()),
        };
        let left = left.unwrap_or_else(|error| {
            tracing::warn!(
                "{}: {error}; what is retained at the broker may have to be cleared by hand",
                file.display()
            );
            Left::default()
        });
        Self { file, left }
    }

    /// Topics that something was left on.
    pub(super) fn topics(&self) -> impl Iterator<Item = &String> {
        self.left.topics.iter()
    }

    /// What Home Assistant was told of.
    pub(super) fn components(&self) -> &BTreeMap<String, String> {
        &self.left.components
    }

    /// Something is going to be left on this topic. On disk before it is sent.
    pub(super) fn note(&mut self, topic: &str) {
        if !self.left.topics.contains(topic) {
            self.change(|left| left.topics.extend([topic.to_owned()]));
        }
    }

    /// These entities are going to be announced.
    pub(super) fn note_components(&mut self, components: &BTreeMap<String, String>) {
        if components.iter().any(|(key, platform)| self.left.components.get(key) != Some(platform)) {
            self.change(|left| left.components.extend(components.clone()));
        }
    }

    /// Nothing lies on this topic any more.
    pub(super) fn forget(&mut self, topic: &str, with_components: bool) {
        self.change(|left| {
            left.topics.remove(topic);
            if with_components {
                left.components.clear();
            }
        });
    }

    fn change(&mut self, change: impl FnOnce(&mut Left)) {
        change(&mut self.left);
        let written = match serde_json::to_vec(&self.left) {
            Ok(bytes) => whole_file::write_bytes(&self.file, &bytes),
            Err(error) => Err(error.into()),
        };
        // Published all the same: a disk that is full must not hide the trap.
        if let Err(error) = written {
            tracing::warn!("{error:#}; if it stays so, what is retained at the broker has to be cleared by hand");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kept(retained: &Retained) -> Vec<&String> {
        retained.topics().collect()
    }

    #[test]
    fn what_was_left_is_known_after_a_restart_and_nothing_makes_no_file() {
        let state = tempfile::tempdir().unwrap();
        drop(Retained::open(state.path()));
        assert!(!state.path().join(NAME).exists());
        let mut retained = Retained::open(state.path());
        retained.note("a");
        retained.note("b");
        retained.note_components(&BTreeMap::from([("x".to_owned(), "sensor".to_owned())]));
        retained.note_components(&BTreeMap::from([("y".to_owned(), "image".to_owned())]));
        let again = Retained::open(state.path());
        assert_eq!(kept(&again), ["a", "b"]);
        assert_eq!(again.components().len(), 2, "what was announced once is to be taken back some day");
        retained.forget("a", true);
        let again = Retained::open(state.path());
        assert_eq!((kept(&again), again.components().len()), (vec![&"b".to_owned()], 0));
    }

    #[test]
    fn a_damaged_file_stops_nothing() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(NAME), "{\"topics\":3").unwrap();
        let mut retained = Retained::open(state.path());
        retained.note("a");
        assert_eq!(kept(&Retained::open(state.path())), ["a"]);
    }
}
