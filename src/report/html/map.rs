//! The feature map: each photo a point, so that one sees which labels lie together.

use maud::{Markup, html};

use super::marks::{colour, mark, name, swatch};
use super::plot::Unit;
use super::{card, nothing};
use crate::report::numbers::thousands;
use crate::report::{MapPoint, Report};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 520.0;
/// Room around the points.
const MARGIN: f64 = 18.0;
/// Points drawn at most; mistakes are kept before others.
const DRAWN: usize = 1_500;
/// Share of the points at each end that may lie beyond the picture's edge (they are drawn at it): one odd photo must not
/// squeeze all others together.
const BEYOND: f64 = 0.0025;

/// All photos, or an even choice of them.
pub fn map(report: &Report) -> Markup {
    let labels = &report.cross_validation.labels;
    let points: Vec<&MapPoint> =
        report.map.iter().filter(|point| point.at.iter().all(|value| value.is_finite())).collect();
    if points.is_empty() {
        return nothing("There are no photos to place.");
    }
    let background = |class: usize| {
        let label = labels.get(class);
        report.photos.iter().any(|counts| counts.background && Some(&counts.label) == label)
    };
    let (x, y) = (Span::of(&points, 0), Span::of(&points, 1));
    let place = |point: &MapPoint| {
        let inner = |span: &Span, value: f32, size: f64| MARGIN + span.place(f64::from(value)) * (size - 2.0 * MARGIN);
        (inner(&x, point.at[0], WIDTH), HEIGHT - inner(&y, point.at[1], HEIGHT))
    };
    let shown = thinned(&points);
    let wrong = points.iter().filter(|point| !point.right).count();
    let mut classes: Vec<usize> = points.iter().map(|point| point.class).collect();
    classes.sort_unstable();
    classes.dedup();
    // Background lies below the animals, and what is ringed on top.
    let mut order = classes.clone();
    order.sort_by_key(|class| !background(*class));
    let drawing = html! {
        svg.map viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby="map-title map-text" {
            title id="map-title" { "Feature map" }
            desc id="map-text" { (points.len()) " photos in two dimensions, coloured by label; " (wrong) " named wrongly are ringed." }
            @for class in order {
                g style=(format!("fill:{}", colour(class, background(class)))) {
                    @for point in shown.iter().filter(|point| point.class == class) {
                        @let (x, y) = place(point);
                        path.photo d=(mark(class, x, y, 3.6)) { title { (title(point, labels)) } }
                    }
                }
            }
            @for point in shown.iter().filter(|point| !point.right) {
                @let (x, y) = place(point);
                circle.wrong-ring cx=(Unit(x)) cy=(Unit(y)) r="8" { title { (title(point, labels)) } }
            }
        }
        ul.legend {
            @for class in &classes {
                li { (swatch(*class, background(*class))) (name(labels.get(*class).map_or("?", String::as_str))) }
            }
            li { svg.swatch viewBox="0 0 14 14" aria-hidden="true" { circle.wrong-ring cx="7" cy="7" r="5.4" {} } "named wrongly" }
        }
    };
    html! {
        div.cards.wide {
            (card("Feature map", drawing, html! {
                @if classes.len() >= 3 {
                    "The features in the two directions that part the labels best (Fisher's discriminant on up to 20 principal components). They were chosen by these photos and labels, so the map flatters; the matrices above do not."
                } @else {
                    "The features in the two directions in which photos differ most (principal components)."
                }
                @if shown.len() < points.len() {
                    " Drawn: " (thousands(shown.len() as u64)) " of " (thousands(points.len() as u64)) " photos, all mistakes first."
                }
            }))
        }
    }
}

fn title(point: &MapPoint, labels: &[String]) -> String {
    let label = labels.get(point.class).map_or("?", String::as_str);
    let file = point.photo.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    format!("{label}{}: {file}", if point.right { "" } else { ", named wrongly" })
}

/// All mistakes and an even choice of the others.
fn thinned<'a>(points: &[&'a MapPoint]) -> Vec<&'a MapPoint> {
    let (right, mut shown): (Vec<&MapPoint>, Vec<&MapPoint>) = points.iter().partition(|point| point.right);
    shown.truncate(DRAWN / 2);
    // Small classes are what the map is for, so every class has as much room as another.
    let classes: std::collections::BTreeSet<usize> = right.iter().map(|point| point.class).collect();
    let mut room = DRAWN - shown.len();
    let mut members: Vec<Vec<&MapPoint>> =
        classes.iter().map(|class| right.iter().filter(|point| point.class == *class).copied().collect()).collect();
    members.sort_by_key(Vec::len);
    let count = members.len();
    for (done, members) in members.iter().enumerate() {
        let taken = members.len().min(room / (count - done).max(1));
        shown.extend((0..taken).filter_map(|n| members.get(n * members.len() / taken).copied()));
        room -= taken;
    }
    shown
}

/// The part of an axis that is shown.
struct Span {
    from: f64,
    to: f64,
}

impl Span {
    fn of(points: &[&MapPoint], axis: usize) -> Self {
        let mut values: Vec<f64> =
            points.iter().filter_map(|point| point.at.get(axis)).map(|value| f64::from(*value)).collect();
        values.sort_by(f64::total_cmp);
        let off = (values.len() as f64 * BEYOND) as usize;
        let from = values.get(off).copied().unwrap_or(0.0);
        let to = values.get(values.len().saturating_sub(1 + off)).copied().unwrap_or(0.0);
        Self { from, to }
    }

    /// 0 to 1; the middle where all are equal.
    fn place(&self, value: f64) -> f64 {
        let place = (value - self.from) / (self.to - self.from);
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.5 }
    }
}
