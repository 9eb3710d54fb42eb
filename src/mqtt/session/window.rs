//! When a connection ends by itself, because it is only open in windows.

use std::time::Instant;

use super::{Goal, Phase, Session};
use crate::mqtt::flight::Sent;
use crate::mqtt::intake::Intake;

impl Session<'_> {
    /// Begins to close the window when all is said and heard, or its time is over.
    pub(super) fn mind_window(&mut self) {
        if self.link.window.is_none() || self.phase != Phase::Running {
            return;
        }
        let now = Instant::now();
        // What was in the outbox is under way: it was filled from just before.
        if self.flight.owes() || !self.link.intake.as_ref().is_none_or(Intake::is_settled) {
            self.lull.stir(now);
        }
        let all_said = self.lull.is_over();
        if all_said && self.deaf_until.is_none() {
            self.link.status.warn("head_messages", None);
        }
        if all_said || self.link.window_is_over(now, true) {
            self.goal = Goal::Sleep { cut: !all_said };
            self.phase = Phase::Draining(now);
        } else if self.lull.due().is_some_and(|due| due <= now) {
            // Health, because it tells how the window went.
            match self.send_health(Sent::Question) {
                true => self.lull.asked(),
                false => self.lull.stir(now),
            }
        }
    }

    /// When to look after the window again, if nothing happens before.
    pub(super) fn window_moment(&self) -> Option<Instant> {
        let until = self.link.window.as_ref()?.until();
        Some(self.lull.due().map_or(until, |due| due.min(until)))
    }
}
