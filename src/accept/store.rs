//! The files of heads: `<state>/heads/record.json`, whole heads as `<id>.head`, and pieces in `incoming/<id>/`.
//!
//! Every file is written beside its place, synced and renamed, and its folder synced: after a power cut each is there
//! whole or not at all. What a piece holds is checked against its digest whenever it is read.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::fault;
use super::offer::Offer;
use super::record::Record;
use crate::frame::ContentHash;
use crate::heads::bundle::{self, Bundle, Limits};
use crate::heads::{TrustedKeys, signature};
use crate::model::Chunks;
use crate::whole_file;

/// Space that stays free for the journal, in bytes.
const RESERVE: u64 = 16 << 20;
/// Largest record that is read, in bytes.
const MAX_RECORD: u64 = 1 << 20;

/// The folder of all heads.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Makes the folder if need be, readable by the daemon alone. What lies in its place is moved aside: a trap goes on
    /// alerting without its pushed heads.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub fn open(state: &Path) -> Result<Self> {
        let folder = state.join("heads");
        if fs::symlink_metadata(&folder).is_ok() && !folder.is_dir() {
            let aside = state.join("heads.damaged");
            fs::rename(&folder, &aside).with_context(|| format!("{} can't be moved", folder.display()))?;
            tracing::error!("{} is no folder; it was moved to {}", folder.display(), aside.display());
        }
        make_folder(&folder)?;
        Ok(Self { folder })
    }

    /// What was recorded last. A record that can't be read is moved aside, and where there is none beside heads, or one
    /// that can't be read, the floor is taken from the heads that lie here; the warning says so. It has to be saved before
    /// they are swept away.
    ///
    /// # Errors
    /// The damaged record can't be moved.
    pub fn record(&self) -> Result<(Record, Option<String>)> {
        let file = self.folder.join("record.json");
        let floor = || anyhow::Ok(self.heads()?.iter().filter_map(|id| self.sequence(id)).max().unwrap_or(0));
        let read = match read_bounded(&file, MAX_RECORD) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let floor = floor()?;
                let warning = format!(
                    "{} is missing; the configured head is in service, and no head up to sequence {floor} is taken",
                    file.display()
                );
                return Ok((Record { floor, ..Record::new() }, (floor > 0).then_some(warning)));
            }
            Err(error) => Err(error.to_string()),
            Ok(bytes) => serde_json::from_slice::<Record>(&bytes).map_err(|error| error.to_string()),
        };
        let problem = match read {
            Ok(record) if record.format == 1 => return Ok((record, None)),
            Ok(record) => format!("it has format {}, this version writes 1", record.format),
            Err(problem) => problem,
        };
        let aside = self.folder.join("record.json.damaged");
        fs::rename(&file, &aside).with_context(|| format!("{} can't be moved", file.display()))?;
        let record = Record { floor: floor()?, ..Record::new() };
        let warning = format!(
            "{} can't be read ({problem}); it was moved to {}, the configured head is in service, and no head up to sequence {} is taken",
            file.display(),
            aside.display(),
            record.floor
        );
        Ok((record, Some(warning)))
    }

    /// Puts the record on disk.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub fn save(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec_pretty(record)?;
        whole_file::write_bytes(&self.folder.join("record.json"), &text)
    }

    /// Whether `bytes` and a copy of them fit, with room to spare; the error says how much is missing.
    ///
    /// # Errors
    /// In words.
    pub fn room_for(&self, bytes: u64) -> Result<(), String> {
        let needed = bytes.saturating_mul(2).saturating_add(RESERVE);
        let free = rustix::fs::statvfs(&self.folder).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        let free = if fault::is("no room") { Ok(0) } else { free };
        match free {
            Ok(free) if free < needed => Err(format!(
                "{} has {} MiB free, {} are needed; it is tried again when there is room",
                self.folder.display(),
                free >> 20,
                needed.div_ceil(1 << 20)
            )),
            _ => Ok(()),
        }
    }

    /// Keeps signature and manifest of a head whose pieces are to come.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub fn begin(&self, offer: &Offer) -> Result<()> {
        let folder = self.incoming(&offer.id());
        make_folder(&self.folder.join("incoming"))?;
        make_folder(&folder)?;
        whole_file::write_bytes(&folder.join("manifest.json"), &offer.manifest)?;
        whole_file::write_bytes(&folder.join("manifest.json.minisig"), &offer.signature)
    }

    /// Signature and manifest of a head whose pieces are coming in.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub fn begun(&self, id: &ContentHash) -> Result<Offer> {
        let folder = self.incoming(id);
        let read = |name: &str, limit: u64| {
            let file = folder.join(name);
            read_bounded(&file, limit).with_context(|| file.display().to_string())
        };
        let offer = Offer {
            manifest: read("manifest.json", bundle::MAX_MANIFEST)?,
            signature: read("manifest.json.minisig", signature::MAX_BYTES as u64)?,
        };
        if offer.id() == *id { Ok(offer) } else { Err(anyhow!("{} was damaged", folder.display())) }
    }

    /// Keeps a piece; its digest was checked.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub fn put_piece(&self, id: &ContentHash, piece: u32, bytes: &[u8]) -> Result<()> {
        whole_file::write_bytes(&self.piece(id, piece), bytes)?;
        fault::point("piece written");
        Ok(())
    }

    /// Which pieces are here and whole. Reads all of them.
    pub fn pieces(&self, id: &ContentHash, chunks: &Chunks) -> Vec<bool> {
        (0u32..)
            .zip(&chunks.sha256)
            .map(|(piece, sha256)| self.read_piece(id, piece, chunks.size, sha256).is_some())
            .collect()
    }

    /// All pieces as one row of bytes; none if one is missing or damaged.
    pub fn row(&self, id: &ContentHash, chunks: &Chunks) -> Option<Vec<u8>> {
        let mut row = Vec::new();
        for (piece, sha256) in (0u32..).zip(&chunks.sha256) {
            row.extend(self.read_piece(id, piece, chunks.size, sha256)?);
        }
        Some(row)
    }

    fn read_piece(&self, id: &ContentHash, piece: u32, size: u64, sha256: &str) -> Option<Vec<u8>> {
        let bytes = read_bounded(&self.piece(id, piece), size).ok()?;
        is_piece(&bytes, sha256).then_some(bytes)
    }

    /// Keeps a whole head.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub fn put_head(&self, id: &ContentHash, bundle: &Bundle) -> Result<()> {
        bundle.save(&self.head_file(id))?;
        fault::point("bundle written");
        Ok(())
    }

    /// Whether a file of this head is here.
    pub fn has_head(&self, id: &ContentHash) -> bool {
        self.head_file(id).exists()
    }

    /// Reads a head that was kept; its signature must hold for a key in `keys`, as it did when it came. One without a
    /// signature is read only if the record says that it is `local`: it names the manifest's digest, so what was fitted
    /// here is what is read.
    ///
    /// # Errors
    /// It can't be read, was damaged, or its key is trusted no more.
    pub fn head(&self, id: &ContentHash, keys: &TrustedKeys, local: bool) -> Result<Bundle> {
        let file = self.head_file(id);
        let read = || -> Result<Bundle> {
            let sealed = bundle::read_head_of(io::BufReader::new(File::open(&file)?))?;
            let unsigned = sealed.signature().is_none();
            let opened = if local && unsigned { sealed.open_unverified()? } else { sealed.verify(keys)? };
            Ok(opened.read(Limits::LOCAL)?)
        };
        let bundle = read().with_context(|| file.display().to_string())?;
        match ContentHash::of(bundle.manifest_bytes()) == *id {
            true => Ok(bundle),
            false => Err(anyhow!("{} is another head than its name says", file.display())),
        }
    }

    /// Removes what belongs to no head of `kept`, and what was half written when the power failed.
    pub fn sweep(&self, kept: &[ContentHash]) {
        for id in self.heads().unwrap_or_default().iter().filter(|id| !kept.contains(id)) {
            remove(fs::remove_file(self.head_file(id)), &self.head_file(id));
        }
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") && name.as_encoded_bytes().ends_with(b".part") {
                remove(fs::remove_file(entry.path()), &entry.path());
            }
        }
        for entry in fs::read_dir(self.folder.join("incoming")).into_iter().flatten().flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<ContentHash>().ok());
            // The pieces of a head that is here whole are not needed either.
            if !id.is_some_and(|id| kept.contains(&id) && !self.has_head(&id)) {
                remove(fs::remove_dir_all(entry.path()), &entry.path());
            }
        }
        fault::point("pieces removed");
    }

    /// Ids of the heads that are here whole.
    fn heads(&self) -> Result<Vec<ContentHash>> {
        let entries = fs::read_dir(&self.folder).with_context(|| self.folder.display().to_string())?;
        let id =
            |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.strip_suffix(".head")?.parse().ok();
        Ok(entries.filter_map(id).collect())
    }

    /// Of a head that lies here, whoever signed it: only to raise the floor.
    fn sequence(&self, id: &ContentHash) -> Option<u64> {
        let sealed = bundle::read_head_of(File::open(self.head_file(id)).ok()?).ok()?;
        Some(sealed.open_unverified().ok()?.manifest().sequence)
    }

    fn head_file(&self, id: &ContentHash) -> PathBuf {
        self.folder.join(format!("{id}.head"))
    }

    fn incoming(&self, id: &ContentHash) -> PathBuf {
        self.folder.join("incoming").join(id.to_string())
    }

    fn piece(&self, id: &ContentHash, piece: u32) -> PathBuf {
        self.incoming(id).join(piece.to_string())
    }
}

