//! No input may make the room panic, hang or break its promises: random damage with fixed seeds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::testing::{Value, encoded, encoder, exif, photo};
use super::*;

/// Small limits, so that a mutated header cannot make a test slow.
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_side: 4_096, max_pixels: 1 << 18, max_memory: 16 << 20 };

/// Files of every kind that is decoded, each small.
fn corpus() -> Vec<Vec<u8>> {
    let source = photo(70, 50, 1);
    let block = exif(false, &[(0x0112, Value::Short(6))], &[(0x9003, Value::Text("2026:11:23 06:12:00"))], &[]);
    let mut files = vec![
        encoder(&source).exif_data(&block).encode().unwrap(),
        encoder(&source).restart_rows(1).encode().unwrap(),
        encoder(&source).progressive(true).encode().unwrap(),
        encoder(&source).arithmetic(true).encode().unwrap(),
        encoder(&source).grayscale_from_color(true).optimize_huffman(true).encode().unwrap(),
    ];
    use image::ImageFormat as Kind;
    files.extend([Kind::Png, Kind::Bmp, Kind::Gif, Kind::Tiff, Kind::WebP].map(|format| encoded(&source, format)));
    files
}

/// One to six of: flip a bit, set a byte, zero a run, copy a run elsewhere, cut, insert.
fn mutate(file: &mut Vec<u8>, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..=6) {
        if file.len() < 4 {
            return;
        }
        // Headers are short but decide most, so half of the mutations go there.
        let reach = if random.bool() { file.len().min(700) } else { file.len() };
        let at = random.usize(..reach);
        let end = (at + random.usize(1..64)).min(file.len());
        match random.u8(0..6) {
            0 => file[at] ^= 1 << random.u8(0..8),
            1 => file[at] = *random.choice([0, 1, 0x7F, 0x80, 0xD9, 0xDA, 0xFF].iter()).unwrap(),
            2 => file[at..end].fill(0),
            3 => {
                let to = random.usize(..file.len() - (end - at));
                file.copy_within(at..end, to);
            }
            4 => file.truncate(random.usize(file.len() / 4..=file.len())),
            _ => {
                let run = file[at..end].to_vec();
                file.splice(at..at, run);
            }
        }
    }
}

#[test]
fn damaged_files_never_panic_and_frames_keep_their_promises() {
    let corpus = corpus();
    let mut random = fastrand::Rng::with_seed(20_261_123);
    let mut frames = 0;
    for round in 0..6_000 {
        let mut file = corpus[round % corpus.len()].clone();
        mutate(&mut file, &mut random);
        let scale = *random.choice([Scale::Full, Scale::AtLeast { width: 16, height: 16 }].iter()).unwrap();
        let Ok(frame) = decode(&file, scale, &LIMITS) else { continue };
        frames += 1;
        let Pixels { width, height, rgb } = &frame.pixels;
        assert_eq!(rgb.len(), *width as usize * *height as usize * 3, "round {round}");
        assert!(u64::from(frame.width) * u64::from(frame.height) <= LIMITS.max_pixels, "round {round}");
        assert!(*width <= frame.width && *height <= frame.height && *width > 0 && *height > 0, "round {round}");
        resize(&frame.pixels, 32, 24, Filter::Triangle, Fit::Crop).unwrap();
    }
    assert!(frames > 500, "only {frames} of the mutants were still pictures: the mutations are too coarse");
}
