//! One connection after another, for as long as the daemon runs.
//!
//! Each connection is a fresh client. rumqttc 0.25 drops what it has pending when the broker kept no session, without a
//! word; so nothing is left to it: what was not acknowledged is simply read from the outbox again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Packet, QoS};
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::extras::Extras;
use super::hearing::{Cause, Hearing};
use super::intake::{HANDED, Intake};
use super::reason::explain;
use super::session::{DRAIN, End, Session};
use super::topics::Topics;
use super::windows::{Window, Windows};
use crate::classifier::rfc3339;
use crate::health::{self, Status};
use crate::journal::{JournalError, Outbox};
use crate::service::Pulse;

/// Packet ids beyond those of a full window. rumqttc counts them in a circle and stops when it comes round to one that is
/// still under way; subscriptions use some up.
const SPARE_IDS: u16 = 64;

/// Sends the outbox to a broker, and takes pushed heads from it.
pub struct Link {
    pub(super) options: MqttOptions,
    // Messages sent ahead of their acknowledgement.
    pub(super) ahead: usize,
    network: NetworkOptions,
    pub(super) topics: Topics,
    pub(super) outbox: Outbox,
    // Told by the pipeline when a message was queued.
    pub(super) outbox_filled: Arc<Notify>,
    pub(super) status: Arc<Status>,
    pub(super) health_every: Duration,
    // None: heads can't be pushed to this trap.
    pub(super) intake: Option<Intake>,
    // None: nothing is published beside the outbox.
    pub(super) extras: Option<Extras>,
    hearing: Hearing,
    // None: it is always open.
    windows: Option<Windows>,
    // The one that is open.
    pub(super) window: Option<Window>,
    // Minded by the watchdog.
    pub(super) pulse: Arc<Pulse>,
}

impl Link {
    /// A link that is not connected yet.
    pub fn new(
        (mut options, network): (MqttOptions, NetworkOptions),
        topics: Topics,
        outbox: Outbox,
        outbox_filled: Arc<Notify>,
        status: Arc<Status>,
        health_every: Duration,
        intake: Option<Intake>,
    ) -> Self {
        options.set_last_will(LastWill::new(topics.availability(), "offline", QoS::AtLeastOnce, true));
        options.set_manual_acks(intake.is_some());
        let ahead = options.inflight();
        options.set_inflight(ahead.saturating_add(SPARE_IDS));
        let hearing = Hearing::default();
        Self {
            options,
            ahead: usize::from(ahead),
            network,
            topics,
            outbox,
            outbox_filled,
            status,
            health_every,
            intake,
            extras: None,
            hearing,
            windows: None,
            window: None,
            pulse: Arc::new(Pulse::new("the link")),
        }
    }

    /// Minded by the watchdog: `pulse` says when this link will be heard of again.
    #[must_use]
    pub fn minded_by(self, pulse: Arc<Pulse>) -> Self {
        Self { pulse, ..self }
    }

    /// Publishes these too, when nothing of the outbox waits.
    #[must_use]
    pub fn with(mut self, extras: Extras) -> Self {
        if let Some(intake) = &mut self.intake {
            intake.hear_of_births(extras.birth_topic());
        }
        Self { extras: Some(extras), ..self }
    }

    /// Open in windows only, if there are some.
    #[must_use]
    pub fn open_in(self, windows: Option<Windows>) -> Self {
        Self { windows, ..self }
    }

    /// How long nothing is listened to after a message broke the connection; an hour unless it is set here.
    #[must_use]
    pub fn listening_again_after(mut self, pause: Duration) -> Self {
        self.hearing.set_pause(pause);
        self
    }

