//! The latest events, for whoever looks at the trap.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, params};

use super::JournalError;
use super::transaction::stored_event;
use crate::detect::burst::StoredEvent;

/// Pairs of camera and label that are looked at: a bound for a journal of another trap.
const PLACES: usize = 200;

/// The status page's door.
pub struct Events {
    db: Connection,
    file: PathBuf,
}

impl Events {
    pub(super) fn new(db: Connection, file: PathBuf) -> Self {
        Self { db, file }
    }

    /// The events that ended last, the latest first, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn latest(&self, limit: usize) -> Result<Vec<StoredEvent>, JournalError> {
        let query = || -> rusqlite::Result<Vec<StoredEvent>> {
            // Camera by camera and label by label, along the index: a journal may hold hundreds of thousands of events.
            let mut next = self.db.prepare_cached(
                "SELECT camera, label FROM events WHERE (camera, label) > (?1, ?2) ORDER BY camera, label LIMIT 1",
            )?;
            let mut of_place = self.db.prepare_cached(
                "SELECT * FROM events WHERE camera = ?1 AND label = ?2 ORDER BY last_at DESC LIMIT ?3",
            )?;
            let (mut place, mut found) = ((String::new(), String::new()), Vec::new());
            for _ in 0..PLACES {
                let after = next.query_row(params![place.0, place.1], |row| Ok((row.get(0)?, row.get(1)?)));
                let Some(here) = after.optional()? else { break };
                place = here;
                let rows = of_place.query_map(params![place.0, place.1, limit as i64], stored_event)?;
                for event in rows {
                    found.push(event?);
                }
            }
            found.sort_by_key(|stored| std::cmp::Reverse(stored.event.last_at));
            found.truncate(limit);
            Ok(found)
        };
        query().map_err(|reason| JournalError::Database { file: self.file.clone(), reason })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Journal;
    use super::*;
    use crate::detect::event::Event;

    fn event(id: &str, camera: &str, label: &str, last_at: i64) -> StoredEvent {
        let event = Event {
            id: id.into(),
            first_at: last_at - 5,
            last_at,
            frames: 1,
            best_confidence: 0.5,
            open: false,
            replayed: false,
        };
        StoredEvent { event, camera: camera.into(), label: label.into(), best: "{}".into(), last_hash: String::new() }
    }

    #[test]
    fn the_latest_events_of_all_cameras_and_labels_come_first_and_no_more_than_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path(), 100).unwrap();
        assert_eq!(journal.events().unwrap().latest(5).unwrap(), []);
        let events = [
            event("a", "", "walrus", 10),
            event("b", "north", "polar_bear", 40),
            event("c", "north", "walrus", 20),
            event("d", "south", "polar_bear", 30),
            event("e", "north", "polar_bear", 15),
        ];
        journal.transaction(|it| events.iter().try_for_each(|event| it.put_event(event))).unwrap();
        let ids = |limit| -> Vec<String> {
            journal.events().unwrap().latest(limit).unwrap().into_iter().map(|stored| stored.event.id).collect()
        };
        assert_eq!(ids(50), ["b", "d", "c", "e", "a"]);
        assert_eq!(ids(2), ["b", "d"]);
    }
}
