//! Goes on with what lies on disk: at the start with what the last process left, later with what could not go on before.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use tokio::sync::mpsc::UnboundedSender;

use super::acceptor::{Acceptor, Setup};
use super::inbox::Order;
use super::record::{DEATHS, DEATHS_IN_SERVICE};
use super::report::Step;
use super::store::Store;
use crate::health::Status;
use crate::journal::HeadLog;

impl Acceptor {
    /// Takes up what the last process left, and seats the judges: after this a head is in service, whatever was found.
    /// The second value: the frame in work when the last process died is not to blame, a head was.
    ///
    /// # Errors
    /// The folder of heads can't be made or a damaged record not moved.
    pub fn begin(
        setup: Setup,
        log: HeadLog,
        status: Arc<Status>,
        orders: UnboundedSender<Order>,
    ) -> Result<(Self, bool)> {
        let store = Store::open(&setup.state)?;
        let (record, warning) = store.record()?;
        if let Some(warning) = &warning {
            tracing::error!("{warning}");
        }
        let anew = warning.is_some();
        status.warn("heads record", warning);
        let died_on_frame = setup.died_on_frame;
        let mut acceptor = Self::assemble(setup, store, record, log, status, orders);
        if anew {
            acceptor.keep_record();
        }
        acceptor.prefer_a_new_choice();
        acceptor.take_up_requests();
        if let Some(id) = acceptor.record.loading.take() {
            acceptor.record.died_of(id);
        }
        let tried = acceptor.record.under_way().filter(|offer| matches!(offer.step, Step::Shadow | Step::Trial));
        let suspect = tried.map(|offer| offer.id).filter(|_| died_on_frame);
        let blamed = suspect.is_some_and(|id| acceptor.record.died_of(id) >= DEATHS);
        acceptor.seat_the_proven();
        acceptor.resume();
        acceptor.sweep();
        Ok((acceptor, blamed))
    }

    /// A person who names another head in the configuration means that one to serve.
    fn prefer_a_new_choice(&mut self) {
        let digest = self.configured.judge.head().sha256();
        let changed = self.record.configured.as_deref().is_some_and(|before| before != digest);
        if !self.configured.chosen || !changed {
            return;
        }
        if let Some(active) = self.record.active.take() {
            tracing::warn!(
                "model.head was changed: it serves in the place of head {} {}; to have that one back, sign it with a higher \
                 sequence and push it again",
                active.name,
                active.version
            );
            self.record.previous = None;
            self.record.configured = None;
            self.keep_record();
        }
    }

    /// Loads the head in service, else the one before it, else the configured one.
    fn seat_the_proven(&mut self) {
        while let Some(id) = self.record.active.as_ref().and_then(|active| active.id) {
            let deaths = self.record.deaths.get(&id).copied().unwrap_or_default();
            let loaded = if deaths < DEATHS_IN_SERVICE {
                self.load(&id)
            } else {
                Err(anyhow!("the daemon died {deaths} times while it was loaded"))
            };
            match loaded {
                Ok(judge) => {
                    self.proven = Arc::new(judge);
                    if self.record.deaths.remove(&id).is_some() {
                        self.keep_record();
                    }
                    break;
                }
                Err(error) if self.may_pass(&error) => {
                    self.serve_the_configured(&error);
                    break;
                }
                Err(error) => self.roll_back(&format!("{error:#}")),
            }
        }
        self.take_seats();
    }

    /// Goes on with the heads under way, from what is on disk.
    pub(super) fn resume(&mut self) {
        self.go_on();
        self.resume_pieces();
        let Some(offer) = self.record.under_way().cloned() else { return };
        match offer.step {
            Step::Verified if self.store.has_head(&offer.id) => {
                if let Err(error) = self.stage() {
                    let _ = self.troubled(&error);
                }
            }
            // Verified, but not kept any more: back to the pieces if there are any, else it comes again.
            Step::Verified if offer.pieces > 0 => {
                let Ok(()) = self.step(Step::Receiving, None) else { return };
                self.resume_pieces();
            }
            Step::Verified => {
                self.record.offer = None;
                self.unsubscribe();
                self.go_on();
                self.keep_record();
            }
            Step::Staged | Step::CanariesPassed => self.try_out(),
            Step::Shadow | Step::Trial if self.candidate.is_none() => self.try_out(),
            _ => {}
        }
    }
}
