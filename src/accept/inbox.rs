//! Between the link and the acceptor: messages one way, orders the other. Neither waits for the other's disk or network.

use std::sync::mpsc::Sender;

use tokio::sync::mpsc::UnboundedReceiver;

use super::topics::Address;

/// A message as the link took it from the broker.
#[derive(Debug)]
pub struct Arrival {
    /// What it is and for whom.
    pub address: Address,
    /// Its bytes; none if there were more than such a message may have, and how many.
    pub payload: Result<Vec<u8>, usize>,
    /// To be given back when what it carried is on disk, or will never be wanted. Each must be, also one whose packet is
    /// 0: the link counts what is still being looked at.
    pub receipt: Receipt,
}

/// Which message is to be acknowledged: known by the link alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Which connection it came over: an older one's can't be acknowledged any more, and comes again.
    pub connection: u64,
    /// Packet id; 0 for a message that needs no acknowledgement.
    pub packet: u16,
}

/// What the acceptor asks of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Acknowledge this message. It goes out once all that came before it are acknowledged: MQTT wants them in order.
    Acknowledge(Receipt),
    /// Subscribe to this filter, now and after each reconnection. Ordered again, the broker sends again what it retains.
    Subscribe(String),
    /// No longer.
    Unsubscribe(String),
    /// Publish this on `head/state`, retained: now, and again after each reconnection until there is another.
    State(Vec<u8>),
}

/// The link's end of both ways.
#[derive(Debug)]
pub struct Inbox {
    /// Messages to the acceptor. Bounded by the broker, which waits for acknowledgements.
    pub arrivals: Sender<Arrival>,
    /// What it wants.
    pub orders: UnboundedReceiver<Order>,
}
