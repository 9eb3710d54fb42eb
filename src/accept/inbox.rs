//! Between the link and the acceptor: messages one way, orders the other. Neither waits for the other's disk or network.

use std::sync::mpsc::Sender;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::judges::Observation;
use super::report::Report;
use super::topics::Address;
use crate::config::Alerts;
use crate::detect::RulesError;
use crate::journal::HeadEntry;

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

/// All that the acceptor hears.
#[derive(Debug)]
pub enum Input {
    /// From the link.
    Arrival(Arrival),
    /// From the pipeline: what is to be learned of a frame.
    Observation(Observation),
    /// From the control socket.
    Control(Control),
    /// The configuration was read again: what alerts from now on.
    Alerts(NewAlerts),
    /// The end.
    Stop,
}

/// Other rules for all heads.
#[derive(Debug)]
pub struct NewAlerts {
    /// What should alert.
    pub alerts: Alerts,
    /// Whether the head in service can: if not, nothing is changed.
    pub reply: oneshot::Sender<Result<(), RulesError>>,
}

/// A question or command from this machine.
#[derive(Debug)]
pub struct Control {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub reply: Sender<Answer>,
}

/// What can be asked over the control socket: a JSON line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Heads and their history.
    HeadList,
    /// End the trial, or return to the head before.
    HeadRollback,
}

/// What is answered: a JSON line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Heads and their history, the latest step first.
    HeadList {
        /// As on `head/state`.
        report: Box<Report>,
        /// As in the journal.
        history: Vec<HeadEntry>,
    },
    /// It is done, and what that means.
    Done(String),
    /// It can't be done, and why.
    Refused(String),
}

/// The link's end of both ways.
#[derive(Debug)]
pub struct Inbox {
    /// Messages to the acceptor. Bounded by the broker, which waits for acknowledgements.
    pub arrivals: Sender<Input>,
    /// What it wants.
    pub orders: UnboundedReceiver<Order>,
}
