//! What comes in: whole heads and offers, over the link or by hand. Nothing is parsed before its signature holds, and what
//! can't be proven leaves no trace on disk.

use std::path::PathBuf;

use super::acceptor::Acceptor;
use super::offer::Offer;
use super::proof::{self, Entry};
use super::record::Offered;
use super::report::{Decided, HeadFacts, Step};
use super::topics::Scope;
use crate::frame::ContentHash;
use crate::heads::bundle::{self, Limits, Opened};

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
        let (id, head) = (ContentHash::of(opened.manifest_bytes()), facts(&opened, origin));
        // Its pieces are awaited, and here it is whole: by a card that somebody carried there.
        let awaited = self.is_receiving() && self.record.awaited().is_some_and(|offer| offer.id == id);
        // It is not held against one that is awaited: whose pieces never come keeps none out that is here.
        if !awaited && !self.enter(self.record.under_way().cloned().as_ref(), &id, &head, &opened) {
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
        let brought =
            if awaited { self.keep_awaited(&id, &bundle) } else { self.bring_in(Offered::whole(id, head), &bundle) };
        match brought {
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
        let (id, head) = (offer.id(), facts(&opened, "pushed"));
        if self.record.is_on_its_way(&id) {
            self.hear_also(&id, scope);
            return Fared::Settled;
        }
        if !self.enter(self.record.latest().cloned().as_ref(), &id, &head, &opened) {
            return Fared::Settled;
        }
        let Some(chunks) = opened.manifest().chunks.clone() else { return Fared::Settled };
        let pieces = chunks.sha256.len() as u32;
        let offered = Offered { step: Step::Offered, scopes: vec![scope], pieces, ..Offered::whole(id, head) };
        match self.await_pieces(offered, &offer) {
            Ok(()) => {
                self.receive(chunks);
                Fared::Settled
            }
            Err(error) => self.troubled(&error),
        }
    }

    /// Whether a proven head comes in, in the place of its `rival`; if not, why is noted where it is news.
    fn enter<R>(&mut self, rival: Option<&Offered>, id: &ContentHash, head: &HeadFacts, opened: &Opened<R>) -> bool {
        match proof::enter(&self.trap, &self.record, rival, id, opened.manifest(), opened.total()) {
            Entry::Take => match self.store.room_for(opened.total()) {
                Ok(()) => {
                    self.aside.comes_in(id);
                    true
                }
                Err(reason) => {
                    // Not decided: it comes again.
                    tracing::warn!(head = head.name, sequence = head.sequence, "not taken now: {reason}");
                    self.status.warn("heads", Some(reason.clone()));
                    self.refetch = true;
                    if self.aside.wait(head.clone(), reason) {
                        self.publish();
                    }
                    false
                }
            },
            Entry::UnderWay | Entry::Known | Entry::Behind => {
                tracing::debug!(head = head.name, sequence = head.sequence, "known, nothing to do");
                false
            }
            Entry::Refuse(refusal) => {
                self.turn_away(id, head, &refusal.to_string());
                false
            }
        }
    }

    /// Says that a proven head stays out. It would be refused each time it comes, so nothing but the trail is written, and
    /// not much of that: whoever may publish can replay what was signed once, again and again.
    fn turn_away(&mut self, id: &ContentHash, head: &HeadFacts, reason: &str) {
        let decided =
            Decided { id: *id, sequence: head.sequence, state: Step::Rejected, reason: Some(reason.to_owned()) };
        let Some(tell) = self.aside.refuse(decided) else { return };
        if self.record.under_way().is_none() {
            let reason = Some(reason.to_owned());
            self.record.offer = Some(Offered { step: Step::Rejected, reason, ..Offered::whole(*id, head.clone()) });
        }
        if tell {
            self.told(Step::Rejected, head, Some(reason));
            self.publish();
        }
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
