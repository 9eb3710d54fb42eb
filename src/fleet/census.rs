//! All traps that the broker knows of, by name.

use std::collections::{BTreeMap, BTreeSet};

use super::trap::{Topic, Trap};
use crate::config;
use crate::push::gather::Ear;

/// Most traps that are kept: whoever may publish could invent names without end.
const MOST: usize = 10_000;

/// Traps by name.
#[derive(Debug, Default)]
pub struct Census {
    prefix: String,
    traps: BTreeMap<String, Trap>,
    changed: BTreeSet<String>,
    /// Whether there were more than are kept.
    full: bool,
    /// Messages under names that no trap can have.
    strange: usize,
}

impl Census {
    /// Nobody yet; `prefix` is the first level of all topics.
    pub fn new(prefix: String) -> Self {
        Self { prefix, ..Self::default() }
    }

    /// What is to be subscribed to.
    pub fn filters(&self) -> Vec<String> {
        Topic::ALL.iter().map(|topic| format!("{}/+/{}", self.prefix, topic.name())).collect()
    }

    /// The traps.
    pub fn traps(&self) -> &BTreeMap<String, Trap> {
        &self.traps
    }

    /// The names of those that said something new since this was last asked; of one that is gone too.
    pub fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// What is left out, for a person.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.full {
            remarks.push(format!("there are more than {MOST} traps: those that were heard of later are left out"));
        }
        if self.strange > 0 {
            let count = self.strange;
            remarks.push(format!("{count} messages lie under names that no trap can have: they are left out"));
        }
        remarks
    }

    fn place(&self, topic: &str) -> Option<(String, Topic)> {
        let (name, rest) = topic.strip_prefix(&self.prefix)?.strip_prefix('/')?.split_once('/')?;
        let topic = Topic::ALL.into_iter().find(|topic| topic.name() == rest)?;
        config::allows("trap", name).is_ok().then(|| (name.to_owned(), topic))
    }
}

impl Ear for Census {
    fn hear(&mut self, topic: &str, payload: &[u8]) {
        let Some((name, topic)) = self.place(topic) else {
            self.strange += usize::from(!payload.is_empty());
            return;
        };
        if self.traps.len() >= MOST && !self.traps.contains_key(&name) {
            self.full = true;
            return;
        }
        let trap = self.traps.entry(name.clone()).or_default();
        let before = trap.clone();
        trap.hear(topic, payload);
        let (unheard, same) = (trap.is_unheard(), *trap == before);
        if unheard {
            self.traps.remove(&name);
        }
        if !same {
            self.changed.insert(name);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_traps_are_counted_and_one_that_is_taken_back_is_gone() {
        let mut census = Census::new("arcticd".into());
        for topic in ["arcticd/a/availability", "arcticd/b/availability"] {
            census.hear(topic, b"online");
        }
        for strange in
            ["arcticd/A B/availability", "arcticd/\u{1b}[2J/health", "arcticd/group/health", "arcticd//health"]
        {
            census.hear(strange, b"online");
        }
        assert_eq!(census.traps().keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(census.remarks()[0].starts_with("4 messages lie under names"), "{:?}", census.remarks());
        assert_eq!(census.take_changed().len(), 2);
        census.hear("arcticd/a/availability", b"online");
        assert!(census.take_changed().is_empty(), "nothing new");
        census.hear("arcticd/a/availability", b"");
        assert_eq!((census.traps().len(), census.take_changed().len()), (1, 1));
    }

    #[test]
    fn names_without_end_fill_no_memory() {
        let mut census = Census::new("arcticd".into());
        for number in 0..=MOST {
            census.hear(&format!("arcticd/t{number}/availability"), b"online");
        }
        assert_eq!(census.traps().len(), MOST);
        census.hear("arcticd/t0/availability", b"offline");
        assert!(census.remarks()[0].contains("more than 10000 traps"), "{:?}", census.remarks());
        assert_eq!(census.traps()["t0"].state.unwrap().name(), "offline", "those that are known are heard");
    }
}
