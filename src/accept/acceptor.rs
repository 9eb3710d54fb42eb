//! The one thread that walks heads in: takes what arrives, proves it, keeps it, tries it, and puts it into service or not.
//!
//! Each step is on disk before its work begins, so that the next start resumes or undoes it. What can't be proven
//! leaves no trace on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::arrive::Fared;
use super::aside::Aside;
use super::fault;
use super::inbox::{Answer, Arrival, Control, Input, NewAlerts, Order, Request};
use super::judges::{Candidate, Judge, Seat};
use super::pieces::Receiving;
use super::proof::Trap;
use super::record::Record;
use super::report::{HeadFacts, Refusals, Step};
use super::store::Store;
use super::topics::{Content, Doors};
use super::trial::Bounds;
use crate::heads::TrustedKeys;
use crate::health::Status;
use crate::journal::{FeatureStore, HeadLog};

/// How often it looks after what announces itself to nobody: keys taken away, heads put there by hand, room on the disk.
const LOOK_AFTER: Duration = Duration::from_secs(60);
/// How long pieces may have stopped coming, at least, until it tells which are missing.
const TELL_AFTER: Duration = Duration::from_secs(2);
/// Messages that wait for the disk; the link acknowledges in order, so there are few.
const POSTPONED: usize = 4;
/// The same with requests among them.
const REQUESTS: usize = 32;
/// Steps that `head list` shows.
const HISTORY: u32 = 100;

/// What it works with.
pub struct Setup {
    /// Where state lies.
    pub state: PathBuf,
    /// Name of the trap.
    pub trap: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// First level of its topics.
    pub prefix: String,
    /// The backbone that is loaded.
    pub backbone: crate::model::HeadBackbone,
    /// What should alert.
    pub alerts: crate::config::Alerts,
    /// What is taken, and how it is tried.
    pub heads: crate::config::Heads,
    /// The head that the configuration names.
    pub configured: Configured,
    /// Where the judges sit.
    pub seat: Seat,
    /// Whether the last process died while it looked at a frame.
    pub died_on_frame: bool,
    /// Features of frames that it may be asked about.
    pub features: FeatureStore,
    /// To be told when something was queued for the broker.
    pub outbox_filled: Arc<Notify>,
}

/// The head that the configuration names: it serves until another one does, and when all others fail.
pub struct Configured {
    /// The head.
    pub judge: Arc<Judge>,
    /// What it is.
    pub facts: HeadFacts,
    /// Whether a person chose it: then another choice counts for more than what was pushed before.
    pub chosen: bool,
}

/// Walks heads in.
pub struct Acceptor {
    pub(super) trap: Trap,
    pub(super) doors: Doors,
    pub(super) settings: crate::config::Heads,
    pub(super) store: Store,
    pub(super) record: Record,
    pub(super) configured: Configured,
    pub(super) proven: Arc<Judge>,
    pub(super) candidate: Option<Candidate>,
    pub(super) seat: Seat,
    pub(super) log: HeadLog,
    pub(super) features: FeatureStore,
    pub(super) outbox_filled: Arc<Notify>,
    pub(super) status: Arc<Status>,
    pub(super) orders: UnboundedSender<Order>,
    pub(super) receiving: Option<Receiving>,
    pub(super) aside: Aside,
    pub(super) refused: Refusals,
    // How many of them were told.
    pub(super) refused_told: u64,
    // Files in `heads.directory` as they were when they were last read.
    pub(super) by_hand: BTreeMap<PathBuf, (u64, Option<SystemTime>)>,
    // Something could not be kept; it is asked for again when there is room.
    pub(super) refetch: bool,
    // Ids of the keys that were trusted when they were last looked at.
    pub(super) known_keys: BTreeSet<String>,
    // The record in memory is ahead of the one on disk.
    pub(super) unsaved: bool,
    // Pieces came that nobody was told of yet.
    pub(super) untold: bool,
    // Messages that could not be kept, not acknowledged; tried again from time to time.
    postponed: Vec<Arrival>,
}

