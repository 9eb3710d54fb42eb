//! The project's daily commands, as `cargo xtask <command>`.

mod address;
mod fuzz;
mod parts;
mod reliability;
mod supply;
mod tally;
mod thin_link;
mod unsafe_code;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

const HELP: &str = "\
The daily commands of arcticd.

Usage: cargo xtask <COMMAND>

  schema               write schema/: configuration, messages, topics, from the types and names in the sources
  man [DIR]            write the man pages (default: target/man)
  completions [DIR]    write the shell completions (default: target/completions)
  package DIR TRIPLE   write what a package for TRIPLE holds beside the binary: all of the above, the configuration that
                       it installs, licences, and the list of crates (CycloneDX)
  background PHOTOS    write models/default/background.bin from photos without the animals
  self-test            write src/service/self_test.jpg, which the watchdog looks at while no frame comes
  mutate [--count N] [--seed N]
                       N mutations (default: 10000) of heads and their transfer against the real acceptor
  cuts [--count N] [--seed N]
                       N power cuts (default: 100000), half on the way of heads to the disk and half on the journal's, see
                       docs/reliability.md; needs strace
  reliability [--minutes N] [--seed N]
                       faults of all kinds, power cuts and kills for N minutes (default: 30; less than 10 is of little use), and
                       what was counted, see docs/reliability.md; some faults need root
  nightly [faults] [cuts] [kills] [fuzz] [--seed N]
                       takes hours: the same with 10000 kills, 100000 power cuts and a flood of 1000000 files, and ten minutes of each fuzz
                       target; or of these the named ones, for several nights
  corpus               write the corpora that fuzzing begins with, see fuzz/README.md
  fuzz [TARGET...] [--minutes N] [--address]
                       each fuzz target N minutes (default: 10), see fuzz/README.md; fails on a find. With the address
                       sanitizer, if asked
  sanitize [TEST...]   tests of the kernels and of the library with the address sanitizer; of the library all, or those with a
                       word of these in their names; builds everything anew
  supply [--write]     licences, sources, reasons and `unsafe` of all crates as docs/supply.md has them; or write its table
  thinlink [--rate 2kbit] [--loss 0.1] [--labels 2] [--keep-alive SECONDS]
                       a head over a link that is slow and loses packets; needs root, iproute2 and iptables
  fleet [--traps N] [--outage SECONDS] [--alerts N] [--alerts-a-second N] [--idle SECONDS]
                       N traps (default: 1000) in one process behind one mosquitto: the storm when the broker comes back, how
                       long alerts take, what an idle trap costs; prints the figures of docs/fleet.md
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
        [] | ["help", ..] | [.., "--help" | "-h"] => println!("{HELP}"),
        // In an example, and not here: linked to this tool, the library would be built a second time, with other features.
        ["schema" | "man" | "completions" | "self-test"] | ["man" | "completions" | "background", _] => {
            cargo(&[&["run", "--quiet", "--locked", "--example", "generate", "--"], &arguments[..]].concat())?;
        }
        ["package", directory, triple] => {
            cargo(&["run", "--quiet", "--locked", "--example", "generate", "--", "package", directory])?;
            parts::write(Path::new(directory), triple)?;
        }
        ["ci"] => ci()?,
        ["corpus"] => {
            cargo(&["run", "--quiet", "--locked", "--example", "corpus", "--", "fuzz/corpus"])?;
        }
        ["sanitize", ..] => address::run(&arguments[1..])?,
        ["fuzz", ..] => fuzz::run(&arguments[1..])?,
        ["supply"] => supply::run(false)?,
        ["supply", "--write"] => supply::run(true)?,
        ["mutate", ..] => mutate(&arguments[1..])?,
        ["cuts", ..] => cuts(&arguments[1..])?,
        ["reliability", ..] => reliability::run(false, &arguments[1..])?,
        ["nightly", ..] => reliability::run(true, &arguments[1..])?,
        ["thinlink", ..] => thin_link::run(&arguments[1..])?,
        ["fleet", ..] => fleet(&arguments[1..])?,
        _ => bail!("no such command: {}\n\n{HELP}", arguments.join(" ")),
    }
    Ok(())
}

