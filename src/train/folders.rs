//! Photos in folders named after their labels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{background, exported};
use crate::model::{HeadManifest, Label, is_background, is_label};
use crate::photos::{self, Found, ListError, Listing};

/// Why folders could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FoldersError {
    /// A folder can't be read.
    #[error(transparent)]
    List(#[from] ListError),
    /// Nothing to look at.
    #[error(
        "{}: no photos; put JPEG, PNG, TIFF, WebP, GIF or BMP files into one folder a label, as {}/polar_bear/",
        path.display(),
        path.display()
    )]
    NoPhotos {
        /// Where folders of labels are expected.
        path: PathBuf,
    },
    /// A folder with the photos of one label.
    #[error("{} is the folder of one label; give the folder around it, {}", path.display(), around.display())]
    OneFolder {
        /// What was given.
        path: PathBuf,
        /// What to give instead.
        around: PathBuf,
    },
    /// Nothing in a folder can be looked at.
    #[error("{}: not one of its photos can be used (the first is {first}), so take the folder out, or mend them", path.display())]
    NoneReadable {
        /// The folder.
        path: PathBuf,
        /// The first file and what is wrong with it.
        first: String,
    },
    /// Nothing to tell apart.
    #[error("{}: only photos of {label}; a head needs at least two labels to tell apart, as {label} and other", path.display())]
    OneLabel {
        /// Where folders of labels are expected.
        path: PathBuf,
        /// The only one with photos.
        label: String,
    },
    /// Two folders that would be one label.
    #[error("{} and {} would both be the label {label}; rename one or put their photos together", first.display(), second.display())]
    SameLabel {
        /// A folder.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// What both are called.
        label: String,
    },
    /// A name that is no label.
    #[error("{}: a folder's name is its label, made of a to z, 0 to 9 and _ (spaces and dashes become _); rename it", path.display())]
    Name {
        /// The folder.
        path: PathBuf,
    },
    /// A label to be tested on that was never trained.
    #[error("{}: no such label in the training folders, which have {known}; rename it or move it away", path.display())]
    NotTrained {
        /// The folder.
        path: PathBuf,
        /// The labels of the training folders.
        known: String,
    },
    /// A label that the head does not know.
    #[error(
        "{}: the head knows {known}; rename the folder, move it away{}",
        path.display(),
        background.as_ref().map(|label| format!(", or move it into {label}/ if the head is to take it for that")).unwrap_or_default()
    )]
    NotInHead {
        /// The folder.
        path: PathBuf,
        /// The head's labels.
        known: String,
        /// The head's background label.
        background: Option<String>,
    },
    /// A folder with parts instead of labels.
    #[error("{} holds {found}, not one folder a label; give {}", path.display(), instead.display())]
    Parts {
        /// What was given.
        path: PathBuf,
        /// The parts in it.
        found: String,
        /// What to give instead.
        instead: PathBuf,
    },
    /// A test without a training part.
    #[error("{}: there is a test folder but no train folder with labels in it; add one", path.display())]
    NoTraining {
        /// What was given.
        path: PathBuf,
    },
}

/// Photos with their labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labelled {
    /// The labels; sorted, or in the order of a head's.
    pub labels: Vec<String>,
    /// Label by label, sorted by path; features that were exported stand for the photos that they are of.
    pub photos: Vec<PathBuf>,
    /// For each photo the place of its label in `labels`.
    pub class: Vec<usize>,
    /// Files in the folders that may be photos but can't be read, and why.
    pub left_out: Vec<(PathBuf, String)>,
    /// Folders without photos, and what lies beside the folders: not used, worth a note that says why.
    pub ignored: Vec<(PathBuf, String)>,
}

/// Photos to train on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// To train on.
    pub train: Labelled,
    /// To test on; its labels are those of `train` and, with `untrained_background`, its own behind them.
    pub test: Option<Labelled>,
    /// A folder of background to test on where there is none to train on. Its label in `test` is
    /// [`background::LABEL`](super::background::LABEL), which something must stand in for in training.
    pub untrained_background: Option<PathBuf>,
    /// Folders of labels without a `train` folder around them: [`Features::split`](super::Features::split) makes a test
    /// part of them.
    pub one_level: bool,
}

/// Why a folder beside `train` and `test` is not used.
const BESIDE_PARTS: &str = "not used; of the folders here only train and test are";

/// A photo that is in no label's folder.
fn stray(photo: PathBuf) -> (PathBuf, String) {
    (photo, "not used; it lies in no label's folder".to_owned())
}

