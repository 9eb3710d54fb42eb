//! A head that comes in pieces, asked for one after the other, and how one that is here whole takes its place.
//!
//! While a head is tried, a later one is awaited beside it: an offer alone, whose pieces may never come, ends no trial.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::acceptor::Acceptor;
use super::arrive::Fared;
use super::inbox::Order;
use super::offer::Offer;
use super::record::Offered;
use super::report::Step;
use super::store::is_piece;
use super::topics::{Content, Scope};
use crate::frame::ContentHash;
use crate::heads::BundleError;
use crate::heads::bundle::Bundle;
use crate::model::Chunks;

/// What becomes of a head that another takes the place of.
const LATER: &str = "a later head was offered";

/// Pieces that are coming in.
pub(super) struct Receiving {
    pub(super) id: ContentHash,
    pub(super) have: Vec<bool>,
    chunks: Chunks,
    scopes: Vec<Scope>,
    // The one that is subscribed to.
    asked: Option<u32>,
    // When the last one came, and how long it took.
    came: Instant,
    pub(super) pace: Duration,
}

impl Receiving {
    fn new(offer: &Offered, chunks: Chunks, have: Vec<bool>) -> Self {
        let (id, scopes) = (offer.id, offer.scopes.clone());
        Self { id, have, chunks, scopes, asked: None, came: Instant::now(), pace: Duration::ZERO }
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

    fn is_whole(&self) -> bool {
        self.have.iter().all(|have| *have)
    }
}

impl Acceptor {
    /// Takes an offer, beside a head that is tried or else in the place of the one under way.
    pub(super) fn await_pieces(&mut self, offered: Offered, offer: &Offer) -> Result<()> {
        if self.record.under_way().is_some_and(|offer| !offer.step.awaits_pieces()) {
            self.open_beside(offered)?;
        } else {
            self.open(offered)?;
        }
        self.unsubscribe();
        self.store.begin(offer)?;
        self.walk_awaited(Step::Receiving)
    }

    /// The same offer over another way: its pieces may come in there too.
    pub(super) fn hear_also(&mut self, id: &ContentHash, scope: Scope) {
        let Some(offer) = self.record.awaited_mut() else { return };
        if offer.id != *id || offer.scopes.contains(&scope) {
            return;
        }
        offer.scopes.push(scope);
        if let Some(receiving) = self.receiving.as_mut().filter(|receiving| receiving.id == *id) {
            receiving.scopes = offer.scopes.clone();
        }
        self.keep_record();
        self.ask_again();
    }

    /// From here on pieces are waited for; those that are here already count.
    pub(super) fn receive(&mut self, chunks: Chunks) {
        let Some(offer) = self.record.awaited() else { return };
        let have = self.store.pieces(&offer.id, &chunks);
        self.receiving = Some(Receiving::new(offer, chunks, have));
        self.ask();
        self.publish();
        self.complete_if_whole();
    }

    pub(super) fn is_receiving(&self) -> bool {
        self.receiving.is_some()
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
        let (Some(piece), Some(Receiving { id, scopes, .. })) = (piece, &self.receiving) else { return };
        for scope in scopes {
            let _ = self.orders.send(order(scope.topic(self.doors.prefix(), Content::Chunk { id: *id, piece })));
        }
    }

