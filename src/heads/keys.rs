//! Keys: those that are trusted, and the secret one that signs. All in minisign's formats.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::BundleError;
use super::signature::{KeyId, Signature};

/// Largest key file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 4096;

/// The public keys that a head may be signed with.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys {
    keys: Vec<TrustedKey>,
}

/// A public key and where it was found.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    id: KeyId,
    key: minisign_verify::PublicKey,
    path: PathBuf,
}

/// A key file that could not be used. The others are.
#[derive(Debug, thiserror::Error)]
#[error("public key {}: {problem}", path.display())]
pub struct BadKey {
    /// The file.
    pub path: PathBuf,
    /// What is wrong and what to do.
    pub problem: String,
}

impl TrustedKeys {
    /// Reads public keys: files, and folders of `.pub` files. One that can't be read does not keep the others out: it is
    /// in the second list.
    pub fn load(paths: &[PathBuf]) -> (Self, Vec<BadKey>) {
        let (mut keys, mut bad) = (Self::default(), Vec::new());
        for path in paths {
            match files(path) {
                Ok(files) => {
                    for file in files {
                        match TrustedKey::load(&file) {
                            Ok(key) => keys.keys.push(key),
                            Err(problem) => bad.push(BadKey { path: file, problem }),
                        }
                    }
                }
                Err(error) => bad.push(BadKey { path: path.clone(), problem: format!("it can't be read: {error}") }),
            }
        }
        (keys, bad)
    }

    /// The public key whose file has this text; none if it is no key.
    pub(super) fn of_text(text: &str) -> Self {
        Self { keys: TrustedKey::parse(text, Path::new("")).into_iter().collect() }
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &TrustedKey> {
        self.keys.iter()
    }

    /// Whether a key of this id is among them.
    pub fn knows(&self, id: KeyId) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// Checks that one of the keys made `signature` of `message`, its trusted comment included.
    ///
    /// # Errors
    /// [`BundleError::UnknownKey`] or [`BundleError::WrongSignature`].
    pub fn verify(&self, signature: &Signature, message: &[u8]) -> Result<&TrustedKey, BundleError> {
        let id = signature.key();
        if !self.knows(id) {
            let ids: Vec<String> = self.keys.iter().map(|key| key.id.to_string()).collect();
            let trusted = if ids.is_empty() { "no key".to_owned() } else { ids.join(", ") };
            return Err(BundleError::UnknownKey { key: id, trusted });
        }
        let wrong = || BundleError::WrongSignature { key: id };
        let decoded = minisign_verify::Signature::decode(&signature.encode()).map_err(|_| wrong())?;
        // Ids are eight bytes that anybody can claim: several keys may have one.
        let mut keys = self.keys.iter().filter(|key| key.id == id);
        keys.find(|key| key.key.verify(message, &decoded, true).is_ok()).ok_or_else(wrong)
    }
}

impl TrustedKeys {
    /// Checks a signature if it names one of the keys; there may be none, or an unknown one. For a head that is trusted
    /// for another reason: it may lack proof, but not contradict it.
    pub(super) fn verify_known(&self, signature: Option<&Signature>, message: &[u8]) -> Result<(), BundleError> {
        match signature {
            Some(signature) if self.knows(signature.key()) => self.verify(signature, message).map(|_| ()),
            _ => Ok(()),
        }
    }
}

impl TrustedKey {
    /// Reads a public key as minisign writes it.
    fn load(path: &Path) -> Result<Self, String> {
        let text = read(path).map_err(|error| format!("it can't be read: {error}"))?;
        Self::parse(&text, path).ok_or_else(|| "it is no minisign public key; copy the .pub file again".to_owned())
    }

    fn parse(text: &str, path: &Path) -> Option<Self> {
        let key = minisign_verify::PublicKey::decode(text).ok()?;
        let id = KeyId::of_key(&super::signature::decode(text.lines().nth(1)?)?);
        Some(Self { id, key, path: path.to_owned() })
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The file that it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file itself, or the `.pub` files of a folder, sorted.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "pub") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a small text file.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {MAX_FILE} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::heads::secret::generate;

    #[test]
    fn one_bad_key_file_is_named_and_does_not_disable_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).unwrap();
        let (one, two) = (generate(None).unwrap(), generate(None).unwrap());
        write("one.pub", one.public.as_bytes());
        write("two.pub", two.public.as_bytes());
        write("two.key", b"secret keys are not looked at here");
        write("broken.pub", b"untrusted comment: x\nRWQbroken\n");
        write("huge.pub", &[b'a'; 10_000]);
        write("binary.pub", &[0xff; 99]);
        let missing = folder.path().join("missing");
        let (keys, bad) = TrustedKeys::load(&[folder.path().to_owned(), missing.clone()]);
        assert_eq!(keys.iter().map(TrustedKey::id).collect::<Vec<_>>(), [one.id, two.id]);
        let named: Vec<_> = bad.iter().map(|bad| bad.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(named, ["binary.pub", "broken.pub", "huge.pub", "missing"]);
        assert!(bad.iter().all(|bad| bad.to_string().contains(&bad.path.display().to_string())));
    }

    #[test]
    fn a_key_that_claims_the_id_of_another_does_not_hide_it() {
        let (real, other) = (generate(None).unwrap(), generate(None).unwrap());
        let bytes = |public: &str| super::super::signature::decode::<42>(public.lines().nth(1).unwrap()).unwrap();
        let mut forged = bytes(&other.public);
        forged[2..10].copy_from_slice(&bytes(&real.public)[2..10]);
        let forged = format!("untrusted comment: x\n{}\n", super::super::signature::base64(&forged));
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.pub"), forged).unwrap();
        fs::write(path("b.pub"), &real.public).unwrap();
        fs::write(path("real.key"), &real.secret).unwrap();
        let secret = crate::heads::secret::SecretKey::load(&path("real.key"), || Ok(String::new())).unwrap();
        let signature = secret.sign(b"manifest", "").unwrap();
        let (both, bad) = TrustedKeys::load(&[folder.path().to_owned()]);
        assert!(bad.is_empty());
        assert_eq!(both.verify(&signature, b"manifest").unwrap().path(), path("b.pub"));
        let (forger, _) = TrustedKeys::load(&[path("a.pub")]);
        assert!(matches!(forger.verify(&signature, b"manifest"), Err(BundleError::WrongSignature { .. })));
    }
}
