//! Photos in folders, found. What a file is, its bytes decide; its ending only says whether it is worth a try.

use std::io;
use std::path::{Path, PathBuf};

/// Folders are searched this deep; deeper ones are a loop or a mistake.
const MAX_DEPTH: usize = 16;

/// Endings of files that are tried.
const ENDINGS: [&str; 9] = ["bmp", "gif", "jpeg", "jpg", "jpe", "png", "tif", "tiff", "webp"];

/// A folder that can't be listed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct ListError {
    /// The folder.
    pub path: PathBuf,
    /// The system's message.
    pub reason: io::Error,
}

/// What stands in a folder; hidden entries (`.git`, `._photo.jpg`) are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Sub-folders, by name; links to folders too.
    pub folders: Vec<PathBuf>,
    /// Files that end as photos do, by name.
    pub photos: Vec<PathBuf>,
}

impl Listing {
    /// Lists `folder` without what is below its sub-folders.
    ///
    /// # Errors
    /// It can't be read.
    pub fn of(folder: &Path) -> Result<Self, ListError> {
        let mut listing = Self::default();
        for path in entries(folder)? {
            if path.is_dir() {
                listing.folders.push(path);
            } else if has_ending(&path) {
                listing.photos.push(path);
            }
        }
        listing.folders.sort();
        listing.photos.sort();
        Ok(listing)
    }
}

/// Files in or below `folder` that end as photos do, sorted by path; hidden files and folders are left out.
///
/// # Errors
/// `folder` or a folder below it can't be read.
pub fn find(folder: &Path) -> Result<Vec<PathBuf>, ListError> {
    let mut files = Vec::new();
    walk(folder, MAX_DEPTH, &mut files)?;
    files.sort();
    Ok(files)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), ListError> {
    for path in entries(folder)? {
        // Links to folders are not followed, so the walk ends.
        let is_folder = path.symlink_metadata().is_ok_and(|entry| entry.is_dir());
        if is_folder && depth > 0 {
            walk(&path, depth - 1, files)?;
        } else if !is_folder && has_ending(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ListError> {
    let wrong = |reason| ListError { path: folder.to_owned(), reason };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn has_ending(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn photos_below_a_folder_are_found_hidden_and_other_files_are_not() {
        let root = tempfile::tempdir().unwrap();
        for file in ["b.JPG", "a/c.png", "a/deep er/d.webp", "a/notes.txt", ".hidden/e.jpg", "._b.jpg", "jpg"] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = find(root.path()).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.strip_prefix(root.path()).unwrap()).collect();
        assert_eq!(names, ["a/c.png", "a/deep er/d.webp", "b.JPG"].map(Path::new));
    }

    #[test]
    fn a_link_to_a_folder_above_does_not_make_the_walk_endless() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.jpg"), "").unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("loop")).unwrap();
        assert_eq!(find(root.path()).unwrap(), [root.path().join("a.jpg")]);
        assert_eq!(Listing::of(root.path()).unwrap().folders, [root.path().join("loop")]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_with_its_name() {
        assert!(find(Path::new("/no/such/folder")).unwrap_err().to_string().starts_with("/no/such/folder: "));
    }
}
