//! Recall and precision of each label, with error bars.

use maud::{Markup, html};

use super::marks::name;
use super::nothing;
use crate::evaluate::{Evaluation, Share};
use crate::report::numbers::{interval, percent, thousands, unit};

/// One row a label: its name, both figures on a common scale, and in numbers.
pub fn intervals(evaluation: &Evaluation) -> Markup {
    let shares = || evaluation.per_class.iter().flat_map(|class| [&class.recall, &class.precision]);
    if shares().all(|share| share.of == 0) {
        return nothing("No photos were judged.");
    }
    let lowest = shares().filter(|share| share.of > 0).map(|share| unit(share.wilson_95[0])).fold(0.9, f64::min);
    let scale = Scale { from: (lowest * 10.0).floor() / 10.0 };
    html! {
        div.intervals {
            div.interval-row.interval-head aria-hidden="true" {
                span {}
                span.track {
                    @for tick in scale.ticks() {
                        span.tick-name style=(format!("left:{:.2}%", scale.place(tick))) { (format!("{:.0} %", tick * 100.0)) }
                    }
                }
                span {}
            }
            @for class in &evaluation.per_class {
                div.interval-row {
                    span.interval-label { (name(&class.label)) }
                    span.track {
                        @for tick in scale.ticks() { span.tick-line style=(format!("left:{:.2}%", scale.place(tick))) {} }
                        (scale.mark("recall", &class.recall))
                        (scale.mark("precision", &class.precision))
                    }
                    span.interval-numbers { (numbers("recall", &class.recall)) (numbers("precision", &class.precision)) }
                }
            }
        }
    }
}

struct Scale {
    from: f64,
}

impl Scale {
    fn place(&self, share: f64) -> f64 {
        unit((unit(share) - self.from) / (1.0 - self.from).max(0.1)) * 100.0
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + use<> {
        let tenths = 10 - (self.from * 10.0).round() as u32;
        let step = if tenths > 5 {
            5
        } else if tenths > 2 {
            2
        } else {
            1
        };
        (0..=tenths / step).map(move |n| 1.0 - f64::from(n * step) / 10.0)
    }

    fn mark(&self, kind: &str, share: &Share) -> Markup {
        let [low, high] = share.wilson_95.map(|end| self.place(end));
        html! {
            @if share.of > 0 {
                span class=(format!("bar {kind}")) style=(format!("left:{low:.2}%;width:{:.2}%", (high - low).max(0.5))) {}
                span class=(format!("dot {kind}")) style=(format!("left:{:.2}%", self.place(share.share))) {}
            }
        }
    }
}

fn numbers(kind: &str, share: &Share) -> Markup {
    html! {
        span class=(kind) {
            span.kind title=(kind) { span.unseen { (kind) " " } }
            @if share.of == 0 {
                span { "no photos" }
            } @else {
                b { (percent(share.share)) } " "
                span.of title=(format!("95 %: {}", interval(share.wilson_95))) { (thousands(share.hits)) " of " (thousands(share.of)) }
            }
        }
    }
}
