//! Packaged background: features of photos without the animals, for who has no such photos. Numbers, not photos.
//!
//! The file: `ARCTICBG`, format 1 (u32), sha256 of the backbone (32 bytes), features a row (u32), rows (u32), the value
//! of byte 0 and the step a byte (f32), then a byte a feature, row after row. All little-endian.

use std::path::PathBuf;

use super::rows::{Dataset, Rows};

/// Label of the packaged background.
pub const LABEL: &str = "other";

const MAGIC: &[u8; 8] = b"ARCTICBG";
const FORMAT: u32 = 1;
const HEADER: usize = 8 + 4 + 32 + 4 + 4 + 4 + 4;

/// Why background features can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BackgroundError {
    /// Not such a file, or cut off.
    #[error("the background features are damaged ({problem}): build them again for this backbone")]
    Damaged {
        /// What is wrong.
        problem: &'static str,
    },
    /// Nothing that can be stored.
    #[error("the background features can't be stored: {problem}")]
    Unfit {
        /// What is wrong.
        problem: &'static str,
    },
    /// Features of another length.
    #[error("the background features are {found} a row, the photos' are {wanted}: they are of another backbone")]
    Width {
        /// Of the background.
        found: usize,
        /// Of the photos.
        wanted: usize,
    },
}

/// Background features of one backbone.
#[derive(Debug, Clone, PartialEq)]
pub struct Background {
    /// sha256 of the backbone's ONNX file, lower-case hex.
    pub backbone: String,
    /// A row a photo.
    pub rows: Rows,
}

