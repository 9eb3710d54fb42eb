//! How a connection ends: step by step where it is asked to, and whose fault it is where it breaks.

use std::time::{Duration, Instant};

use rumqttc::{ConnectionError, StateError};

use super::Session;
use crate::mqtt::flight::Sent;
use crate::mqtt::hearing::Cause;
use crate::mqtt::reason::explain;

/// How long a clean stop may take to send what is queued, and a window's end to hear of what is under way.
pub(in crate::mqtt) const DRAIN: Duration = Duration::from_secs(5);
/// How long the last word may then take to be acknowledged.
const PART: Duration = Duration::from_secs(2);
/// How long the disconnect may then take to be written.
const LEAVE: Duration = Duration::from_secs(1);
/// A connection that lived this long was not a failure.
pub(super) const STEADY: Duration = Duration::from_secs(10);

/// How a connection ended.
pub(in crate::mqtt) enum End {
    /// As asked.
    Stopped,
    /// As asked, before there was a connection.
    Unsaid,
    /// By itself, to listen to head topics again.
    Renewed,
    /// By itself, until the next window; `cut` if not all was said.
    Asleep { cut: bool },
    /// The connection broke; `worked` if something was acknowledged, `lasted` if it lived for a while.
    Lost { error: String, worked: bool, lasted: bool, cause: Cause },
}

impl End {
    /// There was no connection.
    pub(in crate::mqtt) fn unconnected(error: &ConnectionError) -> Self {
        // A broker may send what it kept before anything was asked, even beside its first word.
        let cause = too_large(error).map_or(Cause::Other { lasted: false }, Cause::TooLarge);
        Self::Lost { error: explain(error), worked: false, lasted: false, cause }
    }
}

/// What a clean end is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Stop,
    Renew,
    Sleep { cut: bool },
}

/// How far a clean end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Sending what is queued, or waiting for what is under way.
    Draining(Instant),
    /// The last word is under way.
    Parting(Instant),
    /// The disconnect is under way.
    Leaving(Instant),
    Over,
}

impl Session<'_> {
    /// Moves a clean stop on.
    pub(super) fn advance(&mut self) {
        match self.phase {
            Phase::Draining(since) if self.flight.under_way() == 0 || since.elapsed() > DRAIN => {
                self.note_acknowledgements();
                let word = match self.goal {
                    Goal::Sleep { .. } => format!("asleep until {}", self.link.asleep_until()),
                    Goal::Stop | Goal::Renew => "stopped".to_owned(),
                };
                self.send("availability", true, word.into_bytes(), Sent::Farewell);
                self.phase = Phase::Parting(Instant::now());
            }
            Phase::Parting(since) if since.elapsed() > PART => self.leave(),
            Phase::Leaving(since) if since.elapsed() > LEAVE => self.phase = Phase::Over,
            _ => {}
        }
    }

    /// Disconnects, so that the broker does not publish the last will.
    pub(super) fn leave(&mut self) {
        self.phase = match self.client.try_disconnect() {
            Ok(()) => Phase::Leaving(Instant::now()),
            Err(_) => Phase::Over,
        };
    }

    /// Ends, so that the next connection listens to head topics again.
    pub(super) fn renew(&mut self) {
        tracing::info!("connecting anew, to listen to the head topics again");
        self.goal = Goal::Renew;
        self.leave();
    }

    /// The connection is no more.
    pub(super) fn broken(&mut self, error: &ConnectionError) -> End {
        self.note_acknowledgements();
        let cause = match (too_large(error), error) {
            (Some(bytes), _) => Cause::TooLarge(bytes),
            (None, ConnectionError::MqttState(StateError::AwaitPingResp | StateError::CollisionTimeout)) => {
                self.silence()
            }
            (None, _) => self.other(),
        };
        if let (Phase::Draining(_), Goal::Stop) = (self.phase, self.goal) {
            tracing::warn!("the broker left before everything was sent: {error}; it is sent at the next start");
        }
        let parting = matches!(self.phase, Phase::Draining(_) | Phase::Parting(_));
        // Nobody was told that it sleeps: subscribers would take it for dead.
        let untold = parting && matches!(self.goal, Goal::Sleep { .. });
        let running = self.phase == Phase::Running;
        if running || untold { self.lost(explain(error), cause) } else { self.ended() }
    }

    pub(super) fn ended(&self) -> End {
        match self.goal {
            Goal::Stop => End::Stopped,
            Goal::Renew => End::Renewed,
            Goal::Sleep { cut } => End::Asleep { cut },
        }
    }

    pub(super) fn lost(&self, error: String, cause: Cause) -> End {
        End::Lost { error, worked: self.acknowledged_any, lasted: self.lasted(), cause }
    }

    fn lasted(&self) -> bool {
        self.since.elapsed() > STEADY
    }

    fn other(&self) -> Cause {
        Cause::Other { lasted: self.lasted() }
    }

    /// Whose fault it is that nothing comes any more: a message may hold up everything behind it, if it was so from the
    /// time on when this connection began to listen; unless a large one of our own is on its way.
    pub(super) fn silence(&self) -> Cause {
        let from_the_beginning = self.heard.duration_since(self.since) < self.link.options.keep_alive();
        let listening = self.link.intake.is_some() && self.deaf_until.is_none();
        let ours = self.flight.under_way() > self.flight.in_window();
        if listening && from_the_beginning && !ours { Cause::Choked } else { self.other() }
    }
}

/// The size of the packet that broke the connection, if it was one over the limit.
fn too_large(error: &ConnectionError) -> Option<usize> {
    match error {
        ConnectionError::MqttState(StateError::Deserialization(rumqttc::Error::PayloadSizeLimitExceeded(bytes))) => {
            Some(*bytes)
        }
        _ => None,
    }
}
