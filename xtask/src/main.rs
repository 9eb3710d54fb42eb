//! The project's daily commands, as `cargo xtask <command>`.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use arcticd::cli::{self, Shell};

const HELP: &str = "\
The daily commands of arcticd.

Usage: cargo xtask <COMMAND>

  schema               write schema/config.schema.json from the configuration structs
  man [DIR]            write the man pages (default: target/man)
  completions [DIR]    write the shell completions (default: target/completions)
  ci                   what a merge needs: formatting, lints, tests";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] | ["--help" | "-h" | "help"] => println!("{HELP}"),
        ["schema"] => write(&root().join("schema/config.schema.json"), arcticd::config::schema_text().as_bytes())?,
        ["man"] => man(&root().join("target/man"))?,
        ["man", directory] => man(Path::new(directory))?,
        ["completions"] => completions(&root().join("target/completions"))?,
        ["completions", directory] => completions(Path::new(directory))?,
        ["ci"] => ci()?,
        _ => bail!("no such command: {}\n\n{HELP}", arguments.join(" ")),
    }
    Ok(())
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

fn ci() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    cargo(&["test", "--locked", "--workspace"])
}

fn cargo(arguments: &[&str]) -> Result<()> {
    println!("cargo {}", arguments.join(" "));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(arguments).current_dir(root()).status().context("cannot start cargo")?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
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

/// The repository, wherever the command was called from.
fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}