impl Background {
    /// The packaged background, for the built-in backbone.
    ///
    /// # Errors
    /// [`BackgroundError::Damaged`]; the tests see to it that this does not happen.
    pub fn builtin() -> Result<Self, BackgroundError> {
        Self::parse(include_bytes!("../../models/default/background.bin"))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`BackgroundError::Damaged`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BackgroundError> {
        let damaged = |problem| BackgroundError::Damaged { problem };
        let (header, values) = bytes.split_at_checked(HEADER).ok_or(damaged("it is cut off"))?;
        let word = |at: usize| -> [u8; 4] { std::array::from_fn(|byte| header.get(at + byte).copied().unwrap_or(0)) };
        if !header.starts_with(MAGIC) || u32::from_le_bytes(word(8)) != FORMAT {
            return Err(damaged("it is of no known format"));
        }
        let backbone = header.iter().skip(12).take(32).map(|byte| format!("{byte:02x}")).collect();
        let (width, count) = (u32::from_le_bytes(word(44)) as usize, u32::from_le_bytes(word(48)) as usize);
        let (low, step) = (f32::from_le_bytes(word(52)), f32::from_le_bytes(word(56)));
        if width == 0 || width.checked_mul(count) != Some(values.len()) {
            return Err(damaged("its size is not what its header says"));
        }
        if !(low + 255.0 * step).is_finite() || !low.is_finite() {
            return Err(damaged("its scale is not a finite number"));
        }
        let mut rows = Rows::new(width);
        for row in values.chunks_exact(width) {
            rows.push(&row.iter().map(|byte| low + f32::from(*byte) * step).collect::<Vec<_>>());
        }
        Ok(Self { backbone, rows })
    }

    /// The file's bytes; features lose what a step of 1/255 of their range can't hold.
    ///
    /// # Errors
    /// [`BackgroundError::Unfit`] for features that are not finite, or a backbone that is no sha256.
    pub fn encode(&self) -> Result<Vec<u8>, BackgroundError> {
        let unfit = |problem| BackgroundError::Unfit { problem };
        let low = self.rows.values().iter().copied().fold(f32::INFINITY, f32::min);
        let high = self.rows.values().iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if !(high - low).is_finite() || self.rows.values().iter().any(|value| !value.is_finite()) {
            return Err(unfit("there are none, or not all are finite numbers"));
        }
        let step = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
        let size = |size: usize| u32::try_from(size).map_err(|_| unfit("there are too many"));
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(digest(&self.backbone).ok_or(unfit("the backbone's sha256 is not 64 hex digits"))?);
        bytes.extend(size(self.rows.width())?.to_le_bytes());
        bytes.extend(size(self.rows.len())?.to_le_bytes());
        bytes.extend(low.to_le_bytes());
        bytes.extend(step.to_le_bytes());
        bytes.extend(self.rows.values().iter().map(|value| ((value - low) / step).round().clamp(0.0, 255.0) as u8));
        Ok(bytes)
    }

    /// Adds the rows to `dataset` under `label`, which is put among its labels if it is not there. Each row counts as a
    /// photo without a path.
    ///
    /// # Errors
    /// [`BackgroundError::Width`].
    pub fn add_to(&self, dataset: &mut Dataset, label: &str) -> Result<(), BackgroundError> {
        let (found, wanted) = (self.rows.width(), dataset.rows.width());
        if found != wanted {
            return Err(BackgroundError::Width { found, wanted });
        }
        let place = dataset.labels.iter().position(|known| known == label).unwrap_or_else(|| {
            let place = dataset.labels.iter().filter(|known| known.as_str() < label).count();
            dataset.labels.insert(place, label.to_owned());
            dataset.class.iter_mut().filter(|class| **class >= place).for_each(|class| *class += 1);
            place
        });
        for row in self.rows.iter() {
            let photo = dataset.photos.len();
            dataset.photos.push(PathBuf::new());
            dataset.cluster.push(photo);
            dataset.copies.push(photo);
            dataset.rows.push(row);
            dataset.class.push(place);
            dataset.photo.push(photo);
            dataset.plain.push(true);
        }
        Ok(())
    }
}

fn digest(hex: &str) -> Option<Vec<u8>> {
    let byte = |place: usize| u8::from_str_radix(hex.get(place..place + 2)?, 16).ok();
    (hex.len() == 64).then(|| (0..64).step_by(2).map(byte).collect())?
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::train::testing;

    fn background() -> Background {
        let mut rows = Rows::new(3);
        rows.push(&[0.0, 1.0, 2.55]);
        rows.push(&[0.5, 0.25, 0.1]);
        Background { backbone: "ab".repeat(32), rows }
    }

    #[test]
    fn features_come_back_within_half_a_step() {
        let written = background();
        let read = Background::parse(&written.encode().unwrap()).unwrap();
        assert_eq!(read.backbone, written.backbone);
        for (a, b) in read.rows.values().iter().zip(written.rows.values()) {
            assert!((a - b).abs() <= 0.00501, "{a} {b}");
        }
    }

    #[test]
    fn a_file_that_is_cut_or_changed_is_refused() {
        let bytes = background().encode().unwrap();
        for end in 0..bytes.len() {
            assert!(Background::parse(&bytes[..end]).is_err());
        }
        for at in [0, 8, 44, 48] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x40;
            assert!(Background::parse(&bytes).is_err(), "{at}");
        }
    }

    #[test]
    fn its_label_keeps_the_labels_sorted_and_the_classes_right() {
        let mut dataset = testing::blobs(2, 2, 3, 1, 0);
        dataset.labels = vec!["arctic_fox".into(), "walrus".into()];
        background().add_to(&mut dataset, "other").unwrap();
        assert_eq!(dataset.labels, ["arctic_fox", "other", "walrus"]);
        assert_eq!(dataset.class, [0, 0, 2, 2, 1, 1]);
        assert_eq!((&dataset.cluster, &dataset.copies), (&vec![0, 1, 2, 3, 4, 5], &vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(dataset.photos[5], PathBuf::new());
        let other = Background { rows: Rows::new(4), ..background() };
        assert!(matches!(other.add_to(&mut dataset, "other"), Err(BackgroundError::Width { found: 4, wanted: 3 })));
    }
}
