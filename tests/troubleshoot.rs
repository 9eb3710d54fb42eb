//! docs/troubleshoot.md has a cure for what the program can say. What it can say is read out of the sources: the errors that have
//! a kind, warnings of `health`, stages of `arcticd check`, and those other errors that do not say themselves what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Fewer letters than this say nothing, unless they are half of what there is.
const ENOUGH: usize = 11;

/// Warnings of `health` by their key in the sources, with words of them on the page.
const WARNINGS: [(&str, &str); 23] = [
    ("acknowledgements", "journal ...: ..."),
    ("capture", "cannot be used ...; waiting for it"),
    ("configuration", "the configuration was not reloaded"),
    ("extras", "journal ...: ..."),
    ("head_messages", "breaks the connection and would again each time"),
    ("head_topics", "the broker refuses the subscription to ..."),
    ("heads", "the configured head serves until the next start"),
    ("heads record", "it was moved to ..., the configured head is in service"),
    ("journal", "journal ... was moved to"),
    ("keys", "public key ..."),
    ("lens", "its frames are black"),
    ("link", "broker ..."),
    ("model", "using the built-in model"),
    ("outbox", "journal ...: ..."),
    ("outbox full", "the outbox was full"),
    ("page", "there is no status page"),
    ("pictures", "of pictures for"),
    ("pipeline", "database or disk is full"),
    ("power", "the supply is weak"),
    ("retention", "frames stay"),
    ("room", "are free, and"),
    ("self-test", "self-test: ..."),
    ("watch", "no file events ...; polling instead"),
];

fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            // What is wrong inside integer networks is said when they are loaded, as `the network can't be run`.
            if name != "tests" && name != "integer" {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "testing.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            let tests =
                text.split_once("#[cfg(test)]\n#[allow(").or_else(|| text.split_once("#[cfg(test)]\nmod tests {"));
            let program = tests.map_or(text.as_str(), |(program, _)| program).to_owned();
            found.push((path, program));
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 100);
    found
}

/// The lines of all sources that hold strings, with single spaces, so that a message is found however it is broken into lines.
fn in_one_line(sources: &[(PathBuf, String)]) -> String {
    let mut text = String::new();
    for (_, source) in sources {
        let whole = source.replace("\\\n", "");
        let quoted = whole.lines().filter(|line| line.contains('"') && !line.trim_start().starts_with("//"));
        quoted.flat_map(str::split_whitespace).for_each(|word| {
            text.push_str(word);
            text.push(' ');
        });
    }
    text
}

/// The string that begins at the quote before `text`, as the program prints it, and where it ends.
fn literal(text: &str) -> (String, usize) {
    let mut said = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (said, at),
            '\\' => match letters.next() {
                Some((_, '\n')) => while letters.next_if(|(_, next)| next.is_whitespace()).is_some() {},
                Some((_, 'n')) => said.push('\n'),
                Some((_, other)) => said.push(other),
                None => break,
            },
            other => said.push(other),
        }
    }
    panic!("a string without an end: {text:.80}");
}

/// What is said behind each `start`: at once, or behind the first comma that a string follows (`ensure!`).
fn said(text: &str, start: &str, behind_comma: bool) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(start) {
        let rest = &text[at + start.len()..];
        let rest = if behind_comma {
            let end = rest.find(";\n").unwrap_or(rest.len());
            let comma = rest[..end].match_indices(',').find(|(at, _)| rest[at + 1..].trim_start().starts_with('"'));
            let Some((comma, _)) = comma else { continue };
            &rest[comma + 1..]
        } else {
            rest
        };
        if let Some(string) = rest.trim_start().strip_prefix('"') {
            found.push(literal(string).0);
        }
    }
    found
}

/// The fixed parts of a message, with a zero where a value stands.
fn fixed(message: &str) -> String {
    let mut depth = 0;
    let mut fixed = String::new();
    for letter in message.chars() {
        match letter {
            '{' => {
                depth += 1;
                fixed.push('\0');
            }
            '}' => depth -= 1,
            other if depth == 0 => fixed.push(other),
            _ => {}
        }
    }
    fixed
}

fn letters(text: &str) -> usize {
    text.chars().filter(|letter| letter.is_alphanumeric()).count()
}

/// What stands between backquotes in the first column of the page's tables.
fn rows(page: &str) -> Vec<String> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(|line| line.split(" | ").next());
    let quoted = |cell: &str| {
        let double = cell.contains("``");
        let parts: Vec<String> = cell.split(if double { "``" } else { "`" }).map(str::to_owned).collect();
        parts.into_iter().skip(1).step_by(2).map(|part| part.trim().to_owned()).collect::<Vec<_>>()
    };
    cells.flat_map(quoted).collect()
}

/// What is fixed in a row.
fn parts(row: &str) -> impl Iterator<Item = &str> {
    row.split("...").map(str::trim).filter(|part| !part.is_empty())
}

/// Whether the parts of a row stand in a text in their order.
fn stands_in(row: &str, text: &str) -> bool {
    parts(row).try_fold(text, |rest, part| rest.split_once(part).map(|(_, behind)| behind)).is_some()
}

