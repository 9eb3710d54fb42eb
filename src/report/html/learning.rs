//! How it learned: accuracy and loss by pass.

use maud::{Markup, html};

use super::plot::{Axis, Plot};
use super::{card, nothing};
use crate::report::Epoch;
use crate::report::numbers::{percent, short};

/// Passes up to which each is marked by a dot.
const DOTTED: usize = 30;

/// Both curves of both figures. `linear`: the passes are steps of a fit that ends at the best weights there are.
pub fn learning(epochs: &[Epoch], linear: bool) -> Markup {
    let (pass, passes, pass_axis) = match linear {
        true => ("step", "steps", "step of the fit"),
        false => ("pass", "passes", "pass over the photos"),
    };
    let Some(last) = epochs.last() else {
        return card("Learning", nothing("The fit kept no record of its passes."), html! {});
    };
    let accuracies = epochs.iter().flat_map(|e| [e.training_accuracy, e.validation_accuracy]);
    let lowest = accuracies.filter(|value| value.is_finite()).fold(0.9, f64::min);
    let losses = epochs.iter().flat_map(|e| [e.training_loss, e.validation_loss]);
    let highest = losses.filter(|value| value.is_finite()).fold(0.0, f64::max);
    let x = || Axis::passes(pass_axis, epochs.iter().map(|e| e.epoch).max().unwrap_or(1));
    let accuracy = Plot { x: x(), y: Axis::shares("balanced accuracy", lowest) };
    let loss = Plot { x: x(), y: Axis::linear("mean cross-entropy", 0.0, highest * 1.05) };
    let of = |get: fn(&Epoch) -> f64| epochs.iter().map(|e| (f64::from(e.epoch), get(e))).collect::<Vec<_>>();
    let said = |name: &str, values: [String; 2]| {
        format!(
            "{name} after {} {passes}: {} on training photos, {} on held-out ones.",
            last.epoch, values[0], values[1]
        )
    };
    let accuracy_said = said("Balanced accuracy", [last.training_accuracy, last.validation_accuracy].map(percent));
    let loss_said = said("Mean cross-entropy", [last.training_loss, last.validation_loss].map(short));
    html! {
        (card(&format!("Accuracy by {pass}"),
            accuracy.draw("accuracy", &format!("Training and validation accuracy by {pass}"), &accuracy_said,
                curves(&accuracy, pass, &of(|e| e.training_accuracy), &of(|e| e.validation_accuracy))),
            html! { (legend()) " Where the two part, it learns the photos by heart." }))
        (card(&format!("Loss by {pass}"),
            loss.draw("loss", &format!("Training and validation loss by {pass}"), &loss_said,
                curves(&loss, pass, &of(|e| e.training_loss), &of(|e| e.validation_loss))),
            html! {
                (legend())
                @if linear { " The fit ends at the best weights that its penalty allows: more steps would change nothing." }
                @else { " Where validation rises again, it was trained too long." }
            }))
    }
}

fn curves(plot: &Plot, pass: &str, training: &[(f64, f64)], validation: &[(f64, f64)]) -> Markup {
    html! {
        path.line.training d=(plot.line(training.iter().copied())) {}
        path.line.validation d=(plot.line(validation.iter().copied())) {}
        @if training.len() <= DOTTED {
            @for (class, points) in [("point training", training), ("point validation", validation)] {
                @for (x, y) in points.iter().filter(|(_, y)| y.is_finite()) {
                    circle class=(class) cx=(plot.x(*x)) cy=(plot.y(*y)) r="3" { title { (pass) " " (x) ": " (short(*y)) } }
                }
            }
        }
    }
}

fn legend() -> Markup {
    html! {
        span.key { span.dash.training {} "training" }
        " "
        span.key { span.dash.validation {} "validation" }
    }
}