impl Folders {
    /// Reads `folder/train/LABEL/` and, if there is one, `folder/test/LABEL/`; or `folder/LABEL/`.
    ///
    /// # Errors
    /// [`FoldersError`] names the folder and what to do.
    pub fn read(folder: &Path) -> Result<Self, FoldersError> {
        let listing = Listing::of(folder)?;
        let part = |name: &str| listing.folders.iter().find(|path| is_named(path, name));
        let holds_folders = |path: &Path| Listing::of(path).is_ok_and(|inside| !inside.folders.is_empty());
        let Some(train) = part("train").filter(|path| holds_folders(path)) else {
            if part("test").is_some_and(|path| holds_folders(path)) {
                return Err(FoldersError::NoTraining { path: folder.to_owned() });
            }
            return Ok(Self { train: labels_to_train(folder, listing)?, one_level: true, ..Self::default() });
        };
        let mut folders = Self { train: labels_to_train(train, Listing::of(train)?)?, ..Self::default() };
        let beside = listing.folders.iter().filter(|path| *path != train && !is_named(path, "test"));
        let beside = beside.map(|path| (path.clone(), BESIDE_PARTS.to_owned()));
        folders.train.ignored.extend(beside.chain(listing.photos.into_iter().map(stray)));
        if let Some(test) = part("test") {
            let listing = Listing::of(test)?;
            let trained = &folders.train.labels;
            folders.untrained_background = background_of(&listing, trained)?;
            let own = folders.untrained_background.as_ref().map(|_| background::LABEL.to_owned());
            let labels: Vec<String> = trained.iter().cloned().chain(own.clone()).collect();
            let known = |path: &Path, label: &str| {
                let named = own.as_deref().filter(|_| is_background(label)).unwrap_or(label);
                labels
                    .iter()
                    .position(|known| known == named)
                    .ok_or_else(|| FoldersError::NotTrained { path: path.to_owned(), known: trained.join(", ") })
            };
            folders.test = Some(labelled(test, listing, &labels, known)?);
        }
        Ok(folders)
    }
}

impl Labelled {
    /// Reads `folder/LABEL/` for the labels of `head`, which need not all be there.
    ///
    /// If the head has one background label, a folder `other`, `background`, `empty`, `blank`, `none`, `nothing` or
    /// `no_animal` is that one, whatever the head calls it. A folder of any other label that the head does not know is an
    /// error: only a human can say what the head should have answered.
    ///
    /// # Errors
    /// [`FoldersError`] names the folder and what to do.
    pub fn for_head(folder: &Path, head: &HeadManifest) -> Result<Self, FoldersError> {
        let listing = Listing::of(folder)?;
        let labels: Vec<String> = head.labels.iter().map(|label| label.name.clone()).collect();
        let parts = listing.folders.iter().filter(|path| ["test", "train"].iter().any(|part| is_named(path, part)));
        let parts: Vec<&PathBuf> =
            parts.filter(|path| !label_of(path).is_ok_and(|label| labels.contains(&label))).collect();
        let inside =
            |path: &PathBuf| label_of(path).is_ok_and(|label| labels.contains(&label) || is_background(&label));
        if label_of(folder).is_ok_and(|label| labels.contains(&label)) && !listing.folders.iter().any(inside) {
            return Err(one_folder(folder));
        }
        if let Some(instead) = parts.iter().find(|path| is_named(path, "test")).or(parts.first()) {
            let found = parts.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy());
            let found = found.map(|name| format!("{name}/")).collect::<Vec<_>>().join(" and ");
            return Err(FoldersError::Parts { path: folder.to_owned(), found, instead: instead.to_path_buf() });
        }
        let background = match head.labels.iter().filter(|label| label.background).collect::<Vec<&Label>>()[..] {
            [label] => Some(label.name.clone()),
            _ => None,
        };
        let known = |path: &Path, label: &str| {
            let own = labels.iter().position(|known| known == label);
            let alias = || labels.iter().position(|known| Some(known) == background.as_ref());
            own.or_else(|| is_background(label).then(alias).flatten()).ok_or_else(|| FoldersError::NotInHead {
                path: path.to_owned(),
                known: labels.join(", "),
                background: background.clone(),
            })
        };
        labelled(folder, listing, &labels, known)
    }

    /// Photos of each label, in the order of `labels`.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.labels.len()];
        for class in &self.class {
            if let Some(count) = counts.get_mut(*class) {
                *count += 1;
            }
        }
        counts
    }
}

