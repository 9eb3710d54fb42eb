//! Odd JPEG files, and what an independent decoder makes of them: the same picture, or nothing as here, or it is said why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::panic::catch_unwind;

use libjpeg_turbo_rs::Subsampling;

use super::odd_jpeg::{Odd, Part};
use super::testing::{Value, encoder, exif, photo};
use super::*;

/// What came of a file in both decoders.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    /// Pictures that differ by so much in the worst channel of a pixel.
    Both(u8),
    /// No picture in either.
    Neither,
    /// A picture here alone, whole or in part.
    Ours { partial: bool },
    /// A picture there alone.
    Theirs,
    /// Pictures of other sides.
    Sides,
}

fn theirs(jpeg: &[u8]) -> Option<Pixels> {
    use image::ImageDecoder;
    let bytes = jpeg.to_vec();
    let work = move || {
        let mut decoder = image::codecs::jpeg::JpegDecoder::new(std::io::Cursor::new(bytes)).ok()?;
        let orientation = decoder.orientation().ok()?;
        let mut image = image::DynamicImage::from_decoder(decoder).ok()?;
        image.apply_orientation(orientation);
        let image = image.into_rgb8();
        Some(Pixels { width: image.width(), height: image.height(), rgb: image.into_raw() })
    };
    catch_unwind(work).ok().flatten()
}

fn outcome(jpeg: &[u8]) -> Outcome {
    let ours = decode(jpeg, Scale::Full, &Limits::default());
    match (ours, theirs(jpeg)) {
        (Ok(ours), Some(theirs)) if (ours.pixels.width, ours.pixels.height) != (theirs.width, theirs.height) => {
            Outcome::Sides
        }
        (Ok(ours), Some(theirs)) => {
            let worst = ours.pixels.rgb.iter().zip(&theirs.rgb).map(|(one, other)| one.abs_diff(*other)).max();
            Outcome::Both(worst.unwrap_or(u8::MAX))
        }
        (Ok(ours), None) => Outcome::Ours { partial: ours.partial.is_some() },
        (Err(_), Some(_)) => Outcome::Theirs,
        (Err(_), None) => Outcome::Neither,
    }
}

#[test]
fn survey() {
    for (width, height) in [(1, 1), (7, 3), (8, 8), (17, 33), (33, 17), (64, 1), (1, 64), (40, 40)] {
        for (across, down) in [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (4, 2), (3, 1), (2, 4)] {
            let odd = Odd::colour(width, height, across, down);
            let more = Odd { restart: 1, ..odd.clone() };
            println!(
                "{width}x{height} {across}x{down}: {:?} apart {:?} restart {:?} both {:?}",
                outcome(&odd.bytes()),
                outcome(&odd.clone().apart().bytes()),
                outcome(&more.bytes()),
                outcome(&more.clone().apart().bytes())
            );
        }
        println!("{width}x{height} grey {:?}", outcome(&Odd::grey(width, height).bytes()));
    }
    let _ = (
        Subsampling::S411,
        Value::Short(1),
        exif(false, &[], &[], &[]),
        encoder(&photo(8, 8, 1)),
        Part { id: 1, across: 1, down: 1 },
    );
}
