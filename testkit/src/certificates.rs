//! A certificate authority with a server's and a client's certificate, as PEM files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

use crate::broker::Tls;

/// The files; dropping it removes them.
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Makes an authority, a server's certificate for `localhost` and 127.0.0.1, and a client's for `trap`.
    ///
    /// # Errors
    /// The files can't be written.
    pub fn generate() -> Result<Self> {
        Self::for_hosts(&["localhost", "127.0.0.1"])
    }

    /// As [`Certificates::generate`], with a server's certificate for other hosts.
    ///
    /// # Errors
    /// The files can't be written.
    pub fn for_hosts(hosts: &[&str]) -> Result<Self> {
        Self::make(hosts, false)
    }

    /// As [`Certificates::generate`], but the server's and the client's ran out in 2020.
    ///
    /// # Errors
    /// The files can't be written.
    pub fn expired() -> Result<Self> {
        Self::make(&["localhost", "127.0.0.1"], true)
    }

    fn make(hosts: &[&str], expired: bool) -> Result<Self> {
        let certificates = Self { directory: tempfile::Builder::new().prefix("certificates-").tempdir()? };
        let mut params = named("arcticd test authority", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?;
        certificates.write("ca.pem", &authority.pem())?;
        let issuer = Issuer::new(params, key);

        let leaf = |file: &str, name: &str, hosts: &[&str], usage| -> Result<()> {
            let mut params = named(name, hosts)?;
            params.extended_key_usages = vec![usage];
            if expired {
                params.not_after = rcgen::date_time_ymd(2020, 1, 1);
            }
            params.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate()?;
            certificates.write(&format!("{file}.pem"), &params.signed_by(&key, &issuer)?.pem())?;
            certificates.write(&format!("{file}.key"), &key.serialize_pem())
        };
        leaf("server", "broker", hosts, ExtendedKeyUsagePurpose::ServerAuth)?;
        leaf("client", "trap", &["trap"], ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(certificates)
    }

    /// The authority: `mqtt.ca_file`.
    pub fn ca_file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// The client's certificate: `mqtt.cert_file`.
    pub fn client_cert(&self) -> PathBuf {
        self.path("client.pem")
    }

    /// The client's key: `mqtt.key_file`.
    pub fn client_key(&self) -> PathBuf {
        self.path("client.key")
    }

    /// What a broker needs.
    pub fn server(&self, client_certificate: bool) -> Tls {
        Tls {
            ca_file: self.ca_file(),
            cert_file: self.path("server.pem"),
            key_file: self.path("server.key"),
            client_certificate,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        write(&self.path(name), text)
    }
}

fn named(name: &str, hosts: &[&str]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("certificate file {}", file.display()))
}
