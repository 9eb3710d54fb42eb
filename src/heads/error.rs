//! Why a bundle was refused.

use std::io;
use std::path::PathBuf;

use super::canaries::CanaryError;
use super::signature::{FormatError, KeyId};
use crate::model::{ManifestError, ModelError};

/// Why a bundle could not be made, read or written. The bundle's name is the caller's to add.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Reading failed.
    #[error("it can't be read")]
    Read {
        /// Why.
        source: io::Error,
    },
    /// A file of a head's directory can't be read.
    #[error("{entry} can't be read: {reason}")]
    File {
        /// The file.
        entry: &'static str,
        /// Why.
        reason: io::Error,
    },
    /// A file could not be written.
    #[error("{} can't be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ends too early.
    #[error("it is cut off at {entry}; copy it again")]
    Truncated {
        /// Where.
        entry: &'static str,
    },
    /// The archive's entry is not the one expected, or its header not as `arcticd` writes it.
    #[error(
        "it is no head, or damaged: where {entry} should begin stands something else; copy it again, and make heads only with arcticd (train, head pack, head sign), not with tar"
    )]
    Header {
        /// The entry expected.
        entry: &'static str,
    },
    /// Bytes where nothing should be.
    #[error("it is damaged after {entry}; copy it again")]
    Padding {
        /// The entry before.
        entry: &'static str,
    },
    /// Something after the end.
    #[error("something follows the end of the head; copy it again")]
    Trailing,
    /// Larger than what is taken.
    #[error(
        "{entry} has {bytes} bytes, more than the {limit} that are taken; make the head smaller, or raise the limit where it is set"
    )]
    TooLarge {
        /// The entry.
        entry: &'static str,
        /// Found.
        bytes: u64,
        /// Allowed.
        limit: u64,
    },
    /// The signature's entry is no signature.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// No signature.
    #[error("the head is not signed; sign it with `arcticd head sign`")]
    Unsigned,
    /// Signed by a key that is not trusted.
    #[error(
        "signed by key {key}, which is not trusted (trusted: {trusted}); if you trust its owner, put the public key with the trusted ones, else sign with a trusted key"
    )]
    UnknownKey {
        /// The key that the signature names.
        key: KeyId,
        /// The trusted keys' ids.
        trusted: String,
    },
    /// The signature is not what this key makes of this manifest.
    #[error(
        "the signature is wrong: key {key} did not sign this manifest and comment; the head was damaged or changed, copy it again or sign it again"
    )]
    WrongSignature {
        /// The key that the signature names.
        key: KeyId,
    },
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file is not the one that the manifest describes.
    #[error(
        "{entry} is not the file that the manifest describes ({problem}); copy the head again, it is damaged or changed"
    )]
    Digest {
        /// The entry.
        entry: &'static str,
        /// Sizes or digests that differ.
        problem: String,
    },
    /// The network is refused.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The canaries are refused.
    #[error(transparent)]
    Canary(#[from] CanaryError),
}
