//! The alert's threshold: what it finds, and what that costs.

use maud::{Markup, html};

use super::card;
use super::marks::name;
use super::plot::{Axis, Plot, Unit};
use crate::report::numbers::{percent, probability};
use crate::report::text::{fraction, in_words};
use crate::report::{CurvePoint, OperatingPoint, Report};

/// Points of a curve that are drawn at most.
const DRAWN: usize = 600;

/// The heading, which names the label where there are several.
pub fn title(report: &Report, point: &OperatingPoint) -> String {
    match report.operating_points.len() {
        0 | 1 => "The alert".to_owned(),
        _ => format!("The alert: {}", point.label),
    }
}

/// Both curves with the chosen threshold, and what it comes to in words; `place` is the point's among all.
pub fn alert(point: &OperatingPoint, place: usize, report: &Report) -> Markup {
    // The first keeps the plain name: a page's ids are unlike each other.
    let id = |name: &str| if place == 0 { name.to_owned() } else { format!("{name}-{}", place + 1) };
    let words = in_words(point, report);
    let tested = report.test.as_ref().and_then(|test| test.alerts.iter().find(|alert| alert.label == point.label));
    html! {
        p.lead { (words.iter().map(|sentence| sentence.trim()).collect::<Vec<_>>().join(" ")) }
        div.cards {
            (precision_recall(point, &id("precision-recall")))
            (recall_by_false_alerts(point, &id("recall-cost")))
        }
        @if let Some(tested) = tested {
            div.card.plain {
                h3 { "What rings falsely, on the test photos" }
                ul.chips {
                    @for (label, share) in &tested.false_alerts_by_label {
                        li { b { (name(label)) } " " (fraction(share)) }
                    }
                }
            }
        }
    }
}

fn precision_recall(point: &OperatingPoint, id: &str) -> Markup {
    let lowest = point.curve.iter().map(|at| at.precision).filter(|value| value.is_finite()).fold(0.9, f64::min);
    let plot = Plot { x: Axis::shares("recall", 0.0), y: Axis::shares("precision", lowest) };
    let curve: Vec<(f64, f64)> = thinned(&point.curve).map(|at| (at.recall, at.precision)).collect();
    let chosen = chosen(point).map(|at| (at.recall, at.precision));
    let said = format!("Precision against recall of {} over all thresholds. {}", point.label, at_threshold(point));
    let marks = html! {
        path.line.alert d=(plot.line(curve)) {}
        @if let Some((recall, precision)) = chosen { (marked(&plot, recall, precision, point.threshold)) }
    };
    card(
        "Precision and recall of the alert",
        plot.draw(id, "Precision-recall curve of the alert", &said, marks),
        html! { "Each point of the line is a threshold, on held-out photos; the ring is the chosen one. Precision depends on how many other photos there are: on a trap there are far more." },
    )
}

fn recall_by_false_alerts(point: &OperatingPoint, id: &str) -> Markup {
    let smallest = 1.0 / point.false_alert_rate.of.max(1) as f64;
    let lowest = point.recall.wilson_95[0].min(0.5);
    let plot = Plot {
        x: Axis::rates("false alerts, share of other photos (log)", smallest),
        y: Axis::shares("recall", lowest),
    };
    let curve: Vec<(f64, f64)> = thinned(&point.curve).map(|at| (at.false_alert_rate, at.recall)).collect();
    let (rate, recall) = (point.false_alert_rate, point.recall);
    let said = format!("Recall of {} against its false-alert rate. {}", point.label, at_threshold(point));
    let marks = html! {
        path.line.alert d=(plot.line(curve)) {}
        @if recall.of > 0 && rate.of > 0 {
            line.error x1=(plot.x(rate.wilson_95[0])) x2=(plot.x(rate.wilson_95[1])) y1=(plot.y(recall.share)) y2=(plot.y(recall.share)) {}
            line.error x1=(plot.x(rate.share)) x2=(plot.x(rate.share)) y1=(plot.y(recall.wilson_95[0])) y2=(plot.y(recall.wilson_95[1])) {}
            (marked(&plot, rate.share, recall.share, point.threshold))
        }
    };
    card(
        "What recall costs",
        plot.draw(id, "Recall against false-alert rate", &said, marks),
        html! { "The further up and left, the better. The cross shows the 95 % intervals at the chosen threshold; “0” stands for no false alert at all." },
    )
}

fn at_threshold(point: &OperatingPoint) -> String {
    let (threshold, recall) = (probability(point.threshold), percent(point.recall.share));
    format!(
        "At the chosen threshold {threshold}: recall {recall}, false alerts {}.",
        percent(point.false_alert_rate.share)
    )
}

/// The threshold's ring and its name, on the side of the ring that has room.
fn marked(plot: &Plot, x: f64, y: f64, threshold: f64) -> Markup {
    let (at_x, at_y) = (plot.x(x), plot.y(y));
    let (anchor, off) = if at_x.0 > 250.0 { ("end", -12.0) } else { ("start", 12.0) };
    let below = if at_y.0 > 225.0 { -14.0 } else { 24.0 };
    html! {
        circle.ring cx=(at_x) cy=(at_y) r="7" {}
        circle.pin cx=(at_x) cy=(at_y) r="2.5" {}
        text.note x=(Unit(at_x.0 + off)) y=(Unit(at_y.0 + below)) text-anchor=(anchor) { "threshold " (probability(threshold)) }
    }
}

/// The curve's point at the threshold: the last that alerts from it on, since thresholds fall.
fn chosen(point: &OperatingPoint) -> Option<&CurvePoint> {
    // A threshold that went through a head's f32 may lie a rounding below its own point.
    let reached = point.curve.iter().take_while(|at| at.threshold >= point.threshold - 1e-7);
    reached.last().filter(|at| at.recall.is_finite() && at.precision.is_finite())
}

/// The points that change the picture, and no more than [`DRAWN`] of them.
fn thinned(curve: &[CurvePoint]) -> impl Iterator<Item = &CurvePoint> {
    let step = curve.len().div_ceil(DRAWN).max(1);
    let last = curve.len().saturating_sub(1);
    curve.iter().enumerate().filter(move |(n, _)| n % step == 0 || *n == last).map(|(_, point)| point)
}
