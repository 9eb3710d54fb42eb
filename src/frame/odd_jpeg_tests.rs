//! Odd JPEG files, and what an independent decoder makes of them: the same picture, or nothing as here, or it is said why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::panic::catch_unwind;

use libjpeg_turbo_rs::Subsampling;

use super::odd_jpeg::{Odd, Part};
use super::testing::{Value, encoder, exif, mean_difference, photo};
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

/// A file of some detail in odd ways, by its name.
fn wrapped() -> Vec<(&'static str, Vec<u8>)> {
    let odd = || Odd::colour(17, 33, 2, 1);
    let parts = |ids: &[u8]| ids.iter().map(|id| Part { id: *id, across: 1, down: 1 }).collect::<Vec<_>>();
    let stated = |width, height| Odd { stated: Some((width, height)), ..odd() }.bytes();
    let as_marker = |marker| Odd { frame_marker: marker, ..odd() }.bytes();
    let file = odd().bytes();
    let body = &file[2..file.len() - 2];
    let end: &[u8] = &[0xFF, 0xD9];
    let start: &[u8] = &[0xFF, 0xD8];
    let find = |file: &[u8], marker: u8| file.windows(2).position(|pair| pair == [0xFF, marker]).unwrap();
    let restarts = Odd { restart: 1, ..odd() }.bytes();
    let at = find(&restarts, 0xD1);
    let without_restart = [&restarts[..at], &restarts[at + 2..]].concat();
    let mut wrong_restart = restarts.clone();
    wrong_restart[at + 1] = 0xD5;
    let interval = find(&restarts, 0xDD);
    let without_interval = [&restarts[..interval], &restarts[interval + 6..]].concat();
    let frame = find(&file, 0xC0);
    let frame_end = frame + 2 + 17;
    let quantization = find(&file, 0xDB);
    let mut other_table = file.clone();
    other_table[frame + 12] = 3;
    let mut no_factor = file.clone();
    no_factor[frame + 11] = 0x00;
    let note = |length: u16, content: &[u8]| [start, &[0xFF, 0xFE], &length.to_be_bytes(), content, body, end].concat();
    let late_height = [&stated(17, 0)[..file.len() - 2], &[0xFF, 0xDC, 0, 4, 0, 33], end].concat();
    vec![
        ("grey", Odd::grey(17, 33).bytes()),
        ("two parts", Odd::of(17, 33, parts(&[1, 2])).bytes()),
        ("four parts", Odd::of(17, 33, parts(&[1, 2, 3, 4])).bytes()),
        ("CMYK by Adobe", Odd { adobe: Some(0), ..Odd::of(17, 33, parts(&[1, 2, 3, 4])) }.bytes()),
        ("YCCK by Adobe", Odd { adobe: Some(2), ..Odd::of(17, 33, parts(&[1, 2, 3, 4])) }.bytes()),
        ("YCbCr by Adobe", Odd { adobe: Some(1), ..Odd::of(17, 33, parts(&[1, 2, 3])) }.bytes()),
        ("RGB by Adobe", Odd { adobe: Some(0), ..Odd::of(17, 33, parts(&[1, 2, 3])) }.bytes()),
        ("RGB by its ids", Odd::of(17, 33, parts(b"RGB")).bytes()),
        ("unknown transform", Odd { adobe: Some(9), ..Odd::of(17, 33, parts(&[1, 2, 3])) }.bytes()),
        ("16-bit quantization", Odd { wide_quantization: true, frame_marker: 0xC1, ..odd() }.bytes()),
        ("16-bit quantization in a baseline file", Odd { wide_quantization: true, ..odd() }.bytes()),
        ("extended sequential", as_marker(0xC1)),
        ("no Huffman tables", Odd { huffman_tables: false, ..odd() }.bytes()),
        ("12 bits", Odd { precision: 12, frame_marker: 0xC1, ..odd() }.bytes()),
        ("lossless", as_marker(0xC3)),
        ("hierarchical", as_marker(0xC5)),
        ("arithmetic, but is Huffman", as_marker(0xC9)),
        ("lossless arithmetic", as_marker(0xCB)),
        ("taller than stated", stated(17, 16)),
        ("less tall than stated", stated(17, 48)),
        ("much less tall than stated", stated(17, 4000)),
        ("wider than stated", stated(8, 33)),
        ("less wide than stated", stated(40, 33)),
        ("no width", stated(0, 33)),
        ("no height", stated(17, 0)),
        ("height behind the scan", late_height),
        ("fill bytes", Odd { fill: 3, ..odd() }.bytes()),
        ("bytes between segments", Odd { garbage: vec![1, 2, 3], ..odd() }.bytes()),
        ("zeros between segments", Odd { garbage: vec![0; 5], ..odd() }.bytes()),
        ("two beginnings", [start, &file].concat()),
        ("no end", file[..file.len() - 2].to_vec()),
        ("bytes behind the end", [&file, b"maker's trailer".as_slice()].concat()),
        ("another picture behind the end", [&file, Odd::grey(8, 8).bytes().as_slice()].concat()),
        ("two frame headers", [&file[..frame_end], &file[frame..]].concat()),
        ("no frame header", [&file[..frame], &file[frame_end..]].concat()),
        ("no quantization", [&file[..quantization], &file[quantization + 69..]].concat()),
        ("another quantization table", other_table),
        ("a part sampled never", no_factor),
        ("a scan twice", [&file[..file.len() - 2], &file[find(&file, 0xDA)..]].concat()),
        ("no scan", [&file[..find(&file, 0xDA)], end].concat()),
        ("a restart missing", without_restart),
        ("a restart out of turn", wrong_restart),
        ("restarts unannounced", without_interval),
        ("a note with markers in it", note(10, &[0xFF, 0xD9, 0xFF, 0xDA, 0xFF, 0xC0, 0, 0])),
        ("a note of length 1", note(1, &[])),
        ("a note beyond the end", note(0xFFFF, &[])),
    ]
}

