//! Brings over what can still be read of a damaged journal into a new one: the messages that nobody has acknowledged
//! first, then what keeps frames from being looked at twice.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params_from_iter};

use super::check::is_body;
use super::store::{BY_HASH, FORMAT};

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
const FRAMES: &str = "frames";

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
    columns: String,
    key: &'static str,
    only: String,
}

/// What is copied, in this order. Where a message may be missing, frames that alerted are not: they are looked at again.
fn tables(format: i64, all_messages: bool) -> [Table; 5] {
    let (key, id, frame, named, numbered) = match format {
        BY_HASH => ("hash", "", "", "hash", "true"),
        // Numbers go on from the last, and there is none behind the largest.
        _ => ("id", ", id", ", frame", "frame", "?12 BETWEEN 1 AND 1 << 48"),
    };
    let untold = if all_messages { "true" } else { "?9 = 0" };
    let table = |name, columns, key, only| Table { name, columns, key, only };
    let whole = "true".to_owned();
    let events = "id, camera, label, first_at, last_at, frames, best_confidence, best, last_hash, replayed, open";
    let heads = "id, at, step, manifest, name, version, sequence, key, origin, reason";
    let features = format!("id, hash, backbone, low, step, levels, alert, novel, margin, truth{frame}");
    let frames =
        format!("hash, name, camera, captured_at, state, reason, label, confidence, alert, head, processed_at{id}");
    let files = format!("name, size, mtime, inode, device, {named}");
    // A file whose frame did not come over has to be read again.
    let known = format!("EXISTS (SELECT 1 FROM frames WHERE {key} = ?6)");
    [
        table("events", events.into(), "id", whole.clone()),
        table("heads", heads.into(), "id", whole),
        table("features", features, "id", "length(?2) = 32".into()),
        table(FRAMES, frames, key, format!("length(?1) = 32 AND {untold} AND {numbered}")),
        table("files", files, "name", known),
    ]
}

/// The format in which a new journal can take over what this one holds; by its tables, since a number may be damaged.
pub(super) fn format(damaged: &Path) -> i64 {
    let by_hash =
        Connection::open_with_flags(damaged, FLAGS).is_ok_and(|old| old.prepare("SELECT hash FROM files").is_ok());
    if by_hash { BY_HASH } else { FORMAT }
}

/// Copies from the journal `damaged` into `db`, which is new and has its [`format`], until there is nothing more or that time
/// has come. What is known by its content is not in the index then.
///
/// Messages get numbers below 1: the numbers that their bodies name count in the old journal's epoch.
///
/// # Errors
/// The new journal can't be written. What can't be read is no error.
pub(super) fn salvage(damaged: &Path, db: &mut Connection, until: Instant) -> rusqlite::Result<Saved> {
    let Ok(old) = Connection::open_with_flags(damaged, FLAGS) else { return Ok(Saved::default()) };
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
    let format = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let mut frames = 0;
    for table in tables(format, all_messages) {
        let transaction = db.transaction()?;
        let copied = copy(&old, &transaction, &table, until)?;
        transaction.commit()?;
        if table.name == FRAMES {
            frames = copied;
        }
    }
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