/// Whether a row is about a message: it stands in it, and is more than a word.
fn is_about(row: &str, message: &str) -> bool {
    let fixed = fixed(message);
    let count: usize = parts(row).map(letters).sum();
    stands_in(row, &fixed) && (count >= ENOUGH || count > 0 && 2 * count >= letters(&fixed))
}

/// Whether a message ends with what to do, as the house style has it: behind a semicolon or a colon, or as an order.
fn says_what_to_do(message: &str) -> bool {
    const ORDERS: [&str; 17] = [
        "give", "choose", "say", "set", "check", "use", "make", "rename", "add", "raise", "mend", "export", "needs",
        "must", "copy", "together", "goes",
    ];
    let words: BTreeSet<&str> = message.split(|letter: char| !letter.is_alphabetic()).collect();
    message.contains(';') || message.contains(": ") || ORDERS.iter().any(|order| words.contains(order))
}

#[test]
fn each_error_has_a_row_with_its_cure() {
    let page = include_str!("../docs/troubleshoot.md");
    let rows = rows(page);
    let mut without = Vec::new();
    let mut kinds = 0;
    for (path, text) in all_sources() {
        let of_a_kind = said(&text, "#[error(", false);
        kinds += of_a_kind.len();
        let others = ["bail!(", "anyhow!("].iter().flat_map(|start| said(&text, start, false));
        let others = others.chain(said(&text, "ensure!(", true)).filter(|message| !says_what_to_do(message));
        for message in of_a_kind.into_iter().chain(others) {
            // A message of another error's words alone, or a name.
            let is_sentence = fixed(&message).trim_matches(['\0', ' ']).contains(' ');
            if is_sentence
                && !message.starts_with(char::is_uppercase)
                && !rows.iter().any(|row| is_about(row, &message))
            {
                without.push(format!("{}: {message}", path.display()));
            }
        }
    }
    assert!(kinds > 100, "{kinds} errors found");
    assert!(without.is_empty(), "docs/troubleshoot.md has no row for:\n{}", without.join("\n"));
}

#[test]
fn each_warning_has_a_row_and_each_row_a_warning() {
    let page = rows(include_str!("../docs/troubleshoot.md"));
    let keys = |text: &str| {
        let starts = [".warn(\"", ".tell(\"", ".reported(\""];
        let at =
            |start: &&str| text.match_indices(*start).map(|(at, _)| literal(&text[at + start.len()..]).0).collect();
        starts.iter().flat_map(|start| -> Vec<String> { at(start) }).collect::<Vec<_>>()
    };
    let sources = all_sources();
    let mut found: BTreeSet<String> = sources.iter().flat_map(|(_, text)| keys(text)).collect();
    // Named by a constant.
    found.insert("pictures".into());
    assert!(found.iter().eq(WARNINGS.iter().map(|(key, _)| key)), "the keys are {found:?}");
    let written = in_one_line(&sources);
    for (key, words) in WARNINGS {
        assert!(
            page.iter().any(|row| stands_in(words, row)),
            "docs/troubleshoot.md has no row {words:?} for the warning {key}"
        );
        // SQLite's words.
        let is_said = key == "pipeline" || parts(words).all(|part| written.contains(part));
        assert!(is_said, "the program does not say {words:?} any more");
    }
}

#[test]
fn no_row_quotes_what_the_program_does_not_say() {
    let page = include_str!("../docs/troubleshoot.md");
    let (_, page) = page.split_once("## Warnings in `health`").unwrap();
    let written = in_one_line(&all_sources());
    let rows = rows(page);
    assert!(rows.len() > 100);
    for row in rows {
        assert!(parts(&row).all(|part| written.contains(part)), "the program does not say {row:?}");
    }
}

#[test]
fn each_stage_of_check_has_a_row() {
    let rows = rows(include_str!("../docs/troubleshoot.md"));
    let text = include_str!("../src/check.rs");
    let stages: BTreeSet<String> = said(text, ".say(", false).into_iter().collect();
    assert!(stages.len() > 10, "{stages:?}");
    for stage in stages {
        assert!(rows.contains(&stage), "docs/troubleshoot.md has no row for the stage {stage} of `arcticd check`");
    }
}

#[test]
fn a_row_is_about_what_it_quotes_and_not_about_what_merely_begins_like_it() {
    assert!(is_about("journal ...: ...", "journal {}: {source}{}"));
    assert!(!is_about("journal ...: ...", "journal {}: another arcticd is running on it; stop that one"));
    assert!(is_about(
        "another arcticd is running on it",
        "journal {}: another arcticd is running on it; stop that one"
    ));
    assert!(!is_about("the network ...", "the network can't be run: {reason}, and this is long enough"));
    assert!(!is_about("...", "anything at all"));
    let source = "#[error(\n    \"it is \\\n     {x:?} \\\"so\\\"\")]";
    assert_eq!(said(source, "#[error(", false), ["it is {x:?} \"so\""]);
    assert_eq!(said("ensure!(a == \"b\", \"it is not b\");\n", "ensure!(", true), ["it is not b"]);
}
