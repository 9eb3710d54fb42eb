//! What comes in: whole heads, offers and pieces, over the link or by hand. Nothing is parsed before its signature holds, and
//! what can't be proven leaves no trace on disk.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::acceptor::Acceptor;
use super::inbox::Order;
use super::offer::Offer;
use super::proof::{self, Entry};
use super::record::Offered;
use super::report::{HeadFacts, Step, TrialReport};
use super::store::is_piece;
use super::topics::{Content, Scope};
use crate::frame::ContentHash;
use crate::heads::BundleError;
use crate::heads::bundle::{self, Bundle, Limits, Opened};
use crate::model::Chunks;

/// Pieces that are coming in.
pub(super) struct Receiving {
    pub(super) chunks: Chunks,
    pub(super) have: Vec<bool>,
    // The one that is subscribed to.
    asked: Option<u32>,
    // When the last one came, and how long it took.
    came: Instant,
    pub(super) pace: Duration,
}

impl Receiving {
    fn new(chunks: Chunks, have: Vec<bool>) -> Self {
        Self { chunks, have, asked: None, came: Instant::now(), pace: Duration::ZERO }
    }

    fn count(&mut self, piece: u32) {
        if let Some(have) = self.have.get_mut(piece as usize) {
            *have = true;
        }
        self.pace = self.came.elapsed();
        self.came = Instant::now();
    }

    fn missing(&self) -> Option<u32> {
        self.have.iter().position(|have| !have).map(|place| place as u32)
    }
}

/// How a message fared.
pub(super) enum Fared {
    /// What it carried is on disk, or not wanted.
    Settled,
    /// It could not be kept; it must come again.
    Lost,
}

