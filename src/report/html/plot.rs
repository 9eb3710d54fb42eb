//! Axes, grid and lines of a drawing.

use std::fmt;

use maud::{Markup, Render, html};

use crate::report::numbers::{percent, short};

/// Sides of a plot in its own units; about a pixel each on a desk.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 300.0;
/// Room for the numbers of the axes.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// A coordinate: a tenth of a unit is finer than a screen, and one that is no number must not break the drawing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit(pub f64);

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.0.is_finite() { (self.0.clamp(-1e5, 1e5) * 10.0).round() / 10.0 } else { 0.0 };
        write!(f, "{value}")
    }
}

impl Render for Unit {
    fn render_to(&self, buffer: &mut String) {
        buffer.push_str(&self.to_string());
    }
}

/// One axis.
#[derive(Debug, Clone)]
pub struct Axis {
    title: &'static str,
    from: f64,
    to: f64,
    log: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Shares up to 1, from at most `lowest` on, which is rounded down to a tenth.
    pub fn shares(title: &'static str, lowest: f64) -> Self {
        let from = if lowest.is_finite() { ((lowest.clamp(0.0, 0.9) + 1e-9) * 10.0).floor() / 10.0 } else { 0.0 };
        let step = if from >= 0.79 {
            0.05
        } else if from >= 0.49 {
            0.1
        } else {
            0.2
        };
        let count = ((1.0 - from) / step).floor() as usize;
        let ticks = (0..=count).map(|n| 1.0 - n as f64 * step).map(|at| (at, format!("{:.0} %", at * 100.0)));
        Self { title, from, to: 1.0, log: false, ticks: ticks.collect() }
    }

    /// Numbers from `from` to `to`, with about five round ticks.
    pub fn linear(title: &'static str, from: f64, to: f64) -> Self {
        let usable = from.is_finite() && to.is_finite() && to > from;
        let (from, to) = if usable { (from, to) } else { (0.0, 1.0) };
        let rough = (to - from) / 5.0;
        let power = 10.0_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
        let first = (from / step).ceil();
        let ticks = (0..=10).map(|n| (first + f64::from(n)) * step).filter(|at| *at <= to + step * 1e-6);
        let name = |at: f64| if step >= 1.0 { format!("{at:.0}") } else { short(at) };
        Self { title, from, to, log: false, ticks: ticks.map(|at| (at, name(at))).collect() }
    }

    /// Whole numbers from 1 on: passes.
    pub fn passes(title: &'static str, last: u32) -> Self {
        let mut axis = Self::linear(title, 1.0, f64::from(last.max(2)));
        axis.ticks.retain(|(at, _)| at.fract().abs() < 1e-9);
        axis.ticks.retain(|(at, _)| *at > 1.5);
        axis.ticks.insert(0, (1.0, "1".to_owned()));
        axis.ticks.dedup_by(|a, b| a.1 == b.1);
        axis
    }

    /// Rates on a logarithmic axis that shows the smallest that can be measured; none at all stands at its left end.
    pub fn rates(title: &'static str, smallest: f64) -> Self {
        let smallest = if smallest.is_finite() { smallest.clamp(1e-7, 0.1) } else { 0.01 };
        let decade = smallest.log10().floor() as i32;
        let from = 10.0_f64.powf(f64::from(decade) - 0.6);
        let decades = (decade..=0).map(|power| 10.0_f64.powi(power)).map(|at| (at, percent(at).replace(".0 %", " %")));
        let ticks = std::iter::once((from, "0".to_owned())).chain(decades).collect();
        Self { title, from, to: 1.0, log: true, ticks }
    }

    /// Place between the ends, 0 to 1; what is beyond an end is at it.
    fn place(&self, value: f64) -> f64 {
        let place = match self.log {
            true => (value.max(self.from).ln() - self.from.ln()) / (self.to.ln() - self.from.ln()),
            false => (value - self.from) / (self.to - self.from),
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Two axes at right angles.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Horizontal.
    pub x: Axis,
    /// Vertical.
    pub y: Axis,
}

impl Plot {
    /// Where a value lies from the left.
    pub fn x(&self, value: f64) -> Unit {
        Unit(LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT))
    }

    /// Where a value lies from the top.
    pub fn y(&self, value: f64) -> Unit {
        Unit(HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM))
    }

    /// A line through the points that are numbers, for a path's `d`.
    pub fn line(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (x, y) in points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
            path.push(if path.is_empty() { 'M' } else { 'L' });
            path.push_str(&format!("{} {}", self.x(x), self.y(y)));
        }
        if path.is_empty() { "M0 0".to_owned() } else { path }
    }

    /// The whole drawing: grid, numbers, titles, and `marks` on it. `id` is unique in the page.
    pub fn draw(&self, id: &str, title: &str, description: &str, marks: Markup) -> Markup {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let middle = Unit(TOP + (bottom - TOP) / 2.0);
        html! {
            svg.plot viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby=(format!("{id}-title {id}-text")) {
                title id=(format!("{id}-title")) { (title) }
                desc id=(format!("{id}-text")) { (description) }
                @for (at, name) in &self.x.ticks {
                    line.grid x1=(self.x(*at)) x2=(self.x(*at)) y1=(Unit(TOP)) y2=(Unit(bottom)) {}
                    text.tick x=(self.x(*at)) y=(Unit(bottom + 16.0)) text-anchor="middle" { (name) }
                }
                @for (at, name) in &self.y.ticks {
                    line.grid x1=(Unit(LEFT)) x2=(Unit(right)) y1=(self.y(*at)) y2=(self.y(*at)) {}
                    text.tick x=(Unit(LEFT - 7.0)) y=(Unit(self.y(*at).0 + 4.0)) text-anchor="end" { (name) }
                }
                line.base x1=(Unit(LEFT)) x2=(Unit(right)) y1=(Unit(bottom)) y2=(Unit(bottom)) {}
                text.axis x=(Unit(f64::midpoint(LEFT, right))) y=(Unit(HEIGHT - 8.0)) text-anchor="middle" { (self.x.title) }
                text.axis x="13" y=(middle) text-anchor="middle" transform=(format!("rotate(-90 13 {middle})")) { (self.y.title) }
                (marks)
            }
        }
    }
}
