//! Parts of a scene of which nothing is known.

use super::Part;

/// Tiles along the shorter side, each half over the next.
const ALONG: usize = 3;

/// Squares that cover a frame of these sides, each half over the next, so that something small lies whole in one of them.
pub fn tiles(width: u32, height: u32) -> Vec<Part> {
    let (width, height) = (width.max(1) as f32, height.max(1) as f32);
    let side = width.min(height) * 2.0 / (ALONG as f32 + 1.0);
    let starts = |length: f32| {
        let count = ((length / side * 2.0).ceil() as usize).saturating_sub(1).max(1);
        (0..count).map(move |at| if count == 1 { 0.0 } else { (length - side) * at as f32 / (count - 1) as f32 })
    };
    let rows = starts(height);
    rows.flat_map(|y| {
        starts(width).map(move |x| Part { x: x / width, y: y / height, width: side / width, height: side / height })
    })
    .collect()
}