impl Acceptor {
    pub(super) fn came_whole(&mut self, bytes: &[u8], origin: &str, source: &str) -> Fared {
        let keys = self.keys();
        let opened = bundle::read_head_of(bytes).and_then(|sealed| sealed.verify(&keys));
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.refuse(source, &error.to_string());
                return Fared::Settled;
            }
        };
        let (id, facts) = (ContentHash::of(opened.manifest_bytes()), facts(&opened, origin));
        // Its pieces are awaited, and here it is whole: by a card that somebody carried there.
        let awaited = self.is_receiving() && self.record.under_way().is_some_and(|offer| offer.id == id);
        if !awaited && !self.enter(&id, &facts, &opened) {
            return Fared::Settled;
        }
        // Files of other digests beside a good manifest: nobody signed that, so nothing is decided about the head.
        let bundle = match opened.read(Limits { network: self.settings.max_bytes }) {
            Ok(bundle) => bundle,
            Err(error) => {
                self.refuse(source, &error.to_string());
                return Fared::Settled;
            }
        };
        let walked = if awaited {
            self.step(Step::Verified, None)
        } else {
            self.supersede().and_then(|()| self.open_offer(id, facts, Step::Verified, Vec::new(), 0))
        };
        match walked.and_then(|()| self.keep(&id, &bundle)) {
            Ok(()) => Fared::Settled,
            Err(error) => self.troubled(&error),
        }
    }

    pub(super) fn offered(&mut self, payload: &[u8], scope: Scope, source: &str) -> Fared {
        let keys = self.keys();
        let open = |offer: &Offer| offer.seal().and_then(|sealed| sealed.verify(&keys));
        let (offer, opened) = match Offer::decode(payload) {
            Ok(offer) => match open(&offer) {
                Ok(opened) => (offer, opened),
                Err(error) => {
                    self.refuse(source, &error.to_string());
                    return Fared::Settled;
                }
            },
            Err(error) => {
                self.refuse(source, &error.to_string());
                return Fared::Settled;
            }
        };
        let (id, facts) = (offer.id(), facts(&opened, "pushed"));
        if self.record.under_way().is_some_and(|under_way| under_way.id == id) {
            self.hear_also(scope);
            return Fared::Settled;
        }
        if !self.enter(&id, &facts, &opened) {
            return Fared::Settled;
        }
        let Some(chunks) = opened.manifest().chunks.clone() else { return Fared::Settled };
        let pieces = chunks.sha256.len() as u32;
        let walked = self
            .supersede()
            .and_then(|()| self.open_offer(id, facts, Step::Offered, vec![scope], pieces))
            .and_then(|()| self.store.begin(&offer))
            .and_then(|()| self.step(Step::Receiving, None));
        if let Err(error) = walked {
            return self.troubled(&error);
        }
        self.receive(chunks);
        Fared::Settled
    }

    /// The same offer over another way: its pieces may come in there too.
    fn hear_also(&mut self, scope: Scope) {
        let new =
            self.record.under_way().filter(|offer| offer.step == Step::Receiving && !offer.scopes.contains(&scope));
        if new.is_none() {
            return;
        }
        if let Some(offer) = &mut self.record.offer {
            offer.scopes.push(scope);
        }
        self.keep_record();
        self.ask_again();
    }

    /// Whether a proven head comes in; if not, why is noted where it is news.
    fn enter<R>(&mut self, id: &ContentHash, facts: &HeadFacts, opened: &Opened<R>) -> bool {
        match proof::enter(&self.trap, &self.record, id, opened.manifest(), opened.total()) {
            Entry::Take => match self.store.room_for(opened.total()) {
                Ok(()) => true,
                Err(reason) => {
                    // Not decided: it comes again.
                    tracing::warn!(head = facts.name, sequence = facts.sequence, "not taken now: {reason}");
                    self.status.warn("heads", Some(reason));
                    self.refetch = true;
                    false
                }
            },
            Entry::UnderWay | Entry::Known | Entry::Behind => {
                tracing::debug!(head = facts.name, sequence = facts.sequence, "known, nothing to do");
                false
            }
            Entry::Refuse(refusal) => {
                let reason = refusal.to_string();
                self.told(Step::Rejected, facts, Some(&reason));
                self.record.decide(*id, facts.sequence, Step::Rejected, Some(reason.clone()));
                if self.record.under_way().is_none() {
                    let trial = TrialReport::default();
                    let (head, reason) = (facts.clone(), Some(reason));
                    self.record.offer = Some(Offered {
                        head,
                        scopes: Vec::new(),
                        id: *id,
                        step: Step::Rejected,
                        reason,
                        pieces: 0,
                        trial,
                    });
                }
                self.keep_record();
                self.publish();
                false
            }
        }
    }

    /// A later head takes the place of the one under way.
    pub(super) fn supersede(&mut self) -> Result<()> {
        if self.record.under_way().is_none() {
            return Ok(());
        }
        self.end(Step::Superseded, "a later head was offered")
    }

    fn open_offer(
        &mut self,
        id: ContentHash,
        head: HeadFacts,
        step: Step,
        scopes: Vec<Scope>,
        pieces: u32,
    ) -> Result<()> {
        let trial = TrialReport::default();
        let offered = Offered { head, scopes, id, step, reason: None, pieces, trial };
        self.change(step, |record| record.offer = Some(offered))
    }

    /// From here on pieces are waited for; those that are here already count.
    pub(super) fn receive(&mut self, chunks: Chunks) {
        let Some(offer) = self.record.under_way() else { return };
        let have = self.store.pieces(&offer.id, &chunks);
        self.receiving = Some(Receiving::new(chunks, have));
        self.ask();
        self.publish();
        self.complete_if_whole();
    }

    /// Asks for the first piece that is missing, and for one at a time: what a broker sends ahead over a thin link holds up
    /// its answers to pings and to alerts until the connection counts as dead, and then comes once more.
    fn ask(&mut self) {
        let Some(receiving) = self.receiving.as_mut() else { return };
        let (before, now) = (receiving.asked, receiving.missing());
        receiving.asked = now;
        if before == now {
            return;
        }
        self.order(now, Order::Subscribe);
        self.order(before, Order::Unsubscribe);
    }

    /// Lets the broker send once more the piece that is missing.
    pub(super) fn ask_again(&self) {
        self.order(self.receiving.as_ref().and_then(|receiving| receiving.asked), Order::Subscribe);
    }

    /// For a piece's topic, whichever way it may come.
    fn order(&self, piece: Option<u32>, order: fn(String) -> Order) {
        let (Some(piece), Some(Offered { id, scopes, .. })) = (piece, &self.record.offer) else { return };
        for scope in scopes {
            let _ = self.orders.send(order(scope.topic(self.doors.prefix(), Content::Chunk { id: *id, piece })));
        }
    }

    pub(super) fn piece(&mut self, id: &ContentHash, piece: u32, bytes: &[u8], source: &str) -> Fared {
        let wanted = self.record.under_way().is_some_and(|offer| offer.id == *id);
        let Some(receiving) = self.receiving.as_mut().filter(|_| wanted) else { return Fared::Settled };
        let place = piece as usize;
        let (Some(sha256), Some(false)) = (receiving.chunks.sha256.get(place), receiving.have.get(place)) else {
            return Fared::Settled;
        };
        if bytes.len() as u64 > receiving.chunks.size || !is_piece(bytes, sha256) {
            self.refuse(source, &format!("piece {piece} of head {id} is not what its manifest says"));
            return Fared::Settled;
        }
        if let Err(error) = self.store.put_piece(id, piece, bytes) {
            // Kept by the broker: it is asked for again.
            let _ = self.troubled(&error);
            return Fared::Settled;
        }
        receiving.count(piece);
        let (here, all) = (receiving.have.iter().filter(|have| **have).count(), receiving.have.len());
        // Over a thin link a word for each piece would cost more than it tells.
        self.untold = true;
        if here % all.div_ceil(16).max(1) == 0 {
            self.publish();
        }
        self.ask();
        self.complete_if_whole();
        Fared::Settled
    }

    fn complete_if_whole(&mut self) {
        if !self.receiving.as_ref().is_some_and(|receiving| receiving.have.iter().all(|have| *have)) {
            return;
        }
        let (Some(receiving), Some(offer)) = (self.receiving.take(), self.record.under_way().cloned()) else { return };
        match self.complete(&offer.id, &receiving.chunks) {
            Ok(()) => {}
            Err(error) if error.is::<BundleError>() => {
                let _ = self.end(Step::Rejected, &format!("{error:#}"));
            }
            Err(error) => {
                self.receiving = Some(receiving);
                let _ = self.troubled(&error);
            }
        }
    }

    fn complete(&mut self, id: &ContentHash, chunks: &Chunks) -> Result<()> {
        let Some(row) = self.store.row(id, chunks) else {
            // A piece was damaged on disk since: ask for it again.
            self.receive(chunks.clone());
            return Ok(());
        };
        let bundle = self.store.begun(id)?.seal()?.verify(&self.keys())?.join(row)?;
        self.step(Step::Verified, None)?;
        self.keep(id, &bundle)
    }

    /// Keeps a verified head and goes on with it.
    pub(super) fn keep(&mut self, id: &ContentHash, bundle: &Bundle) -> Result<()> {
        self.store.put_head(id, bundle)?;
        self.step(Step::Staged, None)?;
        self.unsubscribe();
        self.try_out();
        Ok(())
    }

    pub(super) fn is_receiving(&self) -> bool {
        self.receiving.is_some()
    }

    pub(super) fn unsubscribe(&mut self) {
        let asked = self.receiving.take().and_then(|receiving| receiving.asked);
        self.order(asked, Order::Unsubscribe);
        self.store.sweep(&self.record.kept());
    }

    /// Heads that somebody put into `heads.directory`: proven and tried like any other.
    pub(super) fn look_by_hand(&mut self) {
        let Ok(entries) = std::fs::read_dir(&self.settings.directory) else { return };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "head"));
        files.sort();
        self.by_hand.retain(|file, _| files.contains(file));
        for file in files {
            let Ok(metadata) = std::fs::metadata(&file) else { continue };
            let stamp = (metadata.len(), metadata.modified().ok());
            if !metadata.is_file() || self.by_hand.get(&file) == Some(&stamp) {
                continue;
            }
            let source = file.display().to_string();
            // Signature, manifest and the archive's headers come on top.
            let limit = self.settings.max_bytes + 2 * bundle::MAX_MANIFEST;
            let fared = if stamp.0 > limit {
                self.refuse(&source, &format!("it has {} bytes, more than heads.max_bytes allows", stamp.0));
                Fared::Settled
            } else {
                match std::fs::read(&file) {
                    Ok(bytes) => self.came_whole(&bytes, "file", &source),
                    Err(error) => {
                        self.refuse(&source, &error.to_string());
                        Fared::Settled
                    }
                }
            };
            if let Fared::Settled = fared {
                self.by_hand.insert(file, stamp);
            }
        }
    }
}

/// A head in short.
fn facts<R>(opened: &Opened<R>, origin: &str) -> HeadFacts {
    let manifest = opened.manifest();
    HeadFacts {
        id: Some(ContentHash::of(opened.manifest_bytes())),
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        sequence: manifest.sequence,
        key: opened.signature().map(|signature| signature.key().to_string()),
        origin: origin.to_owned(),
    }
}
