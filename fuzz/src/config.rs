//! The configuration file, and variables over it.

use std::path::PathBuf;
use std::sync::OnceLock;

use arcticd::config;

/// What stands before the first zero byte is the file; behind it, a line each, the environment.
pub fn config(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (file, variables) = data.split_at(end);
    let variables = String::from_utf8_lossy(variables.get(1..).unwrap_or_default()).into_owned();
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let path = path();
    std::fs::write(path, file).expect("a temporary file can be written");
    match config::load(Some(path), variables) {
        Ok(loaded) => {
            let _ = (loaded.config.mqtt.broker(), loaded.config.trap_name(), loaded.config.client_id());
            // Read once more it is the same: `arcticd check` and a reload see what the start saw.
            if let (Ok(text), 0) = (std::str::from_utf8(file), data.len() - end) {
                let again = config::from_text(path, text).expect("what was read can be read again");
                assert_eq!(again.config, loaded.config);
            }
        }
        Err(error) => drop(error.to_string()),
    }
}

fn path() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| std::env::temp_dir().join(format!("arcticd-fuzz-{}.toml", std::process::id())))
}
