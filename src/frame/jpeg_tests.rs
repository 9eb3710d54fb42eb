//! JPEG: scales, colour spaces, limits, and what is left of a damaged file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};

use super::testing::{Value, encoder, exif, jpeg, mean_difference, photo};
use super::*;

const AT_LEAST_32: Scale = Scale::AtLeast { width: 32, height: 32 };

fn read(bytes: &[u8], scale: Scale) -> Result<Frame, FrameError> {
    decode(bytes, scale, &Limits::default())
}

fn exif_with_orientation(number: u16) -> Vec<u8> {
    exif(false, &[(0x0112, Value::Short(number))], &[], &[])
}

#[test]
fn the_smallest_sufficient_scale_is_decoded() {
    let file = jpeg(&photo(400, 300, 1));
    let cases = [
        ((50, 38), (50, 38)),
        ((51, 38), (100, 75)),
        ((100, 76), (200, 150)),
        ((201, 10), (400, 300)),
        ((900, 9), (400, 300)),
    ];
    for ((width, height), expected) in cases {
        let frame = read(&file, Scale::AtLeast { width, height }).unwrap();
        assert_eq!((frame.pixels.width, frame.pixels.height), expected, "for {width} x {height}");
        assert_eq!((frame.width, frame.height), (400, 300));
        assert_eq!(frame.partial, None);
    }
    let full = read(&file, Scale::Full).unwrap();
    assert_eq!((full.pixels.width, full.pixels.height), (400, 300));
}

#[test]
fn nearest_gets_every_pixel_and_the_averaging_filters_twice_what_they_make() {
    assert_eq!(Scale::for_resize(Filter::Nearest, 224, 224), Scale::Full);
    for filter in [Filter::Triangle, Filter::CatmullRom, Filter::Lanczos3] {
        assert_eq!(Scale::for_resize(filter, 224, 160), Scale::AtLeast { width: 448, height: 320 });
    }
}

#[test]
fn a_turned_picture_is_scaled_by_its_upright_sides() {
    let stored = photo(400, 200, 2);
    let block = exif_with_orientation(6);
    let file = encoder(&stored).exif_data(&block).encode().unwrap();
    let frame = read(&file, Scale::AtLeast { width: 50, height: 100 }).unwrap();
    assert_eq!((frame.width, frame.height), (200, 400));
    assert_eq!((frame.pixels.width, frame.pixels.height), (50, 100), "1/4: upright 1/8 would be 25 x 50");

    // Sky is stored at the top; turned clockwise it is on the right.
    let full = read(&file, Scale::Full).unwrap().pixels;
    let blue_over_red = |x: usize| {
        let pixel = &full.rgb[(200 * 200 + x) * 3..][..3];
        i16::from(pixel[2]) - i16::from(pixel[0])
    };
    assert!(blue_over_red(195) > 40 && blue_over_red(20) < 20, "{} {}", blue_over_red(195), blue_over_red(20));
}

#[test]
fn gray_rgb_and_four_colour_files_become_rgb() {
    let source = photo(64, 48, 3);
    let gray: Vec<u8> = source.rgb.chunks_exact(3).map(|pixel| pixel[1]).collect();
    let file = Encoder::new(&gray, 64, 48, PixelFormat::Grayscale).quality(95).encode().unwrap();
    let frame = read(&file, Scale::Full).unwrap();
    let expected = Pixels { width: 64, height: 48, rgb: gray.iter().flat_map(|gray| [*gray; 3]).collect() };
    assert!(mean_difference(&frame.pixels, &expected) < 4.0);
    assert!(frame.pixels.rgb.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));

    // Inverted, as every program writes CMYK into JPEG; without black it is RGB.
    let cmyk: Vec<u8> = source.rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    let file =
        Encoder::new(&cmyk, 64, 48, PixelFormat::Cmyk).quality(95).subsampling(Subsampling::S444).encode().unwrap();
    let frame = read(&file, Scale::Full).unwrap();
    assert!(mean_difference(&frame.pixels, &source) < 4.0, "{}", mean_difference(&frame.pixels, &source));
}

