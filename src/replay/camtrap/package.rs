//! `datapackage.json`: what the package is about.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::deployment::Deployments;
use crate::classifier::rfc3339;
use crate::config::LocationPolicy;
use crate::replay::Findings;
use crate::replay::species::{self, Sort, Species};
use crate::whole_file;

/// Where the standard's own descriptions of this version are.
const STANDARD: &str = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2";

/// What a person writes, and a new package therefore takes over from the one it replaces.
const BY_HAND: [&str; 12] = [
    "id",
    "title",
    "contributors",
    "description",
    "version",
    "keywords",
    "image",
    "homepage",
    "licenses",
    "bibliographicCitation",
    "project",
    "relatedIdentifiers",
];

/// Whether a package was made here.
pub fn is_ours(package: &Map<String, Value>) -> bool {
    let sources = package.get("sources").and_then(Value::as_array);
    sources.is_some_and(|all| all.iter().any(|source| source["title"] == "arcticd"))
}

/// Writes the description of a package to `path`.
///
/// # Errors
/// Those of the file system.
pub fn write(
    path: &Path,
    findings: &Findings,
    deployments: &Deployments,
    previous: Option<&Map<String, Value>>,
) -> Result<()> {
    let mut package = describe(findings, deployments);
    for (key, value) in previous.into_iter().flatten().filter(|(key, _)| BY_HAND.contains(&key.as_str())) {
        package.insert(key.clone(), value.clone());
    }
    whole_file::write::<anyhow::Error>(path, |out| {
        serde_json::to_writer_pretty(&mut *out, &package)?;
        Ok(writeln!(out)?)
    })
    .with_context(|| whole_file::cannot(path))
}

fn describe(findings: &Findings, deployments: &Deployments) -> Map<String, Value> {
    let trap = &findings.setup.trap;
    let resource = |name: &str| {
        json!({
            "name": name,
            "path": format!("{name}.csv"),
            "profile": "tabular-data-resource",
            "format": "csv",
            "mediatype": "text/csv",
            "encoding": "utf-8",
            "schema": format!("{STANDARD}/{name}-table-schema.json"),
        })
    };
    let now = findings.made_at;
    let created = rfc3339(now.replace_nanosecond(0).unwrap_or(now));
    let start = deployments.iter().map(|it| it.start).min().unwrap_or(now).date();
    let end = deployments.iter().map(|it| it.end).max().unwrap_or(now).date();
    let mut package = Map::new();
    let mut put = |key: &str, value: Value| package.insert(key.to_owned(), value);
    put("resources", ["deployments", "media", "observations"].map(resource).to_vec().into());
    put("profile", format!("{STANDARD}/camtrap-dp-profile.json").into());
    put("name", format!("arcticd-{trap}-{start}").into());
    put("created", created.into());
    put("title", format!("Camera trap {trap}, {start} to {end}").into());
    put("contributors", json!([{ "title": format!("Operators of camera trap {trap}"), "role": "contact" }]));
    put("sources", json!([{ "title": "arcticd", "version": env!("CARGO_PKG_VERSION") }]));
    put(
        "project",
        json!({
            "title": format!("Camera trap {trap}"),
            "samplingDesign": "opportunistic",
            "captureMethod": ["activityDetection"],
            "individualAnimals": false,
            "observationLevel": ["media", "event"],
        }),
    );
    if deployments.iter().any(|it| it.location.policy == LocationPolicy::Rounded) {
        put("coordinatePrecision", json!(0.1));
    }
    put("spatial", spatial(deployments));
    put("temporal", json!({ "start": start.to_string(), "end": end.to_string() }));
    put("taxonomic", taxonomic(findings));
    package
}

/// The cameras' places as GeoJSON: a point, or the box around them.
fn spatial(deployments: &Deployments) -> Value {
    let bound = |of: fn(&crate::detection::Location) -> f64, pick: fn(f64, f64) -> f64| {
        deployments.iter().map(|it| of(&it.location)).reduce(pick).unwrap_or_default()
    };
    let (west, east) = (bound(|it| it.longitude, f64::min), bound(|it| it.longitude, f64::max));
    let (south, north) = (bound(|it| it.latitude, f64::min), bound(|it| it.latitude, f64::max));
    let bbox = [west, south, east, north];
    if west == east || south == north {
        // A box without an area is no polygon.
        let line = if (west, south) == (east, north) { None } else { Some([[west, south], [east, north]]) };
        return match line {
            Some(line) => json!({ "type": "LineString", "bbox": bbox, "coordinates": line }),
            None => json!({ "type": "Point", "bbox": bbox, "coordinates": [west, south] }),
        };
    }
    let ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
    json!({ "type": "Polygon", "bbox": bbox, "coordinates": [ring] })
}

/// The species in the observations.
fn taxonomic(findings: &Findings) -> Value {
    let common = &findings.looked.common;
    let labels = findings.looked.records.iter().filter_map(|record| common.verdict(record)).map(|(label, _)| label);
    let labels: BTreeSet<&str> = labels.filter(|label| species::sort(label, false) == Sort::Animal).collect();
    let species: BTreeMap<&str, &Species> =
        labels.into_iter().filter_map(species::species).map(|it| (it.name, it)).collect();
    let taxa = species.into_values().map(|it| {
        json!({
            "scientificName": it.name,
            "taxonRank": "species",
            "kingdom": "Animalia",
            "phylum": "Chordata",
            "class": it.class,
            "order": it.order,
            "family": it.family,
            "vernacularNames": { "eng": it.english },
        })
    });
    Value::Array(taxa.collect())
}
