//! What is seen while it runs: a table that is updated in place on a terminal, a line a change where none looks on.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use super::table::{Line, WAITING, aligned, fitted, summary};

/// Rows that stay free above the table.
const HEADROOM: usize = 3;

/// Where the user looks.
pub struct Screen {
    out: Out,
    live: bool,
    /// Lines below the cursor's home that are ours to overwrite.
    drawn: usize,
    progress: Option<String>,
    lines: Vec<Line>,
    /// What each trap's last line said, state and remark, where lines are not overwritten.
    said: BTreeMap<String, (&'static str, String)>,
}

enum Out {
    Standard,
    Error,
}

impl Screen {
    /// On standard output, or on standard error where the output is for a program.
    pub fn new(for_program: bool) -> Self {
        let (out, live) = match for_program {
            true => (Out::Error, io::stderr().is_terminal()),
            false => (Out::Standard, io::stdout().is_terminal()),
        };
        Self { out, live, drawn: 0, progress: None, lines: Vec::new(), said: BTreeMap::new() }
    }

    /// Prints text that stays.
    pub fn say(&mut self, text: &str) {
        let wipe = self.wipe();
        self.write(&format!("{wipe}{text}\n"));
        self.draw();
    }

    /// Says how far the transfer is; nothing where lines stay.
    pub fn progress(&mut self, text: Option<String>) {
        if self.live && self.progress != text {
            self.progress = text;
            self.draw();
        }
    }

    /// Shows how the traps stand: all of them on a terminal, else those that stand otherwise than before.
    pub fn traps(&mut self, lines: Vec<Line>) {
        if self.live {
            if self.lines != lines {
                self.lines = lines;
                self.draw();
            }
            return;
        }
        let news = |line: &&Line| is_news(self.said.get(&line.name), line);
        let news: Vec<Line> = lines.iter().filter(news).cloned().collect();
        for line in &news {
            self.said.insert(line.name.clone(), (line.state, line.remark.clone()));
        }
        aligned(&news).iter().for_each(|line| self.write(&format!("{line}\n")));
    }

    /// Leaves the table as it stands, in full.
    pub fn end(&mut self) {
        self.progress = None;
        if !self.live {
            return;
        }
        let wipe = self.wipe();
        let rows: String = aligned(&std::mem::take(&mut self.lines)).iter().map(|row| format!("{row}\n")).collect();
        self.write(&format!("{wipe}{rows}"));
    }

    fn draw(&mut self) {
        if !self.live {
            return;
        }
        let (columns, rows) = self.size();
        let mut text = match self.lines.len() + HEADROOM > rows {
            true => vec![summary(&self.lines)],
            false => aligned(&self.lines),
        };
        text.extend(self.progress.clone());
        let wipe = self.wipe();
        // A line that wraps would be two, and the next update begin in the wrong one.
        let shown: String = text.iter().map(|line| format!("{}\n", fitted(line, columns))).collect();
        self.write(&format!("{wipe}{shown}"));
        self.drawn = text.len();
    }

    /// What takes the cursor home and wipes what was drawn.
    fn wipe(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            drawn => format!("\x1b[{drawn}A\r\x1b[J"),
        }
    }

    /// A reader that went away is no reason to stop: the traps go on all the same.
    fn write(&self, text: &str) {
        let _ = match self.out {
            Out::Standard => io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()),
            Out::Error => io::stderr().write_all(text.as_bytes()),
        };
    }

    /// Columns and rows.
    fn size(&self) -> (usize, usize) {
        let size = match self.out {
            Out::Standard => rustix::termios::tcgetwinsize(io::stdout()),
            Out::Error => rustix::termios::tcgetwinsize(io::stderr()),
        };
        let size = size.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        size.map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
    }
}

/// Whether a trap's line says something that its last one did not. One that has said nothing of this head reports all the
/// same, each time at another hour.
fn is_news(last: Option<&(&'static str, String)>, line: &Line) -> bool {
    match last {
        Some((state, remark)) => *state != line.state || (line.state != WAITING && *remark != line.remark),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_lines_stay_each_state_is_said_once() {
        let line = |state, remark: &str| Line {
            name: "north".into(),
            state,
            progress: String::new(),
            remark: remark.to_owned(),
        };
        let news = |before: &Line, line: &Line| is_news(Some(&(before.state, before.remark.clone())), line);
        let waiting = line(WAITING, "has a 1, sequence 4, reported 2026-11-24T10:00:00Z");
        assert!(is_news(None, &waiting));
        assert!(!news(&waiting, &line(WAITING, "has a 1, sequence 4, reported 2026-11-24T10:01:00Z")));
        let mut receiving = line("receiving", "");
        assert!(news(&waiting, &receiving));
        let before = receiving.clone();
        receiving.progress = "3 of 27 pieces".into();
        assert!(!news(&before, &receiving));
        assert!(news(&line("refused", "by key A"), &line("refused", "by key B")));
    }
}
