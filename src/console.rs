//! Without a broker: alerts as JSON lines on standard output, from the same outbox and with the same guarantee.

use std::io::{self, Write};
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::block_in_place;

use crate::health::Status;
use crate::journal::Outbox;

/// Messages taken from the outbox at once.
const BATCH: usize = 100;

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
    /// The reader is gone, or the journal fails; what was not printed stays queued.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        loop {
            // Read before printing: what is queued after this wakes the loop again or is printed by the last round.
            let last_round = *stop.borrow();
            block_in_place(|| self.print())?;
            if last_round {
                return Ok(());
            }
            tokio::select! {
                () = self.outbox_filled.notified() => {}
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
