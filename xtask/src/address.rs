//! The address sanitizer: what reads or writes beyond its memory, in `unsafe` of ours and of all crates, is ended and named. What
//! C compiles (SQLite) is not watched.
//!
//! Any toolchain has it; that it may be asked for is what is not stable.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{as_from_a_shell, root};

/// This machine's triple: with a target named, build scripts and macros are built without it.
pub fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8(output.stdout).context("rustc -vV")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    Ok(host.to_owned())
}

/// Has `cargo` build for the `host` with the sanitizer.
pub fn ask(cargo: &mut Command, host: &str) {
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address").args(["--target", host]);
}

/// A folder beside the ordinary one: cargo does not tell parts built so from plain ones.
pub fn folder(name: &str) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |target| Path::new(&target).into()).join(name)
}

/// `sanitize [TEST...]`: tests of the kernels, and of the library those whose names have one of these words in them.
pub fn run(words: &[&str]) -> Result<()> {
    // The tests would take it for theirs, after a long build.
    if let Some(flag) = words.iter().find(|word| word.starts_with('-')) {
        bail!("sanitize does not know {flag}; it takes words of the tests' names");
    }
    let host = host()?;
    for (package, words) in [("kernels", &[][..]), ("arcticd", words)] {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        as_from_a_shell(&mut cargo);
        cargo.current_dir(root()).args(["test", "--locked", "--package", package, "--lib"]);
        if package == "kernels" {
            cargo.arg("--tests");
        }
        ask(&mut cargo, &host);
        cargo.env("CARGO_TARGET_DIR", folder("address"));
        // Operators of tract live as long as the process.
        cargo.env("ASAN_OPTIONS", "detect_leaks=0").arg("--").args(words);
        let status = cargo.status().context("cannot start cargo")?;
        ensure!(status.success(), "tests of {package} failed under the address sanitizer");
    }
    Ok(())
}