#[test]
fn giant_headers_and_small_limits_are_refused_before_decoding() {
    let mut file = jpeg(&photo(64, 64, 4));
    let limits = Limits::default();
    for limits in [
        Limits { max_side: 63, ..limits },
        Limits { max_pixels: 64 * 64 - 1, ..limits },
        Limits { max_bytes: file.len() as u64 - 1, ..limits },
        Limits { max_memory: 64 * 64 * 3, ..limits },
    ] {
        let error = decode(&file, Scale::Full, &limits).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { .. }), "{error:?}");
    }
    let frame_header = file.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    file[frame_header + 5..frame_header + 9].fill(0xFF);
    let error = read(&file, AT_LEAST_32).unwrap_err();
    assert!(matches!(error, FrameError::TooLarge { actual: 65_535, .. }), "{error:?}");
    file[frame_header + 5..frame_header + 9].fill(0);
    assert!(matches!(read(&file, AT_LEAST_32).unwrap_err(), FrameError::Damaged { .. }));
}

#[test]
fn a_scan_bomb_is_refused() {
    let file = encoder(&photo(64, 64, 5)).progressive(true).encode().unwrap();
    let scans = salvage::Outline::of(&file).scans;
    let last_scan = &file[scans[scans.len() - 1]..file.len() - 2];
    let bomb = [&file[..file.len() - 2], &last_scan.repeat(200), salvage::END].concat();
    let error = read(&bomb, Scale::Full).unwrap_err();
    assert!(matches!(error, FrameError::TooLarge { .. }), "{error:?}");
}

#[test]
fn time_and_place_come_with_the_frame() {
    let block = exif(
        true,
        &[],
        &[(0x9003, Value::Text("2026:11:23 06:12:00")), (0x9011, Value::Text("+01:00"))],
        &[
            (1, Value::Text("N")),
            (2, Value::Rationals([(78, 1), (30, 1), (0, 1)])),
            (3, Value::Text("E")),
            (4, Value::Rationals([(15, 1), (30, 1), (0, 1)])),
        ],
    );
    let file = encoder(&photo(64, 64, 6)).exif_data(&block).encode().unwrap();
    let frame = read(&file, AT_LEAST_32).unwrap();
    assert_eq!(frame.captured_at.unwrap().to_string(), "2026-11-23T06:12:00+01:00");
    assert_eq!(frame.position, Some((78.5, 15.5)));

    let broken = encoder(&photo(64, 64, 6)).exif_data(&block[..40]).encode().unwrap();
    let frame = read(&broken, AT_LEAST_32).unwrap();
    assert_eq!((frame.captured_at, frame.position, frame.partial), (None, None, None), "broken EXIF is no error");
}

#[test]
fn a_file_without_its_end_marker_is_whole_but_marked() {
    for progressive in [false, true] {
        let file = encoder(&photo(320, 240, 7)).progressive(progressive).encode().unwrap();
        let whole = read(&file, Scale::Full).unwrap();
        assert_eq!(whole.partial, None);
        let frame = read(&file[..file.len() - 2], Scale::Full).unwrap();
        assert_eq!(frame.pixels, whole.pixels, "progressive: {progressive}");
        assert!(frame.partial.unwrap().contains("end marker"));
    }
}

#[test]
fn what_follows_the_end_marker_does_not_matter() {
    let file = jpeg(&photo(320, 240, 8));
    for tail in [vec![0; 4096], b"a maker's trailer".to_vec()] {
        assert_eq!(read(&[file.clone(), tail].concat(), Scale::Full).unwrap().partial, None);
    }
}

