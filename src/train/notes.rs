//! What the one who trains should know of a fit before it is relied on.

use std::collections::BTreeSet;

use super::rows::Dataset;
use crate::model::is_background;
use crate::report::OperatingPoint;

/// Temperature from which on a fit is told to be too sure of itself.
const HOT: f64 = 3.0;

/// Says why there are fewer folds than wanted: which labels have no more photos to hold out.
pub(super) fn few_folds(dataset: &Dataset, folds: usize, wanted: usize) -> Option<String> {
    let (groups, _) = dataset.groups();
    let mut groups_of = vec![BTreeSet::new(); dataset.labels.len()];
    for (class, photo) in dataset.class.iter().zip(&dataset.photo) {
        if let (Some(own), Some(group)) = (groups_of.get_mut(*class), groups.get(*photo)) {
            own.insert(group);
        }
    }
    let few = dataset.labels.iter().zip(&groups_of).filter(|(_, own)| own.len() <= folds);
    let few: Vec<&str> = few.map(|(label, _)| label.as_str()).collect();
    (folds < wanted).then(|| {
        format!(
            "Cross-validation in {folds} folds instead of {wanted}: so many photos unlike each other are there of {}; \
             near-duplicates are held out together.",
            few.join(", ")
        )
    })
}

/// Says which labels' figures flatter, because near-duplicates had to be held out from each other.
pub(super) fn alike(dataset: &Dataset) -> Option<String> {
    let (_, parted) = dataset.groups();
    let labels: Vec<&str> = parted.iter().filter_map(|class| dataset.labels.get(*class)).map(String::as_str).collect();
    (!labels.is_empty()).then(|| {
        format!(
            "All photos of {} look alike, as a fixed camera's do: they were held out from their own \
             near-duplicates, and the figures flatter; test on photos of another place or season.",
            labels.join(", ")
        )
    })
}

/// A head without an alerting label is refused by every trap that does not name one in its configuration.
pub(super) fn silent(dataset: &Dataset, points: &[OperatingPoint]) -> Option<String> {
    let animal = dataset.labels.iter().find(|name| !is_background(name));
    points.is_empty().then(|| {
        format!(
            "No label alerts, so traps refuse this head unless their alerts.labels names one of its labels: train again \
             with --alert, as --alert {}.",
            animal.map_or("LABEL", String::as_str)
        )
    })
}

/// Says when a fit's own probabilities were far from what held-out photos bear out.
pub(super) fn overconfident(heat: f64) -> Option<String> {
    (heat >= HOT).then(|| {
        format!(
            "The fit is much too sure of itself, by its temperature of {heat:.1} (1 is right): its logits were divided by \
             that, and the probabilities hold on the held-out photos, but fewer epochs, more photos or --layers linear make \
             a better head."
        )
    })
}

/// Says when the photos are too few to prove the goal; `packaged` of them are not the user's.
pub(super) fn thin_evidence(point: &OperatingPoint, packaged: u64) -> Option<String> {
    let others = point.false_alert_rate.of.saturating_sub(packaged);
    let besides = if packaged > 0 { format!(" besides {packaged} packaged ones") } else { String::new() };
    let (what, of) = match point.recall.of {
        of if of < 30 => (format!("only {of} photos of {}", point.label), of),
        _ => (format!("{others} photos without {}{besides}", point.label), others),
    };
    (of < 300).then(|| format!("The threshold rests on {what}: its figures are as wide as their intervals say."))
}
