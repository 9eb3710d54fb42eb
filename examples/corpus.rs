//! Writes the corpora that fuzzing begins with: what is right, and some mutations of each kind. `cargo xtask corpus`.

#[allow(dead_code)]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use arcticd::accept::Content;
use image::{ImageFormat, RgbImage};
use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};
use targets::seeds;
use testkit::head::signed::{self, Maker};
use testkit::mutate::{Attack, Material, steady};

/// Mutations, a few of each kind.
const COUNT: u64 = 300;
/// Larger ones teach a fuzzer nothing.
const LARGEST: usize = 64 << 10;

/// The folder with a folder a target.
struct Corpus(PathBuf);

impl Corpus {
    fn write(&self, target: &str, name: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() <= LARGEST {
            std::fs::write(self.0.join(target).join(name), bytes)?;
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("where to? give a folder")?;
    let corpus = Corpus(folder.into());
    for (name, _) in targets::TARGETS {
        std::fs::create_dir_all(corpus.0.join(name))?;
    }
    pictures(&corpus)?;
    for name in ["examples/arcticd.toml", "deny.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        corpus.write("config", &name.replace('/', "-"), &std::fs::read(path)?)?;
    }
    corpus.write(
        "config",
        "variables",
        b"[mqtt]\nurl = 'mqtt://a'\n\0ARCTICD_TRAP=north\nARCTICD_ALERTS_THRESHOLDS=a=1\n",
    )?;
    for (name, network) in seeds::networks()? {
        corpus.write("graph", &name, &network)?;
        corpus.write("head", &name, &[&[0], network.as_slice()].concat())?;
    }
    corpus.write("canaries", "plain", &seeds::canaries())?;
    for (name, ask) in seeds::asks() {
        corpus.write("ask", name, &ask)?;
    }
    for (name, row) in seeds::messages() {
        corpus.write("messages", name, &row)?;
    }
    mutations(&corpus)
}

/// One small picture in all the forms that are decoded, and notes of a camera.
fn pictures(corpus: &Corpus) -> Result<()> {
    let (width, height) = (24, 17);
    let picture = RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 10) as u8, (y * 15) as u8, (x * y) as u8]));
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff, ImageFormat::WebP] {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format)?;
        corpus.write("frame", &format!("{format:?}").to_lowercase(), bytes.get_ref())?;
    }
    let notes = notes();
    corpus.write("exif", "camera", &notes)?;
    let jpeg = || {
        let encoder = Encoder::new(picture.as_raw(), width as usize, height as usize, PixelFormat::Rgb).quality(60);
        encoder.subsampling(Subsampling::S420)
    };
    for (name, encoder) in [
        ("notes.jpg", jpeg().exif_data(&notes)),
        ("restarts.jpg", jpeg().restart_rows(1)),
        ("progressive.jpg", jpeg().progressive(true)),
        ("arithmetic.jpg", jpeg().arithmetic(true)),
        ("grey.jpg", jpeg().grayscale_from_color(true)),
        ("wide.jpg", jpeg().subsampling(Subsampling::S422)),
        ("narrow.jpg", jpeg().subsampling(Subsampling::S411)),
    ] {
        corpus.write("frame", name, &encoder.encode()?)?;
    }
    Ok(())
}

/// Orientation, time with its zone and fraction, and position.
fn notes() -> Vec<u8> {
    let mut block = b"II*\0\x08\0\0\0".to_vec();
    let mut values = Vec::new();
    // Entries: tag, kind, count, value or where it lies. Three directories, and the values behind them.
    let values_at = 8 + (2 + 4 * 12 + 4) + (2 + 3 * 12 + 4) + (2 + 4 * 12 + 4);
    let mut entry = |block: &mut Vec<u8>, tag: u16, kind: u16, count: u32, value: &[u8]| {
        block.extend(tag.to_le_bytes());
        block.extend(kind.to_le_bytes());
        block.extend(count.to_le_bytes());
        if value.len() > 4 {
            block.extend((values_at + values.len() as u32).to_le_bytes());
            values.extend(value);
        } else {
            block.extend(value);
            block.resize(block.len() + 4 - value.len(), 0);
        }
    };
    let (exif_at, gps_at): (u32, u32) = (8 + 54, 8 + 54 + 42);
    let degrees = |whole: u32| [whole, 1, 30, 1, 599, 100].map(u32::to_le_bytes).concat();
    block.extend(4u16.to_le_bytes());
    entry(&mut block, 0x0112, 3, 1, &[6, 0]);
    entry(&mut block, 0x0132, 2, 20, b"2026:11:23 06:12:00\0");
    entry(&mut block, 0x8769, 4, 1, &exif_at.to_le_bytes());
    entry(&mut block, 0x8825, 4, 1, &gps_at.to_le_bytes());
    block.extend([0; 4]);
    block.extend(3u16.to_le_bytes());
    entry(&mut block, 0x9003, 2, 20, b"2026:11:23 06:12:01\0");
    entry(&mut block, 0x9011, 2, 7, b"+01:00\0");
    entry(&mut block, 0x9291, 2, 4, b"125\0");
    block.extend([0; 4]);
    block.extend(4u16.to_le_bytes());
    entry(&mut block, 1, 2, 2, b"N\0");
    entry(&mut block, 2, 5, 3, &degrees(78));
    entry(&mut block, 3, 2, 2, b"E\0");
    entry(&mut block, 4, 5, 3, &degrees(15));
    block.extend([0; 4]);
    [block, values].concat()
}

/// Heads, offers and pieces, damaged and forged.
fn mutations(corpus: &Corpus) -> Result<()> {
    let maker = Maker::new()?;
    let (good, older) = (steady(&maker, 0.9, 6)?, steady(&maker, 0.8, 5)?);
    corpus.write("bundle", "good", &signed::file(&good)?)?;
    corpus.write("manifest", "good", good.manifest_bytes())?;
    let offer = signed::offer(&good)?;
    corpus.write("offer", "good", &offer.encode())?;
    corpus.write("topic", "good", format!("head/chunk/{}/0", offer.id()).as_bytes())?;
    let material = Material::new(maker, good, older)?;
    for number in 0..COUNT {
        let name = number.to_string();
        match material.mutation(1, number)?.attack {
            Attack::Message(Content::Set, bytes) => corpus.write("bundle", &name, &bytes)?,
            Attack::Message(Content::Offer, bytes) => {
                if let Ok(offer) = arcticd::accept::Offer::decode(&bytes) {
                    corpus.write("manifest", &name, &offer.manifest)?;
                }
                corpus.write("offer", &name, &bytes)?;
            }
            Attack::Topic(below, _) => corpus.write("topic", &name, format!("head/{below}").as_bytes())?,
            Attack::Message(..) | Attack::TooLarge(..) => {}
        }
    }
    Ok(())
}
