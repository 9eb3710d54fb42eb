//! How much is under way at once: little on a thin link, where what is under way may be lost with the connection and holds
//! up the answer to a ping; much on a fat one.

use std::time::Duration;

/// On a link that acknowledges within this, more may be under way.
const QUICK: Duration = Duration::from_secs(2);
/// On one that takes longer than this, less.
const SLOW: Duration = Duration::from_secs(10);
const FIRST: usize = 64 * 1024;
const LARGEST: usize = 4 << 20;

/// Bytes that may be under way.
#[derive(Debug)]
pub struct Window {
    budget: usize,
    used: usize,
    messages: usize,
    most: usize,
}

impl Window {
    /// For at most so many messages.
    pub fn new(most: usize) -> Self {
        Self { budget: FIRST, used: 0, messages: 0, most }
    }

    /// Whether a message of so many bytes may go; one always may.
    pub fn takes(&self, bytes: usize) -> bool {
        self.messages == 0 || (self.messages < self.most && self.used.saturating_add(bytes) <= self.budget)
    }

    /// It went.
    pub fn sent(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
        self.messages += 1;
    }

    /// It was acknowledged after this time.
    pub fn acknowledged(&mut self, bytes: usize, after: Duration) {
        self.used = self.used.saturating_sub(bytes);
        self.messages = self.messages.saturating_sub(1);
        if after <= QUICK {
            self.budget = self.budget.saturating_add(bytes).min(LARGEST);
        } else if after > SLOW {
            self.budget /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 32 * 1024;

    /// How many pieces go at once.
    fn width(window: &mut Window) -> usize {
        let mut count = 0;
        while window.takes(PIECE) {
            window.sent(PIECE);
            count += 1;
        }
        count
    }

    #[test]
    fn on_a_quick_link_more_goes_at_once_and_on_a_thin_one_a_single_piece() {
        let mut window = Window::new(100);
        assert_eq!(width(&mut window), 2);
        for _ in 0..1000 {
            window.acknowledged(PIECE, Duration::from_millis(50));
            window.sent(PIECE);
        }
        window.used = 0;
        window.messages = 0;
        assert_eq!(width(&mut window), 100, "never more messages than allowed");
        for _ in 0..20 {
            window.acknowledged(PIECE, Duration::from_secs(130));
        }
        (window.used, window.messages) = (0, 0);
        assert_eq!(width(&mut window), 1);
    }

    #[test]
    fn a_message_larger_than_the_window_goes_alone() {
        let mut window = Window::new(10);
        assert!(window.takes(16 << 20));
        window.sent(16 << 20);
        assert!(!window.takes(1));
        window.acknowledged(16 << 20, Duration::from_secs(3));
        assert!(window.takes(16 << 20));
    }
}
