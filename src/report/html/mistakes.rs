//! The worst mistakes, to be looked at: often the photo is at fault, or its folder.

use maud::{Markup, html};

use super::marks::name;
use super::nothing;
use crate::report::numbers::{probability, unit};
use crate::report::{Mistake, Wrong};

/// Scores shown of each.
const SCORES: usize = 3;
/// Cards at most: more is not looked at.
const CARDS: usize = 60;

/// A card each: picture, truth, what it was taken for, scores.
pub fn mistakes(mistakes: &[Mistake]) -> Markup {
    if mistakes.is_empty() {
        return nothing("Not one photo was named wrongly, and none alerted wrongly or not.");
    }
    html! {
        p.lead { "Missed alerts first, then the surest mistakes. Look twice: some photos may lie in the wrong folder." }
        div.mistakes {
            @for mistake in mistakes.iter().take(CARDS) { (one(mistake)) }
        }
    }
}

fn one(mistake: &Mistake) -> Markup {
    let file = mistake.photo.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let named = mistake.scores.first().map(|(label, _)| label.as_str()).unwrap_or_default();
    let picture = Some(&mistake.thumbnail).filter(|text| text.starts_with("data:image/"));
    html! {
        figure.mistake {
            div.picture {
                @if let Some(picture) = picture {
                    img src=(picture) alt=(format!("{file}: {} named {named}", mistake.truth)) loading="lazy";
                } @else {
                    span { "no picture" }
                }
                span.part { (mistake.part) }
            }
            figcaption {
                p.verdict { (verdict(mistake, named)) }
                ul.scores {
                    @for (label, score) in shown(mistake) {
                        li class=(if *label == mistake.truth { "is-truth" } else { "" }) {
                            span.score-label title=(label) { (label) }
                            span.score-bar { span style=(format!("width:{:.1}%", unit(f64::from(*score)) * 100.0)) {} }
                            span.score { (probability(f64::from(*score))) }
                        }
                    }
                }
                p.file title=(mistake.photo.to_string_lossy()) { (file) }
            }
        }
    }
}

/// What is wrong, in words.
fn verdict(mistake: &Mistake, named: &str) -> Markup {
    let truth = html! { b.truth { (name(&mistake.truth)) } };
    html! {
        @if named != mistake.truth {
            (truth) " taken for " b.named { (name(named)) }
            @if mistake.wrong == Wrong::MissedAlert { ", no alert" }
        } @else if mistake.wrong == Wrong::MissedAlert {
            (truth) ", " b.named { "below its threshold" } ": no alert"
        } @else {
            (truth) ", yet " b.named { "alerts falsely" }
        }
    }
}

/// The highest scores, and the true label's if it is not among them.
fn shown(mistake: &Mistake) -> impl Iterator<Item = &(String, f32)> {
    let truth = mistake.scores.iter().position(|(label, _)| *label == mistake.truth);
    let others = if truth.is_some_and(|place| place >= SCORES) { SCORES - 1 } else { SCORES };
    let truth = truth.filter(|place| *place >= others).and_then(|place| mistake.scores.get(place));
    mistake.scores.iter().take(others).chain(truth)
}
