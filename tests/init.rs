//! `arcticd init` as an engineer or a script calls it: what is asked, what is tried, what is written and what never is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use testkit::broker::{Broker, Login, Mosquitto, Options, free_port};

const BIN: &str = env!("CARGO_BIN_EXE_arcticd");
const PASSWORD: &str = "seal-blubber-42";
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a capture directory in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("captures")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Without a terminal, as from a script.
    fn init(&self, flags: &[&str]) -> Output {
        let mut command = Command::new(BIN);
        command.current_dir(self.0.path()).env_clear().stdin(Stdio::null());
        command.args(["init", "-o", "arcticd.toml"]).args(flags).output().expect("the binary runs")
    }

    /// With all flags that are needed, but for these ones.
    fn init_but(&self, other: &[(&str, &str)], more: &[&str]) -> Output {
        let usual =
            [("--trap", "mast-3"), ("--capture", "captures"), ("--location-policy", "omitted"), ("--broker", "none")];
        let kept = usual.iter().filter(|(flag, _)| other.iter().all(|(changed, _)| changed != flag));
        let flags: Vec<&str> = kept.chain(other).flat_map(|(flag, value)| [*flag, *value]).collect();
        self.init(&[&flags[..], more].concat())
    }

    fn init_for(&self, broker: &str, more: &[&str]) -> Output {
        self.init_but(&[("--broker", broker)], more)
    }

    fn written(&self) -> toml::Table {
        fs::read_to_string(self.path("arcticd.toml")).expect("a configuration").parse().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn password_file(&self, name: &str, password: &str) {
        fs::write(self.path(name), format!("{password}\n")).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The program on a terminal of its own, which `script` makes.
struct Session {
    child: Child,
    stdin: ChildStdin,
    output: Receiver<Vec<u8>>,
    shown: String,
    read: usize,
}

impl Session {
    fn start(place: &Place, flags: &str) -> Option<Self> {
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-c", &format!("'{BIN}' init -o arcticd.toml {flags}"), "/dev/null"]);
        command.current_dir(place.0.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
        let Ok(mut child) = command.spawn() else {
            println!("skipped: script (util-linux) is not installed, so there is no terminal to ask on");
            return None;
        };
        let mut stdout = child.stdout.take().unwrap();
        let (to, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                if to.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take().unwrap();
        Some(Self { child, stdin, output, shown: String::new(), read: 0 })
    }

    /// Waits for `question`, then types `answer`.
    fn answer(&mut self, question: &str, answer: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(place) = self.shown[self.read..].find(question) {
                self.read += place + question.len();
                break;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{question:?} was not asked:\n{}", self.shown),
            }
        }
        writeln!(self.stdin, "{answer}").unwrap();
    }

    /// What was shown, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let code = self.child.wait().unwrap().code();
        while let Ok(bytes) = self.output.recv() {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        (self.shown, code)
    }
}

#[test]
fn flags_alone_give_a_configuration_that_was_tried_and_that_check_accepts() {
    let (place, broker) = (Place::new(), Broker::any().unwrap());
    let flags = ["--trap", "mast-3", "--capture", "captures", "--location-policy", "rounded"];
    let url = broker.url();
    let output = place.init(&[&flags[..], &["--location", "78.2232,-15", "--broker", &url]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for stage in ["ok   capture", "ok   dns", "ok   tcp", "ok   connack", "ok   puback", "wrote "] {
        assert!(said(&output).contains(stage), "{stage} is missing: {}", said(&output));
    }
    let written = place.written();
    assert_eq!(written["trap"].as_str(), Some("mast-3"));
    assert_eq!(written["capture"]["directory"].as_str(), Some(place.text("captures").as_str()));
    assert_eq!(written["mqtt"]["url"].as_str(), Some(url.as_str()));
    assert_eq!(written["alerts"]["location"]["longitude"].as_float(), Some(-15.0));
    let checked = Command::new(BIN)
        .args(["check", "--config", "arcticd.toml"])
        .current_dir(place.0.path())
        .env_clear()
        .env("ARCTICD_STATE_DIRECTORY", place.path("state"))
        .output();
    let checked = checked.unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
}

#[test]
fn without_a_terminal_the_missing_flags_are_named_and_nothing_is_written() {
    let place = Place::new();
    let output = place.init(&["--trap", "mast-3"]);
    assert_eq!(output.status.code(), Some(2));
    for flag in ["--capture DIR", "--broker URL", "--location-policy"] {
        assert!(said(&output).contains(flag), "{flag} is missing: {}", said(&output));
    }
    assert!(!said(&output).contains("--trap"));
    let output = place.init(&["--trap", "mast-3", "--yes"]);
    assert_eq!(output.status.code(), Some(2), "a trap without a broker is not a default: {}", said(&output));
    assert!(said(&output).contains("--broker") && !said(&output).contains("--capture"), "{}", said(&output));
    assert_eq!(place.names(), ["captures"]);
}

#[test]
fn a_wrong_value_is_told_by_its_key_or_flag_and_nothing_is_written() {
    let place = Place::new();
    for (flag, value, code, part) in [
        ("--trap", "Mast 3", 1, "`trap` is \"Mast 3\""),
        ("--trap", "fleet", 1, "`trap`"),
        ("--broker", "http://broker", 1, "`mqtt.url` must start with mqtt://"),
        ("--broker", "mqtt://u:hunter2@broker", 1, "`mqtt.password_file`"),
        ("--capture", "nowhere", 1, "--yes"),
        ("--ca-file", "ca.pem", 0, "wrote "),
        ("--location", "78,15", 1, "--location-policy"),
        ("--location", "north", 2, "78.2232,15.6267"),
        ("--location-policy", "some", 2, "rounded"),
        ("--password-file", "p", 2, "--username"),
    ] {
        let output = place.init_but(&[(flag, value)], &[]);
        assert_eq!(output.status.code(), Some(code), "{flag} {value}: {}", said(&output));
        assert!(
            said(&output).contains(part) && !said(&output).contains("hunter2"),
            "{flag} {value}: {}",
            said(&output)
        );
        if code == 0 {
            fs::remove_file(place.path("arcticd.toml")).unwrap();
        }
        assert_eq!(place.names(), ["captures"], "{flag} {value}");
    }
}

#[test]
fn a_broker_that_does_not_answer_stops_it_unless_it_is_told_to_go_on() {
    let place = Place::new();
    let url = format!("mqtt://127.0.0.1:{}", free_port().unwrap());
    let output = place.init_for(&url, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("FAIL tcp") && said(&output).contains("--untested"), "{}", said(&output));
    assert_eq!(place.names(), ["captures"]);
    let output = place.init_for(&url, &["--untested"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(place.written()["mqtt"]["url"].as_str(), Some(url.as_str()));
}

#[test]
fn a_password_that_the_broker_refuses_is_told_before_anything_is_written() {
    if !Mosquitto::available() {
        println!("skipped: mosquitto is not installed, and the embedded broker knows no users");
        return;
    }
    let place = Place::new();
    let login = Login { user: "mast".into(), password: PASSWORD.into() };
    let broker = Mosquitto::start(Options { login: Some(login), ..Options::default() }).unwrap();
    place.password_file("wrong", "whale");
    place.password_file("right", PASSWORD);
    let output = place.init_for(&broker.url(), &["--username", "mast", "--password-file", "wrong"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("FAIL connack"), "{}", said(&output));
    assert!(!place.path("arcticd.toml").exists());
    let output = place.init_for(&broker.url(), &["--username", "mast", "--password-file", "right"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(place.written()["mqtt"]["password_file"].as_str(), Some(place.text("right").as_str()));
    assert!(!fs::read_to_string(place.path("arcticd.toml")).unwrap().contains(PASSWORD));
}

#[test]
fn a_file_that_is_there_stays_unless_forced_and_the_packaged_one_gives_way() {
    let place = Place::new();
    fs::write(place.path("arcticd.toml"), "trap = 'mine'\n").unwrap();
    let output = place.init_for("none", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--force"), "{}", said(&output));
    assert_eq!(fs::read_to_string(place.path("arcticd.toml")).unwrap(), "trap = 'mine'\n");
    assert_eq!(place.init_for("none", &["--force"]).status.code(), Some(0));
    assert_eq!(place.written()["trap"].as_str(), Some("mast-3"));

    let packaged = arcticd::init::unconfigured().unwrap();
    fs::write(place.path("arcticd.toml"), &packaged).unwrap();
    let output = place.init_for("none", &[]);
    assert_eq!(output.status.code(), Some(0), "nobody wrote that: {}", said(&output));
    fs::write(place.path("arcticd.toml"), packaged + "# and a word of mine\n").unwrap();
    assert_eq!(place.init_for("none", &[]).status.code(), Some(1), "somebody did");
}

#[test]
fn the_packaged_configuration_keeps_the_daemon_from_running_and_names_the_remedy() {
    let place = Place::new();
    fs::write(place.path("arcticd.toml"), arcticd::init::unconfigured().unwrap()).unwrap();
    let output = Command::new(BIN).args(["--config", "arcticd.toml"]).current_dir(place.0.path()).env_clear().output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains("`trap` is \"CHANGE ME\""), "{}", said(&output));
}

#[test]
fn yes_creates_the_capture_directory_but_no_folder_above_it() {
    let place = Place::new();
    let broker = Broker::any().unwrap();
    let url = broker.url();
    let call = |directory: &str| place.init(&["--yes", "--trap", "mast-3", "--broker", &url, "--capture", directory]);
    let output = call("no/such/mount");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("is its disk mounted"), "{}", said(&output));
    let output = call("frames");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(place.path("frames").is_dir() && !place.path("no").exists());
}

#[test]
fn a_capture_directory_in_a_home_comes_with_what_systemd_must_be_told() {
    let place = Place::new();
    let unit = place.path("unit.d/capture.conf");
    let Ok(home) = tempfile::tempdir_in(Path::new("/home")) else {
        println!("skipped: this user may not create a folder in /home");
        return;
    };
    let directory = home.path().to_str().unwrap();
    let init = |more: &[&str]| place.init_but(&[("--capture", directory)], more);
    let printed = init(&[]);
    assert_eq!(printed.status.code(), Some(0), "{}", said(&printed));
    let expected = format!("BindReadOnlyPaths=\"{directory}\"");
    assert!(said(&printed).contains(&expected), "{}", said(&printed));
    let written = init(&["--force", "--drop-in", unit.to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(0), "{}", said(&written));
    let text = fs::read_to_string(&unit).unwrap();
    assert!(text.contains(&expected) && text.contains(&format!("RequiresMountsFor=\"{directory}\"")), "{text}");
    fs::write(&unit, "[Service]\nNice=5\n").unwrap();
    fs::remove_file(place.path("arcticd.toml")).unwrap();
    let refused = init(&["--drop-in", unit.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert_eq!(fs::read_to_string(&unit).unwrap(), "[Service]\nNice=5\n");
    assert!(!place.path("arcticd.toml").exists(), "all or nothing");
}

#[test]
fn where_this_user_may_not_write_it_says_so_before_any_question() {
    let place = Place::new();
    fs::create_dir(place.path("closed")).unwrap();
    fs::set_permissions(place.path("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(BIN);
    if fs::metadata(place.0.path()).unwrap().uid() == 0 {
        // For root nothing is closed.
        command.uid(65_534).gid(65_534);
    }
    command.args(["init", "--broker", "none", "--trap", "a", "--capture", "captures", "--location-policy", "omitted"]);
    command.args(["-o", "closed/arcticd.toml"]).current_dir(place.0.path()).env_clear().stdin(Stdio::null());
    let Ok(output) = command.output() else {
        println!("skipped: another user can't run the binary where it was built");
        return;
    };
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("with sudo") && !said(&output).contains("capture "), "{}", said(&output));
}

#[test]
fn five_questions_on_a_terminal_lead_to_a_configuration_and_a_password_file_for_one_user() {
    let place = Place::new();
    if !Mosquitto::available() {
        println!("skipped: mosquitto is not installed, and the embedded broker knows no users");
        return;
    }
    let login = Login { user: "mast".into(), password: PASSWORD.into() };
    let broker = Mosquitto::start(Options { login: Some(login), ..Options::default() }).unwrap();
    let Some(mut session) = Session::start(&place, "") else { return };
    session.answer("1/5", "Mast 3");
    session.answer("`trap` is", "mast-3");
    session.answer("2/5", "frames");
    session.answer("beginning with /", &place.text("frames"));
    session.answer("Create it? [Y/n]", "");
    session.answer("3/5", &broker.url());
    session.answer("4/5", "mast");
    session.answer("Password of mast", "whale");
    session.answer("That failed", "");
    session.answer("3/5", "");
    session.answer("4/5", "");
    session.answer("Password of mast", PASSWORD);
    session.answer("5/5", "rounded");
    session.answer("LATITUDE,LONGITUDE", "78.2232,15.6267");
    session.answer("Write ", "y");
    let (shown, code) = session.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("FAIL connack") && shown.contains("ok   puback"), "{shown}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("whale"), "a password was shown: {shown}");
    let secret = place.path("mqtt_password");
    assert_eq!(fs::read_to_string(&secret).unwrap(), format!("{PASSWORD}\n"));
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.names(), ["arcticd.toml", "captures", "frames", "mqtt_password"]);
    let written = place.written();
    assert_eq!(written["mqtt"]["password_file"].as_str(), secret.to_str());
    assert_eq!(written["mqtt"]["username"].as_str(), Some("mast"));
    assert_eq!(written["alerts"]["location_policy"].as_str(), Some("rounded"));
    assert_eq!(written["alerts"]["location"]["latitude"].as_float(), Some(78.2232));
}

#[test]
fn whoever_stops_or_leaves_half_way_finds_nothing_changed() {
    let place = Place::new();
    let Some(mut session) = Session::start(&place, "--trap mast-3 --broker none --capture captures") else { return };
    session.answer("5/5", "");
    session.answer("Write ", "n");
    let (shown, code) = session.end();
    assert_eq!(code, Some(1), "{shown}");
    let Some(mut session) = Session::start(&place, "--trap mast-3 --capture captures") else { return };
    // The end of the input, as ctrl-d types it.
    session.answer("3/5", "\u{4}");
    let (shown, code) = session.end();
    assert_eq!(code, Some(1), "{shown}");
    let given = "--trap mast-3 --capture captures --broker mqtt://127.0.0.1 --username mast --untested";
    let Some(mut session) = Session::start(&place, given) else { return };
    session.answer("Password of mast", PASSWORD);
    session.answer("5/5", "whale");
    // However it is ended here, by ctrl-c or the battery: there is no password on the disk.
    session.answer("please", "\u{4}");
    assert_eq!(place.names(), ["captures"]);
    let (shown, code) = session.end();
    assert_eq!(code, Some(1), "{shown}");
}
