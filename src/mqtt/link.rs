//! One connection after another, for as long as the daemon runs.
//!
//! Each connection is a fresh client. rumqttc 0.25 drops what it has pending when the broker kept no session, without a
//! word; so nothing is left to it: what was not acknowledged is simply read from the outbox again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, ConnectionError, LastWill, MqttOptions, NetworkOptions, QoS};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::backoff::Backoff;
use super::hearing::Hearing;
use super::intake::{HANDED, Intake};
use super::session::{End, Session};
use super::topics::Topics;
use crate::health::{self, Status};
use crate::journal::Outbox;
use crate::service::Pulse;

/// Packet ids beyond those of a full window. rumqttc counts them in a circle and stops when it comes round to one that is
/// still under way; subscriptions use some up.
const SPARE_IDS: u16 = 64;

/// Sends the outbox to a broker, and takes pushed heads from it.
pub struct Link {
    pub(super) options: MqttOptions,
    // Messages sent ahead of their acknowledgement.
    pub(super) window: usize,
    network: NetworkOptions,
    pub(super) topics: Topics,
    pub(super) outbox: Outbox,
    // Told by the pipeline when a message was queued.
    pub(super) outbox_filled: Arc<Notify>,
    pub(super) status: Arc<Status>,
    pub(super) health_every: Duration,
    // None: heads can't be pushed to this trap.
    pub(super) intake: Option<Intake>,
    hearing: Hearing,
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
        let window = options.inflight();
        options.set_inflight(window.saturating_add(SPARE_IDS));
        let hearing = Hearing::default();
        Self {
            options,
            window: usize::from(window),
            network,
            topics,
            outbox,
            outbox_filled,
            status,
            health_every,
            intake,
            hearing,
            pulse: Arc::new(Pulse::new("the link")),
        }
    }

    /// Minded by the watchdog: `pulse` says when this link will be heard of again.
    #[must_use]
    pub fn minded_by(self, pulse: Arc<Pulse>) -> Self {
        Self { pulse, ..self }
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
        let mut backoff = Backoff::default();
        while !*stop.borrow() {
            let (error, worked, lasted) = match self.connection(&mut stop).await {
                End::Stopped => break,
                End::Renewed => continue,
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
            tracing::warn!("broker {host}:{port}: {error}; next try in {:.1} s", wait.as_secs_f32());
            self.status.warn("link", Some(format!("broker {host}:{port}: {error}")));
            self.pulse.promise(wait);
            tokio::select! {
                () = sleep(wait) => {}
                _ = stop.changed() => {}
            }
        }
        self.pulse.rest();
    }

    async fn connection(&mut self, stop: &mut watch::Receiver<bool>) -> End {
        let deaf_until = self.hearing.deaf_until(Instant::now());
        // The broker keeps the session, and with it what it still has to deliver; unless that is what breaks connections.
        self.options.set_clean_session(deaf_until.is_some());
        // Room for a full window, what the intake hands over, the health message and the farewell: nothing here ever
        // waits for the channel.
        let room = self.window + HANDED + 16;
        let (client, mut events) = AsyncClient::new(self.options.clone(), room);
        events.set_network_options(self.network.clone());
        self.pulse.promise(Duration::from_secs(self.network.connection_timeout()));
        let connected = tokio::select! {
            connected = events.poll() => connected,
            _ = stop.changed() => return End::Stopped,
        };
        if let Err(error) = connected {
            return End::unconnected(&error);
        }
        let (host, port) = self.options.broker_address();
        tracing::info!("connected to {host}:{port}");
        self.status.set_link(health::Link::Up);
        self.status.count(|counters| counters.connections += 1);
        self.status.warn("link", None);
        if let Some(intake) = &mut self.intake {
            intake.begin(deaf_until.is_none());
        }
        Session::new(self, client, deaf_until).run(&mut events, stop).await
    }
}

/// What a person can do about a failed connection.
pub(crate) fn explain(error: &ConnectionError) -> String {
    use rumqttc::ConnectReturnCode as Code;
    match error {
        ConnectionError::ConnectionRefused(Code::BadUserNamePassword | Code::NotAuthorized) => {
            "the broker refuses this user; check mqtt.username and mqtt.password_file".into()
        }
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses the connection ({code:?})"),
        ConnectionError::NetworkTimeout => "no answer within mqtt.connect_timeout_s".into(),
        other => other.to_string(),
    }
}
