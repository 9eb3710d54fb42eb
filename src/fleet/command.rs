//! `arcticd fleet`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::{Instant, interval_at};

use super::table::{summary, table};
use super::{Census, Trap};
use crate::cli::Fleet;
use crate::config::Mqtt;
use crate::exit_code::ExitCode;
use crate::push::command::until_interrupted;
use crate::push::gather::{Ear, gather};
use crate::push::settings::Settings;
use crate::push::table::fitted;
use crate::push::wire::{News, Stop, Wire};
use crate::terminal;

/// A broker that is away for longer is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that may break before all was heard.
const TRIES: u32 = 3;
/// Between two looks at what has changed.
const PAUSE: Duration = Duration::from_secs(1);
/// Rows that stay free below a table that is drawn again and again.
const FOOTROOM: usize = 3;

/// A trap as a program reads it.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Row<'a> {
    /// Its name.
    trap: &'a str,
    #[serde(flatten)]
    said: &'a Trap,
}

/// Prints the fleet; `configured` is what the configuration file says of the broker.
///
/// # Errors
/// The broker can't be reached, does not let this user look, or knows of no trap.
pub fn run(configured: &Mqtt, call: &Fleet) -> Result<ExitCode> {
    let settings = Settings::of(configured, &call.broker, "fleet")?;
    if let Some(warning) = settings.warning {
        terminal::complain(warning);
    }
    let (broker, prefix) = (settings.broker.to_string(), settings.prefix.clone());
    let mut census = Census::new(prefix.clone());
    let mut show = Show { json: call.json, live: !call.json && std::io::stdout().is_terminal() };
    let ended = until_interrupted(async {
        let mut wire = Wire::connect(settings).await?;
        listen(&mut wire, &mut census).await?;
        if call.watch {
            watch(&mut wire, &mut census, &mut show).await?;
        }
        wire.leave().await;
        anyhow::Ok(())
    })?;
    match ended {
        Some(Err(error)) => return Err(error),
        Some(Ok(())) if !call.watch => {}
        // A watch ends when somebody has seen enough.
        None if call.watch => return Ok(ExitCode::Ok),
        None => bail!("interrupted before all was heard"),
        Some(Ok(())) => return Ok(ExitCode::Ok),
    }
    if census.traps().is_empty() {
        bail!(
            "broker {broker}: no trap has said anything below {prefix}/; is the prefix right (--prefix), and may this user \
             read there? docs/fleet.md says what it must be allowed"
        );
    }
    show.all(&census)?;
    let parts = census.traps().values().map(|trap| match trap.unreadable.is_empty() {
        true => ExitCode::Ok,
        false => ExitCode::Failure,
    });
    Ok(ExitCode::of_parts(parts))
}

/// Hears all that is retained, over another connection if one breaks.
async fn listen(wire: &mut Wire, census: &mut Census) -> Result<()> {
    let filters = census.filters();
    for left in (0..TRIES).rev() {
        match gather(wire, &filters, census).await {
            Ok(()) => return Ok(()),
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Lost(reason)) if left == 0 => {
                return Err(anyhow!("the connection broke again and again: {reason}"));
            }
            Err(Stop::Lost(_)) => wire.reconnect(PATIENCE).await?,
        }
    }
    Ok(())
}

/// Shows what changes until the reader leaves.
async fn watch(wire: &mut Wire, census: &mut Census, show: &mut Show) -> Result<()> {
    let mut looks = interval_at(Instant::now(), PAUSE);
    loop {
        tokio::select! {
            news = wire.next() => match news {
                Ok(News::Message { topic, payload, .. }) => census.hear(&topic, &payload),
                Ok(_) => {}
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Lost(reason)) => {
                    terminal::complain(format_args!("the connection is lost: {reason}; it is made anew"));
                    wire.reconnect(PATIENCE).await?;
                    listen(wire, census).await?;
                }
            },
            _ = looks.tick() => if !show.changes(census)? { return Ok(()) },
        }
    }
}

/// Where a person or a program reads.
struct Show {
    json: bool,
    /// A terminal, whose table is drawn over.
    live: bool,
}

impl Show {
    /// All traps.
    fn all(&self, census: &Census) -> Result<bool> {
        let lines = self.lines(census.traps(), census.traps());
        census.remarks().iter().for_each(terminal::complain);
        print(&lines)
    }

    /// What is new; whether anybody still reads.
    fn changes(&self, census: &mut Census) -> Result<bool> {
        let changed = census.take_changed();
        if self.live {
            let (columns, rows) = size();
            let mut lines = self.lines(census.traps(), census.traps());
            let last = lines.split_off(lines.len().saturating_sub(1));
            let hidden = lines.len().saturating_sub(rows.saturating_sub(FOOTROOM).max(1));
            lines.truncate(lines.len() - hidden);
            lines.extend((hidden > 0).then(|| format!("and {hidden} more")));
            lines.extend(last);
            let drawn: Vec<String> = lines.iter().map(|line| fitted(line, columns)).collect();
            // Home, and each line wiped behind its end: nothing flickers.
            let text = drawn.iter().map(|line| format!("{line}\x1b[K\n")).collect::<String>();
            return write(&format!("\x1b[H{text}\x1b[J"));
        }
        let traps: BTreeMap<String, Trap> =
            changed.into_iter().filter_map(|name| Some((name.clone(), census.traps().get(&name)?.clone()))).collect();
        if traps.is_empty() { Ok(true) } else { print(&self.lines(&traps, census.traps())) }
    }

    /// These traps, and how `all` stand.
    fn lines(&self, traps: &BTreeMap<String, Trap>, all: &BTreeMap<String, Trap>) -> Vec<String> {
        if self.json {
            let rows = traps.iter().map(|(trap, said)| serde_json::to_string(&Row { trap, said }));
            return rows.filter_map(Result::ok).collect();
        }
        let mut lines = table(traps, OffsetDateTime::now_utc());
        lines.push(summary(all));
        lines
    }
}

fn print(lines: &[String]) -> Result<bool> {
    write(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

fn write(text: &str) -> Result<bool> {
    let mut out = terminal::out();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")?;
    Ok(!out.is_closed())
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

#[cfg(test)]
mod tests {
    use super::super::trap::Topic;
    use super::*;

    #[test]
    fn where_only_what_changed_is_printed_all_are_counted() {
        let trap = |word: &[u8]| {
            let mut trap = Trap::default();
            trap.hear(Topic::Availability, word);
            trap
        };
        let all = BTreeMap::from([("a".to_owned(), trap(b"online")), ("b".to_owned(), trap(b"stopped"))]);
        let changed = BTreeMap::from([("b".to_owned(), all["b"].clone())]);
        let lines = Show { json: false, live: false }.lines(&changed, &all);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].starts_with("b ") && lines[2] == "2 traps: 1 online, 1 stopped", "{lines:?}");
    }
}
