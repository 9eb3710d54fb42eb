//! Whatever a power cut leaves of the journal: it opens, it is what it was after some whole number of steps, and after no
//! fewer than were promised; no number is given twice.
//!
//! The real journal is walked once, under strace: frames with and without a message, acknowledgements, steps of heads,
//! checkpoints, starts, and two saves of a journal that is not trusted or damaged. Then each seed cuts that walk off after
//! some call, loses what was not synced by then, whole or in part, and opens what is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use arcticd::detect::{Event, StoredEvent};
use arcticd::frame::ContentHash;
use arcticd::journal::{self, FrameRow, HeadEntry, HeadLog, Journal, Outbox, priority};
use arcticd::watch::Stamp;
use fastrand::Rng;
use parts::cuts::{self, Noted, Walk, in_memory, walk_here};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::json;

const NAME: &str = "a_power_cut_at_any_call_leaves_the_journal_as_it_was_after_a_whole_step_and_takes_no_promise_back";
const FILE: &str = "journal.sqlite";
/// The log goes into the file by itself when it holds 4000 pages of 1 KiB: one name this long fills it.
const LONG: usize = 4_200_000;

/// What the journal holds, for whoever reads it. Not the epoch: that is asked about by itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct View {
    /// Contents, hex, and how they stand.
    frames: BTreeMap<String, String>,
    files: BTreeSet<String>,
    events: BTreeSet<String>,
    /// Ids and bodies, in the order in which they are sent.
    waiting: Vec<(String, String)>,
    /// By number: id and state. Numbers below 1 are of a journal that was saved.
    messages: BTreeMap<i64, (String, String)>,
    trail: Vec<u64>,
}

/// What is known outside once a step is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Promise {
    view: View,
    epoch: String,
    /// The step is there after a power cut. Else it may be gone, with what follows it up to the next one that lasts.
    lasts: bool,
    /// The step was a start that replaced the journal.
    replaces: bool,
}

/// The journal with the doors that the daemon opens.
struct Doors {
    journal: Journal,
    outbox: Outbox,
    trail: HeadLog,
}

impl Doors {
    fn open(state: &Path) -> Self {
        let journal = Journal::open(state, 1_000).unwrap();
        Self { outbox: journal.outbox().unwrap(), trail: journal.head_log().unwrap(), journal }
    }

    /// A frame that alerts: it, its file, its event and its message, or nothing.
    fn alert(&mut self, number: u64) {
        let (hash, id) = (hash(number), format!("message-{number}"));
        let event = Event {
            id: format!("event-{number}"),
            first_at: 0,
            last_at: 0,
            frames: 1,
            best_confidence: 1.0,
            open: true,
            replayed: false,
        };
        let stored = StoredEvent {
            event,
            camera: "north".into(),
            label: "polar_bear".into(),
            best: "{}".into(),
            last_hash: hash.to_string(),
        };
        let row = FrameRow { alert: true, ..row(&id) };
        self.journal
            .transaction(|transaction| {
                transaction.put_frame(&hash, &row)?;
                transaction.note_file(&id, &stamp(number), &hash)?;
                transaction.put_event(&stored)?;
                let body = |epoch: &str, seq: u64| json!({ "id": id, "epoch": epoch, "seq": seq });
                transaction.queue(&id, priority::LIVE, "detection", body)
            })
            .unwrap();
    }

    /// A frame that says nothing.
    fn silent(&mut self, number: u64, name: &str) {
        let hash = hash(number);
        let work = |transaction: &mut journal::Transaction| {
            transaction.put_frame(&hash, &row(name))?;
            transaction.note_file(name, &stamp(number), &hash)
        };
        self.journal.lazily(work).unwrap();
    }

    fn acknowledge(&mut self, count: usize) {
        let waiting = self.outbox.next(&|_| false, count).unwrap();
        self.outbox.acked(&waiting.iter().map(|message| message.seq).collect::<Vec<_>>()).unwrap();
    }

