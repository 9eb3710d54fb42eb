//! One connection after another to the broker, each a fresh client, for rumqttc 0.25 forgets what it has pending when the
//! broker kept no session. Who asks keeps account of what is acknowledged.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use anyhow::anyhow;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, Outgoing, Packet, QoS, StateError,
    SubscribeReasonCode, TlsError,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::settings::Settings;
use crate::mqtt::{NO_TLS, explain, names_nobody, speaks_no_tls};

/// How long a packet may take to be written, once connected: on a thin link minutes.
const PATIENT_S: u64 = 900;
/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(2);
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Requests that wait for the client; subscriptions to many traps go in at once.
const REQUESTS: usize = 1 << 16;

/// Something that the broker said.
#[derive(Debug)]
pub enum News {
    /// A message; `kept` if the broker had retained it from before.
    Message {
        /// Its topic.
        topic: String,
        /// Its bytes.
        payload: Vec<u8>,
        /// Whether it was retained.
        kept: bool,
    },
    /// The message of this number is acknowledged.
    Acknowledged(usize),
    /// A subscription stands.
    Subscribed,
    /// The unsubscription of this number is answered, and with it everything that was asked before.
    Answered(u64),
}

/// Why something can't go on.
#[derive(Debug)]
pub enum Stop {
    /// The connection is gone; over another one it may go on.
    Lost(String),
    /// For good.
    Failed(anyhow::Error),
}

/// A connection.
pub struct Wire {
    settings: Settings,
    session: Session,
}

struct Session {
    page: &'static str,
    client: AsyncClient,
    events: Receiver<Result<Event, String>>,
    pump: JoinHandle<()>,
    /// Filters whose SUBACK is to come, in order.
    asked: VecDeque<String>,
    /// Unsubscriptions so far, and those that are answered.
    unsubscribed: u64,
    answered: u64,
    /// Published, and not yet written under a packet id: the client hands these out in order.
    unnumbered: VecDeque<usize>,
    numbered: HashMap<u16, usize>,
}

impl Wire {
    /// Connects, with one attempt: whoever sits before it can mend the address.
    ///
    /// # Errors
    /// Says what to check.
    pub async fn connect(settings: Settings) -> anyhow::Result<Self> {
        let session = Session::open(&settings).await;
        let session = session.map_err(|reason| anyhow!("broker {}: {reason}", settings.broker))?;
        Ok(Self { settings, session })
    }

