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
    let longest = pixels.width.max(pixels.height).max(1);
    let side = |side: u32| match longest <= most {
        true => side,
        false => (u64::from(side) * u64::from(most) / u64::from(longest)).max(1) as u32,
    };
    let small = resize(pixels, side(pixels.width), side(pixels.height), Filter::Triangle, Fit::Stretch)?;
    Encoder::new(&small.rgb, small.width as usize, small.height as usize, PixelFormat::Rgb)
        .quality(quality)
        .subsampling(Subsampling::S420)
        .encode()
        .map_err(|error| ThumbnailError::Encode(error.to_string()))
}