fn ci() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    cargo(&["test", "--locked", "--workspace"])
}

fn mutate(arguments: &[&str]) -> Result<()> {
    let [count, seed] = count_and_seed(arguments, 10_000)?;
    println!("{count} mutations, seed {seed}");
    many("head_mutations", &[("ARCTICD_MUTATIONS", &count.to_string()), ("ARCTICD_MUTATION_SEED", &seed.to_string())])
}

fn cuts(arguments: &[&str]) -> Result<()> {
    let [count, seed] = count_and_seed(arguments, 100_000)?;
    ensure!(count > 1, "--count takes a number from 2 on: half of them are of heads, half of the journal");
    println!("{count} power cuts, from seed {seed}");
    for (test, count) in [("power_cuts", count / 2), ("journal_cuts", count.div_ceil(2))] {
        many(test, &[("ARCTICD_CUTS", &count.to_string()), ("ARCTICD_CUT_SEED", &seed.to_string())])?;
    }
    Ok(())
}

fn fleet(arguments: &[&str]) -> Result<()> {
    const SETTINGS: [(&str, &str, &str); 5] = [
        ("--traps", "ARCTICD_FLEET_TRAPS", "1000"),
        ("--outage", "ARCTICD_FLEET_OUTAGE_S", "120"),
        ("--alerts", "ARCTICD_FLEET_ALERTS", "2000"),
        ("--alerts-a-second", "ARCTICD_FLEET_ALERTS_A_SECOND", "20"),
        ("--idle", "ARCTICD_FLEET_IDLE_S", "300"),
    ];
    let mut variables = SETTINGS.map(|(_, variable, value)| (variable, value));
    for pair in arguments.chunks(2) {
        let place = SETTINGS.iter().position(|(flag, ..)| Some(flag) == pair.first());
        match (place.and_then(|place| variables.get_mut(place)), pair) {
            (Some(setting), [flag, value]) => {
                number(flag, Some(value))?;
                setting.1 = value;
            }
            _ => bail!("not known: {}\n\n{HELP}", pair.join(" ")),
        }
    }
    many("fleet_storm", &variables)
}

fn count_and_seed(arguments: &[&str], otherwise: u64) -> Result<[u64; 2]> {
    let (mut count, mut seed) = (otherwise, 1);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match *word {
            "--count" => count = number(word, words.next())?,
            "--seed" => seed = number(word, words.next())?,
            other => bail!("not known: {other}; there are --count N and --seed N"),
        }
    }
    // None made would be none failed.
    ensure!(count > 0, "--count takes a number above 0");
    Ok([count, seed])
}

/// The number behind a flag.
fn number(flag: &str, text: Option<&&str>) -> Result<u64> {
    let text = text.with_context(|| format!("{flag} takes a number"))?;
    text.parse().with_context(|| format!("{flag} takes a number, and not `{text}`"))
}

fn many(test: &str, variables: &[(&str, &str)]) -> Result<()> {
    cargo_with(&["test", "--locked", "--test", test, "--", "--nocapture", "--test-threads", "1"], variables)
}

fn cargo(arguments: &[&str]) -> Result<()> {
    cargo_with(arguments, &[])
}

fn cargo_with(arguments: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    println!("cargo {}", arguments.join(" "));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    as_from_a_shell(&mut command);
    let status = command
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(root())
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(())
}

/// Takes away what cargo said of this program: build scripts that look at it would run again, and again the next time.
fn as_from_a_shell(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|start| name.starts_with(start))
        }) {
            command.env_remove(name);
        }
    }
}

/// The repository, wherever the command was called from.
fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}
