//! A head on this machine: a `.head` file, a directory with its files, or the one inside the binary.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::bundle::{self, Bundle, CANARIES, Limits, MANIFEST, NETWORK, SIGNATURE};
use super::canaries::{self, Canaries};
use super::error::BundleError;
use super::keys::TrustedKeys;
use super::signature::{self, Signature};
use crate::model::source::Origin;
use crate::model::{Head, HeadManifest, Logits, ModelError, builtin};

/// A head as it lies here, its files compared with its manifest.
///
/// A directory may have less than a bundle: no signature, and no canaries if its manifest lists none.
#[derive(Debug, Clone)]
pub struct LocalHead {
    pub(super) signature: Option<Signature>,
    pub(super) bytes: Vec<u8>,
    pub(super) manifest: HeadManifest,
    pub(super) network: Vec<u8>,
    pub(super) canaries: Option<Vec<u8>>,
}

impl LocalHead {
    /// Reads the file or directory at `path`. The signature of a key in `keys` must hold; one of another key proves nothing
    /// and is not checked.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn read(path: &Path, keys: &TrustedKeys) -> Result<Self, BundleError> {
        let metadata = fs::metadata(path).map_err(|source| BundleError::Read { source })?;
        if metadata.is_dir() {
            return Self::read_directory(path, keys);
        }
        let (signature, manifest, bytes, network, canaries) = Bundle::load(path, keys)?.into_parts();
        Ok(Self { signature, bytes, manifest, network, canaries: Some(canaries) })
    }

    /// The head that the configuration names.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn at(origin: &Origin) -> Result<Self, BundleError> {
        match origin {
            Origin::Builtin => Self::builtin(),
            Origin::Path(path) => Self::read(path, &TrustedKeys::default()),
        }
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &HeadManifest {
        &self.manifest
    }

    /// Its network without the Softmax.
    ///
    /// # Errors
    /// [`ModelError::Network`].
    pub fn logits(&self) -> Result<Logits, ModelError> {
        Logits::load(&self.manifest, &self.network)
    }

    /// The head inside the binary.
    pub(super) fn builtin() -> Result<Self, BundleError> {
        let manifest = HeadManifest::parse(builtin::HEAD_MANIFEST)?;
        Self::of_files(None, builtin::HEAD_MANIFEST.to_vec(), manifest, builtin::HEAD.to_vec(), || {
            Err(BundleError::File { entry: CANARIES, reason: io::ErrorKind::NotFound.into() })
        })
    }

    fn read_directory(path: &Path, keys: &TrustedKeys) -> Result<Self, BundleError> {
        let signature = match path.join(SIGNATURE) {
            file if file.exists() => {
                let bytes = read(path, SIGNATURE, signature::MAX_BYTES as u64)?;
                if bytes.is_empty() { None } else { Some(Signature::parse(&bytes)?) }
            }
            _ => None,
        };
        let bytes = read(path, MANIFEST, bundle::MAX_MANIFEST)?;
        keys.verify_known(signature.as_ref(), &bytes)?;
        let manifest = HeadManifest::parse(&bytes)?;
        let network = read(path, NETWORK, Limits::LOCAL.network)?;
        Self::of_files(signature, bytes, manifest, network, || read(path, CANARIES, canaries::MAX_BYTES))
    }

    fn of_files(
        signature: Option<Signature>,
        bytes: Vec<u8>,
        manifest: HeadManifest,
        network: Vec<u8>,
        canaries: impl FnOnce() -> Result<Vec<u8>, BundleError>,
    ) -> Result<Self, BundleError> {
        if let Some(declared) = manifest.files.get(NETWORK) {
            bundle::check_digest(NETWORK, &network, declared)?;
        }
        let canaries = match manifest.files.get(CANARIES) {
            Some(declared) => {
                let canaries = canaries()?;
                bundle::check_digest(CANARIES, &canaries, declared)?;
                Some(canaries)
            }
            None => None,
        };
        Ok(Self { signature, bytes, manifest, network, canaries })
    }

    /// Loads the network and proves it on its canaries, as far as it has any.
    ///
    /// # Errors
    /// [`BundleError::Model`] and [`BundleError::Canary`].
    pub fn load(&self) -> Result<Head, BundleError> {
        let head = Head::load(self.manifest.clone(), &self.network)?;
        if let Some(canaries) = &self.canaries {
            Canaries::parse(canaries)?.check(&head)?;
        }
        Ok(head)
    }
}

fn read(folder: &Path, entry: &'static str, limit: u64) -> Result<Vec<u8>, BundleError> {
    let wrong = |reason| BundleError::File { entry, reason };
    let mut bytes = Vec::new();
    File::open(folder.join(entry)).map_err(wrong)?.take(limit + 1).read_to_end(&mut bytes).map_err(wrong)?;
    match bytes.len() as u64 {
        bytes if bytes > limit => Err(BundleError::TooLarge { entry, bytes, limit }),
        _ => Ok(bytes),
    }
}
