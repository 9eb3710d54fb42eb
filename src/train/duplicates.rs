//! Near-duplicates: frames of one camera seconds apart, copies of another size. One of them in training and another in
//! the test make a head look better than it is.
//!
//! A photo is known by a gray thumbnail of 16 x 16 pixels. Two are near-duplicates if their thumbnails correlate by 0.97
//! or more, whatever their brightness and contrast; most pairs are ruled out before by 256 bits, brighter than the median
//! or not. Measured on 2,727 photos: the 50 infrared frames of three fixed cameras fall into three groups, one a camera,
//! with an animal in the frame or without; besides, three pairs of the same picture are found and nothing else. The next
//! lower pair, at 0.963, is two different sharks.

use crate::frame::{self, Filter, Fit, FrameError, Pixels};

const SIDE: usize = 16;
/// Values of a thumbnail.
pub const VALUES: usize = SIDE * SIDE;

/// Smallest correlation of near-duplicates.
const ALIKE: f32 = 0.97;
/// Most bits of [`VALUES`] in which near-duplicates differ.
const BITS: u32 = 48;
/// Grey levels of deviation below which a thumbnail shows nothing: fog is not a duplicate of other fog.
const FLAT: f32 = 2.0;

/// What a photo is compared by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thumb {
    gray: [u8; VALUES],
    bits: [u64; VALUES / 64],
    mean: f32,
    /// Root of the sum of squares, mean taken off.
    norm: f32,
}

impl Thumb {
    /// The thumbnail of any picture.
    ///
    /// # Errors
    /// As [`frame::resize`].
    pub fn of(pixels: &Pixels) -> Result<Self, FrameError> {
        let small = frame::resize(pixels, SIDE as u32, SIDE as u32, Filter::Triangle, Fit::Stretch)?;
        let mut gray = [0; VALUES];
        for (gray, pixel) in gray.iter_mut().zip(small.rgb.as_chunks::<3>().0) {
            let [red, green, blue] = pixel.map(u32::from);
            *gray = ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8;
        }
        Ok(Self::from_gray(gray))
    }

    /// From the values of [`Thumb::gray`].
    pub fn from_gray(gray: [u8; VALUES]) -> Self {
        let mut sorted = gray;
        sorted.sort_unstable();
        let median = sorted.get(VALUES / 2).copied().unwrap_or_default();
        let mut bits = [0; VALUES / 64];
        for (word, part) in bits.iter_mut().zip(gray.chunks_exact(64)) {
            *word = part.iter().fold(0, |word, value| word << 1 | u64::from(*value >= median));
        }
        let mean = gray.iter().map(|value| f32::from(*value)).sum::<f32>() / VALUES as f32;
        let squares: f32 = gray.iter().map(|value| (f32::from(*value) - mean).powi(2)).sum();
        Self { gray, bits, mean, norm: squares.sqrt() }
    }

    /// Row by row, 0 to 255.
    pub fn gray(&self) -> &[u8; VALUES] {
        &self.gray
    }

    /// Whether both show nearly the same.
    pub fn is_like(&self, other: &Self) -> bool {
        let differing: u32 = self.bits.iter().zip(other.bits).map(|(a, b)| (a ^ b).count_ones()).sum();
        differing <= BITS && self.correlation(other) >= ALIKE
    }

    /// -1 to 1; 0 where one shows nothing.
    fn correlation(&self, other: &Self) -> f32 {
        let least = FLAT * SIDE as f32;
        if self.norm < least || other.norm < least {
            return 0.0;
        }
        let pairs = self.gray.iter().zip(&other.gray);
        let sum: f32 = pairs.map(|(a, b)| (f32::from(*a) - self.mean) * (f32::from(*b) - other.mean)).sum();
        sum / (self.norm * other.norm)
    }
}

/// For each photo the first one of its group: `alike(a, b)` of any two photos puts them, and what is alike to either,
/// together. The caller asks within a label only: a bear in a fixed camera's frame is nearly the empty frame's picture, and
/// must not make one group of both labels.
pub fn groups(count: usize, alike: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut first: Vec<usize> = (0..count).collect();
    for later in 0..count {
        for earlier in 0..later {
            if alike(earlier, later) {
                let (a, b) = (root(&first, earlier), root(&first, later));
                if let Some(place) = first.get_mut(a.max(b)) {
                    *place = a.min(b);
                }
            }
        }
    }
    (0..count).map(|place| root(&first, place)).collect()
}

/// Follows a place to its group's first; each step goes down, so it ends.
fn root(first: &[usize], mut place: usize) -> usize {
    while let Some(next) = first.get(place).copied().filter(|next| *next < place) {
        place = next;
    }
    place
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn scene(shift: u32, gain: f32) -> Pixels {
        let value = |x: u32, y: u32| 60.0 + 40.0 * ((x + shift) as f32 / 9.0).sin() + 30.0 * (y as f32 / 7.0).cos();
        let pixel = |x, y| [(value(x, y) * gain) as u8; 3];
        let rgb = (0..64).flat_map(|y| (0..64).flat_map(move |x| pixel(x, y))).collect();
        Pixels { width: 64, height: 64, rgb }
    }

    #[test]
    fn copies_of_another_brightness_or_size_are_alike_and_other_scenes_are_not() {
        let scene_a = scene(0, 1.0);
        let thumb = |pixels: &Pixels| Thumb::of(pixels).unwrap();
        assert!(thumb(&scene_a).is_like(&thumb(&scene(0, 1.6))));
        let larger = frame::resize(&scene_a, 200, 150, Filter::CatmullRom, Fit::Stretch).unwrap();
        assert!(thumb(&scene_a).is_like(&thumb(&larger)));
        assert!(!thumb(&scene_a).is_like(&thumb(&scene(14, 1.0))));
    }

    #[test]
    fn an_animal_walking_through_a_fixed_cameras_frame_changes_little() {
        let mut with = scene(0, 1.0);
        for y in 30..38 {
            for x in 20..32 {
                with.rgb[(y * 64 + x) * 3..][..3].fill(20);
            }
        }
        assert!(Thumb::of(&scene(0, 1.0)).unwrap().is_like(&Thumb::of(&with).unwrap()));
    }

    #[test]
    fn frames_that_show_nothing_are_no_duplicates_of_each_other() {
        let fog = |value| Thumb::of(&Pixels { width: 8, height: 8, rgb: vec![value; 192] }).unwrap();
        assert!(!fog(100).is_like(&fog(101)));
        assert!(!fog(0).is_like(&fog(0)));
    }

    #[test]
    fn a_thumbnail_can_be_kept_and_read_back() {
        let thumb = Thumb::of(&scene(3, 1.0)).unwrap();
        assert_eq!(Thumb::from_gray(*thumb.gray()), thumb);
    }

    #[test]
    fn groups_join_over_a_chain_and_are_named_after_their_first() {
        let chain = [(1, 4), (4, 6), (2, 3)];
        assert_eq!(groups(7, |a, b| chain.contains(&(a, b))), [0, 1, 2, 2, 1, 5, 1]);
        assert_eq!(groups(3, |_, _| true), [0, 0, 0]);
        assert!(groups(0, |_, _| true).is_empty());
    }
}
