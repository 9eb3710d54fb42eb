//! Small pictures that travel inside the page.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};

use crate::frame::{Filter, Fit, FrameError, Pixels, resize};

/// Longest side, pixels.
const SIDE: u32 = 160;
/// JPEG quality: about 5 KiB a picture.
const QUALITY: u8 = 80;

/// Why a photo has no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// Its pixels do not fit their sides.
    #[error(transparent)]
    Resize(#[from] FrameError),
    /// The encoder refuses it.
    #[error("a thumbnail cannot be encoded as JPEG: {0}")]
    Encode(String),
}

/// The picture at no more than 160 pixels a side, its aspect ratio kept and never enlarged, as a JPEG in a `data:` URI.
///
/// # Errors
/// [`ThumbnailError`] for an empty picture or one whose bytes do not match its sides.
pub fn thumbnail(pixels: &Pixels) -> Result<String, ThumbnailError> {
    let longest = pixels.width.max(pixels.height).max(1);
    let side = |side: u32| match longest {
        0..=SIDE => side,
        _ => (u64::from(side) * u64::from(SIDE) / u64::from(longest)).max(1) as u32,
    };
    let small = resize(pixels, side(pixels.width), side(pixels.height), Filter::Triangle, Fit::Stretch)?;
    let jpeg = Encoder::new(&small.rgb, small.width as usize, small.height as usize, PixelFormat::Rgb)
        .quality(QUALITY)
        .subsampling(Subsampling::S420)
        .encode()
        .map_err(|error| ThumbnailError::Encode(error.to_string()))?;
    Ok(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg)))
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;
    use crate::frame::{Limits, Scale, decode};

    fn sides(width: u32, height: u32) -> (u32, u32) {
        let rgb = (0..width * height * 3).map(|n| (n % 251) as u8).collect();
        let text = thumbnail(&Pixels { width, height, rgb }).expect("encodes");
        let jpeg = BASE64_STANDARD.decode(text.strip_prefix("data:image/jpeg;base64,").expect("its prefix"));
        let frame = decode(&jpeg.expect("base64"), Scale::Full, &Limits::default()).expect("a JPEG");
        (frame.width, frame.height)
    }

    #[test]
    fn a_thumbnail_is_small_and_keeps_the_aspect_ratio() {
        assert_eq!(sides(640, 480), (160, 120));
        assert_eq!(sides(300, 600), (80, 160));
        assert_eq!(sides(4000, 2), (160, 1));
        assert_eq!(sides(31, 17), (31, 17));
    }

    #[test]
    fn pixels_that_do_not_match_their_sides_are_an_error() {
        for (width, height) in [(0, 0), (5, 0), (200, 200)] {
            assert!(thumbnail(&Pixels { width, height, rgb: vec![1, 2, 3] }).is_err());
        }
    }
}