    pub(super) fn piece(&mut self, id: &ContentHash, piece: u32, bytes: &[u8], source: &str) -> Fared {
        let Some(receiving) = self.receiving.as_mut().filter(|receiving| receiving.id == *id) else {
            return Fared::Settled;
        };
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

    pub(super) fn complete_if_whole(&mut self) {
        let Some(receiving) = self.receiving.take_if(|receiving| receiving.is_whole()) else { return };
        match self.complete(&receiving.id, &receiving.chunks) {
            Ok(()) => {}
            Err(error) if error.is::<BundleError>() => {
                let _ = self.end_awaited(Step::Rejected, &format!("{error:#}"));
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
        self.keep_awaited(id, &bundle)
    }

    /// Keeps the awaited head, which is here whole and verified, and goes on with it.
    pub(super) fn keep_awaited(&mut self, id: &ContentHash, bundle: &Bundle) -> Result<()> {
        self.store.put_head(id, bundle)?;
        self.take_up_awaited()
    }

    /// The awaited head lies here whole: it takes the place of one that is tried.
    pub(super) fn take_up_awaited(&mut self) -> Result<()> {
        match self.record.next.clone() {
            Some(next) => self.open(Offered { step: Step::Verified, ..next })?,
            None => self.step(Step::Verified, None)?,
        }
        self.stage()
    }

    /// Keeps a head that came whole and is verified, in the place of the one under way, and goes on with it.
    pub(super) fn bring_in(&mut self, offered: Offered, bundle: &Bundle) -> Result<()> {
        self.store.put_head(&offered.id, bundle)?;
        self.open(offered)?;
        self.stage()
    }

    /// It lies here whole, so it can be loaded.
    pub(super) fn stage(&mut self) -> Result<()> {
        self.step(Step::Staged, None)?;
        self.unsubscribe();
        self.try_out();
        Ok(())
    }

    /// This head is the one under way; one that was tried judges no more.
    fn open(&mut self, offered: Offered) -> Result<()> {
        let (step, mut behind) = (offered.step, Vec::new());
        self.put(step, |record| behind = record.open(offered, LATER))?;
        self.candidate = None;
        self.take_seats();
        for head in &behind {
            self.told(Step::Superseded, head, Some(LATER));
        }
        self.publish();
        Ok(())
    }

    /// This head is awaited beside the one that is tried.
    fn open_beside(&mut self, offered: Offered) -> Result<()> {
        let (step, head, mut behind) = (offered.step, offered.head.clone(), None);
        self.save(step, |record| behind = record.open_beside(offered, LATER))?;
        if let Some(before) = &behind {
            self.told(Step::Superseded, before, Some(LATER));
        }
        self.told(step, &head, None);
        self.publish();
        Ok(())
    }

    fn walk_awaited(&mut self, step: Step) -> Result<()> {
        let awaited = self.record.awaited().context("no head is awaited")?.head.clone();
        self.save(step, |record| {
            if let Some(offer) = record.awaited_mut() {
                (offer.step, offer.reason) = (step, None);
            }
        })?;
        self.told(step, &awaited, None);
        self.publish();
        Ok(())
    }

    /// The end of the head whose pieces come in.
    fn end_awaited(&mut self, step: Step, reason: &str) -> Result<()> {
        if self.record.next.is_some() { self.end_next(step, reason) } else { self.end(step, reason) }
    }

    /// The end of the head that is awaited beside another; that one goes on.
    pub(super) fn end_next(&mut self, step: Step, reason: &str) -> Result<()> {
        let mut ended = None;
        self.save(step, |record| ended = record.end_next(step, reason))?;
        if let Some(head) = &ended {
            self.told(step, head, Some(reason));
        }
        self.publish();
        self.unsubscribe();
        Ok(())
    }

    /// A head that was awaited beside another is the one under way when that one's end has come.
    pub(super) fn go_on(&mut self) {
        let mut changed = self.record.clone();
        if !changed.go_on() {
            return;
        }
        match self.save_as(changed) {
            Ok(()) => self.publish(),
            Err(error) => drop(self.troubled(&error)),
        }
    }

    /// Goes on with the head whose pieces come in, from what is on disk.
    pub(super) fn resume_pieces(&mut self) {
        let Some(awaited) = self.record.awaited().cloned() else { return };
        if self.is_receiving() {
            // It was whole, and the disk failed.
            return self.complete_if_whole();
        }
        if self.store.has_head(&awaited.id) {
            if let Err(error) = self.take_up_awaited() {
                let _ = self.troubled(&error);
            }
            return;
        }
        let keys = self.keys();
        let opened = self.store.begun(&awaited.id).and_then(|begun| Ok(begun.seal()?.verify(&keys)?));
        match opened.map(|opened| opened.manifest().chunks.clone()) {
            Ok(Some(chunks)) => {
                if awaited.step == Step::Receiving || self.walk_awaited(Step::Receiving).is_ok() {
                    self.receive(chunks);
                }
            }
            // Nothing of it was kept: the offer comes again.
            _ => self.forget_awaited(),
        }
    }

    fn forget_awaited(&mut self) {
        if self.record.next.take().is_none() {
            self.record.offer = None;
        }
        self.unsubscribe();
        self.keep_record();
    }

    /// No piece is asked for, and none is kept, of a head that is not awaited any more.
    pub(super) fn unsubscribe(&mut self) {
        let awaited = self.record.awaited().map(|offer| offer.id);
        if self.receiving.as_ref().is_some_and(|receiving| Some(receiving.id) != awaited) {
            self.order(self.receiving.as_ref().and_then(|receiving| receiving.asked), Order::Unsubscribe);
            self.receiving = None;
        }
        self.sweep();
    }
}
