//! What a trap does when it is asked: labels, a refit, features, forgetting a head.
//!
//! A request is in the record before it is acted on, with its sequence: it is not taken twice, nor one from before it. If
//! the process dies on the way the broker brings the same message again, and it is done again: each but a refit may be.

use std::time::Instant;

use anyhow::Result;

use super::acceptor::Acceptor;
use super::arrive::Fared;
use super::ask::{Ask, FrameLabel, Kind, Opened, Wanted, What};
use super::export::Exported;
use super::fault;
use super::proof;
use super::record::Offered;
use super::refit::{self, Provenance};
use super::report::{AskState, Asked, HeadFacts, LOCAL, Local, Step};
use crate::classifier::guarded;
use crate::frame::ContentHash;
use crate::heads::Bundle;
use crate::journal::Queued;

/// What was done and with how many, or why it can't be; an error is the disk's.
type Outcome = Result<Result<(u64, String), String>>;

impl Acceptor {
    /// At the start: no more frames than are wanted, no forgotten head, no refit half done.
    pub(super) fn take_up_requests(&mut self) {
        if let Err(error) = self.features.trim(self.settings.keep_features) {
            tracing::warn!("{error}; features of too many frames are kept");
        }
        self.drop_forgotten();
        let interrupted = |asked: &&mut Asked| asked.state == AskState::UnderWay;
        if let Some(refit) = self.record.asked.get_mut(&Kind::Refit).filter(interrupted) {
            refit.state = AskState::Refused;
            refit.outcome = Some("the daemon ended while it was fitting; ask again".into());
            self.keep_record();
        }
    }

    pub(super) fn asked(&mut self, payload: &[u8], kind: Kind, source: &str) -> Fared {
        let opened = match Ask::open(payload, &self.keys()) {
            Ok(opened) => opened,
            Err(error) => {
                self.refuse(source, &error.to_string());
                return Fared::Settled;
            }
        };
        match self.may_ask(kind, &opened) {
            Ok(true) => {}
            Ok(false) => return Fared::Settled,
            Err(reason) => {
                let Opened { ask, key, .. } = opened;
                self.refuse(source, &format!("request {} {} of key {key}: {reason}", ask.kind(), ask.sequence));
                return Fared::Settled;
            }
        }
        let Opened { ask, key, id } = opened;
        let (sequence, key) = (ask.sequence, key.to_string());
        let done = self
            .note_request(
                kind,
                Asked { sequence, id, key: key.clone(), state: AskState::UnderWay, outcome: None, count: 0 },
            )
            .and_then(|()| {
                fault::point("request noted");
                self.obey(&ask, &key)
            })
            .and_then(|outcome| {
                match &outcome {
                    Ok((_, done)) => tracing::info!(key, sequence, "request {kind}: {done}"),
                    Err(reason) => tracing::warn!(key, sequence, "request {kind} is refused: {reason}"),
                }
                let state = if outcome.is_ok() { AskState::Done } else { AskState::Refused };
                let (count, outcome) = outcome.unwrap_or_else(|reason| (0, reason));
                self.note_request(kind, Asked { sequence, id, key, state, outcome: Some(outcome), count })
            });
        match done {
            Ok(()) => Fared::Settled,
            Err(error) => self.troubled(&error),
        }
    }

    /// Whether a proven request is to be acted on; false if it was, with this very message.
    fn may_ask(&self, kind: Kind, Opened { ask, id, .. }: &Opened) -> Result<bool, String> {
        if ask.kind() != kind {
            return Err(format!("it was published where requests of kind {kind} are; somebody moved it"));
        }
        proof::for_us(&self.trap, &ask.audience).map_err(|refusal| refusal.to_string())?;
        let last = self.record.asked.get(&kind);
        if let Some(last) = last.filter(|last| last.id == *id) {
            return Ok(last.state == AskState::UnderWay);
        }
        let last = last.map_or(0, |last| last.sequence);
        if ask.sequence <= last {
            return Err(format!("its sequence is not above {last}, the last one; ask with --sequence {}", last + 1));
        }
        let jump = self.trap.max_jump;
        if ask.sequence - last > jump {
            return Err(format!("its sequence is more than {jump} above {last}, the last one"));
        }
        Ok(true)
    }

