//! Reading the configuration again while the daemon runs.

use std::sync::mpsc::Sender;
use std::time::Duration;

use serde_json::Value;
use tokio::signal::unix::Signal;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::accept::{Input, NewAlerts};
use crate::config::{Alerts, Config, ConfigError, Loaded};
use crate::health::Status;

/// How long the heads' thread may take to answer: it may be loading one.
const HEADS_ANSWER: Duration = Duration::from_secs(15);

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

/// Takes up what may change while the daemon runs, the section `alerts`, and says what may not. A configuration that can't
/// be used changes nothing.
pub async fn renew(
    config: &mut Config,
    loaded: Result<Loaded, ConfigError>,
    inputs: &Sender<Input>,
    tell_alerts: &Sender<Alerts>,
    status: &Status,
) {
    let refused = |reason: String| {
        let text = format!("the configuration was not reloaded, the one before stays: {reason}");
        tracing::error!("{text}");
        status.warn("configuration", Some(text));
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return refused(error.to_string()),
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let alerts = loaded.config.alerts.clone();
    // Also where they are the same: keys may have come.
    let (reply, answer) = oneshot::channel();
    let _ = inputs.send(Input::Alerts(NewAlerts { alerts: alerts.clone(), reply }));
    match timeout(HEADS_ANSWER, answer).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => return refused(error.to_string()),
        Ok(Err(_)) | Err(_) => return refused("the heads' thread does not answer".into()),
    }
    if alerts != config.alerts {
        let _ = tell_alerts.send(alerts.clone());
        config.alerts = alerts;
    }
    let later = changed_sections(config, &loaded.config).join(", ");
    tracing::info!("configuration reloaded: {}; alerts as it says", loaded.source);
    let text = (!later.is_empty())
        .then(|| format!("the configuration was reloaded; what changed in {later} counts from the next start on"));
    if let Some(text) = &text {
        tracing::warn!("{text}");
    }
    status.warn("configuration", text);
}

/// Keys at the top level (sections among them) in which two configurations differ.
fn changed_sections(one: &Config, other: &Config) -> Vec<String> {
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
