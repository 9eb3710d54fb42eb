//! Brings a picture to the size a network wants.

use fast_image_resize as fir;
use fir::images::{Image, TypedImageRef};
use fir::pixels::U8x3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FrameError, Pixels};

/// Longest side that a resize makes.
const MAX_SIDE: u32 = 16_384;

/// How pixels are combined. A network is sensitive to it, so it is declared with the network, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The single nearest pixel, the very one that Keras' `load_img` (Pillow) takes; needs a full-scale decode.
    Nearest,
    /// Bilinear with antialiasing, as Pillow's `BILINEAR`.
    Triangle,
    /// Bicubic with antialiasing (a = -0.5), as Pillow's `BICUBIC`.
    CatmullRom,
    /// Windowed sinc with antialiasing, as Pillow's `LANCZOS`.
    // `snake_case` would make `lanczos3` of it today, but an interface is better spelled out.
    #[serde(rename = "lanczos3")]
    Lanczos3,
}

/// What happens to the aspect ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It is lost: each side is scaled by itself.
    Stretch,
    /// The largest centred part of the target's aspect ratio is kept; for a square target the centre square.
    Crop,
    /// The whole picture is kept, centred on black.
    Pad,
}

/// Resizes to exactly `width` x `height` pixels (1 to 16384 each).
///
/// # Errors
///
/// [`FrameError::Resize`] for a side out of range, or if `pixels.rgb` does not have the length its sides call for.
pub fn resize(pixels: &Pixels, width: u32, height: u32, filter: Filter, fit: Fit) -> Result<Pixels, FrameError> {
    let impossible = || FrameError::Resize {
        from: format!("{} x {} pixels of {} bytes", pixels.width, pixels.height, pixels.rgb.len()),
        to: format!("{width} x {height}"),
    };
    let sides = 1..=MAX_SIDE;
    let bytes = (u64::from(pixels.width) * u64::from(pixels.height)).saturating_mul(3);
    if !sides.contains(&width) || !sides.contains(&height) || bytes == 0 || bytes != pixels.rgb.len() as u64 {
        return Err(impossible());
    }
    let whole = Part { left: 0.0, top: 0.0, width: f64::from(pixels.width), height: f64::from(pixels.height) };
    match fit {
        Fit::Stretch => scale(pixels, whole, width, height, filter),
        Fit::Crop => scale(pixels, whole.centred(f64::from(width) / f64::from(height)), width, height, filter),
        Fit::Pad => {
            let (inner_width, inner_height) = inscribed(pixels, width, height);
            scale(pixels, whole, inner_width, inner_height, filter).map(|inner| on_black(&inner, width, height))
        }
    }
    .ok_or_else(impossible)
}

/// A rectangle of the source, in pixels.
#[derive(Debug, Clone, Copy)]
struct Part {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Part {
    /// The largest rectangle in the middle with this ratio of width to height.
    fn centred(self, ratio: f64) -> Self {
        let (width, height) = (self.width.min(self.height * ratio), self.height.min(self.width / ratio));
        let (left, top) = (self.left + (self.width - width) / 2.0, self.top + (self.height - height) / 2.0);
        Self { left, top, width, height }
    }
}

fn scale(pixels: &Pixels, part: Part, width: u32, height: u32, filter: Filter) -> Option<Pixels> {
    let kernel = match filter {
        Filter::Nearest => return nearest(pixels, part, width, height),
        Filter::Triangle => fir::FilterType::Bilinear,
        Filter::CatmullRom => fir::FilterType::CatmullRom,
        Filter::Lanczos3 => fir::FilterType::Lanczos3,
    };
    let options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(kernel));
    let options = options.crop(part.left, part.top, part.width, part.height);
    // `resize` would ask for the kind of pixel at run time and bring the code for all kinds.
    let source = TypedImageRef::<U8x3>::from_buffer(pixels.width, pixels.height, &pixels.rgb).ok()?;
    let mut target = Image::new(width, height, fir::PixelType::U8x3);
    fir::Resizer::new().resize_typed(&source, &mut target.typed_image_mut::<U8x3>()?, &options).ok()?;
    Some(Pixels { width, height, rgb: target.into_vec() })
}

/// Nearest neighbour as Pillow has it (`ImagingScaleAffine`, Geometry.c), to the last bit.
fn nearest(pixels: &Pixels, part: Part, width: u32, height: u32) -> Option<Pixels> {
    let columns = taken(part.left, part.width, width, pixels.width);
    let rows = taken(part.top, part.height, height, pixels.height);
    let mut rgb = Vec::with_capacity(rows.len() * columns.len() * 3);
    for row in rows {
        let row = pixels.rgb.get(row * pixels.width as usize * 3..)?;
        for column in &columns {
            rgb.extend_from_slice(row.get(column * 3..column * 3 + 3)?);
        }
    }
    Some(Pixels { width, height, rgb })
}

/// Which of `source` pixels in a line stands for each of `target`, taken from `length` pixels behind `start`.
///
/// The places are summed up step by step, as Pillow does: where the middle of a target pixel falls between two source
/// pixels, as it does often for sides that are multiples of 64, the rounding of that sum decides which one it is.
fn taken(start: f64, length: f64, target: u32, source: u32) -> Vec<usize> {
    let step = length / f64::from(target);
    let mut place = start + step * 0.5;
    let last = source.saturating_sub(1) as usize;
    let mut next = || {
        let here = (place as usize).min(last);
        place += step;
        here
    };
    (0..target).map(|_| next()).collect()
}

/// The largest sides with the picture's aspect ratio that fit into `width` x `height`.
fn inscribed(pixels: &Pixels, width: u32, height: u32) -> (u32, u32) {
    let ratio = (f64::from(width) / f64::from(pixels.width)).min(f64::from(height) / f64::from(pixels.height));
    let side = |source: u32, target: u32| ((f64::from(source) * ratio).round() as u32).clamp(1, target);
    (side(pixels.width, width), side(pixels.height, height))
}

/// The picture in the middle of a black one.
fn on_black(inner: &Pixels, width: u32, height: u32) -> Pixels {
    let row = inner.width as usize * 3;
    let left = (width - inner.width) as usize / 2 * 3;
    let top = (height - inner.height) as usize / 2;
    let mut rgb = vec![0; width as usize * height as usize * 3];
    let rows = rgb.chunks_exact_mut(width as usize * 3).skip(top);
    for (target, source) in rows.zip(inner.rgb.chunks_exact(row)) {
        target[left..left + row].copy_from_slice(source);
    }
    Pixels { width, height, rgb }
}

#[cfg(test)]
#[path = "resize_tests.rs"]
mod tests;
