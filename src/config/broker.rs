//! The broker's address, out of `mqtt.url`.

use std::fmt;
use std::net::Ipv6Addr;

use super::Mqtt;

/// Where the broker listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address; an IPv6 address stands without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether the connection is TLS (`mqtts://`).
    pub tls: bool,
}

/// What is wrong with a broker's address. The address itself is never quoted: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// Neither of the two schemes.
    #[error("must start with mqtt:// or, for TLS, mqtts://")]
    Scheme,
    /// `user:password@` in front of the host.
    #[error("must not hold a user or a password: use `mqtt.username` and `mqtt.password_file`")]
    UserInfo,
    /// Something after host and port.
    #[error("must end after the host or the port; topics are set by `mqtt.prefix` and `trap`")]
    Path,
    /// No host, or characters that no host name has.
    #[error("names no valid host: write mqtt://broker.example:1883, mqtt://192.0.2.7 or mqtt://[2001:db8::7]:1883")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
}

impl Mqtt {
    /// The broker to send to; none when alerts go to standard output.
    ///
    /// # Errors
    /// `url` is not an address. [`super::load`] has refused such a configuration already.
    pub fn broker(&self) -> Result<Option<Broker>, BrokerError> {
        self.url.as_deref().map(Broker::parse).transpose()
    }
}

impl Broker {
    /// Reads `mqtt://host[:port]` or `mqtts://host[:port]`; the ports default to 1883 and 8883.
    ///
    /// # Errors
    /// Says which part is wrong, without quoting the text.
    pub fn parse(url: &str) -> Result<Self, BrokerError> {
        // Before all else: whatever is wrong besides, a password must move out.
        if url.contains('@') {
            return Err(BrokerError::UserInfo);
        }
        let (scheme, address) = url.split_once("://").ok_or(BrokerError::Scheme)?;
        let tls = match scheme {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(BrokerError::Scheme),
        };
        if address.contains(['/', '?', '#']) {
            return Err(BrokerError::Path);
        }
        let (host, port) = split(address)?;
        let port = match port {
            None if tls => 8883,
            None => 1883,
            // `parse` alone would take "+1883".
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().unwrap_or(0),
            Some(_) => 0,
        };
        if port == 0 {
            return Err(BrokerError::Port);
        }
        Ok(Self { host: host.to_string(), port, tls })
    }

    /// Whether the connection never leaves this machine.
    pub fn is_local(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// Host, and port if there is one.
fn split(address: &str) -> Result<(&str, Option<&str>), BrokerError> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(BrokerError::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| BrokerError::Host)?;
        return match port {
            "" => Ok((host, None)),
            _ => port.strip_prefix(':').map(|port| (host, Some(port))).ok_or(BrokerError::Host),
        };
    }
    let (host, port) = match address.split_once(':') {
        Some((_, rest)) if rest.contains(':') => return Err(BrokerError::Host),
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match !host.is_empty() && host.bytes().all(allowed) {
        true => Ok((host, port)),
        false => Err(BrokerError::Host),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_read_and_written_back() {
        let cases = [
            ("mqtt://broker", "broker", 1883, false, "mqtt://broker:1883"),
            ("mqtts://broker", "broker", 8883, true, "mqtts://broker:8883"),
            ("mqtt://192.0.2.7:1884", "192.0.2.7", 1884, false, "mqtt://192.0.2.7:1884"),
            ("mqtts://[2001:db8::7]", "2001:db8::7", 8883, true, "mqtts://[2001:db8::7]:8883"),
            ("mqtt://[::1]:1", "::1", 1, false, "mqtt://[::1]:1"),
        ];
        for (url, host, port, tls, shown) in cases {
            let broker = Broker::parse(url).unwrap();
            assert_eq!(broker, Broker { host: host.into(), port, tls }, "{url}");
            assert_eq!(broker.to_string(), shown);
            assert_eq!(Broker::parse(shown).unwrap(), broker);
        }
    }

    #[test]
    fn each_wrong_part_is_named() {
        use BrokerError::*;
        let cases = [
            ("", Scheme),
            ("broker:1883", Scheme),
            ("tcp://broker", Scheme),
            ("MQTT://broker", Scheme),
            ("://broker", Scheme),
            ("mqtt://u:p@broker", UserInfo),
            ("u:p@broker", UserInfo),
            ("tcp://u@h", UserInfo),
            ("mqtt://broker/", Path),
            ("mqtt://broker:1883/topic", Path),
            ("mqtt://broker?x", Path),
            ("mqtt:///x", Path),
            ("mqtt://", Host),
            ("mqtt://:1883", Host),
            ("mqtt://a b", Host),
            ("mqtt://brøker", Host),
            ("mqtt://2001:db8::7", Host),
            ("mqtt://[2001:db8::7", Host),
            ("mqtt://[broker]", Host),
            ("mqtt://[::1]1883", Host),
            ("mqtt://broker:", Port),
            ("mqtt://broker:0", Port),
            ("mqtt://broker:65536", Port),
            ("mqtt://broker:+1883", Port),
            ("mqtt://[::1]:x", Port),
        ];
        for (url, expected) in cases {
            assert_eq!(Broker::parse(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn only_loopback_counts_as_local() {
        let local = |url| Broker::parse(url).unwrap().is_local();
        assert!(local("mqtt://localhost") && local("mqtt://127.0.0.1") && local("mqtt://[::1]"));
        assert!(!local("mqtt://192.0.2.7") && !local("mqtt://localhost.example"));
    }
}
