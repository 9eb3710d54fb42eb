//! The last frames, and those who look at them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::feed::{Shown, What};
use crate::detection::Detection;

/// Frames that are kept.
pub(super) const FRAMES: usize = 100;
/// Of the latest so many the picture too: 1.5 MiB at most, as a rule.
const PICTURES: usize = 30;
/// Viewers at a time.
pub(super) const VIEWERS: usize = 8;
/// Events that wait for one viewer; who has not read as many is sent away, and may come back.
const UNREAD: usize = 32;

/// What hangs there.
pub(super) struct Board {
    // The latest first.
    frames: VecDeque<Numbered>,
    last: u64,
    viewers: Vec<Sender<Bytes>>,
    watching: Arc<AtomicUsize>,
    came: Arc<Notify>,
    // The timeline that was last told: the same is not told again.
    timeline_told: Option<Bytes>,
}

struct Numbered {
    number: u64,
    shown: Shown,
}

/// One frame as the page hears of it.
#[derive(Serialize)]
struct FrameTold<'a> {
    number: u64,
    picture: bool,
    #[serde(flatten)]
    what: &'a What,
}

/// What a viewer reads; counted as long as it is there.
pub(super) struct Viewer {
    events: Receiver<Bytes>,
    watching: Arc<AtomicUsize>,
}

impl Board {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            frames: VecDeque::new(),
            last: 0,
            viewers: Vec::new(),
            watching: Arc::default(),
            came: Arc::default(),
            timeline_told: None,
        }
    }

    /// How many look.
    pub fn watching(&self) -> Arc<AtomicUsize> {
        self.watching.clone()
    }

    /// Whether anybody looks.
    pub fn is_watched(&self) -> bool {
        self.watching.load(Ordering::Relaxed) > 0
    }

    /// Notified when somebody comes.
    pub fn came(&self) -> Arc<Notify> {
        self.came.clone()
    }

    /// Hangs up a frame and tells the viewers.
    pub fn add(&mut self, shown: Shown) {
        self.last += 1;
        self.frames.push_front(Numbered { number: self.last, shown });
        self.frames.truncate(FRAMES);
        if let Some(old) = self.frames.get_mut(PICTURES) {
            old.shown.picture = None;
        }
        if let Some(latest) = self.frames.front() {
            let event = event("frame", &latest.told());
            self.tell(&event);
        }
    }

    /// Tells all viewers. Who has too much to read already is sent away: nobody waits for him.
    pub fn tell(&mut self, event: &Bytes) {
        self.viewers.retain(|viewer| viewer.try_send(event.clone()).is_ok());
    }

    /// Tells the timeline, if it is news.
    pub fn tell_timeline(&mut self, event: Bytes) {
        if self.timeline_told.as_ref() != Some(&event) {
            self.tell(&event);
            self.timeline_told = Some(event);
        }
    }

    /// Takes in a viewer, who first hears `first` and what hangs there; none if there are enough.
    pub fn look(&mut self, first: Vec<Bytes>) -> Option<Viewer> {
        if self.watching.load(Ordering::Relaxed) >= VIEWERS {
            return None;
        }
        let (sender, events) = mpsc::channel(UNREAD);
        let all: Vec<_> = self.frames.iter().map(Numbered::told).collect();
        // Never full: it is new.
        for event in first.into_iter().chain([event("frames", &all)]) {
            let _ = sender.try_send(event);
        }
        // Those that left are known by the next telling, which may be long off.
        self.viewers.retain(|viewer| !viewer.is_closed());
        self.viewers.push(sender);
        self.watching.fetch_add(1, Ordering::Relaxed);
        self.came.notify_one();
        Some(Viewer { events, watching: self.watching.clone() })
    }

    /// The picture of a frame.
    pub fn picture(&self, number: u64) -> Option<Bytes> {
        let found = self.frames.iter().find(|frame| frame.number == number);
        found.and_then(|frame| frame.shown.picture.clone())
    }

    /// The picture of a frame, and what was said of it.
    pub fn seen(&self, number: u64) -> Option<(Bytes, Detection)> {
        let shown = &self.frames.iter().find(|frame| frame.number == number)?.shown;
        let What::Frame(detection) = &shown.what else { return None };
        Some((shown.picture.clone()?, detection.as_ref().clone()))
    }

    /// The latest frames that could be looked at, as they are published.
    pub fn detections(&self, limit: usize) -> Vec<Value> {
        let frames = self.frames.iter().filter(|frame| matches!(frame.shown.what, What::Frame(_)));
        frames.take(limit).filter_map(|frame| serde_json::to_value(&frame.shown.what).ok()).collect()
    }
}

impl Numbered {
    fn told(&self) -> FrameTold<'_> {
        FrameTold { number: self.number, picture: self.shown.picture.is_some(), what: &self.shown.what }
    }
}

impl Viewer {
    /// The next event; none: it is sent away.
    pub fn poll_next(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<Bytes>> {
        self.events.poll_recv(context)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.watching.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A server-sent event.
pub(super) fn event(name: &str, data: &impl Serialize) -> Bytes {
    // JSON has no line break of its own; what can't be written is told as null.
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".into());
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