    fn note_request(&mut self, kind: Kind, asked: Asked) -> Result<()> {
        let mut changed = self.record.clone();
        changed.asked.insert(kind, asked);
        self.store.save(&changed)?;
        self.record = changed;
        self.publish();
        Ok(())
    }

    fn obey(&mut self, ask: &Ask, key: &str) -> Outcome {
        let keeps = self.settings.keep_features > 0;
        match &ask.what {
            What::Forget(heads) => self.forget(heads),
            _ if !keeps => Ok(Err("this trap keeps no features; set heads.keep_features there".into())),
            What::Labels(labels) => self.label(labels),
            What::Features(wanted) => self.publish_features(wanted, ask.sequence),
            What::Refit => self.refit(ask.sequence, key),
        }
    }

    fn label(&mut self, labels: &[FrameLabel]) -> Outcome {
        let known = self.features.label(labels.iter().map(|it| (&it.frame, it.label.as_str())))?;
        let unknown = labels.len() as u64 - known.min(labels.len() as u64);
        Ok(Ok((known, format!("{known} frames labelled, of {unknown} no features are kept"))))
    }

    fn publish_features(&mut self, wanted: &Wanted, sequence: u64) -> Outcome {
        let backbone = self.trap.backbone.clone();
        let frames = match wanted {
            Wanted::Frames(frames) => frames.clone(),
            Wanted::Some(which, limit) => self.features.choose(*which, &backbone.sha256, *limit)?,
        };
        let mut messages = Vec::new();
        for frame in &frames {
            let Some((levels, labelled)) = self.features.frame(frame, &backbone.sha256)? else { continue };
            // The same for the same request, so that one that is done twice is published once.
            let id = ContentHash::of(format!("{}|{frame}|features|{sequence}", self.trap.name).as_bytes());
            let id = id.to_string().chars().take(32).collect::<String>();
            let head = self.proven.head().title();
            let exported = Exported::new(id.clone(), &self.trap.name, *frame, &backbone, &levels);
            let exported = match self.proven.look(&levels.features()) {
                Ok(opinion) => exported.judged(&opinion.verdict.label, opinion.scores),
                Err(_) => exported,
            };
            let exported = Exported { labelled, head, ..exported };
            let body = move |epoch: &str, seq| Exported { epoch: epoch.to_owned(), seq, ..exported };
            messages.push(Queued { id, topic: format!("features/{frame}"), body: Box::new(body) });
        }
        let (found, asked) = (messages.len(), frames.len());
        self.features.queue(messages)?;
        self.outbox_filled.notify_one();
        let text = match wanted {
            Wanted::Frames(_) => format!("features of {found} frames published, of {} none are kept", asked - found),
            Wanted::Some(..) => format!("features of {found} frames published"),
        };
        Ok(Ok((found as u64, text)))
    }

    fn forget(&mut self, heads: &[ContentHash]) -> Outcome {
        let mut changed = self.record.clone();
        changed.forget(heads);
        self.store.save(&changed)?;
        self.record = changed;
        fault::point("heads forgotten");
        let left = self.drop_forgotten();
        let what = if left.is_empty() { "none of them was here".to_owned() } else { left.join(", ") };
        Ok(Ok((heads.len() as u64, format!("{} forgotten for ever; {what}", heads.len()))))
    }

