//! A line on standard error that says how far it is; nothing where nobody looks.

use std::io::{IsTerminal, Write};

/// A progress line.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    shown: bool,
}

impl Progress {
    /// Shown if standard error is a terminal.
    pub fn on_terminal() -> Self {
        Self { shown: std::io::stderr().is_terminal() }
    }

    /// Never shown.
    pub fn silent() -> Self {
        Self { shown: false }
    }

    /// `done` of `all` steps of `what`; the line is wiped after the last.
    pub fn show(&self, what: &str, done: usize, all: usize) {
        const WIDTH: usize = 30;
        if !self.shown {
            return;
        }
        let filled = (WIDTH * done).checked_div(all).unwrap_or(WIDTH).min(WIDTH);
        let mut err = std::io::stderr().lock();
        // A terminal that went away is no reason to stop.
        let _ = if done >= all {
            write!(err, "\r\x1b[2K")
        } else {
            write!(err, "\r\x1b[2K[{}{}] {done}/{all} {what}", "#".repeat(filled), "-".repeat(WIDTH - filled))
        };
        let _ = err.flush();
    }
}
