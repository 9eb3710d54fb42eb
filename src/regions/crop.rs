//! A region of a picture, as the backbone takes it.

use super::Region;
use crate::frame::{Pixels, Scale};

/// How a frame of `width` x `height` has to be decoded so that each of `regions` has at least `input` pixels a side.
pub fn scale_for(regions: &[Region], (width, height): (u32, u32), input: (u32, u32)) -> Scale {
    let needed = |frame: u32, input: u32, side: fn(&Region) -> u32| {
        let least = regions.iter().map(side).min().unwrap_or(frame).max(1);
        (u64::from(frame) * u64::from(input)).div_ceil(u64::from(least)).min(u64::from(frame)) as u32
    };
    Scale::AtLeast {
        width: needed(width, input.0, |region| region.width),
        height: needed(height, input.1, |region| region.height),
    }
}

/// Cuts a region, in pixels of a frame of these sides, out of that frame's pixels at whatever scale. `None` if there is nothing of
/// it in them.
pub fn cut(pixels: &Pixels, region: Region, (width, height): (u32, u32)) -> Option<Pixels> {
    let scaled = |start: u32, length: u32, frame: u32, there: u32| {
        let place = |value: u32| (u64::from(value) * u64::from(there) / u64::from(frame.max(1))) as u32;
        let from = place(start).min(there);
        (from as usize, place(start.saturating_add(length)).clamp(from, there) as usize)
    };
    let (left, right) = scaled(region.x, region.width, width, pixels.width);
    let (top, bottom) = scaled(region.y, region.height, height, pixels.height);
    if left == right || top == bottom {
        return None;
    }
    let mut rgb = Vec::with_capacity((right - left) * (bottom - top) * 3);
    for row in pixels.rgb.chunks_exact(pixels.width as usize * 3).take(bottom).skip(top) {
        rgb.extend_from_slice(row.get(left * 3..right * 3)?);
    }
    Some(Pixels { width: (right - left) as u32, height: (bottom - top) as u32, rgb })
}
