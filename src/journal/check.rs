//! Whether a journal is whole, asked before it is relied on, and for no longer than a given time.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

/// The tables, those first whose loss would be worst. Of messages the index is compared too: it is what is drained, and an
/// entry that is missing there would be an alert that never leaves.
const CHECKS: [&str; 9] = [
    "integrity_check(messages)",
    "quick_check(meta)",
    "quick_check(gaps)",
    "quick_check(events)",
    "quick_check(heads)",
    "quick_check(frames)",
    "quick_check(known)",
    "quick_check(files)",
    "quick_check(features)",
];

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is wrong with any page.
    Whole,
    /// As far as there was time for.
    Unfinished,
    /// In SQLite's words.
    Damaged(String),
}

/// Reads the whole journal, unless that takes longer than `bound`.
pub(super) fn check(db: &Connection, bound: Duration) -> rusqlite::Result<Verdict> {
    let handle = db.get_interrupt_handle();
    let (done, waiting) = channel::<()>();
    thread::scope(|scope| {
        let timer = thread::Builder::new().name("arcticd-check".into()).spawn_scoped(scope, move || {
            let mut wait = bound;
            while waiting.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                // Between two statements it interrupts nothing.
                handle.interrupt();
                wait = Duration::from_millis(10);
            }
        });
        // Without a timer a check could take an hour on a slow card.
        let verdict = if timer.is_ok() { all(db) } else { Ok(Verdict::Unfinished) };
        drop(done);
        verdict
    })
}

/// Whether a message's body is one: SQLite does not notice when bytes within a value have changed.
pub(super) fn is_body(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

fn all(db: &Connection) -> rusqlite::Result<Verdict> {
    let checked = in_order(db);
    match checked {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(Verdict::Unfinished),
        checked => checked,
    }
}

/// Queued messages and what they say first: what is not reached in time is worth less.
fn in_order(db: &Connection) -> rusqlite::Result<Verdict> {
    for (place, check) in CHECKS.into_iter().enumerate() {
        let mut verdict = page_check(db, check)?;
        if place == 0 && verdict == Verdict::Whole {
            verdict = bodies(db)?;
        }
        if verdict != Verdict::Whole {
            return Ok(verdict);
        }
    }
    Ok(Verdict::Whole)
}

fn page_check(db: &Connection, check: &str) -> rusqlite::Result<Verdict> {
    let text: String = db.query_row(&format!("PRAGMA {check}"), [], |row| row.get(0))?;
    Ok(match text.as_str() {
        "ok" => Verdict::Whole,
        _ => Verdict::Damaged(text.lines().next().unwrap_or_default().to_owned()),
    })
}

fn bodies(db: &Connection) -> rusqlite::Result<Verdict> {
    let mut statement = db.prepare("SELECT seq, body FROM messages WHERE state = 'queued'")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if !is_body(row.get_ref(1)?.as_blob()?) {
            return Ok(Verdict::Damaged(format!("message {} is no JSON", row.get::<_, i64>(0)?)));
        }
    }
    Ok(Verdict::Whole)
}
