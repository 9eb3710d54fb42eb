#![allow(clippy::unwrap_used)]
use std::fs;

use super::*;
use crate::frame::Pixels;
use crate::model::Model;
use crate::model::source::{self, Origin};

/// A picture of 8 x 8 coloured blocks, other ones for each number.
fn png(number: u32, side: u32) -> Vec<u8> {
    let block =
        |x: u32, y: u32| fastrand::Rng::with_seed(u64::from(number * 64 + y * 8 / side * 8 + x * 8 / side)).u32(..);
    let pixel = |x, y| block(x, y).to_le_bytes().into_iter().take(3);
    let rgb: Vec<u8> = (0..side).flat_map(|y| (0..side).flat_map(move |x| pixel(x, y))).collect();
    let mut file = std::io::Cursor::new(Vec::new());
    image::write_buffer_with_format(
        &mut file,
        &rgb,
        side,
        side,
        image::ExtendedColorType::Rgb8,
        image::ImageFormat::Png,
    )
    .unwrap();
    file.into_inner()
}

struct World {
    root: tempfile::TempDir,
    photos: Labelled,
}

impl World {
    fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut photos = Labelled { labels: vec!["bear".into(), "other".into()], ..Labelled::default() };
        for (place, (name, bytes)) in files.iter().enumerate() {
            fs::write(root.path().join(name), bytes).unwrap();
            photos.photos.push(root.path().join(name));
            photos.class.push(place % 2);
        }
        Self { root, photos }
    }

    fn cache(&self) -> Cache {
        Cache::at(&self.root.path().join("cache"))
    }
}

fn backbone() -> Backbone {
    source::backbone(&Origin::Builtin, 1).unwrap()
}

fn extract(backbone: &Backbone, cache: &Cache, photos: &Labelled, views: u32) -> Features {
    Extractor { backbone, cache, views, seed: 7 }.extract(photos, &Progress::silent())
}

#[test]
fn features_of_a_photo_are_the_daemons_bit_for_bit_also_out_of_the_cache() {
    let world = World::new(&[("a.png", png(1, 400)), ("b b.png", png(2, 300))]);
    let model = Model::builtin().unwrap();
    for round in 0..2 {
        let features = extract(model.backbone(), &world.cache(), &world.photos, 2);
        assert_eq!(features.kept, 2 * round);
        assert_eq!(features.dataset.rows.len(), 6);
        assert_eq!(features.dataset.plain, [true, false, false, true, false, false]);
        assert_eq!(features.dataset.photo, [0, 0, 0, 1, 1, 1]);
        assert_eq!(features.dataset.class, [0, 0, 0, 1, 1, 1]);
        for (photo, row) in [(0, 0), (1, 3)] {
            let bytes = fs::read(&world.photos.photos[photo]).unwrap();
            let frame = frame::decode(&bytes, model.wanted_scale(), &Limits::default()).unwrap();
            let expected = model.features(&frame.pixels).unwrap();
            assert_eq!(features.dataset.rows.row(row), expected, "round {round}");
            assert_ne!(features.dataset.rows.row(row + 1), expected);
        }
    }
}

#[test]
fn order_name_and_cache_do_not_change_the_features_of_a_view() {
    let world = World::new(&[("a.png", png(1, 200)), ("b.png", png(2, 200)), ("c.png", png(3, 200))]);
    let backbone = backbone();
    let there = extract(&backbone, &world.cache(), &world.photos, 2);
    let mut reversed = world.photos.clone();
    reversed.photos.reverse();
    let back = extract(&backbone, &Cache::none(), &reversed, 2);
    for photo in 0..3 {
        for view in 0..3 {
            let (a, b) = (there.dataset.rows.row(photo * 3 + view), back.dataset.rows.row((2 - photo) * 3 + view));
            assert_eq!(a, b, "photo {photo}, view {view}");
        }
    }
    // One view of two that are kept, then more than are kept.
    let fewer = extract(&backbone, &world.cache(), &world.photos, 1);
    assert_eq!((fewer.kept, fewer.dataset.rows.row(1)), (3, there.dataset.rows.row(1)));
    let more = extract(&backbone, &world.cache(), &world.photos, 3);
    assert_eq!((more.kept, more.dataset.rows.row(2)), (0, there.dataset.rows.row(2)));
}

