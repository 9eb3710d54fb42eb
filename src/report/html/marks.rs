//! Labels on a page: their names, and a colour and shape for each, so that no label is told by colour alone.

use maud::{Markup, html};

use super::plot::Unit;

/// Colours in the style sheet, `--c0` and on.
const COLOURS: usize = 8;
/// Shapes of [`mark`].
const SHAPES: usize = 4;

/// A label that may break after its underscores.
pub fn name(label: &str) -> Markup {
    html! {
        @for (place, part) in label.split('_').enumerate() {
            @if place > 0 { "_" wbr; }
            (part)
        }
    }
}

/// The colour of label `place`; a background label is gray.
pub fn colour(place: usize, background: bool) -> String {
    if background { "var(--c-background)".to_owned() } else { format!("var(--c{})", place % COLOURS) }
}

/// The mark of label `place` as a path around a point: with [`colour`], 32 labels differ.
pub fn mark(place: usize, x: f64, y: f64, size: f64) -> String {
    let [s, w] = [Unit(size), Unit(size * 2.0)];
    match (place + place / COLOURS) % SHAPES {
        0 => format!("M{} {}a{s} {s} 0 1 0 {w} 0a{s} {s} 0 1 0 -{w} 0z", Unit(x - size), Unit(y)),
        1 => format!("M{} {}h{w}v{w}h-{w}z", Unit(x - size), Unit(y - size)),
        2 => {
            let (reach, half) = (Unit(size * 1.2), Unit(size * 2.4));
            format!("M{} {}l{reach} {half}h-{half}z", Unit(x), Unit(y - size * 1.3))
        }
        _ => {
            let r = Unit(size * 1.35);
            format!("M{} {}l{r} {r}l-{r} {r}l-{r} -{r}z", Unit(x), Unit(y - size * 1.35))
        }
    }
}

/// The mark alone, for a legend.
pub fn swatch(place: usize, background: bool) -> Markup {
    html! {
        svg.swatch viewBox="0 0 14 14" aria-hidden="true" {
            path d=(mark(place, 7.0, 7.0, 4.4)) style=(format!("fill:{}", colour(place, background))) {}
        }
    }
}
