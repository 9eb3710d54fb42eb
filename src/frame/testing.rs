//! Pictures and EXIF blocks made by code, for the tests of this room.
#![allow(clippy::expect_used)]

use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};

use super::Pixels;

/// A synthetic photo: sky over snow, a soft hill line, a pale animal with dark eyes, rocks, and sensor noise.
pub fn photo(width: u32, height: u32, seed: u64) -> Pixels {
    let mut random = fastrand::Rng::with_seed(seed);
    let rocks: Vec<[f32; 3]> =
        (0..12).map(|_| [random.f32(), 0.55 + 0.4 * random.f32(), 0.01 + 0.03 * random.f32()]).collect();
    let aspect = width as f32 / height as f32;
    let inside = |x: f32, y: f32, [cx, cy, r]: [f32; 3]| ((x - cx) * aspect).powi(2) + (y - cy).powi(2) < r * r;
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for row in 0..height {
        let y = row as f32 / height as f32;
        for column in 0..width {
            let x = column as f32 / width as f32;
            let hills = 0.45 + 0.05 * (x * 9.0).sin() + 0.02 * (x * 31.0).cos();
            let mut color = if y < hills {
                [90.0 + 100.0 * y, 120.0 + 110.0 * y, 190.0 + 50.0 * y]
            } else {
                [225.0 - 60.0 * (y - hills); 3]
            };
            if rocks.iter().any(|rock| inside(x, y, *rock)) {
                color = [70.0 + 40.0 * x, 62.0, 58.0];
            }
            if inside(x, y, [0.55, 0.62, 0.14]) {
                color = [236.0 - 80.0 * (y - 0.5), 226.0 - 80.0 * (y - 0.5), 190.0];
            }
            if inside(x, y, [0.50, 0.57, 0.012]) || inside(x, y, [0.57, 0.57, 0.012]) {
                color = [20.0; 3];
            }
            let noise = (random.f32() - 0.5) * 16.0;
            rgb.extend(color.map(|channel| (channel + noise).clamp(0.0, 255.0) as u8));
        }
    }
    Pixels { width, height, rgb }
}

/// An encoder as cameras use it: quality 90, half the colour resolution.
pub fn encoder(pixels: &Pixels) -> Encoder<'_> {
    Encoder::new(&pixels.rgb, pixels.width as usize, pixels.height as usize, PixelFormat::Rgb)
        .quality(90)
        .subsampling(Subsampling::S420)
}

/// The pixels as a baseline JPEG.
pub fn jpeg(pixels: &Pixels) -> Vec<u8> {
    encoder(pixels).encode().expect("encodes")
}

/// The pixels in a lossless or bitmap format of the `image` crate.
pub fn encoded(pixels: &Pixels, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_raw(pixels.width, pixels.height, pixels.rgb.clone())
        .expect("pixels match their sides")
        .write_to(&mut bytes, format)
        .expect("encodes");
    bytes.into_inner()
}

/// Mean absolute difference of two pictures of the same size, in grey levels.
pub fn mean_difference(a: &Pixels, b: &Pixels) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let sum: u64 = a.rgb.iter().zip(&b.rgb).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.rgb.len() as f64
}

/// The value of an EXIF tag.
#[derive(Clone)]
pub enum Value {
    Short(u16),
    Text(&'static str),
    Rationals([(u32, u32); 3]),
}

/// An EXIF block with these tags in its main, Exif and GPS directories.
pub fn exif(big_endian: bool, main: &[(u16, Value)], exif: &[(u16, Value)], gps: &[(u16, Value)]) -> Vec<u8> {
    let mut block = Block { bytes: Vec::new(), big_endian };
    block.bytes.extend(if big_endian { b"MM" } else { b"II" });
    block.u16(42);
    block.u32(8);
    let pointers = [(0x8769, exif), (0x8825, gps)];
    let main_end = 8 + directory_size(main) + 2 * 12;
    let exif_at = main_end + values_size(main);
    let gps_at = exif_at + directory_size(exif) + values_size(exif);
    block.directory(main, &[(pointers[0].0, exif_at), (pointers[1].0, gps_at)]);
    block.directory(exif, &[]);
    block.directory(gps, &[]);
    block.bytes
}

fn directory_size(tags: &[(u16, Value)]) -> usize {
    2 + tags.len() * 12 + 4
}

fn values_size(tags: &[(u16, Value)]) -> usize {
    tags.iter().map(|(_, value)| Some(value.size()).filter(|size| *size > 4).unwrap_or(0)).sum()
}

impl Value {
    fn size(&self) -> usize {
        match self {
            Self::Short(_) => 2,
            Self::Text(text) => text.len() + 1,
            Self::Rationals(_) => 24,
        }
    }
}

struct Block {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Block {
    fn u16(&mut self, value: u16) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn u32(&mut self, value: usize) {
        let value = value as u32;
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn directory(&mut self, tags: &[(u16, Value)], pointers: &[(u16, usize)]) {
        let mut value_at = self.bytes.len() + directory_size(tags) + pointers.len() * 12;
        self.u16((tags.len() + pointers.len()) as u16);
        for (tag, value) in tags {
            self.u16(*tag);
            let (kind, count) = match value {
                Value::Short(_) => (3, 1),
                Value::Text(text) => (2, text.len() + 1),
                Value::Rationals(_) => (5, 3),
            };
            self.u16(kind);
            self.u32(count);
            if value.size() > 4 {
                self.u32(value_at);
                value_at += value.size();
            } else {
                let start = self.bytes.len();
                self.value(value);
                self.bytes.resize(start + 4, 0);
            }
        }
        for (tag, at) in pointers {
            self.u16(*tag);
            self.u16(4);
            self.u32(1);
            self.u32(*at);
        }
        self.u32(0);
        tags.iter().filter(|(_, value)| value.size() > 4).for_each(|(_, value)| self.value(value));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Short(number) => self.u16(*number),
            Value::Text(text) => {
                self.bytes.extend(text.as_bytes());
                self.bytes.push(0);
            }
            Value::Rationals(parts) => parts.iter().for_each(|(numerator, denominator)| {
                self.u32(*numerator as usize);
                self.u32(*denominator as usize);
            }),
        }
    }
}
