//! The status page: what the trap sees and how it stands, for a browser nearby, for Prometheus and for scripts. Off unless
//! `http.listen` is set, and read-only.
//!
//! One thread with a runtime of its own serves it, so that viewers cost neither the pipeline nor the link any time. The
//! pipeline hands over what it finished and never waits: where the page can't follow, frames are left out.
//!
//! * [`Feed`] is the pipeline's end, `tally` what it counts for Prometheus.
//! * `board` holds the last frames and tells the viewers of new ones.
//! * `door` says who may come in; `serve` accepts, within bounds; `patient` gives up on those who do not read.
//! * `answer` says what is asked for; `facts`, `metrics` and `why` are answers.

mod answer;
mod board;
mod body;
mod door;
mod facts;
mod feed;
mod metrics;
mod patient;
mod serve;
mod tally;
#[cfg(test)]
mod tests;
mod why;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use tokio::sync::mpsc;

pub use door::{Door, DoorError};
pub use feed::Feed;

use crate::accept::judges::Seat;
use crate::classifier::guarded;
use crate::health::Status;
use crate::journal::{Events, Outbox};
use crate::model::source::Origin;
use crate::service::Progress;
use board::Board;
use feed::{News, WAITING};

/// What the page is made of.
pub struct Setup {
    /// Where it is served and to whom.
    pub door: Door,
    /// Counters and moments.
    pub status: Arc<Status>,
    /// Who judges.
    pub seat: Seat,
    /// What waits for the broker.
    pub outbox: Outbox,
    /// What was seen.
    pub events: Events,
    /// Whether the daemon works.
    pub progress: Arc<Progress>,
    /// Where the backbone came from, to load it again for an explanation.
    pub backbone: Origin,
}

/// What every answer may look at; locks are held for moments and never across a wait.
struct Room {
    door: Door,
    status: Arc<Status>,
    seat: Seat,
    outbox: Mutex<Outbox>,
    events: Mutex<Events>,
    progress: Arc<Progress>,
    backbone: Origin,
    // Held by the one explanation that is being made.
    explaining: Mutex<()>,
    board: Mutex<Board>,
    tally: Arc<Mutex<tally::Tally>>,
}

/// Serves the page for as long as the process lives, and returns the pipeline's end of it. An address that can't be had
/// yet is tried again; `health` says so meanwhile.
///
/// # Errors
/// The thread or its runtime can't be started.
pub fn start(setup: Setup) -> Result<Feed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the status page's runtime can't be started")?;
    let (news, heard) = mpsc::channel(WAITING);
    let board = Board::new();
    let feed = Feed::new(news, board.watching());
    let Setup { door, status, seat, outbox, events, progress, backbone } = setup;
    let room = Arc::new(Room {
        door,
        status,
        seat,
        outbox: Mutex::new(outbox),
        events: Mutex::new(events),
        progress,
        backbone,
        explaining: Mutex::default(),
        board: Mutex::new(board),
        tally: feed.tally(),
    });
    let serve = move || {
        runtime.block_on(async {
            tokio::spawn(hang_up(room.clone(), heard));
            tokio::spawn(tell_how_it_stands(room.clone()));
            serve::serve(room).await;
        });
    };
    thread::Builder::new()
        .name("arcticd-page".into())
        .spawn(serve)
        .context("the status page's thread can't be started")?;
    Ok(feed)
}

/// Puts what the pipeline finished on the board.
async fn hang_up(room: Arc<Room>, mut heard: mpsc::Receiver<News>) {
    while let Some(news) = heard.recv().await {
        // Outside the lock: it takes milliseconds. A frame whose picture can't be made is not shown; the next one is.
        let shown = match guarded("picture", || news.shown()) {
            Ok(shown) => shown,
            Err(panic) => {
                tracing::warn!("a frame is not on the status page: {panic}");
                continue;
            }
        };
        let alerts = shown.alerts();
        lock(&room.board).add(shown);
        // What it did to its event is told with it.
        if alerts && lock(&room.board).is_watched() {
            facts::tell(&room);
        }
    }
}

/// Tells viewers how the daemon stands from time to time. Sleeps for good while nobody watches.
async fn tell_how_it_stands(room: Arc<Room>) {
    let came = lock(&room.board).came();
    loop {
        while lock(&room.board).is_watched() {
            facts::tell(&room);
            tokio::time::sleep(facts::EVERY).await;
        }
        came.notified().await;
    }
}

/// What is kept stays usable after a panic elsewhere.
fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
