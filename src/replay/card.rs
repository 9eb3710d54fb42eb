//! Which files on a card are frames: the same names and folders as the daemon's watch takes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::Failure;
use crate::photos;
use crate::pipeline::utc;
use crate::watch::names::{self, Kind};
use crate::watch::{MAX_DEPTH, relative_name};

/// What lies on a card.
#[derive(Debug, Default)]
pub struct Card {
    /// The frames, in the order of their paths.
    pub frames: Vec<PathBuf>,
    /// Pictures in formats that are not decoded, and folders that can't be read.
    pub failures: Vec<Failure>,
    /// Files that are no pictures by their names.
    pub others: usize,
}

impl Card {
    /// Searches `root` with all its folders. Links are not followed, so the walk ends.
    ///
    /// # Errors
    /// `root` itself can't be read.
    pub fn find(root: &Path) -> Result<Self> {
        let mut card = Self::default();
        let first = fs::read_dir(root).map_err(|error| anyhow!("{}", photos::cannot_list(root, &error)))?;
        let mut folders = Vec::new();
        card.list(root, root, first, 0, &mut folders);
        while let Some((folder, depth)) = folders.pop() {
            if depth > MAX_DEPTH {
                let reason = format!("more than {MAX_DEPTH} folders below each other are not searched");
                card.failures.push(Failure::of_folder(relative_name(root, &folder), reason));
                continue;
            }
            match fs::read_dir(&folder) {
                Ok(entries) => card.list(root, &folder, entries, depth, &mut folders),
                Err(error) => card.unreadable(root, &folder, &error),
            }
        }
        card.frames.sort_unstable();
        Ok(card)
    }

    fn list(
        &mut self,
        root: &Path,
        folder: &Path,
        entries: fs::ReadDir,
        depth: usize,
        folders: &mut Vec<(PathBuf, usize)>,
    ) {
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.unreadable(root, folder, &error);
                    // The listing of a damaged folder may repeat its error for ever.
                    return;
                }
            };
            let path = entry.path();
            let name = entry.file_name();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    if !names::is_skipped_directory(&name) {
                        folders.push((path, depth + 1));
                    }
                }
                Ok(kind) if kind.is_file() => match names::kind(&name) {
                    Kind::Frame => self.frames.push(path),
                    Kind::Ignored => self.others += 1,
                    Kind::Unsupported(format) => {
                        let reason = format!("{format} is not supported: set the camera to plain JPEG pictures");
                        let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
                        let name = relative_name(root, &path);
                        self.failures.push(Failure::of_file(name, reason, modified.map(utc), None));
                    }
                },
                Ok(_) => self.others += 1,
                Err(error) => self.unreadable(root, &path, &error),
            }
        }
    }

    fn unreadable(&mut self, root: &Path, path: &Path, error: &io::Error) {
        let reason = format!("can't be read: {error}; check the card and its permissions");
        self.failures.push(Failure::of_folder(relative_name(root, path), reason));
    }
}
