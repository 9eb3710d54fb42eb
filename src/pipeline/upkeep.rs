//! What the worker does for its journal: leaves it alone while it can't be written, and keeps it from growing for ever.

use std::time::{Duration, Instant};

use super::Pipeline;
use crate::journal::JournalError;

/// How long the journal is left alone when it can't be written; doubled each time, up to [`LONGEST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// No frame waits much longer than this for a disk that has room again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Frames between two looks at the journal's size: at 1 KiB each far less than the bound is off.
const BOUND_EVERY: u64 = 1024;

/// The journal can't be written.
#[derive(Clone, Copy)]
pub(super) struct Unwritable {
    pause: Duration,
    // When it is tried again.
    again: Instant,
}

impl Pipeline {
    /// Whether frames can be marked done; waits for a while if not. What a frame says has no place then, so none is looked
    /// at: the disk is full, or became read-only, and looking would only use up the battery.
    pub(super) fn can_write(&mut self) -> bool {
        let Some(Unwritable { pause, again }) = self.unwritable else { return true };
        let left = again.saturating_duration_since(Instant::now()).min(self.watchdog.until_due());
        // Nothing but the end of the wait, or a stop, ends it.
        self.queue.wait(left, |_, _| false);
        if self.queue.is_closed() || Instant::now() < again {
            return false;
        }
        match self.journal.try_writing() {
            Ok(()) => {
                tracing::info!("the journal can be written again");
                self.status.warn("pipeline", None);
                self.unwritable = None;
                true
            }
            Err(error) => {
                self.journal_failed(&error, pause * 2);
                false
            }
        }
    }

    pub(super) fn journal_failed(&mut self, error: &JournalError, pause: Duration) {
        if error.is_damage() {
            self.status.journal_is_damaged(error.to_string());
        }
        let pause = pause.clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.unwritable = Some(Unwritable { pause, again: Instant::now() + pause });
    }

    /// Writes what has waited long enough.
    pub(super) fn settle_the_journal(&mut self) {
        let left = self.journal.settle_in(!self.queue.is_empty());
        if self.unwritable.is_some() || left.is_none_or(|left| !left.is_zero()) {
            return;
        }
        if let Err(error) = self.journal.settle() {
            tracing::error!("{error}; what it would have noted waits");
            self.journal_failed(&error, FIRST_PAUSE);
        }
    }

    /// Says when messages had to go. It stays said: nobody may have been there to hear it.
    pub(super) fn tell_of_dropped(&self) {
        let dropped = self.journal.dropped();
        if dropped > 0 {
            let text = format!(
                "the outbox was full: messages given up since the start: {dropped}. Their frames stay on the card; mend the \
                 link, or raise outbox.max_entries"
            );
            self.status.tell("outbox full", Some(text));
        }
    }

    /// Now and then: it takes one question, unless something has to go.
    pub(super) fn bound_the_journal(&mut self) {
        let frames = self.status.frames();
        if self.unwritable.is_some() || frames < self.bound_at {
            return;
        }
        self.bound_at = frames + BOUND_EVERY;
        match self.journal.trim(self.most_bytes) {
            Ok(0) => {}
            Ok(gone) => tracing::warn!(
                "the journal has reached state.max_mib: the {gone} oldest frames are forgotten, and looked at again if they \
                 still lie in the capture directory; take them away from there, or allow more"
            ),
            Err(error) => {
                tracing::error!("{error}; the journal's size is looked after later");
                self.journal_failed(&error, FIRST_PAUSE);
            }
        }
    }
}
