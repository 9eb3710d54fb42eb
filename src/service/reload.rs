//! Reading the configuration again while the daemon runs.

use serde_json::Value;
use tokio::signal::unix::Signal;

use crate::config::{Config, ConfigError, Loaded};

/// Reads the same file and environment as at the start.
pub type Load = dyn Fn() -> Result<Loaded, ConfigError> + Send;

/// Who asks for it, and how it is done.
pub struct Reload(Option<(Signal, Box<Load>)>);

impl Reload {
    /// On each `asks` (SIGHUP).
    pub fn on(asks: Signal, load: impl Fn() -> Result<Loaded, ConfigError> + Send + 'static) -> Self {
        Self(Some((asks, Box::new(load))))
    }

    /// Nobody asks.
    pub fn never() -> Self {
        Self(None)
    }

    /// Resolves when it is asked for.
    pub async fn asked(&mut self) -> &Load {
        if let Some((asks, load)) = &mut self.0
            && asks.recv().await.is_some()
        {
            return load;
        }
        std::future::pending().await
    }
}

/// Keys at the top level (sections among them) in which two configurations differ.
pub fn changed_sections(one: &Config, other: &Config) -> Vec<String> {
    let (Ok(Value::Object(one)), Ok(Value::Object(other))) = (serde_json::to_value(one), serde_json::to_value(other))
    else {
        return Vec::new();
    };
    one.iter().filter(|(key, value)| other.get(*key) != Some(value)).map(|(key, _)| key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_that_differ_are_named() {
        let mut other = Config { groups: vec!["coast".into()], ..Config::default() };
        other.alerts.gap_s = 5;
        assert_eq!(changed_sections(&Config::default(), &other), ["alerts", "groups"]);
        assert!(changed_sections(&other, &other).is_empty());
    }
}