    /// Connects, sends and connects again until `stop` turns true; then sends what is queued, for a few seconds at most,
    /// and says `stopped`.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        // What the broker was told, and no `stopped` since.
        let mut said_asleep = false;
        while !*stop.borrow() {
            self.window = self.windows.as_mut().map(|windows| windows.begin(Instant::now()));
            match self.stay_connected(&mut stop).await {
                Stay::Stopped { told } => {
                    said_asleep &= !told;
                    break;
                }
                Stay::Closed { cut, told } => {
                    said_asleep |= told;
                    self.sleep(cut, &mut stop).await;
                }
            }
        }
        self.window = None;
        if said_asleep {
            self.farewell(&mut stop).await;
        }
        self.pulse.rest();
    }

    /// One connection after another until it is stopped, or the window is over.
    async fn stay_connected(&mut self, stop: &mut watch::Receiver<bool>) -> Stay {
        let mut backoff = Backoff::default();
        while !*stop.borrow() {
            let (error, worked, lasted) = match self.connection(stop).await {
                End::Stopped => return Stay::Stopped { told: true },
                End::Unsaid => return Stay::Stopped { told: false },
                End::Renewed => continue,
                End::Asleep { cut } => {
                    let how = match self.alerts_open() {
                        true => health::Link::Asleep,
                        false => health::Link::AsleepForAll,
                    };
                    if !cut {
                        self.hearing.learn(Cause::Other { lasted: true }, Instant::now());
                    }
                    let until = self.asleep_until();
                    tracing::info!("link asleep until {until}{}", if cut { ", before all was said" } else { "" });
                    self.status.set_asleep(how, &until);
                    return Stay::Closed { cut, told: true };
                }
                End::Lost { error, worked, lasted, cause } => {
                    if let Some(warning) = self.hearing.learn(cause, Instant::now()) {
                        tracing::error!("{warning}");
                        self.status.warn("head_messages", Some(warning));
                    }
                    (error, worked, lasted)
                }
            };
            self.status.set_link(health::Link::Down);
            if lasted {
                backoff.reset();
            } else if worked {
                backoff.ease();
            }
            let wait = backoff.next();
            let (host, port) = self.options.broker_address();
            self.status.warn("link", Some(format!("broker {host}:{port}: {error}")));
            if self.window_is_over(Instant::now() + wait, false) {
                tracing::warn!("broker {host}:{port}: {error}; this window is over");
                return Stay::Closed { cut: true, told: false };
            }
            tracing::warn!("broker {host}:{port}: {error}; next try in {:.1} s", wait.as_secs_f32());
            self.pulse.promise(wait);
            tokio::select! {
                () = sleep(wait) => {}
                _ = stop.changed() => {}
            }
        }
        Stay::Stopped { told: false }
    }

    async fn connection(&mut self, stop: &mut watch::Receiver<bool>) -> End {
        let deaf_until = self.hearing.deaf_until(Instant::now());
        let connected = tokio::select! {
            connected = self.connect(deaf_until.is_none()) => connected,
            _ = stop.changed() => return End::Unsaid,
        };
        match connected {
            Ok((client, mut events)) => Session::new(self, client, deaf_until).run(&mut events, stop).await,
            Err(error) => End::unconnected(&error),
        }
    }

    async fn connect(&mut self, hearing: bool) -> Result<(AsyncClient, EventLoop), ConnectionError> {
        // The broker keeps the session, and with it what it still has to deliver; unless that is what breaks connections.
        self.options.set_clean_session(!hearing);
        // Room for a full window, what the intake hands over, the health message and the farewell: nothing here ever
        // waits for the channel.
        let room = self.ahead + HANDED + 16;
        let (client, mut events) = AsyncClient::new(self.options.clone(), room);
        events.set_network_options(self.network.clone());
        self.pulse.promise(Duration::from_secs(self.network.connection_timeout()));
        let answer = events.poll().await?;
        let session_kept = matches!(answer, Event::Incoming(Packet::ConnAck(answer)) if answer.session_present);
        let (host, port) = self.options.broker_address();
        tracing::info!("connected to {host}:{port}");
        self.status.set_link(health::Link::Up);
        self.status.count(|counters| counters.connections += 1);
        self.status.warn("link", None);
        if let Some(intake) = &mut self.intake {
            intake.begin(hearing);
        }
        if let Some(extras) = &mut self.extras {
            extras.begin(session_kept, Instant::now());
        }
        Ok((client, events))
    }

    /// Waits for the next window.
    async fn sleep(&mut self, cut: bool, stop: &mut watch::Receiver<bool>) {
        let alert = self.alert_waits();
        if let Some(windows) = &mut self.windows {
            windows.end(Instant::now(), cut, alert);
        }
        let filled = self.outbox_filled.clone();
        loop {
            let alert = self.alert_waits();
            let next =
                self.windows.as_ref().and_then(|windows| if alert { windows.next_for_alert() } else { windows.next() });
            let left = next.map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            self.pulse.promise(left);
            tokio::select! {
                () = sleep(left) => return,
                () = filled.notified() => {}
                _ = stop.changed() => return,
            }
        }
    }

    /// Opens the link once more, for a few seconds at most: nobody is to wait for the next window of a daemon that was stopped.
    async fn farewell(&mut self, stop: &mut watch::Receiver<bool>) {
        let since = Instant::now();
        let deaf_until = self.hearing.deaf_until(since);
        match timeout(DRAIN, self.connect(deaf_until.is_none())).await {
            Ok(Ok((client, mut events))) => {
                Session::new(self, client, deaf_until).stopping(since).run(&mut events, stop).await;
            }
            Ok(Err(error)) => tracing::warn!("the broker can't be told of the stop: {}", explain(&error)),
            Err(_) => tracing::warn!("the broker can't be told of the stop: no answer within {} s", DRAIN.as_secs()),
        }
    }

    /// Whether the window's time is over; while an alert waits, or pieces come in over a connection that stands, it is
    /// stretched.
    pub(super) fn window_is_over(&mut self, now: Instant, connected: bool) -> bool {
        let Some(mut window) = self.window else { return false };
        let over = window.is_over(now, || {
            connected && self.intake.as_ref().is_some_and(Intake::awaits_pieces) || self.alert_waits()
        });
        self.window = Some(window);
        over
    }

    /// When it is open again at the latest, by this machine's clock.
    pub(super) fn asleep_until(&self) -> String {
        let next = self.windows.as_ref().and_then(Windows::next);
        let left = next.map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()));
        let until = OffsetDateTime::now_utc() + left + Duration::from_secs(1);
        rfc3339(until.replace_nanosecond(0).unwrap_or(until))
    }

    fn alerts_open(&self) -> bool {
        self.windows.as_ref().is_some_and(Windows::alerts_open)
    }

    /// Whether an alert waits that opens the link.
    fn alert_waits(&self) -> bool {
        self.alerts_open() && self.reported("outbox", block_in_place(|| self.outbox.alert_waits())).unwrap_or(false)
    }

    /// The value, or none with a warning under `key` that lasts until such a call succeeds.
    pub(super) fn reported<T>(&self, key: &'static str, result: Result<T, JournalError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.status.warn(key, None);
                Some(value)
            }
            Err(error) => {
                tracing::error!("{error}");
                if error.is_damage() {
                    self.status.journal_is_damaged(error.to_string());
                }
                self.status.warn(key, Some(error.to_string()));
                None
            }
        }
    }
}

/// Why it is connected no more.
enum Stay {
    /// It is stopped; whether the broker was `told`.
    Stopped { told: bool },
    /// The window is over: `cut` short or not, and whether the broker was `told`.
    Closed { cut: bool, told: bool },
}