impl Acceptor {
    pub(super) fn assemble(
        setup: Setup,
        store: Store,
        record: Record,
        log: HeadLog,
        status: Arc<Status>,
        orders: UnboundedSender<Order>,
    ) -> Self {
        let heads = &setup.heads;
        let trap = Trap {
            name: setup.trap.clone(),
            groups: setup.groups.clone(),
            backbone: setup.backbone,
            alerts: setup.alerts,
            max_bytes: heads.max_bytes,
            max_jump: heads.max_jump,
        };
        let proven = setup.configured.judge.clone();
        let (keys, _) = TrustedKeys::load(&heads.trusted_keys);
        Self {
            known_keys: keys.iter().map(|key| key.id().to_string()).collect(),
            trap,
            doors: Doors::new(&setup.prefix, &setup.trap, &setup.groups),
            settings: setup.heads,
            store,
            record,
            seat: setup.seat,
            proven,
            candidate: None,
            configured: setup.configured,
            log,
            features: setup.features,
            outbox_filled: setup.outbox_filled,
            status,
            orders,
            receiving: None,
            aside: Aside::default(),
            refused: Refusals::default(),
            refused_told: 0,
            by_hand: BTreeMap::new(),
            refetch: false,
            unsaved: false,
            untold: false,
            postponed: Vec::new(),
        }
    }

