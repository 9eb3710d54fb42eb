//! Brokers on loopback: mosquitto as a child process, or an embedded one where it is not installed.

mod embedded;
mod mosquitto;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

pub use embedded::Embedded;
pub use mosquitto::{Login, Mosquitto, Options, Tls};

/// How long a broker may take to accept connections.
const START: Duration = Duration::from_secs(20);
/// How often a start is tried again when another process took the free port first.
const TRIES: usize = 5;

/// Whichever broker this machine has.
pub enum Broker {
    /// The installed mosquitto.
    Mosquitto(Mosquitto),
    /// rumqttd, inside this process.
    Embedded(Embedded),
}

impl Broker {
    /// Starts mosquitto if it is installed, else the embedded broker, and prints which.
    ///
    /// # Errors
    /// The broker does not start.
    pub fn any() -> Result<Self> {
        if Mosquitto::available() {
            let broker = Mosquitto::start(Options::default())?;
            println!("broker: mosquitto on port {}", broker.port());
            return Ok(Self::Mosquitto(broker));
        }
        let broker = Embedded::start()?;
        println!("broker: mosquitto is not installed, so the embedded one on port {}", broker.port());
        Ok(Self::Embedded(broker))
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        match self {
            Self::Mosquitto(broker) => broker.port(),
            Self::Embedded(broker) => broker.port(),
        }
    }

    /// As `mqtt.url` wants it.
    pub fn url(&self) -> String {
        match self {
            Self::Mosquitto(broker) => broker.url(),
            Self::Embedded(broker) => broker.url(),
        }
    }
}

/// A port that nobody listened on a moment ago.
///
/// # Errors
/// Loopback can't be bound.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port of 127.0.0.1 can be bound")?;
    Ok(listener.local_addr()?.port())
}

fn accepts(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