    fn head(&mut self, sequence: u64) {
        let entry = HeadEntry {
            at: "1970-01-01T00:00:00Z".into(),
            step: "trial".into(),
            manifest: None,
            name: "head".into(),
            version: "1".into(),
            sequence,
            key: None,
            origin: "pushed".into(),
            reason: None,
        };
        self.trail.append(&entry).unwrap();
    }
}

fn hash(number: u64) -> ContentHash {
    ContentHash::of(&number.to_le_bytes())
}

fn stamp(number: u64) -> Stamp {
    Stamp { size: number, mtime_ns: 0, inode: number, device: 1 }
}

fn row(name: &str) -> FrameRow<'_> {
    FrameRow { name, processed_at: "1970-01-01T00:00:00Z", ..FrameRow::default() }
}

/// Reads the journal beside its doors.
fn look(state: &Path) -> View {
    let db = Connection::open(state.join(FILE)).unwrap();
    let mut view = View::default();
    each(&db, "SELECT lower(hex(hash)), state FROM frames", |row| {
        view.frames.insert(row.get(0)?, row.get(1)?);
        Ok(())
    });
    each(&db, "SELECT substr(name, 1, 20) FROM files", |row| {
        view.files.insert(row.get(0)?);
        Ok(())
    });
    each(&db, "SELECT id FROM events", |row| {
        view.events.insert(row.get(0)?);
        Ok(())
    });
    let waiting = "SELECT id, CAST(body AS TEXT) FROM messages WHERE state = 'queued' ORDER BY priority DESC, seq";
    each(&db, waiting, |row| {
        view.waiting.push((row.get(0)?, row.get(1)?));
        Ok(())
    });
    each(&db, "SELECT seq, id, state FROM messages", |row| {
        view.messages.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
        Ok(())
    });
    each(&db, "SELECT sequence FROM heads ORDER BY id", |row| {
        view.trail.push(row.get::<_, i64>(0)? as u64);
        Ok(())
    });
    view
}

fn each(db: &Connection, query: &str, mut take: impl FnMut(&rusqlite::Row) -> rusqlite::Result<()>) {
    let mut statement = db.prepare(query).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        take(row).unwrap();
    }
}

/// One step of the walk.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Alert,
    Silent,
    /// One whose name fills the log.
    Long,
    Copy,
    Acknowledge(usize),
    Head,
    /// As another program may, beside the daemon.
    Checkpoint(&'static str),
    Trim,
    Restart,
    /// Found damaged in use: the next start replaces it.
    Distrust,
    /// Bytes of the file changed.
    Spoil,
}

impl Deed {
    fn lasts(self) -> bool {
        !matches!(self, Self::Silent | Self::Long | Self::Copy)
    }

    fn replaces(self) -> bool {
        matches!(self, Self::Distrust | Self::Spoil)
    }
}

/// A part of the walk with the journal of one epoch, the same each time.
fn part(dice: &mut Rng) -> Vec<Deed> {
    let mut deeds = Vec::new();
    for _ in 0..28 {
        deeds.push(match dice.u8(..16) {
            0..6 => Deed::Alert,
            6..9 => Deed::Silent,
            9 => Deed::Copy,
            10 => Deed::Acknowledge(1),
            11 => Deed::Acknowledge(3),
            12 => Deed::Head,
            13 => Deed::Checkpoint("PASSIVE"),
            14 => Deed::Checkpoint("TRUNCATE"),
            _ => Deed::Restart,
        });
    }
    deeds
}

fn script() -> Vec<Deed> {
    let mut dice = Rng::with_seed(1);
    let mut deeds = part(&mut dice);
    deeds.extend([Deed::Trim, Deed::Alert, Deed::Distrust]);
    deeds.extend(part(&mut dice));
    deeds.extend([Deed::Alert, Deed::Spoil]);
    deeds.extend(part(&mut dice));
    deeds.extend([Deed::Long, Deed::Silent, Deed::Alert, Deed::Acknowledge(1)]);
    deeds
}

