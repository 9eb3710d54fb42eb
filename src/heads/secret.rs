//! Secret keys, and signing with them.

use std::path::{Path, PathBuf};

use minisign::{KeyPair, SecretKeyBox};

use super::error::BundleError;
use super::keys::{self, TrustedKeys};
use super::signature::{self, KeyId, Signature};

/// Size of a secret key: algorithms, salt, limits, id, key and checksum.
const BYTES: usize = 158;
/// The last bytes of a secret key.
const CHECKSUM: usize = 32;

/// Why a key could not be made or used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    /// The file can't be read.
    #[error("secret key {}: it can't be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// Not a key.
    #[error("secret key {}: it is no minisign secret key; give the .key file that `arcticd head new-key` or `minisign -G` wrote", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// Not this password, or a damaged file.
    #[error("secret key {}: the password is wrong, or the file is damaged ({reason})", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// The library's message.
        reason: String,
    },
    /// No password.
    #[error("{0}")]
    NoPassword(String),
    /// The random numbers or the arithmetic of key and signature failed.
    #[error("the key can't be used: {0}")]
    Failed(String),
    /// What was signed is not accepted.
    #[error("the signature just made does not hold: {0}; the secret key is damaged")]
    Check(BundleError),
}

/// A secret key, ready to sign.
pub(crate) struct SecretKey(minisign::SecretKey);

/// A new pair of keys as the texts of their files.
pub(super) struct NewPair {
    pub secret: String,
    pub public: String,
    pub id: KeyId,
}

/// Makes a pair of keys, the secret one protected by `password`.
pub(super) fn generate(password: Option<String>) -> Result<NewPair, KeyError> {
    let failed = |error: minisign::PError| KeyError::Failed(error.to_string());
    let comment = if password.is_some() { "minisign encrypted secret key" } else { "minisign secret key" };
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        None => KeyPair::generate_unencrypted_keypair(),
    };
    let pair = pair.map_err(failed)?;
    let public = pair.pk.to_base64();
    let bytes: [u8; 42] = signature::decode(&public).ok_or_else(|| KeyError::Failed("no public key".into()))?;
    let id = KeyId::of_key(&bytes);
    Ok(NewPair {
        secret: pair.sk.to_box(Some(comment)).map_err(failed)?.into_string(),
        public: format!("untrusted comment: minisign public key {id}\n{public}\n"),
        id,
    })
}

impl SecretKey {
    /// Reads a secret key; `password` is asked only if it has one.
    pub(super) fn load(path: &Path, password: impl FnOnce() -> Result<String, KeyError>) -> Result<Self, KeyError> {
        let text = keys::read(path).map_err(|reason| KeyError::Read { path: path.to_owned(), reason })?;
        let format = || KeyError::Format { path: path.to_owned() };
        let bytes: [u8; BYTES] = text.lines().nth(1).and_then(signature::decode).ok_or_else(format)?;
        let secret = SecretKeyBox::from_string(&text).map_err(|_| format())?;
        let key = match &bytes[..4] {
            b"EdSc" => secret.into_secret_key(Some(password()?)),
            // Stock minisign 0.11 leaves the checksum out with the password; a damaged key is told as it signs.
            b"Ed\0\0" if bytes.ends_with(&[0; CHECKSUM]) => minisign::SecretKey::from_bytes(&bytes),
            b"Ed\0\0" => secret.into_unencrypted_secret_key(),
            _ => return Err(format()),
        };
        let key = key.map_err(|error| KeyError::Password { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Self(key))
    }

    /// Signs `message` and `comment`, and checks what it signed.
    pub(super) fn sign(&self, message: &[u8], comment: &str) -> Result<Signature, KeyError> {
        let failed = |error: minisign::PError| KeyError::Failed(error.to_string());
        let made = minisign::sign(None, &self.0, message, Some(comment), None).map_err(failed)?;
        let signature = Signature::parse(made.to_string().as_bytes());
        let signature = signature.map_err(|error| KeyError::Check(error.into()))?;
        let public = minisign::PublicKey::from_secret_key(&self.0).map_err(failed)?;
        let public = TrustedKeys::of_text(&public.to_box().map_err(failed)?.into_string());
        public.verify(&signature, message).map_err(KeyError::Check)?;
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn none() -> Result<String, KeyError> {
        panic!("a password was asked for")
    }

    #[test]
    fn a_key_without_a_password_signs_and_its_public_key_checks() {
        let pair = generate(None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        std::fs::write(&path, &pair.secret).unwrap();
        let signature = SecretKey::load(&path, none).unwrap().sign(b"manifest", "head:a\tsequence:1").unwrap();
        assert_eq!(signature.key(), pair.id);
        assert_eq!(signature.trusted_comment(), "head:a\tsequence:1");
        let keys = TrustedKeys::of_text(&pair.public);
        assert_eq!(keys.verify(&signature, b"manifest").unwrap().id(), pair.id);
        assert!(matches!(keys.verify(&signature, b"Manifest"), Err(BundleError::WrongSignature { .. })));
        let other = TrustedKeys::of_text(&generate(None).unwrap().public);
        let message = other.verify(&signature, b"manifest").unwrap_err().to_string();
        assert!(message.contains(&pair.id.to_string()), "{message}");
    }

    #[test]
    fn a_secret_key_that_is_none_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        let public = generate(None).unwrap().public;
        for text in ["", "untrusted comment: x\n", "untrusted comment: x\nRWQx\n", &public, &"a".repeat(5000)] {
            std::fs::write(&path, text).unwrap();
            let Err(error) = SecretKey::load(&path, none) else { panic!("{text} was accepted") };
            assert!(error.to_string().contains("a.key"), "{error}");
        }
    }
}
