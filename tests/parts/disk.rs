//! A disk that loses what was not synced: a trace of system calls is played up to a moment, and what a power cut may leave
//! then is laid out as files.
//!
//! As POSIX has it, and stricter than most file systems are: bytes last once their file was synced, and names once their
//! folder was. Of the rest anything may be left, in any order, and of a write also a piece, or zeros.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::trace::Call;

/// What a disk writes whole.
const SECTOR: u64 = 512;

/// The disk after some calls.
#[derive(Debug, Clone)]
pub struct Disk<'a> {
    root: PathBuf,
    nodes: Vec<Node<'a>>,
}

#[derive(Debug, Clone)]
enum Node<'a> {
    File(Bytes<'a>),
    Folder(Folder),
}

/// Bytes that last, what was done to them since, and how long the file is now.
#[derive(Debug, Clone, Default)]
struct Bytes<'a> {
    synced: Vec<u8>,
    since: Vec<Edit<'a>>,
    length: u64,
}

#[derive(Debug, Clone, Copy)]
enum Edit<'a> {
    Write(u64, &'a [u8]),
    Resize(u64),
}

impl<'a> Bytes<'a> {
    fn edit(&mut self, edit: Edit<'a>) {
        self.length = match edit {
            Edit::Write(at, bytes) => self.length.max(at + bytes.len() as u64),
            Edit::Resize(length) => length,
        };
        self.since.push(edit);
    }

    fn sync(&mut self) {
        self.since.drain(..).for_each(|edit| edit.apply(&mut self.synced));
    }

    /// What a power cut may leave of them.
    fn left(&self, dice: &mut Rng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let (kind, upto) = (dice.u8(..4), dice.usize(..=self.since.len()));
        for (place, edit) in self.since.iter().enumerate() {
            match kind {
                0 => {}
                1 => edit.apply(&mut bytes),
                // In order, and the last one torn.
                2 if place < upto => edit.apply(&mut bytes),
                2 if place == upto => edit.tear(dice, &mut bytes),
                2 => {}
                _ => match dice.u8(..3) {
                    0 => edit.apply(&mut bytes),
                    1 => edit.tear(dice, &mut bytes),
                    _ => {}
                },
            }
        }
        // The length lasts, and not what belongs there.
        if dice.u8(..4) == 0 && bytes.len() < self.length as usize {
            bytes.resize(self.length as usize, 0);
        }
        bytes
    }
}

impl Edit<'_> {
    fn apply(&self, to: &mut Vec<u8>) {
        match *self {
            Self::Write(at, bytes) => {
                let end = at as usize + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[at as usize..end].copy_from_slice(bytes);
            }
            Self::Resize(length) => to.resize(length as usize, 0),
        }
    }

    /// Of a write its beginning, or any of its sectors.
    fn tear(&self, dice: &mut Rng, to: &mut Vec<u8>) {
        let Self::Write(at, bytes) = *self else { return };
        if dice.bool() {
            return Self::Write(at, &bytes[..dice.usize(..=bytes.len())]).apply(to);
        }
        let mut from = 0;
        while from < bytes.len() {
            let place = at + from as u64;
            let next = bytes.len().min(from + (SECTOR - place % SECTOR) as usize);
            if dice.bool() {
                Self::Write(place, &bytes[from..next]).apply(to);
            }
            from = next;
        }
    }
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

impl<'a> Disk<'a> {
    /// An empty folder that lasts.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), nodes: vec![Node::Folder(Folder::default())] }
    }

    /// # Panics
    /// The call can't have succeeded on this disk: the model and the disk differ.
    pub fn play(&mut self, call: &'a Call) {
        match call {
            Call::Note(_) => {}
            Call::MakeFolder(path) if *path == self.root => {}
            Call::MakeFolder(path) => self.name(path, Node::Folder(Folder::default())),
            Call::Create(path) => {
                if self.find(path).is_none() {
                    self.name(path, Node::File(Bytes::default()));
                }
            }
            Call::Truncate(path) => match self.find(path) {
                None => self.name(path, Node::File(Bytes::default())),
                Some(_) => self.file(path).edit(Edit::Resize(0)),
            },
            Call::Write(path, bytes) => {
                let file = self.file(path);
                file.edit(Edit::Write(file.length, bytes));
            }
            Call::WriteAt(path, at, bytes) => self.file(path).edit(Edit::Write(*at, bytes)),
            Call::Resize(path, length) => self.file(path).edit(Edit::Resize(*length)),
            Call::Sync(path) => match self.node(path) {
                Node::File(bytes) => bytes.sync(),
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
            Node::File(bytes) => std::fs::write(path, bytes.left(dice)).unwrap(),
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

    fn name(&mut self, path: &Path, node: Node<'a>) {
        self.nodes.push(node);
        self.change(path, Change::Named(name(path), self.nodes.len() - 1));
    }

    fn change(&mut self, path: &Path, change: Change) {
        match self.node(path.parent().unwrap()) {
            Node::Folder(folder) => {
                change.apply(&mut folder.now);
                folder.since.push(change);
            }
            Node::File(_) => panic!("{} is below a file", path.display()),
        }
    }

    fn file(&mut self, path: &Path) -> &mut Bytes<'a> {
        match self.node(path) {
            Node::File(bytes) => bytes,
            Node::Folder(_) => panic!("bytes for a folder: {}", path.display()),
        }
    }

    fn node(&mut self, path: &Path) -> &mut Node<'a> {
        let node = self.find(path).unwrap_or_else(|| panic!("{} is not there", path.display()));
        &mut self.nodes[node]
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let below = path.strip_prefix(&self.root).ok()?;
        below.iter().try_fold(0, |node, name: &OsStr| match &self.nodes[node] {
            Node::Folder(folder) => folder.now.get(name).copied(),
            Node::File(_) => None,
        })
    }
}

fn name(path: &Path) -> OsString {
    path.file_name().unwrap().to_owned()
}
