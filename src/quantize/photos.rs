//! The photos that a network is calibrated on.

use std::path::{Path, PathBuf};

use super::QuantizeError;
use super::progress::Progress;
use crate::frame::{self, Limits, Pixels, Scale};
use crate::model::Input;

/// Folders are searched this deep; deeper ones are a loop or a mistake.
const MAX_DEPTH: usize = 16;

/// Endings of files that are tried. What a file is, its bytes decide.
const ENDINGS: [&str; 9] = ["bmp", "gif", "jpeg", "jpg", "jpe", "png", "tif", "tiff", "webp"];

/// Decoded photos at the network's size.
#[derive(Debug, Clone, Default)]
pub struct Photos {
    /// The pictures, in the order of their paths.
    pub pictures: Vec<Pixels>,
    /// Files that could not be used, and why.
    pub skipped: Vec<(PathBuf, String)>,
}

impl Photos {
    /// Reads at most `wanted` photos in or below `folder`, spread evenly over all of them in the order of their paths:
    /// the same folder gives the same photos.
    ///
    /// # Errors
    /// [`QuantizeError::Folder`] if `folder` can't be listed, [`QuantizeError::NoPhotos`] if nothing in it can be used.
    pub fn load(folder: &Path, input: &Input, wanted: usize, progress: &Progress) -> Result<Self, QuantizeError> {
        let mut files = Vec::new();
        list(folder, MAX_DEPTH, &mut files)?;
        files.sort();
        let mut photos = Self::default();
        let chosen = evenly(files.len(), wanted);
        for (done, place) in chosen.iter().enumerate() {
            progress.show("reading photos", done + 1, chosen.len());
            match read(&files[*place], input) {
                Ok(pixels) => photos.pictures.push(pixels),
                Err(reason) => photos.skipped.push((files[*place].clone(), reason)),
            }
        }
        if photos.pictures.is_empty() {
            let folder = folder.display().to_string();
            return Err(QuantizeError::NoPhotos { folder, skipped: photos.skipped.len() });
        }
        Ok(photos)
    }
}

/// `wanted` of the places 0..`count`, evenly spread.
fn evenly(count: usize, wanted: usize) -> Vec<usize> {
    let wanted = wanted.min(count);
    (0..wanted).map(|place| (place as u64 * count as u64 / wanted as u64) as usize).collect()
}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), QuantizeError> {
    let wrong = |reason| QuantizeError::Folder { path: folder.display().to_string(), reason };
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        // Links to folders are not followed, so the walk ends.
        let kind = entry.file_type().map_err(wrong)?;
        let path = entry.path();
        if kind.is_dir() && depth > 0 {
            list(&path, depth - 1, files)?;
        } else if !kind.is_dir() && has_ending(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn has_ending(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

fn read(path: &Path, input: &Input) -> Result<Pixels, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let scale = Scale::for_resize(input.filter, input.width, input.height);
    let frame = frame::decode(&bytes, scale, &Limits::default()).map_err(|error| error.to_string())?;
    frame::resize(&frame.pixels, input.width, input.height, input.filter, input.fit).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::evenly;

    #[test]
    fn photos_are_chosen_evenly_and_never_twice() {
        assert_eq!(evenly(10, 5), [0, 2, 4, 6, 8]);
        assert_eq!(evenly(3, 5), [0, 1, 2]);
        assert_eq!(evenly(7, 3), [0, 2, 4]);
        assert!(evenly(0, 5).is_empty() && evenly(5, 0).is_empty());
    }
}
