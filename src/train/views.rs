//! Changed views of a photo: another framing, light and colour, or infrared at night. What a trap may do to a frame, so
//! that a head fitted on few photos does not take it for what makes the animal.
//!
//! The same ranges as the backbone was trained with (`models/train/augment.py`), gentler in the crop: here a view keeps
//! its label for certain only while the animal is in it.

use fastrand::Rng;
use sha2::{Digest, Sha256};

use crate::frame::{self, ContentHash, Fit, FrameError, Pixels};
use crate::model::Input;

/// Raised with any change to what a view looks like: kept features of older ones are not used then.
pub const RECIPE: u32 = 1;

/// Share of the views that look as under infrared.
const INFRARED: f32 = 0.25;
/// Share of the views that show the whole frame.
const WHOLE: f32 = 0.3;
/// Smallest share of the frame's area in a view.
const SMALLEST: f32 = 0.4;

/// View `number` of a decoded photo at the network's input size. The same for the same seed and file, whatever its name,
/// its place in the list or the thread.
///
/// # Errors
/// As [`frame::resize`].
pub fn view(pixels: &Pixels, input: &Input, seed: u64, hash: &ContentHash, number: u32) -> Result<Pixels, FrameError> {
    let mut random = random(seed, hash, number);
    let mirrored = random.bool();
    let mut part = framed(pixels, &mut random);
    let look = Look::draw(&mut random);
    let small = |pixels: &Pixels| frame::resize(pixels, input.width, input.height, input.filter, input.fit);
    let mut view = if input.fit == Fit::Pad {
        // The border stays black, as a trap adds it.
        look.apply(&mut part, &mut random);
        small(&part)?
    } else {
        let mut view = small(&part)?;
        look.apply(&mut view, &mut random);
        view
    };
    if mirrored {
        mirror(&mut view);
    }
    Ok(view)
}

