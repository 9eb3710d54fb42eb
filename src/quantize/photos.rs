//! The photos that a network is calibrated on.

use std::path::{Path, PathBuf};

use super::QuantizeError;
use super::progress::Progress;
use crate::frame::{self, Limits, Pixels, Scale};
use crate::model::Input;

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
        let found = crate::photos::find(folder)?;
        let files = found.photos;
        let mut photos = Self { skipped: found.left_out, ..Self::default() };
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

fn read(path: &Path, input: &Input) -> Result<Pixels, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let scale = Scale::for_resize(input.filter, input.width, input.height);
    let frame = frame::decode(&bytes, scale, &Limits::default()).map_err(|error| error.at_desk())?;
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