/// Whether `bytes` are the piece with this digest.
pub(super) fn is_piece(bytes: &[u8], sha256: &str) -> bool {
    ContentHash::of(bytes).to_string().eq_ignore_ascii_case(sha256)
}

fn make_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(folder);
    made.with_context(|| format!("{} can't be made; state.directory must be writable", folder.display()))?;
    // Or the folder itself would not survive a power cut.
    let parent = folder.parent().unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).with_context(|| parent.display().to_string())
}

fn read_bounded(file: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut bytes = Vec::new();
    File::open(file)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {limit} bytes")));
    }
    Ok(bytes)
}

fn remove(removed: io::Result<()>, path: &Path) {
    if let Err(error) =
        removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    {
        tracing::warn!("{} can't be removed: {error}", path.display());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_record_is_moved_aside_and_said() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        assert_eq!(store.record().unwrap(), (Record::new(), None));
        let mut record = Record::new();
        record.floor = 7;
        store.save(&record).unwrap();
        assert_eq!(store.record().unwrap(), (record, None));
        for damage in ["{\"format\": 1", "\0\0\0", "{\"format\": 2, \"floor\": 1}"] {
            fs::write(state.path().join("heads/record.json"), damage).unwrap();
            let (record, warning) = store.record().unwrap();
            assert_eq!(record, Record::new());
            assert!(warning.unwrap().contains("record.json.damaged"));
        }
    }

    #[test]
    fn pieces_survive_and_damaged_ones_are_missing() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        let offer = Offer { manifest: b"manifest".to_vec(), signature: b"signature".to_vec() };
        let id = offer.id();
        store.begin(&offer).unwrap();
        assert_eq!(store.begun(&id).unwrap(), offer);
        let pieces: [&[u8]; 3] = [b"aaaa", b"bbbb", b"cc"];
        let sha256 = pieces.map(|piece| ContentHash::of(piece).to_string());
        let chunks = Chunks { size: 4, sha256: sha256.to_vec() };
        for number in [2, 0, 1] {
            assert_eq!(store.row(&id, &chunks), None);
            store.put_piece(&id, number as u32, pieces[number]).unwrap();
        }
        assert_eq!(store.row(&id, &chunks).unwrap(), b"aaaabbbbcc");
        fs::write(state.path().join(format!("heads/incoming/{id}/1")), b"bbbB").unwrap();
        assert_eq!(store.pieces(&id, &chunks), [true, false, true]);
        store.sweep(&[id]);
        assert!(store.begun(&id).is_ok());
        store.sweep(&[]);
        assert!(store.begun(&id).is_err());
    }

    #[test]
    fn a_head_that_needs_more_room_than_there_is_is_told_so() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        assert_eq!(store.room_for(1), Ok(()));
        assert!(store.room_for(u64::MAX).unwrap_err().contains("MiB free"));
    }
}
