//! JPEG, at the smallest scale that will do.

use libjpeg_turbo_rs::{DecodeLimits, Decoder, FrameHeader, JpegError, PixelFormat, ScalingFactor};

use super::exif::Exif;
use super::salvage::{self, Outline};
use super::{Decoded, FrameError, Limits, Pixels, Scale};

/// Scans of a progressive file: encoders write about ten, a scan bomb thousands.
const MAX_SCANS: usize = 100;

/// Zeros at the end of a file that are taken for a part that was never written; fewer may be picture data.
const UNWRITTEN: usize = 64;

/// Decodes a JPEG: strictly, and if that fails as far as it goes.
pub(super) fn decode(bytes: &[u8], scale: Scale, limits: &Limits) -> Result<Decoded, FrameError> {
    let job = Job { scale, limits };
    // Zeros are valid picture data, so a decoder would paint the unwritten part with rubbish instead of missing it.
    let jpeg = without_zero_tail(bytes);
    match job.run(jpeg, Strictness::Strict) {
        Ok(decoded) if jpeg.ends_with(salvage::END) || Outline::of(jpeg).ended => Ok(decoded),
        Ok(decoded) => Ok(Decoded { partial: Some("the end marker is missing".to_owned()), ..decoded }),
        Err(Failure::Refused(error)) => Err(error),
        Err(Failure::Corrupt(reason)) => salvage::decode(jpeg, &job, &reason),
    }
}

fn without_zero_tail(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if bytes.len() - end < UNWRITTEN { bytes } else { bytes.get(..end).unwrap_or(bytes) }
}

/// Whether damage is an error, or a grey part of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    Strict,
    Lenient,
}

/// Why a decode failed.
pub(super) enum Failure {
    /// Over a limit, or of a kind that is not decoded: a second try would not help.
    Refused(FrameError),
    /// The decoder stumbled over the data.
    Corrupt(String),
}

/// What every try at one file has in common.
pub(super) struct Job<'a> {
    scale: Scale,
    limits: &'a Limits,
}

impl Job<'_> {
    /// One decode of `jpeg`.
    pub fn run(&self, jpeg: &[u8], strictness: Strictness) -> Result<Decoded, Failure> {
        // Beside ours, the decoder's own memory limit would be one too many: it estimates a full-scale decode.
        let bounds = DecodeLimits {
            max_width: self.limits.max_side as usize,
            max_height: self.limits.max_side as usize,
            max_pixels: self.limits.max_pixels,
            max_scans: MAX_SCANS,
            max_memory: None,
        };
        let mut decoder = Decoder::new_with_limits(jpeg, bounds)?;
        let header = decoder.header();
        let (width, height) = (u32::from(header.width), u32::from(header.height));
        self.limits.check_sides(width, height)?;
        if header.precision != 8 || header.is_lossless {
            return Err(FrameError::Unsupported { format: "12-bit or lossless JPEG".to_owned() }.into());
        }
        let exif = decoder.exif_data().map(Exif::read).unwrap_or_default();
        let factor = self.factor(&exif, width, height);
        self.limits.check_memory(memory(header, factor, &exif))?;

        decoder.set_output_format(PixelFormat::Rgb);
        decoder.set_scale(factor);
        decoder.set_lenient(strictness == Strictness::Lenient);
        let image = decoder.decode_image()?;
        if image.pixel_format != PixelFormat::Rgb || image.data.len() != image.width * image.height * 3 {
            return Err(Failure::Corrupt(format!("decoded to {:?} instead of RGB", image.pixel_format)));
        }
        let pixels = Pixels { width: image.width as u32, height: image.height as u32, rgb: image.data };
        Ok(Decoded { pixels, width, height, exif, partial: None })
    }

    /// The smallest scale whose upright picture has the sides wanted.
    fn factor(&self, exif: &Exif, width: u32, height: u32) -> ScalingFactor {
        let Scale::AtLeast { width: wanted_width, height: wanted_height } = self.scale else {
            return ScalingFactor::default();
        };
        let (width, height) = exif.orientation.upright(width, height);
        [8, 4, 2]
            .into_iter()
            .find(|divisor| width.div_ceil(*divisor) >= wanted_width && height.div_ceil(*divisor) >= wanted_height)
            .and_then(|divisor| ScalingFactor::try_new(1, divisor).ok())
            .unwrap_or_default()
    }
}

impl From<JpegError> for Failure {
    fn from(error: JpegError) -> Self {
        match error {
            JpegError::LimitExceeded { what, actual, limit } => FrameError::TooLarge { what, actual, limit }.into(),
            JpegError::AllocationFailed { bytes, .. } => FrameError::OutOfMemory { bytes }.into(),
            JpegError::Unsupported(what) => {
                FrameError::Unsupported { format: format!("this kind of JPEG ({what})") }.into()
            }
            other => Failure::Corrupt(other.to_string()),
        }
    }
}

impl From<FrameError> for Failure {
    fn from(error: FrameError) -> Self {
        Self::Refused(error)
    }
}

/// Bytes that a decode takes at most: the scaled planes and the picture, twice if it is turned, and for a progressive
/// file every coefficient at full scale.
fn memory(header: &FrameHeader, factor: ScalingFactor, exif: &Exif) -> u64 {
    let pixels = header.width() as u64 * header.height() as u64;
    let scaled = factor.scale_dim(header.width()) as u64 * factor.scale_dim(header.height()) as u64;
    let pictures = if exif.orientation.is_upright() { 3 } else { 6 };
    let decoded = scaled * (pictures + header.components.len() as u64);
    if !header.is_progressive {
        return decoded;
    }
    let samples = |h: u8, v: u8| u64::from(h) * u64::from(v);
    let sampling = || header.components.iter().map(|part| (part.horizontal_sampling, part.vertical_sampling));
    let widest = sampling().map(|(h, _)| h).max().unwrap_or(1);
    let tallest = sampling().map(|(_, v)| v).max().unwrap_or(1);
    let coefficients = pixels * sampling().map(|(h, v)| samples(h, v)).sum::<u64>() / samples(widest, tallest).max(1);
    // Two bytes a coefficient, and a byte of book-keeping for each block of 64.
    decoded + coefficients * 2 + coefficients / 64
}