/// Does all of the script in the folder that the environment names; a note after each step.
#[test]
#[ignore = "the other test runs it, under strace"]
fn the_walk() {
    let base = walk_here();
    let state = base.join("state");
    let mut notes = File::create_new(base.join("notes")).unwrap();
    let mut doors = Some(Doors::open(&state));
    let mut note = |doors: &Doors, deed: Option<Deed>| {
        let promise = Promise {
            view: look(&state),
            epoch: doors.journal.epoch().to_owned(),
            lasts: deed.is_none_or(Deed::lasts),
            replaces: deed.is_some_and(Deed::replaces),
        };
        notes.write_all(&serde_json::to_vec(&promise).unwrap()).unwrap();
    };
    note(doors.as_ref().unwrap(), None);
    for (number, deed) in (1..).zip(script()) {
        let open = doors.as_mut().unwrap();
        match deed {
            Deed::Alert => open.alert(number),
            Deed::Silent => open.silent(number, &format!("silent-{number}")),
            Deed::Long => open.silent(number, &"long".repeat(LONG / 4)),
            Deed::Copy => open.journal.note_copy(&format!("copy-{number}"), &stamp(number), &hash(1)).unwrap(),
            Deed::Acknowledge(count) => open.acknowledge(count),
            Deed::Head => open.head(number),
            Deed::Checkpoint(how) => checkpoint(&state, how),
            Deed::Trim => drop(open.journal.trim(0).unwrap()),
            Deed::Restart => {}
            Deed::Distrust => journal::distrust(&state, "said the walk").unwrap(),
            Deed::Spoil => {
                drop(doors.take());
                spoil(&state);
            }
        }
        if matches!(deed, Deed::Restart | Deed::Distrust | Deed::Spoil) {
            drop(doors.take());
            doors = Some(Doors::open(&state));
            assert_eq!(doors.as_ref().unwrap().journal.warning().is_some(), deed.replaces());
        }
        note(doors.as_ref().unwrap(), Some(deed));
    }
}

fn checkpoint(state: &Path, how: &str) {
    let db = Connection::open(state.join(FILE)).unwrap();
    db.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(())).unwrap();
}

/// Overwrites the root of the tree of files, with everything in the file itself.
fn spoil(state: &Path) {
    checkpoint(state, "TRUNCATE");
    let path = state.join(FILE);
    let page: u64 = {
        let db = Connection::open(&path).unwrap();
        let root = "SELECT rootpage FROM sqlite_master WHERE name = 'files'";
        db.query_row(root, [], |row| row.get::<_, i64>(0)).unwrap() as u64
    };
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&[0xA5; 1024], (page - 1) * 1024).unwrap();
    file.sync_all().unwrap();
}

