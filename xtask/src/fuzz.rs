//! Each fuzz target for some minutes. `fuzz/README.md` says what they are.
//!
//! cargo-fuzz's layout without cargo-fuzz: `fuzz/instrument` asks the compiler for coverage with flags that any has.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use crate::{HELP, address, as_from_a_shell, root};

/// No input may take longer than this, on a slow machine too, nor all together more memory.
const BOUNDS: [&str; 2] = ["-timeout=60", "-max_len=65536"];
const MEMORY: &str = "-rss_limit_mb=2048";
/// The sanitizer keeps what was given back for a while, and its notes.
const MEMORY_WATCHED: &str = "-rss_limit_mb=4096";

/// Fuzzes; fails if something was found, after all targets had their time.
pub fn run(arguments: &[&str]) -> Result<()> {
    let (mut minutes, mut chosen, mut host) = (10.0_f64, Vec::new(), None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--minutes" => {
                minutes = rest.next().and_then(|text| text.parse().ok()).context("--minutes wants a number")?
            }
            "--address" => host = Some(address::host()?),
            name if !name.starts_with('-') => chosen.push(name.to_owned()),
            other => bail!("not known: {other}\n\n{HELP}"),
        }
    }
    ensure!(minutes > 0.0, "--minutes wants a number above 0");
    let folder = root().join("fuzz");
    let targets = targets(&folder)?;
    if let Some(name) = chosen.iter().find(|name| !targets.contains(name)) {
        bail!("no such target: {name}; there are {}", targets.join(", "));
    }
    let chosen = if chosen.is_empty() { targets } else { chosen };
    let built = address::folder(if host.is_some() { "fuzz-address" } else { "fuzz" });
    build(&folder, &built, &chosen, host.as_deref())?;
    let programs = built.join(host.as_deref().unwrap_or_default()).join("debug");
    let memory = if host.is_some() { MEMORY_WATCHED } else { MEMORY };
    let mut found = Vec::new();
    for name in &chosen {
        if !fuzz(&folder, &programs, name, (minutes * 60.0).ceil() as u64, memory)? {
            found.push(name.as_str());
        }
    }
    ensure!(
        found.is_empty(),
        "found something: {}; the inputs are in fuzz/artifacts. Mend it, and put the input into fuzz/seeds, where each is a test",
        found.join(", ")
    );
    Ok(())
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder.join("fuzz_targets")).context("fuzz/fuzz_targets")?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut names: Vec<String> = files.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

fn build(folder: &Path, built: &Path, names: &[String], host: Option<&str>) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    as_from_a_shell(&mut command);
    command.current_dir(folder).args(["build", "--locked"]);
    for name in names {
        command.args(["--bin", name]);
    }
    if let Some(host) = host {
        address::ask(&mut command, host);
    }
    command.env("RUSTC_WRAPPER", folder.join("instrument")).env("CARGO_TARGET_DIR", built);
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "the fuzz targets do not build; libFuzzer needs a C++ compiler");
    Ok(())
}

/// Runs one; false if it ended before its time.
fn fuzz(folder: &Path, programs: &Path, name: &str, seconds: u64, memory: &str) -> Result<bool> {
    let (corpus, artifacts) = (folder.join("corpus").join(name), folder.join("artifacts").join(name));
    let scratch: PathBuf = programs.join("scratch").join(name);
    for folder in [&corpus, &artifacts, &scratch] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(&artifacts);
    prefix.push("/");
    println!("{name}: {seconds} s");
    let status = Command::new(programs.join(name))
        .arg(&corpus)
        .arg(folder.join("seeds").join(name))
        .args(BOUNDS)
        .arg(memory)
        // Journals and tract's operators live as long as the process.
        .arg("-detect_leaks=0")
        .arg(format!("-max_total_time={seconds}"))
        .arg("-print_final_stats=1")
        .arg(prefix)
        .env("TMPDIR", &scratch)
        .status()
        .with_context(|| format!("cannot start the target {name}"))?;
    let _ = fs::remove_dir_all(&scratch);
    Ok(status.success())
}
