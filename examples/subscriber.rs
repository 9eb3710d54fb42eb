//! Alerts of arcticd's traps, each once, and a word when one is missing: `subscriber --broker HOST`.
//!
//! The broker keeps a session for the client id, so what comes while this program is away is delivered later. A message is
//! acknowledged only when it stands in the state file, so none is lost if this program is killed. Needs `rumqttc`,
//! `serde_json` and `time` alone; docs/subscribers/README.md says what it does.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rumqttc::{Client, Event, MqttOptions, Packet, Publish, QoS};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

type Error = Box<dyn std::error::Error>;

/// How old replayed news may be to ring.
const FRESH: Duration = Duration::from_secs(5 * 60);

/// A connection that breaks sooner was ended by somebody, if it comes again and again.
const SOON: Duration = Duration::from_secs(60);

/// A trap's journal: its name and its epoch.
type Row = (String, String);

const USAGE: &str =
    "subscriber [--broker HOST] [--port N] [--prefix arcticd] [--client-id console] [--state received.txt]";

fn main() -> Result<(), Error> {
    let mut settings: HashMap<String, String> = HashMap::new();
    let mut words = std::env::args().skip(1);
    while let (Some(name), value) = (words.next(), words.next()) {
        let name = name.strip_prefix("--").ok_or(USAGE)?;
        settings.insert(name.to_owned(), value.ok_or(USAGE)?);
    }
    let setting = |name: &str, otherwise: &str| settings.get(name).map_or(otherwise, String::as_str).to_owned();
    let prefix = setting("prefix", "arcticd");
    let mut console = Console::open(Path::new(&setting("state", "received.txt")))?;

    let client_id = setting("client-id", "console");
    let mut options =
        MqttOptions::new(&client_id, setting("broker", "localhost"), setting("port", "1883").parse::<u16>()?);
    options.set_clean_session(false).set_manual_acks(true).set_keep_alive(Duration::from_secs(30));
    // Inline pictures make messages larger than the client's 10 KiB.
    options.set_max_packet_size(4 << 20, 1 << 20);
    let (client, mut connection) = Client::new(options, 100);
    let (mut begun, mut soon) = (None::<Instant>, 0);
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                begun = Some(Instant::now());
                for leaf in ["availability", "detection", "features/+", "health"] {
                    client.try_subscribe(format!("{prefix}/+/{leaf}"), QoS::AtLeastOnce)?;
                }
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                match console.hear(&prefix, &message) {
                    Ok(()) => {}
                    Err(Trouble::Message(problem)) => println!("not understood: {}: {problem}", message.topic),
                    // Unacknowledged, it comes again when there is room.
                    Err(Trouble::Disk(error)) => return Err(error.into()),
                }
                client.try_ack(&message)?;
            }
            Ok(_) => {}
            Err(error) => {
                if let Some(begun) = begun.take() {
                    soon = if begun.elapsed() < SOON { soon + 1 } else { 0 };
                }
                // A broker that lets somebody in ends the connection under the same id, and does not say so.
                let twin = format!("; has another program the client id {client_id}? Give each its own --client-id");
                eprintln!("{error}; trying again{}", if soon > 2 { &twin } else { "" });
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
    Ok(())
}

/// Why a message was not taken.
enum Trouble {
    Message(String),
    Disk(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

fn text<'m>(message: &'m Value, place: &str) -> Result<&'m str, Trouble> {
    message.pointer(place).and_then(Value::as_str).ok_or_else(|| Trouble::Message(format!("no text at {place}")))
}

fn number(message: &Value, place: &str) -> Result<u64, Trouble> {
    message.pointer(place).and_then(Value::as_u64).ok_or_else(|| Trouble::Message(format!("no number at {place}")))
}