/// What must come of those of [`wrapped`] that are not the same picture in both, and why.
const OTHERWISE: [(&str, Outcome, &str); 31] = [
    ("two parts", Outcome::Theirs, "no camera writes it, and its colours are anybody's guess"),
    ("unknown transform", Outcome::Ours { partial: false }, "read as YCbCr, as libjpeg does"),
    ("no Huffman tables", Outcome::Ours { partial: false }, "those of films (MJPEG) are meant"),
    ("12 bits", Outcome::Neither, ""),
    ("lossless", Outcome::Neither, ""),
    ("hierarchical", Outcome::Neither, ""),
    ("arithmetic, but is Huffman", Outcome::Ours { partial: false }, "such codes can't be told from others"),
    ("lossless arithmetic", Outcome::Neither, ""),
    ("less tall than stated", Outcome::Both(u8::MAX), "here the missing part is grey, there the last colour"),
    ("much less tall than stated", Outcome::Theirs, "less than a quarter is no frame"),
    ("less wide than stated", Outcome::Both(u8::MAX), "blocks slip into the wrong place in both"),
    ("no width", Outcome::Neither, ""),
    ("no height", Outcome::Neither, ""),
    ("height behind the scan", Outcome::Neither, ""),
    ("bytes between segments", Outcome::Theirs, "a file is known by its first three bytes"),
    ("zeros between segments", Outcome::Theirs, "the same"),
    ("two beginnings", Outcome::Neither, ""),
    ("two frame headers", Outcome::Neither, ""),
    ("no frame header", Outcome::Neither, ""),
    ("no quantization", Outcome::Neither, ""),
    ("another quantization table", Outcome::Neither, ""),
    ("a part sampled never", Outcome::Neither, ""),
    ("no scan", Outcome::Neither, ""),
    ("a restart missing", Outcome::Both(u8::MAX), "guessed differently; partial here"),
    (
        "restarts unannounced",
        Outcome::Theirs,
        "what lies behind the first is not believed, and that is more than three quarters",
    ),
    ("a note of length 1", Outcome::Neither, ""),
    ("a note beyond the end", Outcome::Neither, ""),
    // Whole pictures here, and a mark all the same.
    ("no end", Outcome::Both(0), ""),
    ("a scan twice", Outcome::Both(0), ""),
    ("taller than stated", Outcome::Both(0), ""),
    ("a restart out of turn", Outcome::Both(0), ""),
];

#[test]
fn files_that_are_wrapped_oddly_are_the_same_picture_elsewhere_or_it_is_known_why_not() {
    let files = wrapped();
    assert!(OTHERWISE.iter().all(|(name, ..)| files.iter().any(|(known, _)| known == name)));
    for (name, file) in files {
        let expected = OTHERWISE.iter().find(|(known, ..)| *known == name).map_or(Outcome::Both(0), |entry| entry.1);
        let found = outcome(&file);
        let same = match (found, expected) {
            (Outcome::Both(found), Outcome::Both(most)) => found <= most,
            (found, expected) => found == expected,
        };
        assert!(same, "{name}: {found:?} instead of {expected:?}");
    }
}

