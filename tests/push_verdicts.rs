//! What a scientist learns from `arcticd head push`: verdicts, refusals foreseen, exit codes, and what to do about errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod desk;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use arcticd::accept::Step;
use desk::{
    Desk, LARGE, Mind, PATIENCE, SMALL, Trap, broker, broker_with, heard, id, live, publish, report, reported,
    retained, spy,
};
use testkit::broker::{Login, Options, free_port};
use testkit::certificates::Certificates;

#[test]
fn traps_and_a_group_take_a_head_that_arrives_as_it_left() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    let head = desk.head("large", LARGE, 1);
    let _traps = [
        Trap::start(&broker, report("north", &["coast"]), Mind::Takes),
        Trap::start(&broker, report("south", &["coast", "ice"]), Mind::Serves),
        Trap::start(&broker, report("west", &[]), Mind::Takes),
    ];
    let pushed = desk.push(&broker, "large", &["--group", "coast", "--trap", "west", "--json"]);
    assert_eq!(pushed.code, Some(0));
    let json = pushed.json();
    let traps: Vec<_> = json["traps"].as_array().unwrap().iter().map(|trap| trap["trap"].as_str().unwrap()).collect();
    assert_eq!(traps, ["north", "south", "west"]);
    assert!(json["traps"].as_array().unwrap().iter().all(|trap| trap["took"] == true), "{json}");
    assert_eq!(json["head"]["id"], id(&head).to_string());
    assert!(!pushed.err.is_empty(), "what people read goes to standard error");

    let active = desk.push(&broker, "large", &["--trap", "south", "--until", "active"]);
    assert_eq!(active.code, Some(0));
    assert!(active.out.contains("active"), "{}", active.out);
}

#[test]
fn the_exit_code_says_whether_all_some_or_none_took_it_and_the_text_says_why() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    desk.head("small", SMALL, 1);
    let reason = "canary 3 differs by 0.2";
    let _traps = [
        Trap::start(&broker, report("north", &[]), Mind::Takes),
        Trap::start(&broker, report("south", &[]), Mind::Rejects(reason.into())),
    ];
    assert_eq!(desk.push(&broker, "small", &["--trap", "north"]).code, Some(0));
    let some = desk.push(&broker, "small", &["--trap", "north,south"]);
    assert_eq!(some.code, Some(3));
    assert!(some.out.lines().any(|line| line.starts_with("south  rejected") && line.contains(reason)), "{}", some.out);
    assert!(some.out.contains("1 of 2 traps took it"), "{}", some.out);
    assert_eq!(desk.push(&broker, "small", &["--trap", "south"]).code, Some(1));
    // Not decided in time is not taken.
    assert_eq!(desk.push(&broker, "small", &["--trap", "west", "--wait", "1"]).code, Some(1));
    assert_eq!(desk.push(&broker, "small", &["--trap", "north", "--until", "active", "--wait", "1"]).code, Some(1));
}

#[test]
fn a_trap_that_will_refuse_is_told_before_and_gets_nothing() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    let head = desk.head("large", LARGE, 5);
    let mut other = report("other", &["coast"]);
    other.backbone = "resnet".into();
    let mut ahead = report("ahead", &["coast"]);
    ahead.floor = 5;
    let mut little = report("little", &["coast"]);
    little.max_bytes = 4096;
    for report in [&other, &ahead, &little] {
        reported(&broker, report);
    }
    for arguments in [["--group", "coast"], ["--trap", "other,ahead,little"]] {
        let dry = desk.push(&broker, "large", &[&arguments[..], &["--dry-run"]].concat());
        assert_eq!(dry.code, Some(3));
        for word in ["backbone test-net, the trap runs resnet", "sequence 5 is not above 5", "heads.max_bytes"] {
            assert!(dry.out.contains(word), "{}", dry.out);
        }
        let pushed = desk.push(&broker, "large", &arguments);
        assert_eq!(pushed.code, Some(1));
        assert!(retained(&broker).is_empty(), "{:?}", retained(&broker).keys());
    }
    // One that fits is reason enough to offer it to the group; the others are not waited for.
    let _trap = Trap::start(&broker, report("north", &["coast"]), Mind::Takes);
    assert_eq!(desk.push(&broker, "large", &["--group", "coast"]).code, Some(3));
    assert_eq!(retained(&broker).len(), head.manifest().chunks.as_ref().unwrap().sha256.len() + 1);
    assert_eq!(desk.push(&broker, "large", &["--trap", "ahead", "--force", "--wait", "0"]).code, Some(0));
    assert!(retained(&broker).contains_key("arcticd/ahead/head/offer"));
}

