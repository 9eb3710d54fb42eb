//! An MQTT client from outside: rumqttc over TCP, in a thread of its own.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// How long the first subscription may take.
const START: Duration = Duration::from_secs(20);
/// Pause before connecting again: the broker is on loopback, and may be restarting.
const RECONNECT: Duration = Duration::from_millis(50);

/// What to subscribe to, and how.
#[derive(Debug, Clone)]
pub struct Subscription {
    port: u16,
    filter: String,
    client_id: Option<String>,
    login: Option<(String, String)>,
    ca_file: Option<PathBuf>,
}

impl Subscription {
    /// `filter` (QoS 1) of the broker on this port of 127.0.0.1, in a session that ends with the connection.
    pub fn new(port: u16, filter: impl Into<String>) -> Self {
        Self { port, filter: filter.into(), client_id: None, login: None, ca_file: None }
    }

    /// A session that the broker keeps under this id: what is published while this client is away is delivered later.
    #[must_use]
    pub fn persistent(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// User and password.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// TLS to `localhost`, trusting this authority.
    #[must_use]
    pub fn tls(mut self, ca_file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(ca_file.into());
        self
    }

    fn options(&self) -> Result<MqttOptions> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = self.client_id.clone().unwrap_or_else(|| format!("subscriber-{}-{number}", std::process::id()));
        let host = if self.ca_file.is_some() { "localhost".to_owned() } else { Ipv4Addr::LOCALHOST.to_string() };
        let mut options = MqttOptions::new(id, host, self.port);
        options.set_clean_session(self.client_id.is_none());
        // A connection that is lost loses what was under way on it; on a busy machine a ping behind much else takes long.
        options.set_keep_alive(Duration::from_secs(60));
        options.set_max_packet_size(16 << 20, 16 << 20);
        if let Some((user, password)) = &self.login {
            options.set_credentials(user, password);
        }
        if let Some(file) = &self.ca_file {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(file).with_context(|| file.display().to_string())? {
                roots.add(certificate?)?;
            }
            let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))));
        }
        Ok(options)
    }
}

/// A message as it arrived.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Whether the broker had kept it from before the subscription.
    pub retain: bool,
    /// The quality of service that it was published with, at most 1: the subscription's.
    pub qos: u8,
    /// When it arrived.
    pub at: Instant,
}

impl Message {
    /// The payload as JSON; null if it is something else.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }

    /// The payload as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// A subscriber; it connects again for as long as it lives.
pub struct Subscriber {
    shared: Arc<Shared>,
    client: Client,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    subscribed: u64,
    last_error: Option<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait<T>(&self, limit: Duration, mut found: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            if let Some(answer) = found(&state) {
                return Some(answer);
            }
            let left = end.checked_duration_since(Instant::now())?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Subscriber {
    /// Connects, and returns once the broker has confirmed the subscription: nothing published from now on is missed.
    ///
    /// # Errors
    /// The broker does not confirm within twenty seconds.
    pub fn start(subscription: Subscription) -> Result<Self> {
        Self::connect(&subscription, |state| (state.subscribed > 0).then_some(()))
    }

    /// As [`Subscriber::start`], but the first failed connection is the last one: for brokers that should refuse.
    ///
    /// # Errors
    /// The broker refused, or can't be reached.
    pub fn try_once(subscription: Subscription) -> Result<Self> {
        Self::connect(&subscription, |state| (state.subscribed > 0 || state.last_error.is_some()).then_some(()))
    }

    fn connect(subscription: &Subscription, settled: impl FnMut(&State) -> Option<()>) -> Result<Self> {
        let (client, connection) = Client::new(subscription.options()?, 100);
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("subscriber".into()).spawn({
            let (shared, client, filter) = (shared.clone(), client.clone(), subscription.filter.clone());
            move || listen(connection, &client, &filter, &shared)
        })?;
        let subscriber = Self { shared, client, thread: Some(thread) };
        subscriber.shared.wait(START, settled);
        let (subscribed, error) = {
            let state = subscriber.shared.lock();
            (state.subscribed > 0, state.last_error.clone())
        };
        if !subscribed {
            let reason = error.unwrap_or_else(|| "no answer".into());
            bail!("no subscription to {} on port {}: {reason}", subscription.filter, subscription.port);
        }
        Ok(subscriber)
    }

    /// All messages so far, in the order of arrival; a repeat stands there twice.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.lock().messages.clone()
    }

    /// The messages since the last call, which are forgotten here: for those who listen for long.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.shared.lock().messages)
    }

    /// Waits until `enough` says so of the messages so far, and returns them.
    ///
    /// # Errors
    /// It is not enough within `limit`: the error says what has arrived.
    pub fn wait_for(&self, limit: Duration, mut enough: impl FnMut(&[Message]) -> bool) -> Result<Vec<Message>> {
        let found = self.shared.wait(limit, |state| enough(&state.messages).then(|| state.messages.clone()));
        found.with_context(|| {
            let state = self.shared.lock();
            let last: Vec<String> =
                state.messages.iter().rev().take(5).map(|message| format!("{}: {}", message.topic, message.text())).collect();
            format!(
                "not what was waited for within {limit:?}: {} messages, the last ones first:\n{}\nlast connection error: {:?}",
                state.messages.len(),
                last.join("\n"),
                state.last_error
            )
        })
    }

    /// Publishes (QoS 1) over the same connection; it need not have arrived when this returns.
    ///
    /// # Errors
    /// The client has ended.
    pub fn publish(&self, topic: &str, retain: bool, payload: &[u8]) -> Result<()> {
        Ok(self.client.publish(topic, QoS::AtLeastOnce, retain, payload)?)
    }

    /// Waits until it has subscribed `times` times: once at the start, and again after each reconnection.
    ///
    /// # Errors
    /// It has not within `limit`.
    pub fn wait_subscribed(&self, times: u64, limit: Duration) -> Result<()> {
        let found = self.shared.wait(limit, |state| (state.subscribed >= times).then_some(()));
        found.with_context(|| format!("subscribed {} of {times} times within {limit:?}", self.shared.lock().subscribed))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Wakes the thread: the next event is the disconnection.
        let _ = self.client.try_disconnect();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(mut connection: Connection, client: &Client, filter: &str, shared: &Shared) {
    // While the broker is up this blocks in the socket; one that is down is asked again soon.
    while !shared.stopping.load(Ordering::Relaxed) {
        match connection.recv() {
            Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => {
                let _ = client.try_subscribe(filter, QoS::AtLeastOnce);
            }
            Ok(Ok(Event::Incoming(Packet::SubAck(_)))) => shared.change(|state| state.subscribed += 1),
            Ok(Ok(Event::Incoming(Packet::Publish(publish)))) => shared.change(|state| {
                state.messages.push(Message {
                    topic: publish.topic,
                    payload: publish.payload.to_vec(),
                    retain: publish.retain,
                    qos: publish.qos as u8,
                    at: Instant::now(),
                });
            }),
            Ok(Err(error)) => {
                shared.change(|state| state.last_error = Some(error.to_string()));
                std::thread::sleep(RECONNECT);
            }
            Ok(Ok(_)) => {}
            Err(rumqttc::RecvError) => return,
        }
    }
}
