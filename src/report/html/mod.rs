//! The report as one page that needs nothing else: style and drawings are inside, there are no scripts, and nothing is
//! fetched. Every text is escaped by `maud`; a thumbnail that is not a `data:` picture is not shown.

mod alert;
mod calibration;
mod hero;
mod intervals;
mod learning;
mod map;
mod marks;
mod matrix;
mod mistakes;
mod plot;
mod tables;

#[cfg(test)]
mod tests;

use maud::{DOCTYPE, Markup, PreEscaped, html as markup};

use super::Report;
use super::numbers::with_packaged;
use crate::evaluate::Evaluation;

/// Labels up to which two matrices fit side by side.
const SIDE_BY_SIDE: usize = 6;

/// The report as one self-contained page.
pub fn html(report: &Report) -> String {
    // A number is not parted from its unit at the end of a line.
    page(report).into_string().replace(" %", "\u{a0}%")
}

fn page(report: &Report) -> Markup {
    markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("arcticd ", env!("CARGO_PKG_VERSION")));
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                title { (report.head) " · arcticd training report" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (hero::hero(report))
                main {
                    (tables::notes(&report.notes))
                    (section("Where it is right, and where not", confusion(report)))
                    (section("Label by label", labels(report)))
                    @for (place, point) in report.operating_points.iter().enumerate() {
                        (section(&alert::title(report, point), alert::alert(point, place, report)))
                    }
                    (section("Its worst mistakes", mistakes::mistakes(&report.mistakes)))
                    (section("How the photos lie", map::map(report)))
                    (section("How sure, and how right", sureness(report)))
                    (section("What it learned from", learning(report)))
                    (section("How it was made", tables::made(report)))
                }
                footer { p { "Made by arcticd " (env!("CARGO_PKG_VERSION")) ". One file: it can be kept, mailed and printed." } }
            }
        }
    }
}

fn section(title: &str, content: Markup) -> Markup {
    markup! { section { h2 { (title) } (content) } }
}

/// A drawing on a card: its heading, what is drawn, and how to read it.
fn card(title: &str, drawing: Markup, caption: Markup) -> Markup {
    markup! {
        figure.card {
            h3 { (title) }
            (drawing)
            figcaption { (caption) }
        }
    }
}

/// What stands where a part of a report is empty.
fn nothing(why: &str) -> Markup {
    markup! { p.nothing { (why) } }
}

/// Cards beside each other where there is room and few labels, else below each other.
fn cards(labels: usize, content: Markup) -> Markup {
    let class = if labels <= SIDE_BY_SIDE { "cards" } else { "cards wide" };
    markup! { div class=(class) { (content) } }
}

/// Both evaluations with the names that the page gives them.
fn parts(report: &Report) -> impl Iterator<Item = (&'static str, &Evaluation, String)> {
    let part = |name, evaluation: &'_ Evaluation, packaged| with_packaged(evaluation.images, packaged, name);
    let held_out = &report.cross_validation;
    let first = ("Held-out photos", held_out, part("photo", held_out, report.held_out_packaged));
    std::iter::once(first).chain(report.test.as_ref().map(move |test| ("Test photos", test, part("photo", test, 0))))
}

fn confusion(report: &Report) -> Markup {
    let drawings = markup! {
        @for (name, evaluation, photos) in parts(report) {
            (card(name, matrix::matrix(evaluation), markup! {
                "A row is a true label, a column what the head named it. "
                span.right-ink { "Blue" } " is right, " span.wrong-ink { "orange" } " is wrong; the stronger, the larger the share of the row."
                " " (photos) "."
            }))
        }
        @if report.test.is_none() {
            (nothing("There was no test folder. Held-out photos were judged by a fit that did not see them, but they did choose the threshold and the strength of the penalty."))
        }
    };
    cards(report.cross_validation.labels.len(), drawings)
}

fn labels(report: &Report) -> Markup {
    cards(
        report.cross_validation.labels.len(),
        markup! {
            @for (name, evaluation, _) in parts(report) {
                (card(name, intervals::intervals(evaluation), markup! {
                    span.key.recall { span.kind {} b { "Recall:" } } " of the label's photos, those named so. " span.key.precision { span.kind {} b { "Precision:" } } " of the photos named so, those that are it. "
                    "Lines are Wilson's 95 % intervals: with few photos they are long."
                }))
            }
        },
    )
}

fn sureness(report: &Report) -> Markup {
    markup! {
        div.cards {
            (calibration::calibration(&report.calibration))
            (tables::novelty(report.novelty.as_ref(), report.held_out_packaged > 0))
        }
    }
}

fn learning(report: &Report) -> Markup {
    markup! {
        div.cards {
            (tables::photos(&report.photos))
            (learning::learning(&report.epochs, report.layers.starts_with("linear")))
        }
    }
}