    /// Connects anew, trying for as long as `patience`.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn reconnect(&mut self, patience: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(500);
        loop {
            sleep(pause).await;
            match Session::open(&self.settings).await {
                Ok(session) => {
                    self.session = session;
                    return Ok(());
                }
                Err(reason) if start.elapsed() >= patience => {
                    return Err(anyhow!("broker {}: {reason}", self.settings.broker));
                }
                Err(_) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// Whom the broker takes us for; none without a name.
    pub fn user(&self) -> Option<&str> {
        self.settings.user.as_deref()
    }

    /// Most messages under way.
    pub fn inflight(&self) -> usize {
        usize::from(self.settings.options.inflight())
    }

    /// Subscribes, also again: then retained messages come once more.
    ///
    /// # Errors
    /// The client took no request.
    pub fn subscribe(&mut self, filter: String) -> Result<(), Stop> {
        self.session.asked.push_back(filter.clone());
        self.session.client.try_subscribe(filter, QoS::AtLeastOnce).map_err(|error| Stop::Lost(error.to_string()))
    }

    /// Unsubscribes; the number is that of the answer. A broker answers also where there was no such subscription, and what
    /// it had to say before comes before.
    ///
    /// # Errors
    /// The client took no request.
    pub fn unsubscribe(&mut self, filter: &str) -> Result<u64, Stop> {
        self.session.client.try_unsubscribe(filter).map_err(|error| Stop::Lost(error.to_string()))?;
        self.session.unsubscribed += 1;
        Ok(self.session.unsubscribed)
    }

    /// Publishes a message; `number` comes back when it is acknowledged.
    ///
    /// # Errors
    /// The client took no request.
    pub fn publish(&mut self, number: usize, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), Stop> {
        let sent = self.session.client.try_publish(topic, QoS::AtLeastOnce, retain, payload);
        sent.map_err(|_| Stop::Lost("the client takes no message".into()))?;
        self.session.unnumbered.push_back(number);
        Ok(())
    }

    /// The next thing that the broker says. May be dropped while it waits.
    ///
    /// # Errors
    /// [`Stop::Lost`] with the reason; [`Stop::Failed`] if the broker refuses a subscription.
    pub async fn next(&mut self) -> Result<News, Stop> {
        loop {
            match self.session.events.recv().await {
                Some(Ok(event)) => {
                    if let Some(news) = self.session.sort(event)? {
                        return Ok(news);
                    }
                }
                Some(Err(reason)) => return Err(Stop::Lost(reason)),
                None => return Err(Stop::Lost("the connection has ended".into())),
            }
        }
    }

    /// Disconnects.
    pub async fn leave(mut self) {
        let _ = self.session.client.try_disconnect();
        let left = async { while self.session.events.recv().await.is_some() {} };
        let _ = timeout(LEAVE, left).await;
    }
}

impl Session {
    async fn open(settings: &Settings) -> Result<Self, String> {
        let (client, mut events) = AsyncClient::new(settings.options.clone(), REQUESTS);
        events.set_network_options(settings.network.clone());
        events.poll().await.map_err(|error| reason(&error))?;
        // The same number bounds how long a write may take.
        let mut patient = settings.network.clone();
        patient.set_connection_timeout(PATIENT_S);
        events.set_network_options(patient);
        let (to, from) = channel(64);
        let pump = tokio::spawn(pump(events, to));
        Ok(Self {
            page: settings.page,
            client,
            events: from,
            pump,
            asked: VecDeque::new(),
            unsubscribed: 0,
            answered: 0,
            unnumbered: VecDeque::new(),
            numbered: HashMap::new(),
        })
    }

    fn sort(&mut self, event: Event) -> Result<Option<News>, Stop> {
        Ok(match event {
            Event::Outgoing(Outgoing::Publish(packet)) if packet != 0 => {
                if let Some(number) = self.unnumbered.pop_front() {
                    self.numbered.insert(packet, number);
                }
                None
            }
            Event::Incoming(Packet::PubAck(ack)) => self.numbered.remove(&ack.pkid).map(News::Acknowledged),
            Event::Incoming(Packet::Publish(message)) => {
                Some(News::Message { topic: message.topic, payload: message.payload.to_vec(), kept: message.retain })
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                let filter = self.asked.pop_front().unwrap_or_default();
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return Err(Stop::Failed(anyhow!(
                        "the broker does not let this user read {filter}; docs/{}.md says what it must be allowed",
                        self.page
                    )));
                }
                Some(News::Subscribed)
            }
            Event::Incoming(Packet::UnsubAck(_)) => {
                self.answered += 1;
                Some(News::Answered(self.answered))
            }
            _ => None,
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Runs the client. It is never dropped half-way through a write, unless the connection is given up.
async fn pump(mut events: EventLoop, to: Sender<Result<Event, String>>) {
    loop {
        let event = events.poll().await.map_err(|error| reason(&error));
        let ended = event.is_err();
        if to.send(event).await.is_err() || ended {
            return;
        }
    }
}

fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "it refuses this user; check --username and --password-file".into(),
        ConnectionError::NetworkTimeout => "no answer; check the address, and that its port is let through".into(),
        ConnectionError::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "nothing answers there; is it running, and is that its port?".into()
        }
        ConnectionError::Io(error) if names_nobody(error) => {
            format!("{error}; check the spelling of its name, and this machine's DNS")
        }
        ConnectionError::Tls(TlsError::Io(error)) if speaks_no_tls(error) => format!("TLS: {error}; {NO_TLS}"),
        ConnectionError::Tls(error) => {
            format!("TLS: {error}; check --ca-file, and that its certificate names this host")
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => "the broker closed it".into(),
        ConnectionError::MqttState(StateError::AwaitPingResp) => "the broker no longer answers".into(),
        ConnectionError::MqttState(StateError::Deserialization(error)) => error.to_string(),
        other => explain(other),
    }
}
