//! The page is whole, says what the report says, and is broken by nothing that a report may hold.
#![allow(clippy::expect_used)]

use super::super::testing::{degenerate, hostile, sample};
use super::html;

/// Elements that have no end.
const VOID: [&str; 4] = ["meta", "img", "br", "wbr"];

/// Tags of a page in order, without comments and the style sheet's text: (name, whole tag).
fn tags(page: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for part in page.split('<').skip(1) {
        // An attribute's text has no `>`: it is escaped.
        let tag = part.split('>').next().expect("a tag");
        found.push((tag.split([' ', '\n']).next().expect("a name"), tag));
    }
    found
}

/// Panics unless every element that is opened is closed, in order.
fn assert_balanced(page: &str) {
    let mut open = Vec::new();
    for (name, tag) in tags(page).into_iter().filter(|(name, _)| !name.starts_with('!') && !VOID.contains(name)) {
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "closed by </{name}>"),
            None => {
                assert_eq!(tag.matches('"').count() % 2, 0, "quotes of <{tag}>");
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn the_page_is_whole_for_two_to_thirty_labels() {
    for labels in [2, 3, 4, 5, 12, 30] {
        let page = html(&sample(labels));
        assert_balanced(&page);
        let rows = page.matches("<th scope=\"row\" ").count() + page.matches(" scope=\"row\">").count();
        assert_eq!(rows, 2 * labels, "rows of two matrices");
    }
}

#[test]
fn the_page_fetches_nothing_and_runs_nothing() {
    let page = html(&sample(4));
    for (name, tag) in tags(&page) {
        assert!(!["script", "link", "iframe", "object", "form", "base"].contains(&name), "<{tag}>");
        assert!(!tag.contains(" on"), "a handler in <{tag}>");
        for source in ["src=\"", "href=\""] {
            let from = tag.split(source).nth(1);
            assert!(from.is_none_or(|from| from.starts_with("data:image/")), "<{tag}>");
        }
    }
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("));
}

#[test]
fn every_part_of_the_report_is_on_the_page() {
    let report = sample(4);
    let page = html(&report);
    let ids = ["accuracy", "loss", "precision-recall", "recall-cost", "calibration", "map"];
    for id in ids {
        assert_eq!(page.matches(&format!("id=\"{id}-title\"")).count(), 1, "{id}");
        assert_eq!(page.matches(&format!("id=\"{id}-text\"")).count(), 1, "{id}");
    }
    assert_eq!(page.matches("<img ").count(), report.mistakes.len());
    assert_eq!(page.matches("class=\"dot recall\"").count(), 8, "four labels, held out and tested");
    let wrong = report.map.iter().filter(|point| !point.right).count();
    assert_eq!(page.matches("class=\"wrong-ring\"").count(), wrong + 1, "a ring each, and the legend's");
    assert_eq!(page.matches("class=\"ring\"").count(), 2, "the threshold on both curves");
    for note in &report.notes {
        assert!(page.contains(note.as_str()));
    }
}

#[test]
fn a_report_that_lacks_parts_or_holds_no_numbers_is_still_a_page() {
    for report in degenerate() {
        let page = html(&report);
        assert_balanced(&page);
        for part in page.split("data:image/").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)) {
            assert!(!part.contains("NaN") && !part.contains("inf,") && !part.contains("inf%"), "{part}");
            for number in [">inf<", "\"inf\"", " inf ", "-inf", "inf "] {
                assert!(!part.contains(number), "{number}");
            }
        }
    }
}

#[test]
fn no_text_of_a_report_leaves_its_place() {
    let page = html(&hostile());
    assert_balanced(&page);
    assert!(!page.contains("<script") && !page.contains("<b>&"), "escaped");
    assert!(!page.contains("example.org"), "a picture that is not inside is not shown");
    assert_eq!(page.matches("<title>svg").count(), 0);
    assert!(page.contains("&lt;script&gt;"));
}

#[test]
fn thousands_of_photos_are_thinned_and_no_mistake_is_lost() {
    let mut report = sample(4);
    let more = report.map.clone();
    (0..20).for_each(|_| report.map.extend(more.iter().filter(|point| point.right).cloned()));
    let page = html(&report);
    let wrong = report.map.iter().filter(|point| !point.right).count();
    let drawn = page.matches("class=\"photo\"").count();
    assert!(drawn <= 1_500 && drawn > 1_000, "{drawn}");
    assert_eq!(page.matches("class=\"wrong-ring\"").count(), wrong + 1);
    assert!(page.contains("all mistakes first"));
}

#[test]
fn no_mistake_at_all_is_said() {
    let mut report = sample(3);
    report.mistakes.clear();
    assert!(html(&report).contains("Not one photo was named wrongly, and none alerted"));
}

#[test]
fn a_linear_fit_is_not_told_to_have_been_trained_too_long() {
    let mut report = sample(3);
    let page = html(&report);
    assert!(
        page.contains("Loss by step") && !page.contains("trained too long") && !page.contains("pass over"),
        "linear"
    );
    report.layers = "mlp:64, 10 epochs".to_owned();
    let page = html(&report);
    assert!(page.contains("Loss by pass") && page.contains("trained too long"), "mlp");
}

#[test]
fn a_label_without_test_photos_has_no_share_of_them() {
    let mut report = sample(3);
    if let Some(test) = &mut report.test {
        test.confusion[0].fill(0);
    }
    let page = html(&report);
    assert!(page.contains("no photos of arctic_fox") && !page.contains("of 0 ("), "a share of none");
}

/// For looking at: writes pages to the folder that `ARCTICD_REPORT_PAGES` names.
#[test]
fn pages_are_written_where_one_asks_to_look_at_them() {
    let Some(folder) = std::env::var_os("ARCTICD_REPORT_PAGES") else {
        eprintln!("skipped: ARCTICD_REPORT_PAGES names no folder");
        return;
    };
    let write =
        |name: &str, page: String| std::fs::write(std::path::Path::new(&folder).join(name), page).expect("writes");
    for labels in [2, 4, 12, 30] {
        write(&format!("{labels}.html"), html(&sample(labels)));
        write(&format!("{labels}.txt"), super::super::text(&sample(labels)));
    }
    for (place, report) in degenerate().iter().enumerate() {
        write(&format!("odd-{place}.html"), html(report));
        write(&format!("odd-{place}.txt"), super::super::text(report));
    }
}
