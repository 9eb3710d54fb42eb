//! The short form, for a terminal.

use std::fmt::{self, Write};

use super::numbers::{counted, interval, percent, probability, short, thousands, with_packaged};
use super::{Counts, OperatingPoint, Report, balanced_interval};
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
    let sum = |get: fn(&Counts) -> u64| report.photos.iter().map(get).sum::<u64>();
    let packaged = sum(|counts| counts.packaged);
    let photos = with_packaged(sum(|counts| counts.train) + packaged, packaged, "photo");
    writeln!(text, "{}: {}, on {}", report.head, report.layers, report.backbone)?;
    writeln!(
        text,
        "{} of {}; features {} s, all the rest {} s",
        photos,
        counted(report.photos.len() as u64, "label"),
        short(report.seconds.features),
        short(report.seconds.fit)
    )?;
    let packaged = report.held_out_packaged;
    evaluation(text, "held-out photo", "cross-validation", &report.cross_validation, packaged)?;
    if let Some(test) = &report.test {
        evaluation(text, "test photo", "nothing was chosen by them", test, 0)?;
    }
    writeln!(text)?;
    for sentence in report.operating_points.iter().flat_map(|point| in_words(point, report)) {
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
        let known = if packaged > 0 { "known photos, packaged ones included," } else { "known photos" };
        writeln!(text, "Novelty ({}): {} {known} called novel.", novelty.method, fraction(&novelty.false_novel))?;
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

fn evaluation(text: &mut String, noun: &str, what: &str, evaluation: &Evaluation, packaged: u64) -> fmt::Result {
    if evaluation.images == 0 {
        return writeln!(text, "\nNo {noun}s ({what}).");
    }
    let photos = with_packaged(evaluation.images, packaged, noun);
    let within = interval(balanced_interval(evaluation));
    let balanced = percent(evaluation.balanced_accuracy);
    writeln!(text, "\n{photos} ({what}): balanced accuracy {balanced} ({within})")?;
    text.push_str(&confusion_table(&evaluation.labels, &evaluation.confusion));
    classes(text, &evaluation.per_class)
}

/// Recall and precision a label. The matrix has the same labels in the same order, so few labels need no second table of
/// counts: only the intervals are new.
fn classes(text: &mut String, classes: &[ClassFigures]) -> fmt::Result {
    let name = |class: &ClassFigures| class.label.chars().filter(|c| !c.is_control()).take(24).collect::<String>();
    let room = classes.iter().map(|class| name(class).chars().count()).max().unwrap_or(0).max("95 % intervals".len());
    let share = |share: &Share| match share.of {
        0 => "no photos".to_owned(),
        _ => format!("{} ({})", percent(share.share), interval(share.wilson_95)),
    };
    // Many photos have more decimals.
    let wide = classes.iter().map(|class| share(&class.recall).chars().count()).max().unwrap_or(0).max(24);
    writeln!(text, "{:<room$}  {:<wide$}  precision", "95 % intervals", "recall")?;
    for class in classes {
        let line = format!("{:<room$}  {:<wide$}  {}", name(class), share(&class.recall), share(&class.precision));
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The operating point and its price in sentences.
pub fn in_words(point: &OperatingPoint, report: &Report) -> Vec<String> {
    let OperatingPoint { label, recall, false_alert_rate: alarms, .. } = point;
    let others = |of: u64| with_packaged(of, report.held_out_packaged, "other photo");
    let mut sentences = vec![
        format!("{label} alerts from {} on (wanted: {}).", probability(point.threshold), point.wanted),
        format!("  It finds {} held-out photos of {label} ({}).", fraction(recall), interval(recall.wilson_95)),
    ];
    sentences.push(match (alarms.hits, alarms.of) {
        (_, 0) => "  Its false alerts are unknown: there are no photos of anything else.".to_owned(),
        (0, of) => {
            let most = percent(alarms.wilson_95[1]);
            format!("  It cost no false alert in {}: at most {most} (95 %).", others(of))
        }
        (hits, of) => format!(
            "  It costs {} in {}: {} ({}), one in about {}.",
            counted(hits, "false alert"),
            others(of),
            percent(alarms.share),
            interval(alarms.wilson_95),
            thousands((of as f64 / hits as f64).round() as u64)
        ),
    });
    let tested = report.test.as_ref().and_then(|test| test.alerts.iter().find(|alert| alert.label == *label));
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
    fn packaged_photos_are_not_counted_as_the_users() {
        let mut report = sample(4);
        let other = report.photos.iter_mut().find(|counts| counts.background);
        let own: u64 = match other {
            Some(other) => {
                other.packaged = std::mem::take(&mut other.train);
                other.packaged
            }
            None => 0,
        };
        report.held_out_packaged = own;
        let text = text(&report);
        let photos = report.cross_validation.images - own;
        for part in [
            format!("\n{photos} photos and {own} packaged ones of 4 labels"),
            format!("\n{photos} held-out photos and {own} packaged ones (cross-validation)"),
            format!("other photos and {own} packaged ones"),
        ] {
            assert!(text.contains(&part), "no {part} in\n{text}");
        }
    }

    #[test]
    fn columns_stay_in_place_where_shares_have_many_digits() {
        let mut report = sample(3);
        report.cross_validation.per_class[0].recall = Share::of(99_999, 100_000);
        let text = text(&report);
        let at = |line: &str| line.find("precision").or_else(|| line.rfind("  ")).map(|at| line[..at].trim_end().len());
        let lines: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("95 % intervals")).take(4).collect();
        let column = lines[0].find("precision").unwrap_or(0);
        for line in &lines[1..] {
            assert!(
                line[..column].ends_with("  ") && !line[column..].starts_with(' '),
                "{}: {:?}",
                lines.join("\n"),
                at(line)
            );
        }
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
