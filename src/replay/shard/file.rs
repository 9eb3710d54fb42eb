//! A shard's file: JSON, an object a line. The first says whose shard it is, each of the others what came of one file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Shard;
use crate::detection::Detection;
use crate::frame::{ContentHash, Format};
use crate::replay::look::Seen;
use crate::replay::setup::{Exact, Setup};
use crate::replay::{Copy, Failure};

/// Version of the format.
pub const VERSION: u32 = 1;

/// Longest line that is read, in bytes: a frame's has about a thousand.
const MOST_BYTES: u64 = 1 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub arcticd_shard: u32,
    /// Which part it is.
    pub shard: Shard,
    /// Of which archive.
    pub archive: String,
    /// Where that lay.
    pub root: String,
    /// Frames in the archive, by their names.
    pub frames: usize,
    /// Lines that follow.
    pub lines: usize,
    /// Who looked.
    pub setup: Setup,
}

/// What came of one file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A frame.
    Frame {
        /// Among all frames of the archive, in the order of their paths.
        place: usize,
        /// As in [`Classified::at`](crate::classifier::Classified::at).
        at: i64,
        /// By its first bytes.
        format: Format,
        /// The detection's.
        position: Option<Exact>,
        /// The message.
        detection: Box<Detection>,
    },
    /// No frame.
    Failed {
        /// None for what is no file, or has a name by which it is not even tried.
        place: Option<usize>,
        name: String,
        reason: String,
        #[serde(with = "time::serde::rfc3339::option")]
        modified: Option<OffsetDateTime>,
        hash: Option<ContentHash>,
        folder: bool,
    },
    /// The content of a file of this shard that comes before.
    Copy { place: usize, name: String, of: ContentHash },
}

impl Line {
    /// What came of the file at this place.
    pub fn of(place: Option<usize>, seen: Seen) -> Self {
        match (seen, place) {
            (Seen::Frame { detection, at, format }, place) => Self::Frame {
                place: place.unwrap_or_default(),
                at,
                format,
                position: detection.location.map(|it| Exact::of(it.latitude, it.longitude)),
                detection,
            },
            (Seen::Copy(Copy { name, of }), place) => Self::Copy { place: place.unwrap_or_default(), name, of },
            (Seen::Failed(Failure { name, reason, modified, hash, folder }), place) => {
                Self::Failed { place, name, reason, modified, hash, folder }
            }
        }
    }

    /// And back.
    pub fn seen(self) -> (Option<usize>, Seen) {
        match self {
            Self::Frame { place, at, format, position, mut detection } => {
                let degrees = position.as_ref().and_then(Exact::degrees);
                if let (Some(location), Some((latitude, longitude))) = (&mut detection.location, degrees) {
                    (location.latitude, location.longitude) = (latitude, longitude);
                }
                (Some(place), Seen::Frame { detection, at, format })
            }
            Self::Copy { place, name, of } => (Some(place), Seen::Copy(Copy { name, of })),
            Self::Failed { place, name, reason, modified, hash, folder } => {
                (place, Seen::Failed(Failure { name, reason, modified, hash, folder }))
            }
        }
    }
}

/// Writes a line.
///
/// # Errors
/// Those of the system.
pub fn write(out: &mut impl Write, line: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    Ok(out.write_all(b"\n")?)
}

/// A shard's file that is read.
pub struct Lines {
    input: BufReader<File>,
    number: usize,
    buffer: Vec<u8>,
}

impl Lines {
    /// Opens a shard's file and reads its first line.
    ///
    /// # Errors
    /// It can't be read, or is none.
    pub fn open(path: &Path) -> Result<(Header, Self)> {
        #[derive(Deserialize)]
        struct Version {
            arcticd_shard: u32,
        }
        let file = File::open(path).context("it can't be read")?;
        let mut lines = Self { input: BufReader::new(file), number: 0, buffer: Vec::new() };
        let first = lines.next::<Version>().ok().flatten();
        let Some(Version { arcticd_shard: version }) = first else {
            bail!("it is no shard's file: name those that `arcticd replay DIR --shard I/N -o FILE` wrote");
        };
        if version != VERSION {
            bail!(
                "its format is {version}, and this arcticd reads {VERSION}; make all shards and the merge with one version"
            );
        }
        let header =
            serde_json::from_slice(&lines.buffer).context("its first line can't be read; make this shard again")?;
        Ok((header, lines))
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    /// It is damaged.
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        self.buffer.clear();
        self.number += 1;
        let read =
            (&mut self.input).take(MOST_BYTES).read_until(b'\n', &mut self.buffer).context("it can't be read")?;
        if read == 0 {
            return Ok(None);
        }
        let line = self.buffer.ends_with(b"\n").then(|| serde_json::from_slice(&self.buffer).ok()).flatten();
        match line {
            Some(line) => Ok(Some(line)),
            None => bail!("line {} is damaged; copy the file again, or make this shard again", self.number),
        }
    }
}
