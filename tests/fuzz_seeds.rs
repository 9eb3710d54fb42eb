//! What fuzzing found once stays found: every seed goes through its target, without libFuzzer.
//!
//! The seeds lie in `fuzz/seeds/TARGET/`. What `cargo xtask fuzz` finds goes there, under a name that says what it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::{Path, PathBuf};

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}

#[test]
fn every_seed_of_every_fuzz_target_passes_on_a_thread_as_small_as_the_daemons() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let folders: Vec<String> =
        sorted(&seeds).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(folders, targets::TARGETS.map(|(name, _)| name), "a folder of seeds a target");
    for (name, target) in targets::TARGETS {
        let files = sorted(&seeds.join(name));
        assert!(!files.is_empty(), "{name} has no seed");
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            // Threads have 2 MiB unless they ask for more, and the daemon's do not.
            let outcome = std::thread::Builder::new().stack_size(2 << 20).spawn(move || target(&bytes)).unwrap().join();
            assert!(outcome.is_ok(), "{} is a find again", file.display());
        }
    }
}
