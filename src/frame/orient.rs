//! Turns a picture upright, as its camera was not always.

use image::{DynamicImage, RgbImage};

use super::{FrameError, Pixels};

/// EXIF orientation: how a stored picture must be turned to stand upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orientation(image::metadata::Orientation);

impl Default for Orientation {
    fn default() -> Self {
        Self(image::metadata::Orientation::NoTransforms)
    }
}

impl Orientation {
    /// The orientation with EXIF's number; anything but 1 to 8 counts as upright.
    pub fn from_exif(number: u32) -> Self {
        u8::try_from(number).ok().and_then(image::metadata::Orientation::from_exif).map(Self).unwrap_or_default()
    }

    /// Whether the stored picture is upright already.
    pub fn is_upright(self) -> bool {
        self == Self::default()
    }

    /// The sides of the upright picture, from the stored one's, and back.
    pub fn upright<T>(self, width: T, height: T) -> (T, T) {
        use image::metadata::Orientation as O;
        match self.0 {
            O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH => (height, width),
            O::NoTransforms | O::Rotate180 | O::FlipHorizontal | O::FlipVertical => (width, height),
        }
    }
}

/// Turns the pixels upright.
pub(super) fn apply(pixels: Pixels, orientation: Orientation) -> Result<Pixels, FrameError> {
    if orientation.is_upright() {
        return Ok(pixels);
    }
    let stored = RgbImage::from_raw(pixels.width, pixels.height, pixels.rgb)
        .ok_or_else(|| FrameError::damaged("its decoder returned fewer pixels than its header promised"))?;
    let mut image = DynamicImage::ImageRgb8(stored);
    image.apply_orientation(orientation.0);
    let image = image.into_rgb8();
    Ok(Pixels { width: image.width(), height: image.height(), rgb: image.into_raw() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// Two rows of three gray pixels, numbered.
    fn numbered() -> Pixels {
        Pixels { width: 3, height: 2, rgb: (1..=6).flat_map(|gray| [gray; 3]).collect() }
    }

    #[test]
    fn each_of_the_eight_orientations_comes_out_as_the_standard_says() {
        let expected: [(u32, [u8; 6]); 8] = [
            (1, [1, 2, 3, 4, 5, 6]),
            (2, [3, 2, 1, 6, 5, 4]),
            (3, [6, 5, 4, 3, 2, 1]),
            (4, [4, 5, 6, 1, 2, 3]),
            (5, [1, 4, 2, 5, 3, 6]),
            (6, [4, 1, 5, 2, 6, 3]),
            (7, [6, 3, 5, 2, 4, 1]),
            (8, [3, 6, 2, 5, 1, 4]),
        ];
        for (number, grays) in expected {
            let orientation = Orientation::from_exif(number);
            let upright = apply(numbered(), orientation).expect("has all its pixels");
            assert_eq!((upright.width, upright.height), orientation.upright(3, 2), "orientation {number}");
            assert_eq!((upright.width, upright.height), if number < 5 { (3, 2) } else { (2, 3) });
            let found: Vec<u8> = upright.rgb.chunks_exact(3).map(|pixel| pixel[0]).collect();
            assert_eq!(found, grays, "orientation {number}");
        }
    }

    #[test]
    fn an_unknown_orientation_counts_as_upright() {
        for number in [0, 9, 255, 256, u32::MAX] {
            assert!(Orientation::from_exif(number).is_upright(), "{number}");
        }
    }
}
