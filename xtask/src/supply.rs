//! What the binary is made of and how far that is to be trusted: licences and sources by `deny.toml`'s lists, `unsafe`
//! counted crate by crate, and a reason for each crate that we chose. `docs/supply.md` is the record of it.
//!
//! cargo-deny checks the same lists and more, and takes minutes to build; this takes seconds and needs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use spdx::{Expression, LicenseReq, Licensee, ParseMode};

use crate::parts::{cargo, linked, list, text};
use crate::root;
use crate::unsafe_code::{Count, count};

/// What stands between these lines is generated.
const BEGIN: &str = "<!-- begin: written by cargo xtask supply --write -->";
const END: &str = "<!-- end -->";
/// From how many blocks and functions of `unsafe` on a crate has to be explained.
const HEAVY: usize = 100;

/// A crate in the binary on one of the boards.
struct Linked {
    title: String,
    name: String,
    licence: String,
    folder: PathBuf,
    own: bool,
}

/// Checks, and with `write` writes the table anew.
pub fn run(write: bool) -> Result<()> {
    let rules = fs::read_to_string(root().join("deny.toml")).context("deny.toml").and_then(|text| Rules::of(&text))?;
    let page = root().join("docs/supply.md");
    let documented = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let metadata = ["metadata", "--locked", "--format-version", "1"];
    let (mut all, mut packages) = (BTreeSet::new(), BTreeMap::new());
    for triple in &rules.targets {
        all.extend(linked(triple)?);
        let found: Value = serde_json::from_str(&cargo(&[&metadata[..], &["--filter-platform", triple]].concat())?)
            .context("cargo metadata")?;
        let nodes: BTreeSet<String> = list(&found["resolve"]["nodes"]).map(|node| text(&node["id"])).collect();
        let resolved = list(&found["packages"]).filter(|package| nodes.contains(&text(&package["id"])));
        packages.extend(resolved.map(|package| (text(&package["id"]), package.clone())));
    }
    let mut problems = Vec::new();
    for package in packages.values() {
        problems.extend(rules.licence(package).err());
        problems.extend(source(package).err());
    }
    let crates: Vec<Linked> = packages
        .values()
        .filter(|package| all.contains(&(text(&package["name"]), text(&package["version"]))))
        .map(of)
        .collect::<Result<_>>()?;
    ensure!(crates.len() > 50, "only {} crates are linked", crates.len());
    let counts = crates.iter().map(|part| Ok((part, count(&part.folder)?))).collect::<Result<Vec<_>>>()?;
    problems.extend(unexplained(&documented, packages.values(), &counts));

    let table = table(&counts);
    let (before, rest) = documented.split_once(BEGIN).context("docs/supply.md has no place for the table")?;
    let (_, after) = rest.split_once(END).context("docs/supply.md has no end of the table")?;
    let wanted = format!("{before}{BEGIN}\n{table}{END}{after}");
    if write && wanted != documented {
        fs::write(&page, &wanted).with_context(|| page.display().to_string())?;
    } else if wanted != documented {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let (old, new) = (lines(&documented), lines(&wanted));
        for line in new.difference(&old).take(10) {
            problems.push(anyhow::anyhow!("docs/supply.md lacks: {line}"));
        }
        problems.push(anyhow::anyhow!(
            "docs/supply.md is not current; read what came, and write it with cargo xtask supply --write"
        ));
    }
    for problem in &problems {
        eprintln!("{problem:#}");
    }
    ensure!(problems.is_empty(), "{} problems of the supply chain", problems.len());
    println!(
        "{} crates linked, {} in all: licences, sources, reasons and unsafe are as documented",
        crates.len(),
        packages.len()
    );
    Ok(())
}

fn of(package: &Value) -> Result<Linked> {
    let manifest = text(&package["manifest_path"]);
    Ok(Linked {
        title: format!("{} {}", text(&package["name"]), text(&package["version"])),
        name: text(&package["name"]),
        licence: expression(package),
        folder: Path::new(&manifest).parent().context("a manifest without a folder")?.to_owned(),
        own: package["source"].is_null(),
    })
}

fn expression(package: &Value) -> String {
    text(&package["license"]).replace(" / ", " OR ").replace('/', " OR ")
}

/// What `deny.toml` says, as far as it is held to here.
struct Rules {
    targets: Vec<String>,
    allowed: Vec<Licensee>,
    // Licences of crates that name theirs by a file alone.
    clarified: BTreeMap<String, String>,
}