    /// Works until it is told to stop, or nobody can tell it anything any more.
    pub fn run(mut self, inputs: &Receiver<Input>) {
        self.publish();
        self.look_after();
        let mut looked = Instant::now();
        loop {
            // Also while more comes in than there is time for: whoever floods it keeps no revoked key alive.
            if looked.elapsed() >= LOOK_AFTER {
                self.look_after();
                looked = Instant::now();
            }
            let wait = if self.untold { self.tell_after() } else { LOOK_AFTER.saturating_sub(looked.elapsed()) };
            match inputs.recv_timeout(wait) {
                Ok(Input::Arrival(arrival)) => self.arrived(arrival),
                Ok(Input::Observation(observation)) => self.observed(&observation),
                Ok(Input::Control(control)) => self.answer(control),
                Ok(Input::Alerts(NewAlerts { alerts, reply })) => {
                    let same = alerts == self.trap.alerts;
                    let _ = reply.send(if same { Ok(()) } else { self.judge_by(alerts) });
                    self.look_after();
                }
                Err(RecvTimeoutError::Timeout) if self.untold => self.publish(),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // Frames of a trial that were counted since the last save.
        if self.candidate.is_some() {
            self.keep_record();
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        match self.take_in(&arrival) {
            Fared::Lost if self.postponed.len() < POSTPONED => self.postponed.push(arrival),
            // Requests are small, and no broker keeps them once they are acknowledged.
            Fared::Lost if self.postponed.len() < REQUESTS && matches!(arrival.address.content, Content::Ask(_)) => {
                self.postponed.push(arrival);
            }
            // What is retained comes again when it is asked for.
            Fared::Lost | Fared::Settled => drop(self.orders.send(Order::Acknowledge(arrival.receipt))),
        }
    }

    fn take_in(&mut self, arrival: &Arrival) -> Fared {
        let Arrival { address, payload, .. } = arrival;
        let source = format!("a message for {}", address.scope);
        match payload {
            Err(bytes) => {
                self.refuse(&source, &format!("it has {bytes} bytes, more than such a message may have"));
                Fared::Settled
            }
            // A retained message that was cleared.
            Ok(payload) if payload.is_empty() => Fared::Settled,
            Ok(payload) => match address.content {
                Content::Set => self.came_whole(payload, "pushed", &source),
                Content::Offer => self.offered(payload, address.scope.clone(), &source),
                Content::Chunk { id, piece } => self.piece(&id, piece, payload, &source),
                Content::Ask(kind) => self.asked(payload, kind, &source),
            },
        }
    }

    /// Counts what was refused unproven, and says so without letting a flood of it become a flood of ours: at once at each
    /// doubling, else within a minute.
    pub(super) fn refuse(&mut self, source: &str, reason: &str) {
        self.refused.count += 1;
        self.refused.last = Some(format!("{source}: {reason}"));
        if self.refused.count.is_power_of_two() {
            tracing::warn!(count = self.refused.count, "{source} is refused: {reason}");
            self.publish();
        }
    }

    /// The disk failed: nothing is decided, and it is tried again.
    pub(super) fn troubled(&mut self, error: &anyhow::Error) -> Fared {
        tracing::error!("{error:#}; the head is tried again later");
        self.status.warn("heads", Some(format!("{error:#}")));
        self.refetch = true;
        Fared::Lost
    }

    fn look_after(&mut self) {
        if self.aside.look_after() || self.refused.count > self.refused_told {
            self.publish();
        }
        self.look_for_keys();
        self.revoke();
        self.resume();
        if std::mem::take(&mut self.refetch) {
            self.status.warn("heads", None);
            // What could not be saved, messages that could not be kept, files that found no room.
            self.keep_record();
            self.by_hand.clear();
            for arrival in std::mem::take(&mut self.postponed) {
                self.arrived(arrival);
            }
            self.fetch_again();
        }
        self.look_by_hand();
    }

    /// What was refused for want of a key that came meanwhile is looked at again: whoever pushed it sends nothing twice.
    fn look_for_keys(&mut self) {
        let known: BTreeSet<String> = self.keys().iter().map(|key| key.id().to_string()).collect();
        if !known.is_subset(&self.known_keys) {
            tracing::info!("there is a new key in heads.trusted_keys: heads that the broker keeps are looked at again");
            self.refetch = true;
        }
        self.known_keys = known;
    }

    /// Subscribing anew makes the broker send again what it keeps.
    fn fetch_again(&mut self) {
        for filter in self.doors.filters() {
            let _ = self.orders.send(Order::Subscribe(filter));
        }
        self.ask_again();
    }

    /// When to tell of pieces that came: not before they stopped coming, at the pace at which they came.
    fn tell_after(&self) -> Duration {
        let pace = self.receiving.as_ref().map_or(Duration::ZERO, |receiving| receiving.pace);
        TELL_AFTER.max(4 * pace).min(LOOK_AFTER)
    }

    /// The keys that are trusted now.
    pub(super) fn keys(&self) -> TrustedKeys {
        let (keys, bad) = TrustedKeys::load(&self.settings.trusted_keys);
        // A folder that was never made is no mistake: then no key is trusted.
        let bad: Vec<String> = bad.iter().filter(|bad| bad.path.exists()).map(ToString::to_string).collect();
        self.status.warn("keys", (!bad.is_empty()).then(|| bad.join("; ")));
        keys
    }

    fn answer(&mut self, control: Control) {
        let answer = match control.request {
            Request::HeadList => match self.log.latest(HISTORY) {
                Ok(history) => Answer::HeadList { report: Box::new(self.report()), history },
                Err(error) => Answer::Refused(error.to_string()),
            },
            Request::HeadRollback => self.roll_back_by_hand(),
        };
        // Nobody waits any more.
        let _ = control.reply.send(answer);
    }

    /// Puts a changed record on disk, makes it the one that counts, and tells.
    pub(super) fn change(&mut self, step: Step, change: impl FnOnce(&mut Record)) -> Result<()> {
        self.put(step, change)?;
        self.publish();
        Ok(())
    }

    /// As [`Acceptor::change`], without telling the broker yet.
    pub(super) fn put(&mut self, step: Step, change: impl FnOnce(&mut Record)) -> Result<()> {
        self.save(step, change)?;
        if let Some(offer) = &self.record.offer {
            let (facts, reason) = (offer.head.clone(), offer.reason.clone());
            self.told(step, &facts, reason.as_deref());
        }
        Ok(())
    }

    /// As [`Acceptor::put`], without telling anybody.
    pub(super) fn save(&mut self, step: Step, change: impl FnOnce(&mut Record)) -> Result<()> {
        let mut changed = self.record.clone();
        change(&mut changed);
        fault::point(&format!("before {step}"));
        self.save_as(changed)?;
        fault::point(&format!("after {step}"));
        Ok(())
    }

    /// Makes this record the one that counts, once it is on disk.
    pub(super) fn save_as(&mut self, changed: Record) -> Result<()> {
        self.store.save(&changed)?;
        self.record = changed;
        self.unsaved = false;
        Ok(())
    }

    /// The next step of the head under way.
    pub(super) fn step(&mut self, step: Step, reason: Option<String>) -> Result<()> {
        self.change(step, |record| record.walk(step, reason))
    }

    /// The end of the head under way; whatever the disk says, it judges no more.
    pub(super) fn end(&mut self, step: Step, reason: &str) -> Result<()> {
        self.candidate = None;
        self.take_seats();
        let ended = self.change(step, |record| record.end_offer(step, Some(reason.to_owned())));
        self.unsubscribe();
        self.go_on();
        ended
    }

    /// Saves the record as it is; a failure is told and loses no more than what it says.
    pub(super) fn keep_record(&mut self) {
        let saved = self.store.save(&self.record);
        self.unsaved = saved.is_err();
        if let Err(error) = saved {
            let _ = self.troubled(&error);
        }
    }

    /// Removes what no head needs any more. Not while the disk lacks the record that says so: where that one is missing or
    /// damaged, the floor is taken from the heads that lie here.
    pub(super) fn sweep(&self) {
        if !self.unsaved {
            self.store.sweep(&self.record.kept());
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        let heads = &self.settings;
        Bounds { frames: heads.trial_frames, alerts: heads.trial_alerts, max_disagreement: heads.max_disagreement }
    }
}
