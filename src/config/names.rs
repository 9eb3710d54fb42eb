//! What this trap is called, on the network and at the broker.

use super::Config;

/// Second topic levels that are no traps.
const RESERVED: [&str; 2] = ["group", "fleet"];

/// Host names that many machines share, and that brokers and consoles would confuse.
const EVERYBODYS: [&str; 5] = ["localhost", "raspberrypi", "debian", "ubuntu", "trap"];

impl Config {
    /// The trap's name in topics and payloads: `trap`, else the host name lowered to `[a-z0-9-]+`.
    pub fn trap_name(&self) -> String {
        self.trap.clone().unwrap_or_else(host_name)
    }

    /// The MQTT client id: `mqtt.client_id`, else `arcticd-<trap>`. It stays the same over restarts, for the broker
    /// keeps a session under it.
    pub fn client_id(&self) -> String {
        self.mqtt.client_id.clone().unwrap_or_else(|| format!("arcticd-{}", self.trap_name()))
    }

    /// The host name in a trap's alphabet, unless many machines share it: a name to propose.
    pub(crate) fn own_host_name() -> Option<String> {
        Some(host_name()).filter(|name| !EVERYBODYS.contains(&name.as_str()))
    }

    /// Warns of a name that other traps are likely to have too.
    pub(super) fn shared_name(&self) -> Option<String> {
        let name = host_name();
        let shared = self.trap.is_none() && self.mqtt.url.is_some() && EVERYBODYS.contains(&name.as_str());
        shared.then(|| {
            format!(
                "this trap is called {name:?} after its host, as others may be, and traps of one name disconnect each \
                 other at the broker: set `trap`"
            )
        })
    }
}

fn host_name() -> String {
    sanitized(&rustix::system::uname().nodename().to_string_lossy())
}

/// The first part of `host`, in a trap's alphabet.
fn sanitized(host: &str) -> String {
    let short = host.split('.').next().unwrap_or_default().to_lowercase();
    let name: String = short.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    match name.trim_matches('-') {
        "" => "trap".into(),
        name if RESERVED.contains(&name) => format!("trap-{name}"),
        name => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;
    use super::super::schema::shared;
    use super::*;

    #[test]
    fn a_host_name_is_lowered_to_a_traps_alphabet() {
        let cases = [
            ("Trap-7", "trap-7"),
            ("mast_3.ny-alesund.example", "mast-3"),
            ("bjørnøya", "bj-rn-ya"),
            ("group", "trap-group"),
            ("FLEET.local", "trap-fleet"),
            ("", "trap"),
            ("...", "trap"),
            ("___", "trap"),
        ];
        for (host, expected) in cases {
            assert_eq!(sanitized(host), expected, "{host}");
            let config = serde_json::json!({ "trap": sanitized(host) });
            assert_eq!(check(shared(), &config), [], "{host}");
        }
    }

    #[test]
    fn the_client_id_follows_the_trap_unless_it_is_set() {
        let mut config = Config { trap: Some("mast-3".into()), ..Config::default() };
        assert_eq!(config.client_id(), "arcticd-mast-3");
        config.mqtt.client_id = Some("x".into());
        assert_eq!(config.client_id(), "x");
    }

    #[test]
    fn reserved_names_are_those_of_the_schema() {
        assert_eq!(shared()["properties"]["trap"]["not"]["enum"], serde_json::json!(RESERVED));
    }
}
