//! What a broker's front door would see: who connects when, and how many bytes go each way. It lets nobody in while it is
//! shut; whom it lets in talks to the broker behind it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// How long a client may take to say who it is.
const GREETING: Duration = Duration::from_secs(30);

/// A client that came.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub client: String,
    pub at: Instant,
    /// Whether it was let in.
    pub admitted: bool,
}

/// Bytes from and to a client.
#[derive(Debug, Default)]
pub struct Traffic {
    up: AtomicU64,
    down: AtomicU64,
}

struct Shared {
    broker: u16,
    open: AtomicBool,
    attempts: Mutex<Vec<Attempt>>,
    traffic: Mutex<BTreeMap<String, Arc<Traffic>>>,
}

/// The door.
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

impl Relay {
    /// An open door to the broker on this port.
    pub fn start(broker: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            broker,
            open: AtomicBool::new(true),
            attempts: Mutex::default(),
            traffic: Mutex::default(),
        });
        let door = shared.clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(door.clone().receive(client, Instant::now()));
            }
        });
        Self { port, shared, _runtime: runtime }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets nobody in any more; who is in stays.
    pub fn shut(&self) {
        self.shared.open.store(false, Ordering::SeqCst);
    }

    pub fn open(&self) {
        self.shared.open.store(true, Ordering::SeqCst);
    }

    /// Who came since `begin`.
    pub fn attempts(&self, begin: Instant) -> Vec<Attempt> {
        self.shared.attempts.lock().unwrap().iter().filter(|attempt| attempt.at >= begin).cloned().collect()
    }

    /// Bytes so far from and to all clients.
    pub fn traffic(&self) -> (u64, u64) {
        let all = self.shared.traffic.lock().unwrap();
        let sum = |of: fn(&Traffic) -> &AtomicU64| all.values().map(|it| of(it).load(Ordering::Relaxed)).sum();
        (sum(|it| &it.up), sum(|it| &it.down))
    }
}

impl Shared {
    async fn receive(self: Arc<Self>, mut client: TcpStream, at: Instant) {
        let mut greeting = vec![0; 4096];
        let Ok(Ok(length)) = timeout(GREETING, client.read(&mut greeting)).await else { return };
        let greeting = &greeting[..length];
        let Some(name) = client_id(greeting) else { return };
        let broker = match self.open.load(Ordering::SeqCst) {
            true => TcpStream::connect((Ipv4Addr::LOCALHOST, self.broker)).await.ok(),
            false => None,
        };
        self.attempts.lock().unwrap().push(Attempt { client: name.clone(), at, admitted: broker.is_some() });
        let Some(mut broker) = broker else { return };
        let traffic = self.traffic.lock().unwrap().entry(name).or_default().clone();
        let _ = (client.set_nodelay(true), broker.set_nodelay(true));
        if broker.write_all(greeting).await.is_err() {
            return;
        }
        traffic.up.fetch_add(length as u64, Ordering::Relaxed);
        let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
        // Whichever side ends, the other hears of it at once.
        tokio::select! {
            () = carry(from_client, to_broker, &traffic.up) => {}
            () = carry(from_broker, to_client, &traffic.down) => {}
        }
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, count: &AtomicU64) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        count.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// The client id in a CONNECT packet of MQTT 3.1.1.
fn client_id(packet: &[u8]) -> Option<String> {
    let remaining = packet.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    // Behind the name of the protocol, its level, the flags and the keep-alive.
    let id = packet.get(1 + remaining + 10..)?;
    let length = usize::from(u16::from_be_bytes(id.first_chunk().copied()?));
    String::from_utf8(id.get(2..2 + length)?.to_vec()).ok().filter(|_| packet[0] == 0x10)
}
