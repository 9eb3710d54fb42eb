//! What can be saved of a damaged JPEG: a bear must not hide behind a missing end.

use super::jpeg::{Failure, Job, Strictness};
use super::{Decoded, FrameError, Pixels};

/// The marker that ends a JPEG.
pub(super) const END: &[u8] = &[0xFF, 0xD9];

/// The share of the pixels that must have been decoded for a damaged picture to count: one in four.
const SHARE: usize = 4;

/// Decodes as much of `jpeg` as there is, after a strict decode failed for `reason`.
///
/// Of a picture in several scans (a progressive one) the longest run of intact scans is used: the first already shows
/// the whole picture, coarsely. Else decoding goes on past the damage, what is missing stays grey, and the picture counts
/// if at least a quarter of it is not.
pub(super) fn decode(jpeg: &[u8], job: &Job, reason: &str) -> Result<Decoded, FrameError> {
    let outline = Outline::of(jpeg);
    if outline.scans.len() > 1
        && let Some(decoded) = intact_scans(jpeg, &outline.scans, job)?
    {
        return Ok(decoded);
    }
    let decoded = match job.run(&closed(jpeg), Strictness::Lenient) {
        Ok(decoded) => decoded,
        Err(Failure::Refused(error)) => return Err(error),
        Err(Failure::Corrupt(reason)) => return Err(FrameError::Damaged { reason }),
    };
    let (missing, all) = (missing(&decoded.pixels), decoded.pixels.rgb.len() / 3);
    let percent = (all - missing) * 100 / all.max(1);
    if (all - missing) * SHARE < all {
        return Err(FrameError::damaged(format_args!("only {percent} % of it could be decoded ({reason})")));
    }
    Ok(Decoded { partial: Some(format!("about {percent} % could be decoded ({reason})")), ..decoded })
}

/// The picture of the longest run of intact scans, by bisection: each try is a decode.
fn intact_scans(jpeg: &[u8], scans: &[usize], job: &Job) -> Result<Option<Decoded>, FrameError> {
    let decode_first = |count: usize| {
        let end = scans.get(count).copied().unwrap_or(jpeg.len());
        match job.run(&closed(jpeg.get(..end).unwrap_or(jpeg)), Strictness::Strict) {
            Ok(decoded) => Ok(Some(decoded)),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Corrupt(_)) => Ok(None),
        }
    };
    if let Some(decoded) = decode_first(scans.len())? {
        let partial = Some(format!("the file ends after {} scans without an end marker", scans.len()));
        return Ok(Some(Decoded { partial, ..decoded }));
    }
    let mut best = None;
    let (mut intact, mut broken) = (0, scans.len());
    while broken - intact > 1 {
        // A file that was cut off is broken in its last scan, the likeliest damage: try that first.
        let count = if broken == scans.len() { broken - 1 } else { intact.midpoint(broken) };
        match decode_first(count)? {
            Some(decoded) => (best, intact) = (Some(decoded), count),
            None => broken = count,
        }
    }
    let partial = Some(format!("only {intact} of {} scans are intact", scans.len()));
    Ok(best.map(|decoded| Decoded { partial, ..decoded }))
}

/// A copy with an end marker, without which the decoder does not even look at a progressive file.
fn closed(jpeg: &[u8]) -> Vec<u8> {
    [jpeg, END].concat()
}

/// Pixels in the mid-grey that the decoder leaves where it has no data; hardly any real pixel has exactly this colour.
fn missing(pixels: &Pixels) -> usize {
    pixels.rgb.chunks_exact(3).filter(|pixel| *pixel == [128; 3]).count()
}

/// Where the scans of a JPEG begin, and whether it has an end.
pub(super) struct Outline {
    /// Offsets of the start-of-scan markers.
    pub scans: Vec<usize>,
    /// Whether there is an end marker; what follows it is no part of the picture.
    pub ended: bool,
}

impl Outline {
    /// Walks the markers, over segments by their length (thumbnails in them have markers too) and over picture data,
    /// where only stuffed bytes and restart markers follow a 0xFF.
    pub fn of(jpeg: &[u8]) -> Self {
        let mut outline = Self { scans: Vec::new(), ended: false };
        let mut at = 2;
        while let Some(found) = jpeg.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0xFF)) {
            at += found + 1;
            match jpeg.get(at) {
                None => break,
                Some(0xFF) => continue,
                Some(0x00 | 0x01 | 0xD0..=0xD8) => at += 1,
                Some(0xD9) => {
                    outline.ended = true;
                    break;
                }
                Some(marker) => {
                    if *marker == 0xDA {
                        outline.scans.push(at - 1);
                    }
                    let length =
                        jpeg.get(at + 1..at + 3).map_or(0, |pair| usize::from(pair[0]) << 8 | usize::from(pair[1]));
                    at += 1 + length;
                }
            }
        }
        outline
    }
}
