//! Where the status page is served, out of `http.listen`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::Http;

/// An address that the daemon listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Address and port.
    Tcp(SocketAddr),
    /// A socket in the file system: its permissions say who may come.
    Unix(PathBuf),
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an address with its port, as 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080, or the absolute path of a socket"
)]
pub struct ListenError;

impl Http {
    /// Where the page is served; none: nowhere.
    ///
    /// # Errors
    /// `listen` is no address. [`super::load`] has refused such a configuration already.
    pub fn listen(&self) -> Result<Option<Listen>, ListenError> {
        self.listen.as_deref().map(Listen::parse).transpose()
    }
}

impl Listen {
    /// Reads `host:port`, where the host is a number or `localhost`, or an absolute path.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn parse(text: &str) -> Result<Self, ListenError> {
        if text.starts_with('/') && text.len() > 1 && !text.contains('\0') {
            return Ok(Self::Unix(text.into()));
        }
        if let Some(port) = text.strip_prefix("localhost:") {
            let port = port.parse().map_err(|_| ListenError)?;
            return Ok(Self::Tcp((Ipv4Addr::LOCALHOST, port).into()));
        }
        text.parse().map(Self::Tcp).map_err(|_| ListenError)
    }

    /// Whether nobody outside this machine can come.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(SocketAddr::V4(address)) => address.ip().is_loopback(),
            // Of the addresses of IPv4 in IPv6 clothes the same.
            Self::Tcp(SocketAddr::V6(address)) => {
                address.ip() == &Ipv6Addr::LOCALHOST || address.ip().to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}/"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_localhost_and_absolute_paths_are_addresses_and_nothing_else_is() {
        for (text, shown) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("localhost:80", "http://127.0.0.1:80/"),
            ("[::]:8080", "http://[::]:8080/"),
            ("/run/arcticd/page.sock", "unix:/run/arcticd/page.sock"),
        ] {
            assert_eq!(Listen::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "/", "8080", ":8080", "127.0.0.1", "mast-3:8080", "::1:8080", "page.sock", "localhost:99999"] {
            assert_eq!(Listen::parse(text), Err(ListenError), "{text}");
        }
    }

    #[test]
    fn only_loopback_and_sockets_are_out_of_others_reach() {
        let local = |text| Listen::parse(text).unwrap().is_local();
        assert!(local("127.0.0.1:1") && local("127.8.0.1:1") && local("[::1]:1") && local("[::ffff:127.0.0.1]:1"));
        assert!(local("/run/page.sock"));
        assert!(!local("0.0.0.0:1") && !local("[::]:1") && !local("192.0.2.7:1") && !local("[::ffff:192.0.2.7]:1"));
    }
}
