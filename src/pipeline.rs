//! From a settled file to a queued message: the daemon's one worker.
//!
//! A frame is its content: known content is noted and left alone. The frame is marked done in the same transaction that
//! queues its message; a crash before it means the frame is looked at again, a crash after it that nothing is.

mod alert;
mod closing;
mod commit;
mod file;
mod upkeep;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

pub use file::{FileRead, read};
pub(crate) use file::{camera, utc};
use time::OffsetDateTime;
use tokio::sync::Notify;
use upkeep::{FIRST_PAUSE, Unwritable};

use crate::accept::Observation;
use crate::classifier::{Classifier, FileFacts, Look};
use crate::config::{self, Alerts, Power};
use crate::health::{Link, Status};
use crate::journal::{InWork, Journal, JournalError};
use crate::page::Feed;
use crate::pictures::Pictures;
use crate::power::Deferral;
use crate::regions::Closer;
use crate::service::{SELF_TEST, Watchdog, fault};
use crate::watch::{Candidate, Queue};

/// Everything the worker needs.
pub struct Pipeline {
    classifier: Classifier,
    journal: Journal,
    alerts: Alerts,
    trap: String,
    queue: Arc<Queue>,
    status: Arc<Status>,
    // Told after each queued message.
    outbox_filled: Arc<Notify>,
    observer: Box<dyn Fn(Observation) + Send>,
    // Frames whose features are kept.
    keep_features: u64,
    // None: alerts go without.
    pictures: Option<Pictures>,
    // None: only whole frames are looked at.
    closer: Option<Closer>,
    in_work: InWork,
    watchdog: Watchdog,
    deferral: Deferral,
    // The status page's end, where there is one.
    feed: Option<Feed>,
    // What alerts and where the trap stands, configured anew.
    new_alerts: Option<Receiver<Alerts>>,
    unwritable: Option<Unwritable>,
    // The journal's size, and the count of frames at which it is looked after again.
    most_bytes: u64,
    bound_at: u64,
    // When each open event last took a frame, on the monotonic clock: wall clocks jump.
    active: HashMap<String, Instant>,
}

impl Pipeline {
    /// A worker on `queue`; events that were open when the daemon last stopped get their full gap again.
    ///
    /// # Errors
    /// [`JournalError`] if the open events can't be read.
    pub fn new(
        classifier: Classifier,
        journal: Journal,
        alerts: Alerts,
        trap: String,
        queue: Arc<Queue>,
        status: Arc<Status>,
        outbox_filled: Arc<Notify>,
    ) -> Result<Self, JournalError> {
        let in_work = InWork::open(journal.directory());
        let now = Instant::now();
        let active = journal.open_events()?.into_iter().map(|id| (id, now)).collect();
        Ok(Self {
            classifier,
            journal,
            alerts,
            trap,
            queue,
            status,
            outbox_filled,
            observer: Box::new(drop),
            keep_features: 0,
            pictures: None,
            closer: None,
            in_work,
            watchdog: Watchdog::off(),
            deferral: Deferral::new(&Power { defer_s: 0, ..Power::default() }),
            feed: None,
            new_alerts: None,
            unwritable: None,
            most_bytes: u64::MAX,
            bound_at: 0,
            active,
        })
    }

    /// Tells what each frame taught of the heads that looked at it, once what became of the frame is on disk or noted.
    pub fn observed_by(self, observer: impl Fn(Observation) + Send + 'static) -> Self {
        Self { observer: Box::new(observer), ..self }
    }

    /// Keeps the features of the latest `frames` frames.
    pub fn keeping_features(mut self, frames: u64) -> Self {
        self.classifier.give_features(frames > 0);
        Self { keep_features: frames, ..self }
    }

    /// Makes pictures of what alerts.
    pub fn picturing(self, pictures: Pictures) -> Self {
        Self { pictures: Some(pictures).filter(Pictures::wanted), ..self }
    }

    /// Looks at parts of frames too, and after the cameras.
    pub fn looking_closer(self, regions: &config::Regions) -> Self {
        Self { closer: Closer::new(regions), ..self }
    }

    /// Lets frames that say nothing wait so long to be written. Not where the last process died over a frame: deaths may come
    /// sooner than the writing then, and no start would get any further.
    pub fn holding(mut self, seconds: u64) -> Self {
        if !self.in_work.died() {
            self.journal.hold_for(Duration::from_secs(seconds));
        }
        self
    }

    /// Keeps the journal at most so large.
    pub fn bounding_journal(self, bytes: u64) -> Self {
        Self { most_bytes: bytes, ..self }
    }

    /// Feeds this watchdog.
    pub fn watched_by(self, watchdog: Watchdog) -> Self {
        Self { watchdog, ..self }
    }

    /// Tells the status page of each frame.
    pub fn shown_on(self, feed: Option<Feed>) -> Self {
        Self { feed, ..self }
    }

    /// Lets frames wait while the board's supply is weak.
    pub fn deferring(self, power: &Power) -> Self {
        Self { deferral: Deferral::new(power), ..self }
    }

    /// Takes up other alert settings between two frames.
    pub fn taking(self, new_alerts: Receiver<Alerts>) -> Self {
        Self { new_alerts: Some(new_alerts), ..self }
    }

    /// Works until the queue is closed. The frame in work is finished first; what waits is found again at the next start.
    pub fn run(mut self) {
        while !self.queue.is_closed() {
            if let Some(candidate) = self.next() {
                self.take_up_alerts();
                fault::wedge(fault::FRAME);
                self.process(&candidate);
                self.queue.done(&candidate);
                self.watchdog.progress();
            }
            if self.watchdog.is_due() {
                self.test_itself();
            }
            let (live, waiting) = self.queue.len();
            self.status.backlog(live, waiting);
            self.close_idle_events();
            self.settle_the_journal();
            self.tell_of_dropped();
            self.bound_the_journal();
        }
        if let Err(error) = self.journal.settle() {
            tracing::warn!("{error}; what it would have noted is made up for at the next start");
        }
    }

