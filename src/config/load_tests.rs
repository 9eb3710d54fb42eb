#![allow(clippy::unwrap_used, clippy::panic)]

use super::super::schema::leaves;
use super::super::{LogLevel, WatchMode};
use super::*;

/// A directory with one configuration file.
struct World(tempfile::TempDir);

impl World {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("arcticd.toml"), text).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("arcticd.toml")
    }

    fn load(&self, env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        load(Some(&self.file()), env.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    /// The error's text with the file's directory taken out.
    fn refused(&self, env: &[(&str, &str)]) -> String {
        let text = self.load(env).unwrap_err().to_string();
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[test]
fn every_mistake_is_reported_at_once_in_the_order_of_the_file() {
    let text = "\
[capture]
settle_mss = 1500
reconcile_s = 0
url = \"mqtt://broker\"

[mqtt]
url = \"mqtt://operator:hunter2@broker\"
cert_file = \"client.pem\"

[log]
level = \"verbose\"
trap = \"mast-3\"
";
    let expected = "\
the configuration has 7 problems
arcticd.toml:2:1: `capture.settle_mss` is not a key; did you mean `capture.settle_ms`?
arcticd.toml:3:1: `capture.reconcile_s` is 0, but must be a whole number from 1 to 86400 (seconds)
arcticd.toml:4:1: `capture.url` is not a key; did you mean `mqtt.url`, in another section?
arcticd.toml:7:1: `mqtt.url` must not hold a user or a password: use `mqtt.username` and `mqtt.password_file`
arcticd.toml:8:1: `mqtt.cert_file` needs `mqtt.key_file`: a client certificate and its key come together
arcticd.toml:11:1: `log.level` is \"verbose\", but must be \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"
arcticd.toml:12:1: `log.trap` is not a key; `trap` stands at the top of the file, above the first `[section]`";
    assert_eq!(World::new(text).refused(&[]), expected);
}

#[test]
fn a_wrong_variable_is_named_after_the_mistakes_of_the_file() {
    let refused = World::new("[mqtt]\ninflight = 0\n").refused(&[("ARCTICD_MQTT_HEALTH_S", "soon")]);
    let expected = "\
the configuration has 2 problems
arcticd.toml:2:1: `mqtt.inflight` is 0, but must be a whole number from 1 to 1000
environment variable ARCTICD_MQTT_HEALTH_S: `mqtt.health_s` is \"soon\", but must be a whole number from 1 to 86400 (seconds)";
    assert_eq!(refused, expected);
}

#[test]
fn a_named_file_that_is_missing_is_an_error_and_the_default_one_is_not() {
    let missing = Path::new("/nonexistent/arcticd.toml");
    assert!(matches!(load(Some(missing), std::iter::empty()), Err(ConfigError::Missing { .. })));
    let loaded = load_if_present(missing, std::iter::empty()).unwrap();
    assert_eq!(loaded, Loaded { config: Config::default(), source: Source::Defaults, warnings: vec![] });
}

#[test]
fn the_default_file_is_read_when_it_exists() {
    let world = World::new("log.level = 'debug'");
    let loaded = load_if_present(&world.file(), std::iter::empty()).unwrap();
    assert_eq!(loaded.source, Source::File(world.file()));
    assert_eq!(loaded.config.log.level, LogLevel::Debug);
}

#[test]
fn a_default_file_that_cannot_be_read_is_an_error_and_not_the_defaults() {
    // A directory in the file's place fails to read for every user, root included.
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(load_if_present(folder.path(), std::iter::empty()), Err(ConfigError::Read { .. })));
}

#[test]
fn an_empty_file_means_the_defaults() {
    for text in ["", "# nothing\r\n", "\u{feff}", "[mqtt]\n[alerts]\n"] {
        assert_eq!(World::new(text).load(&[]).unwrap().config, Config::default(), "{text:?}");
    }
}

#[test]
fn relative_paths_start_at_the_file_and_those_of_the_environment_do_not() {
    let text = "\
[capture]
directory = \"frames\"
[state]
directory = \"/var/lib/arcticd\"
[model]
head = \"heads/mine\"
[mqtt]
url = \"mqtts://broker\"
ca_file = \"../ca.pem\"
[heads]
trusted_keys = [\"keys\", \"/etc/one.pub\"]
";
    let world = World::new(text);
    let config = world.load(&[("ARCTICD_STATE_DIRECTORY", "state")]).unwrap().config;
    let folder = world.0.path();
    assert_eq!(config.capture.directory, folder.join("frames"));
    assert_eq!(config.state.directory, Path::new("state"));
    assert_eq!(config.model.head, folder.join("heads/mine").to_str().unwrap());
    assert_eq!(config.model.backbone, "builtin");
    assert_eq!(config.mqtt.ca_file, Some(folder.join("../ca.pem")));
    assert_eq!(config.heads.trusted_keys, [folder.join("keys"), "/etc/one.pub".into()]);
}

#[test]
fn every_key_that_holds_a_path_is_known_to_hold_one() {
    for (key, _) in leaves(shared()) {
        let looks_like_a_path = key.ends_with("_file") || key.ends_with("directory");
        assert!(!looks_like_a_path || PATHS.contains(&key.as_str()), "{key}");
    }
}

#[test]
fn variables_come_before_the_file_and_mend_it() {
    let world = World::new("capture.mode = 'auto'\ncapture.settle_ms = 3\ncapture.fresh_s = inf");
    let env =
        [("ARCTICD_CAPTURE_MODE", "poll"), ("ARCTICD_CAPTURE_SETTLE_MS", "500"), ("ARCTICD_CAPTURE_FRESH_S", "9")];
    let capture = world.load(&env).unwrap().config.capture;
    assert_eq!((capture.mode, capture.settle_ms, capture.fresh_s), (WatchMode::Poll, 500, 9));
}

#[test]
fn files_that_are_no_configuration_are_refused_by_what_is_wrong() {
    assert!(matches!(World::new(b"trap = 'a'\n\xff").load(&[]), Err(ConfigError::NotText { line: 2, .. })));
    assert!(matches!(World::new(vec![b'#'; LARGEST as usize + 1]).load(&[]), Err(ConfigError::TooLarge { .. })));
    assert!(matches!(load(Some(Path::new("/dev/zero")), std::iter::empty()), Err(ConfigError::TooLarge { .. })));
    assert!(World::new("[mqtt\nurl = 1").refused(&[]).contains("arcticd.toml:1:6: this is not TOML"));
}

#[test]
fn a_key_written_twice_is_refused() {
    let refused = World::new("trap = 'a'\ntrap = 'b'\n").refused(&[]);
    assert!(refused.starts_with("arcticd.toml:2:1: this is not TOML: duplicate key"), "{refused}");
}

#[test]
fn what_every_type_allows_survives_the_way_through_toml() {
    let config = World::new(include_str!("../../examples/arcticd.toml")).load(&[]).unwrap().config;
    let again = World::new(toml::to_string(&config).unwrap()).load(&[]).unwrap().config;
    assert_eq!(again, config);
}
