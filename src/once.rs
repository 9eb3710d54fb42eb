//! `arcticd --once`: what the daemon would say of these images, without a broker or a journal.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;

use crate::classifier::{Classified, Classifier, FileFacts, guarded};
use crate::config::Config;
use crate::exit_code::ExitCode;
use crate::explain::{Explainer, paint};
use crate::frame::{Pixels, Scale, decode};
use crate::memory::limits;
use crate::model::source::{self, Origin};
use crate::pipeline::read;
use crate::regions::{Closer, Region, cut};
use crate::terminal;
use crate::whole_file;

/// Classifies `images` and prints each result; a bad one is reported on standard error and the others go on. Ends early
/// where nobody reads the results any more. What speaks for the label of the image is painted into the file `explain`.
///
/// # Errors
/// The model can't be loaded or not be explained, or the disk behind standard output or that file is full.
pub fn run(config: &Config, images: &[PathBuf], json: bool, explain: Option<&Path>) -> Result<ExitCode> {
    let backbone = Origin::from_setting(&config.model.backbone);
    let head = Origin::from_setting(&config.model.head);
    let model = guarded("load", || source::model(&backbone, &head, config.model.threads))??;
    let mut classifier = Classifier::new(model, config.trap_name(), &config.alerts, limits())?;
    classifier.give_pixels(explain.is_some());
    let explainer =
        explain.map(|file| Ok::<_, anyhow::Error>((file, Explainer::load(&backbone, &head, config.model.threads)?)));
    let explainer = explainer.transpose()?;
    // Before anything is loaded over it.
    let same = |file: &Path, image: &PathBuf| {
        file.canonicalize().is_ok_and(|file| image.canonicalize().is_ok_and(|it| it == file))
    };
    if let Some(file) = explain.filter(|file| images.iter().any(|image| same(file, image))) {
        bail!("--explain {} would write over the image", file.display());
    }
    if let Some(file) = explain.filter(|file| is_other(file)) {
        bail!("--explain {} is there and no PNG: name another file, or take it away", file.display());
    }
    // Images of one call are taken for one camera's, in this order.
    let mut closer = Closer::new(&config.regions);
    let mut out = terminal::out();
    let mut codes = Vec::with_capacity(images.len());
    for image in images {
        match look(&classifier, image, closer.as_mut()) {
            Ok(classified) => {
                let printed = if json {
                    serde_json::to_writer(&mut out, &classified.detection)
                        .map_err(io::Error::from)
                        .and_then(|()| writeln!(out))
                } else {
                    print(&mut out, image, &classified, images.len() > 1)
                };
                printed.context("standard output")?;
                if let Some((file, explainer)) = &explainer {
                    let line = explanation(explainer, image, &classified, file)?;
                    if !json {
                        writeln!(out, "{line}").context("standard output")?;
                    }
                }
                codes.push(ExitCode::Ok);
                if out.is_closed() {
                    break;
                }
            }
            Err(error) => {
                terminal::complain(format_args!("{}: {error:#}", terminal::line(image.display())));
                codes.push(ExitCode::Failure);
            }
        }
    }
    out.flush().context("standard output")?;
    Ok(ExitCode::of_parts(codes))
}

fn look(classifier: &Classifier, image: &Path, closer: Option<&mut Closer>) -> Result<Classified> {
    let file = read(image, classifier.limits().max_bytes)?;
    let name = image.to_string_lossy();
    let facts = FileFacts { name: &name, camera: None, modified: file.modified };
    Ok(classifier.classify_closely(&file.bytes, &file.hash, &facts, OffsetDateTime::now_utc(), closer).classified?)
}

/// Whether a file is there that is no picture of this kind: a photo, as a rule, named by a slip.
fn is_other(file: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(file).and_then(|file| file.take(4).read_to_end(&mut start));
    read.is_ok() && !start.is_empty() && start != b"\x89PNG"
}

/// A part of an image.
fn closely(image: &Path, region: Region) -> Result<Pixels> {
    let frame = decode(&read(image, limits().max_bytes)?.bytes, Scale::Full, &limits())?;
    cut(&frame.pixels, region, (frame.width, frame.height)).context("the part that decided has no pixels")
}

/// Paints where the label came from, and says so in a line.
fn explanation(explainer: &Explainer, image: &Path, classified: &Classified, file: &Path) -> Result<String> {
    let explanation = match classified.detection.region {
        Some(region) => explainer.explain(&closely(image, region)?, &classified.verdict.label)?,
        None => {
            let pixels = classified.pixels.as_ref().context("the frame's pixels are gone")?;
            explainer.explain(pixels, &classified.verdict.label)?
        }
    };
    whole_file::write_bytes(file, &paint(&explanation)?)?;
    let sum: f32 = explanation.cells.iter().sum();
    let (rows, columns) = (explanation.rows, explanation.columns);
    let file = terminal::line(file.display());
    Ok(format!("   {file}: {rows} x {columns} places add {sum:+.2} to {:+.2}", explanation.bias))
}

fn print(out: &mut impl Write, image: &Path, classified: &Classified, named: bool) -> io::Result<()> {
    if named {
        writeln!(out, "{}", terminal::line(image.display()))?;
    }
    let mut labels = classified.scores.labels.clone();
    labels.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (label, probability) in &labels {
        writeln!(out, "{}: {probability:.4}", label.replace('_', " "))?;
    }
    let verdict = &classified.verdict;
    let word = if verdict.alert { "ALERT" } else { "no alert" };
    writeln!(out, "=> {word}: {} ({})", verdict.label.replace('_', " "), verdict.rule)?;
    if classified.scores.novel == Some(true) {
        writeln!(out, "   novel: unlike everything the head was trained on")?;
    }
    if let Some(region) = classified.detection.region {
        let Region { x, y, width, height } = region;
        writeln!(out, "   seen in the part {width} x {height} at {x}, {y}")?;
    }
    if let Some(reason) = classified.closer.as_ref().and_then(|closer| closer.failed.as_deref()) {
        writeln!(out, "   parts of it were not looked at: {reason}")?;
    }
    if let Some(partial) = &classified.partial {
        writeln!(out, "   damaged file, decoded in part: {partial}")?;
    }
    let timing = classified.timing();
    let stages = [
        ("decode", classified.decode),
        ("resize", timing.resize),
        ("backbone", timing.backbone),
        ("head", timing.head),
    ];
    let mut stages = stages.to_vec();
    if let Some(closer) = &classified.closer {
        stages.push(("closer look", closer.took));
    }
    let text: Vec<String> =
        stages.iter().map(|(stage, took)| format!("{stage} {:.1} ms", took.as_secs_f64() * 1000.0)).collect();
    writeln!(out, "   {}", text.join(", "))
}
