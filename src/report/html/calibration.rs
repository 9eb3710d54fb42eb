//! The reliability diagram: how often it is right when it says p.

use maud::{Markup, html};

use super::plot::{Axis, Plot, Unit};
use super::{card, nothing};
use crate::evaluate::Share;
use crate::report::numbers::{counted, interval, percent, short, thousands, unit};
use crate::report::{Calibration, CalibrationBin};

/// Height of the largest bin's column.
const COLUMN: f64 = 46.0;

/// Bins as points with their intervals; columns below show how many photos are in each.
pub fn calibration(calibration: &Calibration) -> Markup {
    let bins: Vec<&CalibrationBin> = calibration.bins.iter().filter(|bin| bin.photos > 0).collect();
    let title = "When it says 90 %, is it right 9 times in 10?";
    let Some(most) = bins.iter().map(|bin| bin.photos).max() else {
        return card(title, nothing("No photos were held out to see."), html! {});
    };
    let plot = Plot { x: Axis::shares("what it says", 0.0), y: Axis::shares("how often it is right", 0.0) };
    let points: Vec<String> = bins
        .iter()
        .map(|bin| {
            format!(
                "{} of {} photos right where it says {}",
                percent(bin.accuracy),
                bin.photos,
                percent(bin.confidence)
            )
        })
        .collect();
    let marks = html! {
        line.ideal x1=(plot.x(0.0)) y1=(plot.y(0.0)) x2=(plot.x(1.0)) y2=(plot.y(1.0)) {}
        @for bin in &bins { (column(&plot, bin, most)) }
        path.line.validation d=(plot.line(bins.iter().map(|bin| (bin.confidence, bin.accuracy)))) {}
        @for bin in &bins { (point(&plot, bin)) }
        @for bin in &bins { (size(&plot, bin, most)) }
    };
    card(
        title,
        plot.draw("calibration", "Calibration curve", &points.join("; "), marks),
        html! {
            "On the dashed line it is as right as it says; below, it says too much. Lines are 95 % intervals, columns count the photos of a bin. Off by "
            b { (format!("{:.1} points", unit(calibration.error) * 100.0)) } " on average, after dividing by the temperature "
            (short(calibration.temperature)) "."
        },
    )
}

/// Left and right end and top of a bin's column.
fn place(plot: &Plot, bin: &CalibrationBin, most: u64) -> [f64; 3] {
    let tenth = (unit(bin.confidence) * 10.0).floor().min(9.0) / 10.0;
    let (left, right) = (plot.x(tenth).0 + 2.0, plot.x(tenth + 0.1).0 - 2.0);
    let height = (bin.photos as f64 / most as f64 * COLUMN).max(1.5);
    [left, right, plot.y(0.0).0 - height]
}

fn column(plot: &Plot, bin: &CalibrationBin, most: u64) -> Markup {
    let [left, right, top] = place(plot, bin, most);
    html! {
        rect.bin-column x=(Unit(left)) y=(Unit(top)) width=(Unit(right - left)) height=(Unit(plot.y(0.0).0 - top)) {
            title { (counted(bin.photos, "photo")) }
        }
    }
}

/// How many photos a bin holds, above all lines.
fn size(plot: &Plot, bin: &CalibrationBin, most: u64) -> Markup {
    let [left, right, top] = place(plot, bin, most);
    html! {
        text.bin x=(Unit(f64::midpoint(left, right))) y=(Unit(top - 4.0)) text-anchor="middle" { (thousands(bin.photos)) }
    }
}

fn point(plot: &Plot, bin: &CalibrationBin) -> Markup {
    let ends = Share::of((bin.accuracy * bin.photos as f64).round() as u64, bin.photos).wilson_95;
    let (x, y) = (plot.x(bin.confidence), plot.y(bin.accuracy));
    html! {
        line.error.validation x1=(x) x2=(x) y1=(plot.y(ends[0])) y2=(plot.y(ends[1])) {}
        circle.point.validation cx=(x) cy=(y) r="4" {
            title { "says " (percent(bin.confidence)) ", right " (percent(bin.accuracy)) " (95 %: " (interval(ends)) ")" }
        }
    }
}
