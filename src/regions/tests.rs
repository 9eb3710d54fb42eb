#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::frame::{Pixels, Scale};

const SIDES: (u32, u32) = (192, 128);

fn hash(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A scene of stones: soft hills, and texture of two pixels a stone.
fn scene(seed: u64) -> Pixels {
    paint(|x, y| {
        let stone = hash(seed ^ (u64::from(x / 2) << 32) ^ u64::from(y / 2)) % 50;
        110.0 + 30.0 * (x as f32 * 0.04 + seed as f32).sin() + 20.0 * (y as f32 * 0.06).sin() + stone as f32 - 25.0
    })
}

fn paint(luma: impl Fn(u32, u32) -> f32) -> Pixels {
    let (width, height) = SIDES;
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let rgb = places.flat_map(|(x, y)| [luma(x, y).clamp(0.0, 255.0) as u8; 3]).collect();
    Pixels { width, height, rgb }
}

/// The scene in another light: brighter or darker, with a cloud to one side, and the sensor's noise.
fn lit(pixels: &Pixels, gain: f32, offset: f32, cloud: f32, seed: u64) -> Pixels {
    let row = pixels.width as usize * 3;
    let light = |at: usize, level: u8| {
        let across = (at % row) as f32 / row as f32;
        let noise = (hash(seed ^ (at as u64 / 3)) % 7) as f32 - 3.0;
        (f32::from(level) * gain * (1.0 - cloud * across) + offset + noise).clamp(0.0, 255.0) as u8
    };
    Pixels { rgb: pixels.rgb.iter().enumerate().map(|(at, level)| light(at, *level)).collect(), ..*pixels }
}

/// With an animal, an even patch, laid over it.
fn with(pixels: &Pixels, place: Region, luma: u8) -> Pixels {
    let mut changed = pixels.clone();
    for y in place.y..place.y + place.height {
        let start = ((y * pixels.width + place.x) * 3) as usize;
        changed.rgb[start..start + place.width as usize * 3].fill(luma);
    }
    changed
}

/// A view of the scene that has seen so many frames, each in a light of its own.
fn knowing(seed: u64, frames: u64) -> Regions {
    let mut views = Regions::default();
    for frame in 0..frames {
        let gain = 0.9 + 0.05 * (frame % 5) as f32;
        views.look(None, &lit(&scene(seed), gain, 0.0, 0.1, frame), 3);
    }
    views
}

#[test]
fn something_small_and_new_is_found_where_it_is_in_whatever_light() {
    // An eighth and a sixteenth of the frame's width.
    for (place, luma) in [
        (Region { x: 100, y: 70, width: 24, height: 16 }, 210),
        (Region { x: 20, y: 45, width: 12, height: 9 }, 225),
        (Region { x: 150, y: 100, width: 20, height: 20 }, 30),
    ] {
        for (gain, offset, cloud) in [(1.0, 0.0, 0.0), (0.6, 20.0, 0.2), (1.1, -10.0, 0.4)] {
            let frame = lit(&with(&scene(1), place, luma), gain, offset, cloud, 99);
            let parts = knowing(1, 8).look(None, &frame, 3).expect("the scene is known");
            let what = format!("{place:?} at {gain} {offset} {cloud}: {parts:?}");
            assert!(!parts.is_empty(), "{what}");
            let (width, height) = (SIDES.0 as f32, SIDES.1 as f32);
            let found = &parts[0];
            let off = |found: f32, right: u32| (found - right as f32).abs();
            assert!(off(found.x * width, place.x) <= 3.0 && off(found.y * height, place.y) <= 3.0, "{what}");
            assert!(
                off(found.width * width, place.width) <= 6.0 && off(found.height * height, place.height) <= 6.0,
                "{what}"
            );
        }
    }
}

#[test]
fn light_and_noise_alone_are_nothing_new() {
    let mut views = knowing(2, 6);
    for (number, (gain, offset, cloud)) in
        [(0.5, 0.0, 0.0), (1.2, 5.0, 0.3), (0.7, 40.0, 0.0), (0.9, -20.0, 0.5), (0.4, 10.0, 0.2)]
            .into_iter()
            .enumerate()
    {
        let parts = views.look(None, &lit(&scene(2), gain, offset, cloud, 500 + number as u64), 3);
        assert_eq!(parts, Some(Vec::new()), "{gain} {offset} {cloud}");
    }
}

#[test]
fn what_stays_becomes_scenery_but_not_at_once() {
    let frame =
        |number| lit(&with(&scene(3), Region { x: 50, y: 50, width: 20, height: 20 }, 220), 1.0, 0.0, 0.0, number);
    let mut views = knowing(3, 12);
    let seen = (0..400).map(|number| views.look(None, &frame(number), 3).is_none_or(|parts| !parts.is_empty()));
    let seen = seen.take_while(|seen| *seen).count();
    assert!((10..400).contains(&seen), "it was new for {seen} frames");
}

#[test]
fn nothing_is_said_of_a_scene_that_is_not_known_or_is_of_another_size() {
    let mut views = Regions::default();
    for frame in 0..3 {
        assert_eq!(views.look(Some("north"), &lit(&scene(4), 1.0, 0.0, 0.0, frame), 3), None, "frame {frame}");
    }
    assert!(views.look(Some("north"), &scene(4), 3).is_some());
    assert_eq!(views.look(Some("south"), &scene(4), 3), None, "each camera has its own");
    let turned = Pixels { width: SIDES.1, height: SIDES.0, rgb: scene(4).rgb };
    assert_eq!(views.look(Some("north"), &turned, 3), None);
    assert_eq!(views.look(Some("north"), &Pixels { width: 0, height: 0, rgb: Vec::new() }, 3), None);
}

#[test]
fn cameras_without_number_are_forgotten_the_longest_silent_first() {
    let mut views = Regions::default();
    let small = Pixels { width: 8, height: 6, rgb: vec![90; 8 * 6 * 3] };
    for number in 0..500 {
        views.look(Some(&number.to_string()), &small, 3);
        views.look(Some("0"), &small, 3);
    }
    assert!(views.cameras() <= 32);
    assert!(views.look(Some("0"), &small, 3).is_some(), "the one that speaks is still known");
}

#[test]
fn a_camera_that_is_dark_covered_or_moved_is_told_and_one_that_sees_again_is_not() {
    let black = paint(|_, _| 2.0);
    let fog = paint(|x, _| 150.0 + x as f32 * 0.1);
    type Frames<'a> = &'a dyn Fn(u64) -> Pixels;
    let cases: [(&str, Frames, Trouble); 3] = [
        ("black", &|seed| lit(&black, 1.0, 0.0, 0.0, seed), Trouble::Dark),
        ("fog", &|seed| lit(&fog, 1.0, 0.0, 0.0, seed), Trouble::Covered),
        ("elsewhere", &|seed| lit(&scene(77), 1.0, 0.0, 0.0, seed), Trouble::Moved),
    ];
    for (what, frame, trouble) in cases {
        let mut views = knowing(5, 15);
        assert_eq!(views.warning(), None);
        for seed in 0..4 {
            views.look(None, &frame(seed), 3);
        }
        assert_eq!(views.warning(), None, "{what}: a few frames prove nothing");
        for seed in 4..20 {
            views.look(None, &frame(seed), 3);
        }
        assert_eq!(views.troubles(), [("", trouble)], "{what}");
        if trouble != Trouble::Moved {
            assert_eq!(views.look(None, &scene(5), 3), Some(Vec::new()), "{what}: the scene is still known");
            assert_eq!(views.warning(), None, "{what}");
            continue;
        }
        assert_eq!(views.look(None, &frame(50), 3), Some(Vec::new()), "the new scene is known");
        for seed in 0..120 {
            views.look(None, &frame(seed), 3);
        }
        assert_eq!(views.warning(), None, "told long enough");
    }
}

#[test]
fn pictures_that_have_nothing_to_do_with_each_other_are_no_moved_camera() {
    let mut views = knowing(6, 15);
    for seed in 100..140 {
        assert_eq!(views.look(None, &scene(seed), 3), None);
        assert_eq!(views.warning(), None, "{seed}");
    }
}

#[test]
fn whatever_an_eighth_as_wide_as_the_frame_lies_whole_in_a_tile() {
    for (width, height) in [(4000_u32, 3000_u32), (1920, 1080), (1080, 1920), (500, 500), (3000, 400)] {
        let tiles: Vec<Region> = tiles(width, height).iter().map(|tile| tile.square(width, height)).collect();
        let animal = (width.min(height) / 8).min(width / 8);
        for (x, y) in (0..=8).flat_map(|x| (0..=8).map(move |y| (x, y))) {
            let (x, y) = ((width - animal) * x / 8, (height - animal) * y / 8);
            let holds = |tile: &Region| {
                tile.x <= x && tile.y <= y && x + animal <= tile.x + tile.width && y + animal <= tile.y + tile.height
            };
            assert!(tiles.iter().any(holds), "{width} x {height}: {x}, {y}");
        }
    }
}

#[test]
fn a_part_becomes_a_square_within_the_frame_and_is_cut_at_any_scale() {
    let corner = Part { x: 0.9, y: 0.95, width: 0.1, height: 0.05 };
    let region = corner.square(4000, 3000);
    assert_eq!((region.width, region.height), (400, 400));
    assert_eq!((region.x + region.width, region.y + region.height), (4000, 3000));
    assert_eq!(
        Part { x: 0.0, y: 0.0, width: 1.0, height: 1.0 }.square(40, 30),
        Region { x: 5, y: 0, width: 30, height: 30 }
    );

    let wanted = scale_for(&[region], (4000, 3000), (192, 192));
    assert_eq!(wanted, Scale::AtLeast { width: 1920, height: 1440 });
    let decoded = Pixels { width: 2000, height: 1500, rgb: vec![7; 2000 * 1500 * 3] };
    let crop = cut(&decoded, region, (4000, 3000)).unwrap();
    assert_eq!((crop.width, crop.height, crop.rgb.len()), (200, 200, 200 * 200 * 3));
    assert_eq!(cut(&decoded, Region { x: 5000, y: 0, width: 10, height: 10 }, (4000, 3000)), None);
}
