//! The short form, for a terminal.

use std::fmt::{self, Write};

use super::numbers::{counted, interval, percent, probability, short, thousands};
use super::{OperatingPoint, Report, balanced_interval};
use crate::evaluate::{ClassFigures, Evaluation, Share, confusion_table};

/// Warnings that are printed; the page has them all.
const NOTES: usize = 8;

/// The report in a few dozen lines: figures, confusion matrix, the threshold and its price, warnings.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> fmt::Result {
    let photos: u64 = report.photos.iter().map(|counts| counts.train).sum();
    writeln!(text, "{}: {}, on {}", report.head, report.layers, report.backbone)?;
    writeln!(
        text,
        "{} of {}; features {} s, all the rest {} s",
        counted(photos, "photo"),
        counted(report.photos.len() as u64, "label"),
        short(report.seconds.features),
        short(report.seconds.fit)
    )?;
    evaluation(text, "held-out photos (cross-validation)", &report.cross_validation)?;
    if let Some(test) = &report.test {
        evaluation(text, "test photos (nothing was chosen by them)", test)?;
    }
    writeln!(text)?;
    for sentence in report.operating_points.iter().flat_map(|point| in_words(point, report.test.as_ref())) {
        writeln!(text, "{sentence}")?;
    }
    if report.operating_points.is_empty() {
        writeln!(text, "No label alerts.")?;
    }
    if report.calibration.bins.is_empty() {
        writeln!(text, "Calibration: no held-out photos to measure it on.")?;
    } else {
        let off = report.calibration.error * 100.0;
        let temperature = short(report.calibration.temperature);
        writeln!(text, "Calibration: off by {off:.1} points on average, at temperature {temperature}.")?;
    }
    if let Some(novelty) = &report.novelty {
        write!(text, "Novelty ({}): {} known photos called novel", novelty.method, fraction(&novelty.false_novel))?;
        writeln!(text, ".")?;
        let areas = || novelty.auroc.iter().filter(|(_, area)| area.is_finite());
        if let Some((label, least)) = areas().min_by(|(_, a), (_, b)| a.total_cmp(b)) {
            let mean = areas().map(|(_, area)| area).sum::<f64>() / areas().count() as f64;
            let [mean, least] = [mean, *least].map(probability);
            writeln!(
                text,
                "  AUROC of labels left out, on photos that did not choose the method: {mean} on average, at least {least} \
                 ({label})."
            )?;
        }
    }
    for note in report.notes.iter().take(NOTES) {
        writeln!(text, "Note: {note}")?;
    }
    if let Some(more @ 1..) = report.notes.len().checked_sub(NOTES) {
        writeln!(text, "Note: {more} more in the report.")?;
    }
    Ok(())
}

fn evaluation(text: &mut String, name: &str, evaluation: &Evaluation) -> fmt::Result {
    if evaluation.images == 0 {
        return writeln!(text, "\nNo {name}.");
    }
    let within = interval(balanced_interval(evaluation));
    let balanced = percent(evaluation.balanced_accuracy);
    writeln!(text, "\n{} {name}: balanced accuracy {balanced} ({within})", thousands(evaluation.images))?;
    text.push_str(&confusion_table(&evaluation.labels, &evaluation.confusion));
    classes(text, &evaluation.per_class)
}

/// Recall and precision a label. The matrix has the same labels in the same order, so few labels need no second table of
/// counts: only the intervals are new.
fn classes(text: &mut String, classes: &[ClassFigures]) -> fmt::Result {
    let name = |class: &ClassFigures| class.label.chars().filter(|c| !c.is_control()).take(24).collect::<String>();
    let room = classes.iter().map(|class| name(class).chars().count()).max().unwrap_or(0).max("95 % intervals".len());
    writeln!(text, "{:<room$}  {:<24}  precision", "95 % intervals", "recall")?;
    for class in classes {
        let share = |share: &Share| match share.of {
            0 => "no photos".to_owned(),
            _ => format!("{} ({})", percent(share.share), interval(share.wilson_95)),
        };
        let line = format!("{:<room$}  {:<24}  {}", name(class), share(&class.recall), share(&class.precision));
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The operating point and its price in sentences.
pub fn in_words(point: &OperatingPoint, test: Option<&Evaluation>) -> Vec<String> {
    let OperatingPoint { label, recall, false_alert_rate: alarms, .. } = point;
    let mut sentences = vec![
        format!("{label} alerts from {} on (wanted: {}).", probability(point.threshold), point.wanted),
        format!("  It finds {} held-out photos of {label} ({}).", fraction(recall), interval(recall.wilson_95)),
    ];
    sentences.push(match (alarms.hits, alarms.of) {
        (_, 0) => "  Its false alerts are unknown: there are no photos of anything else.".to_owned(),
        (0, of) => {
            let most = percent(alarms.wilson_95[1]);
            format!("  It cost no false alert in {}: at most {most} (95 %).", counted(of, "other photo"))
        }
        (hits, of) => format!(
            "  It costs {} in {}: {} ({}), one in about {}.",
            counted(hits, "false alert"),
            counted(of, "other photo"),
            percent(alarms.share),
            interval(alarms.wilson_95),
            thousands((of as f64 / hits as f64).round() as u64)
        ),
    });
    let tested = test.and_then(|test| test.alerts.iter().find(|alert| alert.label == *label));
    if let Some(tested) = tested {
        let (found, alarms) = (fraction(&tested.recall), fraction(&tested.false_alert_rate));
        sentences.push(format!("  On the test photos: {found} found, {alarms} others alert falsely."));
    }
    sentences
}

/// `98.3 % (58 of 59)`.
pub fn fraction(share: &Share) -> String {
    match share.of {
        0 => "none of 0".to_owned(),
        of => format!("{} ({} of {})", percent(share.share), thousands(share.hits), thousands(of)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{degenerate, sample};
    use super::*;

    #[test]
    fn the_short_form_says_what_matters_in_forty_lines() {
        for labels in [3, 5] {
            let text = text(&sample(labels));
            assert!(text.lines().count() <= 40, "{} lines\n{text}", text.lines().count());
            assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
            for part in ["balanced accuracy", "true \\ named", "polar_bear alerts from 0.", "wanted: recall", "Note: "]
            {
                assert!(text.contains(part), "no {part} in\n{text}");
            }
        }
    }

    #[test]
    fn both_confusion_matrices_are_evals_own() {
        let report = sample(4);
        let text = text(&report);
        for evaluation in [Some(&report.cross_validation), report.test.as_ref()].into_iter().flatten() {
            assert!(text.contains(&confusion_table(&evaluation.labels, &evaluation.confusion)), "{text}");
        }
    }

    #[test]
    fn a_report_with_nothing_in_it_says_so_and_has_no_nonsense() {
        for report in degenerate() {
            let text = text(&report);
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
        let empty = text(&degenerate()[0]);
        assert!(empty.contains("No label alerts.") && empty.contains("No held-out photos"), "{empty}");
    }

    #[test]
    fn no_false_alert_is_never_called_none_for_ever() {
        let mut report = sample(3);
        if let Some(point) = report.operating_points.first_mut() {
            point.false_alert_rate = Share { hits: 0, of: 816, share: 0.0, wilson_95: [0.0, 0.0047] };
        }
        let text = text(&report);
        assert!(text.contains("no false alert in 816 other photos: at most 0.5 % (95 %)"), "{text}");
    }
}
