//! Photos in folders, found. What a file is, its bytes decide; its ending only says whether it is worth a try.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::terminal;
use crate::watch::names::{self, Kind};

/// Folders are searched this deep; deeper ones are a loop or a mistake.
const MAX_DEPTH: usize = 16;

/// Files and folders that are named one by one; of more there is a number.
const NAMED: usize = 10;

/// A folder that can't be listed.
#[derive(Debug, thiserror::Error)]
#[error("{}", cannot_list(path, reason))]
pub struct ListError {
    /// The folder.
    pub path: PathBuf,
    /// The system's message.
    pub reason: io::Error,
}

/// Why a folder can't be listed, and what to do.
pub fn cannot_list(folder: &Path, reason: &io::Error) -> String {
    let folder = folder.display();
    match reason.kind() {
        ErrorKind::NotFound => format!("there is no folder {folder}; is its name right, and is its disk there?"),
        ErrorKind::NotADirectory => format!("{folder} is a file; name the folder that it lies in"),
        ErrorKind::PermissionDenied => format!("{folder}: this user may not look into it; change its permissions"),
        _ => format!("the folder {folder} can't be read: {reason}"),
    }
}

/// What stands in a folder; hidden entries (`.git`, `._photo.jpg`) and systems' own folders are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Sub-folders, by name; links to folders too.
    pub folders: Vec<PathBuf>,
    /// Files that end as photos do, by name, in whatever format.
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
            } else if kind(&path) != Kind::Ignored {
                listing.photos.push(path);
            }
        }
        listing.folders.sort();
        listing.photos.sort();
        Ok(listing)
    }
}

/// What lies in and below a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Files that end as the photos do that can be read, sorted by path.
    pub photos: Vec<PathBuf>,
    /// What may be photos too and is not looked at, and why: pictures of other formats, links to folders.
    pub left_out: Vec<(PathBuf, String)>,
}

impl Found {
    /// Whether nothing in it looks like a photo.
    pub fn is_empty(&self) -> bool {
        self.photos.is_empty() && self.left_out.is_empty()
    }
}

/// Photos in or below `folder`; hidden files and folders do not count.
///
/// # Errors
/// `folder` or a folder below it can't be read.
pub fn find(folder: &Path) -> Result<Found, ListError> {
    find_with(folder, |_| false)
}

/// As [`find`], with the files that `also` says stand for photos.
///
/// # Errors
/// As [`find`].
pub fn find_with(folder: &Path, also: impl Fn(&Path) -> bool) -> Result<Found, ListError> {
    let mut found = Found::default();
    walk(folder, MAX_DEPTH, &also, &mut found)?;
    found.photos.sort();
    found.left_out.sort();
    Ok(found)
}

fn walk(folder: &Path, depth: usize, also: &dyn Fn(&Path) -> bool, found: &mut Found) -> Result<(), ListError> {
    for path in entries(folder)? {
        // Links to folders are not followed, so the walk ends.
        let is_link = path.is_symlink();
        if path.is_dir() {
            let why_not = match (is_link, depth) {
                (true, _) => "a link to a folder is not followed: copy or move the folder here".to_owned(),
                (false, 0) => format!("folders more than {MAX_DEPTH} deep are not searched: move it up"),
                (false, _) => {
                    walk(&path, depth - 1, also, found)?;
                    continue;
                }
            };
            found.left_out.push((path, why_not));
            continue;
        }
        match kind(&path) {
            Kind::Frame => found.photos.push(path),
            Kind::Unsupported(format) => found.left_out.push((path, unsupported(format))),
            Kind::Ignored if also(&path) => found.photos.push(path),
            Kind::Ignored => {}
        }
    }
    Ok(())
}

/// What is said of a picture in a format that is not decoded.
fn unsupported(format: &str) -> String {
    format!("{format} is not supported: convert it to JPEG")
}

/// Says on standard error what is not used and why: the first few, then how many more.
pub fn complain(left_out: &[(PathBuf, String)]) {
    for (path, reason) in left_out.iter().take(NAMED) {
        terminal::complain(format_args!("{}: {reason}", terminal::line(path.display())));
    }
    match left_out.len().checked_sub(NAMED) {
        None | Some(0) => {}
        Some(more) => terminal::complain(format_args!("and {more} more like these")),
    }
}

/// The first few names of files, for a sentence.
pub fn names<'a>(paths: impl ExactSizeIterator<Item = &'a PathBuf>) -> String {
    const SAID: usize = 3;
    let all = paths.len();
    let mut words: Vec<String> = paths.take(SAID).map(|path| terminal::line(path.display())).collect();
    if all > SAID {
        words.push(format!("and {} more", all - SAID));
    }
    words.join(", ")
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ListError> {
    let wrong = |reason| ListError { path: folder.to_owned(), reason };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        if !names::is_skipped_directory(&entry.file_name()) {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn kind(path: &Path) -> Kind {
    path.file_name().map_or(Kind::Ignored, names::kind)
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
        let names: Vec<_> = found.photos.iter().map(|path| path.strip_prefix(root.path()).unwrap()).collect();
        assert_eq!(names, ["a/c.png", "a/deep er/d.webp", "b.JPG"].map(Path::new));
    }

    #[test]
    fn a_link_to_a_folder_above_does_not_make_the_walk_endless() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.jpg"), "").unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("loop")).unwrap();
        let found = find(root.path()).unwrap();
        assert_eq!(found.photos, [root.path().join("a.jpg")]);
        assert_eq!(found.left_out[0].0, root.path().join("loop"));
        assert_eq!(Listing::of(root.path()).unwrap().folders, [root.path().join("loop")]);
    }

    #[test]
    fn pictures_of_formats_that_are_not_decoded_are_found_with_their_reason() {
        let root = tempfile::tempdir().unwrap();
        for file in ["a.HEIC", "b.cr2", "c.jpg", "d.txt"] {
            std::fs::write(root.path().join(file), "").unwrap();
        }
        let found = find(root.path()).unwrap();
        let left_out: Vec<_> = found.left_out.iter().map(|(path, why)| (path.file_name().unwrap(), &**why)).collect();
        let [heic, raw] = ["a.HEIC", "b.cr2"].map(std::ffi::OsStr::new);
        let convert = "is not supported: convert it to JPEG";
        assert_eq!(left_out, [(heic, &*format!("HEIC {convert}")), (raw, &*format!("CR2 raw {convert}"))]);
        assert_eq!(found.photos.len(), 1);
        assert_eq!(
            Listing::of(root.path()).unwrap().photos.len(),
            3,
            "beside folders of labels, too, they are told of"
        );
    }

    #[test]
    fn of_many_files_the_first_are_named() {
        let paths: Vec<PathBuf> = (0..5).map(|n| format!("{n}.jpg").into()).collect();
        assert_eq!(names(paths.iter()), "0.jpg, 1.jpg, 2.jpg, and 2 more");
        assert_eq!(names(paths[..2].iter()), "0.jpg, 1.jpg");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_with_its_name() {
        let missing = find(Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(missing.starts_with("there is no folder /no/such/folder; "), "{missing}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = find(file.path()).unwrap_err().to_string();
        assert!(error.contains("is a file; name the folder"), "{error}");
    }
}
