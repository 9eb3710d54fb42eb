//! A picture within a number of bytes.

use crate::frame::Pixels;
use crate::thumbnail::{ThumbnailError, encoded, shrunk};

/// JPEG qualities, best first. Below the last one a smaller picture shows more.
const QUALITIES: [u8; 8] = [85, 75, 65, 55, 45, 35, 25, 15];
/// Nothing can be seen on a picture with shorter sides than this.
const LEAST: u32 = 16;

/// How large a picture may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Longest side, in pixels.
    pub side: u32,
    /// Bytes of JPEG.
    pub bytes: usize,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// There is none of any size.
    #[error(transparent)]
    Thumbnail(#[from] ThumbnailError),
    /// It does not become small enough.
    #[error("it does not fit {0} bytes; raise pictures.max_bytes")]
    TooLarge(usize),
}

/// A JPEG of `pixels` within `bounds`: of the best quality that fits, and smaller only where none does.
///
/// # Errors
/// [`PictureError`].
pub fn thumbnail(pixels: &Pixels, bounds: Bounds) -> Result<Vec<u8>, PictureError> {
    let mut side = bounds.side.min(pixels.width.max(pixels.height));
    loop {
        let small = shrunk(pixels, side)?;
        if let Some(jpeg) = best_that_fits(&small, bounds.bytes)? {
            return Ok(jpeg);
        }
        side = side * 2 / 3;
        if side < LEAST {
            return Err(PictureError::TooLarge(bounds.bytes));
        }
    }
}

/// Most pictures fit at once; for the others the qualities are halved, not walked.
fn best_that_fits(pixels: &Pixels, bytes: usize) -> Result<Option<Vec<u8>>, PictureError> {
    let mut found = None;
    let (mut first, mut last) = (0, QUALITIES.len());
    let mut at = 0;
    while first < last {
        let Some(quality) = QUALITIES.get(at) else { break };
        let jpeg = encoded(pixels, *quality)?;
        if jpeg.len() <= bytes {
            found = Some(jpeg);
            last = at;
        } else {
            first = at + 1;
        }
        at = first + (last - first) / 2;
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::frame::{Limits, Scale, decode};

    /// Noise: no picture takes more bytes.
    fn noise(width: u32, height: u32) -> Pixels {
        let mut random = fastrand::Rng::with_seed(1);
        Pixels { width, height, rgb: (0..width * height * 3).map(|_| random.u8(..)).collect() }
    }

    fn smooth(width: u32, height: u32) -> Pixels {
        let grey = (0..width * height).flat_map(|at| [(at % width * 255 / width) as u8; 3]).collect();
        Pixels { width, height, rgb: grey }
    }

    fn sides(jpeg: &[u8]) -> (u32, u32) {
        let frame = decode(jpeg, Scale::Full, &Limits::default()).unwrap();
        (frame.width, frame.height)
    }

    #[test]
    fn a_picture_is_within_its_bounds_whatever_is_on_it() {
        for (side, bytes) in [(320, 16_384), (320, 4_096), (320, 1_024), (1_920, 262_144), (32, 1_024)] {
            for pixels in [noise(1_000, 750), noise(240, 1_000), smooth(640, 480)] {
                let jpeg = thumbnail(&pixels, Bounds { side, bytes }).unwrap();
                let (width, height) = sides(&jpeg);
                assert!(jpeg.len() <= bytes, "{} of {bytes}", jpeg.len());
                assert!(width.max(height) <= side, "{width} x {height} of {side}");
            }
        }
    }

    #[test]
    fn quality_goes_before_size_and_no_more_of_it_than_needed() {
        let pixels = noise(320, 240);
        let all: Vec<usize> = QUALITIES.iter().map(|quality| encoded(&pixels, *quality).unwrap().len()).collect();
        for (at, bytes) in all.iter().enumerate() {
            let jpeg = thumbnail(&pixels, Bounds { side: 320, bytes: *bytes }).unwrap();
            assert_eq!((jpeg.len(), sides(&jpeg)), (all[at], (320, 240)), "of {all:?}");
        }
        let jpeg = thumbnail(&pixels, Bounds { side: 320, bytes: all[7] - 1 }).unwrap();
        assert_eq!(sides(&jpeg), (213, 159), "no quality fits the full size");
    }

    #[test]
    fn a_picture_is_never_enlarged_and_its_aspect_ratio_stays() {
        let bounds = Bounds { side: 320, bytes: 262_144 };
        assert_eq!(sides(&thumbnail(&smooth(160, 120), bounds).unwrap()), (160, 120));
        assert_eq!(sides(&thumbnail(&smooth(300, 1_200), bounds).unwrap()), (80, 320));
    }

    #[test]
    fn there_is_nothing_but_a_picture_in_it() {
        let jpeg = thumbnail(&smooth(160, 120), Bounds { side: 160, bytes: 16_384 }).unwrap();
        let mut at = 2;
        let mut segments = Vec::new();
        // Up to the picture data: APP0 says JFIF, tables and sizes follow, nothing else.
        while jpeg[at + 1] != 0xDA {
            segments.push(jpeg[at + 1]);
            at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        }
        assert!(segments.iter().all(|marker| [0xE0, 0xDB, 0xC0, 0xC4].contains(marker)), "{segments:x?}");
    }

    #[test]
    fn pixels_that_do_not_match_their_sides_are_an_error() {
        let wrong = Pixels { width: 200, height: 200, rgb: vec![1, 2, 3] };
        assert!(thumbnail(&wrong, Bounds { side: 160, bytes: 16_384 }).is_err());
        let none = Pixels { width: 0, height: 0, rgb: Vec::new() };
        assert!(thumbnail(&none, Bounds { side: 160, bytes: 16_384 }).is_err());
    }
}
