//! The account that somebody outside keeps: what landed in the capture directory, by content, and what a subscriber heard.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use arcticd::detection::Detection;
use arcticd::frame::ContentHash;
use testkit::subscriber::Message;

/// A content that landed.
#[derive(Debug, Clone)]
pub struct Landed {
    /// The first name it had.
    pub name: String,
    /// Whether somebody has to hear of it.
    pub alerts: bool,
    at: Instant,
}

/// What landed and what was told.
#[derive(Debug, Default)]
pub struct Account {
    landed: BTreeMap<String, Landed>,
    /// Bodies by id.
    told: HashMap<String, Vec<u8>>,
    /// Contents that were told of, and the message's id.
    heard: BTreeMap<String, String>,
    /// Epoch and number, and the id of the message that has it.
    numbers: BTreeMap<(String, u64), String>,
    /// Messages that came again, the same to the byte.
    pub repeats: u64,
    /// The longest from landing to arrival.
    pub longest: Duration,
    /// What must not be.
    pub conflicts: Vec<String>,
    pub unexpected: Vec<String>,
}

impl Account {
    /// A frame is there, under this name.
    pub fn land(&mut self, name: &str, bytes: &[u8], alerts: bool) {
        let landed = Landed { name: name.to_owned(), alerts, at: Instant::now() };
        self.landed.entry(ContentHash::of(bytes).to_string()).or_insert(landed);
    }

    /// Takes up what was heard.
    pub fn hear(&mut self, messages: &[Message]) {
        for message in messages.iter().filter(|message| message.topic.ends_with("/detection")) {
            let detection: Detection = serde_json::from_slice(&message.payload).unwrap();
            let id = detection.id.clone();
            if let Some(first) = self.told.get(&id) {
                self.repeats += 1;
                if *first != message.payload {
                    let bodies = [first, &message.payload].map(|body| String::from_utf8_lossy(body).into_owned());
                    self.conflicts.push(format!("message {id} has two bodies: {bodies:?}"));
                }
                continue;
            }
            let number = (detection.epoch.clone().unwrap_or_default(), detection.seq.unwrap_or_default());
            if let Some(other) = self.numbers.insert(number.clone(), id.clone()) {
                self.conflicts.push(format!("number {number:?} is of messages {other} and {id}"));
            }
            let sha256 = detection.frame.sha256;
            match self.landed.get(&sha256) {
                Some(landed) if landed.alerts => self.longest = self.longest.max(message.at - landed.at),
                Some(landed) => self.unexpected.push(format!("{} should be silent", landed.name)),
                None => self.unexpected.push(format!("{} never landed", detection.frame.name)),
            }
            if let Some(other) = self.heard.insert(sha256.clone(), id.clone()) {
                self.conflicts.push(format!("{} is told of in messages {other} and {id}", detection.frame.name));
            }
            self.told.insert(id, message.payload.clone());
        }
    }

    /// Whether somebody has heard of this content.
    pub fn is_heard(&self, bytes: &[u8]) -> bool {
        self.heard.contains_key(&ContentHash::of(bytes).to_string())
    }

    /// How many contents somebody has to hear of.
    pub fn expected(&self) -> usize {
        self.landed.values().filter(|landed| landed.alerts).count()
    }

    /// How many of them were heard of.
    pub fn received(&self) -> usize {
        self.heard.keys().filter(|sha256| self.landed.get(*sha256).is_some_and(|landed| landed.alerts)).count()
    }

    /// Those that nobody has heard of.
    pub fn owed(&self) -> Vec<(&String, &Landed)> {
        self.landed.iter().filter(|(sha256, landed)| landed.alerts && !self.heard.contains_key(*sha256)).collect()
    }

    /// Whether this message has been heard.
    pub fn has_heard(&self, id: &str) -> bool {
        self.told.contains_key(id)
    }

    /// Numbers below the highest of their epoch that no message had.
    pub fn holes(&self) -> Vec<(String, u64)> {
        let mut holes = Vec::new();
        let epochs: BTreeSet<&String> = self.numbers.keys().map(|(epoch, _)| epoch).collect();
        for epoch in epochs {
            let numbers: BTreeSet<u64> =
                self.numbers.keys().filter(|(of, _)| of == epoch).map(|(_, number)| *number).collect();
            let last = numbers.last().copied().unwrap_or(0);
            holes.extend((1..=last).filter(|number| !numbers.contains(number)).map(|number| (epoch.clone(), number)));
        }
        holes
    }

    /// How many journals counted.
    pub fn epochs(&self) -> usize {
        self.numbers.keys().map(|(epoch, _)| epoch).collect::<BTreeSet<_>>().len()
    }
}
