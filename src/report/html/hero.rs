//! What is read from across the room.

use maud::{Markup, html};

use super::marks::name;
use crate::evaluate::{Evaluation, Share};
use crate::report::numbers::{counted, interval, percent, probability, unit, with_packaged};
use crate::report::{Report, balanced_interval};

/// The head's name and its two headline figures, each with its interval.
pub fn hero(report: &Report) -> Markup {
    let held_out = Part { name: "held-out photos", packaged: report.held_out_packaged };
    let tested = Part { name: "test photos", packaged: 0 };
    html! {
        header.hero {
            div.hero-inner {
                p.eyebrow { "arcticd · training report" }
                h1 { (report.head) }
                p.sub { (report.layers) " · " (report.backbone) }
                div class=(tiles(report)) {
                    (balanced(&report.cross_validation, held_out))
                    @for point in &report.operating_points {
                        (alert(&point.label, point.threshold, &point.recall, &point.false_alert_rate, held_out))
                    }
                    @if let Some(test) = &report.test {
                        (balanced(test, tested))
                        @for figures in &test.alerts {
                            (alert(&figures.label, figures.threshold, &figures.recall, &figures.false_alert_rate, tested))
                        }
                    }
                }
            }
            (ridge())
        }
    }
}

/// What a tile's figures are of.
#[derive(Clone, Copy)]
struct Part {
    name: &'static str,
    packaged: u64,
}

/// Tiles in rows of four or three, whichever leaves no tile alone.
fn tiles(report: &Report) -> &'static str {
    let tested = report.test.as_ref().map_or(0, |test| 1 + test.alerts.len());
    match 1 + report.operating_points.len() + tested {
        count if count > 4 && (count % 4 == 1 || count % 3 == 0) => "tiles three",
        _ => "tiles",
    }
}

fn balanced(evaluation: &Evaluation, part: Part) -> Markup {
    let ends = balanced_interval(evaluation);
    html! {
        div.tile {
            h2 { "Balanced accuracy" span.where { (part.name) } }
            @if evaluation.images == 0 {
                p.figure { "–" }
                p.small { "No photos to measure it on." }
            } @else {
                p.figure { (percent(evaluation.balanced_accuracy)) }
                (bar(evaluation.balanced_accuracy, ends))
                p.small { "95 %: " (interval(ends)) ". The mean of the labels' recalls, on " (with_packaged(evaluation.images, part.packaged, "photo")) "." }
            }
        }
    }
}

fn alert(label: &str, threshold: f64, recall: &Share, false_alerts: &Share, part: Part) -> Markup {
    html! {
        div.tile {
            h2 { (name(label)) " found" span.where { (part.name) } }
            p.figure {
                @if recall.of == 0 { "–" } @else { (percent(recall.share)) }
                span.price { "at " @if false_alerts.of == 0 { "unknown" } @else { (percent(false_alerts.share)) } " false alerts" }
            }
            (bar(recall.share, recall.wilson_95))
            p.small {
                (recall.hits) " of " (recall.of) " found (95 %: " (interval(recall.wilson_95)) "), "
                (counted(false_alerts.hits, "false alert")) " in " (with_packaged(false_alerts.of, part.packaged, "other photo"))
                " (95 %: " (interval(false_alerts.wilson_95)) "), from " (probability(threshold)) " on."
            }
        }
    }
}

/// An interval on a scale from 0 to 1.
fn bar(share: f64, ends: [f64; 2]) -> Markup {
    let [low, high] = ends.map(|end| unit(end) * 100.0);
    html! {
        div.range role="img" aria-label=(format!("{}, 95 % interval {}", percent(share), interval(ends))) {
            span.range-interval style=(format!("left:{low:.2}%;width:{:.2}%", (high - low).max(0.6))) {}
            span.range-dot style=(format!("left:{:.2}%", unit(share) * 100.0)) {}
        }
    }
}

/// Mountains, for the wall.
fn ridge() -> Markup {
    html! {
        svg.ridge viewBox="0 0 1200 120" preserveAspectRatio="none" aria-hidden="true" {
            path.far d="M0 120V74L90 50L150 66L260 18L330 52L410 36L520 78L640 30L720 62L800 44L930 12L1010 54L1090 38L1200 70V120Z" {}
            path.near d="M0 120V98L120 82L210 94L340 62L450 90L560 76L700 102L840 70L960 92L1070 78L1200 100V120Z" {}
        }
    }
}
