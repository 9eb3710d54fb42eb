//! What goes out beside the outbox: nothing does while anything of it, or a head's state, is under way.

use std::time::Instant;

use super::{Phase, Session};
use crate::mqtt::extras::Extras;
use crate::mqtt::flight::Sent;

impl Session<'_> {
    /// Hands over the next extra, if all that is more important has arrived. What waited in the outbox was handed over just
    /// before.
    pub(super) fn fill_up(&mut self) {
        if self.phase != Phase::Running || self.flight.owes() {
            return;
        }
        let now = Instant::now();
        let Some(extras) = &mut self.link.extras else { return };
        let next = extras.next(&mut self.link.outbox, now);
        let Some(Some(extra)) = self.link.reported("extras", next) else { return };
        if !self.send_to(extra.topic, true, extra.body, Sent::Extra)
            && let Some(extras) = &mut self.link.extras
        {
            extras.done(false, now);
        }
    }

    pub(super) fn look_after_extras(&mut self) {
        if let Some(extras) = &mut self.link.extras {
            extras.look_again(Instant::now());
        }
    }

    /// When the next extra is due, if nothing happens before.
    pub(super) fn extra_moment(&self) -> Option<Instant> {
        self.link.extras.as_ref().and_then(Extras::moment).filter(|_| !self.flight.owes())
    }
}