impl Rules {
    fn of(text: &str) -> Result<Self> {
        let rules: toml::Table = text.parse().context("deny.toml")?;
        let texts = |table: &str, key: &str| -> Vec<String> {
            let list = rules.get(table).and_then(|table| table.get(key)).and_then(toml::Value::as_array);
            list.into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
        };
        let licensee = |name: String| Licensee::parse(&name).with_context(|| format!("deny.toml allows {name}"));
        let clarified = rules.get("licenses").and_then(|table| table.get("clarify")).and_then(toml::Value::as_array);
        let clarified = clarified.into_iter().flatten().filter_map(|entry| {
            let of = |key: &str| Some(entry.get(key)?.as_str()?.to_owned());
            Some((of("crate")?, of("expression")?))
        });
        Ok(Self {
            targets: texts("graph", "targets"),
            allowed: texts("licenses", "allow").into_iter().map(licensee).collect::<Result<_>>()?,
            clarified: clarified.collect(),
        })
    }

    /// One licence that is allowed must be among those that a crate offers, or all of those that it joins.
    fn licence(&self, package: &Value) -> Result<()> {
        if package["source"].is_null() {
            return Ok(());
        }
        let name = text(&package["name"]);
        let stated = Some(expression(package)).filter(|stated| !stated.is_empty());
        let stated = stated.or_else(|| self.clarified.get(&name).cloned()).unwrap_or_default();
        let wanted = Expression::parse_mode(&stated, ParseMode::LAX);
        let wanted = wanted.map_err(|error| anyhow::anyhow!("{name}: `{stated}` is no licence: {}", error.reason))?;
        let allows = |wanted: &LicenseReq| self.allowed.iter().any(|licence| licence.satisfies(wanted));
        ensure!(wanted.evaluate(allows), "{name} is under `{stated}`, which deny.toml does not allow");
        Ok(())
    }
}

/// Crates come from crates.io, or lie here.
fn source(package: &Value) -> Result<()> {
    match package["source"].as_str() {
        None | Some("registry+https://github.com/rust-lang/crates.io-index") => Ok(()),
        Some(other) => bail!("{} comes from {other}", text(&package["name"])),
    }
}

/// Crates that somebody has to say something about, and nobody did: those that we name ourselves, and those with much
/// `unsafe`. A reason is a row of a table that begins with the crate's name.
fn unexplained<'a>(
    documented: &str,
    packages: impl Iterator<Item = &'a Value>,
    counts: &[(&Linked, Count)],
) -> Vec<anyhow::Error> {
    let written = documented.split(BEGIN).next().unwrap_or_default();
    let mut explained: BTreeMap<&str, &str> = BTreeMap::new();
    for line in written.lines().filter_map(|line| line.strip_prefix("| `")) {
        if let Some((name, reason)) = line.split_once("` | ") {
            explained.insert(name, reason);
        }
    }
    let linked: BTreeSet<&str> = counts.iter().map(|(part, _)| part.name.as_str()).collect();
    let own =
        packages.filter(|package| package["source"].is_null() && linked.contains(text(&package["name"]).as_str()));
    let chosen: BTreeSet<String> = own
        .flat_map(|package| list(&package["dependencies"]))
        .filter(|needed| needed["kind"].is_null())
        .map(|needed| text(&needed["name"]))
        .collect();
    let heavy = counts.iter().filter(|(_, count)| count.weight() >= HEAVY).map(|(part, _)| part.name.clone());
    let wanted: BTreeSet<String> =
        chosen.into_iter().filter(|name| linked.contains(name.as_str())).chain(heavy).collect();
    let missing = wanted.iter().filter(|name| !explained.contains_key(name.as_str()));
    let mut problems: Vec<_> = missing
        .map(|name| anyhow::anyhow!("docs/supply.md does not say why {name} is there: add a row | `{name}` | ... |"))
        .collect();
    let gone = explained.keys().filter(|name| !linked.contains(*name));
    problems.extend(gone.map(|name| anyhow::anyhow!("docs/supply.md explains {name}, which is not linked")));
    problems
}