    /// The next frame, unless none comes before something else is to be done.
    fn next(&mut self) -> Option<Candidate> {
        if !self.can_write() {
            return None;
        }
        let settle = self.journal.settle_in(false).unwrap_or(Duration::MAX);
        let pause = self.until_next_close().min(self.watchdog.until_due()).min(settle);
        if !self.queue.wait(pause, |live, older| live + older > 0) {
            self.deferral.rest();
            self.status.warn("power", None);
            return None;
        }
        let (live, older) = self.queue.len();
        let Some(hold) = self.deferral.hold(live > 0) else {
            self.status.warn("power", None);
            return self.queue.pop(Duration::ZERO);
        };
        let text = format!("the supply is weak: {} frames wait", live + older);
        self.status.warn("power", Some(text));
        self.status.backlog(live, older);
        // One that has just arrived may go before those that wait.
        self.queue.wait(hold.min(self.watchdog.until_due()), |now_live, _| live == 0 && now_live > 0);
        None
    }

    fn take_up_alerts(&mut self) {
        for alerts in self.new_alerts.iter().flat_map(Receiver::try_iter) {
            self.classifier.set_place(&alerts);
            self.alerts = alerts;
        }
    }

    /// No frame came for a while: a picture of its own takes the way through decoder, backbone and head.
    fn test_itself(&mut self) {
        let tested = self.classifier.try_out(SELF_TEST);
        match &tested {
            Ok(()) => {
                tracing::debug!("self-test passed");
                self.status.warn("self-test", None);
            }
            Err(error) => {
                tracing::error!("self-test: {error}; if this goes on, the service manager starts the daemon anew");
                self.status.warn("self-test", Some(format!("self-test: {error}")));
            }
        }
        self.watchdog.tested(tested.is_ok());
    }

    fn process(&mut self, candidate: &Candidate) {
        let mut observation = None;
        match self.look(candidate, &mut observation) {
            Ok(()) => self.status.warn("pipeline", None),
            // Not marked in the journal: the next scan offers the file again.
            Err(error) => {
                tracing::error!(frame = candidate.name, "{error:#}; the frame stays and is tried again");
                self.status.warn("pipeline", Some(format!("{}: {error:#}", candidate.name)));
                if let Some(error) = error.downcast_ref() {
                    self.journal_failed(error, FIRST_PAUSE);
                }
            }
        }
        if let Some(observation) = observation {
            (self.observer)(observation);
        }
    }

    /// Leaves `observation` empty where the frame was judged, but will be judged again because that could not be kept.
    fn look(&mut self, candidate: &Candidate, observation: &mut Option<Observation>) -> anyhow::Result<()> {
        let started = Instant::now();
        let name = candidate.name.as_str();
        let file = match read(&candidate.path, self.classifier.limits().max_bytes) {
            Ok(file) => file,
            // Moved away meanwhile: nothing to look at, nothing to keep.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::debug!(frame = name, "gone before it was read");
                return Ok(());
            }
            Err(error) => return Err(anyhow::Error::new(error).context("the file can't be read")),
        };
        // Not the inode: FAT and some network file systems number a file anew when its entry left the cache.
        if (file.stamp.size, file.stamp.mtime_ns) != (candidate.stamp.size, candidate.stamp.mtime_ns) {
            tracing::debug!(frame = name, "still changing, waiting for it to settle again");
            return Ok(());
        }
        self.status.seen();
        self.status.count(|counters| counters.frames += 1);
        if self.journal.known(&file.hash)?.is_some() {
            self.journal.note_copy(name, &file.stamp, &file.hash)?;
            self.status.count(|counters| counters.copies += 1);
            tracing::debug!(frame = name, "content known, not looked at again");
            return Ok(());
        }
        let facts = FileFacts { name, camera: camera(name), modified: file.modified };
        let now = OffsetDateTime::now_utc();
        // Only a precaution: where the note can't be written the frame is looked at all the same.
        if !self.in_work.begin(&file.hash).unwrap_or(true) {
            self.failed(candidate, &file, "the daemon died on it three times", now)?;
            // The note of its deaths goes with the next frame.
            return Ok(self.journal.settle()?);
        }
        let shown = self.feed.as_ref().is_some_and(Feed::wants_pictures);
        self.classifier.give_pixels(shown || self.pictures.is_some());
        let closer = self.closer.as_mut();
        let Look { classified, observation: learned } =
            self.classifier.classify_closely(&file.bytes, &file.hash, &facts, now, closer);
        self.in_work.survived();
        if let Some(closer) = &self.closer {
            self.status.tell("lens", closer.warning());
        }
        match classified {
            Ok(mut classified) => {
                classified.detection.latency_ms = started.elapsed().as_millis() as u64;
                classified.detection.replayed = !candidate.live || !self.is_heard_now();
                self.done(candidate, &file, classified)?;
                *observation = learned;
                Ok(())
            }
            Err(error) if error.is_final() => self.failed(candidate, &file, &error.to_string(), now),
            // Not the frame's fault: with a good head or more memory it will be classified.
            Err(error) => {
                *observation = learned;
                Err(anyhow::Error::new(error).context("not classified"))
            }
        }
    }

    /// Whether an alert goes out as soon as it is queued.
    fn is_heard_now(&self) -> bool {
        matches!(self.status.link(), Link::Up | Link::Asleep)
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
