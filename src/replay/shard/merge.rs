//! What all shards of an archive saw, as if one run had.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Shard;
use super::file::{Header, Line, Lines};
use crate::frame::ContentHash;
use crate::replay::Copy;
use crate::replay::look::{Looked, Seen};
use crate::replay::setup::Setup;
use crate::terminal::line;

/// What was seen, by whom, and where the archive lay.
#[derive(Debug)]
pub struct Merged {
    /// As of one run.
    pub looked: Looked,
    /// Who looked.
    pub setup: Setup,
    /// As the first shard's command line named it.
    pub root: String,
}

/// Reads the shards' files, in whatever order.
///
/// # Errors
/// Names the file that is none of this archive, or the shard that is missing.
pub fn read(files: &[PathBuf]) -> Result<Merged> {
    let mut shards: Vec<(&PathBuf, Header)> = Vec::new();
    for path in files {
        shards.push((path, Lines::open(path).with_context(|| named(path))?.0));
    }
    shards.sort_by_key(|(_, header)| header.shard.number);
    check(&shards)?;
    let Some((_, first)) = shards.first() else { bail!("no shard is named") };
    let mut found = Found::new(first.frames);
    for (path, known) in &shards {
        // Opened one after the other: there may be more of them than this process may have open.
        let (header, mut lines) = Lines::open(path).with_context(|| named(path))?;
        if header != *known {
            bail!("{} was changed while it was read; run the merge again", named(path));
        }
        found.take(&header, &mut lines).with_context(|| named(path))?;
    }
    Ok(Merged { looked: found.settle()?, setup: first.setup.clone(), root: first.root.clone() })
}

fn named(path: &Path) -> String {
    path.display().to_string()
}

/// Holds the shards, sorted by their numbers, against each other.
fn check(shards: &[(&PathBuf, Header)]) -> Result<()> {
    let Some(((first, model), others)) = shards.split_first() else { return Ok(()) };
    for (path, header) in others {
        let (path, first) = (path.display(), first.display());
        if header.shard.of != model.shard.of {
            bail!("{path} is one of {} shards, and {first} one of {}", header.shard.of, model.shard.of);
        }
        if let Some((name, theirs, ours)) = header.setup.difference(&model.setup) {
            let (theirs, ours) = (line(theirs), line(ours));
            bail!("{path} was made with another `{name}` than {first}: {theirs}, there {ours}; make it again alike");
        }
        if (&header.archive, header.frames) != (&model.archive, model.frames) {
            bail!(
                "{path} is of another archive than {first}, or files were added, removed or changed in between: make all \
                 shards again of one that stays as it is"
            );
        }
    }
    for pair in shards.windows(2) {
        if let [(one, here), (other, there)] = pair
            && here.shard == there.shard
        {
            let Shard { number, of } = here.shard;
            bail!("{} and {} are both shard {number} of {of}: name each once", one.display(), other.display());
        }
    }
    let of = model.shard.of;
    let mut here = shards.iter().map(|(_, header)| header.shard.number).peekable();
    let missing: Vec<String> =
        (1..=of).filter(|number| here.next_if_eq(number).is_none()).map(|number| number.to_string()).collect();
    if let Some(first) = missing.first() {
        let named = missing.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
        let more = if missing.len() > 10 { format!(" and {} more", missing.len() - 10) } else { String::new() };
        bail!(
            "of {of} shards {} missing: {named}{more}; make them (`arcticd replay DIR --shard {first}/{of} -o FILE`) and \
             name all files",
            if missing.len() == 1 { "one is" } else { "some are" }
        );
    }
    Ok(())
}

/// What was read so far.
struct Found {
    /// Frames in the archive, and those that a shard told of.
    frames: usize,
    told: HashSet<usize>,
    looked: Looked,
    /// Places of the records and failures in `looked`.
    records: Vec<Option<usize>>,
    failures: Vec<Option<usize>>,
}

impl Found {
    fn new(frames: usize) -> Self {
        let (told, looked) = (HashSet::new(), Looked::default());
        Self { frames, told, looked, records: Vec::new(), failures: Vec::new() }
    }

    fn take(&mut self, header: &Header, lines: &mut Lines) -> Result<()> {
        let mut count = 0;
        while let Some(line) = lines.next::<Line>()? {
            count += 1;
            let (place, seen) = line.seen();
            if let Some(place) = place
                && !(place < self.frames && self.told.insert(place))
            {
                bail!("frame {place} is told of twice, or is none of the archive's; make this shard again");
            }
            match &seen {
                Seen::Frame { .. } => self.records.push(place),
                Seen::Failed(_) => self.failures.push(place),
                // Of a file that its own shard met before; never the first.
                Seen::Copy(_) => {}
            }
            self.looked.take(seen)?;
        }
        if count != header.lines {
            bail!("it has {count} of {} lines: it was cut; copy it again, or make this shard again", header.lines);
        }
        Ok(())
    }

    /// Of each content the file that comes first in the archive is the frame, as in one run; the others are its copies.
    fn settle(self) -> Result<Looked> {
        let Self { frames, told, looked, records, failures } = self;
        if let Some(place) = (0..frames).find(|place| !told.contains(place)) {
            bail!("no shard told of frame {place}; make all shards again with one version of arcticd");
        }
        let Looked { records: seen, common, failures: failed, copies, .. } = looked;
        let mut first: HashMap<ContentHash, usize> = HashMap::new();
        let met = seen.iter().map(|record| Some(record.hash)).zip(&records);
        let met = met.chain(failed.iter().map(|failure| failure.hash).zip(&failures));
        for (hash, place) in met.filter_map(|(hash, place)| Some((hash?, (*place)?))) {
            first.entry(hash).and_modify(|known| *known = place.min(*known)).or_insert(place);
        }
        let is_first = |hash: ContentHash, place: Option<usize>| first.get(&hash).copied() == place;
        let mut settled = Looked { common, copies, ..Looked::default() };
        for (record, place) in seen.into_iter().zip(records) {
            match is_first(record.hash, place) {
                true => settled.records.push(record),
                false => settled.copies.push(Copy { name: record.name.into(), of: record.hash }),
            }
        }
        for (failure, place) in failed.into_iter().zip(failures) {
            match failure.hash {
                Some(of) if !is_first(of, place) => settled.copies.push(Copy { name: failure.name, of }),
                _ => settled.failures.push(failure),
            }
        }
        settled.sort();
        Ok(settled)
    }
}
