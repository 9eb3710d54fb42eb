//! Whether to listen to the head topics at all. One message can break every connection on which it comes: one over the
//! client's limit does so at once, one too large for a slow link by holding up everything behind it. The broker sends
//! such a message again at each connection; so the trap stops listening for a while, and alerts keep flowing.

use std::time::{Duration, Instant};

use super::options::MAX_INCOMING;

/// How long nothing is listened to.
const DEAF: Duration = Duration::from_secs(3600);
/// So many connections in a row fall silent as soon as they listen before a message is blamed for it.
const CHOKES: u32 = 3;

/// Why a connection ended, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A packet of this many bytes is over the limit.
    TooLarge(usize),
    /// Nothing came any more soon after it began, though it stood.
    Choked,
    /// Something else; whether it had lived for a while.
    Other { lasted: bool },
}

/// What was learned from the connections so far.
#[derive(Debug)]
pub(super) struct Hearing {
    pause: Duration,
    deaf_until: Option<Instant>,
    choked: u32,
}

impl Default for Hearing {
    fn default() -> Self {
        Self { pause: DEAF, deaf_until: None, choked: 0 }
    }
}

impl Hearing {
    /// Sets how long nothing is listened to.
    pub(super) fn set_pause(&mut self, pause: Duration) {
        self.pause = pause;
    }

    /// Until when nothing is listened to; none: it is.
    pub(super) fn deaf_until(&self, now: Instant) -> Option<Instant> {
        self.deaf_until.filter(|until| now < *until)
    }

    /// Learns from the end of a connection; what to tell the operator, if nothing is listened to from now on.
    pub(super) fn learn(&mut self, cause: Cause, now: Instant) -> Option<String> {
        if self.deaf_until(now).is_some() {
            return None;
        }
        match cause {
            Cause::TooLarge(bytes) => {
                Some(self.stop(now, &format!("a message of {bytes} bytes, over the {MAX_INCOMING} that are taken,")))
            }
            Cause::Choked => {
                self.choked += 1;
                (self.choked >= CHOKES).then(|| {
                    // After the pause one more is enough.
                    self.choked = CHOKES - 1;
                    self.stop(now, "a message that is too large for this slow link")
                })
            }
            Cause::Other { lasted } => {
                if lasted {
                    self.choked = 0;
                }
                None
            }
        }
    }

    fn stop(&mut self, now: Instant, what: &str) -> String {
        self.deaf_until = Some(now + self.pause);
        format!(
            "{what} breaks the connection and would again each time; pushed heads are not listened to for {} min. Clear \
             what is retained on the head topics (publish an empty retained message there) and push again with \
             `arcticd head push`, which sends small pieces",
            self.pause.as_secs().div_ceil(60)
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LASTED: Cause = Cause::Other { lasted: true };

    #[test]
    fn a_message_over_the_limit_stops_the_listening_for_an_hour() {
        let (mut hearing, now) = (Hearing::default(), Instant::now());
        assert_eq!(hearing.deaf_until(now), None);
        let told = hearing.learn(Cause::TooLarge(70_000_000), now).unwrap();
        assert!(told.contains("70000000 bytes") && told.contains("60 min"), "{told}");
        assert_eq!(hearing.deaf_until(now + DEAF - Duration::from_secs(1)), Some(now + DEAF));
        assert_eq!(hearing.deaf_until(now + DEAF), None);
        assert!(hearing.learn(Cause::TooLarge(70_000_000), now + DEAF).is_some(), "it still lies there");
    }

    #[test]
    fn one_silent_connection_proves_nothing_and_three_in_a_row_do() {
        let (mut hearing, now) = (Hearing::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(hearing.learn(Cause::Choked, now), None);
            assert_eq!(hearing.learn(Cause::Choked, now), None);
            assert_eq!(hearing.learn(LASTED, now), None);
        }
        assert_eq!(hearing.learn(Cause::Choked, now), None);
        // No connection at all: nothing is learned from that.
        assert_eq!(hearing.learn(Cause::Other { lasted: false }, now), None);
        assert_eq!(hearing.learn(Cause::Choked, now), None);
        assert!(hearing.learn(Cause::Choked, now).is_some());
        // What happens while nothing is listened to is not the message's fault, and does not speak for it either.
        assert_eq!(hearing.learn(Cause::Choked, now), None);
        assert_eq!(hearing.learn(LASTED, now), None);
        assert!(hearing.learn(Cause::Choked, now + DEAF).is_some(), "after the pause one is enough");
    }
}
