//! Features kept on disk, so that a second run over the same photos takes seconds.
//!
//! An entry is found by everything its numbers follow from, so it is never stale, only unused. Folders and clocks play no
//! part in it: a renamed or moved photo is found again.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::duplicates::{Thumb, VALUES};
use super::views;
use crate::frame::ContentHash;
use crate::model::Backbone;
use crate::model::integer::By;
use crate::terminal;

/// Bytes that all entries may take, and that one run may add.
const MAX_BYTES: u64 = 2 << 30;
const MAGIC: &[u8; 16] = b"arcticd feats 1\n";
const ENDING: &str = "features";
/// Magic, key, thumbnail, partial, rows, width; before the values and the digest.
const HEADER: usize = 16 + 32 + VALUES + 1 + 4 + 4;

/// Features on disk.
#[derive(Debug)]
pub struct Cache {
    folder: Option<PathBuf>,
    room: AtomicU64,
    warned: AtomicBool,
}

/// What an entry is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// What is kept of a photo, or of its views.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Of the photo itself.
    pub thumb: Thumb,
    /// Whether only a part of the file could be decoded.
    pub partial: bool,
    /// Feature vectors.
    pub rows: Vec<Vec<f32>>,
}

impl Cache {
    /// Keeps entries in `folder`, which is made when the first one is written.
    pub fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.join("features")), ..Self::none() }
    }

    /// Keeps entries in `$XDG_CACHE_HOME/arcticd` or `~/.cache/arcticd`; nothing without a home.
    pub fn of_user() -> Self {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        caches.map_or_else(Self::none, |caches| Self::at(&caches.join("arcticd")))
    }

    /// Keeps nothing.
    pub fn none() -> Self {
        Self { folder: None, room: AtomicU64::new(MAX_BYTES), warned: AtomicBool::new(false) }
    }

    /// The entry for `key`, if there is one, it is whole, and it holds at least `rows` rows of `width` finite values.
    /// Anything else is as if there was none.
    pub fn load(&self, key: &Key, rows: usize, width: usize) -> Option<Entry> {
        let mut bytes = Vec::new();
        // More views than asked for may have been kept; beyond 64 there are none.
        let longest = (HEADER + 32) as u64 + 4 * (width as u64) * (rows as u64).max(64);
        std::fs::File::open(self.path(key)?).ok()?.take(longest + 1).read_to_end(&mut bytes).ok()?;
        Entry::parse(&bytes, key, rows, width)
    }

    /// Keeps `entry`. A folder that can't be written to is reported once, and the work goes on without.
    pub fn store(&self, key: &Key, entry: &Entry) {
        let Some(path) = self.path(key) else { return };
        let bytes = entry.to_bytes(key);
        let taken =
            self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(bytes.len() as u64));
        if taken.is_err() || self.warned.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = write(&path, &bytes)
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            let path = terminal::line(path.display());
            terminal::complain(format_args!("{path}: {error}; features are not kept for the next run"));
        }
    }

    /// If this run has kept anything: removes the oldest entries beyond the allowed sum, and what killed runs left
    /// half-written.
    pub fn prune(&self) {
        if self.room.load(Ordering::Relaxed) < MAX_BYTES {
            self.prune_to(MAX_BYTES);
        }
    }

    fn prune_to(&self, most: u64) {
        const ABANDONED: Duration = Duration::from_secs(3600);
        let Some(folder) = &self.folder else { return };
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, Ok(facts)) = (entry.path(), entry.metadata()) else { continue };
            let Ok(modified) = facts.modified() else { continue };
            let ending = path.extension().map(|ending| ending.to_os_string()).unwrap_or_default();
            if ending == ENDING {
                entries.push((modified, facts.len(), path));
            } else if ending == "new" && SystemTime::now().duration_since(modified).is_ok_and(|age| age > ABANDONED) {
                let _ = std::fs::remove_file(path);
            }
        }
        entries.sort();
        let mut sum: u64 = entries.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in entries {
            if sum <= most {
                return;
            }
            // Another process may have done so.
            let _ = std::fs::remove_file(path);
            sum -= length;
        }
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        let name: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(self.folder.as_ref()?.join(name).with_extension(ENDING))
    }
}

/// Written beside and renamed: a reader sees a whole entry or none.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let unique = format!("{}-{}.new", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed));
    let new = path.with_extension(unique);
    let written = std::fs::File::create_new(&new).and_then(|mut file| file.write_all(bytes));
    written.and_then(|()| std::fs::rename(&new, path)).inspect_err(|_| {
        let _ = std::fs::remove_file(&new);
    })
}

