//! How to connect: address, credentials, TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{MqttOptions, NetworkOptions, TlsConfiguration, Transport};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{BrokerError, Mqtt, SecretError};

/// Largest packet that is taken, in bytes. Generous on purpose: one beyond it breaks the connection, and a retained one
/// breaks it again at each connect. What is too large for its purpose is dropped behind this limit.
pub(super) const MAX_INCOMING: usize = 64 << 20;
/// Largest packet that is sent.
const MAX_OUTGOING: usize = 16 << 20;

/// Why no connection can even be tried.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The address is wrong.
    #[error("mqtt.url {0}")]
    Url(#[from] BrokerError),
    /// The password can't be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A certificate or key can't be used.
    #[error("{key} {}: {problem}", file.display())]
    Pem {
        /// The configuration key.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The system has no certificate authorities.
    #[error("this system has no certificate authorities ({0}); install ca-certificates or set mqtt.ca_file")]
    NoRoots(String),
    /// rustls refuses the combination.
    #[error("TLS can't be set up: {0}; check mqtt.cert_file and mqtt.key_file")]
    Tls(#[from] rustls::Error),
}

/// The client's options for `mqtt`, or none when no broker is configured.
///
/// # Errors
/// [`OptionsError`] names the key and file.
pub fn connect_options(mqtt: &Mqtt, client_id: &str) -> Result<Option<(MqttOptions, NetworkOptions)>, OptionsError> {
    let Some(broker) = mqtt.broker()? else { return Ok(None) };
    let mut options = MqttOptions::new(client_id, broker.host, broker.port);
    options.set_keep_alive(Duration::from_secs(mqtt.keep_alive_s));
    options.set_max_packet_size(MAX_INCOMING, MAX_OUTGOING);
    options.set_inflight(mqtt.inflight);
    // The broker keeps the session, and with it what it still has to deliver to this trap.
    options.set_clean_session(false);
    if let Some(user) = &mqtt.username {
        let password = mqtt.password()?;
        options.set_credentials(user, password.as_ref().map_or("", |secret| secret.expose()));
    }
    if broker.tls {
        let config = Arc::new(tls(mqtt)?);
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    }
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(mqtt.connect_timeout_s);
    network.set_tcp_nodelay(true);
    Ok(Some((options, network)))
}

/// TLS 1.2 and 1.3 on ring.
///
/// # Errors
/// [`OptionsError`] names the key and file.
pub fn tls(mqtt: &Mqtt) -> Result<ClientConfig, OptionsError> {
    let roots = match &mqtt.ca_file {
        Some(file) => roots_from("mqtt.ca_file", file)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let (Some(cert_file), Some(key_file)) = (&mqtt.cert_file, &mqtt.key_file) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("mqtt.cert_file", cert_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| pem("mqtt.key_file", key_file, error))?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

fn roots_from(key: &'static str, file: &Path) -> Result<RootCertStore, OptionsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, file)? {
        roots.add(certificate).map_err(|error| pem(key, file, error))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, OptionsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(OptionsError::NoRoots(reasons.join("; ")));
    }
    Ok(roots)
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, OptionsError> {
    let found: Vec<_> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(|error| pem(key, file, error))?;
    if found.is_empty() {
        return Err(pem(key, file, "holds no certificate; it must be PEM"));
    }
    Ok(found)
}

fn pem(key: &'static str, file: &Path, problem: impl std::fmt::Display) -> OptionsError {
    OptionsError::Pem { key, file: file.to_owned(), problem: problem.to_string() }
}
