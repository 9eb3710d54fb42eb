//! Without a broker: alerts as JSON lines on standard output, from the same outbox and with the same guarantee.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::health::Status;
use crate::journal::{JournalError, Outbox};

/// Messages taken from the outbox at once.
const BATCH: usize = 100;
/// How long a journal that can't be written is left alone: a full disk has to be emptied by somebody.
const AGAIN: Duration = Duration::from_secs(10);

/// Prints the outbox.
pub struct Console {
    outbox: Outbox,
    // Told by the pipeline when a message was queued.
    outbox_filled: Arc<Notify>,
    status: Arc<Status>,
}

impl Console {
    /// A console on `outbox`.
    pub fn new(outbox: Outbox, outbox_filled: Arc<Notify>, status: Arc<Status>) -> Self {
        Self { outbox, outbox_filled, status }
    }

    /// Prints until `stop` turns true, then what is left.
    ///
    /// # Errors
    /// The reader is gone; what was not printed stays queued. So it does while the journal fails, and is printed later: what
    /// was printed but could not be noted comes once more.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        loop {
            // Read before printing: what is queued after this wakes the loop again or is printed by the last round.
            let last_round = *stop.borrow();
            let printed = block_in_place(|| self.print());
            let failed = match printed {
                Ok(()) => None,
                Err(error) => Some(error.downcast::<JournalError>()?),
            };
            if let Some(error) = &failed {
                tracing::error!("{error}; alerts are printed once it can be written again");
                if error.is_damage() {
                    self.status.journal_is_damaged(error.to_string());
                }
            }
            self.status.warn("outbox", failed.as_ref().map(ToString::to_string));
            if last_round {
                return Ok(());
            }
            tokio::select! {
                () = self.outbox_filled.notified(), if failed.is_none() => {}
                () = sleep(AGAIN), if failed.is_some() => {}
                _ = stop.changed() => {}
            }
        }
    }

    fn print(&mut self) -> anyhow::Result<()> {
        loop {
            let messages = self.outbox.next(&|_| false, BATCH)?;
            if messages.is_empty() {
                return Ok(());
            }
            let mut out = io::stdout().lock();
            for message in &messages {
                out.write_all(&message.body)?;
                out.write_all(b"\n")?;
            }
            out.flush()?;
            let seqs: Vec<u64> = messages.iter().map(|message| message.seq).collect();
            self.outbox.acked(&seqs)?;
            self.status.acknowledged(seqs.len());
        }
    }
}
