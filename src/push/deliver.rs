//! Publishes messages in their order, as fast as they are acknowledged. What is acknowledged stays so over a lost
//! connection; everything else is sent again.

use std::collections::HashMap;

use tokio::time::{Instant, timeout};

use super::Parcel;
use super::gather::{Ear, STUCK};
use super::plan::{Body, Message, packet_bytes};
use super::window::Window;
use super::wire::{News, Stop, Wire};

/// Messages, and which of them are acknowledged.
#[derive(Debug, Default)]
pub struct Account {
    messages: Vec<Message>,
    acknowledged: Vec<bool>,
    /// Messages handed over, repeats included.
    pub sent: u64,
    /// Bytes of them, as packets.
    pub bytes: u64,
}

impl Account {
    /// From now on these are to be published; those of all scopes go stage by stage.
    pub fn plan(&mut self, mut messages: Vec<Message>) {
        messages.sort_by_key(|message| message.stage);
        self.acknowledged = vec![false; messages.len()];
        self.messages = messages;
    }

    /// All of them.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// How many are acknowledged.
    pub fn done(&self) -> usize {
        self.acknowledged.iter().filter(|done| **done).count()
    }

    /// The first that is not.
    pub fn next(&self) -> Option<&Message> {
        let left = self.messages.iter().zip(&self.acknowledged).find(|(_, done)| !**done);
        left.map(|(message, _)| message)
    }

    /// How many are not.
    pub fn left(&self) -> usize {
        self.messages.len() - self.done()
    }

    /// Bytes of those, as packets.
    pub fn left_bytes(&self, parcel: &Parcel) -> u64 {
        let left = self.messages.iter().zip(&self.acknowledged).filter(|(_, done)| !**done);
        left.map(|(message, _)| packet_bytes(&message.topic, parcel.body(message.body).len())).sum()
    }

    fn is_done(&self, number: usize) -> bool {
        self.acknowledged.get(number).copied().unwrap_or(true)
    }
}

/// Publishes what is not acknowledged yet, a stage after the one before; `body` gives the bytes. `shown` is called with
/// each acknowledgement.
///
/// # Errors
/// [`Stop`]; called again, it goes on.
pub async fn deliver<E: Ear>(
    wire: &mut Wire,
    account: &mut Account,
    ear: &mut E,
    body: &dyn Fn(Body) -> Vec<u8>,
    shown: &dyn Fn(&Account, &mut E),
) -> Result<(), Stop> {
    let mut window = Window::new(wire.inflight());
    let mut under_way: HashMap<usize, (usize, Instant)> = HashMap::new();
    let (mut next, mut stage) = (0, None);
    loop {
        while let Some(message) = account.messages.get(next) {
            if account.is_done(next) {
                next += 1;
                continue;
            }
            if stage != Some(message.stage) && !under_way.is_empty() {
                break;
            }
            let payload = body(message.body);
            let bytes = payload.len();
            if !window.takes(bytes) {
                break;
            }
            wire.publish(next, &message.topic, payload, true)?;
            account.sent += 1;
            account.bytes += packet_bytes(&message.topic, bytes);
            stage = Some(message.stage);
            window.sent(bytes);
            under_way.insert(next, (bytes, Instant::now()));
            next += 1;
        }
        if under_way.is_empty() {
            return Ok(());
        }
        let news = timeout(STUCK, wire.next()).await;
        match news.unwrap_or_else(|_| Err(Stop::Lost(format!("nothing acknowledged for {} s", STUCK.as_secs()))))? {
            News::Acknowledged(number) => {
                if let Some((bytes, since)) = under_way.remove(&number) {
                    window.acknowledged(bytes, since.elapsed());
                }
                if let Some(done) = account.acknowledged.get_mut(number) {
                    *done = true;
                }
                shown(account, ear);
            }
            News::Message { topic, payload, .. } => ear.hear(&topic, &payload),
            News::Subscribed | News::Answered(_) => {}
        }
    }
}
