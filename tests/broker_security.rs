//! TLS, client certificates and passwords: what should connect does, what should not says why and never falls back, and
//! secrets stay secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use parts::{BIN, PATIENCE, bear, every_frame, skip, start_online, wait_detections, wait_frames};
use testkit::broker::{Login, Mosquitto, Options};
use testkit::certificates::Certificates;
use testkit::daemon::{Daemon, World};
use testkit::subscriber::{Subscriber, Subscription};
use testkit::wait_until;

const PASSWORD: &str = "seal-blubber-42";

fn no_mosquitto(test: &str) -> bool {
    if !Mosquitto::available() {
        skip(test, "mosquitto is not installed");
    }
    !Mosquitto::available()
}

fn tls_broker(certificates: &Certificates, client_certificate: bool) -> Mosquitto {
    Mosquitto::start(Options { tls: Some(certificates.server(client_certificate)), ..Options::default() }).unwrap()
}

fn login_broker() -> Mosquitto {
    let login = Login { user: "mast".into(), password: PASSWORD.into() };
    Mosquitto::start(Options { login: Some(login), ..Options::default() }).unwrap()
}

fn tls_world(url: String, ca_file: &Path) -> World {
    every_frame().set("mqtt.url", url).set("mqtt.ca_file", ca_file.to_string_lossy())
}

