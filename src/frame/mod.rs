//! Decodes a file into pixels, within limits, and reads when and where it was taken.
//!
//! Bytes go in, pixels come out: this room never touches the file system, the network or a clock, and no input makes it
//! panic or allocate beyond [`Limits`]. The way of a frame: `format` recognises the bytes, `jpeg` (with `salvage` for
//! damaged files) or `still` decodes them, `exif` reads the camera's notes, `orient` turns the picture upright, and
//! [`resize`] brings it to the size a network wants. [`ContentHash`] is what a frame is known by.

mod capture_time;
mod error;
mod exif;
mod format;
mod hash;
mod jpeg;
mod limits;
mod orient;
mod resize;
mod salvage;
mod still;

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod jpeg_tests;
#[cfg(test)]
mod odd_jpeg;
#[cfg(test)]
mod odd_jpeg_tests;
#[cfg(test)]
mod reference_tests;
#[cfg(test)]
pub(crate) mod testing;

pub use capture_time::CaptureTime;
pub use error::FrameError;
pub use format::Format;
pub use hash::{ContentHash, ParseHashError};
pub use limits::Limits;
pub use resize::{Filter, Fit, resize};

use exif::Exif;

/// Eight-bit RGB pixels, row by row from the top left, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height * 3` bytes: red, green, blue.
    pub rgb: Vec<u8>,
}

/// How much of a picture's resolution is needed.
///
/// A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size for a fraction of the time and memory. The other formats are
/// always decoded in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Every pixel.
    Full,
    /// The smallest decode whose upright picture has at least these sides, or every pixel if there is none.
    AtLeast {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
}

impl Scale {
    /// What a [`resize`] to `width` x `height` with this filter needs.
    ///
    /// An averaging filter that still shrinks by two or more differs from the full decode by about 0.2 grey levels.
    /// [`Filter::Nearest`] picks single pixels, and a reduced decode has other ones, so it needs them all.
    pub fn for_resize(filter: Filter, width: u32, height: u32) -> Self {
        match filter {
            Filter::Nearest => Self::Full,
            Filter::Triangle | Filter::CatmullRom | Filter::Lanczos3 => {
                Self::AtLeast { width: width.saturating_mul(2), height: height.saturating_mul(2) }
            }
        }
    }
}

/// A decoded picture and what its file says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The upright picture, possibly at a reduced scale.
    pub pixels: Pixels,
    /// Width of the upright original, in pixels.
    pub width: u32,
    /// Height of the upright original, in pixels.
    pub height: u32,
    /// The file format.
    pub format: Format,
    /// When the camera says it was taken; `None` if it does not, or says nonsense.
    pub captured_at: Option<CaptureTime>,
    /// Latitude (-90 to 90) and longitude (-180 to 180) in degrees, WGS 84, from the camera's GPS.
    pub position: Option<(f64, f64)>,
    /// Why only a part of the picture could be decoded; `None` for an intact file.
    pub partial: Option<String>,
}

/// Decodes one picture.
///
/// Sides, pixels and memory are checked against `limits` before any pixel is allocated. A damaged JPEG of which at least
/// a quarter can be decoded is a frame with [`Frame::partial`] set, its missing part grey. Transparency is dropped, as
/// `convert("RGB")` does where networks are trained; of an animation the first picture is used. Broken EXIF data is
/// ignored.
///
/// # Errors
///
/// [`FrameError`] without the file's name, which only the caller knows.
pub fn decode(bytes: &[u8], scale: Scale, limits: &Limits) -> Result<Frame, FrameError> {
    if bytes.is_empty() {
        return Err(FrameError::Empty);
    }
    limits.check_bytes(bytes)?;
    let format = Format::of(bytes)?;
    let decoded = match format {
        Format::Jpeg => jpeg::decode(bytes, scale, limits)?,
        _ => still::decode(bytes, format, limits)?,
    };
    let Decoded { pixels, width, height, exif, partial } = decoded;
    let (width, height) = exif.orientation.upright(width, height);
    Ok(Frame {
        pixels: orient::apply(pixels, exif.orientation)?,
        width,
        height,
        format,
        captured_at: exif.captured_at,
        position: exif.position,
        partial,
    })
}

/// What a format's decoder hands over: pixels as stored, not yet turned upright.
struct Decoded {
    pixels: Pixels,
    /// Sides of the original as stored.
    width: u32,
    height: u32,
    exif: Exif,
    partial: Option<String>,
}
