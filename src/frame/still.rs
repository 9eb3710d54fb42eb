//! PNG, BMP, GIF, TIFF and WebP, through the `image` crate.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::exif::Exif;
use super::{Decoded, Format, FrameError, Limits, Pixels};

/// Decodes a picture that is no JPEG, at full scale.
pub(super) fn decode(bytes: &[u8], format: Format, limits: &Limits) -> Result<Decoded, FrameError> {
    let as_frame_error = |error| frame_error(error, format, limits);
    let mut decoder = open(bytes, format, limits)?.into_decoder().map_err(as_frame_error)?;
    // `from_decoder` allocates whatever the header asks for, so everything is checked before it.
    let (width, height) = decoder.dimensions();
    limits.check_sides(width, height)?;
    let exif = match format {
        Format::Tiff => Exif::read(bytes),
        _ => decoder.exif_metadata().ok().flatten().map(|block| Exif::read(&block)).unwrap_or_default(),
    };
    let rgb = (u64::from(width) * u64::from(height)).saturating_mul(3);
    let turned = if exif.orientation.is_upright() { 0 } else { rgb };
    limits.check_memory(decoder.total_bytes().saturating_add(rgb).saturating_add(turned))?;
    let image = DynamicImage::from_decoder(decoder).map_err(as_frame_error)?.into_rgb8();
    let pixels = Pixels { width, height, rgb: image.into_raw() };
    Ok(Decoded { pixels, width, height, exif, partial: None })
}

fn open<'a>(bytes: &'a [u8], format: Format, limits: &Limits) -> Result<ImageReader<Cursor<&'a [u8]>>, FrameError> {
    let format = match format {
        Format::Png => ImageFormat::Png,
        Format::Bmp => ImageFormat::Bmp,
        Format::Gif => ImageFormat::Gif,
        Format::Tiff => ImageFormat::Tiff,
        Format::WebP => ImageFormat::WebP,
        Format::Jpeg => return Err(FrameError::Unsupported { format: "JPEG by this way".to_owned() }),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut budget = image::Limits::no_limits();
    budget.max_alloc = Some(limits.max_memory);
    reader.limits(budget);
    Ok(reader)
}

fn frame_error(error: ImageError, format: Format, limits: &Limits) -> FrameError {
    match error {
        ImageError::Limits(_) => FrameError::TooLarge {
            what: "memory to decode it in bytes",
            actual: limits.max_memory.saturating_add(1),
            limit: limits.max_memory,
        },
        ImageError::Unsupported(what) => FrameError::Unsupported { format: format!("this kind of {format} ({what})") },
        other => FrameError::damaged(other),
    }
}

#[cfg(test)]
#[path = "still_tests.rs"]
mod tests;
