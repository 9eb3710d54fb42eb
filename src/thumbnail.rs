//! Small JPEGs of a decoded picture.

use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};

use crate::frame::{Filter, Fit, FrameError, Pixels, resize};

/// Why a picture has no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// Its pixels do not fit their sides.
    #[error(transparent)]
    Resize(#[from] FrameError),
    /// The encoder refuses it.
    #[error("a thumbnail cannot be encoded as JPEG: {0}")]
    Encode(String),
}

/// The picture at no more than `most` pixels a side, its aspect ratio kept and never enlarged.
///
/// # Errors
/// [`ThumbnailError`] for an empty picture or one whose bytes do not match its sides.
pub fn jpeg(pixels: &Pixels, most: u32, quality: u8) -> Result<Vec<u8>, ThumbnailError> {
    encoded(&shrunk(pixels, most)?, quality)
}

/// As [`jpeg`], before it is one.
///
/// # Errors
/// As [`jpeg`].
pub fn shrunk(pixels: &Pixels, most: u32) -> Result<Pixels, ThumbnailError> {
    let longest = pixels.width.max(pixels.height).max(1);
    let side = |side: u32| match longest <= most {
        true => side,
        false => (u64::from(side) * u64::from(most) / u64::from(longest)).max(1) as u32,
    };
    Ok(resize(pixels, side(pixels.width), side(pixels.height), Filter::Triangle, Fit::Stretch)?)
}

/// As JPEG, with nothing in it but the picture.
///
/// # Errors
/// [`ThumbnailError::Encode`].
pub fn encoded(pixels: &Pixels, quality: u8) -> Result<Vec<u8>, ThumbnailError> {
    Encoder::new(&pixels.rgb, pixels.width as usize, pixels.height as usize, PixelFormat::Rgb)
        .quality(quality)
        .subsampling(Subsampling::S420)
        .encode()
        .map_err(|error| ThumbnailError::Encode(error.to_string()))
}
