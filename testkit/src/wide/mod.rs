//! Wide scenes with a small animal in them, composed of photos: what a fixed camera sees when something walks by far away.
//!
//! Landscapes stay where they are while light, clouds and the sensor's noise change; animals are cut out along outlines
//! (`photos.txt`), made small, and laid in with soft edges. Each frame is a JPEG file. The photos are not part of the project.

mod cutout;
pub mod measure;
mod scene;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use arcticd::frame::{self, Filter, Fit, Limits, Pixels, Scale};

pub use cutout::Cutout;
pub use scene::{Light, Place, Wide};

const PHOTOS: &str = include_str!("photos.txt");

/// Photos of one split of the data, `train` or `test`; nothing of one is in the other.
pub struct Album {
    /// Landscapes without animals.
    pub landscapes: Vec<Pixels>,
    /// Animals by label.
    pub animals: Vec<(String, Cutout)>,
}

impl Album {
    /// Loads what `wildlife/SPLIT` below `root` has.
    ///
    /// # Errors
    /// A photo is not there or can't be read.
    pub fn load(root: &Path, split: &str) -> Result<Self> {
        let mut album = Self { landscapes: Vec::new(), animals: Vec::new() };
        for line in PHOTOS.lines().filter(|line| !line.starts_with('#')) {
            // Names hold no space but before the outline.
            let (name, outline) = line.split_once(' ').unwrap_or((line, ""));
            let Some(rest) = name.strip_prefix(split).and_then(|rest| rest.strip_prefix('/')) else { continue };
            let photo = photo(&root.join("wildlife").join(name))?;
            if outline.is_empty() {
                album.landscapes.push(photo);
                continue;
            }
            let (label, _) = rest.split_once('/').context("a line of photos.txt without a label")?;
            album.animals.push((label.to_owned(), Cutout::along(&photo, &points(outline)?)?));
        }
        ensure!(!album.landscapes.is_empty(), "photos.txt names no landscape of {split}");
        Ok(album)
    }

    /// Animals of this label.
    pub fn of<'a>(&'a self, label: &'a str) -> impl Iterator<Item = &'a Cutout> {
        self.animals.iter().filter(move |(name, _)| name == label).map(|(_, cutout)| cutout)
    }
}

/// A photo in full.
///
/// # Errors
/// It can't be read or decoded.
pub fn photo(path: &Path) -> Result<Pixels> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(frame::decode(&bytes, Scale::Full, &Limits::default()).with_context(|| path.display().to_string())?.pixels)
}

fn points(outline: &str) -> Result<Vec<(f32, f32)>> {
    let point = |text: &str| {
        let (x, y) = text.split_once(',')?;
        Some((x.parse().ok()?, y.parse().ok()?))
    };
    outline.split(' ').map(|text| point(text).with_context(|| format!("{text} is no point"))).collect()
}

fn resized(pixels: &Pixels, width: u32, height: u32) -> Result<Pixels> {
    let larger = width > pixels.width;
    let filter = if larger { Filter::CatmullRom } else { Filter::Triangle };
    Ok(frame::resize(pixels, width, height, filter, Fit::Stretch)?)
}
