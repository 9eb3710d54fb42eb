//! Small pictures that travel inside the page.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::frame::Pixels;
use crate::thumbnail::{ThumbnailError, jpeg};

/// Longest side, pixels.
const SIDE: u32 = 160;
/// JPEG quality: about 5 KiB a picture.
const QUALITY: u8 = 80;

/// The picture at no more than 160 pixels a side, its aspect ratio kept and never enlarged, as a JPEG in a `data:` URI.
///
/// # Errors
/// [`ThumbnailError`] for an empty picture or one whose bytes do not match its sides.
pub fn thumbnail(pixels: &Pixels) -> Result<String, ThumbnailError> {
    Ok(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg(pixels, SIDE, QUALITY)?)))
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
