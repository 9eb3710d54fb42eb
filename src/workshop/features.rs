//! `arcticd backbone features`: what a backbone is shown of photos and what it says of them, bit for bit, so that two
//! machines, or two builds, can be compared.

use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::{ExtendedColorType, ImageFormat};
use serde::Serialize;

use super::backbone;
use crate::classifier::guarded;
use crate::exit_code::ExitCode;
use crate::frame::{self, Pixels};
use crate::memory::limits;
use crate::model::Backbone;
use crate::pipeline::read;
use crate::terminal;
use crate::whole_file;

#[derive(Serialize)]
struct Seen<'a> {
    image: &'a Path,
    backbone: &'a str,
    kernels: &'static str,
    /// As short as reads back to the same bits.
    features: Vec<f32>,
}

/// Prints the features of `images`, and writes the pixels that were shown to the network at `path` (the built-in one
/// without) into the folder `pixels`. A bad image is reported on standard error and the others go on.
///
/// # Errors
/// The backbone can't be loaded, or a file or standard output can't be written.
pub fn run(path: Option<&Path>, images: &[PathBuf], pixels: Option<&Path>) -> Result<ExitCode> {
    let backbone = backbone(path, false)?;
    let mut out = terminal::out();
    let mut codes = Vec::with_capacity(images.len());
    for (image, number) in images.iter().zip(1..) {
        let (shown, features) = match look(&backbone, image) {
            Ok(seen) => seen,
            Err(error) => {
                terminal::complain(format_args!("{}: {error:#}", terminal::line(image.display())));
                codes.push(ExitCode::Failure);
                continue;
            }
        };
        if let Some(folder) = pixels {
            whole_file::write_bytes(&folder.join(format!("{number}.bmp")), &bitmap(&shown)?)?;
        }
        let (kernels, backbone) = (backbone.engine().isa.name(), backbone.manifest().id.as_str());
        serde_json::to_writer(&mut out, &Seen { image, backbone, kernels, features })
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
            .context("standard output")?;
        codes.push(ExitCode::Ok);
    }
    out.flush().context("standard output")?;
    Ok(ExitCode::of_parts(codes))
}

/// The pixels of the input's size, and the features of these.
fn look(backbone: &Backbone, image: &Path) -> Result<(Pixels, Vec<f32>)> {
    let limits = limits();
    let file = read(image, limits.max_bytes)?;
    let frame = guarded("decode", || frame::decode(&file.bytes, backbone.wanted_scale(), &limits))??;
    let input = &backbone.manifest().input;
    let shown = frame::resize(&frame.pixels, input.width, input.height, input.filter, input.fit)?;
    let features = guarded("classify", || backbone.features_of_input(&shown))??;
    Ok((shown, features))
}

/// Uncompressed, so that any tool reads the very same values.
fn bitmap(pixels: &Pixels) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    image::write_buffer_with_format(
        &mut bytes,
        &pixels.rgb,
        pixels.width,
        pixels.height,
        ExtendedColorType::Rgb8,
        ImageFormat::Bmp,
    )
    .context("the pixels can't be written as a bitmap")?;
    Ok(bytes.into_inner())
}
