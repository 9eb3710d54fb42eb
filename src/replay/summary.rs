//! What was found, for a person.

use std::collections::BTreeMap;
use std::io::{self, Write};

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::Findings;
use super::record::{Clock, Record};
use crate::terminal::line;

const MINUTE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]");
const SECOND: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

/// Copies that are named; they are all counted.
const COPIES_NAMED: usize = 10;

/// The whole story: events by camera, frames by label, what failed.
pub fn write(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let records = &findings.looked.records;
    writeln!(out, "{}", line(&findings.root))?;
    if let (Some(first), Some(last)) = (records.first(), records.last()) {
        writeln!(out, "{} frames, {} to {}", records.len(), time(first, MINUTE), time(last, MINUTE))?;
    }
    let alerting: Vec<String> =
        findings.setup.alerting.iter().map(|(label, from)| format!("{} from {from}", words(label))).collect();
    writeln!(
        out,
        "head {} on backbone {}, alerting {}",
        findings.setup.head,
        findings.setup.backbone,
        alerting.join(", ")
    )?;
    events(out, findings)?;
    labels(out, findings)?;
    write_short(out, findings)
}

/// What could not be looked at, or was met twice.
pub fn write_short(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let looked = &findings.looked;
    if !looked.copies.is_empty() {
        let (records, failures) = findings.by_hash();
        let what = if looked.copies.len() == 1 { "copy of another file" } else { "copies of other files" };
        writeln!(out, "\n{} {what}, each content counted once", looked.copies.len())?;
        for copy in looked.copies.iter().take(COPIES_NAMED) {
            let record = records.get(&copy.of).map(|record| &*record.name);
            let original = record.or_else(|| failures.get(&copy.of).map(|failure| failure.name.as_str()));
            writeln!(out, "  {} = {}", line(&copy.name), line(original.unwrap_or_default()))?;
        }
        if looked.copies.len() > COPIES_NAMED {
            writeln!(out, "  and {} more", looked.copies.len() - COPIES_NAMED)?;
        }
    }
    let partial: Vec<&Record> = looked.records.iter().filter(|record| record.partial).collect();
    if !partial.is_empty() {
        writeln!(out, "\n{} damaged, looked at as far as they go", partial.len())?;
        partial.iter().try_for_each(|record| writeln!(out, "  {}", line(&record.name)))?;
    }
    if !looked.failures.is_empty() {
        writeln!(out, "\n{} failed, nobody knows what is on them", looked.failures.len())?;
        for failure in &looked.failures {
            writeln!(out, "  {}: {}", line(&failure.name), line(&failure.reason))?;
        }
    }
    Ok(())
}

fn events(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let records = &findings.looked.records;
    let mut cameras: BTreeMap<&str, Vec<[String; 5]>> = BTreeMap::new();
    for span in findings.events.spans.iter().filter(|span| span.alert) {
        let (Some(first), Some(last), Some(best)) =
            (records.get(span.first), records.get(span.last), records.get(span.best))
        else {
            continue;
        };
        let took = last.at.saturating_sub(first.at);
        let frames = match span.frames {
            1 => "1 frame".to_owned(),
            frames => format!("{frames} frames in {}", duration(took)),
        };
        let row = [
            time(first, SECOND),
            words(&span.label),
            format!("{:.3}", best.confidence),
            frames,
            format!("best {}", line(&best.name)),
        ];
        cameras.entry(first.camera().unwrap_or_default()).or_default().push(row);
    }
    if cameras.is_empty() {
        return writeln!(out, "\nno event: nothing alerted");
    }
    for (camera, rows) in cameras {
        let plural = if rows.len() == 1 { "event" } else { "events" };
        match camera {
            "" => writeln!(out, "\n{} {plural}", rows.len())?,
            name => writeln!(out, "\ncamera {}: {} {plural}", line(name), rows.len())?,
        }
        let mut widths = [0; 5];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &rows {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(out, "  {}", cells.join("  ").trim_end())?;
        }
    }
    Ok(())
}

/// Frames a label: what is on them most probably, and how many alerted.
fn labels(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let common = &findings.looked.common;
    let mut counts: BTreeMap<&str, (usize, usize)> = common.labels.iter().map(|label| (&**label, (0, 0))).collect();
    for (label, decision) in findings.looked.records.iter().filter_map(|record| common.verdict(record)) {
        let (frames, alerts) = counts.entry(label).or_default();
        *frames += 1;
        *alerts += usize::from(decision.alert);
    }
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nframes by label")?;
    let width = counts.keys().map(|label| label.len()).max().unwrap_or_default();
    for (label, (frames, alerts)) in counts {
        let spans = findings.events.spans.iter().filter(|span| span.alert && span.label == label).count();
        let alerting = match alerts {
            0 => String::new(),
            _ => format!("  {alerts} alerting, in {spans} {}", if spans == 1 { "event" } else { "events" }),
        };
        writeln!(out, "  {:<width$}  {frames:>7}{alerting}", words(label))?;
    }
    Ok(())
}

/// As the camera showed it; a clock whose zone nobody knows is left without one.
fn time(record: &Record, format: &[BorrowedFormatItem<'_>]) -> String {
    let time = record.time(UtcOffset::UTC);
    let text = time.format(format).unwrap_or_default();
    match record.clock {
        Clock::Zoned => format!("{text} {}", offset(time)),
        Clock::Local => text,
        Clock::File => format!("{text} (file)"),
    }
}

fn offset(time: OffsetDateTime) -> String {
    let (hours, minutes, _) = time.offset().as_hms();
    let sign = if time.offset().is_negative() { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs())
}

fn duration(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

fn words(label: &str) -> String {
    label.replace('_', " ")
}