#[test]
fn a_photo_that_cannot_be_used_is_named_and_the_others_go_on() {
    let cut = png(4, 64)[..200].to_vec();
    let world =
        World::new(&[("a.png", png(1, 64)), ("text.jpg", b"hello".to_vec()), ("empty.jpg", vec![]), ("cut.png", cut)]);
    let mut photos = world.photos.clone();
    photos.photos.push(world.root.path().join("gone.jpg"));
    photos.class.push(0);
    let features = extract(&backbone(), &world.cache(), &photos, 0);
    let names: Vec<_> = features.skipped.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["text.jpg", "empty.jpg", "cut.png", "gone.jpg"]);
    assert!(features.skipped.iter().all(|(_, reason)| !reason.is_empty()));
    assert_eq!(features.dataset.photos, [world.photos.photos[0].clone()]);
    assert_eq!(features.empty_labels(), ["other"]);
}

#[test]
fn no_photos_give_no_rows() {
    let features = extract(&backbone(), &Cache::none(), &Labelled::default(), 4);
    assert!(features.dataset.rows.is_empty() && features.dataset.cluster.is_empty());
    assert_eq!(features.trained_on().photos, 0);
}

#[test]
fn copies_are_one_group_and_are_found_across_parts() {
    let smaller = {
        let full = Pixels {
            width: 200,
            height: 200,
            rgb: image::load_from_memory(&png(1, 200)).unwrap().to_rgb8().into_raw(),
        };
        let small = frame::resize(&full, 90, 90, frame::Filter::Triangle, frame::Fit::Stretch).unwrap();
        let mut file = std::io::Cursor::new(Vec::new());
        let (kind, format) = (image::ExtendedColorType::Rgb8, image::ImageFormat::Png);
        image::write_buffer_with_format(&mut file, &small.rgb, 90, 90, kind, format).unwrap();
        file.into_inner()
    };
    let black = {
        let mut file = std::io::Cursor::new(Vec::new());
        let (kind, format) = (image::ExtendedColorType::Rgb8, image::ImageFormat::Png);
        image::write_buffer_with_format(&mut file, &[0; 300], 10, 10, kind, format).unwrap();
        file.into_inner()
    };
    let files = [
        ("0.png", png(2, 200)),
        ("1.png", png(1, 200)),
        ("2.png", black.clone()),
        ("3.png", smaller),
        ("4.png", black),
    ];
    let world = World::new(&files);
    let backbone = backbone();
    let features = extract(&backbone, &world.cache(), &world.photos, 0);
    assert_eq!(features.dataset.cluster, [0, 1, 2, 1, 2], "the same file is a copy even where it shows nothing");
    let mut first = world.photos.clone();
    first.photos.truncate(2);
    first.class.truncate(2);
    let first = extract(&backbone, &world.cache(), &first, 0);
    assert_eq!(features.also_in(&first), [0, 1, 3]);
    assert_eq!(features.dataset.copies, [0, 1, 2, 3, 2], "the smaller one is no copy");
}

#[test]
fn photos_alike_under_different_labels_are_no_group() {
    let world = World::new(&[("0.png", png(1, 200)), ("1.png", png(1, 201)), ("2.png", png(1, 202))]);
    let features = extract(&backbone(), &Cache::none(), &world.photos, 1);
    assert!(features.thumbs[0].is_like(&features.thumbs[1]));
    assert_eq!(features.dataset.cluster, [0, 1, 0]);
}

#[test]
fn the_memory_that_rows_take_is_known_before() {
    assert_eq!(bytes_needed(300, 4, 100_352), 300 * 5 * 100_352 * 4);
    assert_eq!(bytes_needed(usize::MAX, u32::MAX, usize::MAX), u64::MAX);
}