fn random(seed: u64, hash: &ContentHash, number: u32) -> Rng {
    let mut digest = Sha256::new();
    digest.update(seed.to_le_bytes());
    digest.update(number.to_le_bytes());
    digest.update(hash.as_bytes());
    let digest: [u8; 32] = digest.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    Rng::with_seed(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

fn between(random: &mut Rng, from: f32, to: f32) -> f32 {
    from + (to - from) * random.f32()
}

/// The whole frame, or a part of it of a somewhat other aspect ratio.
fn framed(pixels: &Pixels, random: &mut Rng) -> Pixels {
    let whole = random.f32() < WHOLE;
    let area = between(random, SMALLEST, 1.0);
    let aspect = between(random, -0.4, 0.4).exp();
    let (left, top) = (random.f32(), random.f32());
    let side = |share: f32, full: u32| ((share.sqrt().min(1.0) * full as f32).round() as u32).clamp(1, full.max(1));
    let (width, height) = (side(area * aspect, pixels.width), side(area / aspect, pixels.height));
    if whole || width > pixels.width || height > pixels.height {
        return pixels.clone();
    }
    let place = |share: f32, room: u32| (share * room as f32) as usize;
    let (left, top) = (place(left, pixels.width - width), place(top, pixels.height - height));
    let row = pixels.width as usize * 3;
    let kept = pixels.rgb.chunks_exact(row).skip(top).take(height as usize);
    let rgb = kept.flat_map(|row| row.iter().skip(left * 3).take(width as usize * 3)).copied().collect();
    Pixels { width, height, rgb }
}

fn mirror(pixels: &mut Pixels) {
    for row in pixels.rgb.chunks_exact_mut(pixels.width.max(1) as usize * 3) {
        row.reverse();
        for pixel in row.chunks_exact_mut(3) {
            pixel.reverse();
        }
    }
}

/// One drawn change of light and colour.
struct Look {
    infrared: bool,
    /// By thousandths.
    gamma: Vec<f32>,
    gain: f32,
    contrast: f32,
    saturation: f32,
    tint: [f32; 3],
    vignette: f32,
    noise: f32,
}

impl Look {
    fn draw(random: &mut Rng) -> Self {
        let infrared = random.f32() < INFRARED;
        let gamma = between(random, -0.5, 0.5).exp();
        Self {
            infrared,
            gamma: (0..=1000).map(|step| (step as f32 / 1000.0).powf(gamma)).collect(),
            gain: between(random, 0.6, 1.4),
            contrast: between(random, 0.65, 1.35),
            saturation: if infrared { 0.0 } else { between(random, 0.4, 1.5) },
            tint: if infrared { [1.0; 3] } else { std::array::from_fn(|_| between(random, 0.9, 1.1)) },
            vignette: between(random, 0.3, 1.0),
            noise: between(random, 0.0, 0.03),
        }
    }

    fn apply(&self, pixels: &mut Pixels, random: &mut Rng) {
        let (width, height) = (pixels.width as usize, pixels.height as usize);
        let (rgb, _) = pixels.rgb.as_chunks_mut::<3>();
        let mean = rgb.iter().map(|pixel| f64::from(gray(*pixel))).sum::<f64>() / (width * height).max(1) as f64;
        let mean = mean as f32;
        for (place, pixel) in rgb.iter_mut().enumerate() {
            let gray = gray(*pixel);
            // A flash lights the middle, and a small sensor is noisy.
            let (light, grain) = if self.infrared {
                let (x, y) = (side(place % width, width), side(place / width, height));
                (1.0 - (1.0 - self.vignette) * (x * x + y * y) / 2.0, self.noise * normal(random))
            } else {
                (1.0, 0.0)
            };
            for (value, tint) in pixel.iter_mut().zip(self.tint) {
                let coloured = (gray + self.saturation * (f32::from(*value) / 255.0 - gray)) * tint;
                let lit = ((mean + self.contrast * (coloured - mean)) * self.gain).clamp(0.0, 1.0);
                let curved = self.gamma.get((lit * 1000.0 + 0.5) as usize).copied().unwrap_or(lit);
                *value = ((curved * light + grain).clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            }
        }
    }
}

/// Luma (ITU-R BT.601), 0 to 1.
fn gray([red, green, blue]: [u8; 3]) -> f32 {
    (0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)) / 255.0
}

/// -1 to 1 from edge to edge.
fn side(place: usize, length: usize) -> f32 {
    2.0 * place as f32 / length.saturating_sub(1).max(1) as f32 - 1.0
}

/// Nearly normal, mean 0, deviation 1: the sum of four bytes, which is plenty for grain.
fn normal(random: &mut Rng) -> f32 {
    let sum: u32 = random.u32(..).to_le_bytes().iter().map(|byte| u32::from(*byte)).sum();
    (sum as f32 - 510.0) / 147.8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::Filter;
    use crate::model::{Channels, Layout, Named, Preprocessing};

    fn input(fit: Fit) -> Input {
        Input {
            width: 32,
            height: 32,
            layout: Layout::Nchw,
            channels: Channels::Rgb,
            filter: Filter::Triangle,
            fit,
            preprocessing: Preprocessing::Named(Named::Symmetric),
        }
    }

    fn photo() -> Pixels {
        let rgb = (0..80 * 60).flat_map(|i: u32| [(i % 251) as u8, (i / 80 * 4) as u8, 90]).collect();
        Pixels { width: 80, height: 60, rgb }
    }

    fn views(seed: u64, file: &[u8]) -> Vec<Pixels> {
        (0..40).map(|n| view(&photo(), &input(Fit::Stretch), seed, &ContentHash::of(file), n).unwrap()).collect()
    }

    fn is_gray(view: &Pixels) -> bool {
        view.rgb.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
    }

    #[test]
    fn views_follow_from_seed_and_content_alone() {
        assert_eq!(views(1, b"a"), views(1, b"a"));
        let distinct = |a: &[Pixels], b: &[Pixels]| a.iter().zip(b).all(|(a, b)| a != b);
        assert!(distinct(&views(1, b"a"), &views(2, b"a")));
        assert!(distinct(&views(1, b"a"), &views(1, b"b")));
    }

    #[test]
    fn a_quarter_of_the_views_is_gray_as_under_infrared() {
        let gray = views(3, b"a").iter().filter(|view| is_gray(view)).count();
        assert!((4..=16).contains(&gray), "{gray} of 40");
    }

    #[test]
    fn views_are_no_copies_and_stay_recognisable() {
        let plain = frame::resize(&photo(), 32, 32, Filter::Triangle, Fit::Stretch).unwrap();
        for view in views(4, b"a") {
            assert_eq!((view.width, view.height, view.rgb.len()), (32, 32, plain.rgb.len()));
            assert_ne!(view, plain);
            let bright = view.rgb.iter().map(|value| f64::from(*value)).sum::<f64>() / view.rgb.len() as f64;
            assert!((15.0..240.0).contains(&bright), "{bright}");
        }
    }

    #[test]
    fn the_border_of_a_padded_view_stays_black() {
        let wide = Pixels { width: 200, height: 10, rgb: vec![128; 200 * 10 * 3] };
        for number in 0..20 {
            let view = view(&wide, &input(Fit::Pad), 5, &ContentHash::of(b"a"), number).unwrap();
            assert!(view.rgb[..32 * 3 * 4].iter().all(|value| *value == 0), "view {number}");
        }
    }

    #[test]
    fn photos_of_a_single_pixel_or_row_have_views_too() {
        for (width, height) in [(1, 1), (1, 50), (50, 1)] {
            let tiny = Pixels { width, height, rgb: vec![200; (width * height * 3) as usize] };
            for number in 0..20 {
                view(&tiny, &input(Fit::Stretch), 6, &ContentHash::of(b"a"), number).unwrap();
            }
        }
    }

    #[test]
    fn mirroring_swaps_columns_not_channels() {
        let mut pixels = Pixels { width: 2, height: 1, rgb: vec![1, 2, 3, 4, 5, 6] };
        mirror(&mut pixels);
        assert_eq!(pixels.rgb, [4, 5, 6, 1, 2, 3]);
    }
}
