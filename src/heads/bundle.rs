//! `NAME.head`: a head as one file.
//!
//! A plain ustar of four regular files in this order, each bounded: `manifest.json.minisig` (empty while the head is
//! unsigned), `manifest.json`, `head.onnx`, `canaries.bin`. The signature covers the manifest's exact bytes, and the
//! manifest holds size and sha256 of what follows.
//!
//! Reading is in steps, each a type of its own, so that nothing is parsed that is not yet proven: [`Sealed`] is
//! signature and manifest as bytes; checked, it becomes [`Opened`], a manifest that can be looked at; that reads the
//! rest and compares digests, which gives a [`Bundle`]; [`Bundle::head`] at last loads the network and runs the canaries.
//!
//! The same content always gives the same bytes, so a head that came in pieces is the file it was.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use super::canaries::{self, Canaries};
use super::error::BundleError;
use super::keys::TrustedKeys;
use super::signature::{self, Signature};
use super::ustar;
use crate::frame::ContentHash;
use crate::model::{Chunks, FileDigest, Head, HeadManifest, ManifestError};
use crate::whole_file;

/// The entries' names, in order.
pub const ENTRIES: [&str; 4] = [SIGNATURE, MANIFEST, NETWORK, CANARIES];
pub(super) const SIGNATURE: &str = "manifest.json.minisig";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const NETWORK: &str = "head.onnx";
pub(super) const CANARIES: &str = "canaries.bin";

/// Largest manifest that is read, in bytes.
pub const MAX_MANIFEST: u64 = 1 << 20;
/// Smallest piece for a transfer: over 2 kbit/s it takes 16 s, and whatever else there is to say waits no longer. Doubled
/// until a head has at most [`CHUNKS`].
const CHUNK: u64 = 4 * 1024;
/// Most pieces that are made, so that their digests stay a small part of the manifest.
const CHUNKS: u64 = 256;
/// Largest piece.
pub const MAX_CHUNK: u64 = 16 << 20;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest network, in bytes.
    pub network: u64,
}

impl Limits {
    /// For a head that comes from elsewhere, unless configured otherwise: 64 MiB.
    pub const RECEIVED: Self = Self { network: 64 << 20 };
    /// For a file that somebody put onto this machine: 1 GiB, the largest ONNX file that is read. A head on flattened
    /// features may have 400 MB.
    pub const LOCAL: Self = Self { network: 1 << 30 };
}

/// A head's signature and manifest as they were read: bytes, not yet looked into.
#[derive(Debug)]
pub struct Sealed<R> {
    signature: Option<Signature>,
    manifest: Vec<u8>,
    rest: R,
}

/// A head whose manifest is parsed, and the rest of which is still to be read.
#[derive(Debug)]
pub struct Opened<R> {
    signature: Option<Signature>,
    bytes: Vec<u8>,
    manifest: HeadManifest,
    rest: R,
}

/// A whole head whose files are those that its manifest describes.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    signature: Option<Signature>,
    bytes: Vec<u8>,
    manifest: HeadManifest,
    network: Vec<u8>,
    canaries: Vec<u8>,
}

/// Reads the first two entries of a bundle: at most 2 KiB of signature and 1 MiB of manifest.
///
/// # Errors
/// [`BundleError`] if it is no bundle, or its signature none.
pub fn read_head_of<R: Read>(mut reader: R) -> Result<Sealed<R>, BundleError> {
    let signature = ustar::read(&mut reader, SIGNATURE, signature::MAX_BYTES as u64)?;
    let manifest = ustar::read(&mut reader, MANIFEST, MAX_MANIFEST)?;
    let signature = if signature.is_empty() { None } else { Some(Signature::parse_exact(&signature)?) };
    Ok(Sealed { signature, manifest, rest: reader })
}

