//! The confusion matrix as a heat map. A table, so that it can be read aloud, selected and scrolled.

use maud::{Markup, html};

use super::marks::name;
use super::nothing;
use crate::evaluate::Evaluation;
use crate::report::numbers::{counted, percent};

/// Labels up to which a cell has room for its percentage; beyond, it is in the cell's title.
const ROOMY: usize = 8;
/// Labels up to which columns are named across; beyond, upright.
const ACROSS: usize = 4;
/// Characters up to which a row's label is not broken.
const WHOLE: usize = 14;

/// Rows are true labels, columns predicted ones.
pub fn matrix(evaluation: &Evaluation) -> Markup {
    if evaluation.labels.is_empty() || evaluation.images == 0 {
        return nothing("No photos were judged.");
    }
    let labels = &evaluation.labels;
    let class = match labels.len() {
        count if count <= ACROSS => "matrix",
        count if count <= ROOMY => "matrix upright",
        _ => "matrix upright dense",
    };
    html! {
        div.scroll tabindex="0" role="group" aria-label="Confusion matrix" {
            table class=(class) {
                thead {
                    tr {
                        th.corner scope="col" { span { "named →" } span { "true ↓" } }
                        @for label in labels { th.column scope="col" title=(label) { span { (name(label)) } } }
                        th.sum scope="col" { span { "photos" } }
                    }
                }
                tbody {
                    @for (row, label) in labels.iter().enumerate() {
                        @let counts = evaluation.confusion.get(row).map(Vec::as_slice).unwrap_or_default();
                        @let sum: u64 = counts.iter().sum();
                        tr {
                            th scope="row" class=(if label.chars().count() <= WHOLE { "whole" } else { "" }) { (name(label)) }
                            @for (column, named) in labels.iter().enumerate() {
                                (cell(counts.get(column).copied().unwrap_or(0), sum, row == column, [label, named]))
                            }
                            td.sum { (sum) }
                        }
                    }
                }
            }
        }
    }
}

fn cell(count: u64, sum: u64, right: bool, [label, named]: [&str; 2]) -> Markup {
    let share = count as f64 / sum.max(1) as f64;
    // Few mistakes should still be seen: their ink grows with the root of their share.
    let ink = if right { 0.08 + 0.92 * share } else { share.sqrt() };
    let hue = if right { "right" } else { "wrong" };
    let contrast = if ink > 0.8 { "on-ink" } else { "" };
    let title = format!("{label} named {named}: {} of {sum} ({})", counted(count, "photo"), percent(share));
    html! {
        @if sum == 0 {
            td.none title=(format!("no photos of {label}")) { "–" }
        } @else if count == 0 && !right {
            td.none title=(title) { "·" }
        } @else {
            td class=(contrast) style=(format!("background:rgba(var(--{hue}),{ink:.3})")) title=(title) {
                span.count { (count) }
                span.share { (percent(share)) }
            }
        }
    }
}
