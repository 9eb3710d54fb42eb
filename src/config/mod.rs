//! What the field engineer edits: one TOML file, every key with a default.
//!
//! The key names are an interface; a key is never renamed without an alias. Doc comments here become the descriptions
//! in `schema/config.schema.json`, and the `schemars` attributes are the rules: [`load`] checks a file against the same
//! schema that editors get, so that a range is written down once.
//!
//! * [`load`] reads the file and the environment and reports every mistake at once.
//! * `locate` remembers where each value was written, `env` lays variables over the file.
//! * `check` holds values against the schema, `rules` holds keys against each other, `suggest` guesses what was meant.
//! * `capture`, `alerts`, `regions`, `visible` and `power` are the larger sections, the others stand here.
//! * [`Broker`], [`Listen`], [`Secret`] and the names on [`Config`] are what the other rooms ask for.

mod alerts;
mod broker;
mod capture;
mod check;
mod env;
mod error;
mod listen;
mod load;
mod locate;
mod names;
mod power;
mod regions;
mod rules;
mod schema;
mod secret;
mod suggest;
mod visible;

use std::path::PathBuf;

pub use alerts::{AlertPolicy, Alerts, LocationPolicy, NovelPolicy, Position};
pub use broker::{Broker, BrokerError};
pub use capture::{Capture, Retention, WatchMode};
pub use check::allows;
pub use env::environment;
pub use error::{ConfigError, Place, Problem};
pub use listen::{Listen, ListenError};
pub use load::{DEFAULT_PATH, Loaded, Source, from_text, load};
pub use power::{Power, Uplink, UplinkAlerts};
pub use regions::{Regions, RegionsMode};
pub use schema::{schema, schema_text};
use schemars::JsonSchema;
pub(crate) use secret::kept_from_all;
pub use secret::{Secret, SecretError};
use serde::{Deserialize, Serialize};
pub(crate) use suggest::nearest;
pub use visible::{HomeAssistant, Pictures};

/// The whole configuration of one trap.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of this trap in topics and payloads, `[a-z0-9-]+`; `group` and `fleet` are reserved. Default: the host
    /// name, lowered to that alphabet.
    #[schemars(extend("pattern" = "^[a-z0-9-]+$", "not" = { "enum": ["group", "fleet"] }))]
    pub trap: Option<String>,
    /// Groups that this trap belongs to, `[a-z0-9-]+`: heads can be pushed to all traps of a group at once.
    #[schemars(extend("items" = { "type": "string", "pattern": "^[a-z0-9-]+$" }))]
    pub groups: Vec<String>,
    /// Where frames come from.
    pub capture: Capture,
    /// Where the journal lives.
    pub state: State,
    /// Which networks look at a frame.
    pub model: Model,
    /// What is looked at beside the whole frame.
    pub regions: Regions,
    /// Which detections become alerts.
    pub alerts: Alerts,
    /// The broker that alerts go to.
    pub mqtt: Mqtt,
    /// The durable queue between detection and broker.
    pub outbox: Outbox,
    /// Pictures beside alerts.
    pub pictures: Pictures,
    /// Home Assistant finds the trap by itself.
    pub homeassistant: HomeAssistant,
    /// Which pushed heads are taken, and how they are tried.
    pub heads: Heads,
    /// What waits while the board's supply is weak, and when the link to the broker is open.
    pub power: Power,
    /// The status page; off unless `listen` is set.
    pub http: Http,
    /// What the daemon says about itself.
    pub log: Log,
}

/// Where the journal lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Directory of the journal: frames seen, open events, alerts not yet acknowledged. Must survive a reboot.
    #[schemars(length(min = 1))]
    pub directory: PathBuf,
    /// Most MiB that the journal may hold (16 to 65,536); the frames and events noted first are forgotten then. A frame takes
    /// about 0.3 KiB, and 1.5 more with its features. A forgotten frame that comes again is new.
    #[schemars(range(min = 16, max = 65_536))]
    pub max_mib: u64,
    /// Seconds that frames which say nothing wait in memory, to be written together, which spares the flash (0 to 3600); 64 at
    /// most. After a power cut they are looked at again: where power is cut every half hour, choose some minutes. 0: each is
    /// written at once.
    #[schemars(range(min = 0, max = 3_600))]
    pub hold_s: u64,
}

/// Which networks look at a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// `builtin`, or the path of a backbone manifest (`*.toml`).
    #[schemars(length(min = 1))]
    pub backbone: String,
    /// `builtin`, or the path of a head's directory (`manifest.json` and `head.onnx`).
    #[schemars(length(min = 1))]
    pub head: String,
    /// Threads for one frame (1 to 8).
    #[schemars(range(min = 1, max = 8))]
    pub threads: usize,
}

