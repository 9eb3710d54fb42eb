//! rumqttd in this process: for machines with nothing but Rust. It keeps nothing on disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};
use rumqttd::protocol::v4::V4;
use rumqttd::{ConnectionSettings, LinkType, Router, RouterConfig, Server, ServerSettings};
use tokio::sync::oneshot;

use super::{START, TRIES, accepts, free_port};
use crate::wait_until;

/// A running embedded broker; dropping it closes its port and its connections.
pub struct Embedded {
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Embedded {
    /// Starts it on a free port and waits until it accepts connections.
    ///
    /// # Errors
    /// No port can be had.
    pub fn start() -> Result<Self> {
        let mut last = None;
        for _ in 0..TRIES {
            match Self::start_on(free_port()?) {
                Ok(broker) => return Ok(broker),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no try")).context("the embedded broker does not start"))
    }

    /// Starts it on this port, as after [`Embedded::stop`].
    ///
    /// # Errors
    /// The port is taken.
    pub fn start_on(port: u16) -> Result<Self> {
        // Someone else's broker must not be taken for ours.
        ensure!(!accepts(port), "port {port} is taken");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("embedded-broker".into())
            .spawn(move || serve(port, stopped))
            .context("the embedded broker's thread can't be started")?;
        let mut broker = Self { port, stop: Some(stop), thread: Some(thread) };
        let up = wait_until(START, || {
            let ended = broker.thread.as_ref().is_none_or(JoinHandle::is_finished);
            if ended { Some(false) } else { accepts(port).then_some(true) }
        });
        match up {
            Some(true) => Ok(broker),
            Some(false) => match broker.end() {
                Err(error) => Err(error),
                Ok(()) => bail!("the embedded broker on port {port} ended at once"),
            },
            None => bail!("the embedded broker on port {port} accepts no connection within {START:?}"),
        }
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As `mqtt.url` wants it.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Cuts all connections and forgets everything, sessions and retained messages included.
    pub fn stop(mut self) {
        let _ = self.end();
    }

    fn end(&mut self) -> Result<()> {
        drop(self.stop.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => bail!("the embedded broker panicked"),
            None => Ok(()),
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Serves until `stopped` resolves. The server runs on a runtime of its own, so that ending that ends its connections:
/// rumqttd's own `Broker::start` never returns.
fn serve(port: u16, stopped: oneshot::Receiver<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let router = RouterConfig {
        max_connections: 1_000,
        // A reader that lags by more than this is paused until it has acknowledged some.
        max_outgoing_packet_count: 500,
        max_segment_size: 16 << 20,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    let settings = ServerSettings {
        name: "embedded".into(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 60_000,
            max_payload_size: 4 << 20,
            max_inflight_count: 200,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    let mut server = Server::new(settings, Router::new(0, router).spawn(), V4);
    runtime.block_on(async {
        tokio::select! {
            ended = server.start(LinkType::Remote) => ended.with_context(|| format!("embedded broker on port {port}")),
            _ = stopped => Ok(()),
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_broker_gives_its_port_back() {
        let broker = Embedded::start().unwrap();
        let port = broker.port();
        assert!(Embedded::start_on(port).is_err(), "two brokers on one port");
        broker.stop();
        assert!(!accepts(port));
        Embedded::start_on(port).unwrap();
    }
}