#[test]
fn a_group_of_which_nobody_is_known_gets_the_head_all_the_same() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    desk.head("small", SMALL, 1);
    let pushed = desk.push(&broker, "small", &["--group", "ice", "--wait", "1"]);
    assert_eq!(pushed.code, Some(1));
    assert!(pushed.out.contains("no trap has reported that it is in this group"), "{}", pushed.out);
    assert_eq!(retained(&broker).into_keys().collect::<Vec<_>>(), ["arcticd/group/ice/head/set"]);
    // A trap that wakes up later finds it, with nobody pushing, and the next look sees that.
    let spy = spy(&broker);
    let _trap = Trap::start(&broker, report("north", &["ice"]), Mind::Takes);
    let trial = |it: &testkit::subscriber::Message| it.json()["offer"]["state"] == Step::Trial.name();
    spy.wait_for(PATIENCE, |messages| messages.iter().any(trial)).unwrap();
    assert_eq!(desk.push(&broker, "small", &["--group", "ice"]).code, Some(0));
    assert_eq!(heard(&broker, &spy).len(), 0);
}

#[test]
fn a_trap_of_which_only_a_stray_byte_is_known_can_not_steer_the_terminal() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    desk.head("small", SMALL, 1);
    publish(&broker, "arcticd/south/head/state", b"\x1b[2J{");
    let mut evil = report("north", &[]);
    evil.at = "\u{1b}]0;owned\u{7}".into();
    evil.active.name = "\u{1b}[2Jarctic\r\nsouth  active".into();
    let _trap = Trap::start(&broker, evil, Mind::Rejects("no\u{1b}[31m\nsouth  trial".into()));
    let pushed = desk.push(&broker, "small", &["--trap", "north,south", "--wait", "2"]);
    assert_eq!(pushed.code, Some(1));
    assert!(pushed.out.contains("can't be read"), "{}", pushed.out);
    assert!(pushed.out.chars().all(|letter| letter == '\n' || !letter.is_control()), "{:?}", pushed.out);
    assert!(!pushed.out.lines().any(|line| line.starts_with("south  trial") || line.starts_with("south  active")));
}

#[test]
fn what_can_not_be_pushed_is_refused_with_advice_and_nothing_is_published() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    desk.unsigned("raw", SMALL, 1);
    let unsigned = desk.push(&broker, "raw", &["--trap", "north"]);
    assert_eq!(unsigned.code, Some(1));
    assert!(unsigned.err.contains("arcticd head sign raw.head"), "{}", unsigned.err);
    let missing = desk.push(&broker, "missing", &["--trap", "north"]);
    assert!(missing.code == Some(1) && missing.err.contains("missing.head"), "{}", missing.err);
    assert_eq!(desk.push(&broker, "raw", &[]).code, Some(2));
    assert_eq!(desk.push(&broker, "raw", &["--trap", "a/b"]).code, Some(2));
    assert!(retained(&broker).is_empty());

    desk.head("small", SMALL, 1);
    let url = format!("mqtt://127.0.0.1:{}", free_port().unwrap());
    let nobody = desk.arcticd(&["head", "push", "small.head", "--trap", "north", "--broker", &url]);
    let said = String::from_utf8(nobody.stderr).unwrap();
    assert!(nobody.status.code() == Some(1) && said.contains(&url) && said.contains("is it running"), "{said}");
}