/// Cuts the walk where `seed` says, and looks what becomes of the journal.
fn cut(walk: &Walk, noted: &Noted<Promise>, seed: u64) -> Result<(), String> {
    let mut dice = Rng::with_seed(seed);
    let upto = noted.place(&mut dice);
    let (before, under_way) = (noted.before(upto), noted.next(upto));

    let root = in_memory();
    let state = root.path().join("state");
    walk.lay(&noted.calls, upto, &mut dice, &state);
    // Of the index of the log, which is memory, anything may be left.
    match dice.u8(..3) {
        0 if state.join(FILE).exists() => {
            let nonsense: Vec<u8> = std::iter::repeat_with(|| dice.u8(..)).take(32_768).collect();
            std::fs::write(state.join("journal.sqlite-shm"), nonsense).unwrap();
        }
        _ => {}
    }
    let found = |what: String| Err(format!("cut after call {upto} of {}: {what}", noted.calls.len()));

    let mut journal = match Journal::open(&state, 1_000) {
        Ok(journal) => journal,
        Err(error) => return found(format!("it does not open: {error}")),
    };
    if let Some(warning) = journal.warning()
        && !under_way.is_some_and(|promise| promise.replaces)
    {
        return found(format!("taken for damaged: {warning}"));
    }
    let view = look(&state);
    let last = before.iter().rposition(|promise| promise.lasts).unwrap_or(0);
    let allowed: Vec<&Promise> = before[last.min(before.len())..].iter().chain(under_way).collect();
    let is_new = before.is_empty() && view == View::default();
    let Some(now) = allowed.iter().find(|promise| promise.view == view).copied().or(under_way.filter(|_| is_new))
    else {
        let should = before.last().map(|promise| &promise.view);
        return found(format!(
            "not as it was after any step since the last promise\nit is  {view:?}\nlast  {should:?}"
        ));
    };
    let known = before.iter().any(|promise| promise.epoch == now.epoch);
    if known && journal.epoch() != now.epoch {
        return found(format!("epoch {}, promised was {}", journal.epoch(), now.epoch));
    }
    if !known && before.iter().any(|promise| promise.epoch == journal.epoch()) {
        return found("the epoch of the journal that was replaced".into());
    }
    // What is noted is found, whether it went into the index or not.
    for number in 0..1_000 {
        let (hash, noted) = (hash(number), view.frames.contains_key(&hash(number).to_string()));
        if journal.known(&hash).unwrap().is_some() != noted {
            return found(format!("frame {number} is noted: {noted}, and found: {}", !noted));
        }
    }
    // It goes on: with the next number, and after a further start with the same.
    let next = view.messages.keys().last().map_or(1, |last| (*last).max(0) as u64 + 1);
    let told = before.iter().filter(|promise| promise.epoch == journal.epoch());
    let most = told.flat_map(|promise| promise.view.messages.keys()).max().copied().unwrap_or(0);
    let body = |epoch: &str, seq: u64| json!({ "id": "later", "epoch": epoch, "seq": seq });
    let seq = journal.transaction(|transaction| transaction.queue("later", priority::LIVE, "detection", body)).unwrap();
    if seq != next || i64::try_from(seq).unwrap() <= most {
        return found(format!("number {seq} is given, the last that was told is {most}"));
    }
    let epoch = journal.epoch().to_owned();
    drop(journal);
    let journal = Journal::open(&state, 1_000).unwrap();
    if journal.warning().is_some() || journal.epoch() != epoch || look(&state).messages.len() != view.messages.len() + 1
    {
        return found(format!("otherwise after the next start: {:?}", journal.warning()));
    }
    let left =
        [".suspect", ".new"].map(|suffix| state.join(format!("{FILE}{suffix}"))).into_iter().find(|it| it.exists());
    left.map_or(Ok(()), |left| found(format!("{} stays", left.display())))
}

#[test]
fn a_power_cut_at_any_call_leaves_the_journal_as_it_was_after_a_whole_step_and_takes_no_promise_back() {
    let walk = match Walk::make("the_walk") {
        Ok(walk) => walk,
        Err(reason) => return parts::skip(NAME, reason),
    };
    let noted = Noted::<Promise>::of(walk.calls.clone());
    assert_eq!(noted.all().len(), script().len() + 1, "the trace tells all that was promised");
    cuts::make_all(|seed| cut(&walk, &noted, seed));

    // It can fail: on a disk that does not sync one of these, promises are broken.
    let log = |path: &Path| path.as_os_str().as_encoded_bytes().ends_with(b"-wal");
    let file = |path: &Path| path.file_name().is_some_and(|name| name == FILE);
    let folder = |path: &Path| path.extension().is_none();
    for (what, calls) in [("log", walk.without(log)), ("file", walk.without(file)), ("folder", walk.without(folder))] {
        let noted = Noted::of(calls);
        let broken = cuts::make(1..101, &|seed| cut(&walk, &noted, seed)).len();
        println!("without syncs of the {what}, {broken} of 100 cuts break a promise");
        assert!(broken > 0, "a disk that does not sync the {what} is not noticed");
    }
}
