//! What a program asked of the disk, from strace's account of it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What strace is asked for: everything that changes files, so that what the model does not know is met, and not missed.
pub const CALLS: &str = "trace=openat,open,creat,mkdir,mkdirat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync_file_range,\
rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,truncate,ftruncate,fallocate,copy_file_range,sendfile";

/// What was asked of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    MakeFolder(PathBuf),
    Create(PathBuf),
    /// Makes a file, or an old one empty.
    Truncate(PathBuf),
    /// Behind what is there.
    Write(PathBuf, Vec<u8>),
    /// At a place.
    WriteAt(PathBuf, u64, Vec<u8>),
    Resize(PathBuf, u64),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    /// Bytes written to the file of notes.
    Note(Vec<u8>),
}

impl Call {
    /// What it is about; nothing on the disk for a note.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::MakeFolder(path)
            | Self::Create(path)
            | Self::Truncate(path)
            | Self::Write(path, _)
            | Self::WriteAt(path, ..)
            | Self::Resize(path, _)
            | Self::Sync(path)
            | Self::Rename(_, path)
            | Self::Remove(path) => Some(path),
            Self::Note(_) => None,
        }
    }
}

/// The calls below `root`, and the notes, in order: from the files of `strace -ff -ttt -y -xx -o PREFIX`. The index of
/// SQLite's log (`-shm`) is left out: it is written through memory, and made anew by whoever opens the journal first.
///
/// # Panics
/// A call that this model does not know.
pub fn read(traces: &Path, root: &Path, notes: &Path) -> Vec<Call> {
    let mut calls = Vec::new();
    for entry in std::fs::read_dir(traces).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines() {
            let Some((at, call)) = line.split_once(' ') else { continue };
            if let Some(call) = parse(call.trim_start(), notes) {
                calls.push((at.parse::<f64>().unwrap(), call));
            }
        }
    }
    // Each thread has a file of its own. They take turns here: who notes waits for the other.
    calls.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let is_ours = |call: &Call| {
        call.path().is_none_or(|path| path.starts_with(root) && !path.as_os_str().as_encoded_bytes().ends_with(b"-shm"))
    };
    calls.into_iter().map(|(_, call)| call).filter(is_ours).collect()
}

fn parse(line: &str, notes: &Path) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with(['-', '?']) {
        return None;
    }
    let arguments: Vec<&str> = arguments.trim_end().trim_end_matches(')').split(", ").collect();
    let quoted = |place: usize| between(arguments[place], '"', '"');
    let held = |text: &str| between(text, '<', '>').map(|bytes| PathBuf::from(OsString::from_vec(bytes)));
    let path = |place: usize| PathBuf::from(OsString::from_vec(quoted(place).unwrap()));
    let below = |folder: usize, place: usize| held(arguments[folder]).unwrap_or_default().join(path(place));
    Some(match name {
        "openat" if arguments[2].contains("O_TRUNC") => Call::Truncate(held(result)?),
        "openat" if arguments[2].contains("O_CREAT") => Call::Create(held(result)?),
        "openat" => return None,
        "mkdir" => Call::MakeFolder(path(0)),
        "write" => {
            let (file, mut bytes) = (held(arguments[0])?, quoted(1)?);
            bytes.truncate(result.parse().unwrap());
            if file == notes { Call::Note(bytes) } else { Call::Write(file, bytes) }
        }
        "fsync" | "fdatasync" => Call::Sync(held(arguments[0])?),
        "rename" => Call::Rename(path(0), path(1)),
        "unlink" | "rmdir" => Call::Remove(path(0)),
        "unlinkat" => Call::Remove(below(0, 1)),
        "pwrite64" => {
            let (file, mut bytes) = (held(arguments[0])?, quoted(1)?);
            bytes.truncate(result.parse().unwrap());
            Call::WriteAt(file, arguments[3].parse().unwrap(), bytes)
        }
        "ftruncate" => Call::Resize(held(arguments[0])?, arguments[1].parse().unwrap()),
        _ => panic!("a call that the model does not know: {line}"),
    })
}

fn between(text: &str, open: char, close: char) -> Option<Vec<u8>> {
    let from = text.find(open)? + 1;
    let to = text.rfind(close).filter(|to| *to >= from)?;
    let mut bytes = Vec::new();
    let mut rest = &text.as_bytes()[from..to];
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = after;
            }
            _ => bytes.push(first),
        }
    }
    Some(bytes)
}