fn login_world(broker: &Mosquitto, password: &str) -> World {
    let world = every_frame().set("mqtt.url", broker.url()).set("mqtt.username", "mast");
    let file = world.path("password");
    fs::write(&file, format!("{password}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    world.set("mqtt.password_file", file.to_string_lossy())
}

/// Waits for the second refusal: the first was tried again. The alert meanwhile stays queued.
fn assert_refused(world: &World, daemon: &Daemon, reason: &[&str]) {
    let refusals = || -> Vec<String> { daemon.log().into_iter().filter(|line| line.contains("next try")).collect() };
    let seen = wait_until(PATIENCE, || (refusals().len() >= 2).then(refusals))
        .unwrap_or_else(|| panic!("not tried again: {:?}", daemon.log()));
    assert!(seen.iter().all(|line| reason.iter().any(|word| line.contains(word))), "{reason:?} is not said: {seen:?}");
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    wait_frames(world, &["a.jpg"]);
    assert_eq!(world.ledger().messages().unwrap()[0].state, "queued");
}

#[test]
fn alerts_travel_over_tls_with_an_authority_of_ones_own() {
    if no_mosquitto("TLS") {
        return;
    }
    let certificates = Certificates::generate().unwrap();
    let broker = tls_broker(&certificates, false);
    let console = Subscription::new(broker.port(), "arcticd/test/#").tls(certificates.ca_file());
    let console = Subscriber::start(console).unwrap();
    let world = tls_world(broker.url(), &certificates.ca_file());
    let mut daemon = start_online(&world, &console);
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    wait_detections(&console, 1);
    assert_eq!(daemon.terminate().unwrap(), 0);
    console.wait_for(PATIENCE, |messages| parts::availability(messages) == ["online", "stopped"]).unwrap();
}

#[test]
fn a_broker_with_a_certificate_of_another_authority_is_refused_and_tried_again() {
    if no_mosquitto("a wrong authority") {
        return;
    }
    let (certificates, others) = (Certificates::generate().unwrap(), Certificates::generate().unwrap());
    let broker = tls_broker(&certificates, false);
    let world = tls_world(broker.url(), &others.ca_file());
    let daemon = world.start(BIN).unwrap();
    assert_refused(&world, &daemon, &["certificate"]);
    assert!(!broker.log().contains("as arcticd-test"), "{}", broker.log());
}

#[test]
fn a_broker_whose_certificate_names_another_host_is_refused_and_tried_again() {
    if no_mosquitto("a wrong host name") {
        return;
    }
    let certificates = Certificates::for_hosts(&["broker.example"]).unwrap();
    let broker = tls_broker(&certificates, false);
    let world = tls_world(broker.url(), &certificates.ca_file());
    let daemon = world.start(BIN).unwrap();
    assert_refused(&world, &daemon, &["not valid for name", "NotValidForName"]);
    assert!(!broker.log().contains("as arcticd-test"), "{}", broker.log());
}

#[test]
fn a_broker_that_does_not_speak_tls_is_never_spoken_to_in_plain_text() {
    let certificates = Certificates::generate().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = tls_world(format!("mqtts://localhost:{port}"), &certificates.ca_file());
    let daemon = world.start(BIN).unwrap();
    for _ in 0..3 {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(first, [0x16], "not the beginning of a TLS handshake");
    }
    drop(listener);
    daemon.wait_for_log("the port may speak no TLS", PATIENCE).unwrap();
}

#[test]
fn a_client_certificate_is_brought_where_one_is_asked_for() {
    if no_mosquitto("a client certificate") {
        return;
    }
    let certificates = Certificates::generate().unwrap();
    let broker = tls_broker(&certificates, true);
    let world = tls_world(broker.url(), &certificates.ca_file());
    let daemon = world.start(BIN).unwrap();
    assert_refused(&world, &daemon, &["ertificate", "reset", "closed"]);
    drop(daemon);

    let world = world
        .set("mqtt.cert_file", certificates.client_cert().to_string_lossy())
        .set("mqtt.key_file", certificates.client_key().to_string_lossy());
    let daemon = world.start(BIN).unwrap();
    daemon.wait_for_log("connected to localhost", PATIENCE).unwrap();
    // What waited is sent now.
    let acked = || world.ledger().messages().unwrap().iter().any(|message| message.state == "acked");
    wait_until(PATIENCE, || acked().then_some(())).expect("the alert is acknowledged");
}

#[test]
fn the_password_opens_the_broker_and_is_seen_nowhere() {
    if no_mosquitto("a password") {
        return;
    }
    let broker = login_broker();
    let console = Subscription::new(broker.port(), "arcticd/test/#").login("mast", PASSWORD);
    let console = Subscriber::start(console).unwrap();
    // As much as there is to be logged.
    let world = login_world(&broker, PASSWORD).set("log.level", "trace");
    let mut daemon = start_online(&world, &console);
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    wait_detections(&console, 1);
    for file in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{}/{file}", daemon.id())).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(PASSWORD), "{file}");
    }
    assert_eq!(daemon.terminate().unwrap(), 0);
    assert!(!daemon.log().is_empty());
    let said = [daemon.log(), daemon.stdout()].concat();
    assert!(said.iter().all(|line| !line.contains(PASSWORD)), "the password is logged");
    assert!(console.messages().iter().all(|message| !message.text().contains(PASSWORD)), "the password is published");
}

#[test]
fn a_wrong_password_is_named_as_what_it_is() {
    if no_mosquitto("a wrong password") {
        return;
    }
    let broker = login_broker();
    let world = login_world(&broker, "guess");
    let daemon = world.start(BIN).unwrap();
    assert_refused(&world, &daemon, &["mqtt.password_file"]);
    assert!(daemon.log().iter().all(|line| !line.contains("guess")), "{:?}", daemon.log());
}

/// Stages of `arcticd check` with their verdicts, what it said in all, and its exit code.
fn check(world: &World) -> (Vec<(String, bool)>, String, Option<i32>) {
    let config = world.write_config().unwrap();
    let output = world.command(BIN).args(["check", "--json", "--config"]).arg(config).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let verdict = |line: &str| {
        let verdict: serde_json::Value = serde_json::from_str(line).unwrap();
        (verdict["stage"].as_str().unwrap().to_owned(), verdict["ok"].as_bool().unwrap())
    };
    (said.lines().map(verdict).collect(), said, output.status.code())
}

fn stages(good: &[&str], failed: Option<&str>) -> Vec<(String, bool)> {
    let all = good.iter().map(|stage| (stage, true)).chain(failed.iter().map(|stage| (stage, false)));
    all.map(|(stage, ok)| ((*stage).to_owned(), ok)).collect()
}

const LOCAL: [&str; 7] = ["config", "capture", "retention", "state", "model", "heads", "files"];

#[test]
fn check_passes_every_stage_on_good_brokers() {
    if no_mosquitto("check") {
        return;
    }
    let broker = login_broker();
    let (found, said, code) = check(&login_world(&broker, PASSWORD));
    assert_eq!(found, stages(&[&LOCAL[..], &["dns", "tcp", "connack", "puback"]].concat(), None), "{said}");
    assert_eq!(code, Some(0));
    assert!(!said.contains(PASSWORD), "{said}");

    let certificates = Certificates::generate().unwrap();
    let broker = tls_broker(&certificates, false);
    let (found, said, code) = check(&tls_world(broker.url(), &certificates.ca_file()));
    assert_eq!(found, stages(&[&LOCAL[..], &["dns", "tcp", "tls", "connack", "puback"]].concat(), None), "{said}");
    assert_eq!(code, Some(0));
}

#[test]
fn check_stops_at_the_stage_that_fails_and_says_what_to_do() {
    if no_mosquitto("check") {
        return;
    }
    let absent = testkit::broker::free_port().unwrap();
    let (found, said, code) = check(&every_frame().set("mqtt.url", format!("mqtt://127.0.0.1:{absent}")));
    assert_eq!(found, stages(&[&LOCAL[..], &["dns"]].concat(), Some("tcp")), "{said}");
    assert!(said.contains("is the broker running") && code == Some(1), "{said}");

    let broker = login_broker();
    let (found, said, code) = check(&login_world(&broker, "guess"));
    assert_eq!(found, stages(&[&LOCAL[..], &["dns", "tcp"]].concat(), Some("connack")), "{said}");
    assert!(said.contains("mqtt.password_file") && code == Some(1), "{said}");

    let (certificates, others) = (Certificates::generate().unwrap(), Certificates::generate().unwrap());
    let plain = tls_world(broker.url().replace("mqtt://", "mqtts://"), &certificates.ca_file());
    let (found, said, code) = check(&plain);
    assert_eq!(found, stages(&[&LOCAL[..], &["dns", "tcp"]].concat(), Some("tls")), "{said}");
    assert!(said.contains("the port may speak no TLS") && code == Some(1), "{said}");

    let broker = tls_broker(&certificates, false);
    let (found, said, code) = check(&tls_world(broker.url(), &others.ca_file()));
    assert_eq!(found, stages(&[&LOCAL[..], &["dns", "tcp"]].concat(), Some("tls")), "{said}");
    assert!(said.contains("mqtt.ca_file") && code == Some(1), "{said}");

    let missing = every_frame().path("no-such-ca.pem");
    let (found, said, code) = check(&tls_world(broker.url(), &missing));
    assert_eq!(found, stages(&LOCAL[..6], Some("files")), "{said}");
    assert!(said.contains("mqtt.ca_file") && code == Some(1), "{said}");

    let world = every_frame().set("mqtt.url", broker.url());
    fs::remove_dir(world.captures()).unwrap();
    let (found, said, code) = check(&world);
    assert!(found.contains(&("capture".to_owned(), false)) && code == Some(1), "{said}");
}

#[test]
fn check_does_not_disturb_a_running_daemon_of_the_same_trap() {
    if no_mosquitto("check beside a daemon") {
        return;
    }
    let broker = Mosquitto::start(Options::default()).unwrap();
    let console = parts::listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let daemon = start_online(&world, &console);
    for _ in 0..3 {
        let (_, said, code) = check(&world);
        assert_eq!(code, Some(0), "{said}");
    }
    let checks =
        |messages: &[testkit::subscriber::Message]| messages.iter().filter(|it| it.topic.ends_with("/check")).count();
    console.wait_for(PATIENCE, |messages| checks(messages) == 3).unwrap();
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    wait_detections(&console, 1);
    assert_eq!(parts::availability(&console.messages()), ["online"]);
    let health = parts::wait_health(&console, |health| health["counters"]["acknowledged"] == 1);
    assert_eq!(health["counters"]["connections"], 1, "{health}");
    assert!(daemon.log().iter().all(|line| !line.contains("next try")), "{:?}", daemon.log());
    // Nor does it leave anything behind.
    let late = Subscriber::start(Subscription::new(broker.port(), "#")).unwrap();
    let kept =
        late.wait_for(Duration::from_secs(10), |messages| messages.iter().any(|it| it.topic.ends_with("/health")));
    assert_eq!(checks(&kept.unwrap()), 0);
}
