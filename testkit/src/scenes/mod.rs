//! Rendered arctic scenes: the same seed gives the same picture at any size, distinct seeds give distinct files.
//!
//! They are stylised, and no measure of how a model does on photographs. What they are good for: frames without a
//! licence or a download, of which it is known what is in them.

mod animals;
mod background;
mod canvas;
pub(crate) mod random;

use anyhow::{Context, Result};
use arcticd::frame::Pixels;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};

use canvas::Canvas;
use random::Random;

/// What is to be seen in a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scene {
    /// A polar bear.
    Bear,
    /// An arctic fox.
    Fox,
    /// A walrus.
    Walrus,
    /// Snow, sea and sky.
    Empty,
}

impl Scene {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Fox, Self::Bear, Self::Walrus, Self::Empty];

    /// The label that a head should find.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bear => "polar_bear",
            Self::Fox => "arctic_fox",
            Self::Walrus => "walrus",
            Self::Empty => "other",
        }
    }

    /// Renders the scene.
    pub fn render(self, seed: u64, width: u32, height: u32) -> Pixels {
        // Scenes of one seed differ in more than the animal.
        let mut random = Random::new(seed.wrapping_mul(4).wrapping_add(self as u64));
        let mut canvas = Canvas::new(width, height);
        let ground = background::paint(&mut canvas, &mut random);
        match self {
            Self::Bear => animals::bear(&mut canvas, &mut random, &ground),
            Self::Fox => animals::fox(&mut canvas, &mut random, &ground),
            Self::Walrus => animals::walrus(&mut canvas, &mut random, &ground),
            Self::Empty => {}
        }
        canvas.finish(&mut random)
    }

    /// Renders the scene as a JPEG file, as a camera would write it.
    ///
    /// # Errors
    /// The encoder's; there are none for sides from 1 to 65535.
    pub fn jpeg(self, seed: u64, width: u32, height: u32) -> Result<Vec<u8>> {
        jpeg(&self.render(seed, width, height))
    }
}

/// `pixels` as a JPEG file.
///
/// # Errors
/// The encoder's.
pub fn jpeg(pixels: &Pixels) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 88)
        .encode(&pixels.rgb, pixels.width, pixels.height, ExtendedColorType::Rgb8)
        .context("a rendered scene can't be written as JPEG")?;
    Ok(file)
}

/// `pixels` as a PNG file.
///
/// # Errors
/// The encoder's.
pub fn png(pixels: &Pixels) -> Result<Vec<u8>> {
    let mut file = std::io::Cursor::new(Vec::new());
    image::write_buffer_with_format(
        &mut file,
        &pixels.rgb,
        pixels.width,
        pixels.height,
        ExtendedColorType::Rgb8,
        ImageFormat::Png,
    )
    .context("a rendered scene can't be written as PNG")?;
    Ok(file.into_inner())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_file_and_another_seed_another_one() {
        let mut files = BTreeSet::new();
        for scene in Scene::ALL {
            for seed in 0..8 {
                assert!(files.insert(scene.jpeg(seed, 64, 48).unwrap()), "{scene:?} {seed} was there before");
            }
        }
        assert!(files.contains(&Scene::Bear.jpeg(3, 64, 48).unwrap()));
    }

    #[test]
    fn an_animal_changes_a_fair_part_of_the_picture() {
        // The background depends on the kind too, so the bear is compared with its own background's statistics: warm,
        // bright pixels (red well above blue) are fur.
        let warm = |scene: Scene| {
            let pixels = scene.render(5, 160, 120);
            pixels.rgb.chunks_exact(3).filter(|p| p[0] > 150 && p[0] > p[2].saturating_add(18)).count()
        };
        assert!(warm(Scene::Bear) > 160 * 120 / 40, "{}", warm(Scene::Bear));
    }

    #[test]
    fn scenes_can_be_rendered_at_any_size() {
        for (width, height) in [(1, 1), (17, 5), (640, 480)] {
            let pixels = Scene::Walrus.render(1, width, height);
            assert_eq!(pixels.rgb.len(), (width * height * 3) as usize);
        }
    }
}
