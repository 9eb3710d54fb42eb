//! What one trap has said of itself: read, cleaned, cut to what is shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::accept::{HeadFacts, OfferReport, Report, Step};
use crate::push::table::one_line;

/// Largest messages that are read, in bytes. A trap's `health` has two kilobytes, its `head/state` a few.
const MAX_AVAILABILITY: usize = 256;
const MAX_HEALTH: usize = 64 * 1024;
const MAX_STATE: usize = 256 * 1024;
/// Warnings and groups that are kept.
const MOST: usize = 20;

/// A retained topic of a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub enum Topic {
    /// Whether it is there.
    #[serde(rename = "availability")]
    Availability,
    /// What it does.
    #[serde(rename = "health")]
    Health,
    /// Its heads.
    #[serde(rename = "head/state")]
    Heads,
}

impl Topic {
    /// All that are read.
    pub const ALL: [Self; 3] = [Self::Availability, Self::Health, Self::Heads];

    /// Below the trap's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Health => "health",
            Self::Heads => "head/state",
        }
    }
}

/// What a trap has said last on each topic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Trap {
    /// `online`, `stopped`, `offline`, `asleep`; none if it never said.
    pub state: Option<State>,
    /// Until when it sleeps, by its own clock.
    pub asleep_until: Option<String>,
    /// Its heartbeat.
    pub health: Option<Health>,
    /// The head in service.
    pub head: Option<Head>,
    /// What became of the last head that was offered with a signature that holds; none if that is the one in service.
    pub offer: Option<Offer>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Topics on which something lies that can't be read.
    pub unreadable: Vec<Topic>,
}

/// Whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Connected.
    Online,
    /// Between two windows.
    Asleep,
    /// Ended in peace.
    Stopped,
    /// Vanished.
    Offline,
}

impl State {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Asleep => "asleep",
            Self::Stopped => "stopped",
            Self::Offline => "offline",
        }
    }
}

/// A heartbeat, as far as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Health {
    /// When it was said, by the trap's clock; RFC 3339 like all moments here.
    pub at: String,
    /// Of arcticd.
    pub version: String,
    /// Seconds since the daemon started.
    pub uptime_s: u64,
    /// When a file was last read.
    pub seen_at: Option<String>,
    /// When a frame was last classified.
    pub classified_at: Option<String>,
    /// When a message was last acknowledged.
    pub acknowledged_at: Option<String>,
    /// Files that wait to be looked at.
    pub backlog: u64,
    /// Messages that wait to be sent.
    pub outbox: u64,
    /// Messages that were given up.
    pub dropped: u64,
    /// Room where the journal is.
    pub disk_free_mib: Option<u64>,
    /// Room where frames are.
    pub capture_free_mib: Option<u64>,
    /// Of the board.
    pub temperature_c: Option<f32>,
    /// What is wrong, in its own words.
    pub warnings: Vec<String>,
}

/// A head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Head {
    /// Its name.
    pub name: String,
    /// For people.
    pub version: String,
    /// Grows with each release.
    pub sequence: u64,
}

/// A head that was offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Offer {
    /// Which.
    #[serde(flatten)]
    pub head: Head,
    /// How it stands with the trap.
    pub state: &'static str,
    /// Why.
    pub reason: Option<String>,
}

impl Head {
    fn of(facts: &HeadFacts) -> Self {
        Self { name: one_line(&facts.name), version: one_line(&facts.version), sequence: facts.sequence }
    }
}

impl Offer {
    fn of(report: &OfferReport) -> Self {
        let reason = report.reason.as_deref().map(one_line);
        Self { head: Head::of(&report.head), state: report.state.name(), reason }
    }
}

/// What is read of a `health` message. Fields that an older trap does not have may be missing.
#[derive(Deserialize)]
struct Said {
    schema: u32,
    at: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    uptime_s: u64,
    #[serde(default)]
    last: Moments,
    backlog: Backlog,
    outbox: Outbox,
    disk_free_mib: Option<u64>,
    capture_free_mib: Option<u64>,
    temperature_c: Option<f32>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Moments {
    seen_at: Option<String>,
    classified_at: Option<String>,
    acknowledged_at: Option<String>,
}

#[derive(Deserialize)]
struct Backlog {
    live: u64,
    waiting: u64,
}

#[derive(Deserialize)]
struct Outbox {
    queued: u64,
    #[serde(default)]
    dropped: u64,
}

impl Trap {
    /// Takes what it said on a topic. An empty message takes back what was said there.
    pub fn hear(&mut self, topic: Topic, payload: &[u8]) {
        self.unreadable.retain(|known| *known != topic);
        let read = match topic {
            Topic::Availability => self.availability(payload),
            Topic::Health => self.health(payload),
            Topic::Heads => self.heads(payload),
        };
        if read.is_none() && !payload.is_empty() {
            self.unreadable.push(topic);
            self.unreadable.sort_unstable();
        }
    }

    /// Whether nothing is known of it.
    pub fn is_unheard(&self) -> bool {
        *self == Self::default()
    }

    fn availability(&mut self, payload: &[u8]) -> Option<()> {
        (self.state, self.asleep_until) = (None, None);
        let text = std::str::from_utf8(payload).ok().filter(|text| text.len() <= MAX_AVAILABILITY)?;
        let state = match (text, text.strip_prefix("asleep until ")) {
            ("online", _) => State::Online,
            ("stopped", _) => State::Stopped,
            ("offline", _) => State::Offline,
            (_, Some(until)) => {
                self.asleep_until = Some(one_line(until));
                State::Asleep
            }
            _ => return None,
        };
        self.state = Some(state);
        Some(())
    }

