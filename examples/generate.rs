//! Writes what is made from the definitions in the library: schemas and the AsyncAPI document, man pages, shell completions; and,
//! from photos, the background features that `arcticd train` adds where there is no background folder; and the picture of
//! the watchdog's self-test.
//! `cargo xtask schema`, `man`, `completions`, `package` and `background` call it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use arcticd::cli::{self, Shell};
use arcticd::model::source::{self, Origin};
use arcticd::quantize::Progress;
use arcticd::train::background::Background;
use arcticd::train::{Cache, Extractor, Labelled};
use testkit::scenes::Scene;

/// Packaged photos: 1,280 bytes each in the binary.
const BACKGROUND_PHOTOS: usize = 200;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["schema"] => arcticd::contract::files()
            .into_iter()
            .try_for_each(|(name, text)| write(&root.join("schema").join(name), text.as_bytes())),
        ["man"] => man(&root.join("target/man")),
        ["man", directory] => man(Path::new(directory)),
        ["completions"] => completions(&root.join("target/completions")),
        ["completions", directory] => completions(Path::new(directory)),
        ["package", directory] => package(Path::new(directory)),
        ["background", photos] => background(&root.join("models/default/background.bin"), Path::new(photos)),
        ["self-test"] => write(&root.join("src/service/self_test.jpg"), &Scene::Bear.jpeg(1, 160, 120)?),
        _ => bail!(
            "usage: generate schema | man [DIR] | completions [DIR] | package DIR | background PHOTOS | self-test"
        ),
    }
}

/// Features, in the built-in backbone, of photos in or below `photos`, evenly chosen. They are numbers: no photo can be
/// made of them.
fn background(path: &Path, photos: &Path) -> Result<()> {
    let found = arcticd::photos::find(photos)?;
    let step = found.photos.len().div_ceil(BACKGROUND_PHOTOS).max(1);
    let photos: Vec<PathBuf> = found.photos.into_iter().step_by(step).collect();
    let labelled = Labelled {
        labels: vec!["other".into()],
        class: vec![0; photos.len()],
        photos,
        ignored: Vec::new(),
        left_out: Vec::new(),
    };
    let backbone = source::backbone(&Origin::Builtin, 1)?;
    let extractor = Extractor { backbone: &backbone, cache: &Cache::none(), views: 0, seed: 0 };
    let rows = extractor.extract(&labelled, &Progress::on_terminal()).dataset.rows;
    println!("{} photos", rows.len());
    write(path, &Background { backbone: backbone.manifest().sha256.clone(), rows }.encode()?)
}

/// A page for the program and one for each of its commands.
fn man(directory: &Path) -> Result<()> {
    create(directory)?;
    clap_mangen::generate_to(cli::command(), directory)
        .with_context(|| format!("cannot write man pages into {}", directory.display()))?;
    println!("{}", directory.display());
    Ok(())
}

/// What a package holds that is made from the definitions in the library.
fn package(directory: &Path) -> Result<()> {
    man(&directory.join("man"))?;
    completions(&directory.join("completions"))?;
    write(&directory.join("arcticd.toml"), arcticd::init::unconfigured()?.as_bytes())
}

fn completions(directory: &Path) -> Result<()> {
    create(directory)?;
    // Named as each shell looks for them.
    for (shell, name) in [(Shell::Bash, "arcticd"), (Shell::Zsh, "_arcticd"), (Shell::Fish, "arcticd.fish")] {
        let mut script = Vec::new();
        cli::write_completions(shell, &mut script)?;
        write(&directory.join(name), &script)?;
    }
    Ok(())
}

fn create(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