/// Photos in or below a label's folder, and features of frames that traps exported.
fn find(folder: &Path) -> Result<Found, ListError> {
    photos::find_with(folder, exported::is_export)
}

/// The first folder of background photos that is listed, if none of the labels trained is background.
fn background_of(test: &Listing, trained: &[String]) -> Result<Option<PathBuf>, FoldersError> {
    if trained.iter().any(|label| is_background(label)) {
        return Ok(None);
    }
    for path in test.folders.iter().filter(|path| label_of(path).is_ok_and(|label| is_background(&label))) {
        if !find(path)?.photos.is_empty() {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

fn labels_to_train(folder: &Path, listing: Listing) -> Result<Labelled, FoldersError> {
    let mut names = BTreeSet::new();
    for path in &listing.folders {
        let found = find(path)?;
        if let (true, Some(first)) = (found.photos.is_empty(), found.left_out.first()) {
            return Err(none_readable(path, first));
        }
        if !found.is_empty() {
            names.insert(label_of(path)?);
        }
    }
    let names: Vec<String> = names.into_iter().collect();
    let wrong = |path: &Path| FoldersError::Name { path: path.to_owned() };
    let place = |path: &Path, label: &str| names.iter().position(|name| name == label).ok_or_else(|| wrong(path));
    let labelled = labelled(folder, listing, &names, place)?;
    match &names[..] {
        // Packaged background may stand beside one animal.
        [label] if is_background(label) => {
            Err(FoldersError::OneLabel { path: folder.to_owned(), label: label.clone() })
        }
        _ => Ok(labelled),
    }
}

fn none_readable(folder: &Path, (file, why): &(PathBuf, String)) -> FoldersError {
    let file = file.strip_prefix(folder).unwrap_or(file).display();
    FoldersError::NoneReadable { path: folder.to_owned(), first: format!("{file}, {why}") }
}

/// `folder` has the photos of one label.
fn one_folder(folder: &Path) -> FoldersError {
    let around = match (folder.parent(), folder.file_name()) {
        (Some(around), Some(_)) if around.as_os_str().is_empty() => PathBuf::from("."),
        (Some(around), Some(_)) => around.to_owned(),
        _ => folder.join(".."),
    };
    FoldersError::OneFolder { path: folder.to_owned(), around }
}

/// Photos of the folders listed; `place` says which of `labels` a folder is, and refuses it otherwise.
fn labelled(
    folder: &Path,
    listing: Listing,
    labels: &[String],
    place: impl Fn(&Path, &str) -> Result<usize, FoldersError>,
) -> Result<Labelled, FoldersError> {
    let holds_photos = !listing.photos.is_empty();
    let ignored = listing.photos.into_iter().map(stray).collect();
    let mut labelled = Labelled { labels: labels.to_vec(), ignored, ..Labelled::default() };
    let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut parts = Vec::new();
    for path in listing.folders {
        let found = find(&path)?;
        if found.is_empty() {
            labelled.ignored.push((path, "not used; there is no photo in it".to_owned()));
            continue;
        }
        labelled.left_out.extend(found.left_out);
        if found.photos.is_empty() {
            continue;
        }
        let label = label_of(&path)?;
        if let Some(first) = seen.get(&label) {
            return Err(FoldersError::SameLabel { first: first.clone(), second: path, label });
        }
        parts.push((place(&path, &label)?, found.photos));
        seen.insert(label, path);
    }
    // Label by label; a stable sort keeps the folders of one background label in order.
    parts.sort_by_key(|(class, _)| *class);
    for (class, photos) in parts {
        labelled.class.extend(photos.iter().map(|_| class));
        labelled.photos.extend(photos);
    }
    if labelled.photos.is_empty() {
        return Err(match labelled.left_out.first() {
            Some(first) => none_readable(folder, first),
            None if holds_photos => one_folder(folder),
            None => FoldersError::NoPhotos { path: folder.to_owned() },
        });
    }
    Ok(labelled)
}

/// The label that people mean by a name: lower case, `_` for spaces and dashes.
pub(super) fn label_named(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace([' ', '-'], "_")
}

/// The label that a folder's name stands for.
fn label_of(path: &Path) -> Result<String, FoldersError> {
    let label = label_named(path.file_name().and_then(|name| name.to_str()).unwrap_or_default());
    if is_label(&label) { Ok(label) } else { Err(FoldersError::Name { path: path.to_owned() }) }
}

fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|found| found.eq_ignore_ascii_case(name))
}

#[cfg(test)]
#[path = "folders_tests.rs"]
mod tests;