    /// Takes forgotten heads out of everything; what was done, in words.
    fn drop_forgotten(&mut self) -> Vec<String> {
        let reason = "a signed request says that it is to be forgotten";
        let is_forgotten = |id: Option<ContentHash>| id.is_some_and(|id| self.record.is_forgotten(&id));
        let [previous, active] =
            [&self.record.previous, &self.record.active].map(|head| head.clone().filter(|head| is_forgotten(head.id)));
        let under_way = self.record.under_way().filter(|offer| is_forgotten(Some(offer.id))).cloned();
        let next = self.record.next.as_ref().filter(|next| is_forgotten(Some(next.id))).cloned();
        let title = |head: &HeadFacts| format!("{} {}", head.name, head.version);
        let mut done = Vec::new();
        // Before the one under way, which would be followed by it.
        if let Some(next) = next {
            let _ = self.end_next(Step::Rejected, reason);
            done.push(format!("{} is {}", title(&next.head), Step::Rejected));
        }
        if let Some(offer) = under_way {
            let step = if offer.step == Step::Trial { Step::RolledBack } else { Step::Rejected };
            // Whatever the disk says, it judges no more.
            let _ = self.end(step, reason);
            done.push(format!("{} is {step}", title(&offer.head)));
        }
        // Before the one in service, which would be followed by it.
        if let Some(previous) = previous {
            self.record.previous = None;
            self.keep_record();
            done.push(format!("{} is kept no more", title(&previous)));
        }
        if let Some(active) = active {
            self.roll_back(reason);
            done.push(format!("{} is out of service", title(&active)));
        }
        if !done.is_empty() {
            self.sweep();
        }
        done
    }

    fn refit(&mut self, sequence: u64, key: &str) -> Outcome {
        if let Some(offer) = self.record.latest().filter(|offer| offer.head.origin != LOCAL) {
            let head = &offer.head;
            return Ok(Err(format!("head {} {} is under way; ask again when it is decided", head.name, head.version)));
        }
        // A head fitted here has seen these frames: the one before it is what a new one has to be as good as.
        let local = self.record.active.as_ref().is_some_and(|active| active.origin == LOCAL);
        let against = match self.record.previous.as_ref().and_then(|previous| previous.id).filter(|_| local) {
            Some(id) => self.load(&id).map_or_else(|_| self.configured.judge.clone(), std::sync::Arc::new),
            None if local => self.configured.judge.clone(),
            None => self.proven.clone(),
        };
        let frames = self.features.labelled(&self.trap.backbone.sha256, refit::MOST_FRAMES)?;
        let provenance = Provenance { trap: &self.trap, key, request: sequence, floor: self.record.floor };
        let began = Instant::now();
        let count = frames.len();
        let fitted = guarded("refit", || refit::refit(frames, &against, &provenance));
        let bundle = match fitted {
            Ok(Ok(bundle)) => bundle,
            Ok(Err(reason)) => return Ok(Err(reason)),
            Err(panic) => return Ok(Err(panic.to_string())),
        };
        tracing::info!("a head was fitted on {count} frames in {:.1} s", began.elapsed().as_secs_f64());
        self.propose(&bundle)
    }

    /// The way of every head, but for signature and floor.
    fn propose(&mut self, bundle: &Bundle) -> Outcome {
        let manifest = bundle.manifest();
        let bytes = bundle.row().len() as u64;
        if bytes > self.trap.max_bytes {
            return Ok(Err(format!("the head has {bytes} bytes, more than heads.max_bytes allows")));
        }
        if let Err(reason) = self.store.room_for(bytes) {
            return Ok(Err(reason));
        }
        let id = ContentHash::of(bundle.manifest_bytes());
        let head = HeadFacts {
            id: Some(id),
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            sequence: manifest.sequence,
            key: None,
            origin: LOCAL.to_owned(),
        };
        let told = manifest.local.as_ref().map(refit::told).unwrap_or_default();
        let title = format!("{} {}", head.name, head.version);
        self.bring_in(Offered::whole(id, head), bundle)?;
        Ok(Ok((1, format!("head {title} is proposed: {told}"))))
    }

    /// For `head/state`.
    pub(super) fn local(&self) -> Local {
        let kept = if self.settings.keep_features > 0 { self.features.count() } else { Ok(Default::default()) };
        let kept = kept.unwrap_or_else(|error| {
            tracing::error!("{error}");
            Default::default()
        });
        Local { kept: kept.frames, labelled: kept.labelled, asked: self.record.asked.clone() }
    }
}
