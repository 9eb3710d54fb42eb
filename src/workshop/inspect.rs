//! `arcticd backbone inspect`: what runs where, node by node, and why.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::backbone;
use crate::exit_code::ExitCode;
use crate::model::Backbone;
use crate::model::integer::{By, Placement};
use crate::terminal;

#[derive(Serialize)]
struct Report<'a> {
    backbone: &'a str,
    kernels: &'static str,
    features: usize,
    nodes: &'a [Placement],
}

/// Prints where each node of the backbone at `path` (the built-in one without) is computed.
///
/// # Errors
/// The backbone can't be loaded, or the disk behind standard output is full.
pub fn run(path: Option<&Path>, json: bool) -> Result<ExitCode> {
    let backbone = backbone(path, false)?;
    let mut out = terminal::out();
    let printed = if json { print_json(&mut out, &backbone) } else { print(&mut out, &backbone) };
    printed.and_then(|()| out.flush()).context("standard output")?;
    Ok(ExitCode::Ok)
}

fn print_json(out: &mut impl Write, backbone: &Backbone) -> io::Result<()> {
    let report = Report {
        backbone: &backbone.manifest().id,
        kernels: backbone.engine().isa.name(),
        features: backbone.features(),
        nodes: backbone.placements(),
    };
    serde_json::to_writer(&mut *out, &report)?;
    writeln!(out)
}

fn print(out: &mut impl Write, backbone: &Backbone) -> io::Result<()> {
    let manifest = backbone.manifest();
    writeln!(out, "{}: {} features, kernels {}", manifest.id, backbone.features(), backbone.engine().isa)?;
    let nodes = backbone.placements();
    if nodes.is_empty() {
        return writeln!(
            out,
            "No activation is quantized: tract computes all of it in f32. `arcticd backbone quantize` makes an int8 one."
        );
    }
    let width = nodes.iter().map(|it| it.node.len()).max().unwrap_or(0).min(48);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for Placement { node, op, by } in nodes {
        let (place, kind) = match by {
            By::Integer { kind, group } => (format!("integer {kind}, in {group}"), "integer kernels"),
            By::Load => ("once, at load".to_owned(), "computed at load"),
            By::Tract { reason } => (format!("tract, f32: {reason}"), "tract"),
        };
        *counts.entry(kind).or_default() += 1;
        let (node, op, place) = (terminal::line(node), terminal::line(op), terminal::line(place));
        writeln!(out, "{node:width$}  {op:20}  {place}")?;
    }
    let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    writeln!(out, "{} nodes: {}", nodes.len(), counts.join(", "))
}
