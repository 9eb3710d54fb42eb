//! A picture of it: what the network saw, and beside it the same with what each place said.

use anyhow::{Context, Result};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::Explanation;
use crate::frame::{Filter, Fit, Pixels, resize};

/// About how many pixels each of the two pictures has a side.
const SIDE: u32 = 576;
/// Between them, pixels.
const GAP: u32 = 12;
/// What speaks for the label, and what against it.
const FOR: [f32; 3] = [255.0, 150.0, 0.0];
const AGAINST: [f32; 3] = [40.0, 110.0, 255.0];
/// How strongly the cell that says most is painted over.
const STRONGEST: f32 = 0.8;

/// The two pictures side by side, as PNG. Orange speaks for the label, blue against it; the strongest cell of the frame is the
/// measure.
///
/// # Errors
/// The picture can't be encoded.
pub fn paint(explanation: &Explanation) -> Result<Vec<u8>> {
    let seen = &explanation.seen;
    let times = (SIDE / seen.width.max(seen.height).max(1)).max(1);
    let (width, height) = (seen.width * times, seen.height * times);
    // Blocks: this is what the network has, not what the camera took.
    let large = resize(seen, width, height, Filter::Nearest, Fit::Stretch)?;
    let painted = painted(&large, explanation);
    let rgb: Vec<u8> = large
        .rgb
        .chunks_exact(width as usize * 3)
        .zip(painted.chunks_exact(width as usize * 3))
        .flat_map(|(left, right)| left.iter().chain(&[16; GAP as usize * 3]).chain(right).copied().collect::<Vec<u8>>())
        .collect();
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(&rgb, width * 2 + GAP, height, ExtendedColorType::Rgb8)
        .context("the explanation can't be written as PNG")?;
    Ok(file)
}

fn painted(large: &Pixels, explanation: &Explanation) -> Vec<u8> {
    let strongest = explanation.cells.iter().fold(f32::MIN_POSITIVE, |most, cell| most.max(cell.abs()));
    let mut rgb = large.rgb.clone();
    for (place, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let (x, y) = (place as u32 % large.width, place as u32 / large.width);
        let at = |place: u32, of: u32, cells: usize| (place as f32 + 0.5) / of as f32 * cells as f32 - 0.5;
        let said = between(explanation, at(x, large.width, explanation.columns), at(y, large.height, explanation.rows));
        let share = (said / strongest).clamp(-1.0, 1.0);
        let (colour, cover) = (if share > 0.0 { FOR } else { AGAINST }, share.abs() * STRONGEST);
        for (value, colour) in pixel.iter_mut().zip(colour) {
            *value = (f32::from(*value) * (1.0 - cover) + colour * cover).round() as u8;
        }
    }
    rgb
}

/// Between the middles of the four cells around a place.
fn between(explanation: &Explanation, x: f32, y: f32) -> f32 {
    let (columns, rows) = (explanation.columns, explanation.rows);
    let (x, y) = (x.clamp(0.0, columns as f32 - 1.0), y.clamp(0.0, rows as f32 - 1.0));
    let (left, top) = (x.floor() as usize, y.floor() as usize);
    let (right, bottom) = ((left + 1).min(columns - 1), (top + 1).min(rows - 1));
    let (across, down) = (x.fract(), y.fract());
    let cell = |row: usize, column: usize| explanation.cells.get(row * columns + column).copied().unwrap_or(0.0);
    let upper = cell(top, left) * (1.0 - across) + cell(top, right) * across;
    let lower = cell(bottom, left) * (1.0 - across) + cell(bottom, right) * across;
    upper * (1.0 - down) + lower * down
}
