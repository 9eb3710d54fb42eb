//! Files in the capture directory: pictures, and what a camera notes in them.

use arcticd::frame::{Filter, Fit, Limits, Pixels, Scale, decode, resize};

/// Small, so that a header alone can't make an input slow.
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_side: 4_096, max_pixels: 1 << 18, max_memory: 16 << 20 };

/// A whole file, as it lies in the capture directory.
pub fn frame(data: &[u8]) {
    for scale in [Scale::AtLeast { width: 16, height: 16 }, Scale::Full] {
        let Ok(frame) = decode(data, scale, &LIMITS) else { continue };
        let Pixels { width, height, rgb } = &frame.pixels;
        assert_eq!(rgb.len(), *width as usize * *height as usize * 3);
        assert!(u64::from(frame.width) * u64::from(frame.height) <= LIMITS.max_pixels);
        assert!((1..=frame.width).contains(width) && (1..=frame.height).contains(height));
        resize(&frame.pixels, 32, 24, Filter::Triangle, Fit::Crop).expect("what was decoded can be resized");
    }
}

/// The block of a camera's notes, in an intact grey JPEG of 8 x 8 pixels.
pub fn exif(data: &[u8]) {
    let block = &data[..data.len().min(65_000)];
    let grey = grey();
    let length = (block.len() as u16 + 8).to_be_bytes();
    let file = [&grey[..2], &[0xFF, 0xE1], &length, b"Exif\0\0", block, &grey[2..]].concat();
    let frame = decode(&file, Scale::Full, &LIMITS).expect("broken notes are no broken picture");
    assert_eq!((frame.pixels.width, frame.pixels.height, frame.partial), (8, 8, None));
    if let Some((latitude, longitude)) = frame.position {
        assert!(latitude.abs() <= 90.0 && longitude.abs() <= 180.0);
    }
    if let Some(time) = frame.captured_at {
        let _ = time.to_string();
    }
}

/// A JPEG of one block without detail: flat quantization, a code for "no difference" and one for "nothing more".
fn grey() -> Vec<u8> {
    let codes = |table: u8| [&[0xFF, 0xC4, 0, 20, table, 1], [0; 16].as_slice()].concat();
    let parts: [&[u8]; 6] = [
        &[b"\xFF\xD8\xFF\xDB\x00\x43\x00", [1; 64].as_slice()].concat(),
        b"\xFF\xC0\x00\x0B\x08\x00\x08\x00\x08\x01\x01\x11\x00",
        &codes(0x00),
        &codes(0x10),
        b"\xFF\xDA\x00\x08\x01\x01\x00\x00\x3F\x00",
        b"\x3F\xFF\xD9",
    ];
    parts.concat()
}