/// The broker that alerts go to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// `mqtt://host:1883` or `mqtts://host:8883`. Absent: alerts are JSON lines on standard output.
    #[schemars(length(min = 1))]
    pub url: Option<String>,
    /// First level of every topic, `[a-z0-9_-]+`.
    #[schemars(extend("pattern" = "^[a-z0-9_-]+$"))]
    pub prefix: String,
    /// MQTT client id, fixed so that the broker keeps the session. Default: `arcticd-<trap>`.
    #[schemars(length(min = 1))]
    pub client_id: Option<String>,
    /// User name, if the broker asks for one.
    #[schemars(length(min = 1))]
    pub username: Option<String>,
    /// File that holds the password, not readable by everyone; needs `username`. Absent: the systemd credential `mqtt_password`, if there is one.
    #[schemars(length(min = 1))]
    pub password_file: Option<PathBuf>,
    /// PEM file with the certificate authority of the broker. Absent: the system's.
    #[schemars(length(min = 1))]
    pub ca_file: Option<PathBuf>,
    /// PEM file with a client certificate; needs `key_file`.
    #[schemars(length(min = 1))]
    pub cert_file: Option<PathBuf>,
    /// PEM file with the client's private key; needs `cert_file`.
    #[schemars(length(min = 1))]
    pub key_file: Option<PathBuf>,
    /// Seconds between keep-alive packets (5 to 3600).
    #[schemars(range(min = 5, max = 3_600))]
    pub keep_alive_s: u64,
    /// Seconds that a connection, TLS included, may take (1 to 600).
    #[schemars(range(min = 1, max = 600))]
    pub connect_timeout_s: u64,
    /// Messages sent ahead of their acknowledgement (1 to 1000); fewer where they come to 4 MiB, as with pictures in them.
    #[schemars(range(min = 1, max = 1_000))]
    pub inflight: u16,
    /// Seconds between two health messages (1 to 86400).
    #[schemars(range(min = 1, max = 86_400))]
    pub health_s: u64,
}

/// The durable queue between detection and broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outbox {
    /// Most messages kept while the broker is away (100 to 10000000); beyond that the least important and oldest go
    /// first, and the gap is reported.
    #[schemars(range(min = 100, max = 10_000_000))]
    pub max_entries: u64,
}

/// Which pushed heads are taken, and how they are tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Heads {
    /// minisign public keys that heads may be signed with: files, and folders of `.pub` files, read anew for each head. A
    /// key is revoked by removing its file.
    pub trusted_keys: Vec<PathBuf>,
    /// Folder of signed `.head` files put there by hand; each is proven and tried like a pushed one.
    #[schemars(length(min = 1))]
    pub directory: PathBuf,
    /// Largest head that is taken, in bytes of network and canaries (4096 to 1073741824).
    #[schemars(range(min = 4_096, max = 1_073_741_824))]
    pub max_bytes: u64,
    /// How far a head's sequence may lie above the highest so far (1 to 1000000000): a stolen key can't use up all numbers
    /// at once.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_jump: u64,
    /// Frames that a new head looks at unheard before its trial (0 to 1000000).
    #[schemars(range(min = 0, max = 1_000_000))]
    pub shadow_frames: u64,
    /// Frames of a trial, in which the alerts of the old head and the new one both go out (1 to 1000000).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub trial_frames: u64,
    /// Confident alerts of the old head that the new one must have confirmed before it serves alone (0 to 1000). Until
    /// then the trial goes on. Not asked where the two heads have no alerting label in common.
    #[schemars(range(min = 0, max = 1_000))]
    pub trial_alerts: u64,
    /// Largest part of a trial's frames on which the heads may disagree whether to alert (0 to 1).
    #[schemars(range(min = 0, max = 1))]
    pub max_disagreement: f32,
    /// Frames whose features are kept, about 2 KB each, so that they can be labelled later and heads be fitted on them
    /// here (0 to 100000). 0: none.
    #[schemars(range(min = 0, max = 100_000))]
    pub keep_features: u64,
}

/// The status page, metrics for Prometheus and a few questions for scripts; off unless `listen` is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where the status page is served: `127.0.0.1:8080`, `0.0.0.0:8080`, `[::1]:8080`, or the absolute path of a Unix
    /// socket. An address that others can reach needs a token. Absent: nowhere.
    #[schemars(length(min = 1))]
    pub listen: Option<String>,
    /// File that holds the token which opens the page, not readable by everyone; at least 16 characters. Absent: the systemd
    /// credential `http_token`, if there is one.
    #[schemars(length(min = 1))]
    pub token_file: Option<PathBuf>,
    /// Further host names by which the page is reached, `[a-z0-9.-]+`. Numbers, `localhost`, the host's name and the trap's,
    /// also with `.local`, need not be listed.
    #[schemars(extend("items" = { "type": "string", "pattern": "^[a-z0-9.-]+$" }))]
    pub names: Vec<String>,
}

/// What the daemon says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least serious message that is logged.
    pub level: LogLevel,
    /// `text` for people and the systemd journal, `json` for log collectors.
    pub format: LogFormat,
}

/// Severity of a log message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Something failed and needs a person.
    Error,
    /// Something is odd and was survived.
    Warn,
    /// What the daemon does, an event a line.
    Info,
    /// Each frame.
    Debug,
    /// Everything, libraries included.
    Trace,
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A line of text.
    Text,
    /// A JSON object a line.
    Json,
}

impl Default for State {
    fn default() -> Self {
        Self { directory: "./arcticd-state".into(), max_mib: 512, hold_s: 3600 }
    }
}

impl Default for Model {
    fn default() -> Self {
        Self { backbone: "builtin".into(), head: "builtin".into(), threads: 1 }
    }
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            url: None,
            prefix: "arcticd".into(),
            client_id: None,
            username: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            keep_alive_s: 60,
            connect_timeout_s: 30,
            inflight: 50,
            health_s: 60,
        }
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self { max_entries: 100_000 }
    }
}

impl Default for Heads {
    fn default() -> Self {
        Self {
            trusted_keys: vec!["/etc/arcticd/trusted_keys".into()],
            directory: "/etc/arcticd/heads".into(),
            max_bytes: 8 << 20,
            max_jump: 1_000,
            shadow_frames: 0,
            trial_frames: 50,
            trial_alerts: 1,
            max_disagreement: 0.5,
            keep_features: 0,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Text }
    }
}
