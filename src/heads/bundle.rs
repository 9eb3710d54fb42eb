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
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use super::canaries::{self, Canaries};
use super::error::BundleError;
use super::keys::TrustedKeys;
use super::signature::{self, Signature};
use super::ustar;
use crate::frame::ContentHash;
use crate::model::{Chunks, FileDigest, Head, HeadManifest, ManifestError};

/// The entries' names, in order.
pub const ENTRIES: [&str; 4] = [SIGNATURE, MANIFEST, NETWORK, CANARIES];
pub(super) const SIGNATURE: &str = "manifest.json.minisig";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const NETWORK: &str = "head.onnx";
pub(super) const CANARIES: &str = "canaries.bin";

/// Largest manifest that is read, in bytes.
pub const MAX_MANIFEST: u64 = 1 << 20;
/// Smallest piece for a transfer; doubled until a head has at most [`MAX_CHUNKS`].
const CHUNK: u64 = 32 * 1024;
/// Largest piece.
const MAX_CHUNK: u64 = 16 << 20;
/// Most pieces, so that their digests stay a small part of the manifest.
const MAX_CHUNKS: u64 = 2048;

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

impl<R: Read> Opened<R> {
    /// What the head says of itself.
    pub fn manifest(&self) -> &HeadManifest {
        &self.manifest
    }

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
        while total.div_ceil(size) > MAX_CHUNKS {
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
        super::atomic::write(path, |file| {
            let mut out = BufWriter::new(file);
            self.write(&mut out)?;
            out.flush()
        })
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
        return Err(wrong("chunks.size", "is not 32 KiB to 16 MiB"));
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::heads::testing::{manifest, network, photos};

    fn bundle() -> Bundle {
        Bundle::make(manifest(), network(1.0), &photos()).unwrap()
    }

    fn bytes(bundle: &Bundle) -> Vec<u8> {
        let mut bytes = Vec::new();
        bundle.write(&mut bytes).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Bundle, BundleError> {
        read_head_of(bytes)?.open_unverified()?.read(Limits::LOCAL)
    }

    #[test]
    fn what_is_written_is_read_back_and_the_same_content_gives_the_same_bytes() {
        let (made, again) = (bundle(), bundle());
        let written = bytes(&made);
        assert_eq!(written, bytes(&again));
        let found = read(&written).unwrap();
        assert_eq!(found, made);
        assert_eq!(bytes(&found), written);
        assert!(found.signature().is_none());
        assert_eq!(found.head().unwrap().manifest(), made.manifest());
    }

    #[test]
    fn an_unsigned_head_is_not_opened_where_a_signature_is_asked_for() {
        let written = bytes(&bundle());
        let sealed = read_head_of(&written[..]).unwrap();
        assert!(matches!(sealed.verify(&TrustedKeys::default()), Err(BundleError::Unsigned)));
    }

    /// A head signed by a new key, its bytes, and that key as trusted.
    fn signed() -> (Vec<u8>, TrustedKeys) {
        let pair = crate::heads::secret::generate(None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        std::fs::write(&path, &pair.secret).unwrap();
        let key = crate::heads::secret::SecretKey::load(&path, || Ok(String::new())).unwrap();
        let mut bundle = bundle();
        bundle.set_signature(key.sign(bundle.manifest_bytes(), "head:three-animals\tversion:1.0\tsequence:1").unwrap());
        (bytes(&bundle), TrustedKeys::of_text(&pair.public))
    }

    fn accept(bytes: &[u8], keys: &TrustedKeys) -> Result<Bundle, BundleError> {
        read_head_of(bytes)?.verify(keys)?.read(Limits::RECEIVED)
    }

    #[test]
    fn any_flipped_byte_of_a_signed_head_is_refused() {
        let (bytes, keys) = signed();
        assert!(accept(&bytes, &keys).unwrap().head().is_ok());
        let mut flipped = bytes.clone();
        // Every byte, one bit after the other; where the signature stands, which protects itself least, every bit.
        let everywhere = (0..bytes.len()).map(|at| (at, 1 << (at % 8)));
        let signature = (512..1536).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit)));
        for (at, bit) in everywhere.chain(signature) {
            flipped[at] ^= bit;
            assert!(accept(&flipped, &keys).is_err(), "byte {at}, bit {bit:08b}");
            flipped[at] = bytes[at];
        }
        assert_eq!(flipped, bytes);
    }

    #[test]
    fn a_signed_head_cut_off_anywhere_or_with_something_behind_it_is_refused() {
        let (bytes, keys) = signed();
        for length in (0..bytes.len()).step_by(7).chain(bytes.len() - 513..bytes.len()) {
            assert!(accept(&bytes[..length], &keys).is_err(), "cut to {length}");
        }
        let longer = [bytes.clone(), vec![0; 512]].concat();
        assert!(matches!(accept(&longer, &keys), Err(BundleError::Trailing)));
    }

