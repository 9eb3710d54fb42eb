//! Whether both sides have said all that they had to say, so that the connection can be closed.
//!
//! A broker answers in order: what it had for this trap when it was asked something comes before the answer, however slow
//! the link is. So, after a moment of quiet, it is asked; if the answer is the next that comes, there was nothing more.

use std::time::{Duration, Instant};

/// How long nothing happens before it is asked. Some brokers send what they retain a moment after they took the subscription.
const QUIET: Duration = Duration::from_secs(2);

/// What is known of the other side's silence.
#[derive(Debug)]
pub(super) struct Lull {
    stirred: Instant,
    // Questions under way, and whether nothing has stirred since the last.
    questions: u32,
    asked: bool,
    over: bool,
}

impl Lull {
    /// Of a connection that begins.
    pub(super) fn new(now: Instant) -> Self {
        Self { stirred: now, questions: 0, asked: false, over: false }
    }

    /// Something came, or is under way.
    pub(super) fn stir(&mut self, now: Instant) {
        self.stirred = now;
        self.asked = false;
        self.over = false;
    }

    /// When to ask; none: it was asked.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.asked).then(|| self.stirred + QUIET)
    }

    /// It was asked.
    pub(super) fn asked(&mut self) {
        self.questions += 1;
        self.asked = true;
    }

    /// The answer came.
    pub(super) fn answered(&mut self) {
        self.questions = self.questions.saturating_sub(1);
        self.over = self.asked && self.questions == 0;
    }

    /// Whether all is said.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_said_when_the_answer_is_the_next_that_comes() {
        let now = Instant::now();
        let mut lull = Lull::new(now);
        assert_eq!(lull.due(), Some(now + QUIET));
        lull.asked();
        assert_eq!(lull.due(), None);
        assert!(!lull.is_over());
        lull.answered();
        assert!(lull.is_over());
    }

    #[test]
    fn what_comes_before_the_answer_shows_that_there_was_more() {
        let now = Instant::now();
        let mut lull = Lull::new(now);
        lull.asked();
        lull.stir(now + QUIET);
        // Asked again while the first answer is still on its way: that one says nothing of the second.
        lull.asked();
        lull.answered();
        assert!(!lull.is_over());
        lull.answered();
        assert!(lull.is_over());
        lull.stir(now + 2 * QUIET);
        assert!(!lull.is_over());
        lull.asked();
        assert!(!lull.is_over(), "the answer to this one is still to come");
    }

    #[test]
    fn an_answer_after_something_else_came_says_nothing() {
        let now = Instant::now();
        let mut lull = Lull::new(now);
        lull.asked();
        lull.stir(now);
        lull.answered();
        assert!(!lull.is_over());
        assert_eq!(lull.due(), Some(now + QUIET));
    }
}
