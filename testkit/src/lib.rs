//! Real parts for arcticd's demo and integration tests. Nothing here pretends: pictures are JPEG files, scores come from
//! the real backbone, brokers and daemons are processes or sockets on loopback.
//!
//! * [`scenes`] renders arctic pictures by seed, with or without an animal.
//! * [`head`] fits a head on rendered scenes, through a real backbone.
//! * [`networks`] makes small convolutional networks with random weights.
//! * [`quick`] is a backbone and head that take milliseconds.
//! * [`broker`] is mosquitto as a child process, or an embedded broker where it is not installed.
//! * [`subscriber`] is an MQTT client from outside, over TCP.
//! * [`daemon`] is the real binary as a child process, in a temporary world of its own.
//! * [`ledger`] reads what a daemon's journal says: every frame's verdict, every message's fate.
//! * [`mutate`] makes what an attacker or a bad line might of a head on its way.
//! * [`wide`] composes wide scenes with a small animal in them, of photos that are not part of the project.
//! * [`certificates`] makes a certificate authority with a server's and a client's certificate.
//!
//! Everything started here ends when its value is dropped, and every wait has an end.

pub mod broker;
pub mod certificates;
pub mod daemon;
pub mod head;
pub mod ledger;
pub mod mutate;
pub mod networks;
pub mod quick;
pub mod scenes;
pub mod subscriber;
pub mod wide;

use std::time::{Duration, Instant};

/// How often [`wait_until`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks `found` until it answers, for at most `limit`: for things that announce themselves to nobody, as a journal's rows.
pub fn wait_until<T>(limit: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = found() {
            return Some(answer);
        }
        if start.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