/// What all keys of one backbone have in common.
#[derive(Debug, Clone)]
pub struct Keys(Sha256);

impl Keys {
    /// The keys for features of `backbone`: its file, what its manifest says of input and output, this program's
    /// version, and for networks in floats, which round differently from machine to machine, the machine.
    pub fn of(backbone: &Backbone) -> Self {
        let manifest = backbone.manifest();
        let engine = backbone.engine();
        let placements = backbone.placements();
        let in_floats =
            engine.float || placements.is_empty() || placements.iter().any(|node| matches!(node.by, By::Tract { .. }));
        let machine = if in_floats { machine(engine.isa, engine.float) } else { "integers".to_owned() };
        // Neither can fail: they are plain structures.
        let input = serde_json::to_string(&manifest.input).unwrap_or_default();
        let output = serde_json::to_string(&manifest.output).unwrap_or_default();
        let mut digest = Sha256::new();
        for part in [env!("CARGO_PKG_VERSION"), &manifest.sha256.to_ascii_lowercase(), &input, &output, &machine] {
            update(&mut digest, part.as_bytes());
        }
        Self(digest)
    }

    /// Of a photo itself.
    pub fn plain(&self, hash: &ContentHash) -> Key {
        self.key(&[b"plain", hash.as_bytes()])
    }

    /// Of its views.
    pub fn views(&self, hash: &ContentHash, seed: u64) -> Key {
        // Drawn with exponentials, which are not the same to the last bit everywhere.
        let recipe = format!("views {} {seed} {}", views::RECIPE, std::env::consts::ARCH);
        self.key(&[recipe.as_bytes(), hash.as_bytes()])
    }

    fn key(&self, parts: &[&[u8]]) -> Key {
        let mut digest = self.0.clone();
        for part in parts {
            update(&mut digest, part);
        }
        Key(digest.finalize().into())
    }
}

fn machine(isa: kernels::Isa, float: bool) -> String {
    let all: Vec<&str> = kernels::Isa::available().iter().map(|isa| isa.name()).collect();
    format!("{} {} of {} float {float}", std::env::consts::ARCH, isa.name(), all.join(" "))
}

/// With its length, so that no two lists of parts are one text.
fn update(digest: &mut Sha256, part: &[u8]) {
    digest.update((part.len() as u64).to_le_bytes());
    digest.update(part);
}

impl Entry {
    fn to_bytes(&self, key: &Key) -> Vec<u8> {
        let width = self.rows.first().map_or(0, Vec::len);
        let mut bytes = Vec::with_capacity(HEADER + 4 * self.rows.len() * width + 32);
        bytes.extend(MAGIC);
        bytes.extend(key.0);
        bytes.extend(self.thumb.gray());
        bytes.push(u8::from(self.partial));
        bytes.extend((self.rows.len() as u32).to_le_bytes());
        bytes.extend((width as u32).to_le_bytes());
        for value in self.rows.iter().flatten() {
            bytes.extend(value.to_le_bytes());
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        bytes
    }

    fn parse(bytes: &[u8], key: &Key, least_rows: usize, width: usize) -> Option<Self> {
        let (content, digest) = bytes.split_last_chunk::<32>()?;
        if Sha256::digest(content).as_slice() != digest {
            return None;
        }
        let content = content.strip_prefix(MAGIC)?.strip_prefix(&key.0)?;
        let (gray, content) = content.split_first_chunk::<VALUES>()?;
        let (partial, content) = content.split_first()?;
        let (rows, content) = content.split_first_chunk::<4>()?;
        let (found_width, content) = content.split_first_chunk::<4>()?;
        let (values, rest) = content.as_chunks::<4>();
        let (rows, found_width) = (u32::from_le_bytes(*rows) as usize, u32::from_le_bytes(*found_width) as usize);
        if found_width != width || rows < least_rows || !rest.is_empty() || rows.checked_mul(width)? != values.len() {
            return None;
        }
        let values: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        let rows = values.chunks_exact(width.max(1)).map(<[f32]>::to_vec).collect();
        let entry = Self { thumb: Thumb::from_gray(*gray), partial: *partial != 0, rows };
        values.iter().all(|value| value.is_finite()).then_some(entry)
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
