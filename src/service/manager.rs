//! systemd's notify protocol: datagrams to the socket that `NOTIFY_SOCKET` names.

use std::time::Duration;

use sd_notify::NotifyState;

/// The service manager that started this process, or nobody.
#[derive(Debug, Clone, Copy)]
pub struct Manager {
    listens: bool,
    watchdog: Option<Duration>,
}

impl Manager {
    /// As the environment says.
    pub fn from_environment() -> Self {
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| !path.is_empty());
        Self { listens, watchdog: sd_notify::watchdog_enabled().filter(|every| listens && !every.is_zero()) }
    }

    /// Nobody listens.
    pub fn nobody() -> Self {
        Self { listens: false, watchdog: None }
    }

    /// Whether somebody listens.
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// Without a ping for this long the process is killed; none: nobody watches.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Everything is up.
    pub fn ready(&self) {
        self.say(&[NotifyState::Ready]);
    }

    /// One line about what goes on.
    pub fn status(&self, line: &str) {
        // A line break would begin another message, and file names stand in warnings.
        let line: String = line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        self.say(&[NotifyState::Status(&line)]);
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.say(&[NotifyState::Stopping]);
    }

    /// The configuration is read again; [`Manager::ready`] follows. systemd tells an answer from an older one by the time.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.say(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!("the monotonic clock can't be read: {error}"),
        }
    }

    /// Lives.
    pub fn ping(&self) {
        self.say(&[NotifyState::Watchdog]);
    }

    fn say(&self, states: &[NotifyState]) {
        if !self.listens {
            return;
        }
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!("the service manager can't be told anything ({error}); is NOTIFY_SOCKET a socket?");
        }
    }
}
