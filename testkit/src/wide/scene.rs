//! What the camera sees of one landscape, again and again.

use anyhow::Result;
use arcticd::frame::Pixels;

use super::{Cutout, resized};
use crate::scenes::jpeg;
use crate::scenes::random::{Random, noise};

/// A landscape that a camera looks at.
pub struct Wide {
    ground: Pixels,
    random: Random,
}

/// How much the light differs from frame to frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Light {
    /// Clouds that come and go.
    Steady,
    /// The sun comes out or goes behind a cloud: all of it brighter or darker by up to one half, with soft shadows.
    Jump,
}

/// Where the animal was laid, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Wide {
    /// A frame so wide, its height as the photo's; each seed gives other lights and places.
    ///
    /// # Errors
    /// The photo can't be brought to that size.
    pub fn of(photo: &Pixels, width: u32, seed: u64) -> Result<Self> {
        let height = (u64::from(photo.height) * u64::from(width) / u64::from(photo.width)) as u32;
        Ok(Self { ground: resized(photo, width, height)?, random: Random::new(seed) })
    }

    /// The next frame as a JPEG file, with an animal whose longer side is `share` of the frame's width, if one is given.
    ///
    /// # Errors
    /// The encoder's.
    pub fn frame(&mut self, light: Light, animal: Option<(&Cutout, f32)>) -> Result<(Vec<u8>, Option<Place>)> {
        let mut pixels = self.ground.clone();
        let place = animal.map(|(animal, share)| self.lay(&mut pixels, animal, share)).transpose()?;
        self.expose(&mut pixels, light);
        Ok((jpeg(&pixels)?, place))
    }

    /// Lays an animal somewhere into the lower three quarters: few fly.
    fn lay(&mut self, pixels: &mut Pixels, animal: &Cutout, share: f32) -> Result<Place> {
        let longer = (share * pixels.width as f32).round() as u32;
        let Cutout { rgb, cover } = animal.sized(longer, self.random.between(0.0, 1.0) < 0.5)?;
        let (width, height) = (rgb.width.min(pixels.width), rgb.height.min(pixels.height));
        let x = self.random.between(0.0, (pixels.width - width) as f32) as u32;
        let top = (pixels.height / 4).min(pixels.height - height);
        let y = self.random.between(top as f32, (pixels.height - height) as f32) as u32;
        let gain = self.random.between(0.85, 1.05);
        for row in 0..height {
            for column in 0..width {
                let from = ((row * rgb.width + column) * 3) as usize;
                let to = (((y + row) * pixels.width + x + column) * 3) as usize;
                let share = f32::from(cover.rgb[from]) / 255.0;
                for channel in 0..3 {
                    let (new, old) = (f32::from(rgb.rgb[from + channel]) * gain, f32::from(pixels.rgb[to + channel]));
                    pixels.rgb[to + channel] = (old + (new - old) * share).clamp(0.0, 255.0) as u8;
                }
            }
        }
        Ok(Place { x, y, width, height })
    }

    /// Light, clouds, a camera that shakes by a pixel, and the sensor's noise.
    fn expose(&mut self, pixels: &mut Pixels, light: Light) {
        let random = &mut self.random;
        let (gain, shadow) = match light {
            Light::Steady => (random.between(0.88, 1.12), random.between(0.0, 0.12)),
            Light::Jump if random.between(0.0, 1.0) < 0.5 => (random.between(0.55, 0.8), random.between(0.1, 0.35)),
            Light::Jump => (random.between(1.2, 1.5), random.between(0.1, 0.35)),
        };
        let offset = random.between(-6.0, 6.0);
        let warmth = random.between(-0.03, 0.03);
        let tints = [1.0 + warmth, 1.0, 1.0 - warmth];
        let (clouds, grain) = (random.next(), random.next());
        let (dx, dy) = (random.between(-1.5, 1.5).round() as i64, random.between(-1.5, 1.5).round() as i64);
        let (width, height) = (pixels.width as usize, pixels.height as usize);
        let mut noise_of = Random::new(grain);
        let source = pixels.rgb.clone();
        for y in 0..height {
            let from_y = (y as i64 + dy).clamp(0, height as i64 - 1) as usize;
            let across: Vec<f32> = (0..width.div_ceil(16) + 1)
                .map(|step| {
                    1.0 - shadow
                        * 2.0
                        * (noise(clouds, step as f32 * 16.0 * 3.0 / width as f32, y as f32 * 3.0 / width as f32) - 0.5)
                })
                .collect();
            for x in 0..width {
                let from_x = (x as i64 + dx).clamp(0, width as i64 - 1) as usize;
                let t = (x % 16) as f32 / 16.0;
                let cloud = across[x / 16] + (across[x / 16 + 1] - across[x / 16]) * t;
                let bits = noise_of.next();
                for channel in 0..3 {
                    // The sum of four bytes is nearly normal; deviation about 3.
                    let sum: u64 = (0..4).map(|byte| (bits >> (byte * 8 + channel * 10)) & 0xff).sum();
                    let grain = (sum as f32 - 510.0) / 49.0;
                    let value = f32::from(source[(from_y * width + from_x) * 3 + channel]);
                    let lit = value * gain * cloud * tints[channel] + offset + grain;
                    pixels.rgb[(y * width + x) * 3 + channel] = lit.clamp(0.0, 255.0) as u8;
                }
            }
        }
    }
}
