//! `arcticd fleet` beside real daemons on a real mosquitto: what the table says, and that nobody notices who looks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use parts::flapping::port;
use parts::linked::retain;
use parts::{BIN, PATIENCE, bear, skip, wait_frames, world};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use testkit::broker::{Mosquitto, Options};
use testkit::daemon::World;
use testkit::subscriber::{Message, Subscriber, Subscription};
use testkit::wait_until;

fn mosquitto(extra: &[&str]) -> Option<Mosquitto> {
    if !Mosquitto::available() {
        skip("the fleet", "mosquitto is not installed");
        return None;
    }
    let extra = extra.iter().map(|line| (*line).to_owned()).collect();
    Some(Mosquitto::start(Options { port: Some(port()), extra, ..Options::default() }).unwrap())
}

fn trap(broker: &Mosquitto, name: &str) -> World {
    world().set("trap", name).set("mqtt.url", broker.url())
}

struct Output {
    code: i32,
    out: String,
    err: String,
}

impl Output {
    /// The objects, by trap.
    fn rows(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    fn row(&self, trap: &str) -> Value {
        self.rows().into_iter().find(|row| row["trap"] == trap).unwrap_or_else(|| panic!("{trap}: {}", self.out))
    }
}

fn command(broker: &Mosquitto, arguments: &[&str]) -> Command {
    let mut command = Command::new(BIN);
    command.env_clear().current_dir(std::env::temp_dir()).args(["fleet", "--broker", &broker.url()]).args(arguments);
    command
}

fn fleet(broker: &Mosquitto, arguments: &[&str]) -> Output {
    let output = command(broker, arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Output { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn listen(broker: &Mosquitto) -> Subscriber {
    Subscriber::start(Subscription::new(broker.port(), "arcticd/#")).unwrap()
}

/// Waits until this trap has said on `topic` what `wanted` agrees with.
fn wait_said(subscriber: &Subscriber, trap: &str, topic: &str, wanted: impl Fn(&Message) -> bool) {
    let topic = format!("arcticd/{trap}/{topic}");
    let said = |messages: &[Message]| messages.iter().any(|message| message.topic == topic && wanted(message));
    subscriber.wait_for(PATIENCE, said).unwrap();
}

#[test]
fn the_table_tells_how_real_traps_stand_and_none_of_them_notices() {
    let Some(broker) = mosquitto(&["log_type all"]) else { return };
    let subscriber = listen(&broker);
    let worlds = ["mast-1", "mast-2", "mast-3"].map(|name| trap(&broker, name));
    let [one, two, three] = &worlds;
    let (online, mut stopped, mut killed) =
        (one.start(BIN).unwrap(), two.start(BIN).unwrap(), three.start(BIN).unwrap());
    one.drop_frame("a.jpg", &bear(1)).unwrap();
    wait_frames(one, &["a.jpg"]);
    wait_said(&subscriber, "mast-1", "health", |message| message.json()["counters"]["classified"] == 1);
    for name in ["mast-1", "mast-2", "mast-3"] {
        wait_said(&subscriber, name, "head/state", |_| true);
        wait_said(&subscriber, name, "health", |_| true);
    }
    assert_eq!(stopped.terminate().unwrap(), 0);
    killed.kill().unwrap();
    wait_said(&subscriber, "mast-2", "availability", |message| message.text() == "stopped");
    wait_said(&subscriber, "mast-3", "availability", |message| message.text() == "offline");

    let text = fleet(&broker, &[]);
    assert_eq!((text.code, text.err.as_str()), (0, ""), "{}", text.out);
    let lines: Vec<Vec<&str>> = text.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 5, "{}", text.out);
    assert_eq!(lines[0], ["TRAP", "STATE", "SEEN", "FRAME", "BACKLOG", "OUTBOX", "HEAD", "SEQ", "REMARKS"]);
    let state: Vec<[&str; 2]> = lines[1..4].iter().map(|line| [line[0], line[1]]).collect();
    assert_eq!(state, [["mast-1", "online"], ["mast-2", "stopped"], ["mast-3", "offline"]]);
    assert!(text.out.contains("demo-scenes rendered  1"), "{}", text.out);
    assert!(text.out.lines().last().unwrap().starts_with("3 traps: 1 offline, 1 online, 1 stopped"), "{}", text.out);

    let json = fleet(&broker, &["--json"]);
    assert_eq!((json.code, json.rows().len()), (0, 3), "{}", json.err);
    let row = json.row("mast-1");
    assert_eq!((&row["state"], &row["unreadable"], &row["groups"]), (&json!("online"), &json!([]), &json!([])));
    assert_eq!(row["head"], json!({ "name": "demo-scenes", "version": "rendered", "sequence": 1 }));
    assert_eq!((&row["health"]["backlog"], &row["health"]["dropped"]), (&json!(0), &json!(0)));
    assert!(row["health"]["classified_at"].is_string() && row["health"]["version"].is_string(), "{row}");

    // Under clients of its own, without a session or a will; the trap kept its connection and published nothing for it.
    let log = broker.log();
    let lines: Vec<&str> = log.lines().collect();
    let came: Vec<&[&str]> = lines.windows(2).filter(|pair| pair[0].contains("as arcticd-fleet-")).collect();
    assert_eq!(came.len(), 2, "{log}");
    assert!(came.iter().all(|pair| pair[0].contains("c1") && pair[1].contains("No will message")), "{came:?}");
    assert_eq!(log.lines().filter(|line| line.contains("as arcticd-mast-1 ")).count(), 1, "{log}");
    let from_us = log.lines().filter(|line| line.contains("Received PUBLISH from arcticd-fleet-")).count();
    assert_eq!(from_us, 0, "{log}");
    drop(online);
}

#[test]
fn rubbish_from_the_broker_is_a_row_that_says_so_and_steers_nothing() {
    let Some(broker) = mosquitto(&[]) else { return };
    let put = |topic: &str, payload: &str| retain(broker.port(), topic, payload);
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}1m\u{202e}\r\nmast-9  online";
    put("arcticd/good/availability", "online");
    put("arcticd/odd/availability", evil);
    put("arcticd/odd/health", "{\"schema\":1");
    put("arcticd/odd/head/state", &"x".repeat(1 << 20));
    // mosquitto itself lets no control character into a topic.
    put("arcticd/Mast 9\u{202e}/availability", "online");
    let health = json!({
        "schema": 1, "trap": evil, "at": evil, "version": evil, "uptime_s": 0,
        "last": { "seen_at": evil, "classified_at": null, "acknowledged_at": null },
        "backlog": { "live": u64::MAX, "waiting": u64::MAX }, "outbox": { "queued": 1, "dropped": 2 },
        "warnings": vec![evil.repeat(20); 40],
    });
    put("arcticd/stolen/health", &health.to_string());
    for arguments in [&[][..], &["--json"]] {
        let said = fleet(&broker, arguments);
        assert_eq!(said.code, 3, "{}{}", said.out, said.err);
        let all = said.out.clone() + &said.err;
        let steers = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
        assert!(!all.contains(steers), "{all:?}");
        assert!(all.len() < 12_000, "{} bytes", all.len());
        assert!(said.err.contains("1 messages lie under names that no trap can have"), "{}", said.err);
        if arguments.is_empty() {
            let odd = said.out.lines().find(|line| line.starts_with("odd ")).unwrap();
            assert!(
                odd.ends_with("availability can't be read; health can't be read; head/state can't be read"),
                "{odd}"
            );
            assert_eq!(said.out.lines().count(), 5, "{}", said.out);
        } else {
            assert_eq!(said.row("odd")["unreadable"], json!(["availability", "health", "head/state"]));
            assert_eq!(said.row("good")["state"], "online");
            assert_eq!(said.row("stolen")["health"]["backlog"], json!(u64::MAX));
        }
    }
}

#[test]
fn whoever_sees_nothing_is_told_why() {
    let Some(broker) = mosquitto(&[]) else { return };
    let nobody = fleet(&broker, &[]);
    assert_eq!((nobody.code, nobody.out.as_str()), (1, ""));
    assert!(nobody.err.contains("no trap has said anything below arcticd/"), "{}", nobody.err);
    retain(broker.port(), "arcticd/odd/health", "{");
    assert_eq!(fleet(&broker, &[]).code, 1, "all that there is can't be read");
    retain(broker.port(), "field/mast-1/availability", "online");
    let other = fleet(&broker, &["--prefix", "field", "--json"]);
    assert_eq!((other.code, other.row("mast-1")["state"].clone()), (0, json!("online")));
    drop(broker);
    let away = Command::new(BIN).args(["fleet", "--broker", "mqtt://127.0.0.1:1"]).env_clear().output().unwrap();
    assert_eq!(away.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&away.stderr).contains("nothing answers there"), "{away:?}");
}

/// A watch, and what it prints.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(broker: &Mosquitto) -> Self {
        let mut child = command(broker, &["--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
        Self { child, lines }
    }

    fn wait(&self, wanted: impl Fn(&Value) -> bool) {
        let found = wait_until(PATIENCE, || {
            let line = self.lines.try_recv().ok()?;
            wanted(&serde_json::from_str(&line).unwrap()).then_some(())
        });
        found.expect("it is said");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watch_says_what_changes_also_behind_a_broker_that_was_away_and_ends_when_told() {
    let Some(mut broker) = mosquitto(&[]) else { return };
    retain(broker.port(), "arcticd/mast-1/availability", "online");
    let mut watch = Watch::start(&broker);
    watch.wait(|row| row["trap"] == "mast-1" && row["state"] == "online");
    retain(broker.port(), "arcticd/mast-2/availability", "asleep until 2026-11-28T11:40:00Z");
    watch.wait(|row| row["trap"] == "mast-2" && row["asleep_until"] == "2026-11-28T11:40:00Z");
    broker.restart().unwrap();
    retain(broker.port(), "arcticd/mast-1/availability", "offline");
    watch.wait(|row| row["trap"] == "mast-1" && row["state"] == "offline");
    kill_process(Pid::from_raw(watch.child.id() as i32).unwrap(), Signal::INT).unwrap();
    let ended = wait_until(PATIENCE, || watch.child.try_wait().unwrap()).expect("it ends");
    assert_eq!(ended.code(), Some(0));
}
