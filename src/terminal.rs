//! What people read on their terminals: text that can't steer them, and output whose reader may be gone.

use std::fmt::Display;
use std::io::{self, StdoutLock, Write};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// `text` on one line, with each control character written out, as `\n` and `\u{1b}`. Names of files, and in a head or a
/// network made elsewhere, stand in lists and messages; they must not clear a screen or look like lines of their own.
pub fn line(text: impl Display) -> String {
    let text = text.to_string();
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || turns_or_breaks(letter) {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line
}

/// Asks for a password on the terminal at standard input, without showing it: what is typed at once is hidden too.
///
/// # Errors
/// Those of the system.
pub fn password(prompt: &str) -> io::Result<String> {
    // The library asks before it hides.
    let _unseen = Unseen::begin()?;
    rpassword::prompt_password(prompt)
}

/// A terminal that shows nothing of what is typed, until it is dropped.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &unseen)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// A path as it is typed in a shell: in quotes where it has more than plain letters.
pub fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%,".contains(letter);
    // A name that begins with a dash would be read as an option.
    let text = if text.starts_with('-') { format!("./{text}") } else { text.into_owned() };
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => line(format!("'{}'", text.replace('\'', r"'\''"))),
    }
}

/// As [`line()`], but lines stay lines, those behind the first set in, so that none looks like a message of its own.
pub fn plain(text: &str) -> String {
    text.trim_end().split('\n').map(line).collect::<Vec<_>>().join("\n  ")
}

/// Marks that show the text behind them from right to left, and Unicode's own ends of lines.
fn turns_or_breaks(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Says on standard error what is wrong. Where nobody reads that, the exit code has to do.
pub fn complain(error: impl Display) {
    let _ = writeln!(io::stderr(), "arcticd: {}", plain(&error.to_string()));
}

/// Where a command's results go. Once their reader has left, as `head -1` does, the rest is thrown away without a word:
/// what else the command does, and its exit code, are what they would have been.
#[derive(Debug)]
pub struct Out<W> {
    to: W,
    closed: bool,
}

/// Standard output.
pub fn out() -> Out<StdoutLock<'static>> {
    Out::new(io::stdout().lock())
}

impl<W> Out<W> {
    fn new(to: W) -> Self {
        Self { to, closed: false }
    }

    /// Whether the reader has left, so that work for it alone is in vain.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// `result`, or `instead` from the moment on when the reader is gone.
    fn unless_closed<T>(&mut self, result: io::Result<T>, instead: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(instead)
            }
            result => result,
        }
    }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let written = self.to.write(bytes);
        self.unless_closed(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.to.flush();
        self.unless_closed(flushed, ())
    }
}

/// Prints `text` and an end of line on standard output, with what would steer a terminal written out; lines stay lines.
///
/// # Errors
/// The disk behind it is full.
pub fn print(text: &str) -> Result<()> {
    let mut out = out();
    let text = text.split('\n').map(line).collect::<Vec<_>>().join("\n");
    writeln!(out, "{text}").and_then(|()| out.flush()).context("standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out_and_the_rest_is_as_it_was() {
        for form in [plain, |text: &str| line(text)] {
            assert_eq!(form("name is `a\u{1b}[2Jb\r\u{7}\u{9b}`"), "name is `a\\u{1b}[2Jb\\r\\u{7}\\u{9b}`");
            assert_eq!(form("/a/\u{202e}gpj.daeh"), "/a/\\u{202e}gpj.daeh");
            assert_eq!(form("Blåfjellet \\ \"é\" 雪: 5 %"), "Blåfjellet \\ \"é\" 雪: 5 %");
        }
    }

    #[test]
    fn a_path_in_a_command_can_be_typed_as_it_stands() {
        let typed = |path: &str| shell(Path::new(path));
        assert_eq!(typed("a/svalbard-2.head"), "a/svalbard-2.head");
        assert_eq!(typed("my bears.head"), "'my bears.head'");
        assert_eq!(typed("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(typed("-o"), "./-o");
        assert_eq!(typed("a\nb"), r"'a\nb'");
    }

    #[test]
    fn a_second_line_can_not_be_taken_for_a_message_of_its_own() {
        assert_eq!(plain("wrong\narcticd: all is well\n"), "wrong\n  arcticd: all is well");
        assert_eq!(line("a.jpg\narcticd: all is well\n"), "a.jpg\\narcticd: all is well\\n");
    }

    /// Takes so many bytes, then fails.
    struct Failing(usize, io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.0.min(bytes.len());
            self.0 -= taken;
            if taken > 0 { Ok(taken) } else { Err(self.1.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            if self.0 > 0 { Ok(()) } else { Err(self.1.into()) }
        }
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_a_full_disk_is_one() {
        let mut out = Out::new(Failing(5, io::ErrorKind::BrokenPipe));
        assert!(out.write_all(b"four").is_ok() && out.flush().is_ok() && !out.is_closed());
        assert!(out.write_all(b"more").is_ok() && out.is_closed());
        assert!(out.write_all(b"and more").is_ok() && out.flush().is_ok());
        let mut out = Out::new(Failing(4, io::ErrorKind::StorageFull));
        assert!(out.write_all(b"four").is_ok() && out.flush().is_err() && out.write_all(b"more").is_err());
        assert!(!out.is_closed());
    }
}
