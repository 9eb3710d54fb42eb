//! Which names are frames.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// What a file's name promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A format that is decoded.
    Frame,
    /// A picture in a format that is not decoded.
    Unsupported(&'static str),
    /// Anything else. A file still under a temporary name (`.part`, `.tmp`, `~`) is here too: it counts when it is
    /// renamed to its final one.
    Ignored,
}

const FRAMES: &[&str] = &["jpg", "jpeg", "jpe", "png", "bmp", "gif", "tif", "tiff", "webp"];

const UNSUPPORTED: &[(&str, &str)] = &[
    ("heic", "HEIC"),
    ("heif", "HEIF"),
    ("avif", "AVIF"),
    ("jxl", "JPEG XL"),
    ("cr2", "CR2 raw"),
    ("cr3", "CR3 raw"),
    ("nef", "NEF raw"),
    ("arw", "ARW raw"),
    ("dng", "DNG raw"),
    ("orf", "ORF raw"),
    ("raf", "RAF raw"),
    ("rw2", "RW2 raw"),
];

/// Directories that cameras' cards and file systems keep for themselves; deleted pictures lie there.
const SYSTEM_DIRECTORIES: &[&str] = &["lost+found", "System Volume Information", "$RECYCLE.BIN", "RECYCLER"];

/// What kind of file has this name (the last component of a path).
pub(crate) fn kind(name: &OsStr) -> Kind {
    if is_hidden(name) {
        return Kind::Ignored;
    }
    let Some(ending) = Path::new(name).extension().and_then(OsStr::to_str) else {
        return Kind::Ignored;
    };
    let is = |known: &str| known.eq_ignore_ascii_case(ending);
    if FRAMES.iter().any(|known| is(known)) {
        return Kind::Frame;
    }
    UNSUPPORTED.iter().find(|(known, _)| is(known)).map_or(Kind::Ignored, |(_, format)| Kind::Unsupported(format))
}

/// Whether a directory of this name is never entered.
pub(crate) fn is_skipped_directory(name: &OsStr) -> bool {
    is_hidden(name) || SYSTEM_DIRECTORIES.iter().any(|known| name == OsStr::new(known))
}

/// Whether a path lies below `root` without passing through a skipped directory.
pub(crate) fn is_inside(root: &Path, path: &Path) -> bool {
    let Ok(relative) = path.strip_prefix(root) else {
        return false;
    };
    let above = relative.parent().unwrap_or(Path::new(""));
    above.components().all(|part| matches!(part, Component::Normal(name) if !is_skipped_directory(name)))
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_count_in_any_case_and_with_any_stem() {
        for name in
            ["a.jpg", "IMG_0001.JPG", "x.y.Jpeg", "a.jpe", "a.png", "a.bmp", "a.gif", "a.tif", "a.tiff", "a.webp"]
        {
            assert_eq!(kind(OsStr::new(name)), Kind::Frame, "{name}");
        }
        assert_eq!(kind(OsStr::from_bytes(b"\xff\xfe.jpg")), Kind::Frame);
        assert_eq!(kind(OsStr::new("two\nlines.jpg")), Kind::Frame);
    }

    #[test]
    fn pictures_that_cannot_be_decoded_are_named_by_format() {
        assert_eq!(kind(OsStr::new("a.HEIC")), Kind::Unsupported("HEIC"));
        assert_eq!(kind(OsStr::new("a.cr2")), Kind::Unsupported("CR2 raw"));
    }

    #[test]
    fn hidden_temporary_and_other_files_are_ignored() {
        for name in
            ["", ".", ".jpg", ".a.jpg", "._a.jpg", "a.jpg.part", "a.jpg.tmp", "a.filepart", "a.jpg~", "jpg", "a.txt"]
        {
            assert_eq!(kind(OsStr::new(name)), Kind::Ignored, "{name}");
        }
        assert_eq!(kind(OsStr::from_bytes(b"a.\xff")), Kind::Ignored);
    }

    #[test]
    fn a_path_below_a_hidden_or_system_directory_is_outside() {
        let root = Path::new("/c");
        assert!(is_inside(root, Path::new("/c/a.jpg")));
        assert!(is_inside(root, Path::new("/c/DCIM/100MEDIA/a.jpg")));
        assert!(!is_inside(root, Path::new("/c/.Trash-0/a.jpg")));
        assert!(!is_inside(root, Path::new("/c/lost+found/x/a.jpg")));
        assert!(!is_inside(root, Path::new("/other/a.jpg")));
        assert!(!is_inside(root, Path::new("/c/../other/a.jpg")));
    }
}
