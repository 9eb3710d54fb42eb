//! The confusion matrix as a terminal shows it.

/// Widest label that is printed in full, in characters.
const LABEL_WIDTH: usize = 24;
/// Columns of labels that a terminal has room for; beyond, columns carry the numbers of the rows.
const ROOM: usize = 72;

/// A matrix with a row a true label and a column a predicted one, aligned by width, with each row's photos and recall.
///
/// Wrong cells that are empty show a dot, so that mistakes stand out. Where the labels are too wide for a terminal the
/// columns are numbered like the rows. Rows that are missing in `confusion` count as empty. Ends with a line feed.
pub fn confusion_table(labels: &[String], confusion: &[Vec<u64>]) -> String {
    let names: Vec<String> = labels.iter().map(|label| shortened(label)).collect();
    let cell = |row: usize, column: usize| confusion.get(row).and_then(|row| row.get(column)).copied().unwrap_or(0);
    let places = 0..labels.len();
    let digits = places.clone().flat_map(|row| places.clone().map(move |column| (row, column)));
    let digits = digits.map(|(row, column)| cell(row, column).to_string().len()).max().unwrap_or(1);
    let wide: usize = names.iter().map(|name| width(name).max(digits) + 2).sum();
    let numbered = wide > ROOM;
    let head = |place: usize, name: &str| if numbered { format!("{}", place + 1) } else { name.to_owned() };
    let rows: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(place, name)| if numbered { format!("{:>2} {name}", place + 1) } else { name.clone() })
        .collect();
    let first = rows.iter().map(|row| width(row)).max().unwrap_or(0).max("true \\ named".len());

    let mut lines = vec![padded("true \\ named", first)];
    lines.extend(rows.iter().map(|row| padded(row, first)));
    for (column, name) in names.iter().enumerate() {
        let head = head(column, name);
        let room = width(&head).max(digits);
        let cells = places.clone().map(|row| match cell(row, column) {
            0 if row != column => "·".to_owned(),
            count => count.to_string(),
        });
        for (line, text) in lines.iter_mut().zip(std::iter::once(head).chain(cells)) {
            line.push_str("  ");
            line.push_str(&" ".repeat(room.saturating_sub(width(&text))));
            line.push_str(&text);
        }
    }
    let sums: Vec<u64> = places.clone().map(|row| places.clone().map(|column| cell(row, column)).sum()).collect();
    let room = sums.iter().map(|sum| sum.to_string().len()).max().unwrap_or(0).max("photos".len());
    let mut ends = vec![format!("   {:>room$}  recall", "photos")];
    ends.extend(sums.iter().enumerate().map(|(row, sum)| match sum {
        0 => format!("   {sum:>room$}       -"),
        sum => format!("   {sum:>room$}  {:>6}", percent(cell(row, row), *sum)),
    }));
    lines.iter().zip(ends).map(|(line, end)| format!("{line}{end}\n")).collect()
}

/// A share as a percentage with one digit, which shows 100 % only for all of them and 0 % only for none.
fn percent(hits: u64, of: u64) -> String {
    let share = hits as f64 / of.max(1) as f64 * 100.0;
    match hits {
        0 => "0 %".to_owned(),
        hits if hits >= of => "100 %".to_owned(),
        _ => format!("{:.1} %", share.clamp(0.1, 99.9)),
    }
}

/// Width in a terminal, counted in characters: labels are `[a-z0-9_]+`.
fn width(text: &str) -> usize {
    text.chars().count()
}

fn padded(text: &str, room: usize) -> String {
    format!("{text}{}", " ".repeat(room.saturating_sub(width(text))))
}

fn shortened(label: &str) -> String {
    // A folder's name may hold anything; a control character would break the table.
    let clean: String = label.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if width(&clean) <= LABEL_WIDTH {
        return clean;
    }
    clean.chars().take(LABEL_WIDTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_small_matrix_reads_like_a_table() {
        let table = confusion_table(
            &labels(&["arctic_fox", "other", "polar_bear"]),
            &[vec![18, 2, 0], vec![1, 1790, 2], vec![0, 0, 29]],
        );
        let expected = "\
true \\ named  arctic_fox  other  polar_bear   photos  recall
arctic_fox            18      2           ·       20  90.0 %
other                  1   1790           2     1793  99.8 %
polar_bear             ·      ·          29       29   100 %
";
        assert_eq!(table, expected);
    }

    #[test]
    fn every_line_is_as_wide_as_the_first_whatever_labels_and_counts_are_like() {
        let long = "a_very_long_label_of_a_scientist_who_likes_to_be_exact";
        for count in [2_usize, 3, 12, 30] {
            let names: Vec<String> =
                (0..count).map(|n| if n == 1 { long.to_owned() } else { format!("l{n}") }).collect();
            let confusion = vec![vec![7; count - 1]; count];
            let table = confusion_table(&names, &confusion);
            let widths: Vec<usize> = table.lines().map(width).collect();
            assert_eq!(widths.len(), count + 1);
            assert!(widths.iter().all(|width| Some(width) == widths.first()), "{table}");
            assert!(!table.contains(long));
        }
    }

    #[test]
    fn where_labels_are_too_wide_the_columns_carry_the_rows_numbers() {
        let names: Vec<String> = (0..12).map(|n| format!("species_number_{n}")).collect();
        let table = confusion_table(&names, &vec![vec![1; 12]; 12]);
        assert!(table.lines().all(|line| width(line) <= 110), "{table}");
        assert!(table.contains("\n12 species_number_11"), "{table}");
        assert_eq!(table.matches("species_number_3").count(), 1);
    }

    #[test]
    fn a_missing_row_counts_as_empty_and_a_label_without_photos_has_no_recall() {
        let table = confusion_table(&labels(&["a", "b"]), &[vec![3]]);
        assert!(table.contains("a             3  ·        3   100 %"), "{table}");
        assert!(table.contains("b             ·  0        0       -"), "{table}");
        assert_eq!(confusion_table(&[], &[]).lines().count(), 1);
    }

    #[test]
    fn all_but_one_is_never_shown_as_all() {
        let table = confusion_table(&labels(&["a", "b"]), &[vec![9_999, 1], vec![1, 9_999]]);
        assert!(table.contains("99.9 %") && !table.contains("100 %"), "{table}");
    }

    #[test]
    fn a_control_character_in_a_label_does_not_break_the_table() {
        let table = confusion_table(&labels(&["a\nb", "\u{1b}[31m"]), &[vec![1, 0], vec![0, 1]]);
        assert_eq!(table.lines().count(), 3);
        assert!(!table.contains('\u{1b}'));
    }
}
