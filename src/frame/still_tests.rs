#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use image::{ImageEncoder, ImageFormat};

use super::super::testing::{Value, encoded, exif, mean_difference, photo};
use super::super::{FrameError, Limits, Scale, decode};
use super::*;

const FORMATS: [(ImageFormat, Format); 4] = [
    (ImageFormat::Png, Format::Png),
    (ImageFormat::Bmp, Format::Bmp),
    (ImageFormat::Tiff, Format::Tiff),
    (ImageFormat::WebP, Format::WebP),
];

fn read(bytes: &[u8]) -> Result<super::super::Frame, FrameError> {
    decode(bytes, Scale::AtLeast { width: 8, height: 8 }, &Limits::default())
}

#[test]
fn lossless_formats_come_back_to_the_bit() {
    let source = photo(61, 43, 3);
    for (format, name) in FORMATS {
        let frame = read(&encoded(&source, format)).unwrap();
        assert_eq!((frame.format, frame.width, frame.height, frame.partial), (name, 61, 43, None));
        assert_eq!(frame.pixels, source, "{format:?}");
    }
    let gif = read(&encoded(&source, ImageFormat::Gif)).unwrap();
    assert!(gif.format == Format::Gif && mean_difference(&gif.pixels, &source) < 6.0, "256 colours");
}

#[test]
fn sixteen_bits_gray_and_alpha_become_eight_bit_rgb() {
    let png = |bytes: &[u8], kind| {
        let mut file = Vec::new();
        image::codecs::png::PngEncoder::new(&mut file).write_image(bytes, 2, 1, kind).unwrap();
        read(&file).unwrap().pixels.rgb
    };
    let native = |values: [u16; 2]| values.map(u16::to_ne_bytes).concat();
    use image::ExtendedColorType as Kind;
    assert_eq!(png(&[7, 250], Kind::L8), [7, 7, 7, 250, 250, 250]);
    assert_eq!(png(&native([0x0800, 0xFFFF]), Kind::L16), [8, 8, 8, 255, 255, 255]);
    assert_eq!(png(&[1, 2, 3, 0, 4, 5, 6, 255], Kind::Rgba8), [1, 2, 3, 4, 5, 6], "transparency is dropped");
    assert_eq!(png(&[9, 0, 8, 128], Kind::La8), [9, 9, 9, 8, 8, 8]);
}

#[test]
fn png_and_webp_are_turned_upright_and_dated_too() {
    let block = exif(true, &[(0x0112, Value::Short(6))], &[(0x9003, Value::Text("2026:11:23 06:12:00"))], &[]);
    let source = photo(20, 10, 4);
    let mut png = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.set_exif_metadata(block.clone()).unwrap();
    encoder.write_image(&source.rgb, 20, 10, image::ExtendedColorType::Rgb8).unwrap();
    let mut webp = Vec::new();
    let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
    encoder.set_exif_metadata(block).unwrap();
    encoder.write_image(&source.rgb, 20, 10, image::ExtendedColorType::Rgb8).unwrap();
    for file in [png, webp] {
        let frame = read(&file).unwrap();
        assert_eq!((frame.width, frame.height), (10, 20), "{}", frame.format);
        assert_eq!((frame.pixels.width, frame.pixels.height), (10, 20));
        assert_eq!(frame.pixels.rgb[..3], source.rgb[9 * 20 * 3..][..3], "the lower left corner comes first");
        assert_eq!(frame.captured_at.unwrap().to_string(), "2026-11-23T06:12:00");
    }
}

#[test]
fn limits_hold_before_anything_is_allocated() {
    let source = photo(64, 32, 5);
    for (format, _) in FORMATS {
        let file = encoded(&source, format);
        let refused = |limits: Limits| {
            let error = decode(&file, Scale::Full, &limits).unwrap_err();
            assert!(matches!(error, FrameError::TooLarge { .. }), "{format:?}: {error:?}");
        };
        let limits = Limits::default();
        refused(Limits { max_side: 63, ..limits });
        refused(Limits { max_pixels: 64 * 32 - 1, ..limits });
        refused(Limits { max_bytes: file.len() as u64 - 1, ..limits });
        refused(Limits { max_memory: 64 * 32 * 3, ..limits });
        let exact = Limits { max_side: 64, max_pixels: 64 * 32, max_bytes: file.len() as u64, ..limits };
        assert!(decode(&file, Scale::Full, &exact).is_ok(), "{format:?} at its limits");
    }
}

#[test]
fn a_giant_header_is_refused() {
    // The sides of a PNG, BMP and GIF sit at fixed offsets.
    let small = photo(8, 8, 6);
    let mut bmp = encoded(&small, ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&65_535_i32.to_le_bytes());
    bmp[22..26].copy_from_slice(&65_535_i32.to_le_bytes());
    let mut gif = encoded(&small, ImageFormat::Gif);
    gif[6..10].fill(0xFF);
    for file in [bmp, gif] {
        let error = read(&file).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { actual: 65_535, .. }), "{error:?}");
    }
}

#[test]
fn a_cut_off_picture_is_damaged_not_missing() {
    let source = photo(64, 64, 7);
    for (format, _) in FORMATS {
        let file = encoded(&source, format);
        let error = read(&file[..file.len() / 2]).unwrap_err();
        assert!(matches!(error, FrameError::Damaged { .. }), "{format:?}: {error:?}");
    }
}
