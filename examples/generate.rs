//! Writes what is made from the definitions in the library: the configuration's schema, man pages, shell completions.
//! `cargo xtask schema`, `man` and `completions` call it.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use arcticd::cli::{self, Shell};

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["schema"] => write(&root.join("schema/config.schema.json"), arcticd::config::schema_text().as_bytes()),
        ["man"] => man(&root.join("target/man")),
        ["man", directory] => man(Path::new(directory)),
        ["completions"] => completions(&root.join("target/completions")),
        ["completions", directory] => completions(Path::new(directory)),
        _ => bail!("usage: generate schema | man [DIR] | completions [DIR]"),
    }
}

/// A page for the program and one for each of its commands.
fn man(directory: &Path) -> Result<()> {
    create(directory)?;
    clap_mangen::generate_to(cli::command(), directory)
        .with_context(|| format!("cannot write man pages into {}", directory.display()))?;
    println!("{}", directory.display());
    Ok(())
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
