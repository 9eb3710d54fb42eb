//! Whether a journal is whole, asked before it is relied on, and for no longer than a given time.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

/// The tables, those first whose loss would be worst. Of messages the index is compared too: it is what is drained, and an
/// entry that is missing there would be an alert that never leaves.
const CHECKS: [&str; 8] = [
    "integrity_check(messages)",
    "quick_check(meta)",
    "quick_check(gaps)",
    "quick_check(events)",
    "quick_check(heads)",
    "quick_check(frames)",
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
            if waiting.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        // Without a timer a check could take an hour on a slow card.
        let verdict = if timer.is_ok() { all(db) } else { Ok(Verdict::Unfinished) };
        drop(done);
        verdict
    })
}

fn all(db: &Connection) -> rusqlite::Result<Verdict> {
    for check in CHECKS {
        match db.query_row(&format!("PRAGMA {check}"), [], |row| row.get::<_, String>(0)) {
            Ok(text) if text == "ok" => {}
            Ok(text) => return Ok(Verdict::Damaged(text.lines().next().unwrap_or_default().to_owned())),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                return Ok(Verdict::Unfinished);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Verdict::Whole)
}