    #[test]
    fn entries_that_are_swapped_doubled_or_missing_are_refused() {
        let (bytes, keys) = signed();
        let padded = |size: usize| 512 + size.div_ceil(512) * 512;
        let bundle = accept(&bytes, &keys).unwrap();
        let sizes = [300, bundle.bytes.len(), bundle.network.len(), bundle.canaries.len()].map(padded);
        let (mut rest, mut parts) = (&bytes[..], Vec::new());
        for size in sizes {
            let (part, left) = rest.split_at(size);
            parts.push(part);
            rest = left;
        }
        for order in [[1, 0, 2, 3], [0, 1, 3, 2], [0, 1, 2, 2], [0, 0, 1, 2], [1, 1, 2, 3]] {
            let other = [order.map(|place| parts[place]).concat(), rest.to_vec()].concat();
            assert!(accept(&other, &keys).is_err(), "{order:?}");
        }
        assert!(accept(&[&parts.concat()[..], rest].concat(), &keys).is_ok(), "the order it has");
    }

    #[test]
    fn nothing_is_parsed_of_a_head_whose_signature_is_wrong() {
        let (_, keys) = signed();
        // Signed by another key, and its manifest no JSON: the key is what is complained of.
        let (bytes, _) = signed();
        assert!(matches!(accept(&bytes, &keys), Err(BundleError::UnknownKey { .. })));
        let (bytes, keys) = signed();
        let mut bundle = read(&bytes).unwrap();
        bundle.bytes = b"{ this is no manifest".to_vec();
        let mut broken = Vec::new();
        bundle.write(&mut broken).unwrap();
        assert!(matches!(accept(&broken, &keys), Err(BundleError::WrongSignature { .. })));
    }

    #[test]
    fn pieces_are_those_of_both_files_one_after_the_other() {
        let (network, canaries) = (vec![1; 70], vec![2; 50]);
        let whole = [network.clone(), canaries.clone()].concat();
        for size in [1, 7, 35, 70, 71, 119, 120, 1000] {
            let expected: Vec<_> = whole.chunks(size).map(|piece| ContentHash::of(piece).to_string()).collect();
            assert_eq!(pieces(size as u64, &network, &canaries).sha256, expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_manifest_whose_pieces_are_not_those_of_its_files_is_refused() {
        let mut wrong = bundle();
        let chunks = wrong.manifest.chunks.as_mut().unwrap();
        chunks.sha256[0] = ContentHash::of(b"other").to_string();
        wrong.bytes = serde_json::to_vec(&wrong.manifest).unwrap();
        assert!(read(&bytes(&wrong)).unwrap_err().to_string().contains("chunks"));
    }

    #[test]
    fn a_manifest_that_lists_other_files_is_refused_before_they_are_read() {
        for change in [
            (|manifest: &mut HeadManifest| drop(manifest.files.remove("canaries.bin"))) as fn(&mut HeadManifest),
            |manifest| drop(manifest.files.insert("../../etc/passwd".into(), digest(b""))),
            |manifest| manifest.files.values_mut().for_each(|file| file.size = u64::MAX),
            |manifest| manifest.chunks = None,
            |manifest| manifest.chunks.as_mut().unwrap().sha256.clear(),
            |manifest| manifest.chunks.as_mut().unwrap().size = 1,
            |manifest| manifest.chunks.as_mut().unwrap().size = u64::MAX,
        ] {
            let mut wrong = bundle();
            change(&mut wrong.manifest);
            wrong.bytes = serde_json::to_vec(&wrong.manifest).unwrap();
            let written = bytes(&wrong);
            let opened = read_head_of(&written[..]).unwrap().open_unverified();
            assert!(matches!(opened, Err(BundleError::Manifest(_))), "{:?}", wrong.manifest);
        }
    }

    #[test]
    fn a_network_larger_than_the_limit_is_refused_by_the_manifest_already() {
        let written = bytes(&bundle());
        let opened = read_head_of(&written[..]).unwrap().open_unverified().unwrap();
        let refused = opened.read(Limits { network: 100 });
        assert!(matches!(refused, Err(BundleError::TooLarge { entry: "head.onnx", limit: 100, .. })));
    }

    #[test]
    fn another_network_or_other_canaries_than_the_manifest_describes_are_refused() {
        let mut other = bundle();
        other.network = network(2.0);
        assert!(matches!(read(&bytes(&other)), Err(BundleError::Digest { entry: "head.onnx", .. })));
        let mut other = bundle();
        other.canaries.pop();
        assert!(matches!(read(&bytes(&other)), Err(BundleError::Digest { entry: "canaries.bin", .. })));
    }

    #[test]
    fn canaries_of_another_network_are_refused_when_the_head_is_loaded() {
        let other = Bundle::make(manifest(), network(2.0), &photos()).unwrap();
        let canaries = Canaries::parse(other.canaries()).unwrap();
        let mixed = Bundle::pack(manifest(), network(1.0), &canaries).unwrap();
        assert!(matches!(mixed.head(), Err(BundleError::Canary(_))));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a head.head");
        std::fs::write(&path, b"old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        bundle().save(&path).unwrap();
        assert_eq!(Bundle::load(&path, &TrustedKeys::default()).unwrap(), bundle());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(bundle().save(&folder.path().join("none/a.head")).is_err());
    }
}
