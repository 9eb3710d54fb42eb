//! A disk that loses what was not synced: a trace of system calls is played up to a moment, and what a power cut may leave
//! then is laid out as files.
//!
//! As POSIX has it, and stricter than most file systems are: bytes last once their file was synced, and names once their
//! folder was. Of the rest anything may be left, in any order, and of a file also a piece, or zeros.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use fastrand::Rng;

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
    Write(PathBuf, Vec<u8>),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    /// Bytes written to the file of notes.
    Note(Vec<u8>),
}

/// The calls below `root`, and the notes, in order: from the files of `strace -ff -ttt -y -xx -o PREFIX`. SQLite's files are
/// left out: what they survive is SQLite's word.
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
    calls.into_iter().map(|(_, call)| call).filter(|call| is_ours(call, root)).collect()
}

fn is_ours(call: &Call, root: &Path) -> bool {
    let path = match call {
        Call::Note(_) => return true,
        Call::MakeFolder(path)
        | Call::Create(path)
        | Call::Truncate(path)
        | Call::Write(path, _)
        | Call::Sync(path) => path,
        Call::Rename(_, path) | Call::Remove(path) => path,
    };
    let name = path.file_name().unwrap_or_default();
    path.starts_with(root) && !name.as_encoded_bytes().starts_with(b"journal")
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
        // SQLite's.
        "pwrite64" | "ftruncate" if held(arguments[0])?.file_name()?.as_encoded_bytes().starts_with(b"journal") => {
            return None;
        }
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

/// The disk after some calls.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
enum Node {
    /// Bytes that last, and those that may.
    File {
        synced: Vec<u8>,
        written: Vec<u8>,
    },
    Folder(Folder),
}

/// Names that last, those that are there, and how the one became the other.
#[derive(Debug, Clone, Default)]
struct Folder {
    synced: BTreeMap<OsString, usize>,
    now: BTreeMap<OsString, usize>,
    since: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Named(OsString, usize),
    Renamed(OsString, OsString, usize),
    Removed(OsString),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<OsString, usize>) {
        match self {
            Self::Named(name, node) => drop(names.insert(name.clone(), *node)),
            Self::Renamed(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
            Self::Removed(name) => drop(names.remove(name)),
        }
    }
}

impl Disk {
    /// An empty folder that lasts.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), nodes: vec![Node::Folder(Folder::default())] }
    }

    /// # Panics
    /// The call can't have succeeded on this disk: the model and the disk differ.
    pub fn play(&mut self, call: &Call) {
        match call {
            Call::Note(_) => {}
            Call::MakeFolder(path) if *path == self.root => {}
            Call::MakeFolder(path) => self.name(path, Node::Folder(Folder::default())),
            Call::Create(path) => {
                if self.find(path).is_none() {
                    self.name(path, Node::File { synced: Vec::new(), written: Vec::new() });
                }
            }
            Call::Truncate(path) => panic!("{} is written in its place: a power cut leaves neither", path.display()),
            Call::Write(path, bytes) => match self.node(path) {
                Node::File { written, .. } => written.extend(bytes),
                Node::Folder(_) => panic!("bytes for a folder: {}", path.display()),
            },
            Call::Sync(path) => match self.node(path) {
                Node::File { synced, written } => synced.clone_from(written),
                Node::Folder(folder) => {
                    folder.synced.clone_from(&folder.now);
                    folder.since.clear();
                }
            },
            Call::Rename(from, to) => {
                assert_eq!(from.parent(), to.parent(), "the model knows a folder's own names");
                let node = self.find(from).unwrap();
                self.change(to, Change::Renamed(name(from), name(to), node));
            }
            Call::Remove(path) => {
                assert!(self.find(path).is_some(), "{} was never there", path.display());
                self.change(path, Change::Removed(name(path)));
            }
        }
    }

    /// Lays out what a power cut may leave, in the empty folder `into`.
    pub fn cut(&self, dice: &mut Rng, into: &Path) {
        self.lay(0, dice, into);
    }

    fn lay(&self, node: usize, dice: &mut Rng, path: &Path) {
        match &self.nodes[node] {
            Node::File { synced, written } => {
                let mut bytes = match dice.u8(..4) {
                    0 => synced.clone(),
                    1 => written.clone(),
                    _ => written[..dice.usize(synced.len()..=written.len())].to_vec(),
                };
                if dice.u8(..4) == 0 {
                    bytes.resize(written.len(), 0);
                }
                std::fs::write(path, bytes).unwrap();
            }
            Node::Folder(folder) => {
                std::fs::create_dir_all(path).unwrap();
                let mut names = folder.synced.clone();
                let (kind, upto) = (dice.u8(..4), dice.usize(..=folder.since.len()));
                for (place, change) in folder.since.iter().enumerate() {
                    let stays = match kind {
                        0 => false,
                        1 => true,
                        2 => place < upto,
                        _ => dice.bool(),
                    };
                    if stays {
                        change.apply(&mut names);
                    }
                }
                for (name, node) in names {
                    self.lay(node, dice, &path.join(name));
                }
            }
        }
    }

    fn name(&mut self, path: &Path, node: Node) {
        self.nodes.push(node);
        self.change(path, Change::Named(name(path), self.nodes.len() - 1));
    }

    fn change(&mut self, path: &Path, change: Change) {
        match self.node(path.parent().unwrap()) {
            Node::Folder(folder) => {
                change.apply(&mut folder.now);
                folder.since.push(change);
            }
            Node::File { .. } => panic!("{} is below a file", path.display()),
        }
    }

    fn node(&mut self, path: &Path) -> &mut Node {
        let node = self.find(path).unwrap_or_else(|| panic!("{} is not there", path.display()));
        &mut self.nodes[node]
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let below = path.strip_prefix(&self.root).ok()?;
        below.iter().try_fold(0, |node, name: &OsStr| match &self.nodes[node] {
            Node::Folder(folder) => folder.now.get(name).copied(),
            Node::File { .. } => None,
        })
    }
}

fn name(path: &Path) -> OsString {
    path.file_name().unwrap().to_owned()
}
