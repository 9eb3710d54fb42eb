//! What the demo writes: at most 100 columns, plain text, colour only on a terminal.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use arcticd::detection::{Detection, EventState, Kind};
use time::OffsetDateTime;
use time::macros::format_description;

/// Longest frame name in an alert and in the table before it is shortened.
const NAMES: (usize, usize) = (30, 44);

/// A heading.
pub fn title(text: &str) {
    println!("{}\n", bold(text));
}

/// A fact about the demo.
pub fn fact(name: &str, text: impl Display) {
    println!("  {name:<10}{text}");
}

/// The begin of a fact that takes a while; `println!` ends the line.
pub fn begin(name: &str, text: impl Display) {
    print!("  {name:<10}{text}");
    let _ = std::io::stdout().flush();
}

/// Something that happened on the trap's side.
pub fn step(what: &str, text: impl Display) {
    println!("{}  {what:<7}{text}", clock());
}

/// A detection as it came in over MQTT; `after` is the time since its frame was dropped.
pub fn alert(detection: &Detection, after: Option<Duration>) {
    let trap = &detection.trap;
    let event = detection.event.as_ref();
    if detection.kind == Kind::EventClosed {
        let frames = event.map_or(0, |event| event.frames);
        let best = event.map_or("", |event| event.best_frame.as_str());
        let plural = if frames == 1 { "" } else { "s" };
        let text = format!("{trap}  {}  event closed: {frames} frame{plural}, best {best}", detection.label);
        return println!("{}  MQTT   {text}", clock());
    }
    let state = match event.map(|event| event.state) {
        Some(EventState::Opened) => "event opened",
        Some(EventState::Updated) => "event updated",
        _ => "",
    };
    let name = shortened(&detection.frame.name, NAMES.0);
    let after = after.map_or(String::new(), |after| format!("{} ms", after.as_millis()));
    let seen = format!("{} {:.3}", detection.label, detection.confidence);
    println!("{}  {}  {trap}  {seen}  {name}  {state:<13}  {after:>7}", clock(), bold("ALERT"));
}

/// One row of the table at the end.
pub struct Row {
    /// The frame.
    pub name: String,
    /// What it is, if that is known.
    pub truth: Option<String>,
    /// What it scored, or why it did not.
    pub scored: String,
    /// What came of it on MQTT.
    pub told: String,
}

/// The table at the end.
pub fn table(rows: &[Row]) {
    let names = rows.iter().map(|row| shortened(&row.name, NAMES.1).chars().count()).max().unwrap_or(0).max(5);
    let with_truth = rows.iter().any(|row| row.truth.is_some());
    let truth = |text: &str| if with_truth { format!("{text:<10}") } else { String::new() };
    println!("\n  {:<names$}  {}{:<20}over MQTT", "frame", truth("rendered"), "scored");
    println!("  {}", "-".repeat(names + 2 + if with_truth { 10 } else { 0 } + 20 + 30));
    for row in rows {
        let name = shortened(&row.name, NAMES.1);
        println!("  {name:<names$}  {}{:<20}{}", truth(row.truth.as_deref().unwrap_or("")), row.scored, row.told);
    }
    println!();
}

/// A label and its probability, aligned.
pub fn score(label: &str, confidence: f32) -> String {
    format!("{label:<12}{confidence:.3}")
}

fn shortened(name: &str, longest: usize) -> String {
    let length = name.chars().count();
    if length <= longest {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(length - (longest - 3)).collect();
    format!("...{tail}")
}

fn clock() -> String {
    let format = format_description!("[hour]:[minute]:[second].[subsecond digits:3]");
    OffsetDateTime::now_utc().format(format).unwrap_or_default()
}

fn bold(text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}
