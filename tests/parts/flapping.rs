//! A mosquitto that stands still, dies, and comes back.

use std::net::{Ipv4Addr, TcpListener};

use testkit::broker::{Mosquitto, Options};
use testkit::subscriber::{Subscriber, Subscription};

use super::PATIENCE;

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Up,
    Frozen,
    Dead,
}

/// A free port, and none that the system gives to outgoing connections: one of these could have it while the broker is dead.
pub fn port() -> u16 {
    let ports = std::iter::repeat_with(|| fastrand::u16(10_000..30_000)).take(100);
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.into_iter().find(free).expect("a free port")
}

/// The broker, and a subscriber whose session it keeps.
pub struct Flapping {
    broker: Mosquitto,
    is: State,
    pub console: Subscriber,
    subscribed: u64,
}

impl Flapping {
    pub fn start() -> Self {
        // No message waits in the broker for another: what it has acknowledged is under way to the subscriber.
        let extra = vec!["max_inflight_messages 0".into()];
        let options = Options { port: Some(port()), extra, ..Options::default() };
        let broker = Mosquitto::start(options).unwrap();
        let console = Subscription::new(broker.port(), "arcticd/test/#").persistent("console");
        Self { console: Subscriber::start(console).unwrap(), broker, is: State::Up, subscribed: 1 }
    }

    pub fn port(&self) -> u16 {
        self.broker.port()
    }

    pub fn is_up(&self) -> bool {
        self.is == State::Up
    }

    pub fn freeze(&mut self) {
        self.broker.freeze().unwrap();
        self.is = State::Frozen;
    }

    pub fn kill(&mut self) {
        self.broker.kill().unwrap();
        self.is = State::Dead;
    }

    /// Returns when the subscriber is there again.
    pub fn revive(&mut self) {
        match self.is {
            State::Up => {}
            State::Frozen => self.broker.thaw().unwrap(),
            State::Dead => {
                self.broker.restart().unwrap();
                self.subscribed += 1;
                self.console.wait_subscribed(self.subscribed, PATIENCE).unwrap();
            }
        }
        self.is = State::Up;
    }
}
