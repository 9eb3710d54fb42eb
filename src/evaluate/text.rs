//! An evaluation for a terminal.

use std::fmt;

use super::{AlertFigures, Evaluation, Share, confusion_table};

/// Labels beyond which a table of all pairs is no help.
const MOST_COLUMNS: usize = 12;
/// Pairs listed instead.
const PAIRS: usize = 10;

/// Balanced figures first, then the table, then what alerts. Beside each headline stands what a head would get that
/// always gives the most frequent answer.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<u64> = self.confusion.iter().map(|row| row.iter().sum()).collect();
        let most = rows.iter().zip(&self.labels).max_by_key(|(photos, _)| **photos);
        if let Some((photos, label)) = most.filter(|(photos, _)| **photos > 0) {
            let seen = rows.iter().filter(|photos| **photos > 0).count();
            let always = *photos as f64 / self.images.max(1) as f64;
            let same = format!("always answering {label} gets");
            writeln!(
                f,
                "balanced accuracy {:>6}   ({same} {})",
                percent(self.balanced_accuracy),
                percent(1.0 / seen as f64)
            )?;
            writeln!(f, "accuracy          {:>6}   ({same} {})", percent(self.accuracy), percent(always))?;
            writeln!(f)?;
        }
        let shown: Vec<usize> = (0..self.labels.len()).filter(|class| self.is_seen(*class)).collect();
        if shown.len() <= MOST_COLUMNS {
            self.table(f, &shown)?
        } else {
            self.pairs(f)?
        }
        self.classes(f, &shown)?;
        self.alerts.iter().try_for_each(|alert| write_alert(f, alert))
    }
}

impl Evaluation {
    fn at(&self, row: usize, column: usize) -> u64 {
        self.confusion.get(row).and_then(|row| row.get(column)).copied().unwrap_or(0)
    }

    fn label(&self, class: usize) -> &str {
        self.labels.get(class).map_or("", String::as_str)
    }

    /// Whether a label has photos or was an answer.
    fn is_seen(&self, class: usize) -> bool {
        (0..self.labels.len()).any(|other| self.at(class, other) + self.at(other, class) > 0)
    }

    fn table(&self, f: &mut fmt::Formatter<'_>, shown: &[usize]) -> fmt::Result {
        let labels: Vec<String> = shown.iter().map(|class| self.label(*class).to_owned()).collect();
        let row = |row: &usize| shown.iter().map(|column| self.at(*row, *column)).collect();
        let rows: Vec<Vec<u64>> = shown.iter().map(row).collect();
        writeln!(f, "{}", confusion_table(&labels, &rows))
    }

    fn pairs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = 0..self.labels.len();
        let pairs = all.clone().flat_map(|row| all.clone().map(move |column| (row, column)));
        let mut pairs: Vec<(u64, usize, usize)> = pairs
            .filter(|(row, column)| row != column)
            .map(|(row, column)| (self.at(row, column), row, column))
            .collect();
        pairs.sort_by_key(|(photos, ..)| std::cmp::Reverse(*photos));
        writeln!(f, "most frequent mistakes (the whole table is in the JSON)")?;
        for (photos, row, column) in pairs.into_iter().take(PAIRS).filter(|(photos, ..)| *photos > 0) {
            writeln!(f, "{photos:>7}  {} named {}", self.label(row), self.label(column))?;
        }
        writeln!(f)
    }

    fn classes(&self, f: &mut fmt::Formatter<'_>, shown: &[usize]) -> fmt::Result {
        let classes: Vec<_> = shown.iter().filter_map(|class| self.per_class.get(*class)).collect();
        // As wide as the table's first column, and as the longest share.
        let first = classes.iter().map(|class| class.label.len()).max().unwrap_or(0).max("true \\ named".len());
        let wide = classes.iter().map(|class| text(&class.recall, 1).len()).max().unwrap_or(0).max(34);
        writeln!(f, "{:first$}  {:wide$}  precision (95 % interval)", "", "recall (95 % interval)")?;
        for class in classes {
            writeln!(f, "{:first$}  {:wide$}  {}", class.label, text(&class.recall, 1), text(&class.precision, 1))?;
        }
        Ok(())
    }
}

fn write_alert(f: &mut fmt::Formatter<'_>, alert: &AlertFigures) -> fmt::Result {
    writeln!(f)?;
    writeln!(f, "alert {} from {}", alert.label, alert.threshold)?;
    writeln!(f, "  found         {}", text(&alert.recall, 1))?;
    writeln!(f, "  false alerts  {}", text(&alert.false_alert_rate, 2))?;
    for (label, share) in alert.false_alerts_by_label.iter().filter(|(_, share)| share.hits > 0) {
        writeln!(f, "    {label}: {} of {}", share.hits, share.of)?;
    }
    Ok(())
}

/// `12 of 15, 80.0 % (54.8 to 93.0)`.
fn text(share: &Share, decimals: usize) -> String {
    if !share.is_known() {
        return "no photos".to_owned();
    }
    let [low, high] = share.wilson_95.map(|bound| bound * 100.0);
    let Share { hits, of, share, .. } = share;
    format!("{hits} of {of}, {:.decimals$} % ({low:.decimals$} to {high:.decimals$})", share * 100.0)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{Judged, evaluate};

    fn evaluation(labels: usize, photos: &[(usize, usize)]) -> String {
        let names: Vec<String> =
            (0..labels).map(|n| if n == 0 { "polar_bear".into() } else { format!("l{n}") }).collect();
        let judged = |(truth, named): &(usize, usize)| {
            let probabilities = (0..labels).map(|class| if class == *named { 0.9 } else { 0.0 }).collect();
            Judged { truth: *truth, probabilities }
        };
        let judged: Vec<Judged> = photos.iter().map(judged).collect();
        evaluate(&names, &judged, &[("polar_bear".into(), 0.5)]).to_string()
    }

    #[test]
    fn the_headline_stands_beside_what_a_constant_answer_gets() {
        let photos: Vec<(usize, usize)> = [(0, 1), (0, 0)].into_iter().chain([(1, 1); 8]).collect();
        let text = evaluation(3, &photos);
        assert!(text.starts_with("balanced accuracy 75.0 %   (always answering l1 gets 50.0 %)\n"), "{text}");
        assert!(text.contains("accuracy          90.0 %   (always answering l1 gets 80.0 %)"), "{text}");
        assert!(text.contains("\npolar_bear             1   1        2  50.0 %\n"), "{text}");
        assert!(text.contains("1 of 2, 50.0 % (9.5 to 90.5)"), "{text}");
        assert!(text.contains("false alerts  0 of 8, 0.00 % (0.00 to 32.44)"), "{text}");
        assert!(!text.contains("l2"), "a label that plays no part: {text}");
    }

    #[test]
    fn many_labels_give_a_list_of_mistakes_instead_of_a_table() {
        let photos: Vec<(usize, usize)> =
            (0..40).flat_map(|class| [(class, class), (class, (class + 1) % 40)]).collect();
        let text = evaluation(40, &photos);
        assert!(text.contains("most frequent mistakes") && !text.contains("true \\ named"), "{text}");
        assert!(text.lines().all(|line| line.len() < 120));
    }

    #[test]
    fn nothing_at_all_can_be_printed() {
        assert!(!evaluation(2, &[]).contains("NaN"));
        assert!(!evaluation(0, &[]).contains("NaN"));
    }
}
