//! Each fuzz target for some minutes. `fuzz/README.md` says what they are.
//!
//! cargo-fuzz's layout without cargo-fuzz: `fuzz/instrument` asks the compiler for coverage with flags that any has.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use crate::{HELP, as_from_a_shell, root};

/// No input may take longer than this, on a slow machine too, nor all together more memory.
const BOUNDS: [&str; 3] = ["-timeout=60", "-rss_limit_mb=2048", "-max_len=65536"];

/// Fuzzes; fails if something was found, after all targets had their time.
pub fn run(arguments: &[&str]) -> Result<()> {
    let (mut minutes, mut chosen) = (10.0_f64, Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--minutes" => {
                minutes = rest.next().and_then(|text| text.parse().ok()).context("--minutes wants a number")?
            }
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
    // Not where the ordinary build lies: cargo does not tell instrumented parts from plain ones.
    let built =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| folder.join("target"), |target| Path::new(&target).join("fuzz"));
    build(&folder, &built, &chosen)?;
    let mut found = Vec::new();
    for name in &chosen {
        if !fuzz(&folder, &built, name, (minutes * 60.0).ceil() as u64)? {
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

fn build(folder: &Path, built: &Path, names: &[String]) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    as_from_a_shell(&mut command);
    command.current_dir(folder).args(["build", "--locked"]);
    for name in names {
        command.args(["--bin", name]);
    }
    command.env("RUSTC_WRAPPER", folder.join("instrument")).env("CARGO_TARGET_DIR", built);
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "the fuzz targets do not build; libFuzzer needs a C++ compiler");
    Ok(())
}

/// Runs one; false if it ended before its time.
fn fuzz(folder: &Path, built: &Path, name: &str, seconds: u64) -> Result<bool> {
    let (corpus, artifacts) = (folder.join("corpus").join(name), folder.join("artifacts").join(name));
    let scratch: PathBuf = built.join("scratch");
    for folder in [&corpus, &artifacts, &scratch] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(&artifacts);
    prefix.push("/");
    println!("{name}: {seconds} s");
    let status = Command::new(built.join("debug").join(name))
        .arg(&corpus)
        .arg(folder.join("seeds").join(name))
        .args(BOUNDS)
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