#[test]
fn a_header_that_promises_the_most_is_refused_by_its_sides() {
    let file = Odd { stated: Some((65_535, 65_535)), ..Odd::colour(17, 33, 2, 1) }.bytes();
    let error = decode(&file, Scale::Full, &Limits::default()).unwrap_err();
    assert!(matches!(error, FrameError::TooLarge { actual: 65_535, .. }), "{error:?}");
}

/// `image` 0.25 loses blocks of sequential files whose parts come in scans of their own, and refuses parts sampled three times: there
/// what was written is the judge alone.
#[test]
fn blocks_lie_where_they_belong_in_any_sampling_and_order_of_scans() {
    for (width, height) in [(1, 1), (7, 3), (8, 8), (17, 33), (33, 17), (64, 1), (1, 64), (40, 40)] {
        for (across, down) in [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (4, 2), (2, 4), (3, 1)] {
            let plain = Odd::colour(width, height, across, down);
            let restarts = |restart| Odd { restart, ..plain.clone() };
            let together = [plain.clone(), restarts(1), restarts(3)];
            let apart = together.clone().map(Odd::apart);
            for (odd, compared) in
                together.into_iter().map(|odd| (odd, across != 3)).chain(apart.map(|odd| (odd, false)))
            {
                let what = format!(
                    "{width}x{height}, sampled {across}x{down}, restarts {}, {} scans",
                    odd.restart,
                    odd.scans.len()
                );
                let file = odd.bytes();
                let frame =
                    decode(&file, Scale::Full, &Limits::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(frame.partial, None, "{what}");
                // Colours are smoothed over the edges of blocks.
                let difference = mean_difference(&frame.pixels, &odd.truth());
                assert!(difference < 1.5, "{what}: {difference} from what was written");
                let found = outcome(&file);
                assert!(!compared || matches!(found, Outcome::Both(0..=5)), "{what}: {found:?}");
            }
        }
    }
}

#[test]
fn every_way_of_writing_a_photo_is_the_same_picture_elsewhere() {
    for (width, height) in [(1, 1), (7, 3), (8, 8), (17, 33), (100, 75)] {
        let source = photo(width, height, 3);
        for subsampling in
            [Subsampling::S444, Subsampling::S422, Subsampling::S420, Subsampling::S440, Subsampling::S411]
        {
            let encoder = || encoder(&source).subsampling(subsampling);
            for (way, encoder) in [
                ("plain", encoder()),
                ("progressive", encoder().progressive(true)),
                ("restarts", encoder().restart_rows(1)),
                ("codes of its own", encoder().optimize_huffman(true)),
                ("grey", encoder().grayscale_from_color(true)),
            ] {
                let found = outcome(&encoder.encode().unwrap());
                assert!(matches!(found, Outcome::Both(0..=3)), "{width}x{height} {subsampling:?} {way}: {found:?}");
            }
            // Nobody else here reads arithmetic codes; they carry the same numbers.
            let read = |file: Vec<u8>| decode(&file, Scale::Full, &Limits::default()).unwrap();
            let arithmetic = read(encoder().arithmetic(true).encode().unwrap());
            assert_eq!(arithmetic, read(encoder().encode().unwrap()), "{width}x{height} {subsampling:?}");
        }
    }
}

#[test]
fn all_eight_orientations_are_turned_as_elsewhere() {
    for orientation in 1..=8 {
        let block = exif(false, &[(0x0112, Value::Short(orientation))], &[], &[]);
        let found = outcome(&encoder(&photo(20, 33, 1)).exif_data(&block).encode().unwrap());
        assert!(matches!(found, Outcome::Both(0..=3)), "{orientation}: {found:?}");
    }
}

#[test]
fn a_file_cut_anywhere_is_damaged_or_marked_as_partial() {
    for odd in
        [Odd::colour(33, 65, 2, 2), Odd { restart: 2, ..Odd::colour(33, 65, 2, 2) }, Odd::colour(33, 65, 1, 1).apart()]
    {
        let file = odd.bytes();
        for cut in 0..file.len() {
            if let Ok(frame) = decode(&file[..cut], Scale::Full, &Limits::default()) {
                assert!(frame.partial.is_some(), "cut at {cut} of {} and taken for whole", file.len());
            }
        }
    }
}
