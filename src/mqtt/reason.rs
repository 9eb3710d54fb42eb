//! What a person can do about a connection that failed.

use std::io::{self, ErrorKind};

use rumqttc::{ConnectReturnCode as Code, ConnectionError, TlsError};

/// What to do where [`speaks_no_tls`].
pub(crate) const NO_TLS: &str = "the port may speak no TLS (mqtts:// is mostly on 8883, mqtt:// on 1883)";

/// The error in words, with what to do where that is known.
pub(crate) fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(Code::BadUserNamePassword | Code::NotAuthorized) => {
            "the broker refuses this user; check mqtt.username and mqtt.password_file".into()
        }
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses the connection ({code:?})"),
        ConnectionError::NetworkTimeout => "no answer within mqtt.connect_timeout_s".into(),
        ConnectionError::Io(error) if names_nobody(error) => {
            format!("{error}; check the spelling of mqtt.url, and this machine's DNS")
        }
        ConnectionError::Tls(TlsError::Io(error)) if speaks_no_tls(error) => format!("TLS: {error}; {NO_TLS}"),
        other => other.to_string(),
    }
}

/// Whether the host's name leads to no address. The standard library has no kind for that, only words.
pub(crate) fn names_nobody(error: &io::Error) -> bool {
    error.to_string().starts_with("failed to lookup address information")
}

/// Whether a handshake ended as it does where the other side does not know what it was sent, or answers in plain text.
pub(crate) fn speaks_no_tls(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let hung_up =
        [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof];
    matches!(inner, Some(rustls::Error::InvalidMessage(_))) || inner.is_none() && hung_up.contains(&error.kind())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::ToSocketAddrs;

    use super::*;

    #[test]
    fn a_host_that_nobody_knows_is_told_from_a_broker_that_is_away() {
        // Longer than a name may be, so that nobody is asked for it.
        let unknown = (format!("{}.invalid", "x".repeat(64)), 1883).to_socket_addrs().unwrap_err();
        let said = explain(&ConnectionError::Io(unknown));
        assert!(said.contains("check the spelling of mqtt.url, and this machine's DNS"), "{said}");
        let away = explain(&ConnectionError::Io(ErrorKind::ConnectionRefused.into()));
        assert!(!away.contains("DNS"), "{away}");
    }

    #[test]
    fn a_handshake_that_is_cut_short_or_answered_in_plain_text_is_told_from_a_wrong_certificate() {
        let said = |error: io::Error| explain(&ConnectionError::Tls(TlsError::Io(error)));
        let tls = |error: rustls::Error| io::Error::new(ErrorKind::InvalidData, error);
        assert!(said(ErrorKind::ConnectionReset.into()).ends_with(NO_TLS));
        assert!(said(ErrorKind::UnexpectedEof.into()).ends_with(NO_TLS));
        assert!(said(tls(rustls::InvalidMessage::InvalidContentType.into())).ends_with(NO_TLS));
        let wrong = said(tls(rustls::CertificateError::UnknownIssuer.into()));
        assert!(wrong.contains("certificate") && !wrong.contains(NO_TLS), "{wrong}");
    }
}
