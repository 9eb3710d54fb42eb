//! An animal without what was around it.

use anyhow::{Result, ensure};
use arcticd::frame::Pixels;

use super::resized;

/// An animal, and how much each of its pixels covers.
#[derive(Clone)]
pub struct Cutout {
    pub(super) rgb: Pixels,
    /// Gray, 255 where the animal is; as large as `rgb`.
    pub(super) cover: Pixels,
}

impl Cutout {
    /// What lies within the outline, in pixels of the photo.
    ///
    /// # Errors
    /// The outline holds nothing.
    pub fn along(photo: &Pixels, outline: &[(f32, f32)]) -> Result<Self> {
        let bound = |pick: fn(&(f32, f32)) -> f32, side: u32| {
            let values = outline.iter().map(pick);
            let low = values.clone().fold(f32::INFINITY, f32::min).max(0.0) as u32;
            let high = (values.fold(0.0_f32, f32::max) as u32 + 1).min(side);
            (low, high)
        };
        let ((left, right), (top, bottom)) = (bound(|p| p.0, photo.width), bound(|p| p.1, photo.height));
        ensure!(left < right && top < bottom, "an outline around nothing");
        let (width, height) = (right - left, bottom - top);
        let mut rgb = Vec::with_capacity((width * height * 3) as usize);
        let mut cover = Vec::with_capacity(rgb.capacity());
        for y in top..bottom {
            let start = ((y * photo.width + left) * 3) as usize;
            rgb.extend_from_slice(&photo.rgb[start..start + width as usize * 3]);
            for x in left..right {
                cover.extend([if inside(outline, x as f32, y as f32) { 255 } else { 0 }; 3]);
            }
        }
        Ok(Self { rgb: Pixels { width, height, rgb }, cover: Pixels { width, height, rgb: cover } })
    }

    /// The oval in the middle of a photo, for things without an outline.
    ///
    /// # Errors
    /// The photo is empty.
    pub fn oval(photo: &Pixels) -> Result<Self> {
        let (rx, ry) = (photo.width as f32 / 2.0, photo.height as f32 / 2.0);
        let outline: Vec<(f32, f32)> = (0..48)
            .map(|step| (step as f32 / 48.0 * std::f32::consts::TAU).sin_cos())
            .map(|(sin, cos)| (rx + rx * cos, ry + ry * sin))
            .collect();
        Self::along(photo, &outline)
    }

    /// Its longer side brought to so many pixels, mirrored if asked for, with edges soft over about two pixels.
    pub(super) fn sized(&self, longer: u32, mirrored: bool) -> Result<Self> {
        let scale = f64::from(longer) / f64::from(self.rgb.width.max(self.rgb.height));
        let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
        let (width, height) = (side(self.rgb.width), side(self.rgb.height));
        let mut rgb = resized(&self.rgb, width, height)?;
        let mut cover = softened(&resized(&self.cover, width, height)?);
        if mirrored {
            rgb = mirror(&rgb);
            cover = mirror(&cover);
        }
        Ok(Self { rgb, cover })
    }
}

fn mirror(pixels: &Pixels) -> Pixels {
    let rows = pixels.rgb.chunks_exact(pixels.width as usize * 3);
    let rgb = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
    Pixels { rgb, ..*pixels }
}

/// Twice the mean of three by three; beyond the border nothing covers.
fn softened(cover: &Pixels) -> Pixels {
    let once = |source: &[u8]| -> Vec<u8> {
        let (width, height) = (cover.width as i64, cover.height as i64);
        let at = |x: i64, y: i64| -> u32 {
            let within = (0..width).contains(&x) && (0..height).contains(&y);
            if within { u32::from(source[((y * width + x) * 3) as usize]) } else { 0 }
        };
        (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| {
                let sum: u32 =
                    (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))).map(|(dx, dy)| at(x + dx, y + dy)).sum();
                [(sum / 9) as u8; 3]
            })
            .collect()
    };
    Pixels { rgb: once(&once(&cover.rgb)), ..*cover }
}

/// Whether a point lies within a polygon: an odd number of edges is to its right.
fn inside(outline: &[(f32, f32)], x: f32, y: f32) -> bool {
    let edges = outline.iter().zip(outline.iter().cycle().skip(1));
    edges.filter(|((x1, y1), (x2, y2))| (y1 > &y) != (y2 > &y) && x < (x2 - x1) * (y - y1) / (y2 - y1) + x1).count() % 2
        == 1
}