/// Whether it is news: docs/messages.md says why both times are looked at.
fn fresh(message: &Value) -> Result<bool, Trouble> {
    if message["replayed"] == false {
        return Ok(true);
    }
    for place in ["/processed_at", "/frame/captured_at"] {
        let at = text(message, place)?;
        let at = OffsetDateTime::parse(at, &Rfc3339).map_err(|error| Trouble::Message(format!("{at}: {error}")))?;
        if OffsetDateTime::now_utc() - at >= FRESH {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What was received: a line a message, and a line where counting began.
struct Console {
    file: File,
    ids: HashSet<String>,
    numbers: HashMap<Row, BTreeSet<u64>>,
    begin: HashMap<Row, u64>,
    told: HashSet<(Row, u64)>,
}

impl Console {
    fn open(path: &Path) -> Result<Self, Error> {
        let written = std::fs::read_to_string(path).unwrap_or_default();
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (ids, numbers, begin, told) = Default::default();
        let mut console = Self { file, ids, numbers, begin, told };
        for line in written.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            if let [trap, epoch, number, id] = line.split_whitespace().collect::<Vec<_>>()[..]
                && let Ok(number) = number.parse()
            {
                console.take((trap.to_owned(), epoch.to_owned()), number, id);
            }
        }
        // What a power cut left unfinished was not acknowledged: its message comes again, on a line of its own.
        writeln!(console.file)?;
        Ok(console)
    }

    fn take(&mut self, row: Row, number: u64, id: &str) {
        if id == "-" {
            self.begin.insert(row, number);
        } else {
            self.ids.insert(id.to_owned());
            self.numbers.entry(row).or_default().insert(number);
        }
    }

    fn note(&mut self, row: Row, number: u64, id: &str) -> io::Result<()> {
        writeln!(self.file, "{} {} {number} {id}", row.0, row.1)?;
        self.file.sync_data()?;
        self.take(row, number, id);
        Ok(())
    }

    fn hear(&mut self, prefix: &str, message: &Publish) -> Result<(), Trouble> {
        let below = message.topic.strip_prefix(prefix).unwrap_or_default().trim_start_matches('/');
        let json = || serde_json::from_slice(&message.payload).map_err(|error| Trouble::Message(error.to_string()));
        match below.split_once('/') {
            // What was retained has been taken back.
            _ if message.payload.is_empty() => Ok(()),
            Some((trap, "availability")) => {
                println!("{trap} is {}", String::from_utf8_lossy(&message.payload));
                Ok(())
            }
            Some((_, "health")) => self.heartbeat(&json()?, message.retain),
            Some((_, "features/get")) | None => Ok(()),
            Some(_) => self.message(&json()?),
        }
    }

    /// A detection, or features that somebody asked for: they have numbers of the same row.
    fn message(&mut self, message: &Value) -> Result<(), Trouble> {
        let row = (text(message, "/trap")?.to_owned(), text(message, "/epoch")?.to_owned());
        let (trap, seq, id) = (row.0.clone(), number(message, "/seq")?, text(message, "/id")?);
        // A number is counted whether or not its message is a repeat.
        let repeat = self.ids.contains(id);
        self.note(row, seq, id)?;
        match message["kind"].as_str() {
            _ if repeat => println!("repeat {trap} {seq}"),
            Some("detection") => {
                let word = if fresh(message)? { "ALERT" } else { "old" };
                let (label, frame) = (text(message, "/label")?, text(message, "/frame/name")?);
                println!("{word} {trap} {label} {:.2} {frame}", message["confidence"].as_f64().unwrap_or_default());
            }
            Some("event_closed") => {
                println!("over {trap} {} {} frames", text(message, "/label")?, number(message, "/event/frames")?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Every number up to `acked_through` has reached the broker, and so, before this, us.
    fn heartbeat(&mut self, health: &Value, retained: bool) -> Result<(), Trouble> {
        let row = (text(health, "/trap")?.to_owned(), text(health, "/epoch")?.to_owned());
        let through = number(health, "/acked_through")?;
        if !self.begin.contains_key(&row) {
            let known = self.begin.keys().any(|(trap, _)| *trap == row.0);
            if known {
                println!("new epoch {}: it lost its journal", row.0);
            }
            // Of a journal that is new to us all counts; of the first one, what comes from now on.
            let first = self.numbers.get(&row).and_then(|numbers| numbers.first()).map(|first| first.saturating_sub(1));
            self.note(row.clone(), if known { 0 } else { first.unwrap_or(through) }, "-")?;
        }
        if retained {
            return Ok(()); // It may be older than what waits for us in the session.
        }
        let ranges = health.pointer("/outbox/dropped_seq").and_then(Value::as_array).cloned().unwrap_or_default();
        let dropped =
            |seq: u64| ranges.iter().any(|range| (range[0].as_u64()..=range[1].as_u64()).contains(&Some(seq)));
        let none = BTreeSet::new();
        let received = self.numbers.get(&row).unwrap_or(&none);
        let due = self.begin[&row].saturating_add(1)..=through;
        let missing = due.filter(|seq| !received.contains(seq) && !self.told.contains(&(row.clone(), *seq)));
        // Of more, the next heartbeat tells: a number without end must not fill the memory.
        for seq in missing.take(1_000).collect::<Vec<_>>() {
            self.told.insert((row.clone(), seq));
            println!("{} {} {seq}", if dropped(seq) { "dropped" } else { "MISSING" }, row.0);
        }
        Ok(())
    }
}