/// As [`read_head_of`], of a signature and a manifest that came alone.
///
/// # Errors
/// [`BundleError`] if the signature is none.
pub fn seal(signature: &[u8], manifest: Vec<u8>) -> Result<Sealed<io::Empty>, BundleError> {
    let signature = if signature.is_empty() { None } else { Some(Signature::parse_exact(signature)?) };
    if manifest.len() as u64 > MAX_MANIFEST {
        return Err(BundleError::TooLarge { entry: MANIFEST, bytes: manifest.len() as u64, limit: MAX_MANIFEST });
    }
    Ok(Sealed { signature, manifest, rest: io::empty() })
}

impl<R> Sealed<R> {
    /// The signature, unless the head is unsigned.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// The manifest's exact bytes: what is signed.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest
    }

    /// Opens a head that a trusted key signed.
    ///
    /// # Errors
    /// [`BundleError::Unsigned`], [`BundleError::UnknownKey`], [`BundleError::WrongSignature`], or the manifest's.
    pub fn verify(self, keys: &TrustedKeys) -> Result<Opened<R>, BundleError> {
        keys.verify(self.signature.as_ref().ok_or(BundleError::Unsigned)?, &self.manifest)?;
        self.open_unverified()
    }

    /// Opens a head that is trusted for another reason than its signature, as where it lies.
    ///
    /// # Errors
    /// [`BundleError::Manifest`].
    pub fn open_unverified(self) -> Result<Opened<R>, BundleError> {
        let manifest = HeadManifest::parse(&self.manifest)?;
        check_files(&manifest)?;
        Ok(Opened { signature: self.signature, bytes: self.manifest, manifest, rest: self.rest })
    }
}

impl<R> Opened<R> {
    /// What the head says of itself.
    pub fn manifest(&self) -> &HeadManifest {
        &self.manifest
    }

    /// The manifest's exact bytes: what is signed.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The signature, unless the head is unsigned.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// Bytes of the files that belong to it, together.
    pub fn total(&self) -> u64 {
        self.manifest.files.values().fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// Joins it with its files, which came as one row of bytes: the network and behind it the canaries.
    ///
    /// # Errors
    /// [`BundleError`] for files of other sizes or digests.
    pub fn join(self, mut row: Vec<u8>) -> Result<Bundle, BundleError> {
        let size = |entry| self.manifest.files.get(entry).ok_or_else(|| wrong("files", "do not list an entry"));
        let (network, canaries) = (size(NETWORK)?, size(CANARIES)?);
        let seam = usize::try_from(network.size).unwrap_or(usize::MAX).min(row.len());
        let rest = row.split_off(seam);
        check_digest(NETWORK, &row, network)?;
        check_digest(CANARIES, &rest, canaries)?;
        check_size(CANARIES, &rest, canaries::MAX_BYTES)?;
        let Self { signature, bytes, manifest, .. } = self;
        Ok(Bundle { signature, bytes, manifest, network: row, canaries: rest })
    }
}

impl<R: Read> Opened<R> {
    /// Reads the rest of the bundle and compares it with the manifest.
    ///
    /// # Errors
    /// [`BundleError`] for files of other sizes or digests, or larger than `limits`.
    pub fn read(self, limits: Limits) -> Result<Bundle, BundleError> {
        let Self { signature, bytes, manifest, mut rest } = self;
        let network = read_file(&mut rest, &manifest, NETWORK, limits.network)?;
        let canaries = read_file(&mut rest, &manifest, CANARIES, canaries::MAX_BYTES)?;
        ustar::end(&mut rest)?;
        let bundle = Bundle { signature, bytes, manifest, network, canaries };
        let found =
            bundle.manifest.chunks.as_ref().map(|chunks| pieces(chunks.size, &bundle.network, &bundle.canaries));
        if found != bundle.manifest.chunks {
            return Err(wrong("chunks", "are not those of the files"));
        }
        Ok(bundle)
    }
}

impl Bundle {
    /// Makes an unsigned bundle of a network that was just trained: [`Canaries::of`] it and `photos`, then
    /// [`Bundle::pack`].
    ///
    /// # Errors
    /// [`BundleError`] if the network is not what the manifest says, or something is too large.
    pub fn make(mut manifest: HeadManifest, network: Vec<u8>, photos: &[Vec<f32>]) -> Result<Self, BundleError> {
        manifest.files = [(NETWORK.to_owned(), digest(&network))].into();
        let head = Head::load(manifest, &network)?;
        let canaries = Canaries::of(&head, photos)?;
        Self::pack(head.manifest().clone(), network, &canaries)
    }

