//! Messages from the broker to the real acceptor, one after the other, signed by a trusted key or not.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arcticd::accept::{
    Acceptor, Address, Arrival, Configured, Content, Envelope, HeadFacts, Input, Judge, Judges, Kind, Offer, Order,
    Receipt, Scope, Seat, Setup,
};
use arcticd::config::{Alerts, Heads};
use arcticd::frame::ContentHash;
use arcticd::heads::signature::Signature;
use arcticd::heads::{Bundle, bundle};
use arcticd::health::Status;
use arcticd::journal::Journal;
use minisign::KeyPair;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::plain;

/// Inputs that one acceptor gets: opening its journal takes longer than an input.
const INPUTS: u32 = 200;
/// Of one input.
const MESSAGES: usize = 16;
/// Longer than anything that an acceptor does with one message.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bits of a message's first byte, beside its kind.
const SIGNED: u8 = 8;
const TO_GROUP: u8 = 16;

/// Messages: a byte that says what it is, two with its length (the lower first), and its bytes. Signed, the bytes are what
/// is signed: of an offer the manifest, of a request the message, of a whole head the network.
pub fn messages(data: &[u8]) {
    thread_local!(static TRAP: RefCell<Option<(Trap, u32)>> = const { RefCell::new(None) });
    TRAP.with_borrow_mut(|trap| {
        let (mut used, inputs) = trap.take().unwrap_or_else(|| (Trap::new(), 0));
        let mut rest = data;
        for _ in 0..MESSAGES {
            let [what, low, high, behind @ ..] = rest else { break };
            let length = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
            let (bytes, behind) = behind.split_at(length);
            used.message(*what, bytes);
            rest = behind;
        }
        if inputs < INPUTS {
            *trap = Some((used, inputs + 1));
        } else {
            used.end();
        }
    });
}

struct Trap {
    keys: KeyPair,
    inputs: Sender<Input>,
    orders: UnboundedReceiver<Order>,
    thread: JoinHandle<()>,
    root: PathBuf,
    packet: u16,
    sequence: u64,
    // The head offered last.
    offered: ContentHash,
    _journal: Journal,
}

impl Trap {
    fn new() -> Self {
        let root = std::env::temp_dir().join(format!("arcticd-fuzz-{}-{}", std::process::id(), fastrand::u64(..)));
        let (state, trusted) = (root.join("state"), root.join("keys"));
        for folder in [&state, &trusted] {
            std::fs::create_dir_all(folder).expect("a temporary folder can be made");
        }
        let keys = KeyPair::generate_unencrypted_keypair().expect("random numbers");
        let public = format!("untrusted comment: minisign public key\n{}\n", keys.pk.to_base64());
        std::fs::write(trusted.join("a.pub"), public).expect("a temporary file can be written");
        let journal = Journal::open(&state, 1_000).expect("a journal can be made");
        let (order, orders) = unbounded_channel();
        let status = Arc::new(Status::new("test", "net", "head", &root));
        let setup = setup(&root, &journal);
        let log = journal.head_log().expect("a journal has a trail of heads");
        let (acceptor, _) = Acceptor::begin(setup, log, status, order).expect("an acceptor begins");
        let (inputs, heard) = channel();
        let thread = std::thread::spawn(move || acceptor.run(&heard));
        let offered = ContentHash::of(b"");
        Self { keys, inputs, orders, thread, root, packet: 0, sequence: 1, offered, _journal: journal }
    }

    /// Sends what the byte and the bytes say, and waits until the acceptor has done with it.
    fn message(&mut self, what: u8, bytes: &[u8]) {
        let signed = what & SIGNED != 0;
        let (content, payload) = match what & 7 {
            0 if signed => (Content::Set, Ok(self.head(bytes))),
            0 => (Content::Set, Ok(bytes.to_vec())),
            1 => {
                let offer = if signed {
                    let signature = self.sign(bytes).encode().into_bytes();
                    Offer { manifest: bytes.to_vec(), signature }.encode()
                } else {
                    bytes.to_vec()
                };
                if let Ok(offer) = Offer::decode(&offer) {
                    self.offered = offer.id();
                }
                (Content::Offer, Ok(offer))
            }
            2 => {
                let (piece, bytes) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
                (Content::Chunk { id: self.offered, piece: u32::from(piece) }, Ok(bytes.to_vec()))
            }
            7 => (Content::Set, Err(bytes.len())),
            kind => {
                let kind = Kind::ALL[usize::from(kind - 3) % Kind::ALL.len()];
                let ask = if signed {
                    let signature = self.sign(bytes).encode().into_bytes();
                    Envelope { message: bytes.to_vec(), signature }.encode()
                } else {
                    bytes.to_vec()
                };
                (Content::Ask(kind), Ok(ask))
            }
        };
        let scope = if what & TO_GROUP == 0 { Scope::Trap("test".into()) } else { Scope::Group("coast".into()) };
        self.packet = self.packet % 60_000 + 1;
        let receipt = Receipt { connection: 1, packet: self.packet };
        let arrival = Arrival { address: Address { scope, content }, payload, receipt };
        self.inputs.send(Input::Arrival(arrival)).expect("the acceptor lives");
        self.wait_for(&Order::Acknowledge(receipt));
    }

    fn wait_for(&mut self, wanted: &Order) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            loop {
                let order = tokio::time::timeout(PATIENCE, self.orders.recv()).await;
                if order.expect("the acceptor answers").expect("the acceptor lives") == *wanted {
                    return;
                }
            }
        });
    }

    /// A whole head with this network: signed, of a sequence that was not there before, and good for nothing.
    fn head(&mut self, network: &[u8]) -> Vec<u8> {
        self.sequence += 1;
        let packed = Bundle::pack(plain::manifest(self.sequence), network.to_vec(), &plain::canaries());
        let mut packed: Bundle = packed.expect("any bytes can be packed");
        packed.set_signature(self.sign(packed.manifest_bytes()));
        let mut bytes = Vec::new();
        packed.write(&mut bytes).expect("memory can be written");
        assert!(bundle::read_head_of(bytes.as_slice()).is_ok());
        bytes
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let signed = minisign::sign(None, &self.keys.sk, message, Some("fuzz"), None).expect("a key signs");
        Signature::parse(signed.to_string().as_bytes()).expect("minisign's form")
    }

    fn end(self) {
        self.inputs.send(Input::Stop).expect("the acceptor lives");
        self.thread.join().expect("the acceptor did not panic");
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

fn setup(root: &Path, journal: &Journal) -> Setup {
    let head = plain::head();
    let alerts = Alerts::default();
    let backbone = head.manifest().backbone.clone();
    let facts = HeadFacts {
        id: None,
        name: "plain".into(),
        version: "1".into(),
        sequence: 0,
        key: None,
        origin: "configured".into(),
    };
    let judge = Arc::new(Judge::new(head, &alerts).expect("a plain head judges"));
    Setup {
        state: root.join("state"),
        trap: "test".into(),
        groups: vec!["coast".into()],
        prefix: "arcticd".into(),
        backbone,
        alerts,
        heads: Heads {
            trusted_keys: vec![root.join("keys")],
            directory: root.join("by-hand"),
            trial_frames: 1,
            trial_alerts: 0,
            max_disagreement: 1.0,
            ..Heads::default()
        },
        configured: Configured { judge: judge.clone(), facts, chosen: false },
        seat: Seat::new(Judges { proven: judge, candidate: None }),
        died_on_frame: false,
        features: journal.feature_store().expect("a journal keeps features"),
        outbox_filled: Arc::default(),
    }
}
