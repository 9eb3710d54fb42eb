//! Brings over what can still be read of a damaged journal into a new one: the messages that nobody has acknowledged
//! first, then what keeps frames from being looked at twice.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params_from_iter};

use super::by_content::INDEX;
use super::check::is_body;

/// What was brought over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Saved {
    /// Messages that were queued.
    pub messages: usize,
    /// Frames known.
    pub frames: usize,
    /// Whether every message could be read.
    pub all_messages: bool,
}

/// A table that is copied row by row: its name, columns, order, and what a row must fulfil.
struct Table {
    name: &'static str,
    columns: &'static str,
    key: &'static str,
    only: &'static str,
}

const EVENTS: Table = Table {
    name: "events",
    columns: "id, camera, label, first_at, last_at, frames, best_confidence, best, last_hash, replayed, open",
    key: "id",
    only: "true",
};
const HEADS: Table = Table {
    name: "heads",
    columns: "id, at, step, manifest, name, version, sequence, key, origin, reason",
    key: "id",
    only: "true",
};
const FEATURES: Table = Table {
    name: "features",
    columns: "id, hash, backbone, low, step, levels, alert, novel, margin, truth, frame",
    key: "id",
    only: "length(?2) = 32",
};
const FRAMES: Table = Table {
    name: "frames",
    columns: "id, hash, name, camera, captured_at, state, reason, label, confidence, alert, head, processed_at",
    key: "id",
    only: "length(?2) = 32",
};
// Where a message may be missing, frames that alerted are looked at again.
const SILENT_FRAMES: Table = Table { only: "length(?2) = 32 AND ?10 = 0", ..FRAMES };
// A file whose frame did not come over has to be read again.
const FILES: Table = Table {
    name: "files",
    columns: "name, size, mtime, inode, device, frame",
    key: "name",
    only: "EXISTS (SELECT 1 FROM frames WHERE id = ?6)",
};

/// Copies from the journal `damaged` into `db`, which is new, until there is nothing more or that time has come.
///
/// Messages get numbers below 1: the numbers that their bodies name count in the old journal's epoch.
///
/// # Errors
/// The new journal can't be written. What can't be read is no error.
pub(super) fn salvage(damaged: &Path, db: &mut Connection, until: Instant) -> rusqlite::Result<Saved> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(old) = Connection::open_with_flags(damaged, flags) else { return Ok(Saved::default()) };
    let (numbers, mut all_messages) = queued(&old, until)?;
    let transaction = db.transaction()?;
    let mut messages = 0;
    let one = "SELECT id, priority, topic, body FROM messages WHERE seq = ?1";
    for (place, number) in (1 - numbers.len() as i64..).zip(numbers) {
        let mut taken = 0;
        rows(&old, one, &[Value::Integer(number)], until, &mut |message| {
            if readable(&message) {
                let sql = "INSERT OR IGNORE INTO messages (seq, id, priority, topic, body, state)
                           VALUES (?1, ?2, ?3, ?4, ?5, 'queued')";
                let values = std::iter::once(Value::Integer(place)).chain(message);
                taken += transaction.prepare_cached(sql)?.execute(params_from_iter(values))?;
            }
            Ok(())
        })?;
        messages += taken;
        all_messages &= taken == 1;
    }
    transaction.commit()?;
    let known = if all_messages { FRAMES } else { SILENT_FRAMES };
    let mut frames = 0;
    for table in [EVENTS, HEADS, FEATURES, known, FILES] {
        let transaction = db.transaction()?;
        let copied = copy(&old, &transaction, &table, until)?;
        transaction.commit()?;
        if table.name == FRAMES.name {
            frames = copied;
        }
    }
    db.execute_batch(INDEX)?;
    Ok(Saved { messages, frames, all_messages })
}

/// Numbers of the queued messages, and whether that is all of them.
fn queued(old: &Connection, until: Instant) -> rusqlite::Result<(BTreeSet<i64>, bool)> {
    let mut numbers = BTreeSet::new();
    let mut take = |values: Vec<Value>| {
        if let [Value::Integer(number)] = values[..] {
            numbers.insert(number);
        }
        Ok(())
    };
    // By the table, not by an index that may be damaged by itself.
    let scan =
        |order: &str| format!("SELECT seq FROM messages NOT INDEXED WHERE state = 'queued' ORDER BY seq {order}");
    let whole = rows(old, &scan("ASC"), &[], until, &mut take)?;
    if !whole {
        rows(old, &scan("DESC"), &[], until, &mut take)?;
    }
    // What lies between two damaged pages is in the index. Also where the scan met no error: a page that lost entries reads
    // as a shorter one, and the frames of alerts that only the index knows must be looked at again.
    let index = "SELECT seq FROM messages INDEXED BY messages_queued WHERE state = 'queued'";
    rows(old, index, &[], until, &mut take)?;
    Ok((numbers, whole))
}

fn readable(message: &[Value]) -> bool {
    matches!(message, [Value::Text(_), Value::Integer(_), Value::Text(_), Value::Blob(body)] if is_body(body))
}

/// Copies a table's rows from both its ends; how many.
fn copy(old: &Connection, new: &Connection, table: &Table, until: Instant) -> rusqlite::Result<usize> {
    let Table { name, columns, key, only } = table;
    let places: Vec<String> = (1..=columns.split(',').count()).map(|place| format!("?{place}")).collect();
    let places = places.join(", ");
    let mut insert = new.prepare(&format!("INSERT OR IGNORE INTO {name} ({columns}) SELECT {places} WHERE {only}"))?;
    let mut copied = 0;
    let mut take = |values: Vec<Value>| match insert.execute(params_from_iter(values)) {
        Ok(added) => {
            copied += added;
            Ok(())
        }
        // Not what this table holds: damaged.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(()),
        Err(error) => Err(error),
    };
    for order in ["ASC", "DESC"] {
        if rows(old, &format!("SELECT {columns} FROM {name} ORDER BY {key} {order}"), &[], until, &mut take)? {
            break;
        }
    }
    Ok(copied)
}

/// Gives each row that can be read to `take`; false if there are more that can't.
fn rows(
    old: &Connection,
    sql: &str,
    parameters: &[Value],
    until: Instant,
    take: &mut dyn FnMut(Vec<Value>) -> rusqlite::Result<()>,
) -> rusqlite::Result<bool> {
    let Ok(mut statement) = old.prepare(sql) else { return Ok(false) };
    let columns = statement.column_count();
    let Ok(mut rows) = statement.query(params_from_iter(parameters)) else { return Ok(false) };
    let mut whole = true;
    loop {
        // Pages that point at each other may tell the same rows for ever.
        if Instant::now() >= until {
            return Ok(false);
        }
        match rows.next() {
            Ok(Some(row)) => match values(row, columns) {
                Ok(values) => take(values)?,
                Err(_) => whole = false,
            },
            Ok(None) => return Ok(whole),
            Err(_) => return Ok(false),
        }
    }
}

fn values(row: &Row, columns: usize) -> rusqlite::Result<Vec<Value>> {
    (0..columns).map(|column| row.get(column)).collect()
}