    /// Makes an unsigned bundle: fills `manifest`'s digests and pieces.
    ///
    /// # Errors
    /// [`BundleError`] if the manifest is not valid or something is too large.
    pub fn pack(mut manifest: HeadManifest, network: Vec<u8>, canaries: &Canaries) -> Result<Self, BundleError> {
        let canaries = canaries.encode();
        check_size(NETWORK, &network, Limits::LOCAL.network)?;
        check_size(CANARIES, &canaries, canaries::MAX_BYTES)?;
        let files = [(NETWORK, &network), (CANARIES, &canaries)];
        manifest.files = files.map(|(name, bytes)| (name.to_owned(), digest(bytes))).into();
        let total = network.len() as u64 + canaries.len() as u64;
        let mut size = CHUNK;
        while total.div_ceil(size) > CHUNKS {
            size *= 2;
        }
        manifest.chunks = Some(pieces(size, &network, &canaries));
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|error| ManifestError::Syntax { what: "head", reason: error.to_string() })?;
        check_size(MANIFEST, &bytes, MAX_MANIFEST)?;
        // By the same rules as a reader's; a number that changes in writing is told from the bytes that are signed.
        let manifest = HeadManifest::parse(&bytes)?;
        check_files(&manifest)?;
        Ok(Self { signature: None, bytes, manifest, network, canaries })
    }

    /// Reads a file that somebody put onto this machine; the signature of a key in `keys` must hold.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn load(path: &Path, keys: &TrustedKeys) -> Result<Self, BundleError> {
        let file = File::open(path).map_err(|source| BundleError::Read { source })?;
        let sealed = read_head_of(BufReader::new(file))?;
        keys.verify_known(sealed.signature(), sealed.manifest_bytes())?;
        sealed.open_unverified()?.read(Limits::LOCAL)
    }

    /// What the head says of itself.
    pub fn manifest(&self) -> &HeadManifest {
        &self.manifest
    }

    /// The manifest's exact bytes: what is signed.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The signature, unless the head is unsigned.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// Puts `signature` in the place of the one before; everything else stays as it is.
    pub fn set_signature(&mut self, signature: Signature) {
        self.signature = Some(signature);
    }

    /// The network's bytes.
    pub fn network(&self) -> &[u8] {
        &self.network
    }

    /// The bytes of `canaries.bin`.
    pub fn canaries(&self) -> &[u8] {
        &self.canaries
    }

    /// The row of bytes that is sent in pieces: the network and behind it the canaries.
    pub fn row(&self) -> Vec<u8> {
        [self.network.as_slice(), &self.canaries].concat()
    }

    /// Takes the bundle apart: signature, manifest, its exact bytes, network, canaries.
    pub(super) fn into_parts(self) -> (Option<Signature>, HeadManifest, Vec<u8>, Vec<u8>, Vec<u8>) {
        (self.signature, self.manifest, self.bytes, self.network, self.canaries)
    }

    /// Loads the network and proves it on the canaries.
    ///
    /// # Errors
    /// [`BundleError::Model`] and [`BundleError::Canary`].
    pub fn head(&self) -> Result<Head, BundleError> {
        let canaries = Canaries::parse(&self.canaries)?;
        let head = Head::load(self.manifest.clone(), &self.network)?;
        canaries.check(&head)?;
        Ok(head)
    }

    /// Writes the bundle's bytes, always the same for the same content.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let signature = self.signature.as_ref().map(Signature::encode).unwrap_or_default();
        let contents = [signature.as_bytes(), &self.bytes, &self.network, &self.canaries];
        for (name, content) in ENTRIES.into_iter().zip(contents) {
            ustar::write(out, name, content)?;
        }
        ustar::finish(out)
    }

    /// Writes the file: beside its place first, then renamed into it, so that it is never half a head, whatever happens.
    ///
    /// # Errors
    /// [`BundleError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), BundleError> {
        whole_file::write(path, |out| self.write(out))
            .map_err(|source| BundleError::Write { path: path.to_owned(), source })
    }
}

