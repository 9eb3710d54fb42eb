//! A signed message as it travels in one payload: its exact bytes and their signature, both in base64. Opening the envelope
//! is all that happens before the signature is checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::heads::signature::{self, KeyId, Signature};
use crate::heads::{BundleError, TrustedKeys};

/// Bytes of message and minisign signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What was signed.
    pub message: Vec<u8>,
    /// Four lines, as minisign writes them.
    pub signature: Vec<u8>,
}

/// Why bytes are no envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// More bytes than such a message has.
    #[error("it has {bytes} bytes, more than the {limit} that are looked at")]
    TooLarge {
        /// Found.
        bytes: usize,
        /// Allowed.
        limit: usize,
    },
    /// Something else.
    #[error("it is no signed message ({0})")]
    Syntax(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    // `head/offer` calls it by what it is.
    #[serde(alias = "manifest")]
    message: String,
    signature: String,
}

/// A signed request: its exact bytes and their signature.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Asking<'a> {
    /// The request's exact bytes, in base64.
    #[schemars(extend("contentEncoding" = "base64"))]
    message: &'a str,
    /// minisign's signature of them, four lines, in base64.
    #[schemars(extend("contentEncoding" = "base64"))]
    signature: &'a str,
}

/// What a head is, before any bulk travels.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Offering<'a> {
    /// The exact bytes of `manifest.json`, in base64.
    #[schemars(extend("contentEncoding" = "base64"))]
    manifest: &'a str,
    /// minisign's signature of them, four lines, in base64.
    #[schemars(extend("contentEncoding" = "base64"))]
    signature: &'a str,
}

impl Envelope {
    /// Largest payload around a message of so many bytes.
    pub const fn most(message: usize) -> usize {
        message.div_ceil(3) * 4 + signature::MAX_BYTES.div_ceil(3) * 4 + 64
    }

    /// Opens a payload of at most `limit` bytes.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn decode(payload: &[u8], limit: usize) -> Result<Self, EnvelopeError> {
        if payload.len() > limit {
            return Err(EnvelopeError::TooLarge { bytes: payload.len(), limit });
        }
        let written: Written =
            serde_json::from_slice(payload).map_err(|error| EnvelopeError::Syntax(error.to_string()))?;
        let open = |name: &str, text: &str| {
            STANDARD.decode(text).map_err(|error| EnvelopeError::Syntax(format!("{name}: {error}")))
        };
        Ok(Self { message: open("message", &written.message)?, signature: open("signature", &written.signature)? })
    }

    /// `{"message": BASE64, "signature": BASE64}`.
    pub fn encode(&self) -> Vec<u8> {
        let (message, signature) = self.base64();
        serde_json::to_vec(&Asking { message: &message, signature: &signature }).unwrap_or_default()
    }

    /// `{"manifest": BASE64, "signature": BASE64}`.
    pub fn encode_offer(&self) -> Vec<u8> {
        let (manifest, signature) = self.base64();
        serde_json::to_vec(&Offering { manifest: &manifest, signature: &signature }).unwrap_or_default()
    }

    fn base64(&self) -> (String, String) {
        (STANDARD.encode(&self.message), STANDARD.encode(&self.signature))
    }

    /// Checks that one of `keys` signed it, and says which.
    ///
    /// # Errors
    /// [`BundleError`]: no signature, of a key that is not trusted, or of another message.
    pub fn verify(&self, keys: &TrustedKeys) -> Result<KeyId, BundleError> {
        let signature = Signature::parse_exact(&self.signature)?;
        Ok(keys.verify(&signature, &self.message)?.id())
    }
}