    fn health(&mut self, payload: &[u8]) -> Option<()> {
        self.health = None;
        let said = (payload.len() <= MAX_HEALTH).then(|| serde_json::from_slice::<Said>(payload).ok()).flatten()?;
        let moment = |text: Option<String>| text.map(|text| one_line(&text));
        let Moments { seen_at, classified_at, acknowledged_at } = said.last;
        self.health = (said.schema == 1).then(|| Health {
            at: one_line(&said.at),
            version: one_line(&said.version),
            uptime_s: said.uptime_s,
            seen_at: moment(seen_at),
            classified_at: moment(classified_at),
            acknowledged_at: moment(acknowledged_at),
            backlog: said.backlog.live.saturating_add(said.backlog.waiting),
            outbox: said.outbox.queued,
            dropped: said.outbox.dropped,
            disk_free_mib: said.disk_free_mib,
            capture_free_mib: said.capture_free_mib,
            temperature_c: said.temperature_c,
            warnings: said.warnings.iter().take(MOST).map(|text| one_line(text)).collect(),
        });
        self.health.as_ref().map(drop)
    }

    fn heads(&mut self, payload: &[u8]) -> Option<()> {
        (self.head, self.offer, self.groups) = (None, None, Vec::new());
        let report = (payload.len() <= MAX_STATE).then(|| serde_json::from_slice::<Report>(payload).ok()).flatten()?;
        if report.schema != 1 {
            return None;
        }
        self.head = Some(Head::of(&report.active));
        // A later one that is still coming in is what somebody waits for.
        let offer = report.next.as_ref().or(report.offer.as_ref());
        self.offer = offer.filter(|offer| offer.state != Step::Active).map(Offer::of);
        self.groups = report.groups.iter().take(MOST).map(|name| one_line(name)).collect();
        Some(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HEALTH: &str = r#"{"schema":1,"trap":"a","at":"2026-11-28T12:00:00Z","version":"0.1.0","uptime_s":9,
        "last":{"seen_at":"2026-11-28T11:59:00Z","classified_at":null,"acknowledged_at":null},
        "backlog":{"live":1,"waiting":2},"outbox":{"queued":3,"acknowledged":0,"dropped":4,"dropped_seq":[]},
        "disk_free_mib":null,"capture_free_mib":7,"temperature_c":41.5,"warnings":["a camera is silent"],"news":{}}"#;

    fn heard(topic: Topic, payload: &str) -> Trap {
        let mut trap = Trap::default();
        trap.hear(topic, payload.as_bytes());
        trap
    }

    #[test]
    fn each_word_of_availability_is_known_and_another_is_said_to_be_unreadable() {
        for (word, state, until) in [
            ("online", State::Online, None),
            ("stopped", State::Stopped, None),
            ("offline", State::Offline, None),
            ("asleep until 2026-11-28T11:40:00Z", State::Asleep, Some("2026-11-28T11:40:00Z")),
        ] {
            let trap = heard(Topic::Availability, word);
            assert_eq!(
                (trap.state, trap.asleep_until.as_deref(), trap.state.unwrap().name()),
                (Some(state), until, { word.split(' ').next().unwrap() })
            );
        }
        for broken in ["away", "asleep", "online ", &"x".repeat(10_000)] {
            let trap = heard(Topic::Availability, broken);
            assert_eq!((trap.state, trap.unreadable), (None, vec![Topic::Availability]), "{broken}");
        }
    }

    #[test]
    fn a_heartbeat_is_read_and_what_is_none_is_said_to_be_unreadable() {
        let health = heard(Topic::Health, HEALTH).health.unwrap();
        assert_eq!((health.backlog, health.outbox, health.dropped), (3, 3, 4));
        assert_eq!(health.seen_at.as_deref(), Some("2026-11-28T11:59:00Z"));
        let large = HEALTH.replace("a camera", &"x".repeat(MAX_HEALTH));
        for broken in ["{", "null", "[]", "\"online\"", &HEALTH.replace("\"schema\":1", "\"schema\":2"), &large] {
            let trap = heard(Topic::Health, broken);
            assert_eq!((trap.health, trap.unreadable), (None, vec![Topic::Health]));
        }
    }

    #[test]
    fn what_is_taken_back_is_forgotten_and_what_is_mended_is_read() {
        let mut trap = heard(Topic::Health, "{");
        trap.hear(Topic::Heads, b"{");
        trap.hear(Topic::Availability, b"online");
        assert_eq!(trap.unreadable, [Topic::Health, Topic::Heads]);
        trap.hear(Topic::Health, HEALTH.as_bytes());
        assert_eq!((trap.health.is_some(), &trap.unreadable[..]), (true, &[Topic::Heads][..]));
        for topic in Topic::ALL {
            trap.hear(topic, b"");
        }
        assert!(trap.is_unheard(), "{trap:?}");
    }

    #[test]
    fn no_text_steers_a_terminal_or_grows_without_bounds() {
        let evil = r#"\u001b[2J\u009b1m\u202e\r\nmast-9  online"#.to_owned() + &"x".repeat(5_000);
        let warnings = vec![format!("\"{evil}\""); 1_000].join(",");
        let text = HEALTH
            .replace("\"a camera is silent\"", warnings[..60_000].rsplit_once(",\"").unwrap().0)
            .replace("0.1.0", &evil.replace('x', "")[..]);
        let health = heard(Topic::Health, &text).health.unwrap();
        let shown = serde_json::to_string(&health).unwrap();
        assert!(health.warnings.len() <= MOST && shown.len() < MOST * 400, "{} bytes", shown.len());
        assert!(shown.chars().all(|letter| !letter.is_control() && letter != '\u{202e}'), "{shown}");
        let until = heard(Topic::Availability, "asleep until \u{1b}[2Jnever").asleep_until.unwrap();
        assert_eq!(until, "\\u{1b}[2Jnever");
    }
}