/// The rules of a bundle's manifest beyond those of any head's: exactly its two files, and no more pieces than their
/// sizes give, so that a manifest can't promise what was never bounded.
fn check_files(manifest: &HeadManifest) -> Result<(), BundleError> {
    if !manifest.files.keys().map(String::as_str).eq([CANARIES, NETWORK]) {
        return Err(wrong("files", "must list head.onnx and canaries.bin and nothing else"));
    }
    let total = manifest.files.values().try_fold(0u64, |sum, file| sum.checked_add(file.size));
    let total = total.ok_or_else(|| wrong("files", "are larger than can be"))?;
    let Some(chunks) = &manifest.chunks else { return Err(wrong("chunks", "are missing")) };
    if !(CHUNK..=MAX_CHUNK).contains(&chunks.size) {
        return Err(wrong("chunks.size", "is not 4 KiB to 16 MiB"));
    }
    if total.div_ceil(chunks.size) != chunks.sha256.len() as u64 {
        return Err(wrong("chunks.sha256", "does not cover the files"));
    }
    Ok(())
}

fn wrong(key: &str, problem: &str) -> BundleError {
    ManifestError::Value { what: "head", key: key.into(), problem: format!("{problem}; make the head again") }.into()
}

fn read_file(
    rest: &mut impl Read,
    manifest: &HeadManifest,
    entry: &'static str,
    limit: u64,
) -> Result<Vec<u8>, BundleError> {
    let declared = manifest.files.get(entry).ok_or_else(|| wrong("files", "do not list an entry"))?;
    if declared.size > limit {
        return Err(BundleError::TooLarge { entry, bytes: declared.size, limit });
    }
    let bytes = ustar::read(rest, entry, limit)?;
    check_digest(entry, &bytes, declared)?;
    Ok(bytes)
}

/// Compares a file with what the manifest says of it.
pub(super) fn check_digest(entry: &'static str, bytes: &[u8], declared: &FileDigest) -> Result<(), BundleError> {
    let found = digest(bytes);
    if found.size != declared.size {
        let problem = format!("{} bytes, not {}", found.size, declared.size);
        return Err(BundleError::Digest { entry, problem });
    }
    if !found.sha256.eq_ignore_ascii_case(&declared.sha256) {
        let problem = format!("sha256 {}, not {}", found.sha256, declared.sha256);
        return Err(BundleError::Digest { entry, problem });
    }
    Ok(())
}

fn check_size(entry: &'static str, bytes: &[u8], limit: u64) -> Result<(), BundleError> {
    match bytes.len() as u64 {
        bytes if bytes > limit => Err(BundleError::TooLarge { entry, bytes, limit }),
        _ => Ok(()),
    }
}

fn digest(bytes: &[u8]) -> FileDigest {
    FileDigest { size: bytes.len() as u64, sha256: ContentHash::of(bytes).to_string() }
}

/// Pieces of `size` bytes of both files, one after the other. The piece at the seam holds bytes of both.
fn pieces(size: u64, network: &[u8], canaries: &[u8]) -> Chunks {
    let width = size.max(1) as usize;
    let whole = network.len() / width * width;
    let (full, seam) = network.split_at(whole);
    let rest = [seam, canaries].concat();
    let sha256 = full.chunks(width).chain(rest.chunks(width)).map(|piece| ContentHash::of(piece).to_string());
    Chunks { size, sha256: sha256.collect() }
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
