//! Every command of README.md is run as it stands there, in its order, or is on a short list with the reason why not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use parts::{BIN, PATIENCE, bear, frame, listen, skip, start_online, wait_detections, world};
use testkit::broker::Broker;
use testkit::daemon::{Daemon, World};
use testkit::scenes::Scene;

/// What can't be run in a test.
const NOT_RUN: [(&str, &str); 7] = [
    ("cargo run --release --example demo", "a build of its own; .ci/run runs the demo"),
    ("cargo test --workspace", "it runs this"),
    ("cargo build --release", "a build of its own: the binary under test stands for its result"),
    ("sudo apt install ./arcticd_0.1.0-1_arm64.deb", "scripts/test-deb does, in a root of its own"),
    ("sudo arcticd init && sudo arcticd check", "the same; tests/init.rs runs init"),
    ("sudo systemctl enable --now arcticd", "needs systemd as the first process; tests/service.rs plays its part"),
    ("journalctl -u arcticd -f", "the same"),
];

/// The lines between sh fences, without what is said of them.
fn commands(page: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => found.push(line.split(" #").next().unwrap().trim().to_owned()),
            _ => {}
        }
    }
    found.retain(|line| !line.is_empty());
    found
}

/// A folder in which the README's commands find what they name.
struct Reader {
    field: World,
    broker: Broker,
}

impl Reader {
    fn new() -> Self {
        let broker = Broker::any().unwrap();
        let field = world();
        let keys = field.path("keys");
        std::fs::create_dir(&keys).unwrap();
        let by_hand = field.path("by-hand");
        let field = field
            .set("mqtt.url", broker.url())
            .set_raw("groups", "[\"coast\"]")
            .set_raw("heads.trusted_keys", format!("[{:?}]", keys.to_str().unwrap()))
            .set("heads.directory", by_hand.to_str().unwrap())
            .set_raw("heads.trial_frames", "1")
            .set_raw("heads.trial_alerts", "0");
        let reader = Self { field, broker };
        for folder in ["bin", "target/release"] {
            std::fs::create_dir_all(reader.at(folder)).unwrap();
            symlink(BIN, reader.at(folder).join("arcticd")).unwrap();
        }
        for scene in Scene::ALL {
            for seed in 0..12 {
                let part = if seed < 9 { "train" } else { "test" };
                reader.put(&format!("photos/{part}/{}/{seed}.jpg", scene.label()), &frame(scene, seed));
            }
        }
        reader.put("photo.jpg", &bear(20));
        reader.put("card/north/1.jpg", &bear(21));
        reader.put("resnet50v2.onnx", &testkit::networks::small(1).unwrap());
        reader
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.field.path(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let file = self.at(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    /// A shell's command with what only stands for something replaced.
    fn command(&self, line: &str) -> Command {
        let here = [
            ("BROKER", format!("127.0.0.1 -p {}", self.broker.port())),
            ("mqtts://broker.example", self.broker.url()),
            ("/media/card", "card".to_owned()),
            // Instead of a person who types one.
            ("new-key field", "new-key field --no-password".to_owned()),
        ];
        let line = here.iter().fold(line.to_owned(), |line, (stands, for_this)| line.replace(stands, for_this));
        let path = format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap());
        let home = self.at("home");
        let mut command = self.field.command("bash");
        command.args(["-c", &line]).current_dir(self.at(".")).env("PATH", path);
        command.env("HOME", &home).env("XDG_CACHE_HOME", home.join("cache"));
        command
    }

    fn run(&self, line: &str, says: &str) {
        let output = self.command(line).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{line}: {:?}\n{text}", output.status);
        assert!(text.contains(says), "{line}: no {says:?} in\n{text}");
    }

    /// One that runs until somebody ends it.
    fn start(&self, line: &str) -> Daemon {
        Daemon::spawn(self.command(&format!("exec {line}"))).unwrap()
    }
}

#[test]
fn every_command_of_the_readme_runs_or_is_listed_with_the_reason_why_not() {
    let all = commands(include_str!("../README.md"));
    for (listed, reason) in NOT_RUN {
        assert!(all.iter().any(|line| line == listed), "{listed} ({reason}) is in README.md no more");
    }
    let reader = Reader::new();
    let subscriber = listen(reader.broker.port());
    let mut run = 0;
    for line in all.iter().filter(|line| NOT_RUN.iter().all(|(listed, _)| listed != line)) {
        println!("$ {line}");
        run += 1;
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["target/release/arcticd"] => {
                let mut daemon = reader.start(line);
                daemon.wait_for_log("frames from", PATIENCE).unwrap();
                assert_eq!(daemon.terminate().unwrap(), 0);
            }
            ["mosquitto_sub", ..] if !installed("mosquitto_sub") => skip(line, "mosquitto-clients is not installed"),
            ["mosquitto_sub", ..] => {
                let console = reader.start(line);
                let mut daemon = start_online(&reader.field, &subscriber);
                reader.field.drop_frame("north/1.jpg", &bear(1)).unwrap();
                wait_detections(&subscriber, 1);
                // One that was not there yet gets it no more: the next one.
                let says = |limit| console.wait_for_stdout("\"kind\":\"detection\"", limit);
                if says(std::time::Duration::from_secs(5)).is_err() {
                    reader.field.drop_frame("south/2.jpg", &bear(2)).unwrap();
                    says(PATIENCE).unwrap();
                }
                assert_eq!(daemon.terminate().unwrap(), 0);
            }
            ["arcticd", "head", "push", ..] => {
                std::fs::copy(reader.at("field.pub"), reader.at("keys/field.pub")).unwrap();
                let mut daemon = start_online(&reader.field, &subscriber);
                reader.run(line, "trial");
                assert_eq!(daemon.terminate().unwrap(), 0);
            }
            _ => reader.run(line, expected(line)),
        }
    }
    assert!(run > 10, "{all:?}");
    for made in ["svalbard.head", "svalbard.report.html", "card.json", "resnet50v2.toml", "resnet50v2-int8.onnx"] {
        assert!(reader.at(made).is_file(), "no command made {made}");
    }
}

/// A word that tells that a command did what it is shown for.
fn expected(line: &str) -> &'static str {
    let words: [(&str, &str); 10] = [
        ("--once", "polar bear:"),
        ("arcticd check", "ok "),
        ("arcticd train", "svalbard.head"),
        ("arcticd eval", "recall"),
        ("head sign", "field"),
        ("arcticd replay", "polar bear"),
        ("backbone add", "resnet50v2.toml"),
        ("backbone quantize", "resnet50v2-int8"),
        ("backbone inspect", "integer"),
        ("backbone bench", "ms"),
    ];
    let found = words.into_iter().find(|(part, _)| line.contains(part));
    found.unwrap_or_else(|| panic!("{line}: say here what it prints, or in NOT_RUN why it can't be run")).1
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
}