#[test]
fn a_file_cut_late_is_partial_and_cut_early_is_damaged() {
    let source = photo(640, 480, 9);
    let file = jpeg(&source);
    let whole = read(&file, AT_LEAST_32).unwrap();
    for scale in [AT_LEAST_32, Scale::Full] {
        let frame = read(&file[..file.len() * 2 / 3], scale).unwrap();
        let reason = frame.partial.expect("is marked");
        assert!(reason.contains('%'), "{reason}");
    }
    let cut = read(&file[..file.len() * 2 / 3], AT_LEAST_32).unwrap();
    let upper_half = whole.pixels.rgb.len() / 2;
    assert_eq!(cut.pixels.rgb[..upper_half], whole.pixels.rgb[..upper_half], "what is there is not touched");
    let error = read(&file[..file.len() / 6], AT_LEAST_32).unwrap_err();
    assert!(matches!(&error, FrameError::Damaged { reason } if reason.contains('%')), "{error:?}");
}

#[test]
fn a_zero_filled_tail_counts_as_missing() {
    let file = jpeg(&photo(640, 480, 10));
    let zeroed = |from: usize| [&file[..from], &vec![0; file.len() - from]].concat();
    let late = read(&zeroed(file.len() * 2 / 3), AT_LEAST_32).unwrap();
    assert_eq!(late.pixels, read(&file[..file.len() * 2 / 3], AT_LEAST_32).unwrap().pixels);
    assert!(late.partial.is_some());
    assert!(matches!(read(&zeroed(file.len() / 6), AT_LEAST_32), Err(FrameError::Damaged { .. })));
}

#[test]
fn headers_without_a_picture_are_damaged() {
    for progressive in [false, true] {
        let file = encoder(&photo(320, 240, 11)).progressive(progressive).encode().unwrap();
        let scan = salvage::Outline::of(&file).scans[0];
        for length in [3, scan / 2, scan, scan + 14] {
            let error = read(&file[..length], AT_LEAST_32).unwrap_err();
            assert!(matches!(error, FrameError::Damaged { .. }), "cut at {length}: {error:?}");
        }
    }
}

#[test]
fn a_progressive_file_keeps_its_intact_scans() {
    let file = encoder(&photo(320, 240, 12)).progressive(true).encode().unwrap();
    let whole = read(&file, Scale::Full).unwrap().pixels;
    let scans = salvage::Outline::of(&file).scans;
    assert!(scans.len() > 4);
    let mut last = f64::INFINITY;
    for count in [1, scans.len() / 2, scans.len() - 1] {
        let middle_of_next = scans[count] + (scans.get(count + 1).unwrap_or(&file.len()) - scans[count]) * 2 / 3;
        let frame = read(&file[..middle_of_next], Scale::Full).unwrap();
        assert!(frame.partial.unwrap().contains(&format!("only {count} of ")), "{count} scans");
        let difference = mean_difference(&frame.pixels, &whole);
        assert!(difference < 12.0 && difference <= last, "after {count} scans: {difference}");
        last = difference;
    }
}

#[test]
fn an_overwritten_block_leaves_a_partial_picture() {
    let source = photo(640, 480, 13);
    let file = encoder(&source).subsampling(Subsampling::S422).encode().unwrap();
    let start = salvage::Outline::of(&file).scans[0] + 14;
    let mut random = fastrand::Rng::with_seed(13);
    let mut noticed = 0;
    for _ in 0..20 {
        let mut file = file.clone();
        // In the last quarter, so that most of the picture is intact.
        let at = random.usize(start + (file.len() - start) * 3 / 4..file.len() - 1_030);
        file[at..at + 1_024].fill_with(|| random.u8(..));
        let frame = read(&file, Scale::Full).unwrap();
        noticed += usize::from(frame.partial.is_some());
        let upper_half = source.rgb.len() / 2;
        let upper = |pixels: &Pixels| Pixels { height: 240, rgb: pixels.rgb[..upper_half].to_vec(), ..*pixels };
        let difference = mean_difference(&upper(&frame.pixels), &upper(&source));
        assert!(difference < 6.0, "the intact half differs by {difference}");
    }
    assert!(noticed >= 15, "only {noticed} of 20 damaged files were noticed");
}

#[test]
fn an_empty_file_says_so() {
    assert_eq!(read(&[], Scale::Full), Err(FrameError::Empty));
}
