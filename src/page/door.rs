//! Who may come in.

use std::net::Ipv6Addr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap};
use hyper::http::uri::Authority;
use sha2::{Digest, Sha256};

use crate::config::{Config, Listen, ListenError, SecretError};

/// Shortest token: one that can't be guessed over the network.
const SHORTEST: usize = 16;

/// Why the page can't be served as configured; starting again will not help.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The address is none.
    #[error("http.listen {0}")]
    Listen(#[from] ListenError),
    /// The token can't be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Others could look.
    #[error("http.listen is {listen}, which others can reach: set `http.token_file`, or listen on 127.0.0.1 alone")]
    NoToken {
        /// The address.
        listen: Listen,
    },
    /// The token could be guessed, or no browser could send it.
    #[error(
        "the token of the status page must be {SHORTEST} or more letters, digits or signs without spaces: \
         `openssl rand -hex 16` makes one"
    )]
    WeakToken,
}

/// Where the page is served, and to whom.
pub struct Door {
    listen: Listen,
    // Its digest: what is compared with it then says nothing of it by the time that takes.
    token: Option<[u8; 32]>,
    names: Vec<String>,
}

/// Why somebody may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request is for a name that is not ours: a page elsewhere may have bent its own name to this address.
    Host,
    /// No token, or another one.
    Token,
}

impl Door {
    /// As configured; none: there is no page.
    ///
    /// # Errors
    /// [`DoorError`].
    pub fn of(config: &Config) -> Result<Option<Self>, DoorError> {
        let Some(listen) = config.http.listen()? else { return Ok(None) };
        let token = config.http.token()?;
        let token = match &token {
            None if !listen.is_local() => return Err(DoorError::NoToken { listen }),
            None => None,
            Some(token) if token.expose().len() < SHORTEST => return Err(DoorError::WeakToken),
            Some(token) if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) => {
                return Err(DoorError::WeakToken);
            }
            Some(token) => Some(digest(token.expose().as_bytes())),
        };
        let host = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
        let short = host.split('.').next().unwrap_or_default().to_owned();
        let own = [short, host, config.trap_name()].into_iter().filter(|name| !name.is_empty());
        let own = own.flat_map(|name| [format!("{name}.local"), name]);
        let names = std::iter::once("localhost".to_owned()).chain(own).chain(config.http.names.iter().cloned());
        Ok(Some(Self { listen, token, names: names.collect() }))
    }

    /// Where the page is served.
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// Whether a token is asked for.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether this request may be answered.
    pub(super) fn admits<T>(&self, request: &Request<T>) -> Result<(), Refusal> {
        if !self.is_ours(request) {
            return Err(Refusal::Host);
        }
        let Some(token) = &self.token else { return Ok(()) };
        match given(request.headers()) {
            Some(given) if same(&digest(&given), token) => Ok(()),
            _ => Err(Refusal::Token),
        }
    }

    /// Whether it was sent to this trap by a number, or by a name that is known. No browser reaches a Unix socket by itself;
    /// what stands in front of it says what it likes.
    fn is_ours<T>(&self, request: &Request<T>) -> bool {
        if matches!(self.listen, Listen::Unix(_)) {
            return true;
        }
        let mut hosts = request.headers().get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let known = |authority: &Authority| {
            let host = authority.host().to_lowercase();
            let host = host.strip_suffix('.').unwrap_or(&host);
            let number = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let is_number = match number {
                Some(number) => number.parse::<Ipv6Addr>().is_ok(),
                None => host.parse::<std::net::Ipv4Addr>().is_ok(),
            };
            // Nothing before it, and nothing but a port behind.
            let rest = authority.as_str().strip_prefix(authority.host());
            let whole = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
            whole && (is_number || self.names.iter().any(|name| name == host))
        };
        let named = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        named.is_some_and(|host| known(&host)) && request.uri().authority().is_none_or(known)
    }
}

