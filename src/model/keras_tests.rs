//! Prepared pictures are what Keras makes of them: tests/fixtures/keras_preprocessing.py wrote the numbers.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use super::*;
use crate::frame::{Filter, Fit, Limits};

/// The fixture `name`, read.
fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keras_preprocessing").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Values of a .npy file of little-endian f32: behind the magic of 8 bytes stands the header's length.
fn npy(name: &str) -> Vec<f32> {
    let bytes = fixture(name);
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[header..].as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

/// The largest difference between Keras' tensor of a picture and ours, all sides by nearest neighbour.
fn difference(picture: &str, recipe: &str, named: Named, channels: Channels) -> f32 {
    let side: u32 = picture.rsplit('_').next().unwrap().parse().unwrap();
    let input = Input {
        width: side,
        height: side,
        layout: Layout::Nhwc,
        channels,
        filter: Filter::Nearest,
        fit: Fit::Stretch,
        preprocessing: Preprocessing::Named(named),
    };
    let frame = frame::decode(&fixture(&format!("{picture}.png")), Scale::Full, &Limits::default()).unwrap();
    let small = frame::resize(&frame.pixels, side, side, input.filter, input.fit).unwrap();
    let (ours, theirs) = (normalise(&small, &input), npy(&format!("{picture}.{recipe}.npy")));
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn the_tutorials_pictures_become_keras_numbers_at_odd_sizes_too() {
    for picture in ["97x61_to_32", "80x48_to_28", "64x96_to_28", "17x19_to_32"] {
        let worst = difference(picture, "caffe_over_255", Named::CaffeOver255, Channels::Bgr);
        println!("{picture}: {worst:e}");
        assert!(worst <= 1e-6, "{picture}: {worst}");
    }
}

#[test]
fn the_other_recipes_are_keras_too() {
    let recipes = [
        ("caffe", Named::Caffe, Channels::Bgr),
        ("symmetric", Named::Symmetric, Channels::Rgb),
        ("torch", Named::Torch, Channels::Rgb),
    ];
    for (name, named, channels) in recipes {
        let worst = difference("17x19_to_32", name, named, channels);
        println!("{name}: {worst:e}");
        assert!(worst <= 1e-6, "{name}: {worst}");
    }
}
