//! Questions to the person at the terminal.

use std::io::{self, BufRead, Write};

use anyhow::{Context, Result, bail};

use crate::terminal::out;

/// Standard input and output, where a person sits.
pub(super) struct Terminal;

impl Terminal {
    /// Asks until `parse` takes the answer, and prints what it says otherwise. An empty answer is `default`; without one
    /// `parse` gets the empty text.
    ///
    /// # Errors
    /// The person ended the input.
    pub(super) fn ask<T>(
        &self,
        question: &str,
        default: Option<&str>,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Result<T> {
        loop {
            let offered = default.map(|default| format!(" [{default}]")).unwrap_or_default();
            let answer = line(&format!("{question}{offered}: "))?;
            let answer = if answer.is_empty() { default.unwrap_or_default() } else { &answer };
            match parse(answer) {
                Ok(answer) => return Ok(answer),
                Err(problem) => self.say(&format!("  {problem}"))?,
            }
        }
    }

    /// Asks for yes or no; Enter is yes.
    ///
    /// # Errors
    /// As [`Terminal::ask`].
    pub(super) fn yes(&self, question: &str) -> Result<bool> {
        self.ask(question, Some("Y/n"), |answer| match answer {
            "Y/n" | "y" | "Y" | "yes" => Ok(true),
            "n" | "N" | "no" => Ok(false),
            _ => Err("y or n, please".into()),
        })
    }

    /// Asks for a password, which is not shown; empty if there is none.
    ///
    /// # Errors
    /// As [`Terminal::ask`].
    pub(super) fn password(&self, question: &str) -> Result<String> {
        crate::terminal::password(&format!("{question}: ")).context("no password was given; nothing was written")
    }

    /// Prints a line.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(super) fn say(&self, text: &str) -> Result<()> {
        crate::terminal::print(text)
    }
}

fn line(prompt: &str) -> Result<String> {
    let mut to = out();
    write!(to, "{prompt}").and_then(|()| to.flush()).context("standard output")?;
    drop(to);
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer).context("standard input")? == 0 {
        bail!("the input ended; nothing was written");
    }
    Ok(answer.trim().to_owned())
}
