//! Which broker, and how: the command line over the configuration.

use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use rumqttc::{MqttOptions, NetworkOptions};

use crate::cli::BrokerFlags;
use crate::config::{Broker, Mqtt};
use crate::mqtt::connect_options;

/// A piece that takes minutes on a thin link delays the answer to a ping behind it: a short keep-alive would cut just the
/// links that need patience.
const KEEP_ALIVE: Duration = Duration::from_secs(300);
/// What MQTT allows. A larger packet than the client's limit breaks the connection, and a retained one would break it for
/// ever.
const MAX_INCOMING: usize = 268_435_455;
/// As the traps' own limit.
pub const MAX_OUTGOING: usize = 16 << 20;

/// A broker, and the client's options for it.
#[derive(Clone)]
pub struct Settings {
    /// Its address.
    pub broker: Broker,
    /// First level of all topics.
    pub prefix: String,
    /// Whom the broker takes us for; none without a name.
    pub user: Option<String>,
    /// For the client.
    pub options: MqttOptions,
    /// For its connection.
    pub network: NetworkOptions,
    /// What is allowed and probably not meant.
    pub warning: Option<&'static str>,
    /// What in docs/ says more.
    pub page: &'static str,
}

impl Settings {
    /// Joins both, for the command that `page` in docs/ is about.
    ///
    /// # Errors
    /// Says which flag or key is missing or wrong.
    pub fn of(configured: &Mqtt, flags: &BrokerFlags, page: &'static str) -> Result<Self> {
        let mqtt = joined(configured, flags)?;
        let Some(broker) = mqtt.broker()? else {
            bail!("no broker is named; give --broker mqtts://host:8883, or --config FILE with `[mqtt] url`");
        };
        // An id of its own: under a trap's it would take the trap's connection away.
        let salt = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
        let id = format!("arcticd-{page}-{:08x}", fastrand::u32(..) ^ salt);
        let Some((mut options, network)) = connect_options(&mqtt, &id)? else { bail!("no broker is named") };
        options.set_clean_session(true);
        options.set_keep_alive(KEEP_ALIVE.max(Duration::from_secs(mqtt.keep_alive_s)));
        options.set_max_packet_size(MAX_INCOMING, MAX_OUTGOING);
        let open = mqtt.username.is_some() && !broker.tls && !broker.is_local();
        let warning = open.then_some("user name and password travel unencrypted; use mqtts://");
        Ok(Self { broker, prefix: mqtt.prefix, user: mqtt.username, options, network, warning, page })
    }
}

fn joined(configured: &Mqtt, flags: &BrokerFlags) -> Result<Mqtt> {
    let BrokerFlags { broker, prefix, username, password_file, ca_file, cert_file, key_file } = flags.clone();
    if let Some(url) = &broker
        && let Err(error) = Broker::parse(url)
    {
        bail!("--broker {error}");
    }
    let given = ca_file.is_some() || cert_file.is_some() || key_file.is_some();
    let mut mqtt = configured.clone();
    mqtt.url = broker.or(mqtt.url);
    mqtt.prefix = prefix.unwrap_or(mqtt.prefix);
    mqtt.username = username.or(mqtt.username);
    mqtt.password_file = password_file.or(mqtt.password_file);
    mqtt.ca_file = ca_file.or(mqtt.ca_file);
    mqtt.cert_file = cert_file.or(mqtt.cert_file);
    mqtt.key_file = key_file.or(mqtt.key_file);
    if mqtt.password_file.is_some() && mqtt.username.is_none() {
        bail!("--password-file needs --username");
    }
    if mqtt.cert_file.is_some() != mqtt.key_file.is_some() {
        bail!("--cert-file and --key-file go together");
    }
    if given && mqtt.broker().is_ok_and(|broker| broker.is_some_and(|broker| !broker.tls)) {
        bail!("--ca-file, --cert-file and --key-file are for mqtts://, and the broker is mqtt://");
    }
    Ok(mqtt)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn flags(broker: &str) -> BrokerFlags {
        BrokerFlags { broker: Some(broker.into()), ..BrokerFlags::default() }
    }

    #[test]
    fn the_command_line_goes_over_the_configuration() {
        let configured = Mqtt { url: Some("mqtt://a".into()), prefix: "field".into(), ..Mqtt::default() };
        let settings = Settings::of(&configured, &BrokerFlags::default(), "push").unwrap();
        assert_eq!((settings.broker.to_string().as_str(), settings.prefix.as_str()), ("mqtt://a:1883", "field"));
        let settings = Settings::of(&configured, &flags("mqtt://b:1"), "push").unwrap();
        assert_eq!((settings.broker.to_string().as_str(), settings.prefix.as_str()), ("mqtt://b:1", "field"));
    }

    #[test]
    fn it_is_never_the_client_that_a_trap_is_and_leaves_no_session_behind() {
        let configured = Mqtt { client_id: Some("mast-3".into()), ..Mqtt::default() };
        let ids: Vec<String> = (0..2)
            .map(|_| {
                let settings = Settings::of(&configured, &flags("mqtt://b"), "push").unwrap();
                assert!(settings.options.clean_session() && settings.options.last_will().is_none());
                settings.options.client_id()
            })
            .collect();
        assert!(ids[0] != ids[1] && ids.iter().all(|id| id.starts_with("arcticd-push-") && id.len() <= 23), "{ids:?}");
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        let refused =
            |configured: &Mqtt, flags: &BrokerFlags| Settings::of(configured, flags, "push").err().unwrap().to_string();
        assert!(refused(&Mqtt::default(), &BrokerFlags::default()).contains("--broker"));
        assert!(refused(&Mqtt::default(), &flags("broker:1883")).contains("--broker must start with mqtt://"));
        let secret = refused(&Mqtt::default(), &flags("mqtt://u:hunter2@b"));
        assert!(secret.contains("mqtt.password_file") && !secret.contains("hunter2"), "{secret}");
        let password = BrokerFlags { password_file: Some("p".into()), ..flags("mqtts://b") };
        assert!(refused(&Mqtt::default(), &password).contains("--username"));
        let key = BrokerFlags { key_file: Some("k".into()), ..flags("mqtts://b") };
        assert!(refused(&Mqtt::default(), &key).contains("--cert-file"));
        let ca = BrokerFlags { ca_file: Some("c".into()), ..flags("mqtt://b") };
        assert!(refused(&Mqtt::default(), &ca).contains("mqtts://"));
    }
}
