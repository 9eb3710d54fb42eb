//! From a settled file to a queued message: the daemon's one worker.
//!
//! A frame is its content: known content is noted and left alone. The frame is marked done in the same transaction that
//! queues its message; a crash before it means the frame is looked at again, a crash after it that nothing is.

mod alert;
mod file;
mod upkeep;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

pub(crate) use file::utc;
pub use file::{FileRead, read};
use time::OffsetDateTime;
use tokio::sync::Notify;
use upkeep::{FIRST_PAUSE, Unwritable};

use crate::accept::Observation;
use crate::classifier::{Classified, Classifier, FileFacts, Look, rfc3339};
use crate::config::{self, Alerts, Power};
use crate::detect::burst;
use crate::health::{Link, Status};
use crate::journal::{FrameRow, InWork, Journal, JournalError, KeptFrame, Transaction, priority};
use crate::page::Feed;
use crate::pictures::Pictures;
use crate::power::Deferral;
use crate::regions::Closer;
use crate::service::{SELF_TEST, Watchdog, fault};
use crate::watch::{Candidate, Queue};
use alert::{Alert, Told, numbered};

/// Topic of detections and event summaries.
const TOPIC: &str = "detection";

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

    /// Records a file that is no frame, never to be confused with one where nothing was found.
    fn failed(
        &mut self,
        candidate: &Candidate,
        file: &FileRead,
        reason: &str,
        now: OffsetDateTime,
    ) -> anyhow::Result<()> {
        let name = candidate.name.as_str();
        tracing::warn!(frame = name, "not classified: {reason}");
        let row = FrameRow {
            name,
            camera: camera(name),
            failed: Some(reason),
            processed_at: &rfc3339(now),
            ..FrameRow::default()
        };
        self.journal.put_silent(&file.hash, &row, &file.stamp)?;
        self.status.count(|counters| counters.failed += 1);
        if let Some(feed) = &self.feed {
            feed.failed(name, reason, row.processed_at);
        }
        Ok(())
    }

    /// One transaction: the frame is done, and what it has to say is queued.
    fn done(&mut self, candidate: &Candidate, file: &FileRead, classified: Classified) -> anyhow::Result<()> {
        let detection = &classified.detection;
        let verdict = &classified.verdict;
        let row = FrameRow {
            name: &candidate.name,
            camera: detection.camera.as_deref(),
            captured_at: Some(classified.at),
            failed: None,
            verdict: Some((&verdict.label, verdict.confidence)),
            alert: verdict.alert,
            head: Some(&detection.model.head),
            processed_at: &detection.processed_at,
        };
        // Only what is to be in the alert itself is made before it is queued.
        let pixels = classified.pixels.as_ref().filter(|_| verdict.alert);
        let inline = self.pictures.as_ref().filter(|pictures| pictures.inline).zip(pixels);
        let inline = inline.and_then(|(pictures, pixels)| pictures.of(pixels, &candidate.name));
        let allowance = self.pictures.as_ref().map(|pictures| pictures.allowance.as_ref());
        let (alerts, most) = (&self.alerts, self.keep_features);
        let backbone = self.classifier.backbone().manifest().sha256.as_str();
        let kept = classified.features.as_ref().map(|levels| KeptFrame {
            backbone,
            levels,
            alert: verdict.alert,
            novel: classified.scores.novel,
            margin: classified.margin(),
        });
        if !verdict.alert && kept.is_none() {
            self.journal.put_silent(&file.hash, &row, &file.stamp)?;
            self.told(candidate, classified, None, None);
            return Ok(());
        }
        let work = |transaction: &mut Transaction| {
            transaction.put_frame(&file.hash, &row)?;
            transaction.note_file(&candidate.name, &file.stamp, &file.hash)?;
            if let Some(kept) = &kept {
                transaction.keep_features(&file.hash, kept, most)?;
            }
            if !verdict.alert {
                return Ok(None);
            }
            let alert = Alert { classified: &classified, alerts, picture: inline.as_deref(), allowance };
            let told = alert.queue(transaction)?;
            transaction.put_in_event(&file.hash, &told.event)?;
            Ok(Some(told))
        };
        // Each sync wears the flash, and takes longer than a small network: only an alert is worth one.
        let told = if verdict.alert { self.journal.transaction(work) } else { self.journal.lazily(work) }?;
        self.told(candidate, classified, told, inline);
        Ok(())
    }

    /// It is done: counted, logged and shown; `picture` was made already.
    fn told(&mut self, candidate: &Candidate, classified: Classified, told: Option<Told>, picture: Option<Vec<u8>>) {
        let Classified { detection, verdict, .. } = &classified;
        self.status.classified();
        self.status.count(|counters| {
            counters.classified += 1;
            counters.alerts += u64::from(verdict.alert);
        });
        if let Some(reason) = classified.closer.as_ref().and_then(|closer| closer.failed.as_deref()) {
            tracing::warn!(
                frame = candidate.name,
                "its parts were not looked at closely, the whole frame was: {reason}"
            );
        }
        if let Some(partial) = &classified.partial {
            tracing::warn!(frame = candidate.name, "decoded in part: {partial}");
        }
        match told {
            Some(told) => {
                tracing::info!(
                    frame = candidate.name,
                    confidence = %detection.confidence,
                    event = told.event,
                    published = told.published,
                    "{}",
                    verdict.label
                );
                self.active.insert(told.event, Instant::now());
                self.outbox_filled.notify_one();
                self.status.queued();
                if told.published {
                    self.put_out(&classified, picture);
                }
            }
            None => tracing::debug!(frame = candidate.name, confidence = %detection.confidence, "{}", verdict.label),
        }
        if let Some(feed) = &self.feed {
            feed.frame(classified.detection, classified.pixels.filter(|_| feed.wants_pictures()));
        }
    }

    /// Lets the link have the picture of an alert that is queued, once nothing more important waits.
    fn put_out(&self, classified: &Classified, made: Option<Vec<u8>>) {
        let Some((pictures, pixels)) = self.pictures.as_ref().zip(classified.pixels.as_ref()) else { return };
        let Some(pending) = &pictures.pending else { return };
        if let Some(jpeg) = made.or_else(|| pictures.of(pixels, &classified.detection.frame.name)) {
            pending.put(&classified.verdict.label, jpeg);
            self.outbox_filled.notify_one();
        }
    }

    /// Whether an alert goes out as soon as it is queued.
    fn is_heard_now(&self) -> bool {
        matches!(self.status.link(), Link::Up | Link::Asleep)
    }

    /// How long nothing needs doing unless a frame comes.
    fn until_next_close(&self) -> Duration {
        const IDLE: Duration = Duration::from_secs(3600);
        let gap = Duration::from_secs(self.alerts.gap_s);
        self.active.values().map(|last| gap.saturating_sub(last.elapsed())).min().unwrap_or(IDLE).min(IDLE)
    }

    fn close_idle_events(&mut self) {
        let gap = Duration::from_secs(self.alerts.gap_s);
        // Frames still waiting may belong to an open event.
        if self.active.is_empty() || !self.queue.is_empty() || self.unwritable.is_some() {
            return;
        }
        let idle: Vec<String> =
            self.active.iter().filter(|(_, last)| last.elapsed() >= gap).map(|(id, _)| id.clone()).collect();
        for id in idle {
            // Each closing is a commit; a frame that lands meanwhile, or a stop, does not wait for all of them.
            if self.queue.is_closed() || !self.queue.is_empty() {
                return;
            }
            match self.close_event(&id) {
                Ok(()) => {
                    self.active.remove(&id);
                    self.outbox_filled.notify_one();
                    self.status.queued();
                }
                Err(error) => {
                    tracing::error!(event = id, "{error:#}; the event stays open and is closed later");
                    if let Some(error) = error.downcast_ref() {
                        self.journal_failed(error, FIRST_PAUSE);
                    }
                    self.active.insert(id, Instant::now());
                }
            }
        }
    }

    fn close_event(&mut self, id: &str) -> anyhow::Result<()> {
        let offline = self.status.link() != Link::Up;
        let trap = &self.trap;
        self.journal.transaction(|transaction| {
            let Some(mut stored) = transaction.event(id)? else { return Ok(()) };
            stored.event.open = false;
            transaction.put_event(&stored)?;
            let now = rfc3339(OffsetDateTime::now_utc());
            let Some(summary) = burst::summary(&stored, trap, offline, now) else {
                tracing::warn!(event = id, "its best frame was written by another version; closed without a summary");
                return Ok(());
            };
            let message = summary.id.clone();
            transaction.queue(&message, priority::SUMMARY, TOPIC, |epoch, seq| numbered(summary, epoch, seq))?;
            Ok(())
        })?;
        tracing::info!(event = id, "event closed");
        Ok(())
    }
}

/// First sub-folder.
pub(crate) fn camera(name: &str) -> Option<&str> {
    name.split_once('/').map(|(camera, _)| camera)
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
