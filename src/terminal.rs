//! What people read on their terminals: text that can't steer them, and output whose reader may be gone.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::{Context, Result};

/// `text` with each control character written out, as `\u{1b}`. Names in a head or a network made elsewhere, and of files,
/// stand in messages; they must not clear a screen or rewrite what stands on it. Lines stay lines, those behind the first
/// set in, so that none looks like a message of its own.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.trim_end().chars() {
        match letter {
            '\n' => plain.push_str("\n  "),
            letter if letter.is_control() || turns_or_breaks(letter) => plain.extend(letter.escape_default()),
            letter => plain.push(letter),
        }
    }
    plain
}

/// Marks that show the text behind them from right to left, and Unicode's own ends of lines.
fn turns_or_breaks(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Says on standard error why the program fails. Where nobody reads that, the exit code has to do.
pub fn complain(error: impl Display) {
    let _ = writeln!(io::stderr(), "arcticd: {}", plain(&error.to_string()));
}

/// Prints `text` and an end of line on standard output.
///
/// # Errors
/// Its reader is gone, or the disk behind it full.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out_and_the_rest_is_as_it_was() {
        assert_eq!(plain("name is `a\u{1b}[2Jb\r\u{7}\u{9b}`"), "name is `a\\u{1b}[2Jb\\r\\u{7}\\u{9b}`");
        assert_eq!(plain("/a/\u{202e}gpj.daeh"), "/a/\\u{202e}gpj.daeh");
        assert_eq!(plain("Blåfjellet \\ \"é\" 雪: 5 %"), "Blåfjellet \\ \"é\" 雪: 5 %");
    }

    #[test]
    fn a_second_line_can_not_be_taken_for_a_message_of_its_own() {
        assert_eq!(plain("wrong\narcticd: all is well\n"), "wrong\n  arcticd: all is well");
    }
}
