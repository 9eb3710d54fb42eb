//! What is linked into arcticd: a list for machines (CycloneDX), a copyright file, and the licences' texts.
//!
//! `cargo tree` says which crates the device's binary has, for its target and with its features, build tools left out;
//! `cargo metadata` says the rest of each. No clock and no random number: the same tree gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::root;

/// A crate in the binary.
struct Part {
    name: String,
    version: String,
    /// SPDX expression.
    licence: String,
    authors: String,
    repository: String,
    /// From `Cargo.lock`; the project's own crates have none.
    sha256: Option<String>,
    needs: BTreeSet<String>,
    texts: Vec<String>,
}

impl Part {
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }

    fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    fn is_own(&self) -> bool {
        self.sha256.is_none()
    }
}

/// Writes `arcticd.cdx.json`, `copyright` and `licences` for the binary of `triple` into `directory`.
pub fn write(directory: &Path, triple: &str) -> Result<()> {
    let parts = parts(triple)?;
    ensure!(parts.len() > 50, "cargo tree lists only {} crates for {triple}", parts.len());
    let save = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    save("arcticd.cdx.json", format!("{:#}\n", bill(&parts)))?;
    save("copyright", copyright(&parts))?;
    save("licences", texts(&parts))
}

/// What cargo prints.
pub fn cargo(arguments: &[&str]) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("cargo's output")
}

/// Name and version of each crate in the binary.
pub fn linked(triple: &str) -> Result<BTreeSet<(String, String)>> {
    let kinds = "normal,no-proc-macro";
    let tree = ["tree", "--locked", "-p", "arcticd", "-e", kinds, "--target", triple, "--prefix", "none", "-f", "{p}"];
    let tree = cargo(&tree)?;
    let words = |line: &str| line.split_once(" v").map(|(name, rest)| (name.to_owned(), first_word(rest).to_owned()));
    Ok(tree.lines().filter_map(words).collect())
}

/// The binary's crates, by name and version.
fn parts(triple: &str) -> Result<Vec<Part>> {
    let linked = linked(triple)?;

    let metadata = ["metadata", "--locked", "--format-version", "1", "--filter-platform", triple];
    let metadata: Value = serde_json::from_str(&cargo(&metadata)?).context("cargo metadata")?;
    let lock = fs::read_to_string(root().join("Cargo.lock")).context("Cargo.lock")?;
    let checksums = checksums(&lock);
    let key = |package: &Value| (text(&package["name"]), text(&package["version"]));
    let by_id: BTreeMap<String, (String, String)> =
        list(&metadata["packages"]).map(|package| (text(&package["id"]), key(package))).collect();
    let mut needs: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let Some(from) = by_id.get(&text(&node["id"])) else { continue };
        for dependency in list(&node["deps"]) {
            let normal = list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null());
            if let Some((name, version)) =
                by_id.get(&text(&dependency["pkg"])).filter(|to| normal && linked.contains(to))
            {
                needs.entry(from.clone()).or_default().insert(format!("pkg:cargo/{name}@{version}"));
            }
        }
    }
    let mut parts: Vec<Part> = list(&metadata["packages"])
        .filter(|package| linked.contains(&key(package)))
        .map(|package| part(package, &checksums, needs.remove(&key(package)).unwrap_or_default()))
        .collect::<Result<_>>()?;
    parts.sort_by_key(Part::title);
    Ok(parts)
}

fn part(package: &Value, checksums: &BTreeMap<String, String>, needs: BTreeSet<String>) -> Result<Part> {
    let (name, version) = (text(&package["name"]), text(&package["version"]));
    let manifest = text(&package["manifest_path"]);
    let folder = Path::new(&manifest).parent().context("a manifest without a folder")?;
    let licence = text(&package["license"]).replace(" / ", " OR ").replace('/', " OR ");
    ensure!(!licence.is_empty(), "{name} {version} names no licence");
    let authors: Vec<String> = list(&package["authors"]).map(text).collect();
    Ok(Part {
        sha256: checksums.get(&format!("{name} {version}")).cloned(),
        authors: authors.join(", "),
        repository: text(&package["repository"]),
        needs,
        texts: if package["source"].is_null() { Vec::new() } else { licence_texts(folder)? },
        name,
        version,
        licence,
    })
}

/// What the crate says about its licence, a text a file.
fn licence_texts(folder: &Path) -> Result<Vec<String>> {
    let is_licence = |name: &str| {
        let name = name.to_uppercase();
        ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.is_file() && file.file_name().and_then(|name| name.to_str()).is_some_and(is_licence));
    files.sort();
    let read = |file: &std::path::PathBuf| Some(fs::read_to_string(file).ok()?.replace("\r\n", "\n").trim().to_owned());
    Ok(files.iter().filter_map(read).filter(|text| !text.is_empty()).collect())
}

