//! What is told by words and numbers: notes, photos, novelty, how it was made.

use maud::{Markup, html};

use super::marks::name;
use super::{card, nothing};
use crate::report::numbers::{interval, percent, probability, short, thousands, unit};
use crate::report::text::fraction;
use crate::report::{Counts, NoveltyFigures, Report};

/// What the user should know.
pub fn notes(notes: &[String]) -> Markup {
    html! {
        @if !notes.is_empty() {
            aside.notes aria-label="Notes" {
                h2 { "To know" }
                ul { @for note in notes { li { (note) } } }
            }
        }
    }
}

/// Photos a label.
pub fn photos(photos: &[Counts]) -> Markup {
    if photos.is_empty() {
        return card("Photos a label", nothing("There are no photos."), html! {});
    }
    let most = photos
        .iter()
        .map(|counts| counts.train.saturating_add(counts.test).saturating_add(counts.packaged))
        .max()
        .unwrap_or(1)
        .max(1);
    let width = |count: u64| format!("width:{:.2}%", count as f64 / most as f64 * 100.0);
    let tested = photos.iter().any(|counts| counts.test > 0);
    let drawing = html! {
        div.counts {
            @for counts in photos {
                div.count-row {
                    span.count-label {
                        (name(&counts.label))
                        @if counts.background { span.tag { "background" } }
                    }
                    span.count-bar {
                        @if counts.packaged > 0 { span.packaged style=(width(counts.packaged)) {} }
                        span.train style=(width(counts.train)) {}
                        span.test style=(width(counts.test)) {}
                    }
                    span.count-number {
                        @if counts.packaged > 0 { (thousands(counts.packaged)) " packaged" } @else { (thousands(counts.train)) }
                        @if tested { span.of { " + " (thousands(counts.test)) } }
                    }
                }
            }
        }
    };
    let caption = html! {
        span.key { span.block.train {} "trained on" }
        @if photos.iter().any(|counts| counts.packaged > 0) { " " span.key { span.block.packaged {} "packaged, not your photos" } }
        @if tested { " " span.key { span.block.test {} "kept for the test" } }
        " Each label weighs as much as another, however many photos it has."
        @if photos.iter().any(|counts| counts.background) { " A background label never alerts." }
    };
    card("Photos a label", drawing, caption)
}

/// How well frames unlike all classes are told.
pub fn novelty(novelty: Option<&NoveltyFigures>, packaged: bool) -> Markup {
    let title = "Animals it has never seen";
    let Some(novelty) = novelty else {
        return card(title, nothing("The head does not tell frames unlike all of its labels."), html! {});
    };
    let drawing = html! {
        p.figure.small-figure { (percent(novelty.false_novel.share)) span.price { "of known photos called novel" @if packaged { ", packaged ones included" } } }
        p.small { (fraction(&novelty.false_novel)) ", 95 %: " (interval(novelty.false_novel.wilson_95)) }
        @if !novelty.auroc.is_empty() {
            div.counts {
                @for (label, area) in &novelty.auroc {
                    div.count-row {
                        span.count-label { (name(label)) }
                        span.count-bar.area { span.train style=(format!("width:{:.1}%", (unit(*area) - 0.5).max(0.0) * 200.0)) {} }
                        span.count-number { (probability(*area)) }
                    }
                }
            }
        }
    };
    let caption = html! {
        "Novel is what scores above " (short(novelty.threshold)) " by the method " (novelty.method) "."
        @if !novelty.auroc.is_empty() {
            " Bars: AUROC when the label was left out of training and then met, on photos that had no part in the choice of the method; their left end is chance (0.5), the right one is perfect (1)."
        }
    };
    card(title, drawing, caption)
}

/// How it was made.
pub fn made(report: &Report) -> Markup {
    let total = |get: fn(&Counts) -> u64| report.photos.iter().map(get).fold(0_u64, u64::saturating_add);
    html! {
        dl.card.made {
            div { dt { "Head" } dd { (report.head) } }
            div { dt { "Layers" } dd { (report.layers) } }
            div { dt { "Backbone" } dd { (report.backbone) } }
            div { dt { "Made" } dd { (report.created_at) } }
            div { dt { "Photos" } dd { (thousands(total(|c| c.train))) " trained on, "
                @if total(|c| c.packaged) > 0 { "besides the features of " (thousands(total(|c| c.packaged))) " packaged ones, " }
                (thousands(total(|c| c.test))) " kept for the test" } }
            div { dt { "Time" } dd { (short(report.seconds.features)) " s for features, " (short(report.seconds.fit)) " s for all the rest" } }
            div.long { dt { "Held out" } dd { "Each photo was judged by a fit that had not seen it, nor its near-duplicates. The penalty and the temperature were chosen on these photos, the threshold on them and their changed views." } }
            @if report.test.is_some() { div.long { dt { "Test" } dd { "Nothing was chosen by the test photos." } } }
            @for point in &report.operating_points {
                div.long { dt { "Alert" } dd { (name(&point.label)) " from " (probability(point.threshold)) " on; wanted: " (point.wanted) } }
            }
        }
    }
}
