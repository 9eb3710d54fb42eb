//! A wire to a broker that notes what the broker acknowledged: from then on a message is the broker's to keep, and until then
//! it is the daemon's.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arcticd::detection::Detection;

/// Kinds of MQTT packets.
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;

/// A wire between daemon and broker.
pub struct Witness {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

/// A detection: the frame's content, and the message's epoch and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    pub sha256: String,
    pub number: (String, u64),
}

#[derive(Default)]
struct Seen {
    sent: u64,
    /// By id.
    acknowledged: BTreeMap<String, Carried>,
    /// Both ends of the connection there is now.
    ends: Vec<TcpStream>,
}

/// Detections under way on one connection, by their packet ids.
type UnderWay = Arc<Mutex<HashMap<u16, (String, Carried)>>>;

impl Witness {
    pub fn to(broker: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let witness = Self { port: listener.local_addr().unwrap().port(), seen: Arc::default() };
        let seen = witness.seen.clone();
        // Ends with the test program.
        std::thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)) else { continue };
                let clone = |stream: &TcpStream| stream.try_clone().unwrap();
                lock(&seen).ends = vec![clone(&near), clone(&far)];
                let (near_out, far_out) = (clone(&near), clone(&far));
                let under_way = UnderWay::default();
                let (out, back) = (seen.clone(), seen.clone());
                let ours = under_way.clone();
                std::thread::spawn(move || {
                    carry(near, far_out, |kind, flags, body| send(&out, &ours, kind, flags, body))
                });
                std::thread::spawn(move || carry(far, near_out, |kind, _, body| answer(&back, &under_way, kind, body)));
            }
        });
        witness
    }

    /// Where it begins, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many detections went out, repeats included.
    pub fn sent(&self) -> u64 {
        lock(&self.seen).sent
    }

    /// The detections that the broker has acknowledged, by id.
    pub fn acknowledged(&self) -> BTreeMap<String, Carried> {
        lock(&self.seen).acknowledged.clone()
    }

    /// Cuts the connection there is; a new one can be made.
    pub fn cut(&self) {
        for end in lock(&self.seen).ends.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(seen: &Mutex<Seen>, under_way: &UnderWay, kind: u8, flags: u8, body: &[u8]) {
    if kind != PUBLISH || flags & 0b110 == 0 || body.len() < 4 {
        return;
    }
    let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    let Some((&[high, low], payload)) = body.get(topic_end..).and_then(|rest| rest.split_first_chunk::<2>()) else {
        return;
    };
    if body[2..topic_end].ends_with(b"/detection") {
        let told: Detection = serde_json::from_slice(payload).unwrap();
        let number = (told.epoch.unwrap_or_default(), told.seq.unwrap_or_default());
        let carried = (told.id, Carried { sha256: told.frame.sha256, number });
        lock(seen).sent += 1;
        lock(under_way).insert(u16::from_be_bytes([high, low]), carried);
    }
}

/// Noted before it is carried on: what the daemon knows is noted here.
fn answer(seen: &Mutex<Seen>, under_way: &UnderWay, kind: u8, body: &[u8]) {
    if kind == PUBACK
        && let Some(&[high, low]) = body.first_chunk::<2>()
        && let Some((id, carried)) = lock(under_way).remove(&u16::from_be_bytes([high, low]))
    {
        lock(seen).acknowledged.insert(id, carried);
    }
}

/// Carries bytes, and tells `whole` of each packet before its last byte goes on.
fn carry(mut from: TcpStream, mut to: TcpStream, mut whole: impl FnMut(u8, u8, &[u8])) {
    let mut buffer = [0; 16 << 10];
    let mut packet = Vec::new();
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
    {
        packet.extend_from_slice(&buffer[..read]);
        while let Some((head, length)) = length(&packet)
            && packet.len() >= head + length
        {
            whole(packet[0] >> 4, packet[0] & 0xF, &packet[head..head + length]);
            packet.drain(..head + length);
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Bytes of a packet's fixed header and of the rest, if they are all there.
fn length(packet: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (place, byte) in packet.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((place + 2, length));
        }
    }
    None
}
