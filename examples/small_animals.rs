//! How small an animal may be in a wide scene, by whole frames and by regions: the tables of docs/accuracy.md.
//!
//! `ARCTICD_TEST_DATA=PHOTOS cargo run --release --example small_animals -- [test|train] [LANDSCAPES] [ROUNDS] [WIDTH] [MODE]`

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use arcticd::classifier::Classifier;
use arcticd::config::{Alerts, Regions, RegionsMode};
use arcticd::frame::Limits;
use arcticd::model::Model;
use testkit::wide::measure::{BEAR, Seen, Shows, watch};
use testkit::wide::{Album, Light};

const SHARES: [f32; 2] = [1.0 / 8.0, 1.0 / 16.0];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize, usual: &str| arguments.get(at).cloned().unwrap_or_else(|| usual.to_owned());
    let root = std::env::var_os("ARCTICD_TEST_DATA")
        .map(PathBuf::from)
        .context("ARCTICD_TEST_DATA names no folder of photos")?;
    let album = Album::load(&root, &argument(0, "test"))?;
    let landscapes = argument(1, "1000").parse::<usize>()?.min(album.landscapes.len());
    let (rounds, width) = (argument(2, "6").parse()?, argument(3, "1920").parse()?);
    let mode = match argument(4, "motion").as_str() {
        "motion" => RegionsMode::Motion,
        "tiles" => RegionsMode::Tiles,
        other => bail!("{other} is neither motion nor tiles"),
    };
    let alerts = Alerts::default();
    let classifier = Classifier::new(Model::builtin()?, "wide".into(), &alerts, Limits::default())?;
    let regions = Regions { mode, ..Regions::default() };

    let mut seen = Vec::new();
    for number in 0..landscapes {
        seen.extend(watch(&classifier, &regions, &album, number..number + 1, rounds, &SHARES, width)?);
        eprintln!("{} of {landscapes} landscapes", number + 1);
    }
    let threshold =
        classifier.proven().rules().alerting().find(|(label, _)| *label == BEAR).map_or(1.0, |(_, least)| least);
    println!(
        "{landscapes} landscapes, frames {width} pixels wide, whole frame from {threshold}, regions from {}\n",
        regions.min_confidence
    );
    table(&seen);
    at_equal_false_alerts(&seen);
    each_bear(&seen);
    costs(&seen);
    Ok(())
}

fn table(seen: &[Seen]) {
    println!("| frames | whole frame | with regions | where the animal is | place known |");
    println!("| --- | --- | --- | --- | --- |");
    type Which<'a> = &'a dyn Fn(&Seen) -> bool;
    let rows: [(&str, Which); 5] = [
        ("bears, 1/8 of the width", &|seen| matches!(seen.shows, Shows::Bear(share, _) if share > 0.1)),
        ("bears, 1/16 of the width", &|seen| matches!(seen.shows, Shows::Bear(share, _) if share < 0.1)),
        ("nothing", &|seen| seen.shows == Shows::Nothing(Light::Steady)),
        ("nothing, the light has jumped", &|seen| seen.shows == Shows::Nothing(Light::Jump)),
        ("a fox or walrus, 1/8 of the width", &|seen| seen.shows == Shows::Other),
    ];
    for (name, belongs) in rows {
        let of: Vec<&Seen> = seen.iter().filter(|seen| belongs(seen)).collect();
        let share = |counts: &dyn Fn(&Seen) -> bool| share(of.iter().filter(|seen| counts(seen)).count(), of.len());
        let animal = of.iter().any(|seen| seen.known_place.is_some());
        let place = if animal { share(&|seen| seen.alerts && seen.in_place) } else { String::new() };
        let known = if animal {
            share(&|seen| seen.known_place.is_some_and(|score| score >= Regions::default().min_confidence))
        } else {
            String::new()
        };
        println!(
            "| {name} | {} | {} | {place} | {known} |",
            share(&|seen| seen.whole_alerts),
            share(&|seen| seen.alerts)
        );
    }
}

/// The whole frame with whatever threshold does best at no more false alerts than regions have, and at most 1 %.
fn at_equal_false_alerts(seen: &[Seen]) {
    let nothing: Vec<&Seen> = seen.iter().filter(|seen| matches!(seen.shows, Shows::Nothing(_))).collect();
    let by_regions = nothing.iter().filter(|seen| seen.alerts).count();
    let mut scores: Vec<f32> = nothing.iter().map(|seen| seen.whole).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    println!();
    for (name, allowed) in
        [("as many false alerts as regions have", by_regions), ("at most 1 % false alerts", nothing.len() / 100)]
    {
        let Some(threshold) = scores.get(allowed) else { continue };
        let bears = |large: bool| {
            let of: Vec<&Seen> = seen
                .iter()
                .filter(|seen| matches!(seen.shows, Shows::Bear(share, _) if (share > 0.1) == large))
                .collect();
            share(of.iter().filter(|seen| seen.whole > *threshold).count(), of.len())
        };
        println!(
            "whole frame, {name} ({allowed} of {}), above {threshold:.4}: 1/8 {}, 1/16 {}",
            nothing.len(),
            bears(true),
            bears(false)
        );
    }
}

fn each_bear(seen: &[Seen]) {
    let bears = seen.iter().filter_map(|seen| match seen.shows {
        Shows::Bear(share, bear) if share > 0.1 => Some((bear, seen.alerts)),
        _ => None,
    });
    let mut counts = std::collections::BTreeMap::<usize, (usize, usize)>::new();
    for (bear, alerts) in bears {
        let count = counts.entry(bear).or_default();
        *count = (count.0 + usize::from(alerts), count.1 + 1);
    }
    let text: Vec<String> = counts.values().map(|(found, all)| format!("{found}/{all}")).collect();
    println!("\neach bear, 1/8, with regions: {}", text.join(" "));
}

fn costs(seen: &[Seen]) {
    println!(
        "\n| parts looked at | frames | whole frame, ms | with regions, ms | ratio |\n| --- | --- | --- | --- | --- |"
    );
    for parts in 0..=3 {
        let of: Vec<&Seen> = seen.iter().filter(|seen| seen.parts == parts && !seen.whole_alerts).collect();
        // Medians: the machine does other things too.
        let median = |time: &dyn Fn(&Seen) -> f64| {
            let mut times: Vec<f64> = of.iter().map(|seen| time(seen) * 1000.0).collect();
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let (whole, with) = (median(&|seen| seen.took.0.as_secs_f64()), median(&|seen| seen.took.1.as_secs_f64()));
        println!("| {parts} | {} | {whole:.1} | {with:.1} | {:.2} |", of.len(), with / whole);
    }
    let total = |time: fn(&Seen) -> f64| seen.iter().map(time).sum::<f64>();
    println!(
        "all frames: {:.2} times the whole frame's time",
        total(|seen| seen.took.1.as_secs_f64()) / total(|seen| seen.took.0.as_secs_f64())
    );
}

fn share(count: usize, all: usize) -> String {
    format!("{count} of {all} = {:.1} %", 100.0 * count as f64 / all.max(1) as f64)
}