fn table(counts: &[(&Linked, Count)]) -> String {
    let mut rows: Vec<_> = counts.iter().collect();
    rows.sort_by(|one, other| one.0.title.cmp(&other.0.title));
    let versions = rows.iter().fold(BTreeMap::<&str, usize>::new(), |mut found, (part, _)| {
        *found.entry(part.name.as_str()).or_default() += 1;
        found
    });
    let twice: Vec<&str> = versions.iter().filter(|(_, count)| **count > 1).map(|(name, _)| *name).collect();
    let sum = |of: fn(&Count) -> usize| rows.iter().map(|(_, count)| of(count)).sum::<usize>();
    let without = rows.iter().filter(|(_, count)| count.weight() + count.impls == 0).count();
    let mut out = format!(
        "\n{} crates, {without} of them without `unsafe`; {} blocks, {} functions and {} `impl`s of it in all. {} lines of Rust are others'. In more \
         than one version: {}.\n\n| crate | licence | lines | `unsafe` blocks | functions | `impl`s |\n| --- | --- | ---: | ---: | ---: | ---: |\n",
        rows.len(),
        sum(|count| count.blocks),
        sum(|count| count.functions),
        sum(|count| count.impls),
        rows.iter().filter(|(part, _)| !part.own).map(|(_, count)| count.lines).sum::<usize>(),
        if twice.is_empty() { "none".to_owned() } else { twice.join(", ") },
    );
    for (part, Count { lines, blocks, functions, impls }) in rows {
        // Of our own, lines and licence change with every day's work and say nothing here.
        let (licence, lines) =
            if part.own { ("ours".to_owned(), String::new()) } else { (part.licence.clone(), lines.to_string()) };
        let _ = writeln!(out, "| {} | {licence} | {lines} | {blocks} | {functions} | {impls} |", part.title);
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_under(licence: &str) -> Value {
        serde_json::json!({ "name": "a", "license": licence, "source": "registry+https://github.com/rust-lang/crates.io-index" })
    }

    #[test]
    fn a_licence_is_allowed_if_one_of_a_choice_and_all_of_a_sum_are() {
        let rules = "[licenses]\nallow = ['MIT', 'Apache-2.0', 'Apache-2.0 WITH LLVM-exception', 'Unicode-3.0']";
        let rules = Rules::of(rules).unwrap();
        for (expression, allowed) in [
            ("MIT", true),
            ("MIT/GPL-3.0", true),
            ("GPL-3.0 OR (MIT AND Apache-2.0)", true),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-3.0", false),
            ("MIT AND GPL-3.0", false),
            ("Apache-2.0 WITH Classpath-exception-2.0", false),
            ("(MIT", false),
            ("", false),
        ] {
            assert_eq!(rules.licence(&crate_under(expression)).is_ok(), allowed, "{expression}");
        }
    }

    #[test]
    fn a_licence_that_is_only_a_file_is_what_was_read_in_it() {
        let rules = "[licenses]\nallow = ['MIT']\n[[licenses.clarify]]\ncrate = 'a'\nexpression = 'MIT'\n";
        assert!(Rules::of(rules).unwrap().licence(&crate_under("")).is_ok());
    }

    #[test]
    fn a_crate_from_elsewhere_is_refused() {
        assert!(source(&crate_under("MIT")).is_ok());
        assert!(source(&serde_json::json!({ "name": "a", "source": "git+https://example.org/a" })).is_err());
    }

    #[test]
    fn a_crate_that_nobody_explains_is_named() {
        let ours = serde_json::json!({ "name": "ours", "source": null, "dependencies": [{ "name": "new", "kind": null }, { "name": "test", "kind": "dev" }] });
        let part = |name: &str| Linked {
            title: format!("{name} 1"),
            name: name.into(),
            licence: "MIT".into(),
            folder: PathBuf::new(),
            own: name == "ours",
        };
        let (ours_part, new, heavy) = (part("ours"), part("new"), part("heavy"));
        let counts = [
            (&ours_part, Count::default()),
            (&new, Count::default()),
            (&heavy, Count { blocks: HEAVY, ..Count::default() }),
        ];
        let problems = |text: &str| unexplained(text, [&ours].into_iter(), &counts).len();
        assert_eq!(problems(""), 2);
        assert_eq!(problems("| `new` | for a reason |\n| `heavy` | for another |\n"), 0);
        assert_eq!(problems("| `new` | for a reason |\n| `heavy` | for another |\n| `gone` | was here |\n"), 1);
    }
}