fn bill(parts: &[Part]) -> Value {
    let component = |part: &Part| {
        let mut component = json!({
            "type": if part.name == "arcticd" { "application" } else { "library" },
            "bom-ref": part.purl(), "purl": part.purl(), "name": part.name, "version": part.version,
            "licenses": [{ "expression": part.licence }],
        });
        if let Some(sha256) = &part.sha256 {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
        }
        component
    };
    let (own, others): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(|part| part.name == "arcticd");
    json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": own.first().map(|part| component(part)) },
        "components": others.iter().map(|part| component(part)).collect::<Vec<_>>(),
        "dependencies": parts.iter().map(|part| json!({ "ref": part.purl(), "dependsOn": part.needs })).collect::<Vec<_>>(),
    })
}

/// In Debian's machine-readable form. The paths are those that `cargo vendor` would give the sources.
fn copyright(parts: &[Part]) -> String {
    let mut out = String::from(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: arcticd\n\
         Comment: The program links the crates that stand below as vendor/NAME-VERSION; the model inside it was trained\n \
         by the project. The texts of all licences, with their notices, are in licences.gz beside this file.\n\n\
         Files: *\nCopyright: 2026 The arcticd developers\nLicense: Expat or Apache-2.0\n",
    );
    let mut licences: BTreeSet<String> = ["Expat".into(), "Apache-2.0".into()].into();
    for part in parts.iter().filter(|part| !part.is_own()) {
        let notices: BTreeSet<&str> =
            part.texts.iter().flat_map(|text| text.lines()).map(str::trim).filter(|line| is_notice(line)).collect();
        let holders = match (notices.is_empty(), part.authors.as_str()) {
            (false, _) => notices.into_iter().collect::<Vec<_>>().join("\n "),
            (true, "") => format!("The authors of {}, {}", part.name, part.repository),
            (true, authors) => authors.to_owned(),
        };
        let licence = short_names(&part.licence, &mut licences);
        let _ =
            write!(out, "\nFiles: vendor/{}-{}/*\nCopyright: {holders}\nLicense: {licence}\n", part.name, part.version);
    }
    for licence in licences {
        let place = match licence.as_str() {
            "Apache-2.0" | "CC0-1.0" => format!(" On Debian the text is in /usr/share/common-licenses/{licence}.\n"),
            _ => " The text is in licences.gz beside this file.\n".into(),
        };
        let _ = write!(out, "\nLicense: {licence}\n{place}");
    }
    out
}

fn is_notice(line: &str) -> bool {
    line.starts_with("Copyright ") && line.contains(|letter: char| letter.is_ascii_digit()) && line.len() < 120
}

/// An SPDX expression in Debian's words; its licences are added to `all`.
fn short_names(expression: &str, all: &mut BTreeSet<String>) -> String {
    let expression = expression.replace(" WITH LLVM-exception", "-with-LLVM-exception").replace(['(', ')'], "");
    let mut words = Vec::new();
    for word in expression.split_whitespace() {
        words.push(match word {
            "OR" | "AND" => word.to_lowercase(),
            "MIT" => "Expat".into(),
            licence => licence.to_owned(),
        });
    }
    all.extend(words.iter().filter(|word| !["or", "and"].contains(&word.as_str())).cloned());
    words.join(" ")
}

/// Each text once, under the crates that carry it.
fn texts(parts: &[Part]) -> String {
    let mut by_text: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for part in parts {
        for text in &part.texts {
            by_text.entry(text).or_default().push(part.title());
        }
    }
    let own = [include_str!("../../LICENSE-MIT"), include_str!("../../LICENSE-APACHE")];
    let mut out = format!("arcticd\n\n{}\n", own.join("\n"));
    let mut entries: Vec<_> = by_text.into_iter().collect();
    entries.sort_by(|one, other| one.1.cmp(&other.1));
    for (text, crates) in entries {
        let _ = write!(out, "\n{}\n{}\n\n{text}\n", "=".repeat(80), crates.join(", "));
    }
    out
}

/// `name version` to the SHA-256 of its archive.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let value = |entry: &str, key: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let read = |entry: &str| {
        Some((format!("{} {}", value(entry, "name")?, value(entry, "version")?), value(entry, "checksum")?))
    };
    lock.split("[[package]]").filter_map(read).collect()
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}