/// What stands where the token should: behind `Bearer`, or as the password of `Basic`, whose user does not matter.
fn given(headers: &HeaderMap) -> Option<Vec<u8>> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().as_bytes().to_vec());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = BASE64_STANDARD.decode(value.trim()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    pair.get(colon + 1..).map(<[u8]>::to_vec)
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Takes as long for any two.
fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |differing, (one, other)| differing | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const TOKEN: &str = "0123456789abcdef";

    fn config(listen: &str, token: Option<&str>) -> (tempfile::TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { trap: Some("mast-3".into()), ..Config::default() };
        config.http.listen = Some(listen.into());
        config.http.names = vec!["trap.example".into()];
        if let Some(token) = token {
            let file = folder.path().join("token");
            std::fs::write(&file, token).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            config.http.token_file = Some(file);
        }
        (folder, config)
    }

    fn door(listen: &str, token: Option<&str>) -> Door {
        let (_folder, config) = config(listen, token);
        Door::of(&config).unwrap().unwrap()
    }

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let request = headers.iter().fold(Request::builder().uri("/"), |it, (name, value)| it.header(*name, *value));
        request.body(()).unwrap()
    }

    #[test]
    fn an_address_that_others_can_reach_needs_a_token_and_a_weak_one_is_refused() {
        for listen in ["0.0.0.0:80", "[::]:80", "192.0.2.7:80"] {
            let (_folder, without) = config(listen, None);
            assert!(matches!(Door::of(&without), Err(DoorError::NoToken { .. })), "{listen}");
            assert!(door(listen, Some(TOKEN)).has_token());
        }
        for weak in ["0123456789abcde", "0123456789 abcdef", "0123456789abcdeé"] {
            let (_folder, weak) = config("127.0.0.1:80", Some(weak));
            assert!(matches!(Door::of(&weak), Err(DoorError::WeakToken)));
        }
        assert!(!door("127.0.0.1:80", None).has_token() && !door("/run/page.sock", None).has_token());
        assert!(Door::of(&Config::default()).unwrap().is_none(), "off by default");
    }

    #[test]
    fn numbers_and_known_names_are_ours_and_a_name_bent_to_this_address_is_not() {
        let door = door("127.0.0.1:80", None);
        for host in [
            "127.0.0.1:80",
            "192.0.2.7",
            "[::1]:8080",
            "localhost",
            "LOCALHOST.:1",
            "mast-3",
            "mast-3.local:80",
            "trap.example",
        ] {
            assert_eq!(door.admits(&request(&[("host", host)])), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "mast-3.evil.example",
            "localhost@evil.example",
            "[::1].x",
            "1.2.3",
        ] {
            assert_eq!(door.admits(&request(&[("host", host)])), Err(Refusal::Host), "{host}");
        }
        assert_eq!(door.admits(&request(&[])), Err(Refusal::Host));
        assert_eq!(door.admits(&request(&[("host", "localhost"), ("host", "evil.example")])), Err(Refusal::Host));
        let absolute = Request::builder().uri("http://evil.example/").header("host", "localhost").body(()).unwrap();
        assert_eq!(door.admits(&absolute), Err(Refusal::Host));
    }

    #[test]
    fn only_the_whole_token_opens_as_a_bearer_or_as_a_password() {
        let door = door("0.0.0.0:80", Some(TOKEN));
        let tried = |value: &str| door.admits(&request(&[("host", "192.0.2.7"), ("authorization", value)]));
        let basic = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
        for value in [
            format!("Bearer {TOKEN}"),
            format!("bearer {TOKEN}"),
            basic(&format!("any:{TOKEN}")),
            basic(&format!(":{TOKEN}")),
        ] {
            assert_eq!(tried(&value), Ok(()), "{value}");
        }
        let wrong = ["0123456789abcde", "0123456789abcdef0", "0123456789abcdeF", ""];
        for wrong in wrong {
            for value in [format!("Bearer {wrong}"), basic(&format!("any:{wrong}")), wrong.to_owned()] {
                assert_eq!(tried(&value), Err(Refusal::Token), "{value}");
            }
        }
        assert_eq!(tried(&format!("Digest {TOKEN}")), Err(Refusal::Token));
        assert_eq!(tried(&basic(TOKEN)), Err(Refusal::Token), "a user alone");
        assert_eq!(door.admits(&request(&[("host", "192.0.2.7")])), Err(Refusal::Token));
    }
}
