//! The young decoder against an independent one, on synthetic photos and, where there are any, real ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use libjpeg_turbo_rs::Subsampling;

use super::testing::{encoder, mean_difference, photo};
use super::*;

/// Environment variable that names a directory with real photos.
const PHOTOS: &str = "ARCTICD_TEST_DATA";

/// The picture as the `image` crate's own JPEG decoder sees it, upright.
fn reference(jpeg: &[u8]) -> Pixels {
    use image::ImageDecoder;
    let mut decoder = image::codecs::jpeg::JpegDecoder::new(std::io::Cursor::new(jpeg)).unwrap();
    let orientation = decoder.orientation().unwrap();
    let mut image = image::DynamicImage::from_decoder(decoder).unwrap();
    image.apply_orientation(orientation);
    let image = image.into_rgb8();
    Pixels { width: image.width(), height: image.height(), rgb: image.into_raw() }
}

/// Mean difference to the reference in grey levels of a full decode.
fn full_difference(jpeg: &[u8], reference: &Pixels) -> f64 {
    let full = decode(jpeg, Scale::Full, &Limits::default()).unwrap();
    assert_eq!((full.partial, full.width, full.height), (None, reference.width, reference.height));
    mean_difference(&full.pixels, reference)
}

/// The same after a triangle resize to a square, where ours came from the smallest sufficient scale.
fn resized_difference(jpeg: &[u8], reference: &Pixels, side: u32) -> f64 {
    let scaled = decode(jpeg, Scale::for_resize(Filter::Triangle, side, side), &Limits::default()).unwrap().pixels;
    let small = |pixels: &Pixels| resize(pixels, side, side, Filter::Triangle, Fit::Stretch).unwrap();
    mean_difference(&small(&scaled), &small(reference))
}

#[test]
fn synthetic_photos_decode_as_elsewhere_at_full_and_at_reduced_scale() {
    let source = photo(1000, 904, 1);
    for subsampling in [Subsampling::S420, Subsampling::S422, Subsampling::S444] {
        for progressive in [false, true] {
            let jpeg = encoder(&source).subsampling(subsampling).progressive(progressive).encode().unwrap();
            let reference = reference(&jpeg);
            let full = full_difference(&jpeg, &reference);
            assert!(full < 0.5, "{subsampling:?}, progressive {progressive}: {full} at full scale");
            // From 1/8, 1/4, 1/2 and every pixel.
            for side in [56, 112, 224, 300] {
                let scaled = resized_difference(&jpeg, &reference, side);
                assert!(scaled < 1.0, "{subsampling:?}, progressive {progressive}: {scaled} at {side} pixels");
            }
        }
    }
}

#[test]
fn real_photos_decode_as_elsewhere() {
    let Some(directory) = std::env::var_os(PHOTOS) else {
        eprintln!("skipped: {PHOTOS} is not set to a directory with wildlife/test/*/*.jpg");
        return;
    };
    let photos = photos(&Path::new(&directory).join("wildlife/test"));
    assert!(!photos.is_empty(), "{PHOTOS} has no wildlife/test/*/*.jpg");
    let (mut worst_full, mut worst_scaled) = (0.0_f64, 0.0_f64);
    for path in photos.iter().step_by((photos.len() / 40).max(1)).take(40) {
        let jpeg = std::fs::read(path).unwrap();
        let reference = reference(&jpeg);
        let (full, scaled) = (full_difference(&jpeg, &reference), resized_difference(&jpeg, &reference, 224));
        assert!(full < 1.0, "{}: {full} at full scale", path.display());
        assert!(scaled < 1.0, "{}: {scaled} at reduced scale", path.display());
        (worst_full, worst_scaled) = (worst_full.max(full), worst_scaled.max(scaled));
    }
    eprintln!("worst mean difference: {worst_full:.3} at full scale, {worst_scaled:.3} at reduced scale");
}

fn photos(directory: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| {
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    };
    let files = entries(directory).into_iter().filter(|path| path.is_dir()).flat_map(|label| entries(&label));
    files.filter(|path| path.extension().is_some_and(|extension| extension == "jpg")).collect()
}
