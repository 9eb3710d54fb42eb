//! A fleet behind one broker, set up as docs/mosquitto recommends: TLS, a password for everybody, and an access list by
//! which a trap speaks for itself alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::path::{Path, PathBuf};
use std::process::Command;

use arcticd::accept::{Content, Report, Scope, Step};
use arcticd::heads::Bundle;
use parts::heads::good;
use parts::{BIN, PATIENCE, frame, skip, wait_frames, world};
use testkit::broker::{Mosquitto, Options};
use testkit::certificates::Certificates;
use testkit::daemon::{Daemon, World};
use testkit::head::signed::{self, Maker, Mind};
use testkit::scenes::Scene;
use testkit::subscriber::{Message, Subscriber, Subscription};

const TRAPS: [&str; 3] = ["north", "south", "east"];

/// The recommended broker, with the traps, `scientist` and `console` as users.
struct Fleet {
    broker: Mosquitto,
    certificates: Certificates,
    directory: tempfile::TempDir,
}

impl Fleet {
    fn start() -> Self {
        let (certificates, directory) = (Certificates::generate().unwrap(), tempfile::tempdir().unwrap());
        let passwords = directory.path().join("passwords");
        std::fs::write(&passwords, "").unwrap();
        for user in TRAPS.iter().chain(&["scientist", "console"]) {
            let made = Command::new("mosquitto_passwd")
                .arg("-b")
                .arg(&passwords)
                .args([*user, &password(user)])
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let recommended = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mosquitto");
        // The list names one trap and its group; ours have an entry like that.
        let mut acl = std::fs::read_to_string(recommended.join("acl")).unwrap();
        let start = acl.find("user mast-1\n").unwrap();
        let entry = acl[start..].split("\n\n").next().unwrap().to_owned();
        for trap in TRAPS {
            acl.push_str(&format!("\n{}\n", entry.replace("mast-1", trap)));
        }
        let list = directory.path().join("acl");
        std::fs::write(&list, acl).unwrap();
        let mut extra = vec![
            format!("password_file {}", passwords.display()),
            format!("acl_file {}", list.display()),
            "log_type all".to_owned(),
        ];
        // All of the recommended configuration but the places of files, the port, and what the test broker sets itself.
        let text = std::fs::read_to_string(recommended.join("mosquitto.conf")).unwrap();
        let ours = ["listener", "certfile", "keyfile", "password_file", "acl_file", "persistence", "autosave"];
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        extra.extend(lines.filter(|line| !ours.iter().any(|it| line.starts_with(it))).map(str::to_owned));
        assert!(extra.iter().any(|line| line == "allow_anonymous false"), "{extra:?}");
        let options = Options { tls: Some(certificates.server(false)), extra, ..Options::default() };
        let broker = Mosquitto::start(options).unwrap();
        assert!(!broker.log().contains("ACL pattern"), "it warns of the list: {}", broker.log());
        Self { broker, certificates, directory }
    }

    fn connect(&self, user: &str, filter: &str) -> Subscriber {
        let subscription = Subscription::new(self.broker.port(), filter).tls(self.certificates.ca_file());
        Subscriber::start(subscription.login(user, password(user))).unwrap()
    }

    /// A trap of the group `coast` that trusts `maker`.
    fn trap(&self, name: &str, maker: &Maker) -> World {
        let world = world();
        let (keys, file) = (world.path("keys"), self.password_file(name));
        maker.trust_in(&keys).unwrap();
        world
            .set("trap", name)
            .set_raw("groups", "[\"coast\"]")
            .set("mqtt.url", self.broker.url())
            .set("mqtt.ca_file", self.certificates.ca_file().to_string_lossy())
            .set("mqtt.username", name)
            .set("mqtt.password_file", file.to_string_lossy())
            .set_raw("heads.trusted_keys", format!("[{:?}]", keys.to_str().unwrap()))
            .set("heads.directory", "by-hand")
            .set_raw("heads.trial_frames", "1")
            .set_raw("heads.trial_alerts", "0")
    }

    fn password_file(&self, user: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let file = self.directory.path().join(user);
        std::fs::write(&file, password(user)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }
}

fn password(user: &str) -> String {
    format!("{user}-and-the-ice")
}

fn group(content: Content) -> String {
    Scope::Group("coast".into()).topic("arcticd", content)
}

/// Publishes an offer and its pieces for the group, retained, and returns once the broker has all of it.
fn push(fleet: &Fleet, bundle: &Bundle) {
    let (id, pieces) = (signed::offer(bundle).unwrap().id(), signed::pieces(bundle));
    let watch = fleet.connect("console", &group(Content::Chunk { id, piece: pieces.len() as u32 - 1 }));
    let scientist = fleet.connect("scientist", "arcticd/+/head/state");
    scientist.publish(&group(Content::Offer), true, &signed::offer(bundle).unwrap().encode()).unwrap();
    for (piece, bytes) in (0u32..).zip(&pieces) {
        scientist.publish(&group(Content::Chunk { id, piece }), true, bytes).unwrap();
    }
    watch.wait_for(PATIENCE, |messages| !messages.is_empty()).unwrap();
}

/// Waits until this trap says that the head with this sequence is at this step.
fn wait_at(console: &Subscriber, trap: &str, sequence: u64, step: Step) -> Report {
    let of = |message: &Message| {
        let report: Report = serde_json::from_slice(&message.payload).ok()?;
        let offer = report.offer.as_ref()?;
        (report.trap == trap && offer.head.sequence == sequence && offer.state == step).then_some(report)
    };
    let state = format!("arcticd/{trap}/head/state");
    let find = |messages: &[Message]| messages.iter().filter(|message| message.topic == state).find_map(of);
    find(&console.wait_for(PATIENCE, |messages| find(messages).is_some()).unwrap()).unwrap()
}

/// Starts a trap and shows it a frame once the head is tried, so that it serves.
fn converge(console: &Subscriber, world: &World, trap: &str, sequence: u64) {
    let report = wait_at(console, trap, sequence, Step::Trial);
    assert_eq!(report.groups, ["coast"]);
    world.drop_frame("empty.jpg", &frame(Scene::Empty, 1)).unwrap();
    wait_frames(world, &["empty.jpg"]);
    let report = wait_at(console, trap, sequence, Step::Active);
    assert_eq!((report.active.sequence, report.refused.count), (sequence, 0), "{trap}: {:?}", report.refused);
}

#[test]
fn a_group_of_traps_takes_a_head_over_tls_and_the_one_that_was_away_takes_it_later() {
    if !Mosquitto::available() {
        return skip("a fleet", "mosquitto is not installed");
    }
    let (fleet, maker) = (Fleet::start(), Maker::new().unwrap());
    let console = fleet.connect("console", "arcticd/#");
    let worlds = TRAPS.map(|name| fleet.trap(name, &maker));
    let mut running: Vec<Daemon> = worlds[..2].iter().map(|world| world.start(BIN).unwrap()).collect();
    let head = maker.head(&Mind::Large(parts::head().to_owned(), 150_000), 3, |manifest| {
        manifest.audience = vec!["coast".into()];
    });
    push(&fleet, &head.unwrap());
    // Whoever pushed it is gone.
    for (world, name) in worlds.iter().zip(TRAPS).take(2) {
        converge(&console, world, name, 3);
    }
    running.push(worlds[2].start(BIN).unwrap());
    converge(&console, &worlds[2], TRAPS[2], 3);
    for mut daemon in running {
        assert!(daemon.log().iter().all(|line| !line.contains("next try")), "{:?}", daemon.log());
        assert_eq!(daemon.terminate().unwrap(), 0);
    }
}

#[test]
fn a_trap_can_speak_for_no_other_push_no_head_and_read_no_alert() {
    if !Mosquitto::available() {
        return skip("the access list", "mosquitto is not installed");
    }
    let (fleet, maker) = (Fleet::start(), Maker::new().unwrap());
    let console = fleet.connect("console", "arcticd/#");
    let spy = fleet.connect("south", "arcticd/#");
    let north = fleet.connect("north", "arcticd/north/head/#");
    let scientist = fleet.connect("scientist", "arcticd/+/head/state");
    let id = signed::offer(&maker.head(&good(), 1, |_| {}).unwrap()).unwrap().id();
    let mut denied = vec![
        "arcticd/south/detection".to_owned(),
        "arcticd/south/availability".into(),
        "arcticd/south/health".into(),
        "arcticd/south/head/state".into(),
        "arcticd/north/label/set".into(),
        "arcticd/south/features/get".into(),
        "arcticd/north/anything".into(),
        "other/topic".into(),
    ];
    for scope in [Scope::Trap("north".into()), Scope::Trap("south".into()), Scope::Group("coast".into())] {
        let contents = [Content::Set, Content::Offer, Content::Chunk { id, piece: 0 }];
        denied.extend(contents.map(|content| scope.topic("arcticd", content)));
    }
    for topic in &denied {
        north.publish(topic, true, b"forged").unwrap();
    }
    for topic in ["arcticd/north/detection", "arcticd/north/head/state", "arcticd/south/availability"] {
        scientist.publish(topic, false, b"forged").unwrap();
    }
    let allowed = ["detection", "availability", "health", "check", "head/state", "features/5c1f"];
    for leaf in allowed {
        north.publish(&format!("arcticd/north/{leaf}"), false, b"true").unwrap();
    }
    // A group that south is not in; what is meant for south comes behind it.
    scientist.publish("arcticd/group/ice/head/set", false, b"true").unwrap();
    scientist.publish("arcticd/south/head/set", false, b"true").unwrap();
    let heard = console.wait_for(PATIENCE, |messages| messages.len() > allowed.len() + 1).unwrap();
    let forged: Vec<&str> = heard.iter().filter(|it| it.payload == b"forged").map(|it| it.topic.as_str()).collect();
    assert!(forged.is_empty() && heard.len() == allowed.len() + 2, "{forged:?}");
    for topic in &denied {
        let line = fleet.broker.log().lines().any(|line| line.contains("Denied PUBLISH") && line.contains(topic));
        assert!(line, "the broker does not say that it denied {topic}");
    }
    // Another trap hears what is meant for it, and none of the alerts.
    let heard = spy.wait_for(PATIENCE, |messages| !messages.is_empty()).unwrap();
    assert_eq!(heard.iter().map(|it| it.topic.as_str()).collect::<Vec<_>>(), ["arcticd/south/head/set"]);
    // Nor may anybody in without a password, or with another's.
    for (user, word) in [("north", password("south")), ("nobody", password("nobody")), ("north", String::new())] {
        let subscription = Subscription::new(fleet.broker.port(), "arcticd/#").tls(fleet.certificates.ca_file());
        assert!(Subscriber::try_once(subscription.login(user, word)).is_err(), "{user} came in");
    }
}
