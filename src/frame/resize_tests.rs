#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::super::testing::{mean_difference, photo};
use super::*;

/// Left half red, right half blue, `width` x `height`.
fn halves(width: u32, height: u32) -> Pixels {
    let row = (0..width).flat_map(|x| if x < width / 2 { [255, 0, 0] } else { [0, 0, 255] });
    let row: Vec<u8> = row.collect();
    Pixels { width, height, rgb: row.repeat(height as usize) }
}

fn pixel(pixels: &Pixels, x: u32, y: u32) -> [u8; 3] {
    let at = (y as usize * pixels.width as usize + x as usize) * 3;
    pixels.rgb[at..at + 3].try_into().unwrap()
}

#[test]
fn nearest_takes_the_pixel_under_the_middle_as_keras_does() {
    let source = photo(97, 61, 1);
    let (width, height) = (32, 24);
    let resized = resize(&source, width, height, Filter::Nearest, Fit::Stretch).unwrap();
    for y in 0..height {
        for x in 0..width {
            let source_x = ((f64::from(x) + 0.5) * 97.0 / f64::from(width)) as u32;
            let source_y = ((f64::from(y) + 0.5) * 61.0 / f64::from(height)) as u32;
            assert_eq!(pixel(&resized, x, y), pixel(&source, source_x, source_y), "at {x}, {y}");
        }
    }
}

#[test]
fn nearest_takes_the_pixels_that_keras_load_img_takes_for_the_sides_of_cameras() {
    #[derive(serde::Deserialize)]
    struct Row {
        from: u32,
        to: u32,
        taken: Vec<u32>,
    }
    // Written by tests/fixtures/keras_preprocessing.py.
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("../../tests/fixtures/keras_preprocessing/nearest.json")).unwrap();
    assert!(rows.len() > 50);
    for row in rows {
        let rgb: Vec<u8> = (0..row.from).flat_map(|x| [(x >> 8) as u8, x as u8, 0]).collect();
        for (width, height) in [(row.from, 1), (1, row.from)] {
            let source = Pixels { width, height, rgb: rgb.clone() };
            let to = |side: u32| if side == 1 { 1 } else { row.to };
            let resized = resize(&source, to(width), to(height), Filter::Nearest, Fit::Stretch).unwrap();
            let taken: Vec<u32> = resized.rgb.chunks_exact(3).map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).collect();
            assert_eq!(taken, row.taken, "{} to {}", row.from, row.to);
        }
    }
}

#[test]
fn the_averaging_filters_agree_with_another_implementation() {
    use image::imageops::FilterType;
    let source = photo(640, 480, 2);
    let reference = image::RgbImage::from_raw(640, 480, source.rgb.clone()).unwrap();
    let pairs = [
        (Filter::Triangle, FilterType::Triangle),
        (Filter::CatmullRom, FilterType::CatmullRom),
        (Filter::Lanczos3, FilterType::Lanczos3),
    ];
    for (filter, reference_filter) in pairs {
        let ours = resize(&source, 224, 224, filter, Fit::Stretch).unwrap();
        let theirs = image::imageops::resize(&reference, 224, 224, reference_filter);
        let theirs = Pixels { width: 224, height: 224, rgb: theirs.into_raw() };
        let difference = mean_difference(&ours, &theirs);
        assert!(difference < 0.6, "{filter:?} differs by {difference}");
    }
}

#[test]
fn crop_keeps_the_centre_and_pad_keeps_everything() {
    let wide = halves(400, 100);
    let cropped = resize(&wide, 50, 50, Filter::Triangle, Fit::Crop).unwrap();
    let middle = Pixels { width: 100, height: 100, rgb: halves(100, 100).rgb };
    assert_eq!(cropped, resize(&middle, 50, 50, Filter::Triangle, Fit::Stretch).unwrap());

    let padded = resize(&wide, 80, 80, Filter::Nearest, Fit::Pad).unwrap();
    assert_eq!((padded.width, padded.height), (80, 80));
    for (y, left, right) in [(0, [0; 3], [0; 3]), (29, [0; 3], [0; 3]), (30, [255, 0, 0], [0, 0, 255])] {
        assert_eq!((pixel(&padded, 0, y), pixel(&padded, 79, y)), (left, right), "row {y}");
        assert_eq!((pixel(&padded, 0, 79 - y), pixel(&padded, 79, 79 - y)), (left, right), "row {}", 79 - y);
    }

    let tall = Pixels { width: 1, height: 5000, rgb: vec![200; 15_000] };
    let padded = resize(&tall, 10, 10, Filter::Triangle, Fit::Pad).unwrap();
    assert_eq!(padded.rgb.chunks_exact(3).filter(|pixel| *pixel != [0; 3]).count(), 10, "one column is left of it");
}

#[test]
fn impossible_sizes_are_errors() {
    let source = halves(8, 8);
    for (width, height) in [(0, 8), (8, 0), (16_385, 8), (u32::MAX, u32::MAX)] {
        let error = resize(&source, width, height, Filter::Triangle, Fit::Pad).unwrap_err();
        assert!(matches!(error, FrameError::Resize { .. }), "{error:?}");
    }
    for lying in [
        Pixels { rgb: vec![0; 8 * 8 * 3 - 1], ..source.clone() },
        Pixels { width: 0, rgb: Vec::new(), ..source.clone() },
        Pixels { width: u32::MAX, height: u32::MAX, ..source },
    ] {
        assert!(resize(&lying, 4, 4, Filter::Triangle, Fit::Stretch).is_err());
    }
}

#[test]
fn the_names_in_manifests_are_fixed() {
    let names = |json: &str| serde_json::from_str::<Filter>(json).unwrap();
    assert_eq!(names("\"nearest\""), Filter::Nearest);
    assert_eq!(names("\"triangle\""), Filter::Triangle);
    assert_eq!(names("\"catmull_rom\""), Filter::CatmullRom);
    assert_eq!(names("\"lanczos3\""), Filter::Lanczos3);
    assert_eq!(serde_json::to_string(&[Fit::Stretch, Fit::Crop, Fit::Pad]).unwrap(), r#"["stretch","crop","pad"]"#);
}