#[test]
fn an_interrupted_push_says_that_the_head_stays() {
    let Some(broker) = broker() else { return };
    let desk = Desk::new();
    desk.head("small", SMALL, 1);
    let spy = spy(&broker);
    let push = desk.start(&broker, "small", &["--trap", "north"]);
    spy.wait_for(PATIENCE, |messages| live(messages).len() == 1).unwrap();
    push.interrupt();
    let ended = push.end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.out.contains("interrupted"), "{}", ended.out);
    assert_eq!(retained(&broker).len(), 1);
}

#[test]
fn a_configuration_names_the_broker_and_the_command_line_goes_over_it() {
    const PASSWORD: &str = "seal-blubber-42";
    let certificates = Certificates::generate().unwrap();
    let login = Login { user: "desk".into(), password: PASSWORD.into() };
    let tls = Some(certificates.server(false));
    let Some(broker) = broker_with(Options { tls, login: Some(login), ..Options::default() }) else { return };
    let desk = Desk::new();
    desk.head("small", SMALL, 1);
    let password = |name: &str, text: &str| {
        fs::write(desk.path(name), text).unwrap();
        fs::set_permissions(desk.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    password("right", PASSWORD);
    password("wrong", "guess");
    let config = format!(
        "[mqtt]\nurl = {:?}\nusername = \"desk\"\npassword_file = \"right\"\nca_file = {:?}\n",
        broker.url(),
        certificates.ca_file()
    );
    fs::write(desk.path("push.toml"), config).unwrap();
    let push = |more: &[&str]| {
        let call = ["head", "push", "small.head", "--config", "push.toml", "--group", "ice", "--wait", "0"];
        let output = desk.arcticd(&[&call[..], more].concat());
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!said.contains(PASSWORD), "{said}");
        (output.status.code(), said)
    };
    let (code, said) = push(&[]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = push(&["--password-file", "wrong"]);
    assert!(code == Some(1) && said.contains("--password-file"), "{said}");
    let (code, said) = push(&["--ca-file", "push.toml"]);
    assert!(code == Some(1) && said.contains("ca_file"), "{said}");
}

#[test]
fn a_broker_that_does_not_keep_the_head_is_found_out() {
    let desk = Desk::new();
    desk.head("small", SMALL, 1);
    desk.head("large", LARGE, 1);
    let list = |name: &str, text: &str| {
        fs::write(desk.path(name), text).unwrap();
        format!("acl_file {}", desk.path(name).display())
    };
    let blind = "topic write arcticd/#\ntopic read arcticd/+/head/state\n";
    const RIGHT: &str = "topic readwrite arcticd/north/head/set";
    // Depending on their version, brokers acknowledge what they throw away, or end the connection.
    for (setting, name, topic, advice) in [
        (list("mute", "topic read #\n"), "small", "arcticd/north/head/set", RIGHT),
        (list("blind", blind), "small", "arcticd/north/head/set", RIGHT),
        ("message_size_limit 4000".to_owned(), "large", "arcticd/north/head/chunk/", "of this size"),
        ("retain_available false".to_owned(), "small", "arcticd/north/head/set", "must be allowed to write"),
    ] {
        let extra = vec![setting, "max_queued_messages 1000".to_owned()];
        let Some(broker) = broker_with(Options { extra, ..Options::default() }) else { return };
        let pushed = desk.push(&broker, name, &["--trap", "north"]);
        assert_eq!(pushed.code, Some(1));
        assert!(pushed.err.contains(topic) && pushed.err.contains(advice), "{}", pushed.err);
        if advice == RIGHT {
            assert_eq!(pushed.out.matches("publishing 1 message").count(), 1, "{}", pushed.out);
            assert!(!pushed.err.contains("stays on the broker"), "{}", pushed.err);
        }
    }
}
